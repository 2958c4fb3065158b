"""Our own trainings that several chapters share: what was trained once is found again by all of them.

All are AdamW on fresh stimuli, taught by class labels, and centred digits at the start where their curriculum says so.

The transformer on the whole 128x128 field is trained in four parts, each of which goes on from the one before, so that
experiments can branch off between them: digits at the centre while the noise grows (`still`), near it (`near`), as far
out as in 2021 (`far`), and at lower contrasts (`faint`).

Digits at the centre leave the localisation network nothing to learn but noise, of which hidden units may die under
AdamW (week 4 counts them). The second part therefore takes over the classifier alone, and draws the localisation anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .. import curriculum
from ..config import Training
from ..curriculum import Stage, growing
from ..stimuli import ECCENTRICITIES, EDGE, FIELD, Scene128
from . import curricula

ADAMW = {"optimiser": "adamw", "weight_decay": 0.01, "reset_optimiser": False}
GREY = {"centre": True, "padding": 0.5}  # the localisation sees grey as 0; the field is grey all around
POLAR = {"scale_start": EDGE / FIELD, "standard": True, "centre": True}  # of a window behind a log-polar retina
LOG_POLAR = {"periphery": "log-polar", "saccades": 5}  # of a searcher; saccades at most, when it is tested
CLEAR = Scene128(contrast=(0.7, 0.7))
NOISES = (0.1, 0.4)  # of the first epochs: at full noise the classifier's wide layer would not leave chance for long
PARTS = ("still", "near", "far", "faint")

_FOUR = {"classifier_kernels": (20, 50, 80, 100)}
STEPPING_STONES: dict[str, dict] = {  # options of "stn128" on the way to its defaults, by claim
    "first": {"kernels": (8, 10, 16), "hidden": (64, 32), **_FOUR, "classifier_hidden": 500},  # C20, C21
    "one dense layer less": {"kernels": (8, 10, 16), **_FOUR, "classifier_hidden": 500},  # C22
    "more kernels": {"kernels": (16, 32, 64), **_FOUR},  # C25, C34
    "dropout": {"kernels": (8, 10, 16), **_FOUR, "classifier_hidden": 500, "dropout": 0.5},  # C27
    "translated cluttered": {"kernels": (32, 64), "first": "strided"},  # C28
    "foveated": {"kernels": (8, 32), "first": "foveated"},  # C35
    "no bias": {"bias": False},  # C18
}


def of_localisation(options: Mapping[str, object]) -> dict:
    """Return options of "stn128" without those of its classifier."""
    return {name: value for name, value in options.items() if not name.startswith("classifier_")}


def growing_noise(scene: Scene128, epochs: int, lr: float) -> tuple[Stage, ...]:
    """Return stages of digits at the centre: one epoch at each of `NOISES`, then at least one at the scene's."""
    quiet = tuple(Stage(replace(scene, std=0.0, noise=noise), 1, lr) for noise in NOISES)
    return (*quiet, Stage(replace(scene, std=0.0), max(1, epochs - len(quiet)), lr))


def stn128_centred(epochs: int = 8, share: float = 0.04, lr: float = 3e-4, **options) -> Training:
    """Return a short training of STN 128 on digits at the centre: what networks (week 3) and contrasts (week 5) are
    compared by.

    Args:
        epochs: one at each of `NOISES`, the others at full noise. share: of the training digits in an epoch. lr: of
            AdamW. options: of the model, beside `GREY`.
    """
    return Training(
        "stn128",
        growing_noise(CLEAR, epochs, lr),
        {**GREY, **options},
        localisation_rate=0.3,
        batch=32,
        fraction=share,
        **ADAMW,
    )


def near_centre(start: Training, lr: float, options: Mapping[str, object] | None = None, **settings) -> Training:
    """Return the training that goes on with the classifier of another one and a new localisation, on digits near the
    centre: the first three stds of 2021, an epoch each (week 4).

    Args:
        options: of the model, beside those of the start. settings: of the training.
    """
    return replace(
        start,
        stages=growing(ECCENTRICITIES[:3], 1, lr, CLEAR),
        options={**start.options, "kaiming": True, **(options or {})},
        localisation_rate=1.0,
        ema_decay=0.0,
        start=start,
        start_with="classifier",
        **settings,
    )


def going_on(start: Training, stages: Sequence[Stage], **settings) -> Training:
    """Return the training that goes on from the end of another one, with other stages and settings."""
    return replace(start, stages=tuple(stages), start=start, start_with="all", **settings)


def stn128(
    noisy: int = 16, share: float = 0.1, lr: float = 1e-3, lr_moving: float = 3e-4, ema_decay: float = 0.995
) -> dict[str, Training]:
    """Return the parts of the training of STN 128, by name, in order (weeks 3 to 5).

    Stds are those of 2021 (study 3.6): 0, while the learning rate falls; then 40 k / 9 pixels, an epoch each; then
    contrasts U(0.3, 0.7) at 40 pixels, while the learning rate falls again.

    Args:
        noisy: epochs at full noise of the first part, and of the last. share: of the training digits in an epoch. lr:
            of AdamW, in the first part. lr_moving: in the others. ema_decay: in the first part and in the last, see
            `Training`.
    """
    still = replace(_seeing_grey(replace(CLEAR, std=0.0), noisy, share, lr), ema_decay=ema_decay)
    near = near_centre(still, lr_moving)
    far = going_on(near, growing(ECCENTRICITIES[3:], 1, lr_moving, CLEAR))
    faint = going_on(far, [curriculum.decaying(Scene128(), noisy, lr_moving)], ema_decay=ema_decay)
    return dict(zip(PARTS, (still, near, far, faint), strict=True))


def slowly(start: Training, stages: Sequence[Stage]) -> Training:
    """Return the training that goes on from another one by plain SGD, as 2021 did at the end of weeks 4 and 5."""
    plain = {"optimiser": "sgd", "weight_decay": 0.0, "reset_optimiser": True, "ema_decay": 0.0}
    return going_on(start, stages, localisation_rate=1.0, batch=100, **plain)


def attention(
    warm: int = 20, stay: int = 8, lr: float = 0.001, rate: float = 0.3, share: float = 0.1, scale_start: float = 0.2
) -> Training:
    """Return the training of the attention transformer, taught by glimpses (week 6).

    Args:
        warm, stay, lr: see `curricula.for_attention`. rate: of the localisation, relative to the classifier's.
        share: of the training digits in an epoch. scale_start: width of the first window, in widths of the field.
    """
    return Training(
        "atn",
        curricula.for_attention(warm, 1, stay, lr),
        {"scale_start": scale_start, "kaiming": True, **GREY},
        localisation_rate=rate,
        fraction=share,
        batch=20,
        precision="bfloat16",
        **ADAMW,
    )


def stn128_led(noisy: int = 24, share: float = 0.1, lr: float = 1e-3) -> Training:
    """Return the training of STN 128 that takes over the localisation of the attention transformer (week 5).

    Its window looks at the digit from the first step on; the classifier behind it is drawn, and sees grey as 0.

    Args:
        noisy, share, lr: of `_seeing_grey`.
    """
    return replace(_seeing_grey(Scene128(), noisy, share, lr), start=attention(), start_with="localisation")


def _seeing_grey(scene: Scene128, noisy: int, share: float, lr: float) -> Training:
    """Return a training of STN 128: two epochs at each of `NOISES`, contrast 70 %; then the scene as it is, while the
    learning rate falls to a twentieth.

    Args:
        noisy: epochs at full noise. share: of the training digits in an epoch. lr: of AdamW.
    """
    quiet = (Stage(replace(scene, contrast=CLEAR.contrast, noise=noise), 2, lr) for noise in NOISES)
    return Training(
        "stn128",
        (*quiet, curriculum.decaying(scene, noisy, lr)),
        {"kaiming": True, "classifier_grey": 0.5, **GREY},
        localisation_rate=0.03,
        batch=32,
        fraction=share,
        precision="bfloat16",
        **ADAMW,
    )


def polo(
    model: str, warm: int = 6, stay: int = 3, lr: float = 0.001, rate: float = 0.3, share: float = 0.1, **options
) -> Training:
    """Return the training of a transformer behind a log-polar retina (week 7): that of `attention`, in larger batches
    and in float32, since there is little that bfloat16 would make faster.

    Its features are standardised, and its window has a sample per pixel.

    Args:
        model: "polo" or "conv_polo". warm, stay, lr: see `curricula.for_attention`. rate, share: as of `attention`.
        options: of the model.
    """
    ours = attention(warm, stay, lr, rate, share)
    return replace(ours, model=model, options={**options, **POLAR}, batch=50, precision="float32")


def polo_by_gradient(
    warm: int = 2, stay: int = 8, lr: float = 0.001, rate: float = 0.3, share: float = 0.4, loss: str = "cross_entropy"
) -> Training:
    """Return the training of the smallest of these transformers by the gradient through its sampler (week 7).

    Args:
        warm, stay, lr: see `curricula.for_window`. rate, share: as of `attention`. loss: a name in `training.LOSSES`.
    """
    return Training(
        "polo", curricula.for_window(warm, stay, lr), POLAR, localisation_rate=rate, loss=loss, fraction=share, **ADAMW
    )


def searcher(
    warm: int = 20, stay: int = 16, lr: float = 0.001, rate: float = 3.0, share: float = 0.2, **options
) -> Training:
    """Return the training of a foveal searcher.

    Args:
        warm: epochs of the what network alone; 0 leaves them out. stay, lr: see `curricula.for_searcher`.
        rate: of the where network, relative to the what network's. share: of the training digits in an epoch.
        options: of the model.
    """
    stages = curricula.for_searcher(max(1, warm), stay, lr)
    return Training(
        "searcher",
        stages if warm else stages[1:],
        options,
        localisation_rate=rate,
        loss="value of fixations",
        batch=50,
        fraction=share,
        **ADAMW,
    )
