"""The explorer of log-polar coordinates: a scene beside the map that unrolls it, azimuth by azimuth."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from IPython.display import HTML
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from ..stimuli import FIELD
from . import explorers, tensors
from .figures import COLUMN, ORANGE, styled

RADII = (2.0, 60.0)  # eccentricities of the lower and the upper edge of the map, pixels
RINGS = (4, 8, 16, 32)  # eccentricities that are drawn, pixels: equally spaced in the map


def explorer(image: Tensor, caption: str = "") -> HTML:
    """Return the explorer of a scene (1, 1, 128, 128) in [0, 1], fixated at pixel (64, 64)."""
    scene = tensors.encode((image[0, 0] * 255).round(), "uint8", packed=True)
    alt = (
        f"Left: a scene with circles at {', '.join(map(str, RINGS))} pixels from the fixation. Right: the scene "
        "unrolled, azimuth to the right, the logarithm of eccentricity upwards; the circles are equidistant lines."
    )
    data = {"scene": scene, "radii": RADII, "rings": RINGS}
    return explorers.made("unroll", data, _still(image), alt, caption, ("tensors.js", "unroll.js"))


def unrolled(image: Tensor, columns: int = 240, rows: int = 120) -> Tensor:
    """Return the log-polar map (rows, columns) of a scene (1, 1, 128, 128): azimuth from straight down towards the
    right, the outermost row first; bilinear.

    >>> unrolled(torch.ones(1, 1, 128, 128)).shape
    torch.Size([120, 240])
    """
    least, most = RADII
    r = least * (most / least) ** (1 - (torch.arange(rows) + 0.5) / rows)
    psi = 2 * math.pi * (torch.arange(columns) + 0.5) / columns
    points = torch.stack((r[:, None] * psi.sin(), r[:, None] * psi.cos()), -1)[None]  # (x, y), pixels
    grid = (points + FIELD / 2 + 0.5) * 2 / FIELD - 1
    return F.grid_sample(image, grid, align_corners=False)[0, 0]


@styled
def _still(image: Tensor) -> Figure:
    figure, (field, plane) = plt.subplots(1, 2, figsize=(COLUMN, 3.3), width_ratios=(1, 1.1))
    field.imshow(image[0, 0].numpy(), vmin=0, vmax=1)
    field.axis("off")
    field.set_title("the scene", loc="center")
    plane.imshow(unrolled(image).numpy(), vmin=0, vmax=1, extent=(0, 360, *map(math.log, RADII)), aspect="auto")
    for ring in RINGS:
        field.add_patch(Circle((FIELD / 2,) * 2, ring, fill=False, ec="white", lw=0.7, alpha=0.7))
        plane.axhline(math.log(ring), color="white", lw=0.7, alpha=0.7)
    field.plot([FIELD / 2] * 2, [FIELD / 2, FIELD / 2 + RADII[1]], color=ORANGE, lw=2)
    plane.set_yticks([math.log(ring) for ring in RINGS], [f"{ring} px" for ring in RINGS])
    plane.set_xticks([0, 90, 180, 270], ["0°\ndown", "90°\nright", "180°\nup", "270°\nleft"])
    plane.grid(False)
    plane.set_title("unrolled", loc="center")
    return figure
