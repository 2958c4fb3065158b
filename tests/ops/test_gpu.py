"""The command for lent minutes: lanes that stop in time, entries that go on where they stopped, and what is packed."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace

import psutil
import pytest
from here import PRETEND_CARD, ROOT
from typer.testing import CliRunner

from labbook import evaluation
from labbook.book import checkout as book_checkout
from labbook.config import Training
from labbook.curriculum import growing
from labbook.errors import ConfigurationError
from labbook.experiments import card
from labbook.experiments.card import CardTraining
from labbook.identity.description import name_of
from labbook.ops import cli, gpu, pack, processes
from labbook.training import Paused

# ---- lanes -----------------------------------------------------------------------------------------------------------


def entry(name, minutes=0.0, start=None):
    """Return an entry whose training is told by its seed."""
    training = Training("lenet", growing([0.0], 1, 0.01), seed=sum(map(ord, name)), start=start)
    return CardTraining(name, (training,), minutes)


class Thread:
    """A lane in this process: does what `act` says for each name; `kill` is noted."""

    def __init__(self, act):
        self.mine, self.theirs = multiprocessing.Pipe()
        self.killed, self.act = False, act
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with suppress(OSError, EOFError):
            for name in iter(self.theirs.recv, None):
                if self.act(name, self.theirs) is False:
                    break
            self.theirs.close()

    def kill(self):
        self.killed = True

    def join(self, timeout=None):
        self.thread.join(min(timeout or 0.1, 0.1))


def run(entries, act, lanes=1, seconds=60.0, grace=0.0, before=()):
    """Return what side_by_side told, and its lanes."""
    told, made, trained = [], [], [each.trainings[0] for each in before]

    def start():
        made.append(Thread(act))
        return made[-1], made[-1].mine

    def each(name, kind, said):
        told.append((name, kind, said))
        if kind == "trained":
            trained.append(next(e.trainings[0] for e in entries if e.name == name))

    until = time.monotonic() + seconds
    gpu.side_by_side(entries, lambda training: training in trained, start, lanes, until, each, grace)
    return told, made


def good(name, connection):
    connection.send(("say", f"{name} at work"))
    connection.send(("trained", [name]))


def test_entries_are_done_in_the_order_of_worth_after_what_they_go_on_from():
    first, other = entry("first"), entry("other")
    late = entry("late", start=first.trainings[0])
    told, lanes = run([late, first, other], good)
    assert [name for name, kind, _ in told if kind == "trained"] == ["first", "late", "other"]
    assert told[0] == ("first", "say", "first at work") and len(lanes) == 1
    alone, _ = run([late, other], good, before=[first])
    assert [name for name, kind, _ in alone if kind == "trained"] == ["late", "other"]


def test_what_fits_into_the_time_comes_before_what_does_not():
    told, _ = run([entry("long", 5), entry("short", 0.1)], good, seconds=30)
    assert [name for name, kind, _ in told if kind == "trained"] == ["short", "long"]


def test_lanes_work_side_by_side():
    both = threading.Barrier(2, timeout=20)

    def meet(name, connection):
        both.wait()
        good(name, connection)

    told, lanes = run([entry("one"), entry("two")], meet, lanes=2)
    assert sorted(name for name, kind, _ in told if kind == "trained") == ["one", "two"] and len(lanes) == 2


def test_a_lane_that_dies_costs_its_entry_alone():
    def mortal(name, connection):
        return False if name == "bad" else good(name, connection)

    told, lanes = run([entry("bad"), entry("good")], mortal)
    assert ("bad", "stopped", "its process ended, for want of memory perhaps") in told
    assert ("good", "trained", ["good"]) in told and len(lanes) == 2


def test_an_entry_whose_start_failed_is_left():
    first = entry("first")
    told, _ = run(
        [first, entry("late", start=first.trainings[0])], lambda name, connection: connection.send(("stopped", "no"))
    )
    assert told == [("first", "stopped", "no")]


def test_a_lane_that_does_not_stop_in_time_is_ended():
    told, lanes = run([entry("deaf"), entry("never")], lambda *given: time.sleep(5), seconds=0.2, grace=0.1)
    assert told == [("deaf", "stopped", "the time was up, and it did not stop")] and lanes[0].killed


# ---- a lane at work --------------------------------------------------------------------------------------------------


@pytest.fixture
def light(monkeypatch):
    """Two entries that are trained in seconds, three cells, on the digits that are always there."""
    cells = dict(list(evaluation.cells().items())[::9])
    monkeypatch.setattr(evaluation, "cells", lambda *given: cells)
    stage = growing([0.0, 2.0], 2, 0.01)
    what = Training("lenet", stage, batch=10, digits=40)
    entries = [CardTraining("what", (what, replace(what, seed=1)), 0.1)]
    entries.append(CardTraining("more", (replace(what, start=what, stages=stage[:1]),), 0.1))
    monkeypatch.setattr(card, "card_trainings", lambda: entries)
    return entries


def lane(folder, until):
    return gpu.Worker(gpu.Asked(folder, data="digits", share=0.9), until, lambda line: None)


def weights(lane):
    return {name: lane.store.find(each).weights_sha256 for name, e in lane.entries.items() for each in e.trainings}


def test_cut_off_again_and_again_it_ends_as_if_left_alone(light, tmp_path):
    whole = lane(tmp_path / "whole", time.monotonic() + 600)
    rows = {name: whole.do(name) for name in ("what", "more")}
    assert [row["seed"] for row in rows["what"]] == [0, 1]
    assert all(set(row["measured"]) == {"central", "general", "map"} for row in (*rows["what"], *rows["more"]))
    stops = 0
    for name in ("what", "more"):
        cut = lane(tmp_path / "cut", 0.0)  # a step, then the time is up, each time
        while True:
            try:
                again = cut.do(name)
                break
            except Paused as paused:
                stops += 1
                if "evaluation" in str(paused):
                    cut.until = time.monotonic() + 600
                    again = cut.do(name)
                    break
        timeless = [{key: value for key, value in row.items() if key != "seconds"} for row in again]
        assert timeless == [{key: value for key, value in row.items() if key != "seconds"} for row in rows[name]]
    assert stops > 20 and weights(cut) == weights(whole)


def test_how_far_an_unfinished_training_came_is_told(light, tmp_path):
    worker = lane(tmp_path, 0.0)
    [training, _] = worker.entries["what"].trainings
    assert gpu.unfinished(tmp_path / "runs", training) is None
    for _ in range(training.steps(len(worker.sets.train)) * 3):  # a step each: three of four epochs
        with pytest.raises(Paused):
            worker.do("what")
    told = gpu.unfinished(tmp_path / "runs", training)
    assert {key: told[key] for key in ("run", "seed", "of")} == {"run": name_of(training), "seed": 0, "of": 4}
    assert told["epochs"] in (2, 3) and len(told["ends"]) == 1 and 0 <= told["ends"][0] <= 1


def test_the_session_ends_packs_and_goes_on(light, tmp_path):
    asked = gpu.Asked(tmp_path, data="digits", share=0.9, skip=("chapters", "timings", "check"), pack=tmp_path / "pack")
    session, said = gpu.Session(replace(asked, minutes=0), lambda line: said.append(line)), []
    assert not session.run() and session.record["left"] == ["what", "more"]
    assert pack.read(pack.found(tmp_path / "pack"))[0].keys() == {"session.json", "session.log"}
    record = json.loads((tmp_path / "session.json").read_text("utf-8"))
    assert record["asked"]["share"] == 0.9 and record["trained"] == {}
    with pytest.raises(ConfigurationError, match="name another folder"):
        gpu.Session(replace(asked, share=0.5))
    (tmp_path / "session.json").write_text("{")
    with pytest.raises(ConfigurationError, match="is no record of this command"):
        gpu.Session(asked)


def test_what_is_packed_comes_in_the_order_of_worth(light, tmp_path):
    asked = gpu.Asked(tmp_path, data="digits", share=0.9)
    worker = lane(tmp_path, time.monotonic() + 600)
    session = gpu.Session(asked, lambda line: None)
    for name in ("more", "what"):
        session.record["trained"][name] = worker.do(name)
    session._keep()
    paths = [path for path, _ in session.content()]
    names = [name_of(each) for name in ("more", "what") for each in worker.entries[name].trainings]
    assert paths[0] == "session.json" and session.record["left"] == []
    assert [path.split("/")[1] for path in paths if path.endswith("/run.json")] == names
    assert [path.split("/")[1::2] for path in paths[-3:]] == [[name, "weights.safetensors"] for name in names]


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_trains_in_processes_packs_and_the_pack_is_imported(tmp_path, monkeypatch):
    command = ["gpu", "--data", "digits", "--device", "cpu", "--share", "0.0002", "--only", "STN-28, Adam 0.001"]
    command += ["--skip", "check", "--skip", "chapters", "--skip", "timings", "--lanes", "2"]
    command += ["--out", str(tmp_path / "out"), "--pack", str(tmp_path / "pack")]
    late = CliRunner().invoke(cli.app, [*command, "--minutes", "0"])
    assert late.exit_code == 75 and "Left: STN-28, Adam 0.001." in late.output, late.output
    done = CliRunner().invoke(cli.app, command)
    assert done.exit_code == 0 and 'STN-28, Adam 0.001, trained: [{"run": ' in done.output, done.output
    (place := tmp_path / "book's place").mkdir()
    (place / "_toc.yml").touch()
    monkeypatch.setattr(book_checkout, "root", lambda: place)
    parts = [str(path) for path in pack.found(tmp_path / "pack")]
    brought = CliRunner().invoke(cli.app, ["import", *parts])
    assert brought.exit_code == 0 and "5 of 5 runs brought in." in brought.output, brought.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "STN-182, three stds"], "Did you mean 'STN-128, three stds'?"),
        (["--share", "0"], "share=0.0 must be a number from 0.0001 to 1"),
        (["--device", "cuda:99"], "device='cuda:99' asks for what is not here"),
        (["--data", "mnits"], "Did you mean 'mnist'?"),
        (["--skip", "chapter"], "Did you mean 'chapters'?"),
        (["--precision", "float16"], "Did you mean 'bfloat16'?"),
        (["--device", "cpu", "--precision", "tf32"], "precision='tf32' is not to be had on 'cpu'"),
    ],
)
def test_bad_input_is_one_sentence_before_any_work(tmp_path, words, said):
    done = CliRunner().invoke(cli.app, ["gpu", "--data", "digits", "--out", str(tmp_path / "out"), *words])
    assert done.exit_code == 2 and said in done.stderr and not (tmp_path / "out").exists(), done.output


def test_the_list_names_every_training():
    done = CliRunner().invoke(cli.app, ["gpu", "--list"])
    assert all(
        line.endswith(each.name) for line, each in zip(done.output.splitlines(), card.card_trainings(), strict=True)
    )


# ---- the chapters ----------------------------------------------------------------------------------------------------


def test_chapters_run_side_by_side_and_one_that_fails_holds_up_nothing(tmp_path, monkeypatch):
    chapters = [book_checkout.root() / "notebooks" / "nothing.ipynb", *book_checkout.find(["week1"])]
    monkeypatch.setattr(book_checkout, "chapters", lambda: chapters)
    said = []
    rows = gpu.smoke(gpu.Asked(tmp_path, data="digits"), time.monotonic() + 300, said.append)
    assert [(row["chapter"], row["ended"] == "done") for row in rows] == [("nothing", False), ("week1_noisy_stn", True)]
    assert "there is no chapter 'nothing'" in rows[0]["ended"] and said[-1].startswith("chapters: 1 of 2 in")
    late = gpu.smoke(gpu.Asked(tmp_path, data="digits"), time.monotonic(), said.append)
    assert all(row["ended"].startswith("stopped after") for row in late)


def test_stopping_ends_a_process_with_all_its_children():
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    process = subprocess.Popen([sys.executable, "-c", child])
    family = []
    while len(family) < 1:
        family = psutil.Process(process.pid).children(recursive=True)
    processes.end(process)
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in family)
    processes.end(process)  # it is gone


def test_a_session_trains_and_measures_on_the_pretend_card(tmp_path):
    command = [sys.executable, "-W", "ignore", "-m", "labbook", "gpu", "--device", "cuda", "--data", "digits"]
    command += ["--share", "0.0001", "--only", "log-polar STN, first stage", "--lanes", "1", "--out", str(tmp_path)]
    command += ["--minutes", "60"]  # on a busy machine
    command += [word for phase in ("check", "chapters", "timings") for word in ("--skip", phase)]
    path = os.pathsep.join(map(str, (PRETEND_CARD, ROOT / "lib")))
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and 'log-polar STN, first stage, trained: [{"run": ' in done.stdout, (
        done.stdout + done.stderr
    )
    [row, *_] = json.loads((tmp_path / "session.json").read_text("utf-8"))["trained"]["log-polar STN, first stage"]
    assert row["measured"].keys() == {"cells", "theta correlation"}
