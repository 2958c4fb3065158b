"""Aims: what inexact fixations cost, counted where it can be told beforehand."""

import pytest
import torch

from labbook import classifiers, evaluation, fixation, models, rng, searcher
from labbook.fixation import Aim
from labbook.searcher import NEAR, Search
from labbook.stimuli import Scene128, Stimuli, crops

AWAY = ((0, 0), (-1, 0), (0, 4), (20, 0), (3, 0), (0, 1))  # of the fixations from the digits


class Narrow(torch.nn.Module):
    """A searcher that looks beside the digits, each time `AWAY` from it; its what network names the digit 1 if a bright
    pixel is no further than 2 pixels from the middle of the crop, else the digit 0."""

    def __init__(self, offsets):
        super().__init__()
        self.fixations = offsets + torch.tensor(AWAY)

    def what(self, crops):
        seen = crops[:, 0, 12:17, 12:17].amax((1, 2)) > 0.5
        return classifiers.TransformerOutput(torch.stack((~seen, seen), 1).float(), None, crops)

    def search(self, images, saccades):
        answers = self.what(crops(images, self.fixations)).logits[:, None]
        ones = torch.ones(len(images), 1)
        return Search(self.fixations[:, None], ones, answers, ones, ones[:, 0].long())


@pytest.fixture
def counts(monkeypatch) -> Aim:
    """Six digits, of which the fifth is drawn 3 pixels below the place that is told."""
    offsets = torch.tensor([[0, 0], [10, -20], [-30, 5], [20, 20], [0, 30], [-7, -7]])
    images = torch.zeros(6, 1, 128, 128)
    for image, (row, column), down in zip(images, offsets.tolist(), (0, 0, 0, 0, 3, 0), strict=True):
        image[0, 64 + row + down, 64 + column] = 1
    stimuli = Stimuli(images, torch.ones(6, dtype=torch.int64), offsets, torch.ones(6))
    monkeypatch.setattr(evaluation, "cells", lambda: {(0.7, 0.0): Scene128()})
    monkeypatch.setattr(evaluation, "stream", lambda digits, scene, n: iter([stimuli]))
    (found,) = fixation.measure(Narrow(offsets), None, 6, 1)
    return Aim(torch.tensor(found))


def bins(**errors) -> list[int]:
    return [errors.get(f"at{k}", 0) for k in range(NEAR + 2)]


def test_each_digit_is_looked_at_three_times(counts):
    """Dealt are (0, 1), (0, 0), (-1, 0), (0, 4) and (3, 0), in this order, to all but the fourth."""
    everyone, hard, lost, gained, dealt_lost, dealt_gained = counts.counts.tolist()
    assert everyone == bins(at0=1, at1=2, at3=1, at4=1, at9=1)
    assert hard == bins(at3=1)
    assert lost == bins(at4=1, at9=1)
    assert gained == bins(at3=1)
    assert dealt_lost == bins(at3=1)
    assert dealt_gained == bins()


def test_what_is_missing_is_elsewhere_or_beside(counts):
    assert counts.n == 6
    assert counts.missing == pytest.approx(1 / 6) and counts.missing == counts.elsewhere + counts.beside
    assert (counts.elsewhere, counts.beside, counts.dealt) == pytest.approx((1 / 6, 0, 1 / 6))
    assert (counts.astray, counts.wrong) == pytest.approx((1 / 6, 1 / 6))
    assert [counts.beyond(pixels) for pixels in (0, 3, 4)] == [
        pytest.approx(pair) for pair in ((5 / 6, 1 / 6), (2 / 6, 2 / 6), (1 / 6, 1 / 6))
    ]
    assert counts.errors == pytest.approx((6 / 4, 3))  # of four digits that a perfect fixation names, and of one


def test_counts_add_up_and_the_margin_is_that_of_paired_answers(counts):
    both = counts + counts
    assert (both.n, both.missing) == (12, pytest.approx(counts.missing))
    pairs = torch.tensor([1.0, 1, -1, 0, 0, 0] * 2)  # lost, gained, and answered alike
    assert both.margin == pytest.approx(1.959964 * pairs.std(correction=0).item() / 12**0.5)


def test_chance_tells_cells_apart():
    """Of 1000 digits 30 or 10 are lost: a difference of 0.020, with a standard error of 0.0062, is 3.2 of them."""

    def lost(k):
        counts = torch.zeros(6, NEAR + 2, dtype=torch.int64)
        counts[0, 0], counts[2, 0] = 1000, k
        return Aim(counts)

    assert fixation.by_chance([lost(20)] * 3) == pytest.approx(1)
    assert fixation.by_chance([lost(30), lost(10)]) == pytest.approx(0.00133, rel=0.05)
    assert fixation.by_chance([lost(0), lost(0)]) == pytest.approx(1)  # and no division by 0


def test_it_misses_what_the_benchmark_misses(sets):
    """The same stimuli and fixations as those of `searcher.benchmark`."""
    model = models.build("searcher", width=4).eval()
    torch.nn.init.normal_(model.where.last.weight, generator=rng.generator("last"))
    found = searcher.Benchmark.read(searcher.benchmark(model, sets.test, 4, 2), 4)
    for saccades in (1, 2):
        aims = [Aim(torch.tensor(each)) for each in fixation.measure(model, sets.test, 4, saccades)]
        for cell, each in zip(evaluation.cells(), aims, strict=True):
            assert each.missing == pytest.approx(found.perfect[cell].value - found.right[saccades - 1][cell].value)
            assert each.wrong == pytest.approx(1 - found.perfect[cell].value)
            assert saccades > 1 or each.astray == found.astray[cell].value
