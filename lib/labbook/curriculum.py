"""Curricula: stages of stimuli with their learning rates; our own. Those of 2021 are in `study2021.schedules`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .errors import ConfigurationError, shown, within
from .stimuli import Scene28, Scene128, StimulusConfig


@dataclass(frozen=True)
class Stage:
    """Some epochs on one distribution of stimuli. The learning rate is multiplied by `decay` after every `decay_every`
    epochs.

    With `cosine` it falls instead, by epoch, along a part of half a cosine wave from `lr` to 0; (0, 1) is the whole.

    With a `perturbation_std` the window learns from perturbed fixations (see `score_function`), on fields; it is their
    standard deviation along each axis, in pixels.
    """

    scene: StimulusConfig
    epochs: int
    lr: float
    decay: float = 1.0
    decay_every: int = 1
    perturbation_std: float = 0.0
    cosine: tuple[float, float] | None = None  # first and last point of the wave, 0 to 1

    def __post_init__(self):
        if not isinstance(self.scene, StimulusConfig):
            raise ConfigurationError(f"scene={shown(self.scene)} must be a configuration of stimuli.")
        within("perturbation_std", self.perturbation_std, 0, 64, "pixels")
        within("epochs", self.epochs, 1, 10_000, whole=True)
        within("lr", self.lr, 1e-9, 100)
        within("decay", self.decay, 1e-6, 1)
        within("decay_every", self.decay_every, 1, 10_000, "epochs", whole=True)
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


def for_window(warm: int = 2, stay: int = 8, lr: float = 0.001, **scene) -> tuple[Stage, ...]:
    """Our curriculum for a window on the 128x128 field, for AdamW: warm + 8 + stay epochs.

    First the classifier alone, on what a perfect fixation sees; then one epoch each at std 5, 10, ..., 40 pixels, at
    the highest contrast; then all contrasts at std 40, while the learning rate falls to a twentieth.
    """
    widest = Scene128(**scene)
    clear = replace(widest, contrast=(widest.contrast[1],) * 2)
    return (
        Stage(replace(widest, view="oracle"), warm, lr),
        *growing(range(5, 41, 5), 1, lr, clear),
        decaying(widest, stay, lr),
    )


def for_attention(warm: int = 6, grow: int = 1, stay: int = 3, lr: float = 0.001, **scene) -> tuple[Stage, ...]:
    """Our curriculum for the attention transformer, for AdamW: warm + 8 grow + 3 stay epochs.

    First the classifier alone, on the middle of fields at std 6 pixels, which is what a window sees before it moves;
    then std 5, 10, ..., 40 pixels at the highest contrast; then all contrasts at std 40. Fixations are perturbed by 6
    pixels; at last by 4, then 2, while the learning rate falls to a third, then to a twentieth.
    """
    widest = Scene128(**scene)
    clear = replace(widest, contrast=(widest.contrast[1],) * 2)
    return (
        Stage(replace(widest, view="centre", std=6), warm, lr),
        *growing(range(5, 41, 5), grow, lr, clear, perturbation_std=6),
        Stage(widest, stay, lr, perturbation_std=6),
        decaying(widest, stay, lr, 1 / 3, perturbation_std=4),
        decaying(widest, stay, lr / 3, 0.15, perturbation_std=2),
    )


def for_evidence_map(
    epochs: int = 56, lr: float = 0.002, clear: float = 0.4, scene: StimulusConfig | None = None
) -> tuple[Stage, ...]:
    """Our curriculum for an evidence map, for AdamW: digits anywhere from the first step, the highest contrast alone at
    first, then all; the learning rate falls along half a cosine wave.

    Args:
        epochs: of both stages together, two at least. clear: share of them at the highest contrast; 0 leaves the first
            stage out. scene: with all contrasts (default: `Scene128`, std 40 pixels).
    """
    scene = scene or Scene128()
    if not clear:
        return (Stage(scene, epochs, lr, cosine=(0.0, 1.0)),)
    first = min(epochs - 1, max(1, round(clear * epochs)))
    highest = replace(scene, contrast=(scene.contrast[1],) * 2)
    return (
        Stage(highest, first, lr, cosine=(0.0, first / epochs)),
        Stage(scene, epochs - first, lr, cosine=(first / epochs, 1.0)),
    )


def for_searcher(warm: int = 4, stay: int = 7, lr: float = 0.001, std: float = 4.0, **scene) -> tuple[Stage, ...]:
    """Our curriculum for a searcher, for AdamW: warm + stay epochs.

    First the what network alone, on digits in a 28x28 frame of their own, at `std` pixels from its centre: there is no
    field, hence no position in it. Then, from the first step, the whole field: std 40 pixels and all contrasts, while
    the learning rate falls to a twentieth.
    """
    widest = Scene128(**scene)
    near = Scene28(std=std, contrast=widest.contrast, noise=widest.noise)
    return Stage(near, warm, lr), decaying(widest, stay, lr)
