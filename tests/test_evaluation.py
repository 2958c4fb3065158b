"""Evaluation: intervals, maps of models whose answers are known, and the health of constructed thetas."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from labbook import classifiers, evaluation, models, rng
from labbook.digits import Digits
from labbook.errors import ConfigurationError
from labbook.stimuli import Scene28

QUIET = Scene28(contrast=(0.7, 0.7), noise=0)


class Constant(nn.Module):
    """Answers 3, whatever it sees; remembers how often it was asked and what it was shown."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def forward(self, image):
        assert not self.training
        self.shown.append(image.clone())
        return classifiers.TransformerOutput(
            nn.functional.one_hot(torch.full((len(image),), 3), 10).float(), None, image
        )


class Counting(nn.Module):
    """Answers one less than the number of ink pixels, as `bars` are labelled."""

    def forward(self, image):
        count = (image.flatten(1) > 0.7).sum(1) - 1
        return classifiers.TransformerOutput(nn.functional.one_hot(count.clamp(0, 9), 10).float(), None, image)


def bars() -> Digits:
    """Ten digits: label k is a bar of k + 1 pixels from row 14, column 10 on to the right."""
    images = torch.zeros(10, 28, 28, dtype=torch.uint8)
    for label, image in enumerate(images):
        image[14, 10 : 11 + label] = 255
    return Digits(images, torch.arange(10))


# ---- intervals -------------------------------------------------------------------------------------------------------


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_wilson_intervals_hold_the_proportion(n, share):
    correct = round(share * n)
    low, high = evaluation.wilson(correct, n)
    assert 0 <= low < high <= 1 and low - 1e-15 <= correct / n <= high + 1e-15
    mirrored = evaluation.wilson(n - correct, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_wilson_intervals_solve_their_equation():
    """The bounds are the p with |p - observed| = z sqrt(p (1 - p) / n)."""
    for bound in evaluation.wilson(8, 10):
        assert abs(bound - 0.8) == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / 10))
    assert evaluation.wilson(8, 10) == pytest.approx((0.490, 0.943), abs=5e-4)
    assert evaluation.Proportion(8, 10).interval == evaluation.wilson(8, 10)
    assert evaluation.Proportion(8, 10).value == 0.8


# ---- answers ---------------------------------------------------------------------------------------------------------


def test_answers_are_judged_and_batches_invisible(sets):
    model = Constant().train()
    stimuli = evaluation.fixed_stimuli(sets.train, Scene28())
    answers = evaluation.predict(model, stimuli)
    assert [len(images) for images in model.shown] == [500, 500, 200]
    assert torch.equal(answers.correct, sets.train.labels == 3)
    assert answers.accuracy.correct == int((sets.train.labels == 3).sum()) and answers.accuracy.n == 1200
    assert answers.theta is None and model.training  # as it was before


def test_theta_is_gathered(sets):
    stimuli = evaluation.fixed_stimuli(sets.train, Scene28(), n=600)
    theta = evaluation.predict(models.build("stn28"), stimuli).theta
    assert theta.shape == (600, 2, 3) and theta.std(0).max() == 0


@pytest.mark.parametrize("draws", ["fresh", "frozen"])
def test_fixed_stimuli_are_the_same_each_time(sets, draws):
    scene = Scene28(draws=draws)
    one, two = (evaluation.fixed_stimuli(sets.test, scene, n=60) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    other = evaluation.fixed_stimuli(sets.test, scene, n=60, seed=1)
    assert torch.equal(one.images, other.images) == (draws == "frozen")
    assert torch.equal(one.labels, sets.test.labels[:60])


def test_the_std_changes_the_offsets_not_the_draws(sets):
    """Paired: the contrasts of two stds are the same, and so are the directions."""
    near, far = (evaluation.fixed_stimuli(sets.test, Scene28(std=std), n=60) for std in (0, 5))
    assert not near.offsets.any() and torch.equal(near.contrast, far.contrast)


def test_a_reader_of_the_truth_is_always_right():
    assert evaluation.accuracy(Counting(), bars(), Scene28(std=0, contrast=(0.7, 0.7), noise=0)).value == 1


@pytest.mark.parametrize("n", [0, 11, -1])
def test_more_stimuli_than_digits_are_refused(n):
    with pytest.raises(ConfigurationError, match=f"n={n} must be a number from 1 to 10"):
        evaluation.accuracy(Counting(), bars(), QUIET, n=n)
    with pytest.raises(ConfigurationError, match=f"n={n} must"):
        evaluation.accuracy_map(Counting(), bars(), QUIET, n=n, axis=[0])


# ---- maps ------------------------------------------------------------------------------------------------------------


def test_the_map_of_a_reader_of_the_truth():
    """Right where the whole bar is inside, else as right as its visible part; rows are down, columns right."""
    made = evaluation.accuracy_map(Counting(), bars(), QUIET, n=10)
    assert made.shape == (55, 55)
    for i, down in enumerate(range(-27, 28)):
        for j, right in enumerate(range(-27, 28)):
            visible = [
                len(set(range(10 + right, 11 + label + right)) & set(range(28))) if 0 <= 14 + down < 28 else 0
                for label in range(10)
            ]
            expected = sum(max(count - 1, 0) == label for label, count in enumerate(visible)) / 10
            assert made[i, j].item() == pytest.approx(expected), (down, right)


def test_every_position_sees_the_same_textures_and_contrasts(sets):
    """A constant answer gives a constant map; between two positions only the digit's own pixels change."""
    made = evaluation.accuracy_map(Constant(), sets.test, Scene28(), n=40, axis=[-27, 0, 27])
    assert len(made.unique()) == 1

    def shown(axis: list[int], seed: int = 0) -> list[torch.Tensor]:
        model = Constant()
        evaluation.accuracy_map(model, bars(), Scene28(), n=10, axis=axis, seed=seed)
        return [images for images in model.shown if len(images) == 10]

    *_, one, other = shown([0, 4])  # down 4; right 0 and 4
    ink = 2 * torch.arange(1, 11)
    assert ((one != other).flatten(1).sum(1) <= ink).all() and (one != other).any()
    assert len(one.unique(dim=0)) == 10  # one texture per digit
    assert torch.equal(shown([0])[-1], shown([0, 4])[-4])
    assert not torch.equal(shown([0])[-1], shown([0], seed=1)[-1])


# ---- theta -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=3, max_size=40), st.floats(0.3, 1.5))
def test_a_theta_that_follows_the_digit(offsets, scale):
    """The ideal window moves by 2 d / 28, x with the column, y with the row."""
    offsets = torch.tensor(offsets)
    assume((offsets.double().std(0) > 0).all())
    theta = torch.zeros(len(offsets), 2, 3, dtype=torch.float64)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, 0, 2], theta[:, 1, 2] = (offsets.flip(1) * 2 / 28).T
    health = evaluation.theta_statistics(theta, offsets)
    assert health.correlation == pytest.approx((1, 1))
    x, y = theta[:, :, 2].std(0).tolist()
    assert health.std == pytest.approx((0, 0, x, 0, 0, y), abs=1e-9)
    assert health.mean == pytest.approx(tuple(theta.flatten(1).mean(0).tolist()))
    theta[:, :, 2] *= -1
    assert evaluation.theta_statistics(theta, offsets).correlation == pytest.approx((-1, -1))


def test_a_theta_that_ignores_its_input():
    theta = torch.tensor([[0.8, 0.1, 0.2], [0, 1, -0.3]]).expand(50, 2, 3)
    health = evaluation.theta_statistics(theta, torch.randint(-9, 9, (50, 2)))
    assert health.std == pytest.approx((0,) * 6, abs=1e-7) and health.correlation == (0, 0)
    assert health.mean == pytest.approx((0.8, 0.1, 0.2, 0, 1, -0.3))
    unshifted = evaluation.theta_statistics(torch.rand(50, 2, 3), torch.zeros(50, 2))
    assert unshifted.correlation == (0, 0)


def test_dead_hidden_units_are_counted():
    images = torch.rand(6, 1, 28, 28, generator=rng.generator("alive"))
    model = models.build("stn28", rng.generator("weights", 1))
    whole = evaluation.active_units(model, images)
    assert 0 < whole <= 1
    with torch.no_grad():
        model.localisation.dense1.bias[:16] = -1e3  # half of the 32 units can no longer answer
    assert evaluation.active_units(model, images) <= min(whole, 0.5)
    with torch.no_grad():
        model.localisation.dense1.bias[:] = -1e3
    assert evaluation.active_units(model, images) == 0
    with torch.no_grad():
        model.localisation.dense1.bias[3] = 1e3
    assert evaluation.active_units(model, images) == 1 / 32


def test_stimuli_that_are_kept_are_those_that_are_drawn(sets, monkeypatch):
    scene, drawn = Scene28(), evaluation.fixed_stimuli(sets.test, Scene28(), 30, 1)
    for name in ("_kept", "_kept_on"):
        monkeypatch.setattr(evaluation, name, getattr(evaluation, name))
    evaluation.keep_stimuli("cpu")
    first, again = (evaluation.fixed_stimuli(sets.test, scene, 30, 1) for _ in range(2))
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(drawn, first, again, strict=True))
    assert not torch.equal(evaluation.fixed_stimuli(sets.test, scene, 30, 2).images, drawn.images)
    assert len(evaluation._kept) == 2
