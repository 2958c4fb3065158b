"""Whether all that is stored belongs together: runs, evaluations of them, and the executed chapters that show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from .. import digits
from ..errors import ConfigurationError
from ..runtime import files
from . import claims, outcome, pages, store
from .store import NAME, POINTER, RECORD, WEIGHTS, Run

PASSING = (".lock", ".holder", ".part")  # what trainings under way leave in a local store, beside checkpoints


class Check:
    """What was looked at, counted, and the faults that were found, a sentence each."""

    def __init__(self):
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []

    def look(self, kind: str, read: Callable[[], object]) -> object | None:
        """Count one more of a kind, and return what `read` does; None if it refuses."""
        self.counts[kind] += 1
        try:
            return read()
        except ConfigurationError as error:
            self.faults.append(str(error))
        except FileNotFoundError as error:
            self.faults.append(f"{error.filename} is missing.")
        return None

    def require(self, condition: object, fault: str) -> None:
        """Note a fault unless the condition holds."""
        if not condition:
            self.faults.append(fault)


def verify(book: Path, local: Path) -> Check:
    """Check the published store, the local one, and the executed chapters against each other.

    Args:
        book: folder with the executed chapters, `runs`, `results` and `digits`. local: folder of the local runs.
    """
    check = Check()
    published = {run.id: run for run in _store(check, book / "runs", published=True)}
    _store_of_others(check, book / "runs", published)
    for _ in _store(check, local, published=False):
        pass
    for page in sorted(book.glob("*.ipynb")):
        _chapter(check, page, published)
    _results(check, book)
    check.look("test digits", lambda: digits.load("mnist", book / "digits"))
    return check


def _store(check: Check, root: Path, published: bool) -> Iterator[Run]:
    """Check all files of a store; yield its runs that are whole."""
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.is_dir() and NAME.fullmatch(path.name):
            run = check.look("runs", lambda path=path: store.read_run(path)) if (path / POINTER).exists() else None
            check.require(run or not published or (path / POINTER).exists(), f"{path} has no {POINTER}.")
            for part in sorted(path.iterdir()):
                if part.is_dir() and NAME.fullmatch(part.name):
                    _generation(check, part, run if run and part == run.folder else None, published)
                elif part.name != POINTER:
                    _foreign(check, part, published)
            if run:
                yield run
        else:
            _foreign(check, path, published)


def _foreign(check: Check, path: Path, published: bool) -> None:
    """Check a file that is no part of a run: what trainings under way write may lie in a local store alone."""
    if not published and path.suffix == ".checkpoint":
        check.look("checkpoints", lambda: files.unseal(files.read(path), path))
    elif published or path.suffix not in PASSING:
        check.faults.append(f"{path} is foreign to a store.")


def _generation(check: Check, folder: Path, run: Run | None, published: bool) -> None:
    """Check the files of a generation; `run` is what its record holds, if it counts."""
    for path in sorted(folder.iterdir()):
        if path.name == WEIGHTS:
            if run or (folder / RECORD).exists():
                check.look("weights", lambda: (run or store.read_generation(folder)).model())
        elif path.name == RECORD:
            if run is None:
                check.look("older generations", lambda: store.read_generation(folder))
        elif path.suffix == ".json" and "-" in path.name:
            check.look("evaluations", lambda path=path: store.read_evaluation(path))
        else:
            _foreign(check, path, published)


def _store_of_others(check: Check, root: Path, runs: dict[str, Run]) -> None:
    """Check that evaluations of several runs are of the weights that are stored."""
    for path in sorted(root.glob("*/*/*-*.json")):
        try:
            others = store.read_evaluation(path)["others"]
        except ConfigurationError:  # noted already
            continue
        for name, weights in others.items():
            same = name in runs and runs[name].weights_sha256 == weights
            check.require(same, f"{path} is of other weights of {name} than are stored.")


def _chapter(check: Check, page: Path, runs: dict[str, Run]) -> None:
    """Check an executed chapter, that its outcome as data is its own, and that what it used is published."""
    found = check.look("chapters", lambda: outcome.of(pages.read(page), page.stem))
    if found is None:
        return
    metadata = pages.read(page).metadata
    check.require(pages.SEAL in metadata and "papermill" not in metadata, f"{page} has no seal of its own.")
    path = page.parent / "results" / f"{page.stem}.json"
    same = path.exists() and path.read_bytes() == outcome.content(found)
    check.require(same, f"{path} does not say what its chapter says.")
    for entry in found["runs"]:
        run = runs.get(entry["id"])
        check.require(run, f"{page} used the run {entry['id']}, which is not published.")
        if run and "generation" in entry:
            same = run.folder.name == entry["generation"]
            check.require(same, f"{page} used the generation {entry['generation']} of {run.id}, not the published one.")
        if run and entry["weights"]:
            check.require(run.weights.exists(), f"{page} shows what {run.id} does, without its weights published.")


def _results(check: Check, book: Path) -> None:
    """Check that results as data are those of the chapters."""
    path = book / "results" / "claims.json"
    content = check.look("results", lambda: claims.content(book))
    same = content is None or (path.exists() and path.read_bytes() == content)
    check.require(same, f"{path} does not say what the chapters say.")
