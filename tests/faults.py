"""Faults on purpose: writers killed at random moments, files with a flipped bit or an end cut off.

`python tests/faults.py 50` tries fifty of each and writes book/results/faults.json; the tests try a few.
"""

import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat
import torch
from test_training import one, processes

from lib import chapter, claims, files, models, runs, sweep
from lib.refusal import Refusal
from lib.training import Outcome, _Run

SMALL = one("tutorial")
TASK = sweep.Task("week1_a", {"seed": 0}, "0" * 16, "")
CELLS = 40


# ---- writers: they write without end, to be killed -------------------------------------------------------------------


def _instant(training, *given, **options) -> Outcome:
    """Stand in for a training, so that a writer does little but write."""
    generator = torch.Generator().manual_seed(training.seed)
    return Outcome(models.build(training.model, generator), [{"epoch": 0, "images": 20, "seconds": 0.0}])


def write_runs(folder: Path) -> None:
    """Keep runs and evaluations in a store, and publish them."""
    torch.set_num_threads(1)
    runs.train = _instant
    for seed in itertools.count(len(list((folder / "local").glob("*/run.json")))):
        store = runs.Store(folder / "published", folder / "local")
        run = store.obtain(replace(SMALL, seed=seed), None)
        store.evaluate(run, "accuracy", lambda model: [1, 2])
        store.model(run)
        runs.publish(store.manifest(), store.local, store.published)
        (folder / "begun").touch()


def _notebook(version: int) -> nbformat.NotebookNode:
    cells = [nbformat.v4.new_code_cell(f"version = {version}", id=f"cell-{k}") for k in range(CELLS)]
    return nbformat.v4.new_notebook(cells=cells)


def write_book(folder: Path) -> None:
    """Publish one chapter over itself, and collect the claims."""
    for version in itertools.count():
        chapter.publish(_notebook(version), folder / "week1_a.ipynb")
        claims.write(folder)
        (folder / "begun").touch()


def write_sweep(folder: Path) -> None:
    """Keep finished executions of a sweep."""
    for number in itertools.count():
        content = nbformat.writes(_notebook(number)).encode()
        sweep.keep(folder, replace(TASK, id=f"{number:016x}"), sweep.Execution(f"{number:016x}", notebook=content))
        (folder / "begun").touch()


# ---- what must hold after a kill -------------------------------------------------------------------------------------


def runs_are_whole(folder: Path) -> bool:
    """Every record is intact, and its weights are those that it names; what was not finished is made again."""
    for record in folder.glob("*/*/run.json"):
        run = runs._read(record.parent)
        run.model()
        for evaluation in record.parent.glob("accuracy-*.json"):
            files.unseal(evaluation.read_bytes(), evaluation)
    store, before = runs.Store(folder / "published", folder / "local"), runs.train
    runs.train = _instant
    try:
        last = len(list((folder / "local").glob("*/run.json")))
        again = store.obtain(replace(SMALL, seed=last), None)  # the next one, begun perhaps when the kill came
        wanted = _instant(replace(SMALL, seed=last)).model.state_dict()
        return all(torch.equal(wanted[name], value) for name, value in again.model().state_dict().items())
    finally:
        runs.train = before


def book_is_whole(folder: Path) -> bool:
    """The chapter is one version, entire, and the file of claims entire too."""
    sources = {cell.source for cell in nbformat.read(folder / "week1_a.ipynb", 4).cells}
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
        process = processes().Process(target=writer, args=(folder,))
        process.start()
        while not (folder / "begun").exists():
            assert process.is_alive(), f"the writer of {name} ended by itself"
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.03))
        process.kill()
        process.join()
        survived += whole(folder)
    return survived


# ---- files that were altered -----------------------------------------------------------------------------------------


def _samples(folder: Path) -> dict[str, tuple[Path, Callable]]:
    """One whole file of each kind, and what reads it."""
    before, runs.train = runs.train, _instant
    try:
        store = runs.Store(folder / "published", folder / "local")
        run = store.obtain(SMALL, None)
        store.evaluate(run, "accuracy", lambda model: [1, 2])
    finally:
        runs.train = before
    sets = type(
        "Sets", (), {"name": "digits", "train": range(20), "validation": range(20), "to": lambda self, _: self}
    )()
    state = _Run(SMALL, sets, "cpu", folder / "checkpoint")
    state.save()
    sweep.keep(
        folder / "sweep",
        replace(TASK, id="0" * 16),
        sweep.Execution("0" * 16, notebook=nbformat.writes(_notebook(0)).encode()),
    )
    (evaluation,) = run.folder.glob("accuracy-*.json")
    recall = lambda: sweep.recall(folder / "sweep", replace(TASK, id="0" * 16))  # noqa: E731
    return {
        "metrics of a run": (run.folder / "run.json", lambda: store.find(SMALL)),
        "weights of a run": (run.folder / "weights.safetensors", run.model),
        "evaluation of a run": (evaluation, lambda: store.recall(run, "accuracy")),
        "checkpoint": (folder / "checkpoint", state.load),
        "record of a sweep": (folder / "sweep" / f"{'0' * 16}.json", recall),
        "notebook of a sweep": (folder / "sweep" / f"{'0' * 16}.ipynb", recall),
    }


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
            except Refusal as refusal:
                refused[kind] += str(path) in str(refusal)
        path.write_bytes(whole)
    return refused


def campaign(times: int, seed: int = 0) -> list[dict]:
    """Return a row per fault: what was done, to what, how often, and how often nothing was lost or accepted."""
    rows, source = [], random.Random(seed)
    for name in KILLED:
        with tempfile.TemporaryDirectory() as folder:
            good = kill(name, times, Path(folder), source)
        rows.append({"fault": "killed while writing", "to": name, "tried": times, "good": good, "means": "all whole"})
    with tempfile.TemporaryDirectory() as folder:
        for kind, good in damage(times, Path(folder), source).items():
            fault = "a flipped bit, or an end cut off"
            rows.append({"fault": fault, "to": kind, "tried": times, "good": good, "means": "refused by name"})
    return rows


if __name__ == "__main__":
    found = campaign(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
    lines = ",\n".join(json.dumps(row) for row in found)
    files.write(Path(__file__).parent.parent / "book" / "results" / "faults.json", f"[\n{lines}\n]\n".encode())
    for row in found:
        print(f"{row['fault']}: {row['to']}: {row['good']} of {row['tried']} {row['means']}")
