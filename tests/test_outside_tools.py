"""Everybody's tools on a chapter: papermill with its options, nbval, nbmake, Jupyter's own runners, Jupyter Book, pip.

A quick sample always; the others with `pytest -m slow`.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import papermill
import pytest
import typer
import yaml
from chapters import PARAMETERS, write_chapter
from here import ROOT

from labbook.book import checkout, claims, pages
from labbook.ops import cli

pytestmark = pytest.mark.filterwarnings("ignore")  # other people's


@pytest.fixture
def path(tmp_path, monkeypatch) -> Path:
    """A chapter outside of the checkout; kernels find the library, and with it the checkout."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "lib"))
    monkeypatch.delenv("LABBOOK_PROFILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return write_chapter(tmp_path, "week1_a", "settings.seed, noise, len(stds)")


def tool(*words: object, given: str | None = None) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", *map(str, words)], input=given, capture_output=True, text=True)


def answer(path: Path) -> str:
    """What the last cell of an executed chapter says."""
    return nbformat.read(path, 4).cells[-1].outputs[0].data["text/plain"]


def test_papermill_with_its_own_names(path):
    done = tool("papermill", path, "out.ipynb", "--inject-paths", "-p", "seed", 3, "-r", "noise", "1e-1")
    assert done.returncode == 0, done.stderr
    assert answer("out.ipynb") == "(3, 0.1, 16)"


@pytest.mark.parametrize("name", ["parameters", "In", "_labbook_checked", "settings"])
def test_papermill_with_a_name_that_a_later_cell_hides(path, name):
    done = tool("papermill", path, "out.ipynb", "-p", name, 3)
    assert done.returncode and f"week2_adam_vs_sgd has no parameter {name!r}" in done.stderr


@pytest.mark.parametrize("document", ["README.md", "book/rerun.md", "book/sweeps.md"])
def test_documented_lines_name_what_is_there(document):
    lines = " ".join(re.findall(r"```bash\n(.*?)```", (ROOT / document).read_text("utf-8"), re.S)).splitlines()
    commands = typer.main.get_command(cli.app).commands
    targets = re.findall(r"(?m)^(\w+):", (ROOT / "Makefile").read_text("utf-8"))
    for line in lines:
        words = line.partition(" #")[0]
        assert set(re.findall(r"-m labbook (\w+)", words)) <= set(commands), line
        assert set(re.findall(r"\bmake (\w+)", words)) <= set(targets), line
        for path in re.findall(r"\b(?:notebooks|book)/[\w./]+", words):
            assert (ROOT / path).exists(), line
        chapter = re.findall(r"(?:notebooks/|run |sweep )(\w+)", words)
        for name in re.findall(r"-p (\w+)", words) if chapter else ():
            assert name in pages.read(*checkout.find(chapter)).cells[1].source, line


def test_the_documented_script_reads_results(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (script,) = re.findall(r"```python\n(.*?)```", Path("book/rerun.md").read_text("utf-8"), re.S)
    exec(script, {})
    answer, verdicts = capsys.readouterr().out.splitlines()
    assert answer and set(ast.literal_eval(verdicts).values()) <= set(claims.VERDICTS)


slow = pytest.mark.slow


@slow
@pytest.mark.parametrize(
    ("options", "meant"),
    [
        (["-y", "{noise: 1e-1, stds: [1e0x]}"], None),
        (["-y", "{noise: 1e-1, stds: [1e0]}"], "(0, 0.1, 1)"),
        (["-b", "c2VlZDogNQ=="], "(5, 0.75, 16)"),
        (["-f", "values.yaml"], "(7, 0.2, 16)"),
        (["-r", "seed", "4", "--cwd", "/"], "(4, 0.75, 16)"),
    ],
)
def test_papermill_with_each_way_to_give_values(path, options, meant):
    Path("values.yaml").write_text("seed: 7\nnoise: 2e-1\n")
    done = tool("papermill", path, "out.ipynb", *options)
    assert (done.returncode == 0) == bool(meant), done.stderr
    if meant:
        assert answer("out.ipynb") == meant
    else:
        assert "stds[0]='1e0x' must be a number from 0 to 1000 px." in done.stderr


@slow
@pytest.mark.parametrize(
    ("values", "meant"),
    [
        ({"stds": (1, 2)}, "(0, 0.75, 2)"),
        ({"noise": np.float64(0.5)}, "(0, 0.5, 16)"),
        ({"seed": True}, "seed=True must be a whole number"),
        ({"noise": None}, "noise=None must be a number from 0 to 1."),
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
    assert answer("out.ipynb") == "(3, 0.75, 16)"


@slow
@pytest.mark.parametrize(
    "words", [["jupyter", "execute", "--inplace"], ["nbconvert", "--execute", "--to", "notebook", "--inplace"]]
)
def test_what_papermill_prepared_others_execute(path, words):
    assert tool("papermill", path, "out.ipynb", "-p", "seed", 3, "--prepare-only").returncode == 0
    done = tool(*words, "out.ipynb")
    assert done.returncode == 0, done.stderr
    assert answer("out.ipynb") == "(3, 0.75, 16)"


@slow
def test_the_api_of_nbclient(path):
    notebook = nbformat.read(path, 4)
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    assert notebook.cells[-1].outputs[0].data["text/plain"] == "(0, 0.75, 16)"


@slow
@pytest.mark.parametrize("mode", ["force", "cache"])
def test_jupyter_book_executes_a_chapter(path, tmp_path, mode):
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    assert config["execute"]["timeout"] == -1  # the longest chapters take minutes
    book = {"title": "t", "execute": config["execute"] | {"execute_notebooks": mode}}
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(book))
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: notebooks/week1_a\n")
    start = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", start, "build", "-q", "-W", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    page = tmp_path / "_build" / "html" / "notebooks" / "week1_a.html"
    assert "(0, 0.75, 16)" in re.sub("<[^>]*>", "", page.read_text("utf-8"))


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
    pages.write(page, pages.normalise(nbformat.read(path, 4)))
    assert pages.read(page).metadata[pages.SEAL]
    assert tool("papermill", page, "out.ipynb").returncode == 0
    assert pages.read(Path("out.ipynb"))


@slow
def test_a_library_without_its_book_is_refused_in_the_first_check(path, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "lib" / "labbook", tmp_path / "site" / "labbook")  # as a wheel is unpacked
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    done = tool("papermill", path, "out.ipynb")
    assert done.returncode and "week2_adam_vs_sgd needs a checkout of the lab-book" in done.stderr
    done = tool("papermill", path, "out.ipynb", "--cwd", ROOT / "notebooks")
    assert done.returncode == 0, done.stderr


@slow
def test_a_folder_of_the_callers_own_named_lib_shadows_nothing(path, tmp_path):
    for name in ("lib", "lib/book"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('shadowed')")
    assert tool("papermill", path, "out.ipynb").returncode == 0


@slow
def test_help_of_papermill_shows_every_parameter_with_its_range(path):
    shown = " ".join(tool("papermill", "--help-notebook", path).stdout.split())
    for line in PARAMETERS.splitlines():
        name, meaning = line.partition(":")[0], line.partition("#")[2]
        assert name in shown and " ".join(meaning.split()) in shown  # with its range


# ---- a wheel, in an environment and a folder that know nothing of the checkout --------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Run commands in a fresh environment: the wheel of the library, and the packages that the tests have."""
    folder = tmp_path_factory.mktemp("installed")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "lib" / "labbook", folder / "lib" / "labbook", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (wheel,) = folder.glob("*.whl")
    python = folder / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    find = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(find, capture_output=True, text=True, check=True).stdout.strip())
    (site / "packages.pth").write_text(sysconfig.get_path("purelib"))
    where = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "LABBOOK"))}

    def installed(*words, cwd):
        command = [python, "-m", *map(str, words)]
        return subprocess.run(command, cwd=cwd, env=where, capture_output=True, text=True)

    installed.site = site
    return installed


@slow
def test_a_wheel_holds_every_file_of_the_library(installed):
    def held(folder):
        return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}

    assert held(installed.site / "labbook") == held(ROOT / "lib" / "labbook")


@slow
def test_every_command_works_without_a_checkout_or_refuses_at_once(installed, tmp_path):
    page = shutil.copy(ROOT / "book" / "primer_task.ipynb", tmp_path)
    for works in ("--help", "data --data digits", "gpu --list", f"results {page}"):
        done = installed("labbook", *works.split(), cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), works
    for needs in (
        "run",
        "sweep week1",
        "build",
        "build --no-run",
        "drift",
        "import a.zip",
        "results",
        "changes",
        "colab",
        "verify",
    ):
        done = installed("labbook", *needs.split(), cwd=tmp_path)
        assert done.returncode == 2 and re.fullmatch("Refused: .* checkout of the lab-book.*\n", done.stderr), needs
    assert list(tmp_path.iterdir()) == [Path(page)]


@slow
def test_an_installed_library_finds_the_checkout_of_the_chapter_or_refuses(installed, tmp_path):
    path = write_chapter(tmp_path, "week1_a", "settings.seed")
    done = installed("papermill", path, tmp_path / "out.ipynb", cwd=tmp_path)
    assert done.returncode and "week2_adam_vs_sgd needs a checkout of the lab-book, and " in done.stderr
    (tmp_path / "_toc.yml").touch()
    done = installed("papermill", path, tmp_path / "out.ipynb", cwd=path.parent)
    assert done.returncode == 0, done.stderr
