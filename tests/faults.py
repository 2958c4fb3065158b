"""Faults on purpose: kills, disks full or read-only, altered files, two processes at once, signals to end.

`python tests/faults.py 50` tries fifty of each and writes book/results/faults.json, with the date, the commit and the
machine; `python tests/faults.py 50 killed ended` tries those two kinds alone and keeps the rows of the others. The
tests try a few. A fault is a function (times, folder, moments) -> how often it ended as it should.
"""

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import nbformat
import torch
from chapters import write_chapter
from here import ROOT
from trainings import KILLED as TRAININGS
from trainings import one, processes, same, to_the_end, weights

from labbook import digits, models, training
from labbook.book import checkout as book_checkout
from labbook.book import claims, outcome
from labbook.book import pages as executed_pages
from labbook.book import store as runs
from labbook.errors import ConfigurationError
from labbook.ops import cli, sweep
from labbook.ops.stamp import stamp
from labbook.runtime import files, mnist
from labbook.training import Outcome, _Run

SMALL = one("tutorial")
TASK = sweep.Combination("week1_a", {"seed": 0}, "0" * 16, "0" * 16)
CELLS = 40
NONE = digits.Digits(torch.zeros(0, 28, 28, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
NO_DIGITS = digits.DigitSets(NONE, NONE, NONE, "digits", "")
GLUED = """
import json, os
from IPython.display import display
def glue(name, value):
    content = {"application/papermill.record/text/plain": repr(value)}
    display(content, metadata={"scrapbook": {"name": name}}, raw=True)
glue("claims", json.dumps([{"id": "C1", "verdict": "confirmed", "measured": str(seed), "week": 1, "claim": "",
    "setting": "", "stated": "", "seeds": [seed], "chapter": "week1_a", "note": "", "kind": "experiment"}]))
glue("runs", open("manifest").read() if os.path.exists("manifest") else "[]")
"""
PROCESS = """
stat = open("/proc/self/stat").read().rpartition(")")[2].split()
open("kernels", "a").write(f"{os.getpid()} {stat[19]}\\n")  # with when it began
"""
LAST = "open('begun', 'w').close()"


# ---- stand-ins: so that little time goes into what is not tried ------------------------------------------------------


def _instant(training, *given, **options) -> Outcome:
    """Stand in for a training, so that a writer does little but write."""
    generator = torch.Generator().manual_seed(training.seed)
    record = {"stage": 0, "epoch": 0, "images": 20, "accuracy": 0.5, "seconds": 0.0}
    return Outcome(models.build(training.model, generator), [record])


def _elsewhere(training, *given, **options) -> Outcome:
    """Be instant, with other bits each time."""
    outcome = _instant(training)
    with torch.no_grad():
        next(outcome.model.parameters()).view(-1)[0] = random.getrandbits(16)
    return outcome


def few() -> digits.DigitSets:
    """Return four hundred digits."""
    sets = digits.load("digits")
    return replace(sets, train=sets.train[:400])


def hand_over(sets: digits.DigitSets, folder: Path) -> None:
    """Write digits for processes that train on them."""
    parts = (sets.train, sets.validation, sets.test)
    torch.save([(part.images, part.labels, part.first) for part in parts], folder / "digits")


def _handed(folder: Path) -> digits.DigitSets:
    parts = [digits.Digits(*part) for part in torch.load(folder / "digits", weights_only=True)]
    return digits.DigitSets(*parts, "digits", "")


def _checkout(folder: Path, *cells: str) -> Path:
    """Make a checkout of one chapter, with a training run for it to publish; return the chapter's path."""
    path = write_chapter(folder, "week1_a", GLUED, PROCESS, *cells, LAST)
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nchapters:\n  - file: book/week1_a\n")
    (folder / "_config.yml").write_text(
        "title: t\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\nhtml: {use_issues_button: false}\n"
    )
    (folder / "book").mkdir()
    (folder / "book" / "intro.md").write_text("# Intro\n")
    with mock.patch.object(runs, "train", _instant):
        store = runs.Store(folder / "book" / "runs", folder / "_build" / "runs")
        store.model(store.get_or_train(SMALL, NO_DIGITS))
    (folder / "manifest").write_text(json.dumps(store.manifest()))
    return path


def _lib(folder: Path, *words: str) -> None:
    """Be `python -m labbook` in a checkout."""
    os.chdir(folder)
    os.environ |= {"PYTHONPATH": str(ROOT / "lib"), "LABBOOK_PROFILE": "smoke"}
    book_checkout.root = lambda: folder
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
        cli.app(words)


def _started(target: Callable, *given):
    process = processes().Process(target=target, args=given)
    process.start()
    return process


def _ended(folder: Path, seconds: float = 20) -> bool:
    """Whether the kernels that a chapter's executions started have all ended, soon."""
    listed = folder / "kernels"
    kernels = listed.read_text().splitlines() if listed.exists() else []
    deadline = time.monotonic() + seconds
    while (left := [each for each in kernels if _alive(*each.split())]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not left


def _alive(process: str, began: str) -> bool:
    """Whether a process runs, and is not another one that was given its number."""
    try:
        found = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return False
    return found[0] != "Z" and found[19] == began


# ---- killed ----------------------------------------------------------------------------------------------------------


def write_runs(folder: Path) -> None:
    """Keep runs and evaluations in a store, and publish them."""
    torch.set_num_threads(1)
    for seed in itertools.count(len(list((folder / "local").glob("*/current.json")))):
        for runs.train, reuse in ((_instant, True), (_elsewhere, False)):
            store = runs.Store(folder / "published", folder / "local", reuse)
            run = store.get_or_train(replace(SMALL, seed=seed), NO_DIGITS)
            store.evaluate(run, "accuracy", _first)
            store.model(run)
            runs.publish(store.manifest(), store.local, store.published)
        (folder / "begun").touch()


def _first(model) -> float:
    return next(model.parameters()).view(-1)[0].item()


def _notebook(version: int) -> nbformat.NotebookNode:
    cells = [nbformat.v4.new_code_cell(f"version = {version}", id=f"cell-{k}") for k in range(CELLS)]
    return nbformat.v4.new_notebook(cells=cells)


def write_book(folder: Path) -> None:
    """Publish one chapter over itself, and collect the claims."""
    for version in itertools.count():
        executed_pages.publish(_notebook(version), folder / "week1_a.ipynb")
        outcome.write(_notebook(version), "week1_a", folder)
        claims.write(folder)
        (folder / "begun").touch()


def runs_are_whole(folder: Path) -> bool:
    """Every record is intact, its weights are those that it names and its evaluation is of them; what was not finished
    is made again."""
    for pointer in folder.glob("*/*/current.json"):
        run = runs.read_run(pointer.parent)
        first = _first(run.model())
        for evaluation in run.folder.glob("accuracy-*.json"):
            if runs.read_evaluation(evaluation)["result"] != first:
                return False
    store = runs.Store(folder / "published", folder / "local")
    with mock.patch.object(runs, "train", _instant):
        last = len(list((folder / "local").glob("*/current.json")))
        again = store.get_or_train(
            replace(SMALL, seed=last), NO_DIGITS
        )  # the next one, begun perhaps when the kill came
        return same(weights(_instant(replace(SMALL, seed=last))), again.model().state_dict())


def book_is_whole(folder: Path) -> bool:
    """The chapter is one version, entire, and the file of claims entire too."""
    sources = {cell.source for cell in executed_pages.read(folder / "week1_a.ipynb").cells}
    return len(sources) == 1 and len(json.loads((folder / "results" / "claims.json").read_bytes())) == 94


def kill(writer: Callable, whole: Callable, times: int, folder: Path, moments: random.Random) -> int:
    """Kill a process that does nothing but write; count how often all was whole afterwards."""
    survived = 0
    for _ in range(times):
        (folder / "begun").unlink(missing_ok=True)
        process = _started(writer, folder)
        _await(folder / "begun", process)
        time.sleep(moments.uniform(0, 0.03))
        process.kill()
        process.join()
        survived += whole(folder)
    return survived


def _await(path: Path, process) -> None:
    while not path.exists():
        assert process.is_alive(), f"the process that writes {path.name} ended by itself"
        time.sleep(0.002)


def kill_training(name: str, times: int, folder: Path, moments: random.Random) -> int:
    """Kill a real training at random moments, five times on its way; return how many kills its bits survived."""
    sets = few()
    hand_over(sets, folder)
    whole, survived = weights(training.train(TRAININGS[name], sets)), 0
    while survived < times:
        killed = 0
        while killed < min(5, times - survived):
            process = _started(to_the_end, name, folder)
            time.sleep(moments.uniform(0, 0.6))
            process.kill()
            process.join()
            if (folder / "outcome").exists():  # it was faster
                break
            killed += 1
        process = _started(to_the_end, name, folder)
        process.join()
        resumed, _ = torch.load(folder / "outcome", weights_only=True)
        if process.exitcode or not same(whole, resumed):
            break
        survived += killed
        for path in folder.glob("[oc]*"):  # outcome, checkpoint
            path.unlink()
    return survived


def kill_publication(times: int, folder: Path, moments: random.Random) -> int:
    """Kill `labbook run --publish` once its last cell has run; count how often all was whole afterwards."""
    _checkout(folder)
    pages = [folder / "book" / "week1_a.ipynb", folder / "_build" / "notebooks" / "week1_a.ipynb"]
    words = ("run", "week1", "--publish", "--seed")
    process = _started(_lib, folder, *words, "0")
    _await(folder / "begun", process)
    began = time.monotonic()
    process.join()
    duration = time.monotonic() - began
    whole, tried, survived = [page.read_bytes() for page in pages], 0, 0
    for seed in itertools.count(1):
        if tried == times:
            break
        (folder / "begun").unlink()
        process = _started(_lib, folder, *words, str(seed))
        _await(folder / "begun", process)
        time.sleep(moments.uniform(0, duration))
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:  # it had ended before
            continue
        tried += 1
        shown = [executed_pages.read(page) for page in pages]  # the whole one of before, or the whole new one
        survived += (
            all(json.loads(executed_pages.glued(page, "claims"))[0]["seeds"][0] <= seed for page in shown)
            and len(json.loads((folder / "book" / "results" / "claims.json").read_bytes())) == 94
        )
        for path in folder.glob("book/runs/*"):
            runs.read_run(path).model()
    process = _started(_lib, folder, *words, "0")
    process.join()
    again, ended = [page.read_bytes() for page in pages] == whole, _ended(folder)
    if process.exitcode or not again or not ended:
        print(f"exit code {process.exitcode}, the same bytes {again}, kernels ended {ended}", file=sys.stderr)
        return 0
    return survived


# ---- disks -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def disk(folder: Path, megabytes: int = 24) -> Iterator[Path]:
    """Make a small disk; only root may.

    Raises:
        PermissionError: who runs this may not.
    """
    place = folder / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise PermissionError("a small disk can only be made by root") from None
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextlib.contextmanager
def full(place: Path, free: int) -> Iterator[None]:
    """Fill a disk but for so many bytes, for a while."""
    room = os.statvfs(place)
    with open(place / "filler", "wb") as file:
        file.write(bytes(max(0, room.f_bavail * room.f_frsize - free)))
    try:
        yield
    finally:
        (place / "filler").unlink()


@contextlib.contextmanager
def read_only(place: Path, free: int) -> Iterator[None]:
    """Make a disk read-only, for a while."""
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)


def _save(place: Path) -> tuple[Callable, Callable, int]:
    sets = few()
    state = _Run(SMALL, sets, "cpu", place / "checkpoint")
    state.save()
    whole = state.checkpoint.read_bytes()
    return state.save, lambda: state.checkpoint.read_bytes() == whole, len(whole)


def _obtain(place: Path) -> tuple[Callable, Callable, int]:
    seeds = itertools.count()
    store = runs.Store(place / "published", place / "local")

    def write():
        with mock.patch.object(runs, "train", _instant):
            store.model(store.get_or_train(replace(SMALL, seed=next(seeds)), NO_DIGITS))
            runs.publish(store.manifest()[-1:], store.local, store.published)

    def whole():
        every = [runs.read_run(pointer.parent) for pointer in place.glob("*/*/current.json")]
        return all([run.model() for run in every if run.weights.exists()]) and all(
            run.weights.exists() for run in every if run.folder.is_relative_to(place / "local")
        )

    write()
    return write, whole, 2 * sum(path.stat().st_size for path in store.local.rglob("*") if path.is_file())


def _publish(place: Path) -> tuple[Callable, Callable, int]:
    versions = itertools.count()

    def write():
        notebook = _notebook(next(versions))
        executed_pages.publish(notebook, place / "week1_a.ipynb")
        outcome.write(notebook, "week1_a", place)
        claims.write(place)

    write()
    return write, lambda: book_is_whole(place), 40_000


def strike(prepare: Callable, fault: Callable, times: int, folder: Path, moments: random.Random) -> int:
    """Write on a disk that is full at a random byte, or read-only, and again when it has room; count how often that
    was refused in one sentence, nothing else was lost, and the second attempt succeeded."""
    tried = good = 0
    with disk(folder) as place:
        write, whole, needed = prepare(place)
        while tried < times:
            refused = None
            with fault(place, moments.randrange(needed)):
                try:
                    write()
                except ConfigurationError as refusal:
                    refused = str(refusal)
                kept = whole()
            if refused is None and kept:  # there was room enough, in whole pages
                continue
            left = list(place.rglob("*.part")) if fault is full else []
            write()
            tried += 1
            good += bool(refused) and "\n" not in refused and kept and not left
    (folder / "disk").rmdir()
    return good


# ---- files that were altered -----------------------------------------------------------------------------------------


def _samples(folder: Path) -> dict[str, tuple[Path, Callable]]:
    """One whole file of each kind, and what reads it."""
    with mock.patch.object(runs, "train", _instant):
        store = runs.Store(folder / "published", folder / "local")
        run = store.get_or_train(SMALL, NO_DIGITS)
        store.evaluate(run, "accuracy", lambda model: [1, 2])
    state = _Run(SMALL, few(), "cpu", folder / "checkpoint")
    state.save()
    sweep.keep(
        folder / "sweep",
        TASK,
        sweep.Execution("0" * 16, notebook=nbformat.writes(_notebook(0)).encode()),
    )
    executed_pages.publish(_notebook(0), page := folder / "book" / "week1_a.ipynb")
    (evaluation,) = run.folder.glob("accuracy-*.json")
    recall = lambda: sweep.recall(folder / "sweep", TASK)  # noqa: E731
    samples = {
        "generation of a run": (run.folder.parent / "current.json", lambda: store.find(SMALL)),
        "metrics of a run": (run.folder / "run.json", lambda: store.find(SMALL)),
        "weights of a run": (run.folder / "weights.safetensors", run.model),
        "evaluation of a run": (evaluation, lambda: store.load_result(run, "accuracy")),
        "checkpoint": (folder / "checkpoint", state.load),
        "record of a sweep": (folder / "sweep" / f"{TASK.id}.json", recall),
        "notebook of a sweep": (folder / "sweep" / f"{TASK.id}.ipynb", recall),
        "executed chapter": (page, lambda: executed_pages.read(page)),
    }
    if "LABBOOK_DATA" in os.environ:  # the smallest of the four, unpacked
        raw, name = folder / "raw", "t10k-labels-idx1-ubyte"
        files.write(raw / name, mnist.content(Path(os.environ["LABBOOK_DATA"]).expanduser() / "MNIST" / "raw", name))
        samples["data, MNIST's"] = (raw / name, lambda: mnist.content(raw, name))
    return samples


def damage(times: int, folder: Path, places: random.Random) -> int:
    """Flip a bit or cut off an end of each kind of file in turn; count how often the file was refused by its name."""
    good, samples = 0, itertools.cycle(_samples(folder).values())
    for turn, (path, read) in zip(range(times), samples, strict=False):
        whole = path.read_bytes()
        read()
        content = bytearray(whole)
        if turn // 8 % 2:
            content = content[: places.randrange(len(content))]
        else:
            content[places.randrange(len(content))] ^= 1 << places.randrange(8)
        path.write_bytes(content)
        try:
            read()
        except ConfigurationError as refusal:
            good += str(path) in str(refusal)
        path.write_bytes(whole)
    return good


# ---- two at once -----------------------------------------------------------------------------------------------------


def _obtain_beside(folder: Path, number: int, seed: int) -> None:
    torch.set_num_threads(1)
    store = runs.Store(folder / "published", folder / "local")
    run = store.get_or_train(replace(SMALL, seed=seed), _handed(folder))
    (folder / f"got-{number}").write_text(f"{run.weights_sha256} {run.machine}")


def beside(times: int, folder: Path, moments: random.Random) -> int:
    """Let two processes ask for the same training at once; return how often both got the one run, whole."""
    sets, good = few(), 0
    hand_over(sets, folder)
    for seed in range(times):
        pair = [_started(_obtain_beside, folder, number, seed) for number in (0, 1)]
        for process in pair:
            process.join()
        config = replace(SMALL, seed=seed)
        run = runs.Store(folder / "published", folder / "local").find(config)
        got = {(folder / f"got-{number}").read_text() for number in (0, 1)}
        fine = len(got) == 1 and [process.exitcode for process in pair] == [0, 0]
        good += fine and same(weights(training.train(config, sets)), run.model().state_dict())
    return good


def run_beside(times: int, folder: Path, moments: random.Random) -> int:
    """Publish one chapter by two processes at once; return how often both ended well and the page was whole."""
    _checkout(folder)
    good = 0
    for seed in range(times):
        pair = [_started(_lib, folder, "run", "--publish", "--seed", str(seed)) for _ in (0, 1)]
        for process in pair:
            process.join()
        record = json.loads(executed_pages.glued(executed_pages.read(folder / "book" / "week1_a.ipynb"), "claims"))[0]
        good += record["seeds"] == [seed] and [process.exitcode for process in pair] == [0, 0]
    return good


# ---- signals to end --------------------------------------------------------------------------------------------------

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)


def end(words: list[str], times: int, folder: Path, moments: random.Random) -> int:
    """Send the four signals in turn to a command at random moments; count how often at most one line was said and
    nothing was left: no process and, but for SIGKILL of the process that writes, no draft and no temporary file."""
    shutil.copytree(ROOT / "lib", folder / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    write_chapter(folder, "week1_a", GLUED, PROCESS, LAST, "import time; time.sleep(0.2)")
    (folder / "_toc.yml").write_text("root: none\n")
    (folder / "temporary").mkdir()
    temporary = {name: str(folder / "temporary") for name in ("TMPDIR", "JUPYTER_RUNTIME_DIR")}
    environment = os.environ | temporary | {"PYTHONPATH": str(folder / "lib"), "LABBOOK_PROFILE": "smoke"}
    command = [sys.executable, "-m", "labbook", *words]
    given = {"cwd": folder, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    began = time.monotonic()
    subprocess.run(command, check=True, **given)
    duration, good = time.monotonic() - began, 0
    for number in itertools.islice(itertools.cycle(SIGNALS), times):
        shutil.rmtree(folder / "_build", ignore_errors=True)
        process = subprocess.Popen(command, start_new_session=True, **given)
        time.sleep(moments.uniform(0.1, 0.9) * duration)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        _, said = process.communicate(timeout=120)
        ended, deadline = _ended(folder), time.monotonic() + 5

        def left() -> list[Path]:
            drafts = [path for path in (folder / "_build").rglob(".*") if ".part" in path.name]
            return [] if number == signal.SIGKILL else [*drafts, *(folder / "temporary").iterdir()]  # noqa: B023

        while left() and time.monotonic() < deadline:  # the kernel's own files go with the kernel
            time.sleep(0.05)
        fine = process.returncode in (0, 130, -number) and said.count("\n") <= 1 and ended and not left()
        if not fine:
            print(f"after {number.name}: {process.returncode}, {said[-500:]}, {ended}, {left()}", file=sys.stderr)
        good += fine
        if number == signal.SIGKILL:
            for path in (folder / "temporary").iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return good


# ---- the campaign ----------------------------------------------------------------------------------------------------


class Fault(NamedTuple):
    """What is done, to what, the function that does it, how it should end, and one try in how many."""

    kind: str
    fault: str
    to: str
    act: Callable[[int, Path, random.Random], int]
    means: str
    every: int = 1


RUN, SWEEP = ["run", "week1"], ["sweep", "week1", "-p", "seed=0,1", "--workers", "2"]
STORE, PAGE = "the store of runs, and their publication", "a published chapter and the file of claims"
DISKS = {"a checkpoint": _save, STORE: _obtain, PAGE: _publish}
FAULTS = [
    Fault("killed", "killed while writing", STORE, partial(kill, write_runs, runs_are_whole), "all whole"),
    Fault("killed", "killed while writing", PAGE, partial(kill, write_book, book_is_whole), "all whole"),
    *(
        Fault(
            "trained", "killed while computing", f"a training ({name})", partial(kill_training, name), "equal bits", 2
        )
        for name in TRAININGS
    ),
    Fault(
        "published",
        "killed while publishing",
        "labbook run --publish",
        kill_publication,
        "all whole, no kernel left, the same bytes when run again",
    ),
    *(
        Fault("struck", words, to, partial(strike, prepare, fault), "refused in one sentence, then written")
        for words, fault in (("a full disk", full), ("a read-only disk", read_only))
        for to, prepare in DISKS.items()
    ),
    Fault("altered", "a flipped bit, or an end cut off", "each kind of file in turn", damage, "refused by name"),
    Fault("together", "two processes at once", "one training", beside, "one result, whole, for both"),
    Fault("together", "two processes at once", "one chapter, published", run_beside, "one result, whole, for both", 5),
    Fault("ended", "Ctrl-C, SIGTERM, SIGHUP, SIGKILL", "labbook run", partial(end, RUN), "nothing left"),
    Fault("ended", "Ctrl-C, SIGTERM, SIGHUP, SIGKILL", "labbook sweep", partial(end, SWEEP), "nothing left", 5),
]
KINDS = list(dict.fromkeys(fault.kind for fault in FAULTS))


def campaign(times: int, kinds: list[str]) -> Iterator[dict]:
    """Yield a row per fault: what was done, to what, how often, how often it ended as it should; when and where."""
    where = stamp()
    for fault in FAULTS:
        if fault.kind in kinds:
            with tempfile.TemporaryDirectory() as folder:
                tried = max(1, times // fault.every)
                good = fault.act(tried, Path(folder), random.Random(f"{fault.kind} {fault.to}"))
            told = {name: getattr(fault, name) for name in ("kind", "fault", "to", "means")}
            yield told | {"tried": tried, "good": good} | where


if __name__ == "__main__":
    asked = sys.argv[2:] or KINDS
    path = ROOT / "book" / "results" / "faults.json"
    found = [each for each in json.loads(path.read_bytes()) if each["kind"] in set(KINDS) - set(asked)]
    for each in campaign(int(sys.argv[1]) if len(sys.argv) > 1 else 50, asked):
        print("{fault}: {to}: {good} of {tried} {means}".format(**each), flush=True)
        found.append(each)
    rows = sorted(found, key=lambda each: KINDS.index(each["kind"]))
    files.write(path, ("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n").encode())
