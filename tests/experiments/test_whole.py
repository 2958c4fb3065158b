"""The whole schedules of 2021, what goes on from them, and the order in which a lent GPU trains them."""

from dataclasses import replace

import pytest

from labbook import experiments
from labbook.config import Training, seeded
from labbook.errors import ConfigurationError
from labbook.experiments import beyond, card, whole
from labbook.identity.description import name_of
from labbook.stimuli import ECCENTRICITIES
from labbook.study2021 import schedules


def test_the_table_is_that_of_2021():
    assert list(whole.SCHEDULES) == ["stn128", "atn", "polo", "stn28", "conv_polo", "what", "where"]
    facts = {  # epochs, optimiser, learning rate of each stage's first epoch (study 3.1 to 3.9, 1.6)
        "stn128": (110, "sgd", [0.01] * 3 + [0.001] * 3 + [0.0001] * 3 + [0.001] * 2),
        "atn": (110, "sgd", [0.01 / 2**k for k in range(9)] + [0.001, 0.0005]),
        "polo": (110, "sgd", [0.005 / 2**k for k in range(9)] + [0.0005, 0.00025]),
        "stn28": (160, "sgd", [0.01] * 16),
        "conv_polo": (190, "sgd", [0.005, 0.0045, 0.005 * 0.9**5, 0.005]),
        "what": (80, "adam", [0.005] * 16),
        "where": (60, "adam", [0.005]),
    }
    for name, schedule in whole.SCHEDULES.items():
        each = schedule.training
        epochs, optimiser, rates = facts[name]
        assert sum(stage.epochs for stage in each.stages) == epochs
        assert (each.optimiser, each.momentum, each.weight_decay, each.batch) == (optimiser, 0, 0, 100)
        assert [stage.lr_at(0) for stage in each.stages] == pytest.approx(rates)
        assert {(stage.scene.draws, stage.scene.noise) for stage in each.stages} == {("frozen", 0.75)}
        assert (each.fraction, each.digits, each.start) == (1.0, None, None)
    for name in ("stn128", "atn", "polo"):
        stages = whole.SCHEDULES[name].training.stages
        assert [stage.scene.std for stage in stages] == [*ECCENTRICITIES, 40, 40]
        assert [stage.scene.contrast for stage in stages] == [(0.7, 0.7)] * 9 + [(0.5, 0.7), (0.3, 0.7)]
    for name in ("stn28", "what"):
        assert [stage.scene.std for stage in whole.SCHEDULES[name].training.stages] == list(range(16))
    conv = whole.SCHEDULES["conv_polo"].training.stages
    rates = [stage.lr_at(epoch) for stage in conv for epoch in range(stage.epochs)]
    assert {stage.scene.std for stage in conv} == {40}
    assert rates[:90] == pytest.approx([0.005 * 0.9 ** (epoch // 10) for epoch in range(90)])
    assert rates[90:] == pytest.approx([0.005 * 0.5 ** (epoch // 10) for epoch in range(100)])


def test_the_order_is_that_of_worth_and_nothing_comes_twice():
    entries = card.card_trainings()
    names = [entry.name for entry in entries]
    assert len(set(names)) == len(names) and [e.worth for e in entries] == sorted(
        (e.worth for e in entries), reverse=True
    )
    order = ["STN-128, three stds", "STN-128, nine stds", "STN-128, sixty epochs", "attention STN", "log-polar STN"]
    order += ["STN-28, SGD", "convolutional log-polar STN", "Where pathway", "STN-128, three stds, seed 1"]
    assert [names.index(name) for name in order] == sorted(names.index(name) for name in order)
    at = {name_of(each): k for k, entry in enumerate(entries) for each in entry.trainings}
    assert len(at) == sum(len(entry.trainings) for entry in entries)
    assert all(at[name_of(start)] < k for k, entry in enumerate(entries) for start in entry.starts)


def test_what_claims_need_is_trained_with_the_seeds_that_their_verdicts_take():
    planned = {name_of(each) for entry in card.card_trainings() for each in entry.trainings}
    for training in experiments.needed().values():
        assert {name_of(seeded(training, seed, "mnist")) for seed in range(card.SEEDS)} <= planned


def test_the_parts_of_stn128_are_its_whole_schedule():
    parts = ["STN-128, three stds", "STN-128, six stds", "STN-128, nine stds", "STN-128, lower contrasts at 0.001"]
    entries = card.chosen(card.card_trainings(), [parts[-1].upper()])
    assert [entry.name for entry in entries] == parts
    stages = [stage for entry in entries for stage in entry.trainings[0].stages]
    assert tuple(replace(stage, scene=replace(stage.scene)) for stage in stages) == schedules.week5(draws="frozen")


def test_names_are_found_and_others_refused():
    entries = card.card_trainings()
    assert card.chosen(entries) == entries
    assert [entry.name for entry in card.chosen(entries, ["attention stn"])] == ["attention STN"]
    assert len(card.chosen(entries, ["stn-28, adam"])) == 2
    for word in ("STN-182", ""):
        with pytest.raises(ConfigurationError, match="names no training"):
            card.chosen(entries, [word])


def test_two_trainings_of_one_name_are_refused(monkeypatch):
    more = Training("lenet", schedules.week2())
    monkeypatch.setattr(beyond, "card_trainings", lambda: [("more", [more], 100.0), ("less", [more], 1.0)])
    assert [entry.trainings for entry in card.card_trainings() if entry.name in ("more", "less")] == [(more,)]
    other = replace(more, seed=1)
    monkeypatch.setattr(beyond, "card_trainings", lambda: [("more", [more], 100.0), ("more", [other], 1.0)])
    with pytest.raises(ConfigurationError, match="called 'more'"):
        card.card_trainings()


def test_an_entry_is_changed_with_all_that_it_goes_on_from():
    entry = card.chosen(card.card_trainings(), ["STN-128, six stds"])[-1]
    changed = card.adapted(entry, lambda training: replace(training, data="digits", precision="tf32"))
    [training] = changed.trainings
    assert (training.data, training.precision) == (training.start.data, training.start.precision) == ("digits", "tf32")
    assert training.stages == entry.trainings[0].stages and training.start.start is None


@pytest.mark.parametrize("name", whole.SCHEDULES)
@pytest.mark.parametrize("share", [0.5, 0.01, 0.001, 0.0001])
def test_a_share_shortens_openly(name, share):
    training = whole.SCHEDULES[name].training
    assert card.cut(training, 1, 55_000) is training
    short = card.cut(training, share, 55_000)
    kept = replace(short, stages=training.stages, fraction=1.0, batch=training.batch)
    assert kept == training and [stage.scene for stage in short.stages] == [stage.scene for stage in training.stages]
    steps = sum(stage.epochs for stage in short.stages)  # each epoch has at least one, and rounds by half of one
    assert abs(short.images(55_000) - share * training.images(55_000)) <= steps * training.batch
