"""Everybody's own tools on a chapter: papermill with its options, Jupyter's own runners, nbval, nbmake.

A quick sample always; the others with `pytest -m slow`.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest
from chapters import PARAMETERS, write_chapter
from here import ROOT

from labbook.book import chapter

pytestmark = pytest.mark.filterwarnings("ignore")  # other people's


@pytest.fixture
def path(tmp_path, monkeypatch) -> Path:
    """A chapter outside of the checkout; kernels find the library, and with it the checkout."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "lib"))
    monkeypatch.delenv("LABBOOK_PROFILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return write_chapter(tmp_path, "week1_a", "here.seed, contrast, stds")


def tool(*words: object, given: str | None = None) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", *map(str, words)], input=given, capture_output=True, text=True)


def answer(path: Path) -> str:
    """What the last cell of an executed chapter says."""
    return nbformat.read(path, 4).cells[-1].outputs[0].data["text/plain"]


def test_papermill_with_its_own_names(path):
    done = tool("papermill", path, "out.ipynb", "--inject-paths", "-p", "seed", 3, "-r", "contrast", "1e-1")
    assert done.returncode == 0, done.stderr
    assert answer("out.ipynb") == "(3, 0.1, [0, 15])"


@pytest.mark.parametrize("name", ["chapter", "In", "_labbook_checked", "here"])
def test_papermill_with_a_name_that_a_later_cell_hides(path, name):
    done = tool("papermill", path, "out.ipynb", "-p", name, 3)
    assert done.returncode and f"week1_a has no parameter {name!r}" in done.stderr


slow = pytest.mark.slow


@slow
@pytest.mark.parametrize(
    ("options", "meant"),
    [
        (["-y", "{contrast: 1e-1, stds: [1e0]}"], None),
        (["-y", "{contrast: 1e-1, stds: [3]}"], "(0, 0.1, [3])"),
        (["-b", "c2VlZDogNQ=="], "(5, 0.7, [0, 15])"),
        (["-f", "values.yaml"], "(7, 0.2, [0, 15])"),
        (["-r", "seed", "4", "--cwd", "/"], "(4, 0.7, [0, 15])"),
    ],
)
def test_papermill_with_each_way_to_give_values(path, options, meant):
    Path("values.yaml").write_text("seed: 7\ncontrast: 2e-1\n")
    done = tool("papermill", path, "out.ipynb", *options)
    assert (done.returncode == 0) == bool(meant), done.stderr
    if meant:
        assert answer("out.ipynb") == meant
    else:
        assert "stds[0]='1e0' must be a whole number from 0 to 27." in done.stderr


@slow
@pytest.mark.parametrize(
    ("values", "meant"),
    [
        ({"stds": (1, 2)}, "(0, 0.7, [1, 2])"),
        ({"contrast": np.float64(0.5)}, "(0, 0.5, [0, 15])"),
        ({"seed": True}, "seed=True must be a whole number"),
        ({"contrast": None}, "contrast=None must be a number from 0.05 to 1.0."),
    ],
)
def test_the_api_of_papermill(path, values, meant):
    run = lambda: papermill.execute_notebook(path, "out.ipynb", values, progress_bar=False)  # noqa: E731
    if meant.startswith("("):
        run()
        assert answer("out.ipynb") == meant
    else:
        with pytest.raises(papermill.PapermillExecutionError, match=meant):
            run()


@slow
def test_papermill_from_standard_input_to_standard_output(path):
    done = tool("papermill", "-", "-", "-p", "seed", 3, given=path.read_text())
    Path("out.ipynb").write_text(done.stdout)
    assert answer("out.ipynb") == "(3, 0.7, [0, 15])"


@slow
@pytest.mark.parametrize(
    "words", [["jupyter", "execute", "--inplace"], ["nbconvert", "--execute", "--to", "notebook", "--inplace"]]
)
def test_what_papermill_prepared_others_execute(path, words):
    assert tool("papermill", path, "out.ipynb", "-p", "seed", 3, "--prepare-only").returncode == 0
    done = tool(*words, "out.ipynb")
    assert done.returncode == 0, done.stderr
    assert answer("out.ipynb") == "(3, 0.7, [0, 15])"


@slow
@pytest.mark.parametrize(
    "options", [["--nbval"], ["--nbval-lax"], ["--nbval-lax", "-n", "2", "--dist", "loadfile"], ["--nbmake"]]
)
def test_a_chapter_as_a_test(path, options):
    assert tool("papermill", path, path).returncode == 0
    done = tool("pytest", "-q", "-p", "no:cacheprovider", *options, path)
    assert done.returncode == 0, done.stdout


@slow
def test_a_run_over_an_executed_chapter_does_not_keep_its_seal(path):
    page = path.with_name("page.ipynb")
    chapter.write(page, chapter.normalise(nbformat.read(path, 4)))
    assert chapter.read(page).metadata[chapter.SEAL]
    assert tool("papermill", page, "out.ipynb").returncode == 0
    assert chapter.read(Path("out.ipynb"))


@slow
def test_a_library_without_its_book_is_refused_in_the_first_check(path, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "lib" / "labbook", tmp_path / "site" / "labbook")  # as a wheel is unpacked
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    done = tool("papermill", path, "out.ipynb")
    assert done.returncode and "week1_a needs a checkout of the lab-book" in done.stderr
    done = tool("papermill", path, "out.ipynb", "--cwd", ROOT / "notebooks")
    assert done.returncode == 0, done.stderr


@slow
def test_a_folder_of_the_callers_own_named_lib_shadows_nothing(path, tmp_path):
    for name in ("lib", "lib/book"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('shadowed')")
    assert tool("papermill", path, "out.ipynb").returncode == 0


@slow
def test_help_of_papermill_names_every_parameter(path):
    shown = tool("papermill", "--help-notebook", path).stdout
    assert all(line.partition(":")[0] in shown for line in PARAMETERS.strip().splitlines())
