"""Curricula: stages of stimuli with their learning rates; the schedules of 2021, exactly, and shortened ones,
openly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .errors import ConfigurationError, shown, within
from .stimuli import ECCENTRICITIES, Scene28, Scene128, StimulusConfig


@dataclass(frozen=True)
class Stage:
    """Some epochs on one law of stimuli. The learning rate is multiplied by `decay` after every `decay_every`
    epochs.

    With `cosine` it falls instead, by epoch, along a part of half a cosine wave from `lr` to 0; (0, 1) is the whole.

    With a `jitter` the window is taught by glimpses beside the chosen place (see `score_function`), on fields;
    `jitter` is their standard deviation along each axis, in pixels.
    """

    scene: StimulusConfig
    epochs: int
    lr: float
    decay: float = 1.0
    decay_every: int = 1
    jitter: float = 0.0
    cosine: tuple[float, float] | None = None  # first and last point of the wave, 0 to 1

    def __post_init__(self):
        if not isinstance(self.scene, StimulusConfig):
            raise ConfigurationError(f"scene={shown(self.scene)} must be a law of stimuli.")
        within("jitter", self.jitter, 0, 64, "pixels")
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
        """Return the learning rate of an epoch (0 is the stage's first)."""
        if self.cosine is None:
            return self.lr * self.decay ** (epoch // self.decay_every)
        first, last = self.cosine
        point = first + (last - first) * (epoch + 0.5) / self.epochs  # of the epoch's middle
        return self.lr * (1 + math.cos(math.pi * point)) / 2


def growing(
    stds: Sequence[float], epochs: int, lr: float, scene: StimulusConfig | None = None, **stage_options
) -> tuple[Stage, ...]:
    """Return one stage per standard deviation of the shift (pixels), all else equal.

    Raises:
        ConfigurationError: no stage, or a value out of bounds.
    """
    if not stds:
        raise ConfigurationError("stds=[] must name at least one standard deviation of the shift, in pixels.")
    return tuple(Stage(replace(scene or Scene28(), std=std), epochs, lr, **stage_options) for std in stds)


def falling(scene: StimulusConfig, epochs: int, lr: float, to: float = 0.05, **stage_options) -> Stage:
    """Return a stage whose learning rate falls evenly, by a factor per epoch, to `to` times `lr` in its last epoch."""
    return Stage(scene, epochs, lr, decay=to ** (1 / max(1, epochs - 1)), **stage_options)


def week2(lr: float = 0.01, epochs: int = 10, **scene) -> tuple[Stage, ...]:
    """The 28x28 curriculum of 2021: std 0, 1, ..., 15 pixels (study 3.1: SGD 0.01, 10 epochs each; R2)."""
    return growing(range(16), epochs, lr, Scene28(**scene))


# The curricula of the 128x128 field: nine distances at contrast 0.7, then variable contrasts at the widest of them.

LOWER_CONTRASTS = ((0.5, 0.7), (0.3, 0.7))


def week5(epochs: int = 10, **scene) -> tuple[Stage, ...]:
    """The curriculum of STN 128 in weeks 4 and 5 of 2021 (study 3.6; R3): SGD, 110 epochs.

    Std 40 k / 9 at contrast 0.7, with a learning rate of 0.01, 0.001 and 0.0001 for three stds each; then contrasts
    U(0.5, 0.7) and U(0.3, 0.7) at std 40 and 0.001.
    """
    return _far_then_faint([0.01] * 3 + [0.001] * 3 + [0.0001] * 3, [0.001, 0.001], epochs, scene)


def week6(epochs: int = 10, **scene) -> tuple[Stage, ...]:
    """The curriculum of the attention transformer in week 6 of 2021 (study 3.7; R4): SGD, 110 epochs.

    Std 40 k / 9 at contrast 0.7, with a learning rate of 0.01 that is halved with every std; then contrasts U(0.5, 0.7)
    at 0.001 and U(0.3, 0.7) at 0.0005, std 40.
    """
    return _far_then_faint([0.01 / 2**k for k in range(9)], [0.001, 0.0005], epochs, scene)


def week7(epochs: int = 10, **scene) -> tuple[Stage, ...]:
    """The curriculum of the polo-STN in weeks 7 and 8 of 2021 (study 3.8; R5): SGD, 110 epochs.

    As `week6`, from a learning rate of 0.005; the lower contrasts at 0.0005 and 0.00025.
    """
    return _far_then_faint([0.005 / 2**k for k in range(9)], [0.0005, 0.00025], epochs, scene)


def week8(epochs: int = 10, lr: float = 0.005, **scene) -> tuple[Stage, ...]:
    """The training of the convolutional polo-STN in week 8 of 2021 (study 3.9): SGD, 190 epochs, all at std 40.

    10 epochs at contrast 0.7, 40 at U(0.5, 0.7) and 40 at U(0.3, 0.7) with a learning rate of 0.005 that loses a tenth
    after every 10; then 100 at U(0.3, 0.7), from 0.005 again, halved after every 10. A shorter attempt to grow the
    stds, broken off before, is left out.

    Args:
        epochs: what stands for 10.
    """
    clear = Scene128(contrast=(0.7, 0.7), **scene)
    mid, low = (replace(clear, contrast=contrast) for contrast in LOWER_CONTRASTS)
    return (
        Stage(clear, epochs, lr, 0.9, epochs),
        Stage(mid, 4 * epochs, lr * 0.9, 0.9, epochs),
        Stage(low, 4 * epochs, lr * 0.9**5, 0.9, epochs),
        Stage(low, 10 * epochs, lr, 0.5, epochs),
    )


def warmed(warm: int = 2, stay: int = 8, lr: float = 0.001, **scene) -> tuple[Stage, ...]:
    """Our curriculum for a window on the 128x128 field, for AdamW: warm + 8 + stay epochs.

    First the classifier alone, on what a perfect fixation sees; then one epoch each at std 5, 10, ..., 40 pixels, at
    the highest contrast; then all contrasts at std 40, while the learning rate falls to a twentieth.
    """
    widest = Scene128(**scene)
    clear = replace(widest, contrast=(widest.contrast[1],) * 2)
    return (
        Stage(replace(widest, view="oracle"), warm, lr),
        *growing(range(5, 41, 5), 1, lr, clear),
        falling(widest, stay, lr),
    )


def searching(warm: int = 6, grow: int = 1, stay: int = 3, lr: float = 0.001, **scene) -> tuple[Stage, ...]:
    """Our curriculum for the attention transformer, for AdamW and glimpses: warm + 8 grow + 3 stay epochs.

    First the classifier alone, on the middle of fields at std 6 pixels, which is what a window sees before it moves;
    then std 5, 10, ..., 40 pixels at the highest contrast; then all contrasts at std 40. The glimpses are 6 pixels
    beside the chosen place at first; at last 4, then 2, while the learning rate falls to a third, then to a twentieth.
    """
    widest = Scene128(**scene)
    clear = replace(widest, contrast=(widest.contrast[1],) * 2)
    return (
        Stage(replace(widest, view="centre", std=6), warm, lr),
        *growing(range(5, 41, 5), grow, lr, clear, jitter=6),
        Stage(widest, stay, lr, jitter=6),
        falling(widest, stay, lr, 1 / 3, jitter=4),
        falling(widest, stay, lr / 3, 0.15, jitter=2),
    )


def clear_then_faint(
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


def practising(warm: int = 4, stay: int = 7, lr: float = 0.001, jitter: float = 4.0, **scene) -> tuple[Stage, ...]:
    """Our curriculum for a searcher, for AdamW: warm + stay epochs.

    First the what network alone, on digits in a 28x28 frame of their own, a few pixels from its middle: there is no
    field, hence no position in it. Then, from the first step, the whole field: std 40 pixels and all contrasts, while
    the learning rate falls to a twentieth.
    """
    widest = Scene128(**scene)
    near = Scene28(std=jitter, contrast=widest.contrast, noise=widest.noise)
    return Stage(near, warm, lr), falling(widest, stay, lr)


def _far_then_faint(far: Sequence[float], low: Sequence[float], epochs: int, scene: dict) -> tuple[Stage, ...]:
    """Return the stages of weeks 5, 6 and 7, given the learning rates per std and per range of contrasts."""
    clear = Scene128(contrast=(0.7, 0.7), **scene)
    growing_std = [Stage(replace(clear, std=std), epochs, lr) for std, lr in zip(ECCENTRICITIES, far, strict=True)]
    widest = replace(clear, std=ECCENTRICITIES[-1])
    lower = zip(LOWER_CONTRASTS, low, strict=True)
    return (*growing_std, *(Stage(replace(widest, contrast=contrast), epochs, lr) for contrast, lr in lower))
