"""How the samplers of a window compare: what each lets through of what its samples cannot show, and how long it takes.

The limit of a window that is `scale` of the field wide, on 28 samples, is half a cycle per step: 28 / (2 scale 128)
cycles per pixel, 0.109 at scale 1. Faster gratings should vanish; what is left of them is aliasing, a slow pattern that
is not in the scene.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import rng
from ..errors import choose
from ..sampler import SAMPLERS
from ..stimuli import EDGE, FIELD
from . import bench


def window(scale: float, n: int = 1) -> Tensor:
    """Return the theta (n, 2, 3) of a central window, `scale` of the field wide."""
    return torch.tensor([[scale, 0.0, 0.0], [0.0, scale, 0.0]]).expand(n, 2, 3)


def through(sampler: str, image: Tensor, theta: Tensor) -> Tensor:
    """Return what a sampler of `sampler.SAMPLERS` sees (B, 1, 28, 28) of images (B, 1, 128, 128), grey beyond them."""
    return SAMPLERS[choose("sampler", sampler, SAMPLERS)](image, theta, EDGE, 0.5)


def left(sampler: str, scale: float, frequency: float, phases: int = 8) -> float:
    """Return the contrast that is left of a grating, 0 to about 1, mean over phases; the window's border is left out.

    Args:
        frequency: cycles per pixel of the field.
    """
    x = torch.arange(FIELD, dtype=torch.float32)
    shift = 2 * math.pi * torch.arange(phases)[:, None] / phases
    gratings = 0.5 + 0.5 * torch.cos(2 * math.pi * frequency * x + shift)  # (phases, 128)
    image = gratings[:, None, None].expand(phases, 1, FIELD, FIELD)
    seen = through(sampler, image, window(scale, phases))[..., 4:-4, 4:-4]
    return (seen.std((1, 2, 3)).square().mean().sqrt() / image.std()).item()


def seconds(rounds: int = 5, batch: int = bench.BATCH) -> dict[str, float]:
    """Return the processor time of each sampler, forward and backward, per image; measured in turn, the median counts.

    The window is 0.2 of the field wide, its gradient that of theta, as in training.
    """
    image = torch.rand(batch, 1, FIELD, FIELD, generator=rng.generator("bench"))
    theta = window(0.2, batch).clone().requires_grad_()

    def work(sampler: str):
        def once() -> None:
            theta.grad = None
            through(sampler, image, theta).sum().backward()

        return once

    return bench.interleaved({sampler: (work(sampler), batch) for sampler in SAMPLERS}, rounds)
