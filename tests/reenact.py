"""The stimuli of 2021, one image at a time, re-enacted from the study: what the batched code is held to."""

from __future__ import annotations

import MotionClouds
import numpy as np


def texture(size: int, seed: int) -> np.ndarray:
    """A MotionClouds texture by the package alone (study 2.0): (size, size) float64 in [0, 1]."""
    grids = MotionClouds.get_grids(size, size, 1)
    envelope = MotionClouds.envelope_gabor(*grids, sf_0=0.1, B_sf=0.1, B_theta=np.inf, V_X=0.0, V_Y=0.0, B_V=0.0)
    return MotionClouds.rectif(MotionClouds.random_cloud(envelope, seed=seed)).reshape(size, size)


def translate(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move an image within its frame, filled with 0."""
    out = np.zeros_like(image)
    rows, columns = image.shape
    for i in range(rows):
        for j in range(columns):
            if 0 <= i - down < rows and 0 <= j - right < columns:
                out[i, j] = image[i - down, j - right]
    return out


def stimulus28(digit: np.ndarray, index: int, std: float, contrast=None, noise: float = 0.75, texture_of=texture):
    """Study 2.1 for one digit: returns image uint8 (28, 28), (down, right), contrast."""
    np.random.seed(index)  # noqa: NPY002 - the study's own generator
    down, right = (int(np.clip(np.random.randn() * std, -25, 25)) for _ in range(2))  # noqa: NPY002
    moved = translate(digit, down, right).astype(float)
    if moved.min() != moved.max():
        if contrast is None:
            contrast = np.random.uniform(0.3, 0.7)  # noqa: NPY002
        moved = (moved - moved.min()) / (moved.max() - moved.min())
        moved = ((moved * 2 - 1) * contrast + 1) / 2
    else:
        moved = np.zeros_like(moved)
    seed = hash(tuple(moved.flatten())) % (2**31 - 1)
    ground = (texture_of(28, seed) - 0.5) * noise + 0.5
    moved[moved <= 0.5] = -np.inf
    image = np.clip(np.maximum(moved, ground), 0, 1)
    return (image * 255).astype(np.uint8), (down, right), contrast
