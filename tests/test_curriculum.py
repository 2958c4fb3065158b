"""Curricula: the schedules of 2021, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labbook import curriculum
from labbook.curriculum import Stage
from labbook.errors import ConfigurationError
from labbook.experiments import curricula
from labbook.stimuli import Scene28, Scene128
from labbook.study2021 import schedules


def test_week_2_is_that_of_2021():
    stages = schedules.week2()
    assert [stage.scene.std for stage in stages] == list(range(16))
    assert sum(stage.epochs for stage in stages) == 160
    assert {stage.lr_at(epoch) for stage in stages for epoch in range(10)} == {0.01}
    laws = {(stage.scene.contrast, stage.scene.noise, stage.scene.draws) for stage in stages}
    assert laws == {((0.3, 0.7), 0.75, "fresh")}
    what = schedules.week2(lr=0.005, epochs=5, noise=1.0, draws="frozen")
    assert sum(stage.epochs for stage in what) == 80
    assert {(stage.lr, stage.scene.noise, stage.scene.draws) for stage in what} == {(0.005, 1.0, "frozen")}


@given(st.floats(1e-5, 1), st.floats(0.1, 1), st.integers(1, 5), st.integers(0, 50))
def test_the_learning_rate_decays_in_steps(lr, decay, every, epoch):
    stage = Stage(Scene28(), 60, lr, decay, every)
    assert stage.lr_at(0) == lr
    assert stage.lr_at(epoch + every) == pytest.approx(stage.lr_at(epoch) * decay)
    assert stage.lr_at(epoch - epoch % every) == stage.lr_at(epoch)


def test_growing_changes_the_std_alone():
    scene = Scene28(noise=0.5, contrast=(0.7, 0.7))
    stages = curriculum.growing([3, 7.5], 2, 0.1, scene, decay=0.5, decay_every=10)
    assert [stage.scene.std for stage in stages] == [3, 7.5]
    assert all((stage.scene.noise, stage.scene.contrast) == (0.5, (0.7, 0.7)) for stage in stages)
    assert all((stage.epochs, stage.lr, stage.decay, stage.decay_every) == (2, 0.1, 0.5, 10) for stage in stages)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: curriculum.growing([], 1, 0.1), r"stds=\[\] must name at least one"),
        (lambda: curriculum.growing([-1], 1, 0.1), "std=-1"),
        (lambda: Stage(Scene28(), 0, 0.1), "epochs=0 must be a whole number from 1"),
        (lambda: Stage(Scene28(), 1, 0), "lr=0 must"),
        (lambda: Stage(Scene28(), 1, 0.1, decay=1.1), "decay=1.1 must"),
        (lambda: Stage(Scene28(), 1, 0.1, decay_every=0), "decay_every=0 must be .* epochs"),
        (lambda: schedules.week2(contrast=(0.3, 7)), "contrast=7"),
    ],
)
def test_impossible_stages_are_refused_by_name(make, words):
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_a_cosine_falls_over_several_stages_as_over_one():
    """The learning rate is that of one half wave, whichever stages share it."""
    whole, parts = curricula.for_evidence_map(10, 0.002, clear=0), curricula.for_evidence_map(10, 0.002, clear=0.4)
    rates = [[stage.lr_at(epoch) for stage in stages for epoch in range(stage.epochs)] for stages in (whole, parts)]
    assert rates[0] == pytest.approx(rates[1])
    assert rates[0] == sorted(rates[0], reverse=True) and 0 < rates[0][-1] < 2e-5 and 0.0019 < rates[0][0] < 0.002


@pytest.mark.parametrize("change", ({"cosine": (0.5, 0.2)}, {"cosine": (0.0,)}, {"cosine": (0, 1), "decay": 0.5}))
def test_impossible_waves_are_refused(change):
    with pytest.raises(ConfigurationError, match="cosine"):
        Stage(Scene128(), 2, 0.01, **change)
