"""Other fields: smaller and larger ones than 128x128 pixels, and the cluttered ones of the literature.

Two distributions beside those of `stimuli`, with its conventions. `Field` is `Scene128` at another size: digits keep
their 28 pixels, eccentricities scale with the room that is left around a digit. `Cluttered` is the translated MNIST
with pieces of other digits on which recurrent attention and spatial transformers were tested (Mnih et al. 2014, and its
published generator; Jaderberg et al. 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from .errors import ConfigurationError, within
from .stimuli import EDGE, FIELD, MARGIN, Scene128, StimulusConfig


class Sized:
    """A square image of `size` pixels, an even number from 32 to 1024."""

    size: int

    def __post_init__(self):
        within("size", self.size, 32, 1024, "pixels", whole=True)  # before `reach` is made of it
        if self.size % 2:
            raise ConfigurationError(f"size={self.size} must be even: a digit of 28 pixels has its middle between two.")
        super().__post_init__()

    @property
    def edge(self) -> int:
        """Edge of the image, pixels."""
        return self.size

    @property
    def reach(self) -> int:
        """The largest offset, pixels."""
        return (self.size - EDGE) // 2


@dataclass(frozen=True)
class Field(Sized, Scene128):
    """The distribution of `Scene128` in a square of `size` pixels.

    A larger texture has larger extremes. So that contrast and noise mean the same at all sizes, noise is the amplitude
    that a texture of 128x128 pixels with the same standard deviation has on average, not that of its own extremes.
    """

    size: int = FIELD  # edge of the field, pixels; even

    # the largest magnitude of a texture of 128x128 pixels, in its standard deviations, on average
    extreme = 0.5 / 0.126

    @classmethod
    def sized(cls, size: int, **settings) -> Field:
        """Return the distribution whose eccentricities fill the same share of the room around a digit as at 128 pixels.

        >>> Field.sized(64).std, Field.sized(64).reach
        (14.4, 18)
        """
        farthest = 40 * ((size - EDGE) // 2) / MARGIN
        return cls(std=farthest, offset_max=farthest, size=size, **settings)


@dataclass(frozen=True)
class Cluttered(Sized, StimulusConfig):
    """A digit anywhere on black, among pieces of other digits: what overlaps is added and clipped at white.

    The defaults are those of recurrent attention at 60x60 pixels; 100 pixels have 8 pieces. Spatial transformers were
    tested on 60x60 pixels with 16 pieces of 6x6. The settings of contrast, noise and texture have no effect.
    """

    std: float = 0.0  # without effect: positions are uniform
    draws: Literal["fresh"] = "fresh"
    size: int = 60  # edge of the image, pixels; even
    pieces: Annotated[int, 0, 1000] = 4  # of other digits
    piece: Annotated[int, 1, EDGE, "pixels"] = 8  # edge of each

    def fresh(self, n: int, generator: torch.Generator) -> Tensor:
        drawn = torch.randint(2 * self.reach + 1, (n, 2), generator=generator, device=generator.device)
        return drawn - self.reach

    def paint(self, digits, rows, offsets, contrast, key, generator):
        n, size = len(rows), self.size
        flat = torch.zeros(n, size * size, device=rows.device)
        if self.pieces:
            count = (n, self.pieces)
            which = torch.randint(len(digits), count, generator=generator, device=rows.device)
            at = torch.randint(size - self.piece + 1, (*count, 2), generator=generator, device=rows.device)
            start = torch.randint(EDGE - self.piece + 1, (*count, 2), generator=generator, device=rows.device)
            source = which[..., None] * EDGE**2 + _square(start, self.piece, EDGE)  # (n, pieces, piece^2)
            ink = digits.images.view(-1)[source].to(torch.float32)
            flat.scatter_add_(1, _square(at, self.piece, size).flatten(1), ink.flatten(1) / 255).clamp_(max=1)
        corner = offsets + self.reach  # (n, 2)
        flat.scatter_add_(1, _square(corner, EDGE, size), digits.images[rows].flatten(1).to(torch.float32) / 255)
        return flat.clamp_(max=1).view(n, 1, size, size)


def _square(corner: Tensor, edge: int, width: int) -> Tensor:
    """Return the positions (..., edge^2), in a flattened image of some width, of squares with corners (..., 2)."""
    axis = torch.arange(edge, device=corner.device)
    inside = (axis[:, None] * width + axis).flatten()
    return (corner[..., 0] * width + corner[..., 1])[..., None] + inside
