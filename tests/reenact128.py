"""The 128x128 stimuli of 2021, one image at a time, re-enacted from the study: what the batched code is held to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lib.bench import texture_of_2021


def stimulus128(
    digit: np.ndarray,
    index: int,
    std: float,
    contrast: tuple[float, float] = (0.7, 0.7),
    radius: float | None = None,
    noise: float = 0.75,
    offset_max: float = 40,
    texture_of: Callable[[int, int], np.ndarray] = texture_of_2021,
) -> tuple[np.ndarray, tuple[int, int], float]:
    """Make one stimulus as in 2021 (study 2.2). Seeds NumPy's global generator, as the original did.

    Args:
        digit: uint8 (28, 28). contrast: uniform between the two, drawn only where they differ. texture_of: size, seed
            -> texture.

    Returns:
        Image float64 (128, 128) in [0, 1]; shift (down, right); contrast.
    """
    field = np.zeros((128, 128))
    field[50:78, 50:78] = digit
    np.random.seed(index)  # noqa: NPY002
    angle = np.random.uniform() * 2 * np.pi  # noqa: NPY002
    if radius is None:
        radius = min(np.abs(np.random.randn()) * std, offset_max)  # noqa: NPY002
    down, right = int(radius * np.cos(angle)), int(radius * np.sin(angle))
    moved = np.zeros_like(field)
    moved[max(0, down) : 128 + min(0, down), max(0, right) : 128 + min(0, right)] = field[
        max(0, -down) : 128 - max(0, down), max(0, -right) : 128 - max(0, right)
    ]
    low, high = contrast
    asked = np.random.uniform(low, high) if high > low else high  # noqa: NPY002
    moved = (moved - moved.min()) / (moved.max() - moved.min())
    moved = ((moved * 2 - 1) * asked + 1) / 2
    seed = hash(tuple(moved.flatten())) % (2**31 - 1)
    ground = (texture_of(128, seed) - 0.5) * noise + 0.5
    moved[moved <= 0.5] = -np.inf
    image = np.clip(np.maximum(moved, ground), 0, 1)
    image = (image - image.min()) / (image.max() - image.min())
    x, y = np.meshgrid(np.linspace(-1, 1, 128), np.linspace(-1, 1, 128))
    mask = x**2 + y**2 < 1
    return (image - 0.5) * mask + 0.5, (down, right), asked
