"""Systems side by side: what stands for a shared budget, and what is told of errors and thresholds."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from labbook import whatwhere, where
from labbook.book import evaluations
from labbook.config import seeded
from labbook.experiments import budgets, systems
from labbook.experiments.benchmark import CELLS, Digitwise, Errors, Measured
from labbook.identity.description import name_of
from labbook.view import standings

NAME = "attention STN"
OWN = systems.SYSTEMS[NAME].training
MODEL = systems.title(whatwhere.SACCADES)


def outcomes(share, digits=40):
    right = np.arange(digits) < digits * share
    right = np.tile(right, (len(CELLS), 1))
    return Digitwise(right, right, right, np.zeros(len(CELLS)), np.ones(len(CELLS)))


def evaluated(evaluation, run, **settings):
    """Return invented outcomes: a share of correct predictions that grows with the seed."""
    if isinstance(run, list):
        return [evaluated(evaluation, each, **settings) for each in run]
    if evaluation is evaluations.accuracy_map:
        return torch.full((19, 19), 0.5)
    found = outcomes(0.5 + run.configuration.seed / 10)
    return 3 * [found] if evaluation is evaluations.digitwise_saccades else found


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
        evaluate=evaluated,
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


@pytest.mark.parametrize("seeds", [(), (1,), (0, 2), (0, 1, 2)])
def test_the_shared_budgets_show_the_seeds_that_are_stored(monkeypatch, seeds):
    small, large = budgets.BUDGETS
    what, where_of = budgets.what_where(small)
    profile = where.profile(torch.full((19, 19), 0.5))
    held = [budgets.trainings()[NAME][small], what, where_of(profile)]
    own = {name: Measured([outcomes(0.9)]) for name in systems.SYSTEMS}
    tables, drawn = [], []
    monkeypatch.setattr(standings.report, "table", lambda header, rows, caption: tables.append((header, rows, caption)))
    monkeypatch.setattr(standings.figures, "show", lambda *given, **words: drawn.append(words["alt"]))
    standings.shared_budgets(store_of(*(seeded(each, seed, "mnist") for each in held for seed in seeds)), own)
    (header, rows, caption), (_, none, other) = tables
    assert small != large and f"{large:,} training images" in other and not none and NAME in other
    found = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert set(found) == ({NAME, "What/Where model, 1 saccade", MODEL} if seeds else set())
    assert ("What/Where" in caption.partition("Not trained")[2]) == (not seeds) and len(drawn) == bool(seeds)
    if seeds:
        mean = 50 + 10 * sum(seeds) / len(seeds)
        row = found[NAME]
        assert row["accuracy"].startswith(f"{mean:.1f} %") and row["seeds"] == len(seeds)
        assert row[f"from {MODEL}"].startswith("+0.0 points") and not found[MODEL][f"from {MODEL}"]
        assert (row["budget used"], row["test digits"]) == ("100 %", "40")
        assert f"{NAME} {mean:.1f} % at {small:,} training images" in drawn[0]


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
