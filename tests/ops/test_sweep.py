"""Sweeps: the grid, what is kept and found again, processes that end early, a real Dask cluster that loses a worker."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from chapters import write_chapter
from here import ROOT
from hypothesis import given
from hypothesis import strategies as st

from labbook.errors import ConfigurationError
from labbook.ops import sweep
from labbook.runtime import files

GLUED = """
import json
from IPython.display import display
def glue(name, value):
    content = {"application/papermill.record/text/plain": repr(value)}
    display(content, metadata={"scrapbook": {"name": name}}, raw=True)
glue("answer", f"noise {noise}")
verdict = "confirmed" if noise > 0.5 else "refuted"
glue("claims", json.dumps([{"id": "C1", "verdict": verdict, "measured": str(noise)}]))
"""
TRACE = "import os; open('trace', 'a').write(f'{seed} {os.getpid()}\\n')"
GATE = "import time\nwhile not os.path.exists('go'): time.sleep(0.05)"


@pytest.fixture
def standing(tmp_path, monkeypatch):
    """A checkout with the library in it, for processes of its own."""
    source, ignored = ROOT / "lib", shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, tmp_path / "lib", ignore=ignored)
    (tmp_path / "_toc.yml").write_text("root: none\n")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "digits").symlink_to(ROOT / "book" / "digits")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("LABBOOK_PROFILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(*arguments):
    command = [sys.executable, "-m", "labbook", "sweep", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=240)
    return process.returncode, out.splitlines(), err.splitlines()


def traced(folder):
    path = folder / "trace"
    return [tuple(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# ---- the grid --------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["1e-3", "adam", "[0,15]", '"a,b"', "'c,d'", "-7", "[]"]), min_size=1))
def test_values_are_split_at_commas_outside_of_brackets_and_quotes(parts):
    assert sweep.alternatives(",".join(parts)) == parts


@given(st.integers(-50, 50), st.integers(0, 50))
def test_a_range_holds_both_its_ends(first, steps):
    values = sweep.alternatives(f"{first}..{first + steps}")
    assert values == [str(value) for value in range(first, first + steps + 1)]


def test_a_grid_holds_every_combination_once_the_last_name_fastest(checkout, monkeypatch):
    path = write_chapter(checkout, "week1_a")
    tasks = sweep.grid(path, ["noise=0.5,1", "seed=0..2", "stds=[0,15],[3]", "runs=retrain"])
    assert len(tasks) == len({task.id for task in tasks}) == 12
    first = {"noise": 0.5, "seed": 0, "stds": [0, 15], "runs": "retrain", "profile": "quick"}
    assert [tasks[0].values, tasks[1].values] == [first, first | {"stds": [3.0]}]
    assert tasks[0].words == "noise=0.5 seed=0 stds=[0.0, 15.0] runs=retrain profile=quick"
    again = sweep.grid(path, ["runs=retrain,retrain", "stds=[0,15]", "noise=1.0", "seed=0,0..1"])
    assert [task.id for task in again] == [tasks[6].id, tasks[8].id]  # 1 and 1.0, in any order, once
    monkeypatch.setenv("LABBOOK_PROFILE", "full")
    (other,) = sweep.grid(path, ["noise=0.5", "seed=0", "stds=[0,15]", "runs=retrain"])
    assert other.id != tasks[0].id and other.values["profile"] == "full"


def test_the_code_is_part_of_what_an_execution_is(checkout):
    (before,) = sweep.grid(write_chapter(checkout, "week1_a"), [])
    (after,) = sweep.grid(write_chapter(checkout, "week1_a", "1 + 1"), [])
    assert (before.values, before.chapter) == (after.values, after.chapter) and before.id != after.id
    outcome = sweep.execute(replace(before, code="0" * 16))
    assert not outcome.done and "has another version of week1_a" in outcome.message


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["noize=0.1,0.2"], "week2_adam_vs_sgd has no parameter 'noize'"),
        (["noise"], "-p 'noise' has no '='"),
        (["noise=0.1,2"], "noise=2 must be a number from 0 to 1."),
        (["runs=reuse,retran"], "runs='retran' must be reuse or retrain. Did you mean 'retrain'?"),
        (["seed=3..1"], "'3..1' must rise from its first to its last value"),
        (["seed=1,,2"], "'1,,2' holds an empty value"),
        (["seed="], "'' holds an empty value"),
        (["stds=0,15"], "stds=0,15 is one list or several? Write stds=[0,15], or each list in brackets."),
        (["stds=[0,15],[0,9999]"], "stds[1]=9999.0 must be a number from 0 to 1000 px."),
        (["seed=1", "seed=2"], "seed is given twice; write seed=A,B,C."),
        (["seed=0..999", "n_seeds=1..100", "noise=0.1,0.2"], "this grid has 200000 combinations"),
    ],
)
def test_mistakes_are_refused_by_name_before_any_work(checkout, pairs, words):
    with pytest.raises(ConfigurationError) as refused:
        sweep.grid(write_chapter(checkout, "week1_a"), pairs)
    assert words in str(refused.value)


# ---- what is kept ----------------------------------------------------------------------------------------------------


def outcome_of(task, message=""):
    notebook = b"" if message else b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    told = ("it is so", {"C1": ["open", "50 %"]}, [{"accuracy": 0.5}])
    return sweep.Execution(task.id, message, notebook, *told, 1.0, 0.5, 100.0, "here")


def kept(outcome):
    return replace(outcome, notebook=b"")


def test_what_is_kept_is_found_again_and_what_failed_is_tried_again(checkout):
    tasks = sweep.grid(write_chapter(checkout, "week1_a"), ["seed=0..3"])
    asked, told = [], []

    def engine(missing, fail):
        for task in missing:
            asked.append(task.values["seed"])
            yield outcome_of(task, "a word" if task.values["seed"] in fail else "")

    folder = checkout / "sweep"
    outcomes = sweep.run(
        tasks, folder, lambda missing: engine(missing, {1, 2}), lambda task, each, left: told.append(left)
    )
    assert (asked, told) == ([0, 1, 2, 3], [3, 2, 1, 0])
    assert [each.done for each in outcomes.values()] == [True, False, False, True]
    outcomes = sweep.run(tasks, folder, lambda missing: engine(missing, ()))
    assert asked[4:] == [1, 2] and list(outcomes.values()) == [kept(outcome_of(task)) for task in tasks]
    assert sweep.run(tasks, folder, None) == outcomes  # nothing is left to do


@pytest.mark.parametrize("suffix", ["json", "ipynb"])
def test_a_flipped_bit_is_named_and_the_execution_repeated(checkout, suffix):
    tasks = sweep.grid(write_chapter(checkout, "week1_a"), ["seed=0"])
    said, folder = [], checkout / "sweep"
    sweep.run(tasks, folder, lambda missing: (outcome_of(task) for task in missing))
    path = folder / f"{tasks[0].id}.{suffix}"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="altered"):
        sweep.recall(folder, tasks[0])
    again = sweep.run(tasks, folder, lambda missing: (outcome_of(task) for task in missing), None, said.append)
    assert again[tasks[0].id] == sweep.recall(folder, tasks[0])
    assert len(said) == 1 and str(path) in said[0] and said[0].endswith("It is executed again.")


def test_workers_are_one_per_gpu_or_one_per_core(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert sweep.local_gpus() == ("2", "5") and sweep.local_workers() == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert sweep.local_gpus() == () and sweep.local_workers() == len(os.sched_getaffinity(0))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    (tmp_path / "nvidia-smi").write_text(
        "#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA H100'\n"
    )
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert sweep.local_gpus() == ("0", "1")


# ---- processes -------------------------------------------------------------------------------------------------------


def test_a_sweep_ends_in_a_table_and_does_again_only_what_failed(standing):
    write_chapter(
        standing,
        "week1_a",
        GLUED,
        TRACE,
        "if noise == 0.9 and not os.path.exists('mended'): os.kill(os.getpid(), 9)",
    )
    values = ("data=digits", "noise=0.3,0.9", "stds=[0,9]")
    command = ("week1", "--profile", "smoke", *(word for each in values for word in ("-p", each)), "--workers", "2")
    code, out, err = finish(start(*command))
    folder = standing / "_build" / "sweeps" / "week1_a"
    assert code == 1 and out[0] == "week1_a: 2 executions on 2 local workers, into _build/sweeps/week1_a"
    assert err[0].startswith(
        "1 of 2 executions failed, the first at data=digits noise=0.9 stds=[0.0, 9.0] profile=smoke: week1_a failed in"
    )
    assert "the kernel died" in err[0] and err[1] == "The same command tries them again."
    with open(folder / "table.csv", newline="") as file:
        done, failed = csv.DictReader(file)
    assert (done["noise"], done["stds"], done["status"], done["C1"]) == ("0.3", "[0.0, 9.0]", "done", "refuted")
    assert (done["answer"], done["C1 measured"]) == ("noise 0.3", "0.3")
    assert float(done["seconds"]) > 0 and float(done["peak_mb"]) > 20
    assert (failed["status"], failed["C1"]) == ("failed", "")
    (standing / "mended").touch()
    code, out, err = finish(start(*command))
    assert (code, err) == (0, [])
    assert re.fullmatch(r"\[2/2\] data=digits noise=0\.9 stds=\[0\.0, 9\.0\] profile=smoke: \d+\.\d s", out[1])
    assert out[-1] == "The table: _build/sweeps/week1_a/table.csv"
    assert len(traced(standing)) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])  # as a cluster does, as a lost connection does
def test_an_interrupted_sweep_leaves_nothing_running_and_goes_on(standing, number):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("this signal is ignored here, as under nohup, and stays so")
    write_chapter(standing, "week1_a", TRACE, GATE)
    process = start("week1", "-p", "seed=0..2", "--workers", "2")
    until(lambda: len(traced(standing)) == 2)
    process.send_signal(number)
    code, _, err = finish(process)
    assert (code, len(err)) == (130, 1) and err[0].startswith("Interrupted"), err
    until(lambda: not any(alive(kernel) for _, kernel in traced(standing)), 20)
    assert not (standing / "_build" / "sweeps").exists() and len(traced(standing)) == 2  # the third never began


def test_a_killed_sweep_leaves_nothing_running(standing):
    write_chapter(standing, "week1_a", TRACE, GATE)
    process = start("week1", "-p", "seed=0..1", "--workers", "2")
    until(lambda: len(traced(standing)) == 2)
    process.kill()
    process.communicate(timeout=60)
    until(lambda: not any(alive(kernel) for _, kernel in traced(standing)), 30)
    until(lambda: not list(standing.rglob("*.part.ipynb")), 30)  # what tidies up ends after the kernels


# ---- Dask ------------------------------------------------------------------------------------------------------------


def test_a_scheduler_that_is_not_there_is_refused_in_one_sentence(checkout):
    tasks = sweep.grid(write_chapter(checkout, "week1_a"), [])
    with pytest.raises(ConfigurationError, match=r"scheduler='carrier-pigeon://loft' does not answer: "):
        next(sweep.dask(tasks, "carrier-pigeon://loft"))


@pytest.fixture
def cluster(standing):
    """A Dask scheduler and two workers, processes of their own; yields the scheduler's file and the workers."""
    quiet = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "env": os.environ | {"DASK_LOGGING__DISTRIBUTED": "error"},
    }
    file = standing / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)],
        **quiet,
    )
    options = [
        "--nthreads",
        "1",
        "--no-nanny",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
        "--local-directory",
        str(standing),
    ]
    until(file.exists)
    workers = [subprocess.Popen([*dask, "worker", *options], **quiet) for _ in range(2)]
    yield file, workers
    for process in (*workers, scheduler):
        process.kill()
        process.wait()


def test_when_a_dask_worker_is_killed_every_result_arrives_once(standing, cluster):
    file, workers = cluster
    write_chapter(standing, "week1_a", GLUED, TRACE, GATE)
    process = start("week1", "-p", "seed=0,1", "--scheduler", str(file))
    until(lambda: len(traced(standing)) == 2)  # both workers are at it
    workers[0].kill()
    (standing / "go").touch()
    code, out, err = finish(process)
    assert (code, err) == (0, []), "\n".join(err)
    counted = [line for line in out if line.startswith("[")]
    assert sorted(re.findall(r"seed=(\d)", " ".join(counted))) == ["0", "1"]
    assert len(traced(standing)) == 3  # one of the two was begun again by the other worker
    folder = standing / "_build" / "sweeps" / "week1_a"
    assert len(list(folder.glob("*.ipynb"))) == 2
    for path in folder.glob("*.json"):
        record = json.loads(files.unseal(path.read_bytes(), path))
        assert files.digest(path.with_suffix(".ipynb").read_bytes()) == record["notebook"]


def test_an_interrupted_sweep_ends_its_executions_on_the_workers_too(standing, cluster):
    file, _ = cluster
    write_chapter(standing, "week1_a", TRACE, GATE)
    process = start("week1", "-p", "seed=0..2", "--scheduler", str(file))
    until(lambda: len(traced(standing)) == 2)
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert (code, len(err)) == (130, 1) and err[0].startswith("Interrupted"), err
    until(lambda: not any(alive(kernel) for _, kernel in traced(standing)), 30)
    assert len(traced(standing)) == 2


# ---- any input at all ------------------------------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
WRITTEN = st.text(max_size=20) | st.sampled_from(
    [
        "__import__('os').system('touch hacked')",
        "{{x}}",
        "[[[",
        "1e999",
        "0x10",
        "nan",
        "${HOME}",
        "../..",
        "\0",
        "-0.0",
    ]
)


@given(WRITTEN | st.text("[],'\"0123456789.ab ", max_size=20))
def test_any_text_is_split_or_refused(written):
    try:
        values = sweep.alternatives(written)
    except ConfigurationError as refusal:
        assert "\n" not in str(refusal)
    else:
        assert values and all(values)
