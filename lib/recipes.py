"""Our own trainings that several chapters share: what was trained once is found again by all of them.

The transformer on the 128x128 field is trained in four parts, each of which goes on from the one before, so that
experiments can branch off between them: digits at the centre while the noise grows (`still`), near it (`near`), as far
out as in 2021 (`far`), and at lower contrasts (`faint`). Each part is AdamW on fresh stimuli, from class labels alone.

Digits at the centre leave the localisation network nothing to learn but noise, and under AdamW its hidden units die of
it (week 4 measures it). The second part therefore takes over the classifier alone, and draws the localisation anew.
"""

from __future__ import annotations

from dataclasses import replace

from .curriculum import Stage, growing
from .scenes import ECCENTRICITIES, Scene128
from .training import Training

CLEAR = Scene128(contrast=(0.7, 0.7))
NOISES = (0.1, 0.4)  # of the first epochs: at full noise the classifier's wide layer would not leave chance for long
PARTS = ("still", "near", "far", "faint")


def growing_noise(scene: Scene128, epochs: int, lr: float) -> tuple[Stage, ...]:
    """Return stages of digits at the centre: one epoch at each of `NOISES`, then at least one at the scene's."""
    quiet = tuple(Stage(replace(scene, std=0.0, noise=noise), 1, lr) for noise in NOISES)
    return (*quiet, Stage(replace(scene, std=0.0), max(1, epochs - len(quiet)), lr))


def stn128(epochs: int = 8, share: float = 0.04, lr: float = 3e-4, **options) -> dict[str, Training]:
    """Return the parts of the training of STN 128, by name, in order.

    Stds are those of 2021 (study 3.6): 0, for one epoch at each of `NOISES` and the others at full noise; then 40 k / 9
    pixels, a quarter of `epochs` for each of the first three, an eighth for each of the others; then contrasts
    U(0.3, 0.7) at 40 pixels, for a quarter of `epochs`, while the learning rate falls to a twentieth.

    Args:
        epochs: of the first part. share: of the training digits in an epoch. lr: of AdamW.
        options: of the model; ours are a grey padding and a localisation network that sees the image minus grey.
    """
    still = Training(
        "stn128",
        growing_noise(CLEAR, epochs, lr),
        options={"centre": True, "padding": 0.5, **options},
        optimiser="adamw",
        weight_decay=0.01,
        localisation_rate=0.3,
        renew_optimiser=False,
        batch=32,
        fraction=share,
    )
    near = replace(
        still,
        stages=growing(ECCENTRICITIES[:3], max(1, epochs // 4), lr, CLEAR),
        options={**still.options, "kaiming": True},
        localisation_rate=1.0,
        start=still,
        start_with="classifier",
    )
    far = replace(
        near, stages=growing(ECCENTRICITIES[3:], max(1, epochs // 8), lr, CLEAR), start=near, start_with="all"
    )
    last = max(1, epochs // 4)
    fall = Stage(Scene128(), last, lr, decay=0.05 ** (1 / max(1, last - 1)))
    return dict(zip(PARTS, (still, near, far, replace(far, stages=(fall,), start=far)), strict=True))
