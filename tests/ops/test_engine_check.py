"""The check of captured steps: its rows, on a CPU, where nothing is captured; what a network needs."""

import pytest

from labbook import classifiers, digits, models
from labbook.ops import engine_check
from labbook.runtime import engine
from labbook.runtime.engine import Engine


@pytest.fixture
def tiny(sets):
    return digits.DigitSets(sets.train[:100], sets.validation[:50], sets.test, sets.name, sets.origin)


def test_the_rows_of_a_small_network(tiny, monkeypatch):
    monkeypatch.setattr(engine_check.bench, "clock", lambda do, device, least=0: (do(), 2.0)[1])
    monkeypatch.setattr(engine_check, "kinds", lambda sets, all_of=engine_check.kinds: {"what": all_of(sets)["what"]})
    said = []
    rows = engine_check.run(["what"], tiny, "cpu", 600, said.append)
    assert not any("failed" in row for row in rows) and len(said) == len(rows)
    (capture,) = (row for row in rows if row["part"] == "capture")
    assert capture["apart"] == 0 and capture["same"] and capture["again"] and capture["captured"] is False
    steps = [row for row in rows if row["part"] == "steps"]
    assert {row["precision"] for row in steps} == set(engine.PRECISIONS)
    assert all(row["per_second"] == 200 and row["captured"] is False for row in steps)
    assert len({(row["precision"], row["how"]) for row in steps}) == len(steps)
    (needed,) = (row for row in rows if row["part"] == "needs")
    assert needed["what"] == "what" and needed["of_limit"] > 0


def test_no_row_begins_after_the_seconds(tiny):
    assert engine_check.run(["what"], tiny, "cpu", 0, print) == []


def test_what_fails_is_a_row(tiny, monkeypatch):
    def fail(*given):
        raise RuntimeError("no kernel image\nand more")

    for name in (
        "check_capture",
        "time_steps",
        "time_epoch_end",
        "time_together",
        "time_album",
        "needs",
        "bandwidth_of",
    ):
        monkeypatch.setattr(engine_check, name, fail)
    rows = engine_check.run(["what"], tiny, "cpu", 60, print)
    assert rows and all(row["failed"] == "RuntimeError: no kernel image" for row in rows)


def test_a_network_needs_operations_and_bytes():
    """LeNet keeps, of an image, its input, both convolutions and what follows them."""
    model = models.build("lenet")
    small, large = (engine_check.traffic(model, 28, batch) for batch in (100, 10))
    weights = 4 * classifiers.count(model)
    assert large - small == pytest.approx(6 * weights * (1 / 10 - 1 / 100))
    activations = (small - 4 * 784 - 6 * weights / 100) / 2
    assert 4 * (784 + 20 * 24 * 24 + 50 * 8 * 8) < activations < 4 * 10 * (784 + 20 * 24 * 24 + 50 * 8 * 8)
    row = engine_check.needs("what", 1e12, 1e9, 1000)
    assert row["scarce"] == "bytes" and row["limit"] == pytest.approx(1e9 / row["bytes"])
    assert row["of_limit"] == pytest.approx(1000 / row["limit"])
    assert engine_check.needs("what", 1e6, 1e12)["scarce"] == "operations"


def test_variants_are_ways_to_compute_and_no_more():
    for name in engine_check.SCHEDULES:
        tried = list(engine_check.variants(name, compiled=True))
        assert tried[0][2] == Engine(capture=False) and all(isinstance(each, Engine) for _, _, each in tried)
        assert len(set(tried)) == len(tried) and len(tried) >= 8
