"""Configurations: impossible ones are refused in a sentence, and a shortened one keeps its schedule's ends."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labbook.config import Training, shortened
from labbook.curriculum import Stage
from labbook.errors import ConfigurationError
from labbook.stimuli import Scene28
from labbook.study2021 import schedules

PLAIN = Training("stn28", (Stage(Scene28(), 1, 0.01),))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "stn"}, "model='stn' is not one of"),
        ({"optimiser": "adan"}, "optimiser='adan'.*Did you mean 'adam'"),
        ({"loss": "nll"}, "loss='nll'"),
        ({"precision": "fp8"}, r"precision='fp8' is not one of float32, tf32, bfloat16\."),
        ({"momentum": 1}, "momentum=1 must"),
        ({"weight_decay": -1}, "weight_decay=-1 must"),
        ({"ema_decay": 1}, "ema_decay=1 must"),
        ({"localisation_rate": -1}, "localisation_rate=-1 must"),
        ({"batch": 0}, "batch=0 must"),
        ({"fraction": 0}, "fraction=0 must"),
        ({"stages": ()}, r"stages=\(\) must hold at least one stage"),
    ],
)
def test_impossible_settings_are_refused_by_name(change, words):
    with pytest.raises(ConfigurationError, match=words):
        replace(PLAIN, **change)


@given(st.integers(2, 10_000_000), st.sampled_from([None, 1, 2, 5, 16, 40]))
def test_a_shortened_run_keeps_its_ends(images, stages):
    config = Training("stn28", schedules.week2())
    short = shortened(config, images, 55_000, stages)
    stds = [stage.scene.std for stage in short.stages]
    assert len(stds) == min(16, stages or 16) and stds == sorted(set(stds)) and stds[0] == 0
    assert stds[-1] == (15 if len(stds) > 1 else 0)
    assert {stage.epochs for stage in short.stages} == {1} and 0 < short.fraction <= 1
    assert short.images(55_000) <= len(stds) * 55_000
    if images <= len(stds) * 55_000:
        assert short.images(55_000) == pytest.approx(images, abs=len(stds) * max(2, short.batch / 2 + 1))
    assert short.batch == 100 or images < 101 * len(stds)
    assert replace(short, stages=config.stages, fraction=1.0, batch=config.batch) == config
