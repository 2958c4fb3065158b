"""Log-polar filters: what the features of a 128x128 scene are, a few hundred or thousand numbers.

Two retinas of the study: `WhatWhere` (2.4, with its colliculus, 2.5) is a set of log-Gabor filters on the whitened
scene, their period growing with eccentricity; `Polo` (2.3) applies one small set of filters to the central crops of a
Laplacian pyramid. How `retina` computes them is another matter.

Convention
    image       (B, 1, 128, 128) in [0, 1], grey is 0.5
    positions   pixels of the field, (row, column) = (down, right); offsets are relative to pixel (64, 64)
    azimuth     radians, from down towards right; the unit at angle psi lies at centre + r (cos psi, sin psi); in every
                other ring the azimuths are shifted by half a step
    orientation of a filter's wave vector, relative to the azimuth
    frequency   cycles per pixel of the field
    features    (B, n) float32; WhatWhere: (orientation, azimuth, ring, phase); Polo: part after part, each
                (orientation, level x ring, azimuth)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import ConfigurationError, check, shown, within
from .stimuli import FIELD

# ---- settings -------------------------------------------------------------------------------------------------------


class Settings:
    """What follows from the settings of every retina; `field` is the edge of its scenes, pixels."""

    field: int

    @property
    def layout(self) -> list[tuple[int, ...]]:
        """Shape of each part of the features; the axes are in the module's Convention."""
        raise NotImplementedError

    @property
    def n(self) -> int:
        """Number of features."""
        return sum(math.prod(shape) for shape in self.layout)

    @property
    def compression(self) -> float:
        """Share of the scene's numbers that is saved, 1 - n / field^2."""
        return 1 - self.n / self.field**2


@dataclass(frozen=True)
class WhatWhere(Settings):
    """The retina of the What/Where model: 6 x 24 x 10 x 2 = 2 880 filters (study 2.4; Dauce, Albiges, Perrinet 2020).

    Raises:
        ConfigurationError: a value outside what its field declares.

    >>> WhatWhere().n, [round(radius, 1) for radius in WhatWhere().radii[::3]]
    (2880, [2.3, 6.5, 18.3, 51.4])
    """

    orientations: Annotated[int, 1, 64] = 6
    azimuths: Annotated[int, 1, 360] = 24
    rings: Annotated[int, 1, 64] = 10
    phases: Annotated[int, 1, 2] = 2  # 1: even filters only; 2: even and odd
    rho: Annotated[float, 1.01, 10] = 1.41  # ratio of neighbouring radii
    reach: Annotated[float, 0.01, 1] = 0.8  # relative to the field's half diagonal, where a further ring would lie
    sf_max: Annotated[float, 0.01, 0.5, "cycles per pixel"] = 0.45  # frequencies are cut here
    sf_scale: Annotated[float, 1e-4, 1] = 0.015  # frequency x relative radius
    b_sf: Annotated[float, 0.05, 10] = 0.4  # bandwidth, natural logarithm of the frequency
    whitening: bool = True
    field: Annotated[int, 16, 512] = FIELD

    def __post_init__(self):
        check(self)

    @property
    def layout(self) -> list[tuple[int, ...]]:
        return [(self.orientations, self.azimuths, self.rings, self.phases)]

    @property
    def radii(self) -> list[float]:
        """Radius of each ring, pixels."""
        return [self.field / math.sqrt(2) * relative for relative in self._relative]

    @property
    def frequencies(self) -> list[float]:
        """Preferred frequency of each ring, cycles per pixel."""
        return [min(self.sf_scale / relative, self.sf_max) for relative in self._relative]

    @property
    def _relative(self) -> list[float]:
        return [self.reach * self.rho ** (i - self.rings) for i in range(self.rings)]


@dataclass(frozen=True)
class Pyramid(Settings):
    """A Laplacian pyramid whose levels are cropped to their centre and filtered alike (study 2.3).

    Raises:
        ConfigurationError: a value outside what its field declares; fields that do not fit each other.
    """

    width: Annotated[int, 4, 512] = 32  # of the crops, pixels of their level
    levels: int = 3  # up to 16: residual levels and, last, the low-pass level
    base: Annotated[float, 1.05, 8] = 2.0  # ratio of neighbouring levels
    rings: Annotated[int, 1, 64] = 2  # per level
    azimuths: Annotated[int, 1, 360] = 16
    orientations: Annotated[int, 1, 64] = 8
    r_min: float = 8.0  # radius of the first ring, pixels of the crop
    r_max: float = 16.0  # radius that a further ring would have, at most half of the width
    low_pass: bool = True  # False: the last level is dropped, with the mean of the scene ("norm" in 2021)
    b_theta: Annotated[float, 0.05, 10, "radians"] = math.pi / 12  # bandwidth of the orientation
    b_sf: Annotated[float, 0.05, math.inf] = math.inf  # bandwidth, see WhatWhere; 2021: infinite, 1/f whatever the ring
    field: Annotated[int, 16, 512] = FIELD

    def __post_init__(self):
        check(self)
        if self.width > self.field:
            raise ConfigurationError(f"width={self.width} must not exceed the field, {self.field} pixels.")
        within("levels", self.levels, 1 if self.low_pass else 2, 16, whole=True)
        within("r_min", self.r_min, 0, self.width / 2, "pixels of the crop")
        within("r_max", self.r_max, 0, self.width / 2, "pixels of the crop")
        if self.r_min >= self.r_max:
            raise ConfigurationError(f"r_min={self.r_min} must be below r_max={self.r_max}.")
        if self.sizes[self.kept - 1] < self.width / 2:
            raise ConfigurationError(
                f"levels={self.levels}: level {self.kept - 1} would be smaller than half of width={self.width}."
            )

    @property
    def layout(self) -> list[tuple[int, ...]]:
        return [(self.orientations, self.kept * self.rings, self.azimuths)]

    @property
    def kept(self) -> int:
        """Number of levels that are filtered."""
        return self.levels if self.low_pass else self.levels - 1

    @property
    def sizes(self) -> list[int]:
        """Edge of each level before cropping, pixels."""
        sizes = [self.field]
        for _ in range(self.levels - 1):
            sizes.append(int(sizes[-1] * (1 / self.base)))
        return sizes

    @property
    def ring_radii(self) -> list[float]:
        """Radius of each ring of a level, pixels of the crop."""
        span = self.r_max - self.r_min
        return [self.r_min + span * (2 ** (i / self.rings) - 1) for i in range(self.rings)]

    @property
    def ring_frequencies(self) -> list[float]:
        """Nominal frequency of each ring, cycles per pixel of the crop; without effect while b_sf is infinite."""
        return [8 / (self.width * math.log(2) * 2 ** (i / self.rings)) for i in range(self.rings)]

    @property
    def radii(self) -> list[float]:
        """Radius of each ring of each level, pixels of the field."""
        return [r * self.base**level for level in range(self.kept) for r in self.ring_radii]


@dataclass(frozen=True)
class Polo(Settings):
    """One pyramid, or several side by side.

    Raises:
        ConfigurationError: no part, or parts over different fields.
    """

    parts: tuple[Pyramid, ...] = (Pyramid(),)

    def __post_init__(self):
        pyramids = isinstance(self.parts, tuple) and all(isinstance(part, Pyramid) for part in self.parts)
        if not pyramids or len({part.field for part in self.parts}) != 1:
            raise ConfigurationError(
                f"parts={shown(self.parts)} must be a tuple of pyramids, at least one, over one and the same field."
            )

    @property
    def layout(self) -> list[tuple[int, ...]]:
        return [shape for part in self.parts for shape in part.layout]

    @property
    def field(self) -> int:
        """Edge of the scene, pixels."""
        return self.parts[0].field


def _dual(levels: int, low_pass: bool) -> Polo:
    inner = Pyramid(levels=levels, low_pass=low_pass)
    outer = Pyramid(64, levels, rings=4, azimuths=32, r_min=16, r_max=32, low_pass=low_pass)
    return Polo((inner, outer))


RETINAS: dict[str, WhatWhere | Polo] = {
    "whatwhere": WhatWhere(),
    "polo768": Polo(),  # POLO_ATN_95%
    "polo1280": Polo((Pyramid(levels=5, base=math.sqrt(2), r_min=8 * math.sqrt(2)),)),  # LOW-COMPRESSION
    "polo2560": _dual(2, True),  # POLO_ATN_85%
    "polo2560band": _dual(3, False),  # "norm" and convPOLO_ATN_85%
}


# ---- filters --------------------------------------------------------------------------------------------------------


class _Grid:
    """Polar frequency grid of an n x n image in FFT order, float64; the frequency at 0 is 1e-6 (as in SLIP)."""

    def __init__(self, n: int):
        f = torch.fft.fftfreq(n, dtype=torch.float64)
        self.down, self.right = torch.meshgrid(f, f, indexing="ij")
        self.radius = self.down.hypot(self.right)
        self.radius[0, 0] = 1e-6
        self.angle = torch.atan2(self.right, self.down)
        # band-limiting mask of the SLIP library: up to the Nyquist circle, and not below half a cycle per image
        self.mask = (1 - torch.exp((self.radius - 0.5) / 0.035)) * (self.radius < 0.5)
        self.mask *= 1 - torch.exp(-0.5 * (self.radius * n / 0.5) ** 2)


def log_gabor(grid: _Grid, row: float, column: float, sf: float, b_sf: float, angles: Tensor, b_theta: float) -> Tensor:
    """Return complex log-Gabor filters (n, h, w) centred at (row, column), one per orientation in `angles` (n,).

    Real part: the even filter; imaginary part: the odd one (its phase is pi / 2). A single bump in frequency.
    """
    band = grid.mask / grid.radius
    if math.isfinite(b_sf):
        band = band * torch.exp(-0.5 * (torch.log(grid.radius / sf) / b_sf) ** 2)
    shift = -2 * math.pi * (row * grid.down + column * grid.right)
    spectrum = torch.polar(band, shift) * torch.exp((torch.cos(grid.angle - angles[:, None, None]) - 1) / b_theta**2)
    return torch.fft.ifft2(spectrum)


def _ring(
    settings: WhatWhere | Pyramid, ring: int, size: int, radius: float, sf: float, b_sf: float, b_theta: float
) -> Tensor:
    """Return the complex filters of a ring in an image of `size` pixels, (orientations, azimuths, size, size)."""
    grid, columns = _Grid(size), []
    turns = math.pi / settings.orientations * torch.arange(settings.orientations, dtype=torch.float64)
    for k in range(settings.azimuths):
        psi = (k + 0.5 * (ring % 2)) * 2 * math.pi / settings.azimuths
        centre = size // 2 + radius * math.cos(psi), size // 2 + radius * math.sin(psi)
        columns.append(log_gabor(grid, *centre, sf, b_sf, turns + psi, b_theta))
    return torch.stack(columns, 1)


def _balanced(filters: Tensor) -> Tensor:
    """Subtract each filter's median, (..., h, w): the mean of the two middle values, unlike torch's."""
    return filters - torch.from_numpy(np.median(filters.numpy(), axis=(-2, -1), keepdims=True))


def whatwhere_filters(retina: WhatWhere, ring: int, normalised: bool = True) -> Tensor:
    """Return the filters of one ring, (orientations, azimuths, phases, h, w) float64 (study 2.4).

    Args:
        normalised: whether each is divided by its largest magnitude.
    """
    radius, sf, b_theta = retina.radii[ring], retina.frequencies[ring], math.pi / (2 * retina.orientations)
    z = _ring(retina, ring, retina.field, radius, sf, retina.b_sf, b_theta)
    filters = _balanced(torch.stack((z.real, z.imag)[: retina.phases], 2))
    return filters / filters.abs().amax((-2, -1), keepdim=True) if normalised else filters


def polo_filters(pyramid: Pyramid) -> Tensor:
    """Return the filters of a crop, (orientations, rings, azimuths, width, width) float64, up to 1 (study 2.3).

    The library's printed extrema of 2021 are -0.3125 (width 32) and -0.2759 (width 64); its version of 2024 gives the
    -0.2794 and -0.2555 that this formula gives.
    """
    rings = enumerate(zip(pyramid.ring_radii, pyramid.ring_frequencies, strict=True))
    filters = [
        _ring(pyramid, i, pyramid.width, radius, sf, pyramid.b_sf, pyramid.b_theta).real for i, (radius, sf) in rings
    ]
    filters = _balanced(torch.stack(filters, 1))
    return filters / filters.abs().amax((-2, -1), keepdim=True)


# ---- what comes before the filters ----------------------------------------------------------------------------------


def whitening(n: int) -> Tensor:
    """Return Olshausen's whitening filter (n, n), FFT order, float64, mean 1: f^1.4 with a cut at 0.4 (study 2.4)."""
    f = _Grid(n).radius
    gain = f**1.4 * torch.exp(-((f / 0.4) ** 4))
    return gain / gain.mean()


def whiten(images: Tensor) -> Tensor:
    """Whiten (..., n, n): each frequency gets the same power if the scene's spectrum is 1/f^1.4; the mean is lost.

    2021 also cut the result, about grey, to [0, 1]: not linear, and here left out (1 to 3 % of the features' standard
    deviation over scenes).
    """
    n = images.shape[-1]
    gain = whitening(n)[:, : n // 2 + 1].to(images)
    return torch.fft.irfft2(torch.fft.rfft2(images) * gain, s=(n, n))


def crops(images: Tensor, pyramid: Pyramid) -> Tensor:
    """Return the cropped levels (B, kept, width, width) of images (B, 1, n, n): residuals, then the low-pass level.

    A level smaller than the crop is laid into zeros.
    """
    levels = [level if lower is None else level - lower for level, lower in pyramid_levels(images, pyramid, "bilinear")]
    return torch.cat([central(level, pyramid.width, axes=2) for level in levels[: pyramid.kept]], 1)


def pyramid_levels(level: Tensor, pyramid: Pyramid, mode: str) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield each level of images (B, c, n, n), or along one axis (B, c, n), and what the next one keeps of it, at its
    size; None for the last."""
    for _ in range(pyramid.levels - 1):
        smaller = F.interpolate(level, scale_factor=1 / pyramid.base, mode=mode, align_corners=False)
        yield level, F.interpolate(smaller, size=level.shape[2:], mode=mode, align_corners=False)
        level = smaller
    yield level, None


def central(level: Tensor, width: int, axes: int) -> Tensor:
    """Crop or pad the last axes, n pixels long, to `width`, pixel n // 2 going to width // 2."""
    n = level.shape[-1]
    before = width // 2 - n // 2
    return F.pad(level, (before, width - n - before) * axes)
