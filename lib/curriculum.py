"""Curricula: stages of stimuli with their learning rates; the schedules of 2021, exactly, and shortened ones,
openly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .refusal import Refusal, within
from .scenes import Scene28


@dataclass(frozen=True)
class Stage:
    """Some epochs on one law of stimuli. The learning rate is multiplied by `decay` after every `decay_every`
    epochs."""

    scene: Scene28
    epochs: int
    lr: float
    decay: float = 1.0
    decay_every: int = 1

    def __post_init__(self):
        within("epochs", self.epochs, 1, 10_000)
        within("lr", self.lr, 1e-9, 100)
        within("decay", self.decay, 1e-6, 1)
        within("decay_every", self.decay_every, 1, 10_000, "epochs")

    def lr_at(self, epoch: int) -> float:
        """Return the learning rate of an epoch (0 is the stage's first)."""
        return self.lr * self.decay ** (epoch // self.decay_every)


def growing(
    stds: Sequence[float], epochs: int, lr: float, scene: Scene28 | None = None, **stage_options
) -> tuple[Stage, ...]:
    """Return one stage per standard deviation of the shift (pixels), all else equal.

    Raises:
        Refusal: no stage, or a value out of bounds.
    """
    if not stds:
        raise Refusal("stds=[] must name at least one standard deviation of the shift, in pixels.")
    return tuple(Stage(replace(scene or Scene28(), std=std), epochs, lr, **stage_options) for std in stds)


def week2(lr: float = 0.01, epochs: int = 10, **scene) -> tuple[Stage, ...]:
    """The 28x28 curriculum of 2021: std 0, 1, ..., 15 pixels (study 3.1: SGD 0.01, 10 epochs each; R2)."""
    return growing(range(16), epochs, lr, Scene28(**scene))
