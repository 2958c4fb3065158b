"""The trainings of the chapter `beyond`: evidence maps, what they teach, and what explains them.

Cost    an evidence map of 550 000 fields: half an hour of two CPU cores; the list `card_trainings` as a whole: 17
        million fields
Score   see the chapter
Run     `card_trainings()` is the list for a GPU, in the order of worth; each training by its name in `trainings()`

All learn from class labels of whole fields: neither crops nor positions. Digits are at std 40 pixels from the first
step, stimuli are fresh, the learning rate falls along half a cosine wave; the factorial experiment says where not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, product

from .. import evaluation, scaling
from ..config import Training, seeded
from ..evaluation import CONTRASTS
from ..fields import Cluttered, Field
from ..foveal import SURE
from ..retina import WhatWhere
from ..scaling import Estimate, PowerLaw
from ..stimuli import FIELD, Scene128, StimulusConfig
from . import curricula, recipes

SEEDS = 3
BUDGETS = {  # images -> epochs, share of the training digits in each
    16_500: (6, 0.05),
    49_500: (18, 0.05),
    154_000: (56, 0.05),
    550_000: (50, 0.2),
    990_000: (45, 0.4),
}
SHORT, MAIN, LONG = 154_000, 550_000, 990_000
CLEAR = 22_000  # images at contrast 70 %, from which a map learns to find digits at all
WIDTHS = {4: 3_191, 8: 12_067, 16: 46_907, 23: 96_082, 32: 184_939}  # channels -> parameters
MAIN_WIDTH = 23  # the widest below 100 000 parameters
ABLATIONS = {  # name -> options of the model
    "maximum": {"pooling": "max"},
    "mean": {"pooling": "mean"},
    "attention": {"pooling": "attention"},
    "without 'no digit'": {"blank": False},
    "places 2 px apart": {"stride": 2},
    "places 8 px apart": {"stride": 8},
}
WINDOW = {"scale_start": 0.22, "kaiming": True, **recipes.GREY}  # of an attention transformer: a sample per pixel
SIZES = (64, 192, 256)  # of fields, pixels, beside 128
ANCHORS = {  # of the literature
    "cluttered 60x60": Cluttered(),
    "cluttered 100x100": Cluttered(size=100, pieces=8),
    "cluttered 60x60, small pieces": Cluttered(pieces=16, piece=6),
}
FACTORS = {  # of the factorial experiment: name -> its two levels, that of 2021 first
    "stimuli": ("frozen", "fresh"),
    "optimiser": ("sgd", "adamw"),
    "lower contrasts": ("late", "early"),
    "system": ("window", "map"),
}


def evidence_map(
    images: int = SHORT, lr: float = 0.002, clear: int = CLEAR, scene: StimulusConfig | None = None, **options
) -> Training:
    """Return the training of an evidence map.

    Args:
        images: one of `BUDGETS`. clear: about how many of them, at the start, have contrast 70 %; at most 40 %.
            scene: what it is trained on (default: `Scene128`). options: of the model, see `evidence.EvidenceMap`.
    """
    epochs, share = BUDGETS[images]
    stages = curricula.for_evidence_map(epochs, lr, min(0.4, clear / images), scene)
    return Training("evidence", stages, options, batch=50, fraction=share, **recipes.ADAMW)


def main() -> Training:
    """Return the main recipe: at least 97.5 % over the 27 cells, with at most 100 000 parameters, is the aim."""
    return evidence_map(MAIN, width=MAIN_WIDTH)


def foveal(start: Training | None = None, epochs: int = 40, share: float = 0.1, **options) -> Training:
    """Return the training of the where network of a foveal searcher, taught by an evidence map.

    Args:
        start: the training of the map (default: `main`). epochs, share: of the training digits. options: of the model.
    """
    return _taught("foveal", start or main(), "what_width", "posterior of places", epochs, share, 0.002, options)


def taught_window(start: Training | None = None, epochs: int = 40, share: float = 0.1, **options) -> Training:
    """Return the training of an attention transformer whose localisation is taught by an evidence map; see `foveal`."""
    options = {**WINDOW, **options}
    return _taught(
        "taught_atn", start or main(), "evidence_width", "cross_entropy and evidence", epochs, share, 0.001, options
    )


def _taught(
    model: str, start: Training, width: str, loss: str, epochs: int, share: float, lr: float, options: dict
) -> Training:
    stages = curricula.for_evidence_map(epochs, lr, clear=0)
    options = {**({width: start.options["width"]} if "width" in start.options else {}), **options}
    settings = {"batch": 50, "fraction": share, "loss": loss, "start": start, "start_with": "teacher"}
    return Training(model, stages, options, **settings, **recipes.ADAMW)


def factorial(stimuli: str, optimiser: str, contrasts: str, system: str) -> Training:
    """Return a cell of the factorial experiment: 165 000 images each, so that a frozen stimulus is shown three times.

    Args:
        stimuli, optimiser, contrasts, system: a level each, see `FACTORS`. Late contrasts are below 70 % in the last
            60 % of the images; the window learns through its sampler.
    """
    rate = {"sgd": 0.01, "adamw": 0.001}[optimiser]
    stages = curricula.for_evidence_map(30, rate, {"late": 0.4, "early": 0}[contrasts], Scene128(draws=stimuli))
    model, options = {"map": ("evidence", {}), "window": ("atn", WINDOW)}[system]
    how = recipes.ADAMW if optimiser == "adamw" else {"optimiser": "sgd", "reset_optimiser": False}
    return Training(model, stages, options, batch=50, fraction=0.1, **how)


def sized(size: int) -> Training:
    """Return the training of an evidence map on fields of another size."""
    return evidence_map(scene=Field.sized(size))


def periphery(size: int) -> WhatWhere:
    """Return the retina of the What/Where model for fields of another size: what it has at an eccentricity in pixels it
    has there at all sizes, and two rings more when the field doubles."""
    return WhatWhere(field=size, rings=10 + round(2 * math.log2(size / FIELD)), sf_scale=0.015 * FIELD / size)


def sized_foveal(size: int) -> Training:
    """Return the training of a foveal searcher on fields of another size, taught by the evidence map of that size."""
    training = foveal(sized(size), retina=periphery(size))
    return replace(training, stages=tuple(replace(each, scene=Field.sized(size)) for each in training.stages))


def anchor(name: str) -> Training:
    """Return the training of an evidence map, as wide and as long as the main one, on a law of the literature."""
    return evidence_map(MAIN, clear=0, scene=ANCHORS[name], width=MAIN_WIDTH)


def cells_of_factorial() -> Iterator[tuple[tuple[str, ...], Training]]:
    """Yield the levels of each of the 16 cells, and its training."""
    return ((levels, factorial(*levels)) for levels in product(*FACTORS.values()))


def seeds(training: Training, n: int = SEEDS, first: int = 0) -> list[Training]:
    """Return the same training with `n` seeds, from `first` on."""
    return [seeded(training, seed, training.data) for seed in range(first, first + n)]


def card_trainings() -> list[tuple[str, list[Training], float]]:
    """Return what to train on a GPU: name, trainings, worth; the highest worth first."""
    windows, cut = taught_window(), [images for images in BUDGETS if images < SHORT]
    return [
        ("evidence map, main recipe", seeds(main()), 100.0),
        ("evidence map, learning curves", seeds(evidence_map()), 99.5),
        ("foveal searcher, taught by the map", seeds(foveal(), 1), 98.5),
        ("foveal searcher, further seeds", seeds(foveal(), SEEDS - 1, 1), 97.5),
        ("attention transformer, taught by the map", seeds(windows, 1), 96.5),
        ("evidence map, pooling and places", [evidence_map(**options) for options in ABLATIONS.values()], 95.5),
        ("evidence map, few images", [evidence_map(images) for images in cut], 94.5),
        ("evidence map, widths", [evidence_map(width=width) for width in WIDTHS if width != 16], 93.5),
        ("evidence map, sizes of the field", [sized(size) for size in SIZES], 92.5),
        ("foveal searcher, sizes of the field", [sized_foveal(size) for size in SIZES], 92.0),
        ("evidence map, many images", [evidence_map(images) for images in (MAIN, LONG)], 91.5),
        ("factorial experiment", [training for _, training in cells_of_factorial()], 88.5),
        ("evidence map, cluttered fields", [anchor(name) for name in ANCHORS], 87.5),
        ("attention transformer, further seeds", seeds(windows, SEEDS - 1, 1), 82.5),
        ("evidence map, wide and long", [evidence_map(LONG, width=width) for width in (32, 23, 8, 4)], 60.0),
        (
            "evidence map, pooling and places, further seeds",
            [each for options in ABLATIONS.values() for each in seeds(evidence_map(**options), SEEDS - 1, 1)],
            35.0,
        ),
    ]


def trainings() -> dict[str, Training]:
    """Return every training of `card_trainings` by name: that of its group, and which one it is."""
    return {f"{name}, {i + 1}": each for name, group, _ in card_trainings() for i, each in enumerate(group)}


# ---- results --------------------------------------------------------------------------------------------------------


def learning_curve(history: Sequence[Mapping]) -> list[tuple[int, float]]:
    """Return (training images so far, accuracy on held-out digits of the last stage's stimuli) after every epoch."""
    return list(
        zip(accumulate(each["images"] for each in history), (each["fixed_accuracy"] for each in history), strict=True)
    )


def images_to_reach(history: Sequence[Mapping], accuracy: float) -> int | None:
    """Return the training images after which a run stayed at an accuracy or above, mean over three epochs; None if it
    never did. An epoch's accuracy is of few stimuli, whose mean over three is steadier."""
    curve = learning_curve(history)
    means = [sum(value for _, value in curve[max(0, k - 2) : k + 1]) / min(3, k + 1) for k in range(len(curve))]
    reached = [images for (images, _), mean in zip(curve, means, strict=True) if mean >= accuracy]
    return reached[0] if reached else None


def error_law(accuracies: Mapping[float, float]) -> PowerLaw:
    """Return the power law of the error against images or parameters, from the mean accuracies over the 27 cells."""
    return scaling.power_law(list(accuracies), [1 - each for each in accuracies.values()])


def effects(correct: Mapping[tuple[str, ...], int], n: int) -> dict[str, Estimate]:
    """Return what each factor of the factorial experiment adds to the log odds of a right answer, from the level of
    2021 to ours, and the interactions of two.

    Args:
        correct: levels -> right answers, all cells of the benchmark together. n: of so many.
    """
    return scaling.main_effects({levels: scaling.log_odds(each, n) for levels, each in correct.items()}, FACTORS)


def limits(counts: Mapping[str, list], n: int) -> dict[float, dict[str, float]]:
    """Return what limits an evidence map at each contrast, from the counts of `evidence.benchmark`: shares of all
    fields that are `wrong`, wrong with the place astray (`lost`), wrong at the right place (`confused`), and wrong for
    the same network when it is told the place (`told`) and for all maps together (`together`)."""
    tables = {"wrong": counts["right"][0], "told": counts["told"], "together": counts["together"]}
    found: dict[float, dict[str, float]] = {}
    for contrast in CONTRASTS:
        which = [k for k, (c, _) in enumerate(evaluation.cells()) if c == contrast]
        share = {name: 1 - sum(row[k] for k in which) / (n * len(which)) for name, row in tables.items()}
        lost = sum(counts["lost"][k] for k in which) / (n * len(which))
        found[contrast] = {**share, "lost": lost, "confused": share["wrong"] - lost}
    return found


def trade_off(counts: Mapping[str, list], n: int) -> list[tuple[float, float, float]]:
    """Return (log evidence at which searches stop, mean fixations, accuracy over the 27 cells) from the counts of
    `foveal.benchmark`; the last never stop before their five fixations."""
    cells = len(counts["made"])
    made, right = (
        [sum(column) / (cells * n) for column in zip(*counts[name], strict=True)] for name in ("made", "stopped")
    )
    return list(zip(SURE, made, right, strict=True))


def coefficients(fixations: float, retina: WhatWhere | None = None, fovea: int = 44) -> float:
    """Return the numbers that a foveal search of so many fixations looks at: the retina's, from the middle of the field
    and from every fixation but the last, and the pixels of each fovea."""
    return fixations * ((retina or WhatWhere()).n + fovea**2)
