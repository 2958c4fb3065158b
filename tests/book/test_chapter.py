"""Chapters: what is refused, by which sentence, and what a published file may hold. No real chapter is run here."""

import errno
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import nbformat
import pytest
from chapters import CHECK, write_chapter

from labbook.book import chapter
from labbook.errors import ConfigurationError

COMMON = {"profile": "auto", "seed": 0, "n_seeds": 3, "device": "cpu", "runs": "reuse", "data": "auto", "out": ""}
OWN = {"contrast": 0.7, "optimiser": "sgd", "stds": [0, 15]}
RULES = {
    "contrast": chapter.number(0.05, 1.0),
    "optimiser": chapter.one_of("sgd", "adam"),
    "stds": chapter.list_of(chapter.integer(0, 27)),
}


def begin(**changes):
    return chapter.begin("week1", COMMON | OWN | changes, **RULES)


# ---------------------------------------------------------------- parameters


def test_good_parameters_come_back_in_canonical_form(monkeypatch):
    monkeypatch.setenv("LABBOOK_PROFILE", "smoke")
    namespace = {**COMMON, **OWN, "contrast": 1, "seed": 4, "_private": 1, "In": [""], "chapter": chapter}
    here = chapter.begin("week1", namespace, **RULES)
    assert (here.profile, here.seeds, here.device, here.out) == ("smoke", (4, 5, 6), "cpu", None)
    assert repr(here.parameters["contrast"]) == repr(namespace["contrast"]) == "1.0"
    namespace["mine"] = 3
    assert chapter.begin("week1", namespace, **RULES) == here  # run again by hand, with a variable of the notebook
    assert begin(profile="full", out="somewhere").profile == "full"
    assert begin(out="somewhere").out == Path("somewhere")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"profile": "quik"}, "profile='quik' must be 'auto', 'smoke', 'quick' or 'full'. Did you mean 'quick'?"),
        ({"seed": -1}, "seed=-1 must be a whole number from 0 to 2147483647."),
        ({"seed": True}, "seed=True must be"),
        ({"seed": 3.0}, "seed=3.0 must be"),
        ({"seed": "3.0"}, "seed='3.0' must be"),
        ({"seed": "three"}, "seed='three' must be"),
        ({"stds": "[0 15]"}, "stds='[0 15]' must be a list"),
        ({"n_seeds": 0}, "n_seeds=0 must be a whole number from 1 to 100."),
        ({"device": "gpu"}, "device='gpu' must be 'auto', 'cpu', 'cuda' or 'cuda:N'."),
        ({"device": "mps"}, "device='mps' cannot run this library: stimuli need float64, which MPS lacks; use 'cpu'."),
        ({"device": None}, "device=None must be"),
        ({"device": "cuda:99"}, "device='cuda:99' asks for what is not here"),
        ({"runs": "reusing"}, "runs='reusing' must be 'reuse' or 'retrain'. Did you mean 'reuse'?"),
        ({"data": "mnits"}, "Did you mean 'mnist'?"),
        ({"out": 3}, "out=3 must be '' or the path of a folder."),
        ({"out": __file__}, "must be '' or the path of a folder."),
        ({"contrast": float("nan")}, "contrast=nan must be a number from 0.05 to 1.0."),
        ({"contrast": float("inf")}, "contrast=inf must be"),
        ({"contrast": False}, "contrast=False must be"),
        ({"contrast": 10**400}, "must be a number from 0.05 to 1.0."),
        ({"optimiser": "adm"}, "optimiser='adm' must be 'sgd' or 'adam'. Did you mean 'adam'?"),
        ({"stds": 3}, "stds=3 must be a list, each entry a whole number from 0 to 27."),
        ({"stds": []}, "stds=[] must be"),
        ({"stds": [0, 28]}, "stds[1]=28 must be a whole number from 0 to 27."),
        ({"contrst": 0.3}, "week1 has no parameter 'contrst'; it has profile, seed"),
    ],
)
def test_wrong_parameters_are_refused_in_one_sentence(changes, words):
    with pytest.raises(ConfigurationError) as refused:
        begin(**changes)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [  # YAML reads 1e-2 as a text; papermill writes tuples, NumPy numbers and what `-r` gives as texts
        ("contrast", "7e-1", 0.7),
        ("seed", "3", 3),
        ("stds", "(0, 15)", [0, 15]),
        ("stds", ["0", "15"], [0, 15]),
        ("out", "~/x", os.path.expanduser("~/x")),
    ],
)
def test_numbers_and_lists_may_come_as_texts(name, written, meant):
    value = begin(**{name: written}).parameters[name]
    assert (value, type(value)) == (meant, type(meant))


def test_a_bound_may_be_another_parameter_that_is_a_text_or_wrong():
    assert chapter.number("0.5", 1).allowed == "a number from 0.5 to 1"
    assert chapter.number("half", None).allowed == "a number"
    assert chapter.flag().check("x", "True") is True and chapter.optional(chapter.number()).check("x", "None") is None


def test_a_default_that_is_refused_for_what_was_given_blames_that(checkout):
    check = CHECK.replace("contrast=chapter.number(0.05, 1.0)", "contrast=chapter.number(seed / 10, 1)")
    path = write_chapter(checkout, "week1_a", check=check)
    with pytest.raises(ConfigurationError) as refused:
        chapter.check(path, {"seed": 8, "stds": [0]})
    assert str(refused.value) == (
        "contrast=0.7 must be a number from 0.8 to 1. "
        "It stands at its default, which does not go with seed=8, stds=[0]."
    )
    with pytest.raises(ConfigurationError, match=r"contrast=0.6 must be a number from 0.8 to 1\.$"):
        chapter.check(path, {"seed": 8, "contrast": 0.6})


def test_a_chapter_outside_of_a_checkout_is_refused(checkout):
    (checkout / "_toc.yml").unlink()
    with pytest.raises(
        ConfigurationError, match=r"week1 needs a checkout of the lab-book, and .* is in none; start it"
    ):
        begin()


def test_the_checkout_is_looked_for_above(tmp_path, monkeypatch):
    monkeypatch.setattr(chapter, "__file__", str(tmp_path / "a" / "b" / "site" / "labbook" / "chapter.py"))
    (tmp_path / "book" / "notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "book" / "notebooks")
    assert chapter.root() == tmp_path / "book" / "notebooks"
    (tmp_path / "book" / "_toc.yml").touch()
    assert chapter.root() == tmp_path / "book"


def test_unknown_missing_and_environment(monkeypatch):
    with pytest.raises(ConfigurationError, match="Did you mean 'contrast'"):
        begin(contrst=0.3)
    with pytest.raises(ConfigurationError, match="needs the parameter 'contrast'"):
        chapter.begin("week1", COMMON.copy(), contrast=chapter.number())
    monkeypatch.setenv("LABBOOK_PROFILE", "fast")
    with pytest.raises(ConfigurationError, match="LABBOOK_PROFILE='fast' must be"):
        begin()


def test_small_rules():
    assert chapter.optional(chapter.number(0)).check("x", None) is None
    assert chapter.flag().check("x", True) is True
    assert chapter.text().check("x", "") == ""
    for rule, value in [(chapter.flag(), 1), (chapter.text(), 1), (chapter.number(0), -1), (chapter.integer(), 0.5)]:
        with pytest.raises(ConfigurationError, match="x="):
            rule.check("x", value)
    assert chapter.number(0).allowed == "a number, 0 or more"
    assert chapter.integer(high=3).allowed == "a whole number, 3 or less"


def test_overrides_are_read_by_the_declared_types(checkout):
    path = write_chapter(checkout, "week1")
    pairs = ["seed=3", "contrast=1e-1", "optimiser=adam", "stds=0, 5", "out=a=b"]
    values = {"seed": 3, "contrast": 0.1, "optimiser": "adam", "stds": [0, 5], "out": "a=b"}
    assert chapter.overrides(path, pairs) == values
    assert chapter.check(path, values).parameters["stds"] == [0, 5]
    assert chapter.overrides(path, ["stds=[1, 2]", "seed=abc"]) == {"stds": [1, 2], "seed": "abc"}
    assert chapter.overrides(path, ["stds=7", "optimiser='x'"]) == {"stds": [7], "optimiser": "x"}
    for pairs, words in [
        (["sed=3"], "has no parameter 'sed'.*Did you mean 'seed'"),
        (["seed"], "no '='"),
        (["seed=1", "seed=2"], "twice"),
    ]:
        with pytest.raises(ConfigurationError, match=words):
            chapter.overrides(path, pairs)
    with pytest.raises(ConfigurationError, match="seed='abc' must be"):
        chapter.check(path, {"seed": "abc"})


def test_broken_chapters_are_named(checkout):
    cases = [
        ({"check": "1 / 0"}, "the check cell of broken.ipynb fails: ZeroDivisionError"),
        ({"check": "pass"}, "must read here = chapter.begin"),
        ({"check": CHECK.replace("{name!r}", "'other'")}, "must read here = chapter.begin"),
        ({"parameters": "seed: int ="}, "the parameters cell of broken.ipynb"),
    ]
    for parts, words in cases:
        with pytest.raises(ConfigurationError, match=words):
            chapter.check(write_chapter(checkout, "broken", **parts), {})
    path = checkout / "notebooks" / "broken.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)
    with pytest.raises(ConfigurationError, match="no cells tagged 'parameters'"):
        chapter.parameters(path)
    path.write_text("{")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        chapter.parameters(path)


def test_chapters_are_found_in_reading_order_by_unique_beginnings(checkout):
    with pytest.raises(ConfigurationError, match="no notebook"):
        chapter.chapters()
    paths = {name: write_chapter(checkout, name) for name in ("beyond", "week1_a", "week2_b", "week2_c")}
    assert [path.stem for path in chapter.chapters()] == sorted(paths)
    toc = "root: book/intro\nchapters:\n- file: book/week2_b.ipynb\n- {file: book/week1_a}\n- file: 'book/beyond'\n"
    (checkout / "_toc.yml").write_text(toc)
    assert [path.stem for path in chapter.find([])] == ["week2_b", "week1_a", "beyond", "week2_c"]
    assert chapter.find(["week1", "notebooks/week1_a.ipynb"]) == [paths["week1_a"]]
    for word, words in [("week2", "fits more than one"), ("weak1_a", "Did you mean 'week1_a'"), ("", "no chapter")]:
        with pytest.raises(ConfigurationError, match=words):
            chapter.find([word])


# ---------------------------------------------------------------- execution


def test_two_equal_runs_give_equal_bytes_and_a_book_page(checkout):
    talk = "import sys, time\nfor i in range(3):\n    print(i, flush=True); time.sleep(0.05); print(i, file=sys.stderr)"
    path = write_chapter(checkout, "week{1}", "contrast, here.seeds", talk)
    counted = []
    first = chapter.execute(
        path, {"seed": 3, "contrast": 1}, checkout / "a" / "x.ipynb", lambda *at: counted.append(at)
    )
    chapter.execute(path, {"seed": 3, "contrast": 1}, checkout / "b" / "x.ipynb")
    assert (checkout / "a" / "x.ipynb").read_bytes() == (checkout / "b" / "x.ipynb").read_bytes()
    assert counted == [(place, 6) for place in range(7)]
    assert first.cells[4].outputs[0].data["text/plain"] == "(1.0, (3, 4, 5))"
    assert [cell.id for cell in first.cells[:4]] == ["title", "parameters", "injected-parameters", "check"]
    assert first.cells[2].metadata.tags == ["injected-parameters", "hide-input"]
    assert first.cells[2].metadata.mystnb.code_prompt_show == "Parameters of this run"
    chapter.publish(first, checkout / "book" / "week.ipynb")
    assert (checkout / "book" / "week.ipynb").read_bytes() == (checkout / "a" / "x.ipynb").read_bytes()
    assert [entry.name for entry in (checkout / "book").iterdir()] == ["week.ipynb"]


def test_plain_papermill_from_another_folder_refuses_the_same_mistakes(checkout):
    path = write_chapter(checkout, "week1", "here.seeds")
    (checkout / "elsewhere").mkdir()
    options = {
        "good.ipynb": ["seed", "7"],
        "unknown.ipynb": ["sed", "3"],
        "wrong.ipynb": ["optimiser", "adm"],
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
    assert "week1 has no parameter 'sed'; it has profile" in errors["unknown.ipynb"]
    assert "optimiser='adm' must be 'sgd' or 'adam'. Did you mean 'adam'?" in errors["wrong.ipynb"]
    shown = {}
    for output in options:
        cells = nbformat.read(checkout / "elsewhere" / output, 4).cells
        (shown[output],) = (each for cell in cells for each in cell.get("outputs", []))
    assert shown["good.ipynb"].data["text/plain"] == "(7, 8, 9)"
    assert len(shown["unknown.ipynb"].traceback) == len(shown["wrong.ipynb"].traceback) == 1  # the sentence alone


def test_a_kernel_that_dies_is_a_sentence(checkout):
    path = write_chapter(checkout, "week1", "import os; os._exit(1)")
    with pytest.raises(chapter.Failed, match="cell 4 of 4: the kernel died"):
        chapter.execute(path, {}, checkout / "out.ipynb")


# ---------------------------------------------------------------- publishing


def page(*outputs, source="", tags=()):
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})
    return nbformat.v4.new_notebook(cells=[cell])


def test_errors_and_paths_of_the_machine_are_not_published(checkout, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    output = nbformat.v4.new_output
    refused = [
        page(output("error", ename="E", evalue="", traceback=[])),
        page(tags=[chapter.ERROR_TAG]),
        page(output("stream", text=f"saved in {checkout}/x")),
        page(output("stream", name="stderr", text="/home/ada/.cache: slow")),
        page(output("display_data", data={"text/html": "<a href='file:///home/ada/x'>"})),
        page(output("display_data", data={"application/json": {"where": "/home/ada"}})),
        page(source="out = '/home/ada/x'", tags=["injected-parameters"]),
    ]
    for notebook in refused:
        with pytest.raises(ConfigurationError, match=r"x\.ipynb is not published: cell 1 holds"):
            chapter.publish(notebook, checkout / "x.ipynb")
    allowed = output("stream", text="/home/adam and cat/home/ada")
    image = output("display_data", data={"image/png": "AA+/home/ada+"})
    chapter.publish(page(allowed, image), checkout / "x.ipynb")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_full_disk_and_read_only_folder_leave_the_old_page(checkout, monkeypatch, number):
    target = checkout / "x.ipynb"
    target.write_text("old")

    def full(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError) as refused:
        chapter.publish(page(), target)
    assert str(refused.value) == f"Cannot write {target}: {os.strerror(number)}; nothing was changed."
    assert {entry.name for entry in checkout.iterdir()} == {"_toc.yml", "x.ipynb"}
    assert target.read_text() == "old"


def test_a_folder_that_cannot_be_made_is_a_sentence(checkout):
    path = write_chapter(checkout, "week1")
    with pytest.raises(ConfigurationError, match=r"cannot be written: (Not a directory|File exists)"):
        chapter.execute(path, {}, path / "out.ipynb")


def test_volatile_metadata_goes_and_ids_stay():
    notebook = page(tags=["parameters"])
    notebook.metadata.update(papermill={"duration": 1}, language_info={"version": "3.11.7"}, widgets={})
    notebook.cells[0].metadata.update(papermill={}, execution={})
    kept = notebook.cells[0].id
    chapter.normalise(notebook)
    once = json.dumps(notebook)
    assert not any(word in once for word in ("papermill", 'execution"', "3.11.7", "widgets"))
    assert notebook.cells[0].id == kept
    assert json.dumps(chapter.normalise(notebook)) == once


def test_a_gpu_that_cannot_be_used_is_refused_in_one_sentence(monkeypatch):
    torch = pytest.importorskip("torch")

    def busy(*size, device):
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nmore of it")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", busy)
    with pytest.raises(ConfigurationError) as refused:
        chapter.device("auto")
    sentence = "device='cuda' cannot be used: CUDA error: all CUDA-capable devices are busy or unavailable; use 'cpu'."
    assert str(refused.value) == sentence


def test_a_gpu_that_is_not_there_is_refused_with_what_the_driver_says(monkeypatch):
    torch = pytest.importorskip("torch")

    def available():
        warnings.warn("The NVIDIA driver on your system is too old.\nmore of it", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", available)
    with pytest.raises(ConfigurationError, match=r"finds 0 GPUs \(The NVIDIA driver on your system is too old\); use"):
        chapter.device("cuda")
