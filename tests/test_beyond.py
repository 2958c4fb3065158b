"""The trainings of the chapter `beyond`: each is what its name says, has a name of its own, and runs."""

from dataclasses import replace

import pytest

from labbook import classifiers, evaluation, models
from labbook.config import describe, name_of, parse, shortened
from labbook.experiments import beyond
from labbook.training import train

DIGITS = 55_000  # of MNIST's training set


def test_budgets_and_widths_are_what_they_are_called():
    for images in beyond.BUDGETS:
        assert beyond.evidence_map(images).images(DIGITS) == images
    for width, parameters in beyond.WIDTHS.items():
        assert classifiers.count(models.build("evidence", width=width)) == parameters
    assert max(size for size in beyond.WIDTHS.values() if size < 100_000) == beyond.WIDTHS[beyond.MAIN_WIDTH]


def test_every_training_is_listed_once_in_the_order_of_worth():
    listed = beyond.trainings()
    assert len({name_of(each) for each in listed.values()}) == len(listed)
    worth = [each for *_, each in beyond.card_trainings()]
    assert worth == sorted(worth, reverse=True)
    assert all(parse(describe(each)) == each for each in listed.values())


def test_positions_and_crops_teach_nothing():
    for each in beyond.trainings().values():
        assert "position" not in each.loss and each.loss != "collicular"
        assert {getattr(stage.scene, "view", "field") for stage in each.stages} == {"field"}


def test_the_cells_of_the_factorial_differ_by_their_factors_alone():
    cells = dict(beyond.cells_of_factorial())
    assert len(cells) == 16 and len({name_of(each) for each in cells.values()}) == 16
    assert {each.images(DIGITS) for each in cells.values()} == {165_000}
    for levels, each in cells.items():
        stimuli, optimiser, contrasts, system = levels
        assert {stage.scene.draws for stage in each.stages} == {stimuli}
        assert each.optimiser == optimiser and (each.model == "evidence") == (system == "map")
        assert (len(each.stages) == 1) == (contrasts == "early")


@pytest.mark.parametrize("group", [name for name, *_ in beyond.card_trainings()])
def test_each_group_trains_and_is_evaluated(few, group):
    """A few images of its first training, on scikit-learn's digits."""
    [first] = [trainings[0] for name, trainings, _ in beyond.card_trainings() if name == group]

    def small(training):
        cut = shortened(replace(training, data=few.name), 40, len(few.train), 2)
        return replace(cut, batch=10, start=training.start and small(training.start))

    tiny = small(first)
    weights = tiny.start and train(tiny.start, few).model.state_dict()
    outcome = train(tiny, few, weights=weights)
    answers = evaluation.answers(outcome.model, few.test, tiny.stages[-1].scene, 20)
    assert answers.theta.shape == (20, 2, 3) and evaluation.fixation_error(answers).shape == (20,)
