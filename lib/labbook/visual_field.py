"""The visual field over a grid of settings: the same digits and textures at every distance, contrast and noise, and
what systems make of them. It is what the explorer of the visual field shows.

Convention
    settings    (eccentricity, contrast, noise), in the order of `Grid.scenes`: the noise changes fastest
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple

import torch
from torch import Tensor

from . import evaluation
from .digits import Digits
from .errors import ConfigurationError, within
from .stimuli import MARGIN, Scene128, Stimuli

RETINA = "polo768"  # of the log-polar view
GAIN = 2.0  # of that view around grey: most of its coefficients are far from their bounds


@dataclass(frozen=True)
class Grid:
    """Distances (pixels), contrasts and noises (0 to 1) to combine; how many scenes of each are shown, of how many that
    are counted.

    Raises:
        ConfigurationError: values out of bounds or not rising; more scenes shown than counted.
    """

    eccentricities: tuple[float, ...] = (0, 10, 20, 30, 40)
    contrasts: tuple[float, ...] = (0.3, 0.5, 0.7)
    noises: tuple[float, ...] = (0.5, 0.75, 1.0)
    shown: int = 4
    counted: int = 100

    def __post_init__(self):
        for name, high in (("eccentricities", MARGIN), ("contrasts", 1), ("noises", 1)):
            values = getattr(self, name)
            for value in values:
                within(name, value, 0, high)
            if not values or any(a >= b for a, b in pairwise(values)):
                raise ConfigurationError(f"{name}={values!r} must rise, and be at least one.")
        within("counted", self.counted, 1, 10_000, whole=True)
        within("shown", self.shown, 1, self.counted, whole=True)

    @property
    def scenes(self) -> list[Scene128]:
        """The scenes of all settings."""
        settings = product(self.eccentricities, self.contrasts, self.noises)
        return [Scene128(contrast=(c, c), noise=n, radius=float(r)) for r, c, n in settings]

    def place(self, *at: int) -> int:
        """Return the position among `stimuli` of a setting, by its positions along the three axes; -1 is the last."""
        i, j, k = (
            range(len(a))[p] for a, p in zip((self.eccentricities, self.contrasts, self.noises), at, strict=True)
        )
        return (i * len(self.contrasts) + j) * len(self.noises) + k

    def stimuli(self, digits: Digits) -> Iterator[Stimuli]:
        """Draw the counted stimuli of each setting; digits, angles and textures are the same in all."""
        return (evaluation.fixed_stimuli(digits, scene, self.counted) for scene in self.scenes)

    def pictures(self, digits: Digits) -> tuple[Tensor, list[int], Tensor]:
        """Return what is shown: images (settings, shown, 128, 128); the labels; offsets (settings, shown, 2)."""
        columns: tuple[list[Tensor], ...] = ([], [], [])
        for part in self.stimuli(digits):
            for column, values in zip(columns, (part.images[:, 0], part.labels, part.offsets), strict=True):
                column.append(values[: self.shown].cpu())
        images, labels, offsets = map(torch.stack, columns)
        return images, labels[0].tolist(), offsets


class Watched(NamedTuple):
    """What a system did with a grid: its answers (settings, shown), the windows theta (settings, shown, 2, 3) that they
    were read from, the fixations (settings, shown, looks, 2) on the way there, and right answers (settings,)."""

    answers: Tensor
    windows: Tensor
    fixations: Tensor
    right: Tensor


def watch(look: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]], digits: Digits, grid: Grid) -> Watched:
    """Show a system the whole grid.

    Args:
        look: images (B, 1, 128, 128) -> answers (B,), windows (B, 2, 3), fixations (B, looks, 2), (row, column).
    """
    columns: list[list[Tensor]] = [[], [], [], []]
    for stimuli in grid.stimuli(digits):
        seen = [each.cpu() for each in look(stimuli.images)]
        right = (seen[0] == stimuli.labels.cpu()).sum()
        for column, value in zip(columns, (*(each[: grid.shown] for each in seen), right), strict=True):
            column.append(value)
    return Watched(*(torch.stack(column) for column in columns))
