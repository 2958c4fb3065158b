"""Log-polar retinas: fixed linear maps from a 128x128 scene to a few hundred or thousand features.

Two retinas of the study: `WhatWhere` (2.4, with its colliculus, 2.5) is a set of log-Gabor filters on the whitened
scene, their period growing with eccentricity; `Polo` (2.3) applies one small set of filters to the central crops of a
Laplacian pyramid. Each is defined once, step by step (`Retina.steps`), and computed folded (`Retina.__call__`).

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
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import ConfigurationError, choose, shown, within
from .stimuli import EDGE, FIELD, cut

GREY = 0.5

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

    def _check_counts(self, **highest: int) -> None:
        for name, high in highest.items():
            within(name, getattr(self, name), 1, high, whole=True)
        within("field", self.field, 16, 512, whole=True)


@dataclass(frozen=True)
class WhatWhere(Settings):
    """The retina of the What/Where model: 6 x 24 x 10 x 2 = 2 880 filters (study 2.4; Dauce, Albiges, Perrinet 2020).

    Raises:
        ConfigurationError: a value outside the bounds that its field names.

    >>> WhatWhere().n, [round(radius, 1) for radius in WhatWhere().radii[::3]]
    (2880, [2.3, 6.5, 18.3, 51.4])
    """

    orientations: int = 6
    azimuths: int = 24
    rings: int = 10
    phases: int = 2  # 1: even filters only; 2: even and odd
    rho: float = 1.41  # ratio of neighbouring radii
    reach: float = 0.8  # the ring after the last would lie here, relative to the field's half diagonal
    sf_max: float = 0.45  # frequencies are cut here, cycles per pixel
    sf_scale: float = 0.015  # frequency x relative radius
    b_sf: float = 0.4  # bandwidth, natural logarithm of the frequency
    whitening: bool = True
    field: int = FIELD

    def __post_init__(self):
        self._check_counts(orientations=64, azimuths=360, rings=64, phases=2)
        within("rho", self.rho, 1.01, 10)
        within("reach", self.reach, 0.01, 1)
        within("sf_max", self.sf_max, 0.01, 0.5, "cycles per pixel")
        within("sf_scale", self.sf_scale, 1e-4, 1)
        within("b_sf", self.b_sf, 0.05, 10)

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
        ConfigurationError: a value outside the bounds that its field names.
    """

    width: int = 32  # of the crops, pixels of their level
    levels: int = 3  # residual levels and, last, the low-pass level
    base: float = 2.0  # ratio of neighbouring levels
    rings: int = 2  # per level
    azimuths: int = 16
    orientations: int = 8
    r_min: float = 8.0  # radius of the first ring, pixels of the crop
    r_max: float = 16.0  # radius that a further ring would have
    low_pass: bool = True  # False: the last level is dropped, with the mean of the scene ("norm" in 2021)
    b_theta: float = math.pi / 12  # bandwidth of the orientation, radians
    b_sf: float = math.inf  # bandwidth, natural logarithm of the frequency; 2021: infinite, 1/f whatever the ring
    field: int = FIELD

    def __post_init__(self):
        self._check_counts(orientations=64, azimuths=360, rings=64)
        within("width", self.width, 4, 512, whole=True)
        if self.width > self.field:
            raise ConfigurationError(f"width={self.width} must not exceed the field, {self.field} pixels.")
        within("levels", self.levels, 1 if self.low_pass else 2, 16, whole=True)
        within("base", self.base, 1.05, 8)
        within("r_min", self.r_min, 0, self.width / 2, "pixels of the crop")
        within("r_max", self.r_max, 0, self.width / 2, "pixels of the crop")
        if self.r_min >= self.r_max:
            raise ConfigurationError(f"r_min={self.r_min} must be below r_max={self.r_max}.")
        within("b_theta", self.b_theta, 0.05, 10, "radians")
        within("b_sf", self.b_sf, 0.05, math.inf)
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


def recentred(images: Tensor, fixations: Tensor) -> Tensor:
    """Return fields (B, 1, h, h) centred on fixations (B, 2), grey beyond the old ones: the input after a saccade."""
    edge = images.shape[-1]
    margin = (edge - EDGE) // 2  # fixations go no further
    padded = F.pad(images[:, 0], (margin,) * 4, value=GREY)  # of 128 pixels: (B, 228, 228)
    return cut(padded, margin + fixations.clamp(-margin, margin), edge)[:, None]


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
    levels = [level if lower is None else level - lower for level, lower in _levels(images, pyramid, "bilinear")]
    return torch.cat([_central(level, pyramid.width, axes=2) for level in levels[: pyramid.kept]], 1)


def _levels(level: Tensor, pyramid: Pyramid, mode: str) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield each level of images (B, c, n, n), or along one axis (B, c, n), and what the next one keeps of it, at its
    size; None for the last."""
    for _ in range(pyramid.levels - 1):
        smaller = F.interpolate(level, scale_factor=1 / pyramid.base, mode=mode, align_corners=False)
        yield level, F.interpolate(smaller, size=level.shape[2:], mode=mode, align_corners=False)
        level = smaller
    yield level, None


def _central(level: Tensor, width: int, axes: int) -> Tensor:
    """Crop or pad the last axes, n pixels long, to `width`, pixel n // 2 going to width // 2."""
    n = level.shape[-1]
    before = width // 2 - n // 2
    return F.pad(level, (before, width - n - before) * axes)


# ---- folding --------------------------------------------------------------------------------------------------------
#
# Every map is a list of full-field kernels, and the kernels of one ring span few row profiles and few column profiles,
# since near the centre they are small and far out they are smooth. With an orthonormal basis of the rows R (m, 128) and
# of the columns C (m, 128), a kernel is R^T core C, and a feature is <core, R image C^T>, with m between 30 and 70
# instead of 128. Pyramid and whitening are part of the kernels and cost nothing.

# What folding leaves out of a ring's kernels, relative to their norm. On scenes it changes the features of WhatWhere by
# 0.1 % of their standard deviation, those of Polo not beyond float32.
TOLERANCE = 3e-4


class Group(NamedTuple):
    """Kernels that share row and column profiles: kernel = rows^T core columns; rows, columns (m, field), core
    (n, m, m')."""

    rows: Tensor
    columns: Tensor
    core: Tensor


def _profiles(gram: Tensor, tolerance: float) -> Tensor:
    """Return the fewest leading eigenvectors (m, n) of a Gram matrix that leave out less than `tolerance`."""
    power, vectors = torch.linalg.eigh(gram)  # ascending
    left_out = power.clamp_min(0).cumsum(0)
    skip = int((left_out <= tolerance**2 * left_out[-1]).sum())
    return vectors[:, skip:].T.flip(0).contiguous()


def fold(kernels: Tensor, tolerance: float = TOLERANCE) -> Group:
    """Compress kernels (n, h, w), float64, to a shared basis of their rows and of their columns (Tucker).

    What is lost, relative to their norm, is at most sqrt(2) times `tolerance`.
    """
    rows = _profiles(torch.tensordot(kernels, kernels, ([0, 2], [0, 2])), tolerance)  # (m, h)
    columns = _profiles(torch.tensordot(kernels, kernels, ([0, 1], [0, 1])), tolerance)  # (m', w)
    return Group(rows, columns, rows @ kernels @ columns.T)


def _folded(settings: WhatWhere | Polo) -> Iterator[tuple[Group, Tensor, Tensor]]:
    """Yield the kernels of each ring, or of each level, which features they give, and what these are without an
    image, (n,)."""
    if isinstance(settings, WhatWhere):
        index = torch.arange(settings.n).view(settings.layout[0])
        for ring in range(settings.rings):
            filters = whatwhere_filters(settings, ring).flatten(0, 2)  # (n, h, w)
            group = fold(whiten(filters) if settings.whitening else filters)  # whitening is its own adjoint
            yield group, index[:, :, ring].flatten(), GREY * filters.sum((1, 2)) * settings.whitening
        return
    first = 0
    for part in settings.parts:
        filters = polo_filters(part).flatten(0, 2)  # (orientations x rings x azimuths, width, width)
        index = first + torch.arange(part.n).view(part.orientations, part.kept, part.rings, part.azimuths)
        axes = list(_levels(torch.eye(part.field, dtype=torch.float64)[None], part, "linear"))[: part.kept]
        for level, pair in enumerate(axes):  # a level's crop is P image P^T - Q image Q^T, of the last one P image P^T
            ps = [_central(axis, part.width, axes=1)[0].T for axis in pair if axis is not None]  # (width, field) each
            seen = torch.cat(ps)
            frame = _profiles(seen.T @ seen, 1e-7)  # (m, field): what the crop depends on, orthonormal
            p, *q = (each @ frame.T for each in ps)  # (width, m)
            kernels = p.T @ filters @ p  # (n, m, m), in the frame
            for each in q:
                kernels -= each.T @ filters @ each
            rows, columns, core = fold(kernels)
            yield Group(rows @ frame, columns @ frame, core), index[:, level].flatten(), torch.zeros(len(core))
        first += part.n


# ---- retinas --------------------------------------------------------------------------------------------------------

RIDGE = 1e-3  # singular values below this, relative to the largest, are damped in the inverse


class Retina:
    """A retina on a device: images (B, 1, field, field) to features (B, n). Use `build`, which keeps it.

    Args:
        form: "cores" (small products) or "matrix" (one product with n x field^2 numbers).
    """

    def __init__(self, settings: WhatWhere | Polo, device: str = "cpu", form: str = "cores"):
        self.settings, self.n, self.device = settings, settings.n, torch.device(device)
        self.form = choose("form", form, ("cores", "matrix"))
        groups, order, offset = zip(*_folded(settings), strict=True)
        to, order = {"device": self.device, "dtype": torch.float32}, torch.cat(order)
        self.groups = [Group(*(part.to(**to) for part in group)) for group in groups]
        self.sizes = [len(group.core) for group in groups]
        self.rank = order.argsort().to(self.device)  # (n,), where each feature is found among the groups'
        self.order = order.to(self.device)  # (n,), which feature each of the groups' is
        self.offset = torch.cat(offset)[order.argsort()].to(**to)  # (n,), what an image of zeros gives
        self.columns = torch.cat([group.columns for group in self.groups]).T.contiguous()  # (field, sum of m)

    @property
    def cells(self) -> Cells:
        """Geometry of its cells, see `cells`."""
        return cells(self.settings)

    def unflatten(self, features: Tensor) -> list[Tensor]:
        """Split features (B, n) into parts (B, *layout)."""
        layout = self.settings.layout
        parts = features.split([math.prod(shape) for shape in layout], 1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, layout, strict=True)]

    def steps(self, images: Tensor) -> Tensor:
        """Compute the features (B, n) by definition, in the images' precision."""
        self._check(images)
        parts = []
        if isinstance(self.settings, WhatWhere):
            seen = (whiten(images) + GREY if self.settings.whitening else images).flatten(1)  # (B, field^2)
            for ring in range(self.settings.rings):
                filters = whatwhere_filters(self.settings, ring).to(images)
                parts.append((seen @ filters.flatten(0, 2).flatten(1).T).unflatten(1, filters.shape[:3]))
            return torch.stack(parts, 3).flatten(1)  # (B, orientations, azimuths, rings, phases)
        for part in self.settings.parts:
            filters = polo_filters(part).to(images)  # (orientations, rings, azimuths, width, width)
            parts.append(torch.einsum("blij,orkij->bolrk", crops(images, part), filters).flatten(1))
        return torch.cat(parts, 1)

    def __call__(self, images: Tensor) -> Tensor:
        """Compute the features (B, n) of images (B, 1, field, field), folded; differentiable.

        Raises:
            ConfigurationError: images of another size.

        >>> build("polo768")(torch.zeros(2, 1, 128, 128)).shape
        torch.Size([2, 768])
        """
        self._check(images)
        if self.form == "matrix":
            return torch.addmm(self.offset, images.flatten(1), self.matrix.T)
        parts = (images[:, 0] @ self.columns).split([len(group.columns) for group in self.groups], 2)
        parts = [
            (group.rows @ part).flatten(1) @ group.core.flatten(1).T
            for group, part in zip(self.groups, parts, strict=True)
        ]
        return torch.cat(parts, 1)[:, self.rank] + self.offset

    def _check(self, images: Tensor) -> None:
        edge = self.settings.field
        if images.shape[1:] != (1, edge, edge):
            raise ConfigurationError(
                f"images of shape {tuple(images.shape)}: this retina needs (B, 1, {edge}, {edge})."
            )

    @cached_property
    @torch.inference_mode(False)
    def matrix(self) -> Tensor:
        """The folded map (n, field^2): features = images.flatten(1) @ matrix.T + offset."""
        kernels = [(group.rows.T @ group.core @ group.columns).flatten(1) for group in self.groups]
        return torch.cat(kernels)[self.rank]

    def kernel(self, feature: int) -> Tensor:
        """Return one full-field kernel (field, field), pyramid and whitening included."""
        place = int(self.rank[int(within("feature", feature, 0, self.n - 1, whole=True))])
        for rows, columns, core in self.groups:
            if place < len(core):
                return rows.T @ core[place] @ columns
            place -= len(core)

    def invert(self, features: Tensor) -> Tensor:
        """Return the images (B, 1, field, field) closest to grey that have these features (B, n), for display.

        The Moore-Penrose inverse of the whole map around the grey image, damped by `RIDGE`: what the features do not
        determine stays grey. (2021 inverted the filters, then the pyramid, whose levels are not orthogonal: as good for
        768 features, worse for the others.) The first call factors an (n, n) matrix: seconds for 2 880. In float64,
        because the order of float32 sums, which depends on the number of threads, would show in the pixels.
        """
        edge = self.settings.field
        grey = self(torch.full((1, 1, edge, edge), GREY, device=self.device))
        weights = torch.cholesky_solve((features - grey)[:, self.order].T.double(), self._factor).T  # (B, n)
        image = torch.zeros(len(features), edge, edge, device=self.device, dtype=torch.float64)
        for group, part in zip(self.groups, weights.split(self.sizes, 1), strict=True):
            rows, columns, core = (each.double() for each in group)
            image += rows.T @ torch.tensordot(part, core, 1) @ columns
        return (image + GREY).float()[:, None]

    def gram(self) -> Tensor:
        """Return the inner products (n, n) of all kernels, float64."""
        return self._gram()[self.rank][:, self.rank]

    def _gram(self) -> Tensor:
        """The same in the groups' order."""
        groups, blocks = [[each.double() for each in group] for group in self.groups], []
        for rows, columns, core in groups:
            line = []
            for their_rows, their_columns, their_core in groups:
                seen = (rows @ their_rows.T) @ their_core @ (their_columns @ columns.T)  # (n', m, m')
                line.append(core.flatten(1) @ seen.flatten(1).T)
            blocks.append(torch.cat(line, 1))
        return torch.cat(blocks)

    @cached_property
    def _factor(self) -> Tensor:
        """Cholesky factor (n, n), float64, of the damped inner products of all kernels, in the groups' order."""
        gram = self._gram()
        vector = torch.ones(self.n, 1, device=self.device, dtype=torch.float64)
        for _ in range(50):  # power iteration: the norm of vector becomes the largest squared singular value
            vector = gram @ (vector / vector.norm())
        gram.diagonal().add_(vector.norm() * RIDGE**2)
        return torch.linalg.cholesky(gram)


def build(retina: str | WhatWhere | Polo, device: str = "cpu", form: str | None = None) -> Retina:
    """Return the one retina of these settings, or of this name in `RETINAS`, on this device.

    Args:
        form: None takes "cores" on a CPU (a third to a half of the time of "matrix", one core, batches of 100), also
            where that pretends to be a GPU, else "matrix" (not measured: one large product should beat some thirty
            small kernels).

    Raises:
        ConfigurationError: an unknown name or form.
    """
    settings = RETINAS[choose("retina", retina, RETINAS)] if isinstance(retina, str) else retina
    on_cpu = torch.device(device).type == "cpu" or not torch.backends.cuda.is_built()
    return _built(settings, str(device), form or ("cores" if on_cpu else "matrix"))


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # kept: whoever builds it first, others may differentiate it
def _built(settings: WhatWhere | Polo, device: str, form: str) -> Retina:
    return Retina(settings, device, form)


# ---- geometry -------------------------------------------------------------------------------------------------------


class Cells(NamedTuple):
    """Geometry of the cells, float32 on the CPU.

    centres (n, 2), (row, column), in pixels; radius and azimuth (n,) around the level's centre, which pyramids move
    outwards: pixel 64 of the field, 64.5 and 65.5 for the second and third level at base 2; sigma (n,), pixels, of the
    round Gaussian with the same effective area as the energy of the cell's filters.
    """

    centres: Tensor
    radius: Tensor
    azimuth: Tensor
    sigma: Tensor


@lru_cache(maxsize=8)
def cells(settings: WhatWhere | Polo) -> Cells:
    """Return the cells of a retina; WhatWhere: (azimuth, ring); Polo: part after part, (level, ring, azimuth)."""
    rings = []
    if isinstance(settings, WhatWhere):
        for ring, radius in enumerate(settings.radii):
            sigma = _sigma(whatwhere_filters(replace(settings, azimuths=1), ring))
            rings.append(_cells(settings.azimuths, ring, radius, sigma, settings.field / 2))
        return Cells(*(torch.stack(column, 1).flatten(0, 1) for column in zip(*rings, strict=True)))
    for part in settings.parts:
        sigmas = [_sigma(filters) for filters in polo_filters(part)[:, :, :1].unbind(1)]
        for k, radius in enumerate(part.radii):
            level, ring = divmod(k, part.rings)
            scale = part.base**level
            middle = (part.sizes[level] // 2 + 0.5) * scale - 0.5
            rings.append(_cells(part.azimuths, ring, radius, scale * sigmas[ring], middle))
    return Cells(*(torch.cat(column) for column in zip(*rings, strict=True)))


def _sigma(filters: Tensor) -> float:
    """Return the footprint of a cell from all its filters (..., h, w); a Gaussian's effective area is 4 pi sigma^2."""
    energy = filters.square().flatten(0, -3).sum(0)
    return math.sqrt(float(energy.sum() ** 2 / energy.square().sum()) / (4 * math.pi))


def _cells(azimuths: int, ring: int, radius: float, sigma: float, middle: float) -> Cells:
    """Return the cells of one ring."""
    psi = (torch.arange(azimuths) + 0.5 * (ring % 2)) * (2 * math.pi / azimuths)
    radius, sigma = torch.full_like(psi, radius), torch.full_like(psi, sigma)
    return Cells(torch.stack((psi.cos(), psi.sin()), 1) * radius[:, None] + middle, radius, psi, sigma)
