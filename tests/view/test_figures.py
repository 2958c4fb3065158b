"""Figures: what is written in them neither overlaps nor leaves the picture."""

from itertools import combinations
from types import SimpleNamespace

import pytest
import torch

from labbook.view import figures


def runs(*ends):
    return [SimpleNamespace(history=[{"images": 1000, "accuracy": end} for _ in range(3)]) for end in ends]


@pytest.mark.parametrize("log", [False, True])
def test_names_beside_lines_do_not_overlap(log):
    groups = {"one": runs(0.5), "another with a longer name": runs(0.51, 0.52), "a third": runs(0.99), "last": runs(0)}
    figure = figures.learning_curves(groups, log=log)
    figure.canvas.draw()
    names = [each for each in figure.axes[0].texts if each.get_text().replace("\n", " ") in groups]
    assert len(names) == 4 and not figure.legends
    boxes = [each.get_window_extent() for each in names]
    for one, other in combinations(boxes, 2):
        assert min(one.y1, other.y1) - max(one.y0, other.y0) < 0.25 * one.height


def test_many_names_go_to_a_legend():
    figure = figures.learning_curves({f"a rather long name of a group, {k}": runs(0.1 * k) for k in range(8)})
    assert len(figure.legends[0].get_texts()) == 8


def test_maps_are_not_clipped():
    figure = figures.maps({"one": torch.eye(9), "other": torch.eye(9)})
    figure.canvas.draw()
    whole = figure.bbox
    for axis in figure.axes:
        for text in (axis.title, axis.xaxis.label, axis.yaxis.label, axis._left_title):
            box = text.get_window_extent()
            assert not text.get_text() or (box.x0 >= whole.x0 and box.x1 <= whole.x1)
            assert not text.get_text() or (box.y0 >= whole.y0 and box.y1 <= whole.y1)
