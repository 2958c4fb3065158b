"""The trainings of the chapter `beyond`: each is what its name says, has a name of its own, and runs."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from labbook import classifiers, evaluation, models
from labbook.book import store
from labbook.book.chapter_store import ChapterStore
from labbook.book.parameters import Trains
from labbook.config import Training, shortened
from labbook.digits import DigitSets
from labbook.evaluation import Proportion
from labbook.experiments import beyond, card
from labbook.identity.description import describe, name_of, parse
from labbook.ops import gpu
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
    assert {each.images(DIGITS) for each in cells.values()} == {110_000}
    for levels, each in cells.items():
        stimuli, optimiser, contrasts, system = levels
        assert {stage.scene.draws for stage in each.stages} == {stimuli}
        assert each.optimiser == optimiser.lower() and (each.model == "evidence") == (system == "evidence map")
        assert (len(each.stages) == 1) == (contrasts == "early")


def small(training: Training, few: DigitSets) -> Training:
    """A few images of a training, on scikit-learn's digits, and of those that it goes on from."""
    cut = shortened(replace(training, data=few.name), 40, len(few.train), 2)
    return replace(cut, batch=10, start=training.start and small(training.start, few))


def kind(trainings: list[Training]) -> str:
    """Return what the first of some trainings is, but for its images and its seed."""
    first = trainings[0]
    return repr((first.model, first.options, first.optimiser, first.loss, first.stages[-1].scene, bool(first.start)))


KINDS = {kind(trainings): (name, trainings[0]) for name, trainings, _ in beyond.card_trainings()[::-1]}


@pytest.mark.parametrize(("name", "first"), KINDS.values(), ids=[name for name, _ in KINDS.values()])
def test_each_kind_trains_and_is_evaluated(few, name, first):
    """A few images, on scikit-learn's digits."""
    tiny = small(first, few)
    weights = tiny.start and train(tiny.start, few).model.state_dict()
    outcome = train(tiny, few, weights=weights)
    answers = evaluation.predictions(outcome.model, few.test, tiny.stages[-1].scene, 20)
    assert answers.theta.shape == (20, 2, 3) and evaluation.fixation_error(answers).shape == (20,)


# ---- results ---------------------------------------------------------------------------------------------------------


def test_the_images_to_reach_an_accuracy_are_read_from_the_history():
    history = [{"images": 10, "fixed_accuracy": each} for each in (0.1, 0.95, 0.3, 0.9, 0.95, 0.97)]
    assert beyond.learning_curve(history)[2] == (30, 0.3)
    assert beyond.images_to_reach(history, 0.9) == 60  # one lucky epoch does not count
    assert beyond.images_to_reach(history, 0.99) is None


def test_an_error_that_halves_with_every_fourfold_budget_has_exponent_minus_one_half():
    law = beyond.error_law({10_000: [0.2], 40_000: [0.08, 0.12], 160_000: [0.05]})
    assert law.exponent.value == pytest.approx(-0.5) and law.at(640_000) == pytest.approx(0.025)


def test_only_what_lies_further_below_than_the_seeds_differ_is_below():
    assert beyond.below([0.95, 0.96], {"a": 0.93, "b": 0.945, "c": 0.97}) == ["a"]


def test_what_only_the_system_decides_is_its_effect():
    cells = {
        levels: {"all": Proportion(90 if "evidence map" in levels else 50, 100)}
        for levels, _ in beyond.cells_of_factorial()
    }
    found = beyond.effects(cells)
    assert found["system"].value > 2 and abs(found["stimuli"].value) < 1e-9
    assert list(found)[:4] == list(beyond.FACTORS) == list(beyond.CHANGES)
    assert beyond.largest(found) == "system"


def test_limits_and_searches_are_shares_of_all_fields():
    counts = {"right": [[80] * 27], "told": [90] * 27, "together": [85] * 27, "astray": [15] * 27, "lost": [12] * 27}
    expected = {"wrong": 0.2, "told": 0.1, "together": 0.15, "lost": 0.12, "confused": 0.08}
    assert beyond.limits(counts, 100) == {c: pytest.approx(expected) for c in evaluation.CONTRASTS}
    searches = {"made": [[150] * 7] * 27, "stopped": [[90] * 7] * 27}
    found = beyond.searched(searches, 100)
    assert found["made"] == pytest.approx([1.5] * 7) and found["stopped"] == pytest.approx([0.9] * 7)
    assert beyond.coefficients(5) == 5 * (2880 + 44**2)
    assert beyond.coefficients(1, 256) == 2880 + 2 * 288 + 44**2  # two rings more


def test_published_errors_stand_beside_ours():
    rows = beyond.beside_published({"cluttered 60x60": Proportion(9_900, 10_000)})
    assert [row[1] for row in rows][-1] == "evidence map" and rows[-1][2].startswith("1.00 % (0.8")
    assert ("cluttered 60x60", "recurrent attention, eight glimpses", "4.04 %", "Mnih et al. 2014") in rows


def test_a_search_gets_few_numbers_of_a_large_field():
    costs = beyond.costs({64: (1e6, 3e6), 128: (4e6, 6e6)})
    assert costs["million operations"] == {"evidence map": {64: 1, 128: 4}, "foveal search": {64: 3, 128: 6}}
    assert costs["input values"]["evidence map"] == {64: 64**2, 128: 128**2, beyond.LARGE: beyond.LARGE**2}
    assert costs["input values"]["foveal search"][beyond.LARGE] < 2 * costs["input values"]["foveal search"][64]
    assert [name for _, name, _ in beyond.growing(costs)] == ["evidence map", "foveal search"]


def test_the_operations_of_a_map_grow_with_the_area():
    (small, search), (large, _) = (
        beyond.operations(models.build("evidence", width=2), None, size) for size in (48, 96)
    )
    assert 4 < large / small < 8 and search > small  # the border has no places


@pytest.mark.parametrize("name", ("evidence map, main recipe", "foveal searcher, taught by the map"))
def test_a_gpu_session_measures_them(few, name, monkeypatch, tmp_path):
    """Smoke: what is counted is stored with the run, and found again without the model."""
    [entry] = (each for each in card.card_trainings() if each.name == name)
    tiny = small(entry.trainings[0], few)
    runs = store.Store(tmp_path / "none", tmp_path / "runs")
    run = runs.get_or_train(tiny, few)
    settings = Trains(profile="smoke", device="cpu", data=few.name, out=str(tmp_path))
    lane = type("Lane", (), {"book": ChapterStore(settings, runs)})
    first = gpu.measured(lane, run, tiny)
    assert 0 <= first["cells"] <= 1
    monkeypatch.setattr(models, "build", None)
    assert gpu.measured(lane, run, tiny) == first


def test_only_a_map_that_learned_supervises_a_searcher():
    def run(accuracy):
        return SimpleNamespace(history=[{"accuracy": 0.9}, {"accuracy": accuracy}])

    assert beyond.learned({64: run(0.9), 128: run(0.21), 256: run(0.095)}) == [64, 128]
    assert beyond.learned({64: run(0.1), 128: run(0.1)}) == [64]
