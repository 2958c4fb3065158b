"""The store of a chapter: the longest runs that its profile allows, and evaluations under their stored names."""

import json

import pytest

from labbook.book import evaluations, visual_field
from labbook.curriculum import growing
from labbook.errors import ConfigurationError
from labbook.runtime import files
from labbook.stimuli import Scene28, Scene128
from labbook.training import Training

SMALL = Training("stn28", growing([0], 1, 0.01, Scene28()), fraction=0.05, data="digits")


def test_a_chapter_gets_the_longest_runs_that_it_may_and_knows_what_was_shortened(chapter_store):
    training = Training("tutorial", growing([0, 5], 3, 0.01, Scene28()), fraction=0.1, data="digits")
    store = chapter_store()
    cut = store.get_or_train(training, quick=200)
    assert [run.training.get("seed", 0) for run in cut] == [0, 1]
    assert store.shortened == {run.id for run in cut}
    (whole,) = chapter_store("full").get_or_train(training, seeds=[0])
    assert whole.images == training.images(1200) > cut[0].images
    again = chapter_store()
    assert again.get_or_train(training, seeds=[0])[0].id == whole.id  # quick takes the whole schedule from the store
    assert not again.shortened


RESULTS = {  # a name of an evaluation, and what asks for it
    "accuracy": lambda store, run: store.evaluate(evaluations.accuracy, run, scene=Scene28()),
    "answers": lambda store, run: store.evaluate(evaluations.predictions, run, scene=Scene28(), n=10),
    "grid": lambda store, run: store.evaluate(evaluations.predictions_on_grid, run, scene=Scene28(), axis=[0], count=2),
    "alive": lambda store, run: store.evaluate(evaluations.active_units, run, scene=Scene28(), n=10),
    "map": lambda store, run: store.accuracy_map(run, Scene28(), 1),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_stored_result_of_another_shape_is_one_sentence(chapter_store, name):
    store = chapter_store("full")
    (run,) = store.get_or_train(SMALL, seeds=[0])
    first = RESULTS[name](store, run)
    again = RESULTS[name](chapter_store("full"), run)
    assert str(again) == str(first)
    (path,) = run.folder.glob(f"{name}-*.json")
    record = files.sealed(path)
    for wrong in ({"a": 1}, ["x"], "x", [[1, 2], [3]]):
        path.write_bytes(files.seal(json.dumps(record | {"result": wrong}).encode()))
        with pytest.raises(ConfigurationError, match=f"{path} holds no result of this kind"):
            RESULTS[name](chapter_store("full"), run)


def test_settings_are_stored_as_plain_data_and_runs_by_their_ids(chapter_store):
    store = chapter_store()
    run, other = store.get_or_train(SMALL)

    def measure(model, test, what, scene, grid, n=5, widths=(0.5, 2.0)):
        assert not model.training and isinstance(what, type(model)) and scene == Scene128(noise=1)
        return n

    given = {"what": other, "scene": Scene128(noise=1), "grid": visual_field.Sweep((0, 40), (0.7,), (0.75,), 2, 2)}
    assert store.evaluate(evaluations.Evaluation("one", measure, smoke=3), run, **given) == 5
    (path,) = run.folder.glob("one-*.json")
    record = files.sealed(path)
    assert record["settings"]["what"] == other.id and record["others"] == {other.id: other.weights_sha256}
    assert record["settings"]["scene"] == {"law": "Scene128", "noise": 1}
    assert record["settings"]["widths"] == [0.5, 2.0] and record["settings"]["grid"]["contrasts"] == [0.7]
    smoke = chapter_store("smoke")
    assert smoke.evaluate(evaluations.Evaluation("two", measure, smoke=3), run, **given) == 3
