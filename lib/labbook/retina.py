"""Log-polar retinas: fixed linear maps from a scene to the features of `filters`, same Convention.

A retina is defined step by step (`Retina.steps`) and computed folded (`Retina.__call__`): pyramid, whitening and
filters are one linear map, of low rank ring by ring.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import ConfigurationError, choose
from .filters import (
    RETINAS,
    Polo,
    WhatWhere,
    central,
    crops,
    polo_filters,
    pyramid_levels,
    whatwhere_filters,
    whiten,
)
from .stimuli import EDGE, GREY, cut


def recentred(images: Tensor, fixations: Tensor) -> Tensor:
    """Return fields (B, 1, h, h) centred on fixations (B, 2), grey beyond the old ones: the input after a saccade."""
    edge = images.shape[-1]
    margin = (edge - EDGE) // 2  # fixations go no further
    padded = F.pad(images[:, 0], (margin,) * 4, value=GREY)  # of 128 pixels: (B, 228, 228)
    return cut(padded, margin + fixations.clamp(-margin, margin), edge)[:, None]


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
        axes = list(pyramid_levels(torch.eye(part.field, dtype=torch.float64)[None], part, "linear"))[: part.kept]
        for level, pair in enumerate(axes):  # a level's crop is P image P^T - Q image Q^T, of the last one P image P^T
            ps = [central(axis, part.width, axes=1)[0].T for axis in pair if axis is not None]  # (width, field) each
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


def settings_of(retina: str | WhatWhere | Polo) -> WhatWhere | Polo:
    """Return the settings of a name in `RETINAS`; settings as they are.

    Raises:
        ConfigurationError: an unknown name.
    """
    return retina if isinstance(retina, WhatWhere | Polo) else RETINAS[choose("retina", retina, RETINAS)]


def build(retina: str | WhatWhere | Polo, device: str = "cpu", form: str | None = None) -> Retina:
    """Return the one retina of these settings, or of this name in `RETINAS`, on this device.

    Args:
        form: None takes "cores" on a CPU (a third to a half of the time of "matrix", one core, batches of 100), also
            where that pretends to be a GPU, else "matrix" (not measured: one large product should beat some thirty
            small kernels).

    Raises:
        ConfigurationError: an unknown name or form.
    """
    settings = settings_of(retina)
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
