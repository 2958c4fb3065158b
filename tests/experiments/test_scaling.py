"""Power laws and factorial experiments: what was put in comes out, and intervals hold it as often as they say."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labbook import models, retina
from labbook.errors import ConfigurationError
from labbook.experiments.bootstrap import Estimate
from labbook.experiments.scaling import log_odds, main_effects, operations, power_law

FACTORS = {"a": (0, 1), "b": ("low", "high"), "c": (0, 1), "d": (0, 1)}


def cells(value) -> dict:
    return {levels: value(*levels) for levels in product(*FACTORS.values())}


@given(st.floats(0.1, 10), st.floats(-2, 2))
def test_an_exact_power_law_is_found(scale, exponent):
    x = [1, 3, 10, 200]
    law = power_law(x, [scale * each**exponent for each in x])
    assert law.scale == pytest.approx(scale) and law.exponent.value == pytest.approx(exponent, abs=1e-9)
    assert law.exponent.low <= law.exponent.value <= law.exponent.high and law.residual < 1e-9
    assert law.at(50) == pytest.approx(scale * 50**exponent)


def test_the_interval_of_an_exponent_holds_it_19_times_in_20():
    draw = np.random.default_rng(0)
    x = np.array([1, 2, 4, 8, 16])
    laws = [power_law(x, np.exp(-0.5 * np.log(x) + 0.1 * draw.normal(size=5))) for _ in range(1000)]
    assert np.mean([law.exponent.low <= -0.5 <= law.exponent.high for law in laws]) == pytest.approx(0.95, abs=0.025)


def test_two_points_leave_no_interval():
    assert power_law([1, 2], [1, 4]).exponent == Estimate(pytest.approx(2), -math.inf, math.inf)


def test_effects_are_what_was_put_in():
    found = main_effects(cells(lambda a, b, c, d: 3 + 2 * a - (b == "high") + 0.5 * a * c), FACTORS)
    assert list(found)[:5] == ["a", "b", "c", "d", "a x b"]
    expected = {"a": 2.25, "b": -1, "c": 0.25, "d": 0, "a x c": 0.25, "b x d": 0}
    assert {name: found[name].value for name in expected} == pytest.approx(expected, abs=1e-12)


def test_the_interval_of_an_effect_holds_it_19_times_in_20():
    draw = np.random.default_rng(1)
    found = [main_effects(cells(lambda a, *_: a + draw.normal()), FACTORS)["a"] for _ in range(1000)]
    assert np.mean([each.low <= 1 <= each.high for each in found]) == pytest.approx(0.95, abs=0.025)


def test_log_odds_exist_at_both_ends():
    assert log_odds(50, 100) == 0 and log_odds(100, 100) == -log_odds(0, 100) == pytest.approx(math.log(201))


@pytest.mark.parametrize(
    "make",
    (
        lambda: power_law([1, 1], [1, 2]),
        lambda: power_law([1, 2], [0, 2]),
        lambda: main_effects({(0,): 1.0, (1,): 2.0}, {"a": (0, 1)}),
        lambda: main_effects(dict(list(cells(lambda *_: 0).items())[:8]), FACTORS),
    ),
)
def test_what_cannot_be_fitted_is_refused(make):
    with pytest.raises(ConfigurationError):
        make()


def test_operations_are_those_of_the_layers():
    """Twice the products of each convolution's output and kernel."""
    w, (a, b, c) = 16, (124, 58, 26)
    expected = 2 * (a**2 * w * 25 + b**2 * 2 * w * w * 25 + c**2 * 4 * w * 2 * w * 16 + c**2 * 11 * 4 * w)
    assert operations(models.build("evidence"), 128) == expected + 2 * 2 * c**2  # the mean place
    assert operations(models.build("evidence"), 256) > 4 * expected


def test_the_operations_of_a_network_with_batch_normalisation_are_counted():
    """Its second layer, 1000 by 1000, takes six million: forward, and twice backward; making the retina none."""
    small = retina.WhatWhere(orientations=2, azimuths=4, rings=2)
    build = lambda: models.build("where", retina=small, batch_norm=True)  # noqa: E731
    first, second = (operations(build(), 128, training=True) for _ in range(2))
    assert 6e6 < first == second < 9e6
