"""The trainings of the chapter `beyond`: evidence maps, what they teach, and what explains them.

Cost    an evidence map of 550 000 fields: half an hour of two CPU cores; the list `card_trainings` as a whole: 17
        million fields
Score   see the chapter
Run     `card_trainings()` is the list for a GPU, in the order of worth; each training by its name in `trainings()`

All learn from class labels of whole fields: neither crops nor positions. Digits are at std 40 pixels from the first
step, stimuli are fresh, the learning rate falls along half a cosine wave; the factorial experiment says where not.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, product

import torch
import torch.nn.functional as F
from torch import nn

from .. import evaluation, models
from ..classifiers import device_of
from ..config import Training, seeded
from ..digits import Digits
from ..evaluation import CONTRASTS, Proportion
from ..fields import Cluttered, Field
from ..filters import WhatWhere
from ..search.foveal import SURE, FovealEvidence
from ..stimuli import FIELD, Scene128, StimulusConfig
from . import curricula, recipes, scaling
from .bootstrap import Estimate
from .measure import LOST, Ran
from .scaling import PowerLaw

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
SCALED = (16_500, 49_500, SHORT), (4, 8, 16)  # images of a map of 16 channels, channels of a map of `SHORT` images
COMPARED = (
    "attention STN",
    "log-polar STN, 2 560 features",
    "convolutional log-polar STN",
)  # learning curves beside ours
ROWS_2021 = {  # beside ours: name -> its row in `facts.benchmark`
    "STN-128 (STN_128x128)": "STN_128x128",
    "attention STN (ATN)": "ATN",
    "convolutional log-polar STN (convPOLO_ATN_85%)": "convPOLO_ATN_85%",
    "What/Where model, 5 saccades": "What/Where 5 saccades",
}
WINDOW = {"scale_start": 0.22, "kaiming": True, **recipes.GREY}  # of an attention transformer: a sample per pixel
SIZES = (64, FIELD, 192, 256)  # of fields, pixels
LARGE = 1024  # edge of a field to which costs are extrapolated, pixels
ANCHORS = {  # of the literature
    "cluttered 60x60": Cluttered(),
    "cluttered 100x100": Cluttered(size=100, pieces=8),
    "cluttered 60x60, small pieces": Cluttered(pieces=16, piece=6),
}
PUBLISHED = {  # of the same: what others report, system -> error and where; Mnih et al. as in the proceedings
    "cluttered 60x60": {
        "convolutional network": (0.0809, "Mnih et al. 2014"),
        "recurrent attention, eight glimpses": (0.0404, "Mnih et al. 2014"),
    },
    "cluttered 100x100": {
        "convolutional network": (0.1435, "Mnih et al. 2014"),
        "recurrent attention, eight glimpses": (0.0811, "Mnih et al. 2014"),
        "differentiable recurrent attention, eight glimpses": (0.0336, "Gregor et al. 2015"),
    },
    "cluttered 60x60, small pieces": {
        "fully connected network": (0.132, "Jaderberg et al. 2015"),
        "convolutional network": (0.035, "Jaderberg et al. 2015"),
        "spatial transformer, convolutional": (0.017, "Jaderberg et al. 2015"),
    },
}
FACTORS = {  # of the factorial experiment: name -> its two levels, that of 2021 first
    "stimuli": ("frozen", "fresh"),
    "optimiser": ("SGD", "AdamW"),
    "lower contrasts": ("late", "early"),
    "system": ("attention STN", "evidence map"),
}
CHANGES = {  # the same: what our level is, in words
    "stimuli": "fresh stimuli in place of frozen ones",
    "optimiser": "AdamW in place of SGD",
    "lower contrasts": "lower contrasts from the first step",
    "system": "a map with a sum over places instead of a window",
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


def taught_window(start: Training | None = None, epochs: int = 20, share: float = 0.1, **options) -> Training:
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
    """Return a cell of the factorial experiment: 110 000 images each, so that a frozen stimulus is shown twice.

    Args:
        stimuli, optimiser, contrasts, system: a level each, see `FACTORS`. Late contrasts are below 70 % in the last
            60 % of the images; the window learns through its sampler.
    """
    rate = {"SGD": 0.01, "AdamW": 0.001}[optimiser]
    stages = curricula.for_evidence_map(20, rate, {"late": 0.4, "early": 0}[contrasts], Scene128(draws=stimuli))
    model, options = {"evidence map": ("evidence", {}), "attention STN": ("atn", WINDOW)}[system]
    how = recipes.ADAMW if optimiser == "AdamW" else {"optimiser": "sgd", "reset_optimiser": False}
    return Training(model, stages, options, batch=50, fraction=0.1, **how)


def sized(size: int) -> Training:
    """Return the training of an evidence map on fields of another size: 49 500 of them, whatever the size."""
    return evidence_map(49_500, scene=Field.sized(size))


def rings(size: int) -> int:
    """Return the rings of the retina of the What/Where model for fields of another size: two more when it doubles."""
    return 10 + round(2 * math.log2(size / FIELD))


def periphery(size: int) -> WhatWhere:
    """Return the retina of the What/Where model for fields of another size: what it has at an eccentricity in pixels it
    has there at all sizes, see `rings`."""
    return WhatWhere(field=size, rings=rings(size), sf_scale=0.015 * FIELD / size)


def sized_foveal(size: int) -> Training:
    """Return the training of a foveal searcher on fields of another size, taught by the evidence map of that size."""
    training = foveal(sized(size), retina=periphery(size))
    return replace(training, stages=tuple(replace(each, scene=Field.sized(size)) for each in training.stages))


def learned(runs: Mapping[int, Ran]) -> list[int]:
    """Return the sizes whose evidence map is above chance after its training, and can supervise a searcher; the first
    if none is."""
    return [size for size, run in runs.items() if run.history[-1]["accuracy"] > LOST] or list(runs)[:1]


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


def accuracy_at(history: Sequence[Mapping], images: int) -> float:
    """Return the accuracy after the last epoch that ends within so many training images."""
    return max([(0, 0.0), *(each for each in learning_curve(history) if each[0] <= images)])[1]


def by_contrast(runs: Sequence[Mapping]) -> list:
    """Return of runs of one system, (contrast, radius) -> accuracy each, the mean at each contrast, and the list of
    their means over all cells."""
    mean = evaluation.mean_accuracy
    return [*(sum(mean(each, c) for each in runs) / len(runs) for c in CONTRASTS), [mean(each) for each in runs]]


def below(base: Sequence[float], others: Mapping[str, float]) -> list[str]:
    """Return which of the other accuracies are below the lowest of `base` by more than the spread of `base`."""
    return [name for name, each in others.items() if min(base) - each > max(base) - min(base)]


def scaled() -> dict[str, dict[int, Training]]:
    """Return the trainings of `SCALED`, against images and against parameters."""
    images, widths = SCALED
    return {
        "training images": {n: evidence_map(n) for n in images},
        "parameters": {WIDTHS[w]: evidence_map() if w == 16 else evidence_map(width=w) for w in widths},
    }


def seeds_of(training: Training, first: int) -> range:
    """Return the seeds of a point of `scaled`: three of the map that is both a point of images and of parameters."""
    return range(first, first + (SEEDS if training == evidence_map() else 1))


def tested_on(training: Training, many: int, few: int) -> int:
    """Return on how many test digits a point of `scaled` is tested: on `many` if it is compared elsewhere too."""
    return many if training in (evidence_map(), evidence_map(min(BUDGETS))) else few


def errors(runs: Sequence[Mapping]) -> list[float]:
    """Return the error of each run, mean over its cells."""
    return [1 - evaluation.mean_accuracy(each) for each in runs]


def error_law(errors: Mapping[float, Sequence[float]]) -> PowerLaw:
    """Return the power law of the mean error over the 27 cells, from the errors of each run."""
    return scaling.power_law(list(errors), [sum(each) / len(each) for each in errors.values()])


def effects(found: Mapping[tuple[str, ...], Mapping]) -> dict[str, Estimate]:
    """Return what each factor of the factorial experiment adds to the log odds of a correct prediction, from the level
    of 2021 to ours, and the interactions of two.

    Args:
        found: levels -> proportions in the cells of the benchmark, which are counted together.
    """
    values = {
        levels: scaling.log_odds(sum(each.correct for each in cells.values()), sum(each.n for each in cells.values()))
        for levels, cells in found.items()
    }
    return scaling.main_effects(values, FACTORS)


def largest(found: Mapping[str, Estimate]) -> str:
    """Return the factor, not the interaction, whose effect is the largest."""
    return max(FACTORS, key=lambda name: found[name].value)


def limits(counts: Mapping[str, list], n: int) -> dict[float, dict[str, float]]:
    """Return what limits an evidence map at each contrast, from the counts of `searches.of_evidence`: shares of all
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


def searched(counts: Mapping[str, list], n: int) -> dict[str, list[float]]:
    """Return the means over the 27 cells of the counts of `searches.of_foveal`, per field."""
    return {name: [sum(each) / (n * len(rows)) for each in zip(*rows, strict=True)] for name, rows in counts.items()}


def _seconds(work: Callable[[], object], times: int = 2) -> float:
    """Return the least processor time of some repetitions."""

    def once() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return min(once() for _ in range(times))


@torch.inference_mode()
def search_time(model: FovealEvidence, test: Digits, n: int, saccades: int) -> float:
    """Return the processor time of a search of all fixations on `n` fields, in times of that of the searcher's evidence
    map on them."""
    fields = evaluation.fixed_stimuli(test, Scene128(), n).to(device_of(model)).images
    search = _seconds(lambda: model.search(fields, saccades, SURE[-1]))
    return round(search / _seconds(lambda: model.what(fields)), 1)


def step_time(model: nn.Module, test: Digits, n: int) -> float:
    """Return the processor time of a training step on `n` fields, forwards and backwards, in times of that of the
    attention transformer."""
    images, labels, *_ = evaluation.fixed_stimuli(test, Scene128(), n).to(device_of(model))

    def seconds(network: nn.Module) -> float:
        return _seconds(lambda: F.cross_entropy(network(images).logits, labels).backward(), 3)

    other = recipes.attention()
    attention = models.build(other.model, **other.options).to(device_of(model))
    return round(seconds(copy.deepcopy(model).train()) / seconds(attention.train()), 1)


def coefficients(fixations: float, size: int = FIELD, fovea: int = 44) -> float:
    """Return the input values of a foveal search of so many fixations in a field of `size` pixels: the retina's
    coefficients, at the middle of the field and at every fixation but the last, and the pixels of each fovea."""
    return fixations * (WhatWhere(rings=rings(size)).n + fovea**2)


def inputs(system: str, size: int) -> float:
    """Return the input values of a system per prediction in a field of `size` pixels, a foveal search with five
    fixations."""
    return {"evidence map": size**2, "foveal search": coefficients(5, size)}[system]


def costs(operations: Mapping[int, Sequence[float]]) -> dict[str, dict[str, dict[int, float]]]:
    """Return costs per prediction in fields of growing size: label -> system -> {edge, pixels: cost}.

    Args:
        operations: edge -> those of `operations`.
    """
    systems, edges = ("evidence map", "foveal search"), (*operations, LARGE)
    made = {name: {edge: each[k] / 1e6 for edge, each in operations.items()} for k, name in enumerate(systems)}
    return {
        "million operations": made,
        "input values": {name: {edge: inputs(name, edge) for edge in edges} for name in systems},
    }


def growing(costs: Mapping[str, Mapping[str, Mapping[int, float]]]) -> Iterator[tuple[str, str, Mapping[int, float]]]:
    """Yield label, system and costs of what a power law is fitted to: operations, of two sizes at least."""
    label = "million operations"
    return ((label, name, each) for name, each in costs[label].items() if len(each) > 1)


def beside_published(found: Mapping[str, Proportion]) -> list[tuple[str, str, str, str]]:
    """Return rows of images, system, error and source: those of `PUBLISHED`, and ours.

    Args:
        found: name of the images -> accuracy of the evidence map.
    """
    rows = []
    for name, each in found.items():
        low, high = (100 * (1 - bound) for bound in reversed(each.interval))
        rows += [(name, system, f"{100 * error:.2f} %", source) for system, (error, source) in PUBLISHED[name].items()]
        rows.append((name, "evidence map", f"{100 * (1 - each.value):.2f} % ({low:.2f} to {high:.2f})", "here"))
    return rows


def operations(model: nn.Module, test: Digits, size: int) -> list[float]:
    """Return the operations by which an evidence map classifies a field of `size` pixels, and those of a foveal search
    of five fixations with a map of the same width: both depend on neither weights nor device."""
    width = model.conv1.out_channels
    built = models.build("evidence", width=width), models.build("foveal", retina=periphery(size), what_width=width)
    return [scaling.operations(each, size) for each in built]
