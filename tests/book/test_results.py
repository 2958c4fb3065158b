"""The benchmark as a file: what its records must be, and that equal results are equal bytes."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from labbook import classifiers, models, retina
from labbook.book import results
from labbook.errors import ConfigurationError
from labbook.evaluation import Proportion
from labbook.experiments.benchmark import CELLS, Counted, Digitwise, Measured
from labbook.study2021 import facts as study

COSTS = {"parameters": 10, "coefficients": 784, "train_images": 600, "train_seconds": 1.26, "device": "2 CPU cores"}


def found(*correct, n=100):
    """A measurement with as many right answers in every cell as each seed is given."""
    right = [np.tile(np.arange(n) < k, (27, 1)) for k in correct]
    near = np.tile(np.arange(n) < n // 2, (27, 1))
    return Measured([Digitwise(each, ~each, near, np.zeros(27), np.ones(27)) for each in right])


def ours(*correct, noise=0.75, system="ours"):
    return results.measured(system, found(*correct), noise=noise, **COSTS)


def test_a_cell_is_a_mean_over_seeds_in_an_interval_of_digits_and_seeds():
    mean, *cells = ours(80, 90)
    assert (mean.contrast, mean.eccentricity, mean.accuracy) == (None, None, 0.85)
    assert [(cell.contrast, cell.eccentricity) for cell in cells[:2]] == [(0.7, 4.4444), (0.7, 8.8889)]
    assert len(cells) == 27
    for cell in cells:
        assert (cell.accuracy, cell.n_stimuli, cell.n_seeds) == (0.85, 100, 2)
        assert cell.low < 0.8 and cell.high > 0.9
        assert (cell.train_seconds, cell.source) == (1.3, "measured")
        assert (cell.interval, cell.sample) == ("digits and seeds", "random")
        assert (cell.ceiling, cell.localised) == (0.15, 0.5)
    counted = Counted({cell: Proportion(80, 100) for cell in CELLS}, 0.2)
    cell = results.measured("counted", counted, noise=1.0, **COSTS)[0]
    assert (cell.interval, cell.sample, cell.ceiling) == ("digits", "first", None)


def test_2021_is_there_with_what_the_study_says_of_it():
    cells = results.stated()
    assert len(cells) == 27 * len(study.systems()) and {cell.source for cell in cells} == {"2021"}
    first = next(cell for cell in cells if cell.system == "STN_128x128")
    assert (first.contrast, first.accuracy, first.n_stimuli, first.noise) == (0.7, 0.9715, 10_000, 0.75)
    assert first.low < 0.9715 < first.high < first.low + 0.01
    assert {cell.noise for cell in cells if cell.system.startswith("What/Where")} == {1.0}
    facts = study.systems()
    for system, model, options in (
        ("STN_128x128", "stn128", {}),
        ("ATN", "atn", {}),
        ("POLO_ATN_95%", "polo", {}),
        ("POLO_ATN_85%", "polo", {"retina": "polo2560"}),
        ("convPOLO_ATN_85%", "conv_polo", {}),
    ):
        assert facts[system]["parameters"] == classifiers.count(models.build(model, **options))
    window = 28 * 28
    for system, name in (
        ("POLO_ATN_95%", "polo768"),
        ("POLO_ATN_85%", "polo2560"),
        ("What/Where 1 saccades", "whatwhere"),
    ):
        assert facts[system]["coefficients"] == retina.RETINAS[name].n + window


def test_what_is_written_comes_back_and_is_the_same_in_any_order(tmp_path):
    cells = [*ours(80, 90), *ours(60, noise=1.0), *results.stated()]
    path = tmp_path / "results" / "benchmark.json"
    results.write(cells, path)
    assert set(results.read(path)) == set(cells)
    assert results.content(results.read(path)) == path.read_bytes()
    shuffled = [*cells[28:56][::-1], *cells[:28][::-1], *cells[56:]]
    assert results.content(shuffled) == path.read_bytes()
    measured, *_, stated = json.loads(path.read_text())
    assert list(measured) == list(results.NAMES) and set(results.NAMES) - set(stated) == set(results.OPTIONAL)


def test_every_measured_cell_is_accepted():
    for cell in [*ours(0), *ours(100), *ours(0, 100, 37)]:
        assert 0 <= cell.low <= cell.accuracy <= cell.high <= 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"accuracy": 1.2}, "accuracy=1.2 must be a number from"),
        ({"accuracy": 0.1}, "accuracy=0.1 must be a number from"),  # outside its own interval
        ({"ceiling": 1.5}, "ceiling=1.5 must be a number from 0 to 1"),
        ({"contrast": float("nan")}, "contrast=nan must be a number from 0 to 1"),
        ({"eccentricity": 70}, "eccentricity=70.0 must be a number from 0 to 64"),
        ({"n_stimuli": 0}, "n_stimuli=0 must be a whole number from 1"),
        ({"n_seeds": 2.0}, "n_seeds=2.0 must be a whole number"),
        ({"parameters": None}, "parameters=None must be a whole number"),
        ({"train_seconds": -1}, "train_seconds=-1.0 must be"),
        ({"source": "measurd"}, "source='measurd' is not one of measured, 2021. Did you mean 'measured'?"),
        ({"system": ""}, "system='' must be a name"),
        ({"device": 3}, "device=3 must be a name or None"),
    ],
)
def test_a_record_out_of_bounds_is_refused_by_name(changes, words, tmp_path):
    cell = ours(80)[1]
    with pytest.raises(ConfigurationError) as refused:
        replace(cell, **changes)
    assert words in str(refused.value)
    if changes.get("contrast") is None:
        path = tmp_path / "benchmark.json"
        path.write_text(json.dumps([asdict(cell), asdict(cell) | changes]))
        with pytest.raises(ConfigurationError) as refused:
            results.read(path)
        assert f"record 1: {words}" in str(refused.value)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "benchmark.json"
    cell = asdict(ours(80)[1])
    for text, words in [
        ("[", "cannot be read as a benchmark"),
        ("{}", "must hold a list of records, not dict"),
        (json.dumps([cell | {"colour": "red"}]), "record 0: its fields must be system, contrast"),
        (json.dumps([{k: v for k, v in cell.items() if k != "low"}]), "record 0: its fields must be"),
        (json.dumps([cell | {"low": float("nan")}]), "it holds NaN"),
        (json.dumps([cell, cell]), "holds 'ours' (measured) twice at noise 0.75, contrast 0.7"),
    ]:
        path.write_text(text)
        with pytest.raises(ConfigurationError) as refused:
            results.read(path)
        assert words in str(refused.value)
    with pytest.raises(ConfigurationError, match="cannot be read as a benchmark"):
        results.read(tmp_path / "nowhere.json")
