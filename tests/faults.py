"""Faults on purpose: kills, disks full or read-only, altered files, runs at once, clocks, memory, Ctrl-C.

`python tests/faults.py 50` tries fifty of each and writes book/results/faults.json; `python tests/faults.py 50 killed
clock` tries those two kinds alone and keeps the rows of the others. The tests try a few.
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
from pathlib import Path
from unittest import mock

import nbformat
import torch
from chapters import write_chapter
from filelock import FileLock
from here import ROOT
from trainings import KILLED as TRAININGS
from trainings import one, processes, same, to_the_end, weights
from typer.testing import CliRunner

from labbook import digits, files, models, training
from labbook.book import chapter, claims, outcome
from labbook.book import store as runs
from labbook.errors import ConfigurationError
from labbook.ops import cli, sweep
from labbook.training import Outcome, _Run

SMALL = one("tutorial")
TASK = sweep.Task("week1_a", {"seed": 0}, "0" * 16, "")
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
PROCESS = "open('kernels', 'a').write(f'{os.getpid()}\\n')"
LAST = "open('begun', 'w').close()"


def row(fault: str, to: str, tried: int, good: int, means: str) -> dict:
    """What was done, to what, how often, and how often it ended as `means` says."""
    return {"fault": fault, "to": to, "tried": tried, "good": good, "means": means}


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
    chapter.root = lambda: folder
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
        cli.app(words)


def _started(target: Callable, *given):
    process = processes().Process(target=target, args=given)
    process.start()
    return process


def _ended(folder: Path, seconds: float = 10) -> bool:
    """Whether the kernels that a chapter's executions started have all ended, soon."""
    listed = folder / "kernels"
    kernels = listed.read_text().split() if listed.exists() else []
    deadline = time.monotonic() + seconds
    while (left := [each for each in kernels if alive(int(each))]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not left


def alive(process: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ---- killed while it writes ------------------------------------------------------------------------------------------


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
        chapter.publish(_notebook(version), folder / "week1_a.ipynb")
        outcome.write(_notebook(version), "week1_a", folder)
        claims.write(folder)
        (folder / "begun").touch()


def write_sweep(folder: Path) -> None:
    """Keep finished executions of a sweep."""
    for number in itertools.count():
        content = nbformat.writes(_notebook(number)).encode()
        sweep.keep(folder, replace(TASK, id=f"{number:016x}"), sweep.Execution(f"{number:016x}", notebook=content))
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
    sources = {cell.source for cell in chapter.read(folder / "week1_a.ipynb").cells}
    return len(sources) == 1 and len(json.loads((folder / "results" / "claims.json").read_bytes())) == 94


def sweep_is_whole(folder: Path) -> bool:
    """Every record recalls its whole notebook."""
    kept = [sweep.recall(folder, replace(TASK, id=record.stem)) for record in folder.glob("*.json")]
    return len(kept) > 0 and all(each.done for each in kept)


KILLED: dict[str, tuple[Callable, Callable]] = {
    "the store of runs, and their publication": (write_runs, runs_are_whole),
    "a published chapter and the file of claims": (write_book, book_is_whole),
    "the executions of a sweep": (write_sweep, sweep_is_whole),
}


def kill(name: str, times: int, folder: Path, moments: random.Random) -> int:
    """Kill a writer again and again at random moments; return how often all was whole afterwards."""
    writer, whole = KILLED[name]
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


def killed(times: int, folder: Path, moments: random.Random) -> Iterator[dict]:
    """kill -9 of processes that do nothing but write."""
    for name in KILLED:
        (folder / "place").mkdir()
        yield row("killed while writing", name, times, kill(name, times, folder / "place", moments), "all whole")
        shutil.rmtree(folder / "place")


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


def trained(times: int, folder: Path, moments: random.Random) -> Iterator[dict]:
    """kill -9 of trainings."""
    for k, name in enumerate(TRAININGS):
        share = (times + 1 - k) // 2
        good = kill_training(name, share, folder, moments)
        yield row("killed while computing", f"a training ({name})", share, good, "the same bits in the end")


def kill_run(times: int, folder: Path, moments: random.Random, publish: bool) -> int:
    """Kill `python -m labbook run`, before its end or while it publishes; return how often all was whole afterwards."""
    words = ("run", "week1", *(["--publish"] if publish else []))
    pages = [folder / "book" / "week1_a.ipynb"] if publish else []
    pages.append(folder / "_build" / "notebooks" / "week1_a.ipynb")
    _started(int).join()  # the server is up
    began = time.monotonic()
    process = _started(_lib, folder, *words, "--seed", "0")
    _await(folder / "begun", process)
    before = time.monotonic() - began
    process.join()
    after = time.monotonic() - began - before
    whole, tried, survived = [page.read_bytes() for page in pages], 0, 0
    for seed in range(1, 10 * times):
        if tried == times:
            break
        (folder / "begun").unlink()
        process = _started(_lib, folder, *words, "--seed", str(seed))
        if publish:
            _await(folder / "begun", process)
            time.sleep(moments.uniform(0, after))
        else:
            time.sleep(moments.uniform(0, before + after))
        process.kill()
        process.join()
        (folder / "begun").touch()
        tried += process.exitcode == -signal.SIGKILL  # else it had ended before
        if process.exitcode != -signal.SIGKILL:
            continue
        shown = [chapter.read(page) for page in pages]  # the whole one of before, or the whole new one
        survived += all(json.loads(chapter.glued(page, "claims"))[0]["seeds"][0] <= seed for page in shown)
        if publish:
            survived -= len(json.loads((folder / "book" / "results" / "claims.json").read_bytes())) != 94
            for path in folder.glob("book/runs/*"):
                runs.read_run(path).model()
    process = _started(_lib, folder, *words, "--seed", "0")
    process.join()
    again = process.exitcode == 0 and [page.read_bytes() for page in pages] == whole
    ended = _ended(folder)
    if not (again and ended):
        print(
            f"killed run: exit code {process.exitcode}, the same bytes {again}, kernels ended {ended}", file=sys.stderr
        )
    return survived if again and ended else 0


MEANS = "all whole, no kernel left, the same bytes when run again"


def executed(times: int, folder: Path, moments: random.Random) -> Iterator[dict]:
    """kill -9 of `python -m labbook run`."""
    _checkout(folder)
    good = kill_run(times, folder, moments, publish=False)
    yield row("killed while computing", "python -m labbook run", times, good, MEANS)


def published(times: int, folder: Path, moments: random.Random) -> Iterator[dict]:
    """kill -9 of `python -m labbook run --publish`, from the moment when its last cell has run."""
    _checkout(folder)
    good = kill_run(times, folder, moments, publish=True)
    yield row("killed while publishing", "python -m labbook run --publish", times, good, MEANS)


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


def _execute(place: Path) -> tuple[Callable, Callable, int]:
    source = write_chapter(place, "week1_a", "print('x' * 40_000)")
    output = place / "made" / "week1_a.ipynb"
    write = lambda: chapter.execute(source, {}, output)  # noqa: E731
    write()
    whole = output.read_bytes()
    return write, lambda: output.read_bytes() == whole, 2 * len(whole)


def _publish(place: Path) -> tuple[Callable, Callable, int]:
    versions = itertools.count()

    def write():
        notebook = _notebook(next(versions))
        chapter.publish(notebook, place / "week1_a.ipynb")
        outcome.write(notebook, "week1_a", place)
        claims.write(place)

    write()
    return write, lambda: book_is_whole(place), 40_000


def _sweep(place: Path) -> tuple[Callable, Callable, int]:
    numbers, content = itertools.count(), nbformat.writes(_notebook(0)).encode()

    def write():
        name = f"{next(numbers):016x}"
        sweep.keep(place, replace(TASK, id=name), sweep.Execution(name, notebook=content))

    write()
    return write, lambda: sweep_is_whole(place), len(content) + 500


def _build(place: Path) -> tuple[Callable, Callable, int]:
    _checkout(place)
    (place / "book" / "week1_a.ipynb").write_bytes((place / "notebooks" / "week1_a.ipynb").read_bytes())
    before = {path: path.read_bytes() for path in (place / "book").glob("*.*")}

    def write():
        with mock.patch.object(chapter, "root", lambda: place):
            done = CliRunner().invoke(cli.app, ["build", "--no-run"])
        if done.exit_code:
            raise ConfigurationError(done.stderr.splitlines()[-1] if isinstance(done.exception, SystemExit) else "")

    write()
    needed = sum(path.stat().st_size for path in (place / "_build").rglob("*") if path.is_file())
    shutil.rmtree(place / "_build")  # else the new pages find the room of the old ones
    return write, lambda: before == {path: path.read_bytes() for path in before}, needed // 4


DISKS: dict[str, tuple[Callable, str, int]] = {  # what prepares it, what the sentence names, one try in how many
    "a checkpoint": (_save, "checkpoint", 1),
    "the store of runs, and their publication": (_obtain, "l", 1),
    "an executed notebook": (_execute, "week1_a", 5),
    "a published chapter and the file of claims": (_publish, "", 1),
    "the executions of a sweep": (_sweep, "", 1),
    "the pages in HTML": (_build, "", 20),
}


def strike(name: str, times: int, folder: Path, moments: random.Random, fault: Callable) -> tuple[int, int]:
    """Write on a disk that is full at a random byte, or read-only, and again when it has room; return how often that
    was refused in one sentence, and how often nothing was lost besides and the second attempt succeeded."""
    prepare, named, _ = DISKS[name]
    tried = good = 0
    attempts = iter(range(20 * times))
    with disk(folder, 48 if name == "the pages in HTML" else 24) as place:
        write, whole, needed = prepare(place)
        while tried < times and next(attempts, NO_DIGITS) is not None:
            refused = None
            with fault(place, moments.randrange(needed)):
                try:
                    write()
                except ConfigurationError as refusal:
                    refused = str(refusal)
                kept = whole()
            tried += 1
            if refused is None and kept:  # there was room enough, in whole pages
                tried -= 1
                continue
            left = list(place.rglob("*.part")) if fault is full else []
            write()
            if name == "the pages in HTML":
                shutil.rmtree(place / "_build")
            good += bool(refused) and named in refused and "\n" not in refused and kept and not left
    (folder / "disk").rmdir()
    return tried, good


def struck(times: int, folder: Path, moments: random.Random) -> Iterator[dict]:
    """Full disks and read-only ones."""
    for fault, words in ((full, "a full disk"), (read_only, "a read-only disk")):
        for name, (_, _, every) in DISKS.items():
            tried, good = strike(name, max(1, times // every), folder, moments, fault)
            yield row(words, name, tried, good, "refused in one sentence, nothing lost, written when there was room")


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
        replace(TASK, id="0" * 16),
        sweep.Execution("0" * 16, notebook=nbformat.writes(_notebook(0)).encode()),
    )
    chapter.publish(_notebook(0), page := folder / "book" / "week1_a.ipynb")
    (evaluation,) = run.folder.glob("accuracy-*.json")
    recall = lambda: sweep.recall(folder / "sweep", replace(TASK, id="0" * 16))  # noqa: E731
    samples = {
        "generation of a run": (run.folder.parent / "current.json", lambda: store.find(SMALL)),
        "metrics of a run": (run.folder / "run.json", lambda: store.find(SMALL)),
        "weights of a run": (run.folder / "weights.safetensors", run.model),
        "evaluation of a run": (evaluation, lambda: store.load_result(run, "accuracy")),
        "checkpoint": (folder / "checkpoint", state.load),
        "record of a sweep": (folder / "sweep" / f"{'0' * 16}.json", recall),
        "notebook of a sweep": (folder / "sweep" / f"{'0' * 16}.ipynb", recall),
        "executed chapter": (page, lambda: chapter.read(page)),
    }
    if "LABBOOK_DATA" in os.environ:  # the smallest of the four, unpacked
        raw, name = folder / "raw", "t10k-labels-idx1-ubyte"
        content = digits._read_idx(Path(os.environ["LABBOOK_DATA"]).expanduser() / "MNIST" / "raw", name)
        files.write(raw / name, b"\0\0\x08\x01" + len(content).to_bytes(4, "big") + content.tobytes())
        samples["data, MNIST's"] = (raw / name, lambda: digits._read_idx(raw, name))
    return samples


def damage(times: int, folder: Path, places: random.Random) -> dict[str, int]:
    """Flip a bit or cut off an end of each kind of file; return by kind how often the file was refused by its name."""
    refused = {}
    for kind, (path, read) in _samples(folder).items():
        whole, refused[kind] = path.read_bytes(), 0
        read()
        for turn in range(times):
            content = bytearray(whole)
            if turn % 2:
                content = content[: places.randrange(len(content))]
            else:
                content[places.randrange(len(content))] ^= 1 << places.randrange(8)
            path.write_bytes(content)
            try:
                read()
            except ConfigurationError as refusal:
                refused[kind] += str(path) in str(refusal)
        path.write_bytes(whole)
    return refused


def altered(times: int, folder: Path, places: random.Random) -> Iterator[dict]:
    """Flipped bits and lost ends."""
    for kind, good in damage(times, folder, places).items():
        yield row("a flipped bit, or an end cut off", kind, times, good, "refused by name")


# ---- two at once -----------------------------------------------------------------------------------------------------


def _obtain_beside(folder: Path, number: int, seed: int) -> None:
    torch.set_num_threads(1)
    store = runs.Store(folder / "published", folder / "local")
    run = store.get_or_train(replace(SMALL, seed=seed), _handed(folder))
    (folder / f"got-{number}").write_text(f"{run.weights_sha256} {run.machine}")


def beside(times: int, folder: Path) -> int:
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


def run_beside(times: int, folder: Path) -> int:
    """Publish one chapter by two processes at once; return how often both ended well and the page was whole."""
    _checkout(folder)
    good = 0
    for seed in range(times):
        pair = [_started(_lib, folder, "run", "--publish", "--seed", str(seed)) for _ in (0, 1)]
        for process in pair:
            process.join()
        record = json.loads(chapter.glued(chapter.read(folder / "book" / "week1_a.ipynb"), "claims"))[0]
        good += record["seeds"] == [seed] and [process.exitcode for process in pair] == [0, 0]
    return good


def together(times: int, folder: Path, moments: random.Random) -> Iterator[dict]:
    """Two processes that do the same."""
    for to, act, each in (("one training", beside, times), ("one chapter, published", run_beside, max(1, times // 5))):
        (folder / to).mkdir()
        yield row("two processes at once", to, each, act(each, folder / to), "one result, whole, for both")


# ---- clocks ----------------------------------------------------------------------------------------------------------


def jump(times: int, folder: Path, moments: random.Random) -> int:
    """Train, keep and recall while all clocks jump, up to ten years, the one for dates back too; return how often the
    bits were those of a quiet training."""
    sets, good = few(), 0
    clock, steady = time.time, time.monotonic
    ahead = itertools.accumulate(iter(lambda: moments.choice((0, 0, 0, moments.uniform(0, 3e8))), NO_DIGITS))
    jumping = {
        "time": lambda: clock() + moments.uniform(-3e8, 3e8),
        "time_ns": lambda: int(1e9 * (clock() + moments.uniform(-3e8, 3e8))),
        "monotonic": lambda: steady() + next(ahead),
    }
    for seed in range(times):
        config = replace(SMALL, seed=seed, fraction=0.2)
        store = runs.Store(folder / "published", folder / "local")
        with mock.patch.multiple(time, **jumping):
            run = store.get_or_train(config, sets)
            record = json.loads(json.dumps(run.history))
            kept = store.evaluate(run, "accuracy", lambda model: 1) == store.load_result(run, "accuracy")
        good += (
            kept and record[0]["seconds"] >= 0 and same(weights(training.train(config, sets)), run.model().state_dict())
        )
    return good


def clock(times: int, folder: Path, moments: random.Random) -> Iterator[dict]:
    """A clock that jumps."""
    good = jump(times, folder, moments)
    yield row("a clock that jumps", "a training and its store", times, good, "the same bits")


# ---- memory ----------------------------------------------------------------------------------------------------------

LIMITED = """
import os, resource
if limit := int(os.environ.get("MEMORY_LIMIT", 0)):
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
"""


def starve(times: int, folder: Path, moments: random.Random) -> int:
    """Sweep over two values with two workers, one of them short of memory; return how often the other's result was
    kept, the loss told in one line, and the sweep complete when asked for again."""
    write_chapter(folder, "week1_a", GLUED, "import numpy; numpy.ones(10**7).sum()")
    shutil.copytree(ROOT / "lib", folder / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "_toc.yml").write_text("root: none\n")
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(LIMITED)
    path, good = folder / "notebooks" / "week1_a.ipynb", 0
    here = {"PYTHONPATH": f"{folder}/site{os.pathsep}{folder}/lib", "LABBOOK_PROFILE": "smoke"}
    with mock.patch.object(chapter, "root", lambda: folder), mock.patch.dict(os.environ, here):
        for turn in range(times):
            tasks = sweep.grid(path, [f"seed={2 * turn},{2 * turn + 1}"])
            limit = {"MEMORY_LIMIT": str(moments.randrange(50, 400) * 2**20)}
            lines = {}
            for slots in ([{}, limit], [{}]):
                outcomes = sweep.run(tasks, folder / "sweep", lambda missing, slots=slots: sweep.local(missing, slots))
                lines[len(slots)] = [each.message for each in outcomes.values()]
            one_line = all("\n" not in message and len(message) < 500 for message in lines[2])
            good += lines[2].count("") == 1 and one_line and lines[1] == ["", ""]
    return good


def memory(times: int, folder: Path, moments: random.Random) -> Iterator[dict]:
    """Too little memory in one worker of a sweep."""
    times = max(1, times // 5)
    good = starve(times, folder, moments)
    means = "the other's result kept, the loss told in a line, and made up the next time"
    yield row("out of memory", "one of two workers of a sweep", times, good, means)


# ---- Ctrl-C ----------------------------------------------------------------------------------------------------------


def interrupt(times: int, folder: Path, moments: random.Random, sweeping: bool = False) -> int:
    """Press Ctrl-C at random moments of `run` or of `sweep`; return how often nothing was left: no process, no draft,
    no temporary file."""
    shutil.copytree(ROOT / "lib", folder / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    write_chapter(folder, "week1_a", GLUED, PROCESS, LAST, "import time; time.sleep(0.2)")
    (folder / "_toc.yml").write_text("root: none\n")
    (folder / "temporary").mkdir()
    temporary = {name: str(folder / "temporary") for name in ("TMPDIR", "JUPYTER_RUNTIME_DIR")}
    environment = os.environ | temporary | {"PYTHONPATH": str(folder / "lib"), "LABBOOK_PROFILE": "smoke"}
    words = ["sweep", "week1", "-p", "seed=0,1", "--workers", "2"] if sweeping else ["run", "week1"]
    good, duration = 0, None
    for _ in range(times + 1):
        shutil.rmtree(folder / "_build", ignore_errors=True)
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "labbook", *words],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if duration is None:
            process.communicate()
            duration = time.monotonic() - began
            continue
        time.sleep(moments.uniform(0.1, 0.9) * duration)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        quiet = process.returncode in (0, 130, -signal.SIGINT) and said.count("\n") <= 1
        drafts = [path for path in (folder / "_build").rglob(".*") if ".part" in path.name]
        deadline = time.monotonic() + 3  # the kernel's own files go with the kernel
        ended = _ended(folder)
        while (left := list((folder / "temporary").iterdir())) and time.monotonic() < deadline:
            time.sleep(0.05)
        good += quiet and ended and not drafts and not left
        if not (quiet and ended and not drafts and not left):
            print("after Ctrl-C:", process.returncode, said[-2000:], drafts, left, file=sys.stderr)
    return good


def interrupted(times: int, folder: Path, moments: random.Random) -> Iterator[dict]:
    """Ctrl-C."""
    for sweeping, to, each in (
        (False, "python -m labbook run", times),
        (True, "python -m labbook sweep", max(1, times // 5)),
    ):
        (folder / to).mkdir()
        good = interrupt(each, folder / to, moments, sweeping)
        yield row("Ctrl-C", to, each, good, "no process, no draft, no temporary file left")


# ---- the campaign ----------------------------------------------------------------------------------------------------

KINDS = {
    each.__name__: each
    for each in (killed, trained, executed, published, struck, altered, together, clock, memory, interrupted)
}


def campaign(times: int, kinds: list[str], seed: int = 0) -> Iterator[dict]:
    """Yield a row per fault and what it hit."""
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            for each in KINDS[kind](times, Path(folder), random.Random(f"{kind} {seed}")):
                yield {"kind": kind, **each}


if __name__ == "__main__":
    asked = sys.argv[2:] or list(KINDS)
    path = ROOT / "book" / "results" / "faults.json"
    found = []
    for each in campaign(int(sys.argv[1]) if len(sys.argv) > 1 else 50, asked):
        print(f"{each['fault']}: {each['to']}: {each['good']} of {each['tried']} {each['means']}", flush=True)
        found.append(each)
    with FileLock(Path(tempfile.gettempdir()) / "labbook-faults.lock"):  # parts of a campaign may run side by side
        before = [each for each in json.loads(path.read_bytes()) if each.get("kind") in set(KINDS) - set(asked)]
        rows = sorted(before + found, key=lambda each: list(KINDS).index(each["kind"]))
        files.write(path, ("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n").encode())
