"""Evaluations of a run: each is a function of a model and the test digits, stored under a name and its settings.

    store.evaluate(evaluations.benchmark, run, n=2000)

What an evaluation measures is plain data, so that it can be kept; `read` makes the result of it, from the store or
fresh. Names and settings are part of what is stored: neither may change.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .. import classifiers, evaluation, rng, whatwhere
from ..digits import Digits
from ..evaluation import CONTRASTS, Predictions, Proportion
from ..experiments.benchmark import SAMPLE, Digitwise, measure, measure_saccades
from ..search import evidence, searcher
from ..stimuli import ECCENTRICITIES, Scene128, Stimuli, StimulusConfig, draw, window
from . import visual_field
from .searches import SaccadeCounts, of_evidence, of_foveal, of_searcher, of_what_where


def _same(kept: object, test: Digits, **settings) -> Any:
    return kept


@dataclass(frozen=True)
class Evaluation:
    """What is measured of a run.

    Args:
        name: under which it is stored. measure: (model, test digits, **settings) -> plain data; where a setting is a
            run, it gets the model. read: (plain data, test digits, **settings) -> the result. smoke: test digits in
            the profile "smoke".
    """

    name: str
    measure: Callable[..., object]
    read: Callable[..., Any] = _same
    smoke: int = 8

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings given, and the others at their defaults."""
        bound = inspect.signature(self.measure).bind(None, None, **given)
        bound.apply_defaults()
        return dict(list(bound.arguments.items())[2:])


def evaluation_of(name: str, read: Callable[..., Any] = _same, smoke: int = 8) -> Callable[[Callable], Evaluation]:
    """Make an evaluation of the function below."""
    return lambda measure: Evaluation(name, measure, read, smoke)


CELL = 2  # digits in each of the 27 cells, in the profile "smoke"

# ---- one distribution of stimuli -------------------------------------------------------------------------------------


@evaluation_of("accuracy", lambda kept, *_, **__: Proportion(*map(int, kept)), smoke=200)
def accuracy(model: nn.Module, test: Digits, scene: StimulusConfig, n: int | None = None, seed: int = 0) -> list[int]:
    """The accuracy on fixed stimuli of the first `n` test digits (None: all)."""
    found = evaluation.accuracy(model, test, scene, n, seed)
    return [found.correct, found.n]


def _predictions(found: Predictions) -> dict:
    """Return predictions as plain data, theta rounded to 5 digits."""
    theta = found.theta
    thetas = None if theta is None else [[round(x, 5) for x in each] for each in theta.flatten(1).tolist()]
    return {"predicted": found.predicted.tolist(), "theta": thetas}


def _read_predictions(kept: dict, labels: Tensor, offsets: Tensor) -> Predictions:
    predicted = torch.tensor(kept["predicted"])
    theta = None if kept["theta"] is None else torch.tensor(kept["theta"]).view(-1, 2, 3)
    return Predictions(predicted, predicted == labels, theta, offsets)


def _of_stream(kept: dict, test: Digits, scene: StimulusConfig, n: int, seed: int) -> Predictions:
    columns = zip(*((each.labels, each.offsets) for each in evaluation.stream(test, scene, n, seed)), strict=True)
    return _read_predictions(kept, *(torch.cat(column).cpu() for column in columns))


@evaluation_of("answers", _of_stream)
def predictions(model: nn.Module, test: Digits, scene: StimulusConfig, n: int = 500, seed: int = 0) -> dict:
    """The predictions for fixed stimuli of the first `n` test digits, theta rounded to 5 digits."""
    return _predictions(evaluation.predictions(model, test, scene, n, seed))


def _of_grid(kept: dict, test: Digits, **settings) -> Predictions:
    stimuli = grid_stimuli(test, **settings)
    return _read_predictions(kept, stimuli.labels, stimuli.offsets)


@evaluation_of("grid", _of_grid)
def predictions_on_grid(
    model: nn.Module, test: Digits, scene: StimulusConfig, axis: Sequence[int], count: int = 4, seed: int = 0
) -> dict:
    """The predictions for the stimuli of `grid_stimuli`."""
    return _predictions(evaluation.predict(model, grid_stimuli(test, scene, axis, count, seed)))


def grid_stimuli(digits: Digits, scene: StimulusConfig, axis: Sequence[int], count: int = 4, seed: int = 0) -> Stimuli:
    """Return the first `count` digits of different labels at every offset of a grid, row by row: to look at a map.

    Digits, contrasts and textures are the same at every offset; fresh draws, that depend on the seed alone.

    Args:
        axis: offsets in pixels along both axes.
    """
    labels = digits.labels.tolist()
    rows = torch.tensor(sorted(map(labels.index, set(labels)))[:count], device=digits.labels.device)
    fresh = replace(scene, draws="fresh")
    parts = []
    for offset in itertools.product(axis, axis):
        offsets = torch.tensor([offset], device=rows.device).expand(len(rows), 2)
        parts.append(draw(digits, rows, fresh, rng.generator("grid", seed, device=rows.device), offsets))
    return Stimuli(*(torch.cat(column) for column in zip(*parts, strict=True)))


@evaluation_of("alive", lambda kept, *_, **__: float(kept))
def active_units(model: nn.Module, test: Digits, scene: StimulusConfig, n: int = 500) -> float:
    """The share of the last hidden localisation units that are active for any of `n` test stimuli."""
    return round(evaluation.active_units(model, evaluation.fixed_stimuli(test, scene, n).images), 5)


@evaluation_of("map", lambda kept, *_, **__: torch.tensor(kept))
def accuracy_map(model: nn.Module, test: Digits, scene: StimulusConfig, n: int, step: int) -> list[list[float]]:
    """The accuracy at every `step`th offset, `n` stimuli each."""
    values = evaluation.accuracy_map(model, test, scene, n, evaluation.positions(step=step))
    return [[round(value, 5) for value in row] for row in values.tolist()]


# ---- the 27 cells of the benchmark -----------------------------------------------------------------------------------


def _read_cells(kept: Sequence[Sequence[int]], test: Digits, n: int, **_) -> dict[tuple[float, float], Proportion]:
    return {
        (contrast, radius): Proportion(int(each), n)
        for contrast, row in zip(CONTRASTS, kept, strict=True)
        for radius, each in zip(ECCENTRICITIES, row, strict=True)
    }


@evaluation_of("digitwise", lambda kept, test, noise, n: Digitwise.read(kept, n), smoke=CELL)
def digitwise(model: nn.Module, test: Digits, noise: float = 0.75, n: int = SAMPLE) -> dict[str, object]:
    """The outcomes for the random sample of `n` test digits in each cell, digit by digit, see `benchmark`."""
    return measure(model, test, noise, n)


@evaluation_of(
    "digitwise saccades", lambda kept, test, what, noise, n, after: [Digitwise.read(e, n) for e in kept], smoke=CELL
)
def digitwise_saccades(
    where: nn.Module,
    test: Digits,
    what: nn.Module,
    noise: float = 0.75,
    n: int = SAMPLE,
    after: Sequence[int] = (0, 1, whatwhere.SACCADES),
) -> list[dict[str, object]]:
    """What/Where: the outcomes for the random sample, digit by digit, after each of so many saccades."""
    return measure_saccades(what, where, test, noise, n, after)


@evaluation_of("benchmark", _read_cells, smoke=CELL)
def benchmark(model: nn.Module, test: Digits, scene: Scene128 = Scene128(), n: int = 2000) -> list[list[int]]:
    """The accuracy in each cell, (contrast, eccentricity) -> proportion of the first `n` test digits.

    Args:
        scene: its view "oracle" shows the classifier what a perfect fixation would see: the run's own ceiling.
    """
    found = evaluation.benchmark(model, test, n, scene)
    return [[each.correct for (c, _), each in found.items() if c == contrast] for contrast in CONTRASTS]


def _read_saccades(kept: list, test: Digits, scene: Scene128, **_) -> list[dict[tuple[float, float], SaccadeCounts]]:
    cells = evaluation.cells(scene)
    return [{cell: SaccadeCounts(**each) for cell, each in zip(cells, row, strict=True)} for row in kept]


@evaluation_of("saccades", _read_saccades, smoke=CELL)
def saccades(
    where: nn.Module,
    test: Digits,
    whats: Sequence[nn.Module],
    scene: Scene128,
    n: int = 2000,
    saccades: int = whatwhere.SACCADES,
) -> list[list[dict]]:
    """What/Where: what each of several What pathways makes of the same fixations, cell by cell.

    Args:
        saccades: at most.
    """
    named = dict(enumerate(whats))
    found = [of_what_where(named, where, test, each, n, saccades) for each in evaluation.cells(scene).values()]
    return [[asdict(each[what]) for each in found] for what in named]


def _read_searches(kept: dict, test: Digits, n: int, **_) -> list[dict[tuple[float, float], Proportion]]:
    cells = evaluation.cells()
    return [{cell: Proportion(int(k), n) for cell, k in zip(cells, row, strict=True)} for row in kept["right"]]


@evaluation_of("searches", _read_searches, smoke=CELL)
def searches(model: nn.Module, test: Digits, n: int = 1000, saccades: int = 5) -> dict[str, list]:
    """The accuracy of a searcher in each cell with at most 1, 2, ... saccades."""
    return of_searcher(model, test, n, saccades)


@evaluation_of("limits", smoke=CELL)
def limits(model: nn.Module, test: Digits, n: int = 1000, reach: float = evidence.REACH) -> dict[str, list]:
    """What `searches.of_evidence` counts of an evidence map."""
    return of_evidence([model], test, n)


@evaluation_of("ensemble", smoke=CELL)
def ensemble(model: nn.Module, test: Digits, further: Sequence[nn.Module], n: int = 1000) -> dict[str, list]:
    """What `searches.of_evidence` counts of several evidence maps, the first of which is the run."""
    return of_evidence([model, *further], test, n)


@evaluation_of("foveal searches", smoke=CELL)
def foveal_searches(model: nn.Module, test: Digits, n: int = 1000, saccades: int = 5) -> dict[str, list]:
    """What `searches.of_foveal` counts of a foveal searcher."""
    return of_foveal(model, test, n, saccades)


# ---- scan paths and the visual field, for explorers ------------------------------------------------------------------


def _tensors(kept: Sequence, n: int) -> list[Tensor]:
    """Return `n` tensors that were kept as lists."""
    if len(kept) != n:
        raise ValueError(f"{len(kept)} parts, not {n}")
    return [torch.tensor(each) for each in kept]


def _read_traces(kept: Sequence, test: Digits, scene: Scene128, n: int, **_) -> tuple:
    return evaluation.fixed_stimuli(test, scene, n), *_tensors(kept, 2)


@evaluation_of("traces", _read_traces, smoke=60)
def traces(where: nn.Module, test: Digits, what: nn.Module, scene: Scene128, n: int = 60) -> list:
    """What/Where: fixed stimuli of a configuration, fixations (looks, n, 2) and predictions (looks, n)."""
    seen = whatwhere.trace(what, where, evaluation.fixed_stimuli(test, scene, n).images)
    return [seen.fixations.tolist(), seen.posterior.argmax(2).tolist()]


def _read_scanpaths(kept: Sequence, test: Digits, scene: Scene128, n: int, **_) -> tuple:
    return evaluation.fixed_stimuli(test, scene, n), searcher.SearchTrace(*_tensors(kept, 5))


@evaluation_of("scanpaths", _read_scanpaths, smoke=60)
@torch.inference_mode()
def scanpaths(model: nn.Module, test: Digits, scene: Scene128, n: int, saccades: int = 5) -> list:
    """Fixed stimuli of a configuration, and the trace of a searcher on them."""
    images = evaluation.fixed_stimuli(test, scene, n).images
    trace = model.search(images.to(classifiers.device_of(model)), saccades)
    posteriors = [[[round(p, 4) for p in look] for look in each] for each in trace.posteriors.tolist()]
    confidence = [[round(c, 4) for c in each] for each in trace.confidence.tolist()]
    return [trace.fixations.tolist(), trace.expected.tolist(), posteriors, confidence, trace.made.tolist()]


def _read_sweep(kept: Sequence, *_, **__) -> visual_field.SweepOutput:
    predicted, windows, fixations, correct = _tensors(kept, 4)
    return visual_field.SweepOutput(predicted, windows.unflatten(2, (2, 3)), fixations, correct)


@evaluation_of("field", _read_sweep)
@torch.inference_mode()
def visual_field_sweep(model: nn.Module, test: Digits, grid: visual_field.Sweep, what: nn.Module | None = None) -> list:
    """What a system does over a grid of settings: one that classifies through a window, or, with a What pathway, a
    Where network."""
    model.eval()

    def respond(images):
        if what is None:
            seen = model(images.to(classifiers.device_of(model)))
            return seen.logits.argmax(1), seen.theta, torch.zeros(len(images), 0, 2)
        seen = whatwhere.trace(what, model, images)
        return seen.posterior[-1].argmax(1), window(seen.fixations[-1]), seen.fixations.transpose(0, 1)

    found = visual_field.evaluate(respond, test, grid)
    windows = [[[round(x, 4) for x in theta] for theta in each] for each in found.windows.flatten(2).tolist()]
    return [found.predictions.tolist(), windows, found.fixations.tolist(), found.correct.tolist()]
