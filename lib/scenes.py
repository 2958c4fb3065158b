"""Stimuli: a digit, shifted, at a given contrast, on a textured background (study, sections 2.1 and 9).

Convention
    images      float32 (B, 1, 28, 28) in [0, 1], grey is 0.5
    offsets     int64 (B, 2), pixels, (row, column) = (down, right) positive; applied to the digit
    contrast    float32 (B,) in (0, 1]: the digit's peak is 0.5 + contrast / 2
    noise       the background spans 0.5 +- noise / 2
    draws       "fresh": every call draws anew from a generator. "frozen": every draw is a function of the digit's
                index, shift and contrast those of 2021 (NumPy seeded with the index): a stage is a fixed set of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import chance, clouds
from .digits import Digits
from .refusal import Refusal, choose, within

EDGE = 28  # of a digit, pixels
FAR = 28  # an offset from which nothing of a digit remains in a 28x28 frame


class Stimuli(NamedTuple):
    """A batch: images (B, 1, 28, 28), labels (B,), offsets (B, 2) in pixels (row, column), contrast (B,)."""

    images: Tensor
    labels: Tensor
    offsets: Tensor
    contrast: Tensor


@dataclass(frozen=True)
class Scene28:
    """The law of 28x28 stimuli: a digit shifted within its own frame (study 2.1).

    Raises:
        Refusal: a value outside the bounds that its field names.
    """

    std: float = 15.0  # of the shift along each axis, pixels; truncated towards zero like 2021's int()
    contrast: tuple[float, float] = (0.3, 0.7)  # uniform between the two; equal for a fixed contrast
    noise: float = 0.75  # amplitude of the background
    offset_max: int = 25  # shifts are clipped to +- this, pixels
    draws: str = "fresh"  # or "frozen"
    texture: str = "cloud"  # one texture per image; "bank" reuses 4 096 of them (fresh draws only)

    def __post_init__(self):
        within("std", self.std, 0, 1000, "pixels")
        low, high = self.contrast
        within("contrast", low, 0.01, 1)
        within("contrast", high, 0.01, 1)
        if low > high:
            raise Refusal(f"contrast={self.contrast!r} must run from low to high.")
        within("noise", self.noise, 0, 1)
        within("offset_max", self.offset_max, 0, FAR, "pixels")
        choose("draws", self.draws, ("fresh", "frozen"))
        choose("texture", self.texture, ("cloud", "bank"))
        if (self.draws, self.texture) == ("frozen", "bank"):
            raise Refusal("texture='bank' needs draws='fresh': a frozen stimulus has a texture of its own.")


def draw(
    digits: Digits,
    rows: Tensor,
    scene: Scene28,
    generator: torch.Generator | None = None,
    offsets: Tensor | None = None,
) -> Stimuli:
    """Draw one stimulus for each of `rows` (B,), positions in `digits`.

    Args:
        generator: source of every fresh draw, on the digits' device; frozen scenes need none.
        offsets: (B, 2) to use instead of drawn shifts.
    """
    draws = (
        _frozen(digits, rows, scene, offsets)
        if scene.draws == "frozen"
        else _fresh(len(rows), scene, generator, offsets)
    )
    offsets, contrast, key = draws
    ink = shift(digits.images[rows], offsets)  # (B, 28, 28)
    if key is not None:
        key = torch.where(ink.flatten(1).amax(1) > 0, key, 0)  # 2021: all blank images are one and the same image
        texture = clouds.keyed(key, EDGE)
    elif scene.texture == "bank":
        texture = clouds.bank(EDGE, str(ink.device)).draw(len(rows), generator)
    else:
        texture = clouds.draw(len(rows), EDGE, generator)
    return Stimuli(compose(ink, contrast, texture, scene.noise), digits.labels[rows], offsets, contrast)


def shift(images: Tensor, offsets: Tensor) -> Tensor:
    """Translate uint8 images (B, 28, 28) by offsets (B, 2) within their frame; what leaves it is lost, the rest is
    0."""
    padded = torch.nn.functional.pad(images, (FAR,) * 4)  # (B, 84, 84)
    width = padded.shape[-1]
    start = FAR - offsets.clamp(-FAR, FAR)  # (B, 2)
    axis = torch.arange(EDGE, device=images.device)
    batch = torch.arange(len(images), device=images.device) * width * width
    index = (batch + start[:, 0] * width + start[:, 1])[:, None, None] + axis[:, None] * width + axis
    return padded.view(-1)[index]


def compose(ink: Tensor, contrast: Tensor, texture: Tensor, noise: float) -> Tensor:
    """Lay shifted digits (B, h, w) uint8 over textures (B, h, w) in [0, 1], both read only.

    Each digit is stretched to [0, 1] by its own extremes *after* the shift, brought to 0.5 + contrast (x - 0.5),
    transparent up to 0.5; the brighter of digit and background wins; the sum is quantised to 8 bits, downwards.

    Returns:
        (B, 1, h, w) float32 in [0, 1].
    """
    low, high = (extreme.to(torch.float32) for extreme in torch.aminmax(ink.flatten(1), dim=1))
    span = (high - low).clamp_min_(1e-6)  # a blank image has ink - low = 0 everywhere, hence stays transparent
    gain = contrast / span
    level = torch.addcmul((0.5 - 0.5 * contrast - low * gain)[:, None, None], ink, gain[:, None, None])
    ground = texture.mul(noise).add_(0.5 - 0.5 * noise)
    image = torch.where(level > 0.5, torch.maximum(level, ground), ground)
    return image.mul_(255).clamp_(0, 255).to(torch.uint8).to(torch.float32).mul_(1 / 255)[:, None]


def _fresh(n: int, scene: Scene28, generator: torch.Generator | None, offsets: Tensor | None):
    if generator is None:
        raise Refusal("Fresh stimuli need a generator.")
    device = generator.device
    if offsets is None:
        offsets = _clipped(torch.randn(n, 2, generator=generator, device=device), scene)
    uniform = torch.rand(n, generator=generator, device=device)
    return offsets, _contrast(uniform, scene), None


def _frozen(digits: Digits, rows: Tensor, scene: Scene28, offsets: Tensor | None):
    normal, third, first = (part.to(rows.device) for part in draws_of_2021(digits.first + len(digits)))
    index = rows + digits.first
    given = offsets is not None
    if not given:
        offsets = _clipped(normal[index], scene)
    contrast = _contrast((first if given else third)[index].to(torch.float32), scene)
    return offsets, contrast, chance.key_of(index, offsets[:, 0], offsets[:, 1])


def _clipped(normal: Tensor, scene: Scene28) -> Tensor:
    return (normal * scene.std).clamp_(-scene.offset_max, scene.offset_max).to(torch.int64)  # truncates towards zero


def _contrast(uniform: Tensor, scene: Scene28) -> Tensor:
    low, high = scene.contrast
    return uniform * (high - low) + low


@lru_cache(maxsize=4)
def draws_of_2021(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return what NumPy draws after `seed(index)`, for index 0..count-1 (study 2.1 and oddity 1).

    Returns:
        (count, 2) float64 normal draws for the shift (row, column); (count,) the uniform draw after them, for the
        contrast; (count,) the uniform draw that comes first when the shift is given.
    """
    state = np.random.RandomState()
    table = np.empty((count, 4))
    for index in range(count):
        state.seed(index)
        table[index] = *state.standard_normal(2), state.random_sample(), 0
        state.seed(index)
        table[index, 3] = state.random_sample()
    table = torch.from_numpy(table)
    return table[:, :2], table[:, 2], table[:, 3]
