"""Our curricula, for AdamW: of a window, of the attention transformer, of an evidence map and of a searcher."""

from __future__ import annotations

from dataclasses import replace

from ..curriculum import Stage, decaying, growing
from ..stimuli import Scene28, Scene128, StimulusConfig


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
