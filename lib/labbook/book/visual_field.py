"""A sweep over the visual field: the same digits, angles and textures at every eccentricity, contrast and noise, and
what systems make of them. The explorer of the visual field shows it.

Convention
    settings    (eccentricity, contrast, noise), in the order of `Sweep.scenes`: the noise changes fastest
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple

import torch
from torch import Tensor

from .. import evaluation
from ..digits import Digits
from ..errors import ConfigurationError, within
from ..stimuli import MARGIN, Scene128, Stimuli


@dataclass(frozen=True)
class Sweep:
    """The settings to combine; `shown` of the `counted` stimuli of each setting are kept for display.

    Raises:
        ConfigurationError: values out of bounds or not rising; more stimuli shown than counted.

    >>> Sweep().place(0, 0, 1), len(Sweep().scenes)
    (1, 45)
    """

    eccentricities: tuple[float, ...] = (0, 10, 20, 30, 40)  # pixels, up to 50
    contrasts: tuple[float, ...] = (0.3, 0.5, 0.7)  # 0 to 1
    noises: tuple[float, ...] = (0.5, 0.75, 1.0)  # 0 to 1
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
        """The distribution of stimuli at each setting."""
        settings = product(self.eccentricities, self.contrasts, self.noises)
        return [Scene128(contrast=(c, c), noise=n, radius=float(r)) for r, c, n in settings]

    def place(self, *at: int) -> int:
        """Return the position among `scenes` of a setting, by its position along each of the three axes; -1 is the
        last."""
        shape = len(self.eccentricities), len(self.contrasts), len(self.noises)
        i, j, k = (range(n)[p] for n, p in zip(shape, at, strict=True))
        return (i * shape[1] + j) * shape[2] + k

    def stimuli(self, digits: Digits) -> Iterator[Stimuli]:
        """Draw the counted stimuli of each setting; digits, angles and textures are the same in all."""
        return (evaluation.fixed_stimuli(digits, scene, self.counted) for scene in self.scenes)

    def pictures(self, digits: Digits) -> tuple[Tensor, list[int], Tensor]:
        """Return what is shown: images (settings, shown, 128, 128); labels; offsets (settings, shown, 2)."""
        parts = [[column[: self.shown].cpu() for column in part] for part in self.stimuli(digits)]
        images, labels, offsets, _ = (torch.stack(column) for column in zip(*parts, strict=True))
        return images[:, :, 0], labels[0].tolist(), offsets


class SweepOutput(NamedTuple):
    """What a system makes of a sweep: its predictions (settings, shown), the windows theta (settings, shown, 2, 3) that
    they result from, the fixations (settings, shown, s, 2) before them, and correct predictions of `counted`
    (settings,)."""

    predictions: Tensor
    windows: Tensor
    fixations: Tensor
    correct: Tensor


def evaluate(system: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]], digits: Digits, sweep: Sweep) -> SweepOutput:
    """Present all stimuli of a sweep to a system.

    Args:
        system: images (B, 1, 128, 128) -> predictions (B,), windows (B, 2, 3), fixations (B, s, 2), (row, column).
    """
    settings = []
    for stimuli in sweep.stimuli(digits):
        output = [each.cpu() for each in system(stimuli.images)]
        settings.append((*(each[: sweep.shown] for each in output), (output[0] == stimuli.labels.cpu()).sum()))
    return SweepOutput(*(torch.stack(column) for column in zip(*settings, strict=True)))
