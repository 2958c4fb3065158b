"""The benchmark, digit by digit: every system on one random sample of test digits, and where its errors come from.

All systems are shown the same stimuli in the 27 cells of `evaluation.cells`: the digits of one permutation of the test
set, a whole prefix of it, each with one angle and one texture in all cells and at both noise levels. Systems are
therefore compared in pairs, digit by digit (see `bootstrap`).

A misclassification is a *localisation error* if the final window is further than `NEAR` pixels from the digit, else a
*classification error*. A system's accuracy with its window at the true position is its
ceiling, `placed`.

Convention
    rows        int64 (n,), positions in the test set
    outcomes    bool (cells, n), cells in the order of `evaluation.cells`, digits in that of `sample`
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .. import evaluation, psychometrics, rng, stimuli, whatwhere
from ..classifiers import LeNet, device_of
from ..digits import Digits
from ..errors import within
from ..evaluation import Proportion
from ..search import evidence
from ..search.evidence import EvidenceMap
from ..search.foveal import FovealEvidence
from ..search.searcher import Searcher
from ..stimuli import Scene128, Stimuli
from ..transformers import ATN, STN128, Transformer
from . import bootstrap
from .bootstrap import Estimate

SAMPLE = 2_500  # test digits in every cell
NEAR = 8.0  # pixels: a window no further from the digit's middle shows nearly all of its ink; at least `where.HIT`
CONVOLVED = 25  # fields at once on a CPU, for networks that convolve them whole: more leave its caches


class Outcomes(NamedTuple):
    """A system on stimuli: correct or not (B,); correct or not with its window at the true position (B,); the
    distance (B,) of its final window from the digit, pixels; and the places (B,) that it encoded."""

    right: Tensor
    placed: Tensor
    distance: Tensor
    encodings: Tensor


def sample(count: int, n: int = SAMPLE) -> Tensor:
    """Return the rows (n,) of `count` test digits that the benchmark shows: a prefix of one permutation."""
    within("n", n, 1, count, whole=True)
    return torch.randperm(count, generator=rng.generator("sample of test digits"))[:n]


def stream(digits: Digits, scene: Scene128, n: int = SAMPLE) -> Iterator[Stimuli]:
    """Draw the stimuli of the sample, 500 at a time; those of a smaller sample are the first of a larger one."""
    generator = rng.generator("benchmark", device=digits.labels.device)
    rows = sample(len(digits), n).to(digits.labels.device)
    return (stimuli.draw(digits, part, scene, generator) for part in rows.split(evaluation.BATCH))


# ---- what each kind of network does with a stimulus -----------------------------------------------------------------


def _transformer(model: Transformer, part: Stimuli) -> Outcomes:
    output = model(part.images)
    edge = part.images.shape[-1]
    there = torch.cat((output.theta[:, :, :2], stimuli.window(part.offsets, edge)[:, :, 2:]), 2)
    placed = model.classifier(model.sample(part.images, there)).logits
    return _outcomes(part, output.logits, placed, stimuli.fixations(output.theta, edge))


def _evidence(model: EvidenceMap, part: Stimuli) -> Outcomes:
    output = model(part.images)
    placed = evidence.at_true_place(output, part.offsets, stride=model.stride)
    return _outcomes(part, output.logits, placed, stimuli.fixations(output.theta, part.images.shape[-1]))


def _foveal(model: FovealEvidence, part: Stimuli) -> Outcomes:
    trace = model.search(part.images)
    placed = model.foveate(part.images, part.offsets).flatten(2).logsumexp(2)
    return _outcomes(part, trace.logits, placed, trace.fixation, trace.made)


def _searcher(model: Searcher, part: Stimuli) -> Outcomes:
    trace = model.search(part.images)
    placed = model.what(stimuli.crops(part.images, part.offsets)).logits
    return _outcomes(part, trace.posterior, placed, trace.fixation, trace.made)


def _classifier(model: LeNet, part: Stimuli) -> Outcomes:
    """The What pathway alone: the middle of the field, which it cannot leave."""
    middle = torch.zeros_like(part.offsets)
    answer, placed = (model(stimuli.crops(part.images, each)).logits for each in (middle, part.offsets))
    return _outcomes(part, answer, placed, middle)


KINDS: Mapping[type, Callable[[nn.Module, Stimuli], Outcomes]] = {
    Transformer: _transformer,
    EvidenceMap: _evidence,
    FovealEvidence: _foveal,
    Searcher: _searcher,
    LeNet: _classifier,
}


def _outcomes(part: Stimuli, answer: Tensor, placed: Tensor, fixation: Tensor, made: Tensor | None = None) -> Outcomes:
    right, right_placed = (each.argmax(1) == part.labels for each in (answer, placed))
    distance = (fixation - part.offsets).float().norm(dim=1)
    return Outcomes(right, right_placed, distance, torch.ones_like(part.labels) if made is None else made)


@torch.inference_mode()
def examine(model: nn.Module, batch: Stimuli) -> Outcomes:
    """Return what a network of one of `KINDS` makes of a batch of 128x128 stimuli (B, 1, 128, 128), on the CPU."""
    [kind] = (each for each in KINDS if isinstance(model, each))
    fields = CONVOLVED if isinstance(model, EvidenceMap | ATN | STN128) else evaluation.BATCH_OF_FIELDS
    return _joined(KINDS[kind](model.eval(), part) for part in evaluation.batches(batch, device_of(model), fields))


@torch.inference_mode()
def examine_saccades(what: LeNet, where: nn.Module, batch: Stimuli, after: Sequence[int]) -> list[Outcomes]:
    """Return what the What/Where model makes of a batch of 128x128 stimuli after each of so many saccades."""

    def of_part(part: Stimuli) -> list[Outcomes]:
        fixations, _ = whatwhere.scan(where, part.images, max(after))
        placed, *answers = (
            what(stimuli.crops(part.images, each)).logits for each in (part.offsets, *fixations[list(after)])
        )
        return [
            _outcomes(part, answer, placed, fixations[k], torch.full_like(part.labels, k + 1))
            for k, answer in zip(after, answers, strict=True)
        ]

    what.eval()
    parts = [of_part(part) for part in evaluation.batches(batch, device_of(where))]
    return [_joined(each) for each in zip(*parts, strict=True)]


def measure(model: nn.Module, digits: Digits, noise: float, n: int = SAMPLE) -> dict[str, object]:
    """Return `summary` of a network in the 27 cells at a noise level."""
    cells = evaluation.cells(Scene128(noise=noise)).values()
    return summary([_joined(examine(model, part) for part in stream(digits, scene, n)) for scene in cells])


def measure_saccades(
    what: LeNet, where: nn.Module, digits: Digits, noise: float, n: int, after: Sequence[int]
) -> list[dict[str, object]]:
    """Return `summary` of the What/Where model in the 27 cells after each of so many saccades."""
    cells = [
        [_joined(each) for each in zip(*(examine_saccades(what, where, part, after) for part in drawn), strict=True)]
        for drawn in (stream(digits, scene, n) for scene in evaluation.cells(Scene128(noise=noise)).values())
    ]
    return [summary(list(each)) for each in zip(*cells, strict=True)]


def _joined(parts: Iterable[Outcomes]) -> Outcomes:
    return Outcomes(*(torch.cat(column).cpu() for column in zip(*parts, strict=True)))


# ---- as plain data --------------------------------------------------------------------------------------------------


def summary(cells: list[Outcomes]) -> dict[str, object]:
    """Return the outcomes of all cells as plain data: bits for each digit, and means for each cell."""
    right, placed, distance, encodings = (torch.stack(column) for column in zip(*cells, strict=True))
    bits = {"right": right, "placed": placed, "near": distance <= NEAR}
    means = {"distance": distance.mean(1), "encodings": encodings.float().mean(1)}
    return {name: pack(each) for name, each in bits.items()} | {
        name: [round(value, 3) for value in each.tolist()] for name, each in means.items()
    }


def pack(outcomes: Tensor) -> str:
    """Return outcomes (cells, n) as text: their bits, compressed, in base 64."""
    return base64.b64encode(zlib.compress(np.packbits(outcomes.numpy(), axis=1).tobytes(), 9)).decode()


def unpack(text: str, cells: int, n: int) -> np.ndarray:
    """Return the outcomes (cells, n), bool, of a text.

    Raises:
        ValueError: it holds another number of outcomes.
    """
    flat = np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), np.uint8)
    return np.unpackbits(flat.reshape(cells, -1), axis=1, count=n).astype(bool)


@dataclass(frozen=True)
class Digitwise:
    """A run in the benchmark: outcomes (cells, n), bool; distance (cells,), mean pixels between final window and digit;
    encodings (cells,), places encoded on average."""

    right: np.ndarray
    placed: np.ndarray
    near: np.ndarray
    distance: np.ndarray
    encodings: np.ndarray

    @classmethod
    def read(cls, kept: Mapping, n: int) -> Digitwise:
        """Return what `summary` kept of `n` digits."""
        cells = len(kept["distance"])
        bits = (unpack(kept[name], cells, n) for name in ("right", "placed", "near"))
        return cls(*bits, np.array(kept["distance"]), np.array(kept["encodings"]))


# ---- as numbers -----------------------------------------------------------------------------------------------------


class Errors(NamedTuple):
    """The misclassified share of all stimuli, by what erred; undecided: only counts are known, which leave it open."""

    localisation: float
    undecided: float
    classification: float


class Measured:
    """A system in the benchmark at one noise level: outcomes (seeds, cells, digits) of seeds whose weights are kept.

    Args:
        runs: of each of these seeds, on the same digits.
        others: (further seeds, cells) how much more accurate than the first seed others were, of which only counts on
            the first test digits are kept. Accuracies are means over all seeds (difference estimator of two-phase
            sampling, Cochran 1977, chapter 12); ceilings and errors are those of the seeds in `runs`.
    """

    def __init__(self, runs: Sequence[Digitwise], others: Sequence[Sequence[float]] = ()):
        self.others = np.array(others).reshape(-1, len(CELLS))
        self.right, self.placed, self.near = (
            np.stack([getattr(run, name) for run in runs]) for name in ("right", "placed", "near")
        )
        self.distance = float(np.mean([run.distance for run in runs]))  # pixels
        self.encodings = float(np.mean([run.encodings for run in runs]))

    @property
    def n(self) -> int:
        """Test digits in each cell."""
        return self.right.shape[2]

    @property
    def n_seeds(self) -> int:
        """Seeds, of which more than one are part of the intervals."""
        return len(self.right) + len(self.others)

    def accuracy(self, contrast: float | None = None, eccentricity: float | None = None) -> Estimate:
        """Return the accuracy over all cells, or those of a contrast or an eccentricity."""
        chosen = chosen_cells(contrast, eccentricity)
        means, draws = self._accuracies()
        return bootstrap.estimate(means[chosen].mean(), draws[:, chosen].mean(1))

    def _accuracies(self, n: int | None = None, seeds_of: str = "one") -> tuple[np.ndarray, np.ndarray]:
        """Return the accuracy in each cell (cells,) and its draws, on the first `n` digits of the sample."""
        right = self.right[:, :, :n]
        if not len(self.others):
            return right.mean((0, 2)), bootstrap.resampled(right, seeds_of)
        offsets = np.concatenate((np.zeros((1, len(CELLS))), self.others))  # (seeds, cells), of the first seed none
        shares = bootstrap.shares(self.n_seeds, f"seeds of {seeds_of}")
        first = right[:1]
        means, draws = first.mean((0, 2)) + offsets.mean(0), bootstrap.resampled(first, seeds_of) + shares @ offsets
        return means.clip(0, 1), draws.clip(0, 1)

    def ceiling(self, contrast: float | None = None) -> Estimate:
        """Return the accuracy with the window at the true position."""
        return _mean(self.placed, contrast)

    def errors(self) -> Errors:
        """Return the misclassified shares."""
        return Errors(self.localisation_errors().value, 0.0, self.classification_errors().value)

    def localisation_errors(self, contrast: float | None = None) -> Estimate:
        """Return the share of stimuli that are misclassified with the window further than `NEAR` from the digit."""
        return _mean(~self.right & ~self.near, contrast)

    def classification_errors(self, contrast: float | None = None) -> Estimate:
        """Return the share of stimuli that are misclassified although the window is at the digit."""
        return _mean(~self.right & self.near, contrast)

    def ceilings(self) -> dict[tuple[float, float], Estimate]:
        """Return the accuracy in each cell with the window at the true position."""
        return _by_cell(self.placed.mean((0, 2)), bootstrap.resampled(self.placed))

    def cells(self) -> dict[tuple[float, float], Estimate]:
        """Return the accuracy in each cell, (contrast, eccentricity) -> estimate."""
        return _by_cell(*self._accuracies())

    def thresholds(self, level: float = 0.75, resamples: int = 200) -> dict[float, Estimate]:
        """Return the contrast that an accuracy asks for at each eccentricity, see `psychometrics`; infinite where it is
        above 10, intervals from so many resamples of digits and seeds."""
        every = self.n * self.n_seeds

        def fitted(accuracies: np.ndarray) -> dict[float, float]:
            counts = (Proportion(share * every, every) for share in accuracies.clip(0, 1).tolist())
            return psychometrics.points(dict(zip(CELLS, counts, strict=True)), level)

        means, every_draw = self._accuracies()
        found = fitted(means)
        draws = [fitted(row) for row in every_draw[:resamples]]
        return {key: bootstrap.estimate(value, np.array([each[key] for each in draws])) for key, value in found.items()}

    def minus(self, other: Measured | Counted, contrast: float | None = None) -> Estimate:
        """Return by how much this system is more accurate, paired over the digits that both were shown;
        unpaired with a system of which only counts are known."""
        if isinstance(other, Counted):
            return _unpaired(self, other, contrast)
        n, chosen = min(self.n, other.n), chosen_cells(contrast)
        (ours, our_draws), (theirs, their_draws) = self._accuracies(n), other._accuracies(n, "another")
        draws = (our_draws - their_draws)[:, chosen].mean(1)
        return bootstrap.estimate((ours - theirs)[chosen].mean(), draws)


CELLS = tuple(evaluation.cells())


def chosen_cells(contrast: float | None = None, eccentricity: float | None = None) -> np.ndarray:
    """Return which of `CELLS` (27,) have a contrast and an eccentricity, None: any."""
    return np.array([contrast in (None, c) and eccentricity in (None, r) for c, r in CELLS])


def _by_cell(means: np.ndarray, draws: np.ndarray) -> dict[tuple[float, float], Estimate]:
    return {cell: bootstrap.estimate(means[k], draws[:, k]) for k, cell in enumerate(CELLS)}


def _mean(outcomes: np.ndarray, contrast: float | None) -> Estimate:
    kept = outcomes[:, chosen_cells(contrast)]
    return bootstrap.estimate(kept.mean(), bootstrap.resampled(kept).mean(1))


class Counted:
    """A system of which only counts are known, of the *first* test digits, which are harder than most: its weights are
    not kept. Intervals are of digits alone, by the correlation between cells that other systems have.

    Args:
        found: cell -> proportion. ceilings: the same with the window at the true position. correlation: see
            `bootstrap.correlation`. near: proportion of final windows at the digit, within `NEAR` pixels at most.
    """

    n_seeds, encodings = 1, 1.0

    def __init__(
        self,
        found: Mapping[tuple[float, float], Proportion],
        correlation: float,
        ceilings: Mapping[tuple[float, float], Proportion] | None = None,
        near: Mapping[tuple[float, float], Proportion] | None = None,
    ):
        self.found, self.ceilings, self.near, self.correlation = found, ceilings, near, correlation
        self.n = next(iter(found.values())).n

    def accuracy(self, contrast: float | None = None, eccentricity: float | None = None) -> Estimate:
        """Return the accuracy over all cells, or those of a contrast or an eccentricity."""
        return self._mean(self.found, contrast, eccentricity)

    def ceiling(self, contrast: float | None = None) -> Estimate | None:
        """Return the accuracy with the window at the true position, where it is known."""
        return self.ceilings and self._mean(self.ceilings, contrast)

    def errors(self) -> Errors | None:
        """Return the misclassified shares, where it is known how often the window was at the digit: at least as many
        stimuli of a cell are classification errors as windows are at the digit but for correct answers."""
        if self.near is None:
            return None
        least = [max(0.0, self.near[cell].value - each.value) for cell, each in self.found.items()]
        wrong = 1 - self.accuracy().value
        return Errors(0.0, wrong - sum(least) / len(least), sum(least) / len(least))

    def cells(self) -> dict[tuple[float, float], Estimate]:
        """Return the accuracy in each cell, (contrast, eccentricity) -> estimate."""
        return {cell: Estimate(each.value, *each.interval) for cell, each in self.found.items()}

    def minus(self, other: Measured | Counted, contrast: float | None = None) -> Estimate:
        """Return by how much this system is more accurate; unpaired, as if both had been shown other digits."""
        return _unpaired(self, other, contrast)

    def _mean(self, found: Mapping, contrast: float | None, eccentricity: float | None = None) -> Estimate:
        kept = [each for (c, r), each in found.items() if contrast in (None, c) and eccentricity in (None, r)]
        value = sum(each.value for each in kept) / len(kept)
        independent = self.n * len(kept) / (1 + (len(kept) - 1) * self.correlation)  # as many stimuli as all tell
        return Estimate(value, *evaluation.wilson(value * independent, independent))


def _unpaired(one: Measured | Counted, other: Measured | Counted, contrast: float | None) -> Estimate:
    a, b = one.accuracy(contrast), other.accuracy(contrast)
    value = a.value - b.value
    below, above = math.hypot(a.value - a.low, b.high - b.value), math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, value - below, value + above)
