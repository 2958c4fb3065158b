"""Psychometric functions: known thresholds are found again, intervals cover at their rate, nonsense is refused."""

import math
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from labbook import psychometrics
from labbook.errors import ConfigurationError
from labbook.evaluation import CONTRASTS, Proportion
from labbook.psychometrics import curve, fit, pooled
from labbook.stimuli import ECCENTRICITIES
from labbook.view import figures

TRUE = {4.4: 0.25, 22.2: 0.4, 40.0: 0.55}


def drawn(thresholds=TRUE, contrasts=(0.15, 0.3, 0.5, 0.7, 0.9), slope=3.0, lapse=0.04, n=400, generator=None):
    """Counts from known curves: drawn, or without a generator the expected ones."""
    cells = {}
    for key, threshold in thresholds.items():
        for contrast in contrasts:
            p = float(curve(contrast, threshold, slope, lapse))
            cells[contrast, key] = Proportion(round(n * p) if generator is None else int(generator.binomial(n, p)), n)
    return cells


@given(st.floats(0.05, 1), st.floats(0.5, 10), st.floats(0, 0.15), st.floats(0.3, 0.8))
def test_a_curve_rises_from_chance_to_its_ceiling_through_the_level_asked_for(threshold, slope, lapse, level):
    contrasts = np.geomspace(1e-6, 50, 200)
    values = curve(contrasts, threshold, slope, lapse, level)
    assert (np.diff(values) >= 0).all()
    assert values.min() >= 0.1 and values.max() <= 1 - lapse + 1e-12
    assert curve(threshold, threshold, slope, lapse, level) == pytest.approx(level)
    assert curve(1e-9 * threshold, threshold, slope, lapse) == pytest.approx(0.1, abs=1e-4)


def test_known_thresholds_are_found_again():
    found = fit(drawn(n=100_000))
    assert {key: each.value for key, each in found.thresholds.items()} == pytest.approx(TRUE, rel=0.005)
    assert (found.slope, found.lapse) == pytest.approx((3.0, 0.04), rel=0.02)
    assert (found.freedom, found.dispersion) == (10, 1.0)
    for key, each in found.thresholds.items():
        assert each.low < each.value < each.high < each.low * 1.03
        assert each.attainable
        assert found.accuracy(key, each.value) == pytest.approx(0.75)


def test_three_contrasts_are_enough_for_many_curves_and_too_few_for_one():
    three = drawn(contrasts=(0.3, 0.5, 0.7), n=20_000)
    found = fit(three)
    assert found.freedom == 4
    assert {key: each.value for key, each in found.thresholds.items()} == pytest.approx(TRUE, rel=0.05)
    alone = {cell: each for cell, each in three.items() if cell[1] == 22.2}
    two = dict(list(alone.items())[:2])
    with pytest.raises(ConfigurationError, match="2 cells cannot decide 3 parameters"):
        fit(two)


def test_intervals_cover_at_their_rate():
    generator = np.random.default_rng(1)
    inside = []
    for _ in range(40):
        found = fit(drawn({0: 0.4}, n=150, generator=generator))
        each = found.thresholds[0]
        assert each.low < each.value < each.high
        inside.append(each.low <= 0.4 <= each.high)
    assert 0.9 <= np.mean(inside) <= 1  # 95 % or a little more: intervals are only ever widened


def test_a_model_that_does_not_fit_has_wider_intervals():
    right = drawn(n=5000)
    bent = right | {(0.9, 40.0): Proportion(3000, 5000)}  # falls again at high contrast
    good, bad = fit(right), fit(bent)
    assert good.dispersion < 2 < bad.dispersion
    width = [math.log(each.thresholds[4.4].high / each.thresholds[4.4].low) for each in (good, bad)]
    assert width[1] > 2 * width[0]


def test_an_interval_is_found_where_the_likelihood_has_two_hills():
    right = (284, 288, 277, 270, 275, 271, 262, 270, 256), (273, 282, 265, 270, 274, 267, 265, 267, 261)
    right += ((226, 216, 218, 196, 189, 190, 161, 131, 78),)  # STN 128 of week 5; 40 px fall at 30 % alone
    cells = {
        (contrast, radius): Proportion(each, 300)
        for contrast, row in zip(CONTRASTS, right, strict=True)
        for radius, each in zip(ECCENTRICITIES, row, strict=True)
    }
    for threshold in fit(cells).thresholds.values():
        assert 0.2 < threshold.low < threshold.value < threshold.high < 0.5


def test_levels_are_ordered_and_seeds_pooled():
    cells = drawn({22.2: 0.4}, n=2000)
    by_level = [fit(cells, level).thresholds[22.2].value for level in (0.3, 0.5, 0.75, 0.9)]
    assert all(a < b for a, b in pairwise(by_level))
    both = pooled([cells, cells])
    assert all(both[cell].n == 4000 and both[cell].value == cells[cell].value for cell in cells)
    one, two = (fit(each).thresholds[22.2] for each in (cells, both))
    assert two.value == pytest.approx(one.value, rel=1e-3)
    assert math.log(one.high / one.low) == pytest.approx(math.sqrt(2) * math.log(two.high / two.low), rel=0.05)


def test_an_accuracy_never_reached_has_no_contrast():
    cells = drawn({0: 0.3}) | {(c, 1): Proportion(40, 400) for c in (0.15, 0.3, 0.5, 0.7, 0.9)}
    found = fit(cells)
    assert found.thresholds[0].attainable
    assert not found.thresholds[1].attainable and found.thresholds[1].high == math.inf
    assert found.thresholds[1].low > 0.9


def test_the_gradient_is_the_slope_of_the_likelihood():
    model = psychometrics._Model(drawn(), list(TRUE), 0.75, 0.2)
    at = np.array([*np.log([0.3, 0.35, 0.6]), math.log(2.5), 0.05])
    assert model.minus(at)[1] == pytest.approx(approx_fprime(at, lambda x: model.minus(x)[0], 1e-7), rel=1e-4, abs=1e-2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"level": 0.1}, "level=0.1 must be a number from 0.11 to 0.99"),
        ({"cells": {}}, "0 cells cannot decide"),
        ({"cells": {(70, 1): Proportion(1, 2)} | drawn()}, "contrast=70 must be a number from 0.001 to 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(changes, words):
    with pytest.raises(ConfigurationError) as refused:
        fit(**{"cells": drawn()} | changes)
    assert words in str(refused.value)


def test_figures_show_every_system_and_what_is_extrapolated():
    cells = drawn(contrasts=(0.3, 0.5, 0.7)) | {(c, 60.0): Proportion(42, 400) for c in (0.3, 0.5, 0.7)}
    found = fit(cells)
    figure = figures.thresholds({"ours": found, "theirs": found})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ours", "theirs"]
    triangles = [line for line in figure.axes[0].lines if line.get_marker() == "^" and list(line.get_ydata()) == [100]]
    assert len(triangles) == 2
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    assert [line.get_markerfacecolor() == "none" for line in points] == [True, False, False]  # 0.25 was not measured
    figure = figures.psychometric(found, cells)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["4.4 px", "40.0 px", "60.0 px"]
    plt.close("all")
