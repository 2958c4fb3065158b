"""The command line: exit codes, sentences, and a small book built around a fresh chapter."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from chapters import write_chapter
from typer.testing import CliRunner

from labbook.book import execution, pages
from labbook.errors import ConfigurationError
from labbook.ops import cli
from labbook.runtime import mnist


def lib(*arguments):
    return CliRunner().invoke(cli.app, [str(each) for each in arguments])


def test_nothing_heavy_is_imported_for_help():
    code = "import sys, labbook.ops.cli; print([m for m in ('torch', 'papermill', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_is_documentation():
    commands = [
        "run",
        "sweep",
        "drift",
        "build",
        "gpu",
        "import",
        "results",
        "changes",
        "colab",
        "data",
        "bench",
        "75",
        "130",
    ]
    assert all(word in lib("--help").output for word in commands)
    shown = re.sub(r"\x1b\[[\d;]*m", "", lib("run", "--help").output)
    assert all(word in shown for word in ("--profile", "--seed", "-p", "--publish", "--out", "NAME=VALUE"))


def test_mistakes_are_refused_before_any_work(checkout, monkeypatch):
    write_chapter(checkout, "week1_a")
    write_chapter(checkout, "week2_b")
    monkeypatch.setattr(execution, "execute", lambda *given: pytest.fail("work was begun"))
    for arguments, words in [
        (["run", "weak1_a"], "there is no chapter 'weak1_a'; there are week1_a, week2_b. Did you mean 'week1_a'?"),
        (["run", "week1", "--profile", "smok"], "profile='smok' must be auto, smoke, quick or full."),
        (["run", "week1", "--seed", "-1"], "seed=-1 must be a whole number"),
        (["run", "week1", "--seed", "2", "-p", "seed=3"], "seed is given twice"),
        (["run", "week1", "-p", "rns=reuse"], "Did you mean 'runs'?"),
        (["run", "week1", "-p", "noise=2"], "noise=2 must be a number from 0 to 1."),
        (["data", "--data", "mnits"], "data='mnits' must be auto, mnist or digits. Did you mean 'mnist'?"),
    ]:
        done = lib(*arguments)
        assert done.exit_code == 2, done.output
        assert done.stderr.startswith("Refused: ")
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    done = lib("run", "--profil", "smoke")
    assert done.exit_code == 2
    assert "--profile" in done.stderr


def test_run_writes_beside_the_book_unless_told_to_publish(checkout):
    write_chapter(checkout, "week1_a", "settings.profile, stds")
    done = lib("run", "week1", "--profile", "smoke", "-p", "stds=0,9", "--publish", "--out", checkout / "made")
    assert done.exit_code == 0, done.output
    first, last = done.stdout.splitlines()
    assert first == "[1/1] week1_a ..."
    assert re.fullmatch(r"\[1/1\] week1_a: \d+\.\d s, book/week1_a\.ipynb", last)
    published = nbformat.read(checkout / "book" / "week1_a.ipynb", 4)
    assert published.cells[-1].outputs[0].data["text/plain"] == "('smoke', [0.0, 9.0])"
    assert len(json.loads((checkout / "book" / "results" / "claims.json").read_bytes())) == 94
    (checkout / "book" / "results" / "claims.json").unlink()
    assert json.loads((checkout / "book" / "results" / "week1_a.json").read_bytes())["chapter"] == "week1_a"
    done = lib("results")
    assert (
        done.stdout == "chapters: 1; book/results/claims.json: confirmed 0, refuted 0, partly 0, open 94, no claim 0\n"
    )
    done = lib("results", checkout / "book" / "week1_a.ipynb")
    assert done.stdout.encode() == (checkout / "book" / "results" / "week1_a.json").read_bytes()
    assert (checkout / "made" / "week1_a.ipynb").read_bytes() == (checkout / "book" / "week1_a.ipynb").read_bytes()


@pytest.mark.parametrize(
    ("pairs", "meant"),
    [
        (["seed=0"], ["seed=0", "data=mnist"]),
        (["data=auto", "seed=0"], ["seed=0", "data=mnist"]),
        (["profile=smoke"], ["profile=smoke", "data=digits"]),
        (["runs=retrain", "data=mnist,auto"], ["runs=retrain", "data=mnist,digits"]),
        (["data=digits"], ["data=digits"]),
    ],
)
def test_all_executions_of_a_sweep_use_the_digits_that_auto_means_here(monkeypatch, tmp_path, pairs, meant):
    def missing(read):
        raise mnist.Missing("no network.")

    monkeypatch.setattr(mnist, "cached", missing)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("LABBOOK_DATA", "LABBOOK_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    assert cli._one_data(pairs) == meant


def test_what_no_commit_holds_is_not_published(checkout):
    write_chapter(checkout, "week1_a")
    for words in ("init -q", "add notebooks", "-c user.name=a -c user.email=a@b commit -qm a"):
        subprocess.run(["git", *words.split()], check=True, cwd=checkout)
    write_chapter(checkout, "week1_a", "1 + 1")
    done = lib("run", "week1", "--publish", "--profile", "smoke")
    assert done.exit_code == 2 and not (checkout / "book").exists()
    assert "needs committed code, and notebooks/week1_a.ipynb is changed; commit it first." in done.stderr


def test_a_page_of_mnist_is_not_replaced_by_one_of_other_digits(checkout, monkeypatch):
    write_chapter(checkout, "week1_a", "settings.data")
    page = checkout / "book" / "week1_a.ipynb"
    page.parent.mkdir()
    page.write_text("Provenance. Data: MNIST, 60,000 + 10,000 digits.")

    def none_here(data, tests):
        raise ConfigurationError(f"data={data!r} finds no MNIST")

    monkeypatch.setattr("labbook.digits.load", none_here)
    done = lib("run", "--publish")
    assert done.exit_code == 2 and done.stderr == "Refused: data='mnist' finds no MNIST\n"
    assert page.read_text().startswith("Provenance")
    assert lib("run", "--publish", "-p", "data=digits").exit_code == 0  # unless that is what was asked for
    assert "digits" in page.read_text()


def test_a_failing_chapter_and_a_full_disk(checkout, monkeypatch):
    write_chapter(checkout, "week1_a", "raise RuntimeError('loss is nan\\nat step 3')", "'never'")
    done = lib("run", "--publish")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "week1_a failed in cell 4 of 5: RuntimeError: at step 3",
        "The notebook up to there: _build/notebooks/week1_a.ipynb",
    ]
    partial = nbformat.read(checkout / "_build" / "notebooks" / "week1_a.ipynb", 4)
    assert pages.ERROR_TAG in partial.cells[0].metadata.tags
    assert not (checkout / "book").exists()
    (checkout / "file").write_text("")
    done = lib("run", "--out", checkout / "file")
    assert done.exit_code == 2
    assert "cannot be written" in done.stderr


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_is_a_line_and_no_kernel_stays_behind(checkout, number):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("this signal is ignored here, as under nohup, and stays so")
    write_chapter(checkout, "week1_a", "import os, time; open('pid', 'w').write(str(os.getpid()))", "time.sleep(60)")
    code = (
        "from pathlib import Path; from labbook.book import checkout; from labbook.ops import cli; "
        "checkout.root = Path.cwd; cli.app(['run'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    pid = checkout / "pid"
    while not (pid.exists() and pid.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.splitlines() == ["Interrupted; the same command resumes training runs from their last checkpoints."]
    deadline = time.monotonic() + 10  # the kernel is told to stop, and may take a moment
    while _alive(int(pid.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(int(pid.read_text()))
    assert not list(checkout.rglob("*.part.ipynb"))


def test_build_renders_the_fresh_chapters_and_leaves_the_book_alone(checkout):
    path = write_chapter(checkout, "week1_a", "print('fresh', 6 * 7)")
    book = checkout / "book"
    book.mkdir()
    (book / "intro.md").write_text("# Intro\n")
    (checkout / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nchapters:\n  - file: book/week1_a\n")
    config = "title: t\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n"
    (checkout / "_config.yml").write_text(config)
    committed = book / path.name
    committed.write_bytes(path.read_bytes())
    done = lib("build")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "The book: _build/html/index.html"
    assert (checkout / "_build" / "html" / "index.html").is_file()
    assert "fresh 42" in (checkout / "_build" / "html" / "book" / "week1_a.html").read_text()
    assert committed.read_bytes() == path.read_bytes()
    (book / "intro.md").write_text("# Intro\n\n[gone](nowhere.md)\n")
    done = lib("build", "--no-run", "--strict")
    assert done.exit_code == 1
    assert re.match(r"book/intro\.md:3: WARNING: .*nowhere", done.stderr)
    assert done.stderr.endswith("jupyter-book failed: see the warnings above\nIts log: _build/book.log\n")
    assert "fresh 42" not in (checkout / "_build" / "html" / "book" / "week1_a.html").read_text()
