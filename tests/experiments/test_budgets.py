"""The shared budgets: every system has a training for each, of its own network, that uses it and no more."""

import pytest

from labbook.config import seeded
from labbook.experiments import budgets, card, systems
from labbook.identity.description import name_of


@pytest.mark.parametrize("budget", budgets.BUDGETS)
def test_every_system_has_a_training_within_each_budget(budget):
    made = budgets.trainings()
    assert made.keys() == systems.SYSTEMS.keys()
    for name, each in made.items():
        own = systems.SYSTEMS[name].training
        assert budgets.NEARLY * budget <= budgets.images(each[budget]) <= budget, name
        assert (each[budget].model, each[budget].loss, each[budget].batch) == (own.model, own.loss, own.batch), name
        assert (each[budget].start is None) == (own.start is None), name
        if own.model not in ("evidence", "foveal"):  # whose width is that of the map
            assert each[budget].options == own.options, name


@pytest.mark.parametrize("budget", budgets.BUDGETS)
def test_both_pathways_of_what_where_share_a_budget(budget):
    what, second = budgets.what_where(budget)
    where = second((0.9, 0.5, 0.1))
    assert budgets.images(what) + budgets.images(where) == budget
    assert where.options["accuracy"] == (0.9, 0.5, 0.1) and where != second((0.8, 0.5))


def test_a_gpu_is_offered_every_training_with_three_seeds():
    planned = {name_of(each) for entry in card.card_trainings() for each in entry.trainings}
    for each in budgets.trainings().values():
        for training in each.values():
            assert {name_of(seeded(training, seed, "mnist")) for seed in range(3)} <= planned


def test_a_systems_own_training_stands_for_a_budget_of_which_it_used_half():
    short, long = budgets.BUDGETS
    polar, attention = (systems.SYSTEMS[n].training for n in ("log-polar STN, 768 features", "attention STN"))
    assert budgets.candidates("log-polar STN, 768 features", short)[1:] == [polar]
    assert budgets.candidates("log-polar STN, 768 features", long)[1:] == []
    assert budgets.candidates("attention STN", long)[1:] == [attention]
    assert budgets.candidates("foveal searcher with evidence map", long)[1:] == []  # above it
