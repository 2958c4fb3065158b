"""The schedules of 2021, as its logs have them (study 3): stages of stimuli with their learning rates.

On the 128x128 field, nine standard deviations of the eccentricity come at contrast 0.7, then lower contrasts at the
widest of them. "10 epochs" is a parameter of each, so that a schedule can be run short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..curriculum import Stage, growing
from ..stimuli import ECCENTRICITIES, Scene28, Scene128

LOWER_CONTRASTS = ((0.5, 0.7), (0.3, 0.7))


def week2(lr: float = 0.01, epochs: int = 10, **scene) -> tuple[Stage, ...]:
    """The 28x28 curriculum of 2021: std 0, 1, ..., 15 pixels (study 3.1: SGD 0.01, 10 epochs each; R2)."""
    return growing(range(16), epochs, lr, Scene28(**scene))


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


def _far_then_faint(far: Sequence[float], low: Sequence[float], epochs: int, scene: dict) -> tuple[Stage, ...]:
    """Return the stages of weeks 5, 6 and 7, given the learning rates per std and per range of contrasts."""
    clear = Scene128(contrast=(0.7, 0.7), **scene)
    growing_std = [Stage(replace(clear, std=std), epochs, lr) for std, lr in zip(ECCENTRICITIES, far, strict=True)]
    widest = replace(clear, std=ECCENTRICITIES[-1])
    lower = zip(LOWER_CONTRASTS, low, strict=True)
    return (*growing_std, *(Stage(replace(widest, contrast=contrast), epochs, lr) for contrast, lr in lower))
