"""The whole repository belongs together, and whatever does not is one line."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from here import ROOT
from trainings import one
from typer.testing import CliRunner

from labbook.book import checkout as book_checkout
from labbook.book import claims, outcome, pages, store, verify
from labbook.ops import cli
from labbook.runtime import files

SMALL = one("tutorial")


def test_everything_in_the_book_belongs_together(tmp_path):
    found = verify.verify(ROOT / "book", tmp_path)
    assert found.faults == []
    assert found.counts["runs"] >= 141 and found.counts["evaluations"] >= 280 and found.counts["chapters"] >= 9


@pytest.fixture
def made(tmp_path, few, monkeypatch):
    """A checkout with two published runs, a local one and an executed chapter."""
    book, local = tmp_path / "book", tmp_path / "_build" / "runs"
    shutil.copytree(ROOT / "book" / "digits", book / "digits")
    kept = store.Store(book / "runs", local)
    shown, other = kept.get_or_train_many([SMALL, replace(SMALL, seed=1)], few)
    kept.model(shown)
    kept.evaluate(shown, "saccades", lambda model: 1, others=[other], what=other.id)
    store.publish(kept.manifest(), local, book / "runs")
    output = nbformat.v4.new_output(
        "display_data",
        {"application/papermill.record/text/plain": repr(json.dumps(kept.manifest()))},
        metadata={"scrapbook": {"name": "runs"}},
    )
    cell = nbformat.v4.new_code_cell("", outputs=[output], id="runs")
    pages.write(book / "week1_a.ipynb", nbformat.v4.new_notebook(cells=[cell]))
    outcome.write_all(book)
    claims.write(book)
    (tmp_path / book_checkout.TOC).touch()
    monkeypatch.setattr(book_checkout, "root", lambda: tmp_path)
    return tmp_path


def test_what_belongs_together_is_counted(made):
    done = CliRunner().invoke(cli.app, ["verify"])
    assert done.exit_code == 0 and done.stdout.startswith("All belongs together: 4 runs, ")
    assert "1 chapters" in done.stdout and "2 evaluations" in done.stdout


def test_what_trainings_under_way_leave_is_no_fault(made):
    for name in ("a.lock", "a.holder", ".a.0.part"):
        (made / "_build" / "runs" / name).write_text("")
    files.write(made / "_build" / "runs" / "a.checkpoint", files.seal(b""))
    files.write(made / "_build" / "runs" / ("0" * 16) / ("1" * 16) / "weights.safetensors", b"just written")
    done = CliRunner().invoke(cli.app, ["verify"])
    assert done.exit_code == 0 and "1 checkpoints" in done.stdout


def of(made: Path, pattern: str) -> Path:
    return sorted(made.glob(pattern))[0]


def resealed(path: Path, **change) -> None:
    record = json.loads(files.unseal(path.read_bytes(), path))
    path.write_bytes(files.seal(json.dumps(record | change).encode()))


FAULTS = {
    "a cut record": lambda made: of(made, "book/runs/*/*/run.json").write_bytes(b"x"),
    "a record of another seed": lambda made: shutil.copy(
        *[path for path in sorted(made.glob("book/runs/*/*/run.json"))][::-1]
    ),
    "a lost record": lambda made: of(made, "book/runs/*/*/run.json").unlink(),
    "a lost pointer": lambda made: of(made, "book/runs/*/current.json").unlink(),
    "altered weights": lambda made: of(made, "book/runs/*/*/weights.safetensors").write_bytes(b"x"),
    "lost weights of what is shown": lambda made: of(made, "book/runs/*/*/weights.safetensors").unlink(),
    "an evaluation of other weights": lambda made: resealed(of(made, "book/runs/*/*/saccades*"), others={"0" * 16: ""}),
    "an evaluation under another name": lambda made: of(made, "book/runs/*/*/saccades*").rename(
        of(made, "book/runs/*/*/saccades*").with_name("accuracy-0123.json")
    ),
    "a foreign file": lambda made: (made / "book" / "runs" / "notes.txt").write_text(""),
    "a draft": lambda made: of(made, "book/runs/*/*/run.json").with_name(".run.json.1.part").write_text(""),
    "a checkpoint cut short": lambda made: (made / "_build" / "runs" / "0.checkpoint").write_bytes(b"x"),
    "a lost run": lambda made: shutil.rmtree(of(made, "book/runs/*")),
    "an altered chapter": lambda made: (made / "book" / "week1_a.ipynb").write_text("{}"),
    "claims of other chapters": lambda made: (made / "book" / "results" / "claims.json").write_text("[]"),
    "an outcome of another chapter": lambda made: (made / "book" / "results" / "week1_a.json").unlink(),
    "altered digits": lambda made: of(made, "book/digits/MNIST/raw/*images*").write_bytes(b"x"),
    "a local run cut short": lambda made: of(made, "_build/runs/*/*/run.json").write_bytes(b"x"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_does_not_belong_is_a_line_and_an_exit_code(made, fault, monkeypatch):
    monkeypatch.delenv("LABBOOK_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(made / "cache"))
    FAULTS[fault](made)
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    done = CliRunner().invoke(cli.app, ["verify"])
    assert done.exit_code == 1 and 1 <= len(done.stdout.splitlines()) <= 5, done.output
    assert all(line.endswith(".") for line in done.stdout.splitlines())
    assert "faults in" in done.stderr and "Traceback" not in done.output
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == before
