"""Curricula: stages of stimuli with their learning rates.

The schedules of 2021 are in `study2021.schedules`, ours in `experiments.curricula`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from .errors import ConfigurationError, check, shown, within
from .stimuli import Scene28, StimulusConfig


@dataclass(frozen=True)
class Stage:
    """Some epochs on one distribution of stimuli. The learning rate is multiplied by `decay` after every `decay_every`
    epochs.

    With `cosine` it falls instead, by epoch, along a part of half a cosine wave from `lr` to 0; (0, 1) is the whole.

    With a `perturbation_std` the window learns from perturbed fixations (see `score_function`), on fields; it is their
    standard deviation along each axis.

    Raises:
        ConfigurationError: a value outside what its field declares.
    """

    scene: StimulusConfig
    epochs: Annotated[int, 1, 10_000]
    lr: Annotated[float, 1e-9, 100]
    decay: Annotated[float, 1e-6, 1] = 1.0
    decay_every: Annotated[int, 1, 10_000, "epochs"] = 1
    perturbation_std: Annotated[float, 0, 64, "pixels"] = 0.0
    cosine: tuple[float, float] | None = None  # first and last point of the wave, 0 to 1

    def __post_init__(self):
        check(self)
        if not isinstance(self.scene, StimulusConfig):
            raise ConfigurationError(f"scene={shown(self.scene)} must be a configuration of stimuli.")
        if self.cosine is not None:
            if not isinstance(self.cosine, tuple) or len(self.cosine) != 2:
                raise ConfigurationError(
                    f"cosine={shown(self.cosine)} must be a pair (first, last), each from 0 to 1, or None."
                )
            first, last = (within("cosine", point, 0, 1) for point in self.cosine)
            if first >= last or self.decay != 1:
                raise ConfigurationError(f"cosine={self.cosine!r} must run from low to high, without a decay.")

    def lr_at(self, epoch: int) -> float:
        """Return the learning rate of an epoch (0 is the stage's first).

        Example:
            >>> Stage(Scene28(), epochs=3, lr=0.1, decay=0.5).lr_at(2)
            0.025
        """
        if self.cosine is None:
            return self.lr * self.decay ** (epoch // self.decay_every)
        first, last = self.cosine
        point = first + (last - first) * (epoch + 0.5) / self.epochs  # of the epoch's middle
        return self.lr * (1 + math.cos(math.pi * point)) / 2


def growing(
    stds: Sequence[float], epochs: int, lr: float, scene: StimulusConfig | None = None, **stage_options
) -> tuple[Stage, ...]:
    """Return one stage per standard deviation of the offset (pixels), all else equal.

    Raises:
        ConfigurationError: no stage, or a value out of bounds.

    Example:
        >>> [stage.scene.std for stage in growing([0, 5], epochs=1, lr=0.01)]
        [0, 5]
    """
    if not stds:
        raise ConfigurationError("stds=[] must name at least one standard deviation of the shift, in pixels.")
    return tuple(Stage(replace(scene or Scene28(), std=std), epochs, lr, **stage_options) for std in stds)


def decaying(scene: StimulusConfig, epochs: int, lr: float, to: float = 0.05, **stage_options) -> Stage:
    """Return a stage whose learning rate falls evenly, by a factor per epoch, to `to` times `lr` in its last epoch."""
    return Stage(scene, epochs, lr, decay=to ** (1 / max(1, epochs - 1)), **stage_options)
