"""Systems side by side: what stands for a shared budget, and what is told of errors and thresholds."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from labbook.book import evaluations
from labbook.experiments import budgets, systems
from labbook.experiments.benchmark import CELLS, Digitwise, Errors, Measured
from labbook.identity.description import name_of
from labbook.view import standings

NAME = "attention STN"
OWN = systems.SYSTEMS[NAME].training


def outcomes(share):
    right = np.arange(40) < 40 * share
    right = np.tile(right, (len(CELLS), 1))
    return Digitwise(right, right, right, np.zeros(len(CELLS)), np.ones(len(CELLS)))


def store_of(*trainings, weights=True):
    """Return a store that holds these trainings, with weights or nothing but their histories."""
    held = {name_of(each): each for each in trainings}

    def find(training):
        path = Path(__file__) if weights else Path("nowhere")
        held_one = held.get(name_of(training))
        return held_one and SimpleNamespace(id=name_of(training), configuration=training, weights=path, folders=[])

    return SimpleNamespace(
        settings=SimpleNamespace(profile="quick"),
        sets=SimpleNamespace(name="mnist"),
        runs=SimpleNamespace(used={}, reuse=True, find=find),
        evaluate=lambda evaluation, run, **settings: outcomes(0.5),
    )


def test_a_budget_is_that_of_its_training_else_of_the_systems_own_if_it_used_half_of_it():
    made, own = budgets.trainings()[NAME], Measured([outcomes(0.9)])
    small, large = budgets.BUDGETS
    assert standings.at_budget(store_of(), NAME, large, own) is None
    assert standings.at_budget(store_of(OWN), NAME, large, own) == (own, budgets.images(OWN))
    assert standings.at_budget(store_of(OWN), NAME, small, own) is None  # it used more
    found, images = standings.at_budget(store_of(OWN, made[large]), NAME, large, own)
    assert (found.accuracy().value, found.n_seeds, images) == (0.5, 1, large)
    assert standings.at_budget(store_of(made[large], weights=False), NAME, large, own) is None


def test_results_are_kept_as_evaluations_or_as_weights(tmp_path):
    run = SimpleNamespace(weights=tmp_path / "weights", folders=[tmp_path])
    assert not standings.kept(evaluations.digitwise, run)
    (tmp_path / "digitwise saccades-0.json").touch()
    assert not standings.kept(evaluations.digitwise, run) and standings.kept(evaluations.digitwise_saccades, run)
    run.weights.touch()
    assert standings.kept(evaluations.digitwise, run)


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        (None, ""),
        (Errors(0.0123, 0.0, 0.2), "1.2 + 20.0 %"),
        (Errors(0.0, 0.15, 0.08), "at most 15.0, at least 8.0 %"),
    ],
)
def test_errors_are_numbers_or_bounds(errors, told):
    assert standings._told(errors) == told
