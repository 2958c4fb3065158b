"""Windows: how a few numbers become theta, and how an image is sampled through it.

Convention
    theta       (B, 2, 3), maps *output* to *input* coordinates, both (x, y) = (right, down) in [-1, 1], of which one
                unit is half the edge. A window moved by +d pixels needs a translation of +2 d / edge; the content then
                moves by -d.
    sampler     bilinear, align_corners=False; outside the image it returns `padding` (2021: 0, black; grey is 0.5)

Source: Jaderberg et al. 2015; study 1.4 and 3.7 for the parametrisations of 2021.
"""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import ConfigurationError, choose, within

# ---- theta ----------------------------------------------------------------------------------------------------------


class ThetaParametrisation:
    """How a few predicted numbers become theta. Training begins with the numbers `start`, whatever the input."""

    def __init__(self, start: tuple[float, ...]):
        self.start = start

    def matrix(self, numbers: Tensor) -> Tensor:
        """Map predicted numbers (B, n) to theta (B, 2, 3)."""
        raise NotImplementedError


class Affine(ThetaParametrisation):
    """Six free numbers, row by row; starts at the identity."""

    def __init__(self):
        super().__init__((1.0, 0.0, 0.0, 0.0, 1.0, 0.0))

    def matrix(self, numbers: Tensor) -> Tensor:
        return numbers.view(-1, 2, 3)


class Attention(ThetaParametrisation):
    """An axis-aligned window: (s, tx, ty), (sx, sy, tx, ty), or (tx, ty) alone (study 1.4 and 3.7).

    Args:
        scale: width of the first window, in widths of the image.
        constraint: "free": the predicted number is the scale, which may become negative. "positive": its softplus is.
            "fixed": the scale stays what it is at the start and only the translation is predicted.
        scales: 1, or 2 for one along each axis.

    Raises:
        ConfigurationError: a positive scale that starts at 0.
    """

    def __init__(self, scale: float, constraint: str = "free", scales: int = 1):
        within("scale_start", scale, 0, 10)
        choose("scale", constraint, ("free", "positive", "fixed"))
        choose("scales", scales, (1, 2))
        if constraint == "positive" and scale == 0:
            raise ConfigurationError("scale_start=0 must be above 0 with scale='positive'.")
        number = math.log(math.expm1(scale)) if constraint == "positive" else scale
        super().__init__((() if constraint == "fixed" else (float(number),) * scales) + (0.0, 0.0))
        self.scale, self.constraint, self.scales = scale, constraint, scales

    def matrix(self, numbers: Tensor) -> Tensor:
        *scales, x, y = numbers.unbind(1)
        if self.constraint == "fixed":
            scales = [torch.full_like(x, self.scale)]
        elif self.constraint == "positive":
            scales = [F.softplus(scale) for scale in scales]
        zero = torch.zeros_like(x)
        return torch.stack((scales[0], zero, x, zero, scales[-1], y), 1).view(-1, 2, 3)


# ---- sampler --------------------------------------------------------------------------------------------------------


def sample(image: Tensor, theta: Tensor, edge: int, padding: float = 0.0) -> Tensor:
    """Sample images (B, 1, h, w) through windows theta (B, 2, 3).

    Returns:
        (B, 1, edge, edge); the identity returns the image itself when edge = h = w. Outside the image: `padding`.

    >>> image = torch.arange(16.0).view(1, 1, 4, 4)
    >>> sample(image, torch.tensor([[[0.5, 0, 0.5], [0, 0.5, 0]]]), 2)  # the window of half the width, 1 pixel right
    tensor([[[[ 6.,  7.],
              [10., 11.]]]])
    """
    grid = F.affine_grid(theta, [len(theta), 1, edge, edge], align_corners=False)  # (B, edge, edge, 2)
    if padding == 0:
        return F.grid_sample(image, grid, align_corners=False)
    return F.grid_sample(image - padding, grid, align_corners=False) + padding


def sample_axes(image: Tensor, theta: Tensor, edge: int, padding: float = 0.0, antialias: bool = False) -> Tensor:
    """Sample images (B, 1, h, w) through axis-aligned windows theta (B, 2, 3), whose off-diagonal numbers are ignored.

    Along each axis every output pixel is a weighted sum of input pixels, so that a window is two small matrices:
    out = rows @ image @ columns^T. The weights are a triangle of half-width one pixel, which is bilinear interpolation:
    the result is that of `sample`. Matrix products only: deterministic, also backwards on a GPU.

    Args:
        padding: as in `sample`.
        antialias: widen the triangle to the step between output pixels where that is more than a pixel, so that every
            input pixel counts and none is skipped. Where it is less, nothing changes.

    Returns:
        (B, 1, edge, edge).
    """
    h, w = image.shape[-2:]
    rows = _axis(theta[:, 1, 1], theta[:, 1, 2], edge, h, antialias)  # (B, edge, h)
    columns = _axis(theta[:, 0, 0], theta[:, 0, 2], edge, w, antialias)  # (B, edge, w)
    return (rows @ (image[:, 0] - padding) @ columns.mT)[:, None] + padding


def _axis(scale: Tensor, translation: Tensor, edge: int, size: int, antialias: bool) -> Tensor:
    """Return the weights (B, edge, size) of `size` input pixels in `edge` output pixels, along one axis."""
    output = (2 * torch.arange(edge, device=scale.device, dtype=scale.dtype) + 1) / edge - 1  # (edge,), in [-1, 1]
    at = ((scale[:, None] * output + translation[:, None] + 1) * size - 1) / 2  # (B, edge), input pixels from 0
    distance = (at[:, :, None] - torch.arange(size, device=scale.device, dtype=scale.dtype)).abs()  # (B, edge, size)
    if not antialias:
        return (1 - distance).clamp_min(0)
    width = (scale.abs() * size / edge).clamp_min(1)[:, None]  # (B, 1), half of the triangle's base
    return (1 - distance / width[:, :, None]).clamp_min(0) / _mass(at, width)[:, :, None]


def _mass(at: Tensor, width: Tensor) -> Tensor:
    """Return the sum over all whole numbers j, of the image or beyond it, of a triangle: max(0, 1 - |at - j| / width).

    On either side the distances are d, d + 1, ..., as many as are below `width`. `width` is at least 1.
    """
    below = at - at.floor()
    total = torch.zeros_like(at)
    for d in (below, 1 - below):
        n = ((width - d).floor() + 1).detach()
        total = total + n - (n * d + n * (n - 1) / 2) / width
    return total


SAMPLERS = {"grid": sample, "axes": sample_axes, "antialias": partial(sample_axes, antialias=True)}
