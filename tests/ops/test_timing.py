"""What is measured of a device, on a CPU, where nothing is captured; and what a network needs at least."""

import pytest

from labbook import classifiers, digits, models
from labbook.experiments.scaling import traffic
from labbook.experiments.whole import SCHEDULES
from labbook.ops import timing
from labbook.runtime.engine import Engine


@pytest.fixture
def tiny(sets):
    return digits.DigitSets(sets.train[:100], sets.validation[:50], sets.test, sets.name, sets.origin)


def test_the_timings_of_a_small_network(tiny, monkeypatch):
    monkeypatch.setattr(timing, "clock", lambda do, device, least=0: (do(), 2.0)[1])
    monkeypatch.setattr(timing, "time_map", lambda *given: {"per_second": 1.0})
    monkeypatch.setattr(timing, "SCHEDULES", {"what": SCHEDULES["what"]})
    into = {"training": {}, "forms": {}}
    parts = list(timing.timings(tiny, "cpu", into))
    for _, where, key, do in parts:
        where[key] = do()
    assert [title for title, *_ in parts] == [
        "product of matrices",
        "bandwidth",
        "needs",
        "stimuli",
        "training what",
        "accuracy map",
    ]
    found = into["training"]["what"]
    assert found["per_second"] == 200 and found["five_seeds"] == 1000 and found["captured"] is False
    assert found["first_epoch"] >= 0 and found["overall"] > 0
    assert all(each["per_second"] == 200 for each in into["stimuli"])


def test_a_stage_is_timed_with_its_evaluation(tiny):
    """Of its epochs the first is timed apart, with painting and capture."""
    found = timing.time_stage("what", "float32", 1.0, tiny, "cpu")
    epochs = SCHEDULES["what"].training.stages[-1].epochs
    whole = found["first_epoch"] + (epochs - 1) * found["epoch"]
    assert found["overall"] == pytest.approx(epochs * 100 / whole, rel=0.1)


def test_a_network_needs_operations_and_bytes():
    """LeNet keeps, of an image, its input, both convolutions and what follows them."""
    model = models.build("lenet")
    small, large = (traffic(model, 28, batch) for batch in (100, 10))
    weights = 4 * classifiers.count(model)
    assert large - small == pytest.approx(6 * weights * (1 / 10 - 1 / 100))
    activations = (small - 4 * 784 - 6 * weights / 100) / 2
    assert 4 * (784 + 20 * 24 * 24 + 50 * 8 * 8) < activations < 4 * 10 * (784 + 20 * 24 * 24 + 50 * 8 * 8)
    assert timing.needs("what")["bytes"] == pytest.approx(small, 1e-3)


def test_variants_are_ways_to_compute_and_no_more():
    tried = list(timing.variants())
    assert len({each[:3] for each in tried}) == len(tried) and all(isinstance(how, Engine) for *_, how in tried)
    assert {name for name, _, _, how in tried if how.compiled} == set(SCHEDULES)
    for name in timing.LARGE:
        assert {how.form for other, _, _, how in tried if other == name} == set(timing.FORMS.values())
