"""The box that says how to run a chapter again: its commands make the same page."""

import json
import shlex

import nbformat
import pytest
import yaml

from labbook.book import chapter, rerun
from labbook.book.chapter import COMMON, Here
from labbook.book.store import Run
from labbook.errors import ConfigurationError

SOURCE = """
profile: str = "auto"  # how much is computed
seed: int = 0  # the first seed
n_seeds: int = 3
device: str = "auto"
runs: str = "reuse"
data: str = "auto"
out: str = ""
stds: list[float] = [0, 15]  # shift std, pixels & more
optimiser: str = "adam"  # a name # with a note
"""
DEFAULTS = {"profile": "auto", "seed": 0, "n_seeds": 3, "device": "auto", "runs": "reuse", "data": "auto", "out": ""}
DEFAULTS |= {"stds": [0.0, 15.0], "optimiser": "adam"}


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(chapter, "root", lambda: tmp_path)
    cell = nbformat.v4.new_code_cell(SOURCE, id="parameters", metadata={"tags": ["parameters"]})
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks" / "week1_a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


def make(profile="quick", **changes):
    values = DEFAULTS | changes
    return Here("week1_a", profile, values["seed"], values["n_seeds"], "reuse", "mnist", None, values)


def test_a_chapter_declares_defaults_and_their_meaning(path):
    declared = chapter.declared(path)
    assert declared["stds"] == ([0, 15], "shift std, pixels & more")
    assert declared["optimiser"] == ("adam", "a name # with a note")
    assert declared["n_seeds"] == (3, "")
    assert set(COMMON) < set(declared)


def test_the_commands_carry_what_differs_from_the_defaults(path):
    assert rerun.commands(make()) == ("papermill notebooks/week1_a.ipynb out.ipynb", "python -m labbook run week1_a")
    changes = {"seed": 3, "stds": [0.0, 2.5], "optimiser": "two words"}
    papermill, ours = (shlex.split(line) for line in rerun.commands(make("smoke", out="/elsewhere", **changes)))
    assert papermill[3:6] == ["-p", "profile", "smoke"]
    assert papermill[6:9] == ["-p", "seed", "3"] and papermill[-2:] == ["optimiser", "two words"]
    assert yaml.safe_load(papermill[papermill.index("-y") + 1]) == {"stds": [0.0, 2.5]}
    assert chapter.overrides(path, ours[6::2]) == {"profile": "smoke", **changes}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "less than 10 seconds"), (59, "less than 1 minute"), (61, "less than 2 minutes"), (3601, "less than 2 hours")],
)
def test_times_are_told_as_bounds(seconds, words):
    assert rerun.within(seconds) == words


def test_the_box_tells_time_runs_and_parameters(path, tmp_path):
    run = Run(tmp_path, {}, [{"seconds": 100.0}, {"seconds": 80.0}], {"device": "2 CPU cores"}, "")
    box = rerun.box(make(optimiser="<b>"), 12.0, [run, run])
    assert "less than 20 seconds" in box and "2 training runs took 6 minutes on 2 CPU cores" in box
    assert "<td><code>stds</code></td><td>0, 15</td><td>shift std, pixels &amp; more</td>" in box
    assert "<b>" not in box and "<code>data</code>" not in box


def test_a_chapter_without_parameters_is_refused(path):
    nbformat.write(nbformat.v4.new_notebook(), path)
    with pytest.raises(ConfigurationError, match="no cells tagged 'parameters'"):
        chapter.declared(path)


def test_a_chapter_is_executed_again_from_the_published_store_alone(tmp_path, monkeypatch):
    """Without MNIST, without a network, and with nothing left to train or to evaluate."""
    monkeypatch.delenv("LABBOOK_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (path,) = chapter.find(["week5"])
    values = {"profile": "quick", "out": str(tmp_path / "made")}
    page = chapter.execute(path, values, tmp_path / "week5.ipynb")
    assert "banner-data" not in str(page) and "Data: MNIST, 60,000 + 10,000 digits" in str(page)
    assert json.loads(chapter.glued(page, "runs"))
    assert not (tmp_path / "made").exists() and not (tmp_path / "cache" / "lab-book").exists()
