"""The box that says how to run a chapter again: its commands make the same page."""

import json
import shlex

import pytest
import yaml
from chapters import write_chapter

from labbook.book import checkout as book_checkout
from labbook.book import execution, pages, parameters, rerun
from labbook.book.declarations import Week2
from labbook.book.store import Run


def test_the_commands_carry_what_differs_from_the_defaults(checkout):
    path = "notebooks/week2_adam_vs_sgd.ipynb"
    assert rerun.commands(Week2()) == (f"papermill {path} out.ipynb", "python -m labbook run week2_adam_vs_sgd")
    changes = {"profile": "smoke", "seed": 3, "runs": "retrain", "stds": [0.0, 2.5]}
    papermill, ours = map(shlex.split, rerun.commands(Week2(out="/else where", **changes)))
    assert papermill[3:9] == ["-p", "profile", "smoke", "-p", "seed", "3"]
    assert yaml.safe_load(papermill[papermill.index("-y") + 1]) == {"stds": [0.0, 2.5]}
    assert parameters.overrides(write_chapter(checkout, "week2"), ours[6::2]) == changes


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "less than 10 seconds"), (59, "less than 1 minute"), (61, "less than 2 minutes"), (3601, "less than 2 hours")],
)
def test_times_are_told_as_bounds(seconds, words):
    assert rerun.within(seconds) == words


def test_the_box_tells_time_runs_and_parameters(tmp_path):
    run = Run(tmp_path, {}, [{"seconds": 100.0}, {"seconds": 80.0}], {"device": "2 CPU <cores>"}, "")
    box = rerun.box(Week2(stds=[0, 15]), 12.0, [run, run])
    assert "less than 20 seconds" in box and "2 training runs took 6 minutes on 2 CPU &lt;cores&gt;" in box
    assert "<td><code>stds</code></td><td>0, 15</td><td>shift std of the stages</td><td>0 to 1000 px</td>" in box
    assert "<code>data</code>" not in box


def test_a_chapter_is_executed_again_from_the_published_store_alone(tmp_path, monkeypatch):
    """Without MNIST, without a network, and with nothing left to train or to evaluate."""
    monkeypatch.delenv("LABBOOK_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (path,) = book_checkout.find(["week5"])
    values = {"profile": "quick", "out": str(tmp_path / "made")}
    page = execution.execute(path, values, tmp_path / "week5.ipynb")
    assert "banner-data" not in str(page) and "Data: MNIST, 60,000 + 10,000 digits" in str(page)
    assert json.loads(pages.glued(page, "runs"))
    assert not (tmp_path / "made").exists() and not (tmp_path / "cache" / "lab-book").exists()
