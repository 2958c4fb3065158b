"""How exactly a searcher looks, and what its inexact fixations cost: is it the where or the what network that errs?

Each test digit is looked at three times: from a perfect fixation, from the searcher's own, and, where that shows the
digit, displaced as the searcher's fixation of another digit was. What is lost from the perfect fixation to the last is
the price of such a displacement for any digit; what more is lost at the searcher's own fixation is lost because it aims
worse where the digit is hard to name.

Convention
    errors      distance of a fixation from the digit's middle, pixels, rounded up: 0, 1, ..., `NEAR`, or beyond
    counts      (6, NEAR + 2) by error: stimuli; those wrong from a perfect fixation; lost, gained: right from a perfect
                fixation alone, from the searcher's own alone; lost and gained by displacements that were dealt
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import chi2
from torch import Tensor

from . import evaluation
from .classifiers import device_of
from .digits import Digits
from .searcher import NEAR, Searcher
from .stimuli import crops


@dataclass(frozen=True)
class Aim:
    """What was counted in a cell of the benchmark, or in several: they add up."""

    counts: Tensor

    def __add__(self, other: Aim) -> Aim:
        return Aim(self.counts + other.counts)

    @property
    def n(self) -> int:
        """The number of stimuli."""
        return int(self.counts[0].sum())

    @property
    def astray(self) -> float:
        """The share of fixations further than `NEAR` from the digit."""
        return self.beyond(NEAR)[0]

    @property
    def wrong(self) -> float:
        """The share of stimuli that are not named from a perfect fixation."""
        return self.counts[1].sum().item() / self.n

    @property
    def errors(self) -> tuple[float, float]:
        """The mean error of fixations that are not astray, pixels: on digits that are named from a perfect fixation,
        and on those that are not."""
        pixels = torch.arange(NEAR + 1)
        hard = self.counts[1, :-1]
        return tuple(((each * pixels).sum() / each.sum()).item() for each in (self.counts[0, :-1] - hard, hard))

    @property
    def missing(self) -> float:
        """How much less of the stimuli are named than from perfect fixations, -1 to 1."""
        return self._net(2).sum().item() / self.n

    @property
    def margin(self) -> float:
        """Half of the 95 % interval of `missing`: each stimulus is named from both fixations, and the pairs count."""
        changed = self.counts[2:4].sum().item() / self.n
        return 1.959964 * ((changed - self.missing**2) / self.n) ** 0.5

    @property
    def elsewhere(self) -> float:
        """The part of `missing` that is lost further than `NEAR` from the digit, where little of it is seen."""
        return self.beyond(NEAR)[1]

    @property
    def beside(self) -> float:
        """The part of `missing` that is lost no further than `NEAR` from the digit's middle."""
        return self._net(2)[:-1].sum().item() / self.n

    def beyond(self, pixels: int) -> tuple[float, float]:
        """Return the share of fixations further than so many pixels from the digit, at most `NEAR`, and the part of
        `missing` that is lost there."""
        return tuple(row[pixels + 1 :].sum().item() / self.n for row in (self.counts[0], self._net(2)))

    @property
    def dealt(self) -> float:
        """What the displacements of `beside` cost when they are dealt to other digits, as a share of all stimuli."""
        return self._net(4).sum().item() / self.n

    def _net(self, row: int) -> Tensor:
        return self.counts[row] - self.counts[row + 1]


def by_chance(aims: Sequence[Aim]) -> float:
    """Return the probability, 0 to 1, that what is missing differs as much or more from one of several to the others if
    it is the same in all (chi squared)."""
    missing = torch.tensor([each.missing for each in aims], dtype=torch.float64)
    weight = torch.tensor([1 / max(each.margin / 1.959964, 1 / each.n) ** 2 for each in aims], dtype=torch.float64)
    mean = (weight * missing).sum() / weight.sum()
    return float(chi2.sf((weight * (missing - mean) ** 2).sum().item(), len(aims) - 1))


@torch.inference_mode()
def measure(model: Searcher, digits: Digits, n: int, saccades: int) -> list[list[list[int]]]:
    """Count, in every cell of the benchmark, what the first `n` digits are named, see `Aim`; plain data.

    The fixation is the one that the answer comes from. Displacements are dealt within a batch, each to the next of
    the stimuli that are looked at nearby.
    """
    found = []
    for scene in evaluation.cells().values():
        counts = torch.zeros(6, NEAR + 2, dtype=torch.int64)
        for stimuli in evaluation.stream(digits, scene, n):
            for images, labels, offsets, _ in evaluation.batches(stimuli, device_of(model)):
                trace = model.search(images, saccades)
                away = trace.fixation - offsets  # (B, 2)
                error = _error(away)
                near = error <= NEAR
                other = away[near].roll(1, 0)
                perfect = _named(model, images, offsets) == labels
                own, dealt = trace.answer == labels, _named(model, images[near], offsets[near] + other) == labels[near]
                counts[0] += _tally(error)
                counts[1] += _tally(error[~perfect])
                counts[2] += _tally(error[perfect & ~own])
                counts[3] += _tally(error[own & ~perfect])
                counts[4] += _tally(_error(other)[perfect[near] & ~dealt])
                counts[5] += _tally(_error(other)[dealt & ~perfect[near]])
        found.append(counts.tolist())
    return found


def _error(away: Tensor) -> Tensor:
    return away.float().norm(dim=1).ceil().long().clamp(max=NEAR + 1)


def _tally(errors: Tensor) -> Tensor:
    return errors.bincount(minlength=NEAR + 2).cpu()


def _named(model: Searcher, images: Tensor, places: Tensor) -> Tensor:
    return model.what(crops(images, places)).logits.argmax(1)
