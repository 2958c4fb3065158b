"""Stimuli: a digit, shifted, at a given contrast, on a textured background (study, sections 2.1, 2.2 and 9).

Two laws: `Scene28`, a digit within its own frame, and `Scene128`, a digit in a round visual field.

Convention
    images      float32 (B, 1, 28, 28) or (B, 1, 128, 128) in [0, 1], grey is 0.5
    offsets     int64 (B, 2), pixels, (row, column) = (down, right) positive; applied to the digit
    contrast    float32 (B,) in (0, 1]: the digit's peak is 0.5 + contrast / 2, before the field is stretched
    noise       the background spans 0.5 +- noise / 2, before the field is stretched
    draws       "fresh": every call draws anew from a generator. "frozen": every draw is a function of the digit's
                index, shift and contrast those of 2021 (NumPy seeded with the index): a stage is a fixed set of images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import rng, textures
from .digits import Digits
from .errors import ConfigurationError, choose, shown, within

EDGE = 28  # of a digit, pixels
FAR = 28  # an offset from which nothing of a digit remains in a 28x28 frame
FIELD = 128  # edge of the visual field, pixels
MARGIN = (FIELD - EDGE) // 2  # 50: first row and column of an unshifted digit; also the largest offset in a field
ECCENTRICITIES = tuple(40 * k / 9 for k in range(1, 10))  # of the study, pixels: its stds and its radii
BLOCK = 100  # fields that are made at once on a CPU: fewer cost calls, more cost memory


class Stimuli(NamedTuple):
    """A batch: images (B, 1, h, w), labels (B,), offsets (B, 2) in pixels (row, column), contrast (B,)."""

    images: Tensor
    labels: Tensor
    offsets: Tensor
    contrast: Tensor

    def to(self, device: torch.device | str) -> Stimuli:
        """Return the same batch on `device`."""
        return Stimuli(*(column.to(device) for column in self))


# ---- laws -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StimulusConfig:
    """What the laws of stimuli share.

    Raises:
        ConfigurationError: a value outside the bounds that its field names.
    """

    std: float  # of the shift, pixels; truncated towards zero like 2021's int()
    contrast: tuple[float, float] = (0.3, 0.7)  # uniform between the two; equal for a fixed contrast
    noise: float = 0.75  # amplitude of the background
    offset_max: float = 0  # shifts end here, pixels
    draws: str = "fresh"  # or "frozen"
    texture: str = "cloud"  # one texture per image; "bank" reuses a few (fresh draws only, see `textures.bank`)

    edge: ClassVar[int]  # of the images before any cropping, pixels
    reach: ClassVar[int]  # largest value of offset_max, pixels

    def __post_init__(self):
        within("std", self.std, 0, 1000, "pixels")
        if not isinstance(self.contrast, tuple) or len(self.contrast) != 2:
            raise ConfigurationError(
                f"contrast={shown(self.contrast)} must be a pair (low, high); equal for a fixed contrast."
            )
        low, high = self.contrast
        within("contrast", low, 0.01, 1)
        within("contrast", high, 0.01, 1)
        if low > high:
            raise ConfigurationError(f"contrast={self.contrast!r} must run from low to high.")
        within("noise", self.noise, 0, 1)
        within("offset_max", self.offset_max, 0, self.reach, "pixels")
        choose("draws", self.draws, ("fresh", "frozen"))
        choose("texture", self.texture, ("cloud", "bank"))
        if (self.draws, self.texture) == ("frozen", "bank"):
            raise ConfigurationError("texture='bank' needs draws='fresh': a frozen stimulus has a texture of its own.")

    def fresh(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw `n` offsets (n, 2)."""
        raise NotImplementedError

    def frozen(self, index: Tensor, count: int, given: bool) -> tuple[Tensor, Tensor]:
        """Return 2021's offsets (B, 2), and its uniform draw for the contrast (B,), of digits `index` (B,) < `count`.

        Args:
            given: whether other offsets will be used, which changed the contrast of 2021.
        """
        raise NotImplementedError

    def render(self, ink: Tensor, offsets: Tensor, contrast: Tensor, texture: Tensor) -> Tensor:
        """Return images (B, 1, h, w) of uint8 digits (B, 28, 28) on textures (B, edge, edge) in [0, 1], read only."""
        raise NotImplementedError

    def paint(
        self,
        digits: Digits,
        rows: Tensor,
        offsets: Tensor,
        contrast: Tensor,
        key: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return images (B, 1, h, w) of the digits `rows` (B,) at offsets (B, 2) and contrasts (B,), on textures that
        are functions of keys (B,) where these are given, else drawn from the generator."""
        raise NotImplementedError


@dataclass(frozen=True)
class Scene28(StimulusConfig):
    """The law of 28x28 stimuli: a digit shifted within its own frame, along each axis by itself (study 2.1)."""

    std: float = 15.0
    offset_max: int = 25  # shifts are clipped to +- this, pixels

    edge = EDGE
    reach = FAR

    def fresh(self, n: int, generator: torch.Generator) -> Tensor:
        return self._clipped(torch.randn(n, 2, generator=generator, device=generator.device))

    def frozen(self, index: Tensor, count: int, given: bool) -> tuple[Tensor, Tensor]:
        normal, third, first = _resident(draws_of_2021, count, str(index.device))
        return self._clipped(normal[index]), (first if given else third)[index]

    def render(self, ink: Tensor, offsets: Tensor, contrast: Tensor, texture: Tensor) -> Tensor:
        return compose(shift(ink, offsets), contrast, texture, self.noise)

    def paint(self, digits, rows, offsets, contrast, key, generator):
        return _frames(digits.images[rows], offsets, contrast, self, key, generator)

    def _clipped(self, normal: Tensor) -> Tensor:
        return (normal * self.std).clamp_(-self.offset_max, self.offset_max).to(torch.int64)  # truncates towards zero


@dataclass(frozen=True)
class Scene128(StimulusConfig):
    """The law of 128x128 stimuli: a digit at a random angle and distance in a round visual field (study 2.2).

    The distance is min(|N(0, 1)| std, offset_max), or `radius` where that is given.
    """

    std: float = 40.0
    offset_max: float = 40.0  # distances beyond it become equal to it, pixels
    radius: float | None = None  # distance of every digit from the centre, pixels; std then has no effect
    view: str = "field"  # only 28x28 pixels: "oracle", around the digit, a perfect fixation; "centre", of the field

    edge = FIELD
    reach = MARGIN

    def __post_init__(self):
        super().__post_init__()
        if self.radius is not None:
            within("radius", self.radius, 0, self.reach, "pixels")
        choose("view", self.view, ("field", "oracle", "centre"))

    def fresh(self, n: int, generator: torch.Generator) -> Tensor:
        angle = torch.rand(n, generator=generator, device=generator.device) * (2 * math.pi)
        direction = torch.stack((angle.cos(), angle.sin()), 1)  # (n, 2), (row, column)
        normal = None if self.radius is not None else torch.randn(n, generator=generator, device=generator.device)
        return self._truncated(direction, normal)

    def frozen(self, index: Tensor, count: int, given: bool) -> tuple[Tensor, Tensor]:
        direction, normal, third, second = _resident(polar_draws_of_2021, count, str(index.device))
        uniform = second if self.radius is not None else third
        return self._truncated(direction[index], normal[index]), uniform[index]

    def render(self, ink: Tensor, offsets: Tensor, contrast: Tensor, texture: Tensor) -> Tensor:
        images = self.compose(ink, offsets, contrast, texture - 0.5)
        return self.cut(images, offsets)

    def compose(self, ink: Tensor, offsets: Tensor, contrast: Tensor, texture: Tensor) -> Tensor:
        """Return `compose_field` of them."""
        return compose_field(ink, offsets, contrast, texture, self.noise)

    def paint(self, digits, rows, offsets, contrast, key, generator):
        return _fields(digits.images[rows], offsets, contrast, self, key, generator)

    def cut(self, images: Tensor, offsets: Tensor) -> Tensor:
        """Return what the view shows of fields (B, 1, 128, 128) with digits at offsets (B, 2)."""
        if self.view == "field":
            return images
        return crops(images, offsets if self.view == "oracle" else torch.zeros_like(offsets))

    def _truncated(self, direction: Tensor, normal: Tensor | None) -> Tensor:
        """Return offsets (B, 2) along unit vectors (B, 2), truncated towards zero."""
        if self.radius is not None:
            return (direction * self.radius).to(torch.int64)
        return (direction * (normal.abs() * self.std).clamp_(max=self.offset_max)[:, None]).to(torch.int64)


# ---- stimuli --------------------------------------------------------------------------------------------------------


def draw(
    digits: Digits,
    rows: Tensor,
    scene: StimulusConfig,
    generator: torch.Generator | None = None,
    offsets: Tensor | None = None,
) -> Stimuli:
    """Draw one stimulus for each of `rows` (B,), positions in `digits`.

    A batch of 100 fields of 128x128 pixels is 6.6 MB. Peak memory while it is drawn on a CPU, with the batch itself:
    20 MB from clouds, 12 MB from the bank (which takes 133 MB of its own), 17 MB frozen.

    Args:
        generator: source of every fresh draw, on the digits' device; frozen scenes need none.
        offsets: (B, 2) to use instead of drawn shifts.

    Raises:
        ConfigurationError: fresh stimuli without a generator; offsets by which a digit would leave the field.
    """
    if offsets is not None and scene.edge > EDGE and int(offsets.abs().max()) > scene.reach:
        raise ConfigurationError(
            f"An offset of {int(offsets.abs().max())} pixels leaves the field; {scene.reach} is the most."
        )
    key = None
    if scene.draws == "frozen":
        index = rows + digits.first
        drawn, uniform = scene.frozen(index, digits.first + len(digits), offsets is not None)
        offsets = drawn if offsets is None else offsets
        key = rng.hash_key(index, offsets[:, 0], offsets[:, 1])
        if digits.part:  # 2021: equal indices share shift and contrast, but not the texture
            key = rng.mix(key + digits.part)
    elif generator is None:
        raise ConfigurationError("Fresh stimuli need a generator.")
    else:
        offsets = scene.fresh(len(rows), generator) if offsets is None else offsets
        uniform = torch.rand(len(rows), generator=generator, device=generator.device)
    low, high = scene.contrast
    contrast = uniform.to(torch.float32) * (high - low) + low
    images = scene.paint(digits, rows, offsets, contrast, key, generator)
    return Stimuli(images, digits.labels[rows], offsets, contrast)


class CachedStimuli:
    """All stimuli of a frozen scene, painted once: `album(rows)` is `draw(digits, rows, scene)`, a look-up.

    Args:
        digits: the digits; an image of each is kept on their device, 4 bytes a pixel.
    """

    def __init__(self, digits: Digits, scene: StimulusConfig):
        self.scene, images, columns = scene, None, []
        for rows in torch.arange(len(digits), device=digits.labels.device).split(10 * BLOCK):
            part = draw(digits, rows, scene)
            if images is None:
                images = part.images.new_empty((len(digits), *part.images.shape[1:]))
            images[rows] = part.images
            columns.append(part[1:])
        self.stimuli = Stimuli(images, *map(torch.cat, zip(*columns, strict=True)))

    def __call__(self, rows: Tensor) -> Stimuli:
        return Stimuli(*(column[rows] for column in self.stimuli))


def _frames(
    ink: Tensor, offsets: Tensor, contrast: Tensor, scene: Scene28, key: Tensor | None, generator: torch.Generator
) -> Tensor:
    """Paint digits (B, 28, 28) into frames of their own: (B, 1, 28, 28)."""
    ink = shift(ink, offsets)  # (B, 28, 28)
    if key is not None:
        key = torch.where(ink.flatten(1).amax(1) > 0, key, 0)  # 2021: all blank images are one and the same image
        texture = textures.keyed(key, EDGE)
    elif scene.texture == "bank":
        texture = textures.bank(EDGE, str(ink.device)).draw(len(ink), generator)
    else:
        texture = textures.draw(len(ink), EDGE, generator)
    return compose(ink, contrast, texture, scene.noise)


def _fields(
    ink: Tensor, offsets: Tensor, contrast: Tensor, scene: Scene128, key: Tensor | None, generator: torch.Generator
) -> Tensor:
    """Paint digits (B, 28, 28) into visual fields: (B, 1, 128, 128), or (B, 1, 28, 28) if the view is a part."""
    block = len(ink) if ink.device.type == "cuda" else BLOCK // 4 if key is not None else BLOCK
    if len(ink) > block:
        parts = [slice(start, start + block) for start in range(0, len(ink), block)]
        keys = [None if key is None else key[part] for part in parts]
        return torch.cat(
            [
                _fields(ink[part], offsets[part], contrast[part], scene, each, generator)
                for part, each in zip(parts, keys, strict=True)
            ]
        )
    if key is not None:
        texture = textures.keyed(key, scene.edge).sub_(0.5)
    elif scene.texture == "bank":
        texture = textures.bank(scene.edge, str(ink.device)).draw(len(ink), generator).sub_(0.5)
    else:
        texture = textures.fields(len(ink), scene.edge, generator)
    images = scene.compose(ink, offsets, contrast, texture)
    return scene.cut(images, offsets)


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


def compose_field(
    ink: Tensor, offsets: Tensor, contrast: Tensor, texture: Tensor, noise: float, spread: float | None = None
) -> Tensor:
    """Lay digits (B, 28, 28) uint8, moved by offsets (B, 2), over textures (B, h, h), which are overwritten.

    Contrast, transparency and the brighter of two as in `compose`, without quantisation. Then each field is stretched
    to [0, 1] by its own extremes, so that only contrast / noise matters, and is grey (0.5) outside a disc.

    Since the field is stretched at the end, all is done in the texture's own unit, and only the digit's window is
    composed: two looks for extremes and five passes over the field.

    Args:
        texture: about a mean of 0, in any unit: its largest magnitude stands for noise / 2.
        spread: or so many standard deviations of it do.

    Returns:
        (B, 1, h, h) float32 in [0, 1], the memory of `texture`.
    """
    edge = texture.shape[-1]
    flat = texture.view(len(ink), -1)  # (B, 16384)
    if noise < 1e-6:  # none; its inverse might not be finite
        flat.zero_()
        unit = torch.ones_like(contrast)
    else:
        largest = torch.maximum(-flat.amin(1), flat.amax(1)) if spread is None else spread * flat.std(1)
        unit = largest / noise  # of the texture, per 0.5 of grey
    brightest = ink.flatten(1).amax(1).to(torch.float32)  # the darkest is 0, the field around the digit
    gain = contrast * unit / brightest.clamp_min(1)
    level = ink.flatten(1).to(torch.float32).mul_(2).sub_(brightest[:, None]).mul_(gain[:, None])  # (B, 784); grey is 0
    index = _window(str(ink.device), edge) + (offsets[:, 0] * edge + offsets[:, 1])[:, None]  # (B, 784)
    behind = flat.gather(1, index)
    flat.scatter_(1, index, torch.where(level > 0, torch.maximum(level, behind), behind))
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    flat.sub_(low).div_((high - low).clamp_min_(1e-30))
    flat.sub_(0.5).mul_(disc(str(ink.device), edge).view(-1)).add_(0.5)
    return texture.view(-1, 1, edge, edge)


def crops(images: Tensor, offsets: Tensor) -> Tensor:
    """Cut the 28x28 pixels around digits at offsets (B, 2) out of square fields (B, 1, h, h): (B, 1, 28, 28)."""
    edge = images.shape[-1]
    index = _window(str(images.device), edge) + (offsets[:, 0] * edge + offsets[:, 1])[:, None]  # (B, 784)
    return images.flatten(1).gather(1, index).view(-1, 1, EDGE, EDGE)


def window(offsets: Tensor, edge: int = FIELD) -> Tensor:
    """Return theta (B, 2, 3) of the windows that `crops` cuts at offsets (B, 2) of fields of `edge` pixels, a sample
    per pixel (see `sampler`)."""
    scale = torch.eye(2, device=offsets.device).expand(len(offsets), 2, 2) * (EDGE / edge)
    return torch.cat((scale, (offsets.flip(1) * 2 / edge)[:, :, None]), 2)


def fixations(theta: Tensor, edge: int) -> Tensor:
    """Return the centres (N, 2) of windows theta (N, 2, 3), (row, column), pixels from the middle of `edge` pixels."""
    return theta[:, :, 2].flip(1) * edge / 2


@lru_cache(maxsize=16)
def _window(device: str, edge: int = FIELD) -> Tensor:
    """Return the positions (784,) of an unshifted digit's pixels in a flattened field of `edge` pixels."""
    axis = torch.arange((edge - EDGE) // 2, (edge + EDGE) // 2, device=device)
    return (axis[:, None] * edge + axis).flatten()


@lru_cache(maxsize=4)
def disc(device: str = "cpu", edge: int = FIELD) -> Tensor:
    """Return the visual field (edge, edge), 1 inside and 0 outside: R < 1 on a grid of as many points from -1 to 1."""
    odd = 2 * torch.arange(edge, device=device) - (edge - 1)  # of 128: -127, -125, ..., 127
    return (odd[:, None].square() + odd.square() < (edge - 1) ** 2).to(torch.float32)


# ---- what NumPy drew in 2021 ----------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _resident(draws: Callable[[int], tuple[Tensor, ...]], count: int, device: str) -> tuple[Tensor, ...]:
    """Return the draws of so many digits, kept on a device."""
    return tuple(part.to(device) for part in draws(count))


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


@lru_cache(maxsize=4)
def polar_draws_of_2021(count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what NumPy draws after `seed(index)` for a 128x128 stimulus, index 0..count-1 (study 2.2 and oddity 1).

    Returns:
        (count, 2) float64 cosine and sine (row, column) of the angle, the first draw; (count,) the normal draw after
        it, for the distance; (count,) the uniform draw after both, for the contrast; (count,) the uniform draw that
        comes second when the distance is given.
    """
    state = np.random.RandomState()
    table = np.empty((count, 4))
    for index in range(count):
        state.seed(index)
        table[index] = state.random_sample(), state.standard_normal(), state.random_sample(), 0
        state.seed(index)
        table[index, 3] = state.random_sample(2)[1]
    angle = table[:, 0] * 2 * np.pi
    direction = torch.from_numpy(np.stack((np.cos(angle), np.sin(angle)), 1))
    return direction, *torch.from_numpy(table[:, 1:]).unbind(1)
