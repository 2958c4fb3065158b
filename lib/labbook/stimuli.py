"""Stimuli: a digit, shifted, at a given contrast, on a textured background (study, sections 2.1, 2.2 and 9).

Two distributions: `Scene28`, a digit within its own frame, and `Scene128`, a digit in a round visual field.

Convention
    images      float32 (B, 1, 28, 28) or (B, 1, 128, 128) in [0, 1], grey is 0.5
    ink         uint8 (B, 28, 28), the digits themselves
    offsets     int64 (B, 2), pixels, (row, column) = (down, right) positive; applied to the digit
    contrast    float32 (B,) in (0, 1]: the digit's peak is 0.5 + contrast / 2, before the field is stretched
    noise       the background spans 0.5 +- noise / 2, before the field is stretched
    draws       "fresh": every call draws anew from a generator. "frozen": every draw is a function of the digit's
                index, shift and contrast those of 2021 (NumPy seeded with the index): a stage is a fixed set of images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from . import rng, textures
from .digits import Digits
from .errors import ConfigurationError, check, shown, within

GREY = 0.5  # the mean of textures and fields
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


# ---- distributions --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StimulusConfig:
    """What the distributions of stimuli share.

    Raises:
        ConfigurationError: a value outside what its field declares.
    """

    std: Annotated[float, 0, 1000, "pixels"]  # of the shift; truncated towards zero like 2021's int()
    contrast: tuple[float, float] = (0.3, 0.7)  # uniform between the two, 0.01 to 1; equal for a fixed contrast
    noise: Annotated[float, 0, 1] = 0.75  # amplitude of the background
    offset_max: float = 0  # shifts end here, pixels, 0 to `reach`
    draws: Literal["fresh", "frozen"] = "fresh"
    texture: Literal["cloud", "bank"] = "cloud"  # one per image; or a few, reused (fresh draws only, `textures.bank`)

    edge: ClassVar[int]  # of the images before any cropping, pixels
    reach: ClassVar[int]  # largest value of offset_max, pixels

    def __post_init__(self):
        check(self)
        within("offset_max", self.offset_max, 0, self.reach, "pixels")
        if not isinstance(self.contrast, tuple) or len(self.contrast) != 2:
            raise ConfigurationError(
                f"contrast={shown(self.contrast)} must be a pair (low, high); equal for a fixed contrast."
            )
        low, high = (within("contrast", each, 0.01, 1) for each in self.contrast)
        if low > high:
            raise ConfigurationError(f"contrast={self.contrast!r} must run from low to high.")
        if (self.draws, self.texture) == ("frozen", "bank"):
            raise ConfigurationError("texture='bank' needs draws='fresh': a frozen stimulus has a texture of its own.")

    # ---- what each distribution defines ----

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
        """Return images (B, 1, h, w) of digits on textures (B, edge, edge) in [0, 1], read only."""
        raise NotImplementedError

    def paint(self, digits: Digits, rows: Tensor, offsets: Tensor, contrast: Tensor, key, generator) -> Tensor:
        """Return images (B, 1, h, w) of the digits `rows` (B,) on textures that are functions of keys (B,) where these
        are given, else drawn from the generator."""
        raise NotImplementedError

    def _textures(self, n: int, key: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Return new textures (n, edge, edge) in [0, 1]."""
        if key is not None:
            return textures.keyed(key, self.edge)
        if self.texture == "bank":
            return textures.bank(self.edge, str(generator.device)).draw(n, generator)
        return textures.draw(n, self.edge, generator)


@dataclass(frozen=True)
class Scene28(StimulusConfig):
    """A digit shifted within its own 28x28 frame, along each axis by itself (study 2.1)."""

    std: Annotated[float, 0, 1000, "pixels"] = 15.0
    offset_max: int = 25  # shifts are clipped to +- this, pixels

    edge = EDGE
    reach = FAR

    def fresh(self, n: int, generator: torch.Generator) -> Tensor:
        return self._clipped(torch.randn(n, 2, generator=generator, device=generator.device))

    def frozen(self, index: Tensor, count: int, given: bool) -> tuple[Tensor, Tensor]:
        drawn = draws_of_2021(count, "nnu", str(index.device))[index]
        uniform = draws_of_2021(count, "u", str(index.device))[index, 0] if given else drawn[:, 2]
        return self._clipped(drawn[:, :2]), uniform

    def render(self, ink: Tensor, offsets: Tensor, contrast: Tensor, texture: Tensor) -> Tensor:
        return compose(shift(ink, offsets), contrast, texture, self.noise)

    def paint(self, digits, rows, offsets, contrast, key, generator):
        ink = shift(digits.images[rows], offsets)  # (B, 28, 28)
        if key is not None:
            key = torch.where(ink.flatten(1).amax(1) > 0, key, 0)  # 2021: all blank images are one and the same image
        return compose(ink, contrast, self._textures(len(ink), key, generator), self.noise)

    def _clipped(self, normal: Tensor) -> Tensor:
        return (normal * self.std).clamp_(-self.offset_max, self.offset_max).to(torch.int64)  # truncates towards zero


@dataclass(frozen=True)
class Scene128(StimulusConfig):
    """A digit at a random angle and eccentricity in a round visual field of 128x128 pixels (study 2.2).

    The eccentricity is min(|N(0, 1)| std, offset_max), or `radius` where that is given.
    """

    std: Annotated[float, 0, 1000, "pixels"] = 40.0
    offset_max: float = 40.0  # distances beyond it become equal to it, pixels
    radius: float | None = None  # distance of every digit from the centre, pixels, 0 to `reach`; std has no effect then
    # only 28x28 pixels: "oracle", around the digit, a perfect fixation; "centre", of the field
    view: Literal["field", "oracle", "centre"] = "field"

    edge = FIELD
    reach = MARGIN
    extreme: ClassVar[float | None] = None  # see `compose_field`

    def __post_init__(self):
        super().__post_init__()
        if self.radius is not None:
            within("radius", self.radius, 0, self.reach, "pixels")

    def fresh(self, n: int, generator: torch.Generator) -> Tensor:
        angle = torch.rand(n, generator=generator, device=generator.device)
        normal = None if self.radius is not None else torch.randn(n, generator=generator, device=generator.device)
        return self._truncated(angle, normal)

    def frozen(self, index: Tensor, count: int, given: bool) -> tuple[Tensor, Tensor]:
        kinds = "unu" if self.radius is None else "uu"
        angle, *normal, uniform = draws_of_2021(count, kinds, str(index.device))[index].unbind(1)
        return self._truncated(angle, normal[0] if normal else None), uniform

    def render(self, ink: Tensor, offsets: Tensor, contrast: Tensor, texture: Tensor) -> Tensor:
        return self._composed(ink, offsets, contrast, texture - 0.5)

    def paint(self, digits, rows, offsets, contrast, key, generator):
        block = len(rows) if rows.device.type == "cuda" else BLOCK if key is None else BLOCK // 4
        columns = (column.split(block) for column in (rows, offsets, contrast, key) if column is not None)
        images = []
        for part, at, level, *keys in zip(*columns, strict=True):
            ground = self._textures(len(part), keys[0] if keys else None, generator)
            images.append(self._composed(digits.images[part], at, level, ground))
        return images[0] if len(images) == 1 else torch.cat(images)

    def _textures(self, n: int, key: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Return textures (n, edge, edge) about 0, in any unit, the caller's own."""
        if key is None and self.texture == "cloud":
            return textures.fields(n, self.edge, generator)
        return super()._textures(n, key, generator).sub_(0.5)

    def _composed(self, ink: Tensor, offsets: Tensor, contrast: Tensor, ground: Tensor) -> Tensor:
        images = compose_field(ink, offsets, contrast, ground, self.noise, self.extreme)
        if self.view == "field":
            return images
        return crops(images, offsets if self.view == "oracle" else torch.zeros_like(offsets))

    def _truncated(self, angle: Tensor, normal: Tensor | None) -> Tensor:
        """Return offsets (B, 2) at angles (B,), turns, and eccentricities from draws (B,), truncated towards zero."""
        angle = angle * (2 * math.pi)
        direction = torch.stack((angle.cos(), angle.sin()), 1)  # (B, 2), (row, column)
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

    Args:
        generator: source of every fresh draw, on the digits' device; frozen scenes need none.
        offsets: (B, 2) to use instead of drawn shifts.

    Raises:
        ConfigurationError: fresh stimuli without a generator; offsets by which a digit would leave the field.

    >>> from labbook import digits
    >>> few = digits.load("digits").test
    >>> batch = draw(few, torch.arange(3), Scene128(radius=20.0), rng.generator("an example"))
    >>> batch.images.shape, batch.offsets.shape
    (torch.Size([3, 1, 128, 128]), torch.Size([3, 2]))
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
    """All stimuli of a frozen scene, drawn once: `cached(rows)` is `draw(digits, rows, scene)`, a look-up.

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


# ---- composition ----------------------------------------------------------------------------------------------------


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
    ink: Tensor, offsets: Tensor, contrast: Tensor, texture: Tensor, noise: float, extreme: float | None = None
) -> Tensor:
    """Lay digits, moved by offsets, over textures (B, h, h), which are overwritten.

    Contrast, transparency and the brighter of two as in `compose`, without quantisation. Then each field is stretched
    to [0, 1] by its own extremes, so that only contrast / noise matters, and is grey (0.5) outside a disc. Since that
    comes last, all is done in the texture's own unit, and only the digit's window is composed.

    Args:
        texture: about a mean of 0, in any unit: its largest magnitude corresponds to noise / 2.
        extreme: or, where it is given, so many standard deviations of the texture do.

    Returns:
        (B, 1, h, h) float32 in [0, 1], the memory of `texture`.
    """
    edge = texture.shape[-1]
    flat = texture.view(len(ink), -1)  # (B, 16384)
    if noise < 1e-6:  # none; its inverse might not be finite
        flat.zero_()
        unit = torch.ones_like(contrast)
    else:
        largest = torch.maximum(-flat.amin(1), flat.amax(1)) if extreme is None else extreme * flat.std(1)
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


# ---- squares cut out of images --------------------------------------------------------------------------------------


def cut(images: Tensor, corners: Tensor, edge: int) -> Tensor:
    """Cut a square of `edge` pixels out of each image (B, h, w), its first pixel at (row, column), corners (B, 2).

    >>> cut(torch.arange(16).view(1, 4, 4), torch.tensor([[1, 2]]), 2).tolist()
    [[[6, 7], [10, 11]]]
    """
    squares = images.unfold(1, edge, 1).unfold(2, edge, 1)  # (B, rows, columns, edge, edge), a view
    return squares[torch.arange(len(images), device=images.device), corners[:, 0], corners[:, 1]]


def shift(images: Tensor, offsets: Tensor) -> Tensor:
    """Translate uint8 images (B, 28, 28) by offsets (B, 2) within their frame; what leaves it is lost, the rest is
    0."""
    return cut(pad(images, (FAR,) * 4), FAR - offsets.clamp(-FAR, FAR), EDGE)


def crops(images: Tensor, offsets: Tensor) -> Tensor:
    """Cut the 28x28 pixels around digits at offsets (B, 2) out of square fields (B, 1, h, h): (B, 1, 28, 28)."""
    return cut(images[:, 0], (images.shape[-1] - EDGE) // 2 + offsets, EDGE)[:, None]


def window(offsets: Tensor, edge: int = FIELD) -> Tensor:
    """Return theta (B, 2, 3) of the windows that `crops` cuts at offsets (B, 2) of fields of `edge` pixels, a sample
    per pixel (see `sampler`)."""
    scale = torch.eye(2, device=offsets.device).expand(len(offsets), 2, 2) * (EDGE / edge)
    return torch.cat((scale, (offsets.flip(1) * 2 / edge)[:, :, None]), 2)


def fixations(theta: Tensor, edge: int) -> Tensor:
    """Return the centres (N, 2) of windows theta (N, 2, 3), (row, column), pixels from the middle of `edge` pixels."""
    return theta[:, :, 2].flip(1) * edge / 2


# ---- what NumPy drew in 2021 ----------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def draws_of_2021(count: int, kinds: str, device: str = "cpu") -> Tensor:
    """Return what NumPy draws first after `seed(index)`, for index 0..count-1: (count, len(kinds)) float64 (study 2.1,
    2.2 and oddity 1).

    Args:
        kinds: of the draws, one after the other: "n" for a standard normal, "u" for a uniform one.

    >>> draws_of_2021(2, "nnu").shape, draws_of_2021(2, "u")[0].item()
    (torch.Size([2, 3]), 0.5488135039273248)
    """
    state, table = np.random.RandomState(), np.empty((count, len(kinds)))
    draw_one = {"n": state.standard_normal, "u": state.random_sample}
    for index in range(count):
        state.seed(index)
        table[index] = [draw_one[kind]() for kind in kinds]
    return torch.from_numpy(table).to(device)
