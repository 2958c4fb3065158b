"""Chapters executed and published: what stops them, by which sentence, and what a file may hold."""

import errno
import json
import os
import subprocess
import sys

import nbformat
import pytest
from chapters import write_chapter

from labbook.book import execution, pages
from labbook.errors import ConfigurationError


def test_two_equal_runs_give_equal_bytes_and_a_book_page(checkout):
    talk = "import sys, time\nfor i in range(3):\n    print(i, flush=True); time.sleep(0.05); print(i, file=sys.stderr)"
    path = write_chapter(checkout, "week{1}", "noise, settings.seeds", talk)
    counted = []
    first = execution.execute(path, {"seed": 3, "noise": 1}, checkout / "a" / "x.ipynb", lambda *at: counted.append(at))
    execution.execute(path, {"seed": 3, "noise": 1}, checkout / "b" / "x.ipynb")
    assert (checkout / "a" / "x.ipynb").read_bytes() == (checkout / "b" / "x.ipynb").read_bytes()
    assert counted == [(place, 6) for place in range(7)]
    assert first.cells[4].outputs[0].data["text/plain"] == "(1.0, (3, 4, 5))"
    assert [cell.id for cell in first.cells[:4]] == ["title", "parameters", "injected-parameters", "check"]
    assert first.cells[2].metadata.tags == ["injected-parameters", "hide-input"]
    assert first.cells[2].metadata.mystnb.code_prompt_show == "Parameters of this run"
    pages.publish(first, checkout / "book" / "week.ipynb")
    assert (checkout / "book" / "week.ipynb").read_bytes() == (checkout / "a" / "x.ipynb").read_bytes()
    assert [entry.name for entry in (checkout / "book").iterdir()] == ["week.ipynb"]


def test_plain_papermill_from_another_folder_refuses_the_same_mistakes(checkout):
    path = write_chapter(checkout, "week1", "settings.seeds")
    (checkout / "elsewhere").mkdir()
    options = {
        "good.ipynb": ["seed", "7"],
        "unknown.ipynb": ["sed", "3"],
        "wrong.ipynb": ["runs", "reusing"],
    }
    running = {
        output: subprocess.Popen(
            [sys.executable, "-m", "papermill", path, output, "--no-progress-bar", "-p", *option],
            cwd=checkout / "elsewhere",
            stderr=subprocess.PIPE,
            text=True,
        )
        for output, option in options.items()
    }
    errors = {output: process.communicate()[1] for output, process in running.items()}
    assert [process.returncode == 0 for process in running.values()] == [True, False, False]
    assert "week2_adam_vs_sgd has no parameter 'sed'; it has profile" in errors["unknown.ipynb"]
    assert "runs='reusing' must be reuse or retrain. Did you mean 'reuse'?" in errors["wrong.ipynb"]
    shown = {}
    for output in options:
        cells = nbformat.read(checkout / "elsewhere" / output, 4).cells
        (shown[output],) = (each for cell in cells for each in cell.get("outputs", []))
    assert shown["good.ipynb"].data["text/plain"] == "(7, 8, 9)"
    assert len(shown["unknown.ipynb"].traceback) == len(shown["wrong.ipynb"].traceback) == 1  # the sentence alone


def test_a_kernel_that_dies_is_a_sentence(checkout):
    path = write_chapter(checkout, "week1", "import os; os._exit(1)")
    with pytest.raises(execution.Failed, match="cell 4 of 4: the kernel died"):
        execution.execute(path, {}, checkout / "out.ipynb")


# ---------------------------------------------------------------- publishing


def page(*outputs, source="", tags=()):
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})
    return nbformat.v4.new_notebook(cells=[cell])


def test_errors_and_paths_of_the_machine_are_not_published(checkout, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    output = nbformat.v4.new_output
    refused = [
        page(output("error", ename="E", evalue="", traceback=[])),
        page(tags=[pages.ERROR_TAG]),
        page(output("stream", text=f"saved in {checkout}/x")),
        page(output("stream", name="stderr", text="/home/ada/.cache: slow")),
        page(output("display_data", data={"text/html": "<a href='file:///home/ada/x'>"})),
        page(output("display_data", data={"application/json": {"where": "/home/ada"}})),
        page(source="out = '/home/ada/x'", tags=["injected-parameters"]),
    ]
    for notebook in refused:
        with pytest.raises(ConfigurationError, match=r"x\.ipynb is not published: cell 1 holds"):
            pages.publish(notebook, checkout / "x.ipynb")
    allowed = output("stream", text="/home/adam and cat/home/ada")
    image = output("display_data", data={"image/png": "AA+/home/ada+"})
    pages.publish(page(allowed, image), checkout / "x.ipynb")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_full_disk_and_read_only_folder_leave_the_old_page(checkout, monkeypatch, number):
    target = checkout / "x.ipynb"
    target.write_text("old")

    def full(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError) as refused:
        pages.publish(page(), target)
    assert str(refused.value) == f"Cannot write {target}: {os.strerror(number)}; nothing was changed."
    assert {entry.name for entry in checkout.iterdir()} == {"_toc.yml", "x.ipynb"}
    assert target.read_text() == "old"


def test_a_folder_that_cannot_be_made_is_a_sentence(checkout):
    path = write_chapter(checkout, "week1")
    with pytest.raises(ConfigurationError, match=r"cannot be written: (Not a directory|File exists)"):
        execution.execute(path, {}, path / "out.ipynb")


def test_volatile_metadata_goes_and_ids_stay():
    notebook = page(tags=["parameters"])
    notebook.metadata.update(papermill={"duration": 1}, language_info={"version": "3.11.7"}, widgets={})
    notebook.cells[0].metadata.update(papermill={}, execution={})
    kept = notebook.cells[0].id
    pages.normalise(notebook)
    once = json.dumps(notebook)
    assert not any(word in once for word in ("papermill", 'execution"', "3.11.7", "widgets"))
    assert notebook.cells[0].id == kept
    assert json.dumps(pages.normalise(notebook)) == once


def test_a_chapter_that_must_train_and_finds_no_mnist_ends_in_a_sentence(checkout, monkeypatch):
    monkeypatch.setenv("LABBOOK_DATA", str(checkout))
    path = write_chapter(checkout, "week1", "from labbook import digits\ndigits.load('mnist')")
    with pytest.raises(ConfigurationError, match=r"^LABBOOK_DATA=.* holds no folder MNIST/raw\.$"):
        execution.execute(path, {}, checkout / "out.ipynb")
    assert (checkout / "out.ipynb").exists()
