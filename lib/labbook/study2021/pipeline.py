"""The stimuli of 2021, one image at a time, re-enacted from the study: what ours are held to.

NumPy's global generator is seeded with the index, as the data loader did; every image has a MotionClouds texture, for
which grids and envelope are computed anew.
"""

from __future__ import annotations

from collections.abc import Callable

import MotionClouds
import numpy as np
from PIL import Image


def texture(size: int, seed: int) -> np.ndarray:
    """Return a texture (size, size), float64 in [0, 1], made by the MotionClouds package alone (study 2.0)."""
    grids = MotionClouds.get_grids(size, size, 1)
    envelope = MotionClouds.envelope_gabor(*grids, sf_0=0.1, B_sf=0.1, B_theta=np.inf, V_X=0.0, V_Y=0.0, B_V=0.0)
    return MotionClouds.rectif(MotionClouds.random_cloud(envelope, seed=seed)).reshape(size, size)


def stimulus28(
    sample: Image.Image | np.ndarray,
    index: int,
    std: float,
    contrast: float | None = None,
    noise: float = 0.75,
    offset_max: int = 25,
    texture_of: Callable[[int, int], np.ndarray] = texture,
) -> tuple[np.ndarray, tuple[int, int], float | None]:
    """Make one stimulus as in 2021 (study 2.1). Seeds NumPy's global generator, as the original did.

    Args:
        sample: a digit (28, 28). std: of the shift, pixels. contrast: None draws U(0.3, 0.7). texture_of: size, seed ->
            texture.

    Returns:
        Image uint8 (28, 28); shift (down, right); contrast, None for a blank image without one given.
    """
    np.random.seed(index)  # noqa: NPY002
    down, right = (int(np.clip(np.random.randn() * std, -offset_max, offset_max)) for _ in range(2))  # noqa: NPY002
    image = _translated(np.array(sample), down, right).astype(float)
    if image.min() != image.max():
        if contrast is None:
            contrast = np.random.uniform(0.3, 0.7)  # noqa: NPY002
        image = (image - image.min()) / (image.max() - image.min())
        image = ((image * 2 - 1) * contrast + 1) / 2
    else:
        image = np.zeros_like(image)
    seed = hash(tuple(image.flatten())) % (2**31 - 1)
    ground = (texture_of(len(image), seed) - 0.5) * noise + 0.5
    image[image <= 0.5] = -np.inf
    image = np.clip(np.maximum(image, ground), 0, 1)
    return (image * 255).astype(np.uint8), (down, right), contrast


def _translated(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move an image (n, n) by less than n pixels within its frame; the rest is 0."""
    n = len(image)
    moved = np.zeros_like(image)
    moved[max(0, down) : n + min(0, down), max(0, right) : n + min(0, right)] = image[
        max(0, -down) : n - max(0, down), max(0, -right) : n - max(0, right)
    ]
    return moved


def stimulus128(
    digit: np.ndarray,
    index: int,
    std: float,
    contrast: tuple[float, float] = (0.7, 0.7),
    radius: float | None = None,
    noise: float = 0.75,
    offset_max: float = 40,
    texture_of: Callable[[int, int], np.ndarray] = texture,
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
