"""What a chapter found, as data: taken out of an executed notebook once, read by everything else."""

import json

import nbformat
import pytest
from chapters import OLD, page

from labbook.book import outcome
from labbook.errors import ConfigurationError


def test_an_outcome_holds_what_the_chapter_kept(tmp_path):
    found = outcome.of(page(OLD), "week1")
    assert set(found) == set(outcome.FIELDS) and found["answer"] == OLD
    assert found["claims"] == [{"id": "C6", "verdict": "refuted", "measured": "spread 0.11 px"}]
    assert found["systems"] == [
        {"system": "ATN", "noise": 0.75, "accuracy": 0.6, "unit": "proportion", "cells": 2},
        {"system": "ATN", "noise": 1.0, "accuracy": 0.1, "unit": "proportion", "cells": 1},
    ]
    path = outcome.write(page(OLD), "week1", tmp_path)
    assert path == tmp_path / "results" / "week1.json" and outcome.read(path) == found
    assert path.read_bytes() == outcome.content(found) and json.loads(path.read_bytes()) == found
    empty = outcome.of(nbformat.v4.new_notebook(), "week2")
    assert empty == {"chapter": "week2", "answer": "", "claims": [], "systems": [], "runs": []}


def test_a_systems_number_is_its_record_of_the_mean():
    cell = {"system": "ATN", "noise": 0.75, "source": "measured", "accuracy": 0.60001, "contrast": 0.3}
    mean = cell | {"contrast": None, "accuracy": 0.6}
    [found] = outcome._systems([mean, cell])
    assert (found["accuracy"], found["cells"]) == (0.6, 1)


def test_outcomes_are_read_for_the_chapters_that_there_are(tmp_path):
    for name in ("week2", "week1"):
        nbformat.write(page(name), tmp_path / f"{name}.ipynb")
    assert [path.stem for path in outcome.write_all(tmp_path)] == ["week1", "week2"]
    (tmp_path / "results" / "drift.json").write_text("[]")  # another kind of result
    assert [found["answer"] for found in outcome.read_all(tmp_path)] == ["week1", "week2"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found.pop("runs"), "an outcome has the fields chapter, answer"),
        (lambda found: found.update(claims={}), "claims must be a list, not dict"),
        (lambda found: found.update(claims=[{"id": 1}]), "every claim must have an id and a verdict"),
    ],
)
def test_what_is_no_outcome_is_refused(tmp_path, change, said):
    found = outcome.of(page(OLD), "week1")
    change(found)
    with pytest.raises(ConfigurationError, match=f"week1: {said}"):
        outcome.parse(json.dumps(found), "week1")
    with pytest.raises(ConfigurationError, match=r"week1 is no outcome of a chapter .*see `labbook results`"):
        outcome.parse("{", "week1")
    with pytest.raises(ConfigurationError, match=r"week1\.json cannot be read: .*`labbook results` writes it anew"):
        outcome.read(tmp_path / "week1.json")


def test_what_a_chapter_kept_must_be_json():
    broken = page(OLD)
    broken.cells[0].outputs[1].data["application/papermill.record/text/plain"] = repr("{")
    with pytest.raises(ConfigurationError, match="week1: what the executed chapter kept cannot be read"):
        outcome.of(broken, "week1")
