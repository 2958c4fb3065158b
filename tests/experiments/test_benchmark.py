"""The benchmark digit by digit: its sample, what it keeps, where errors come from, differences in pairs."""

import numpy as np
import pytest
import torch

from labbook import evaluation, models, stimuli, whatwhere
from labbook.evaluation import Proportion
from labbook.experiments import benchmark
from labbook.experiments.benchmark import CELLS, Counted, Digitwise, Measured
from labbook.stimuli import Scene128


def run(accuracy, n=200, seed=0, near=1.0):
    rng = np.random.default_rng(seed)
    hard = rng.random(n)
    right = 0.5 * rng.random((27, n)) + 0.5 * hard < accuracy
    return Digitwise(right, right | (hard < 0.5), rng.random((27, n)) < near, np.full(27, 3.0), np.ones(27))


def test_a_smaller_sample_is_the_beginning_of_a_larger_one(sets):
    rows = benchmark.sample(10_000)
    assert len(set(rows.tolist())) == benchmark.SAMPLE == 2_500 and int(rows.max()) > 9_900
    assert torch.equal(benchmark.sample(10_000, 1_000), rows[:1_000])
    count = len(sets.test)
    few, more = (next(benchmark.stream(sets.test, Scene128(radius=20.0), n)) for n in (20, min(40, count)))
    rows = benchmark.sample(count, 20)
    assert torch.equal(few.labels, sets.test.labels[rows]) and torch.equal(few.labels, more.labels[:20])


@pytest.mark.parametrize("name", ["lenet", "atn", "polo", "evidence", "searcher", "foveal"])
def test_every_kind_of_network_is_examined(sets, name):
    model = models.build(name).eval()
    part = stimuli.Stimuli(*(each[:6] for each in next(benchmark.stream(sets.test, Scene128(radius=20.0), 6))))
    found = benchmark.examine(model, part)
    assert [each.shape for each in found] == [(6,)] * 4
    assert float(found.encodings.min()) >= 1 and float(found.distance.min()) >= 0
    if name == "lenet":
        assert torch.allclose(found.distance, part.offsets.float().norm(dim=1))
        crops = stimuli.crops(part.images, part.offsets)
        assert torch.equal(found.placed, model(crops).logits.argmax(1) == part.labels)


def test_a_window_at_the_true_position_is_what_the_ceiling_shows(sets):
    model = models.build("polo", scale_start=28 / 128).eval()
    part = stimuli.Stimuli(*(each[:8] for each in next(benchmark.stream(sets.test, Scene128(radius=20.0), 8))))
    with torch.inference_mode():
        seen = model.classifier(stimuli.crops(part.images, part.offsets)).logits.argmax(1) == part.labels
    assert (benchmark.examine(model, part).placed == seen).float().mean() > 0.8  # but for interpolation


def test_what_is_kept_comes_back_in_little_space():
    outcomes = torch.rand(27, 1001) < 0.95
    text = benchmark.pack(outcomes)
    assert np.array_equal(benchmark.unpack(text, 27, 1001), outcomes.numpy()) and len(text) < 27 * 1001 / 8
    with pytest.raises(ValueError):
        benchmark.unpack(text, 26, 1001)


def test_errors_are_localisation_or_classification():
    found = Measured([run(0.4, near=0.6), run(0.4, seed=1, near=0.6)])
    wrong = 1 - found.accuracy().value
    assert found.localisation_errors().value + found.classification_errors().value == pytest.approx(wrong)
    assert found.ceiling().value > found.accuracy().value and found.n_seeds == 2
    assert found.cells()[CELLS[0]].value == pytest.approx(found.right[:, 0].mean())


def test_differences_are_paired_over_the_digits_that_both_were_shown():
    better, worse = run(0.45), run(0.4)  # the same draws: every digit's answers go together
    one, other = Measured([better]), Measured([worse])
    difference = one.minus(other)
    assert difference.value == pytest.approx(one.accuracy().value - other.accuracy().value) and difference.low > 0
    unpaired = one.minus(
        Counted({c: Proportion(int(r.sum()), 200) for c, r in zip(CELLS, worse.right, strict=True)}, 0.3)
    )
    assert unpaired.value == pytest.approx(difference.value)
    assert unpaired.high - unpaired.low > 2 * (difference.high - difference.low)
    shorter = Measured(
        [
            Digitwise(
                *(each[:, :50] for each in (worse.right, worse.placed, worse.near)), worse.distance, worse.encodings
            )
        ]
    )
    assert one.minus(shorter).value == pytest.approx(better.right[:, :50].mean() - worse.right[:, :50].mean())


def test_seeds_without_weights_enter_by_their_difference_from_the_first():
    first = run(0.4)
    alone, three = Measured([first]), Measured([first], [[-0.1] * 27, [-0.05] * 27])
    assert three.accuracy().value == pytest.approx(alone.accuracy().value - 0.05) and three.n_seeds == 3
    assert three.accuracy().high - three.accuracy().low > 1.3 * (alone.accuracy().high - alone.accuracy().low)
    assert three.minus(alone).value == pytest.approx(-0.05)


def test_a_threshold_has_an_interval_that_holds_it():
    contrast = np.array([c for c, _ in CELLS])[:, None]
    right = np.random.default_rng(0).random((27, 400)) < 0.1 + 0.88 * (1 - np.exp(-((contrast / 0.4) ** 3)))
    found = Measured([Digitwise(right, right, right, np.zeros(27), np.ones(27))]).thresholds(resamples=20)
    assert list(found) == list(dict.fromkeys(r for _, r in evaluation.cells()))
    assert all(each.low <= each.value <= each.high and 0.35 < each.value < 0.55 for each in found.values())


def test_the_what_where_model_is_examined_after_each_number_of_saccades(sets):
    what, where = models.build("lenet").eval(), models.build("where").eval()
    part = stimuli.Stimuli(*(each[:6] for each in next(benchmark.stream(sets.test, Scene128(radius=20.0), 6))))
    none, two = benchmark.examine_saccades(what, where, part, (0, 2))
    alone = benchmark.examine(what, part)
    assert torch.equal(none.right, alone.right) and torch.equal(none.distance, alone.distance)
    assert torch.equal(none.placed, two.placed) and torch.equal(none.placed, alone.placed)
    trace = whatwhere.trace(what, where, part.images, 2)
    assert torch.equal(two.right, trace.posterior[2].argmax(1) == part.labels)
    assert torch.allclose(two.distance, (trace.fixations[2] - part.offsets).float().norm(dim=1))


def test_counts_alone_bound_the_errors():
    known = run(0.4, near=0.6)
    right, near = (
        {c: Proportion(int(row.sum()), 200) for c, row in zip(CELLS, each, strict=True)}
        for each in (known.right, known.near)
    )
    assert Counted(right, 0.3).errors() is None
    bounds, errors = Counted(right, 0.3, near=near).errors(), Measured([known]).errors()
    assert sum(bounds) == pytest.approx(sum(errors)) and errors.undecided == 0
    assert bounds.localisation + bounds.undecided > errors.localisation > bounds.localisation == 0
    assert bounds.classification <= errors.classification
