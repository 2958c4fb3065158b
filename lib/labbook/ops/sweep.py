"""Sweeps: a grid of values, one execution of a chapter for each combination, one table at the end.

Every execution is `python -m labbook run` in a process of its own, so that neither its memory nor its end touches the
others. A finished one is kept as a notebook and a sealed record, named by the content of what was executed: the
parameters, the notebook's source and the code of the library. The same sweep asked for again executes what is missing.
Dask decides where executions take place: threads of this process that wait for them, or workers on other machines.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat

from ..book import checkout, outcome, parameters
from ..errors import ConfigurationError
from ..runtime import files
from . import processes

MOST = 100_000  # combinations of one sweep
RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")
ALTERNATIVE = re.compile(r"""\s*(\[[^\]]*\]|"[^"]*"|'[^']*'|[^,]*?)\s*(?:,|$)""")
COST = ("seconds", "cpu_seconds", "peak_mb", "host")  # what an execution cost, and where it took place


# ---------------------------------------------------------------- the grid


@dataclass(frozen=True)
class Combination:
    """One execution: a chapter, the values given, and the digest of the code that the worker must have too."""

    chapter: str
    values: dict[str, Any]
    code: str
    id: str  # 16 hexadecimal digits of all that the result depends on

    @property
    def words(self) -> str:
        """The values as they are written on the command line."""
        return " ".join(f"{name}={processes.written(value)}" for name, value in self.values.items())


def alternatives(written: str) -> list[str]:
    """Split `0.001,0.01` at commas outside of brackets and quotes; `0..4` stands for 0,1,2,3,4.

    Raises:
        ConfigurationError: an empty alternative, a range that falls, or more than `MOST` values.
    """
    parts, at = [], 0
    while at < len(written):
        found = ALTERNATIVE.match(written, at)
        if not found or found.end() == at:
            raise ConfigurationError(f"{written!r} cannot be split into values; write A,B,C or FIRST..LAST.")
        parts.append(found[1])
        at = found.end()
    if not parts or written.endswith(",") or "" in parts:
        raise ConfigurationError(f"{written!r} holds an empty value; write A,B,C or FIRST..LAST.")
    values = []
    for part in parts:
        if ends := RANGE.fullmatch(part):
            first, last = map(int, ends.groups())
            if not 0 <= last - first < MOST:
                raise ConfigurationError(
                    f"{part!r} must rise from its first to its last value, over at most {MOST} of them."
                )
            values += map(str, range(first, last + 1))
        else:
            values.append(part)
    return values


def grid(path: Path, pairs: Iterable[str]) -> list[Combination]:
    """Return every combination of the values given as NAME=A,B,C or NAME=FIRST..LAST, each of them checked.

    The last name varies fastest. Combinations that mean the same execution are one.

    Raises:
        ConfigurationError: what `labbook run` would refuse of a single value, a name given twice, a list without
            brackets, or too large a grid.
    """
    declared = parameters.of(path)
    axes: dict[str, list[str]] = {}
    for pair in pairs:
        name, equals, written = pair.partition("=")
        if name in axes:
            raise ConfigurationError(f"{name} is given twice; write {name}=A,B,C.")
        if not equals or name not in declared.model_fields:
            parameters.overrides(path, [pair])  # refuses it
        if isinstance(declared.model_fields[name].default, list) and "," in written and "[" not in written:
            raise ConfigurationError(
                f"{name}={written} is one list or several? Write {name}=[{written}], or each list in brackets."
            )
        axes[name] = alternatives(written)
    size = 1
    for values in axes.values():
        size *= len(values)
    if size > MOST:
        raise ConfigurationError(f"this grid has {size} combinations; at most {MOST} make a sweep.")
    version, tasks = code(path), {}
    for combination in itertools.product(*axes.values()):
        settings = parameters.read(declared, dict(zip(axes, combination, strict=True)))
        content = json.dumps([path.stem, settings.model_dump() | {"out": ""}, version], sort_keys=True)
        name = files.digest(content.encode())[:16]
        values = {word: getattr(settings, word) for word in dict.fromkeys([*axes, "profile"])}
        tasks.setdefault(name, Combination(path.stem, values, version, name))
    return list(tasks.values())


def code(path: Path) -> str:
    """Return the digest of a chapter's source and of the library: equal digests, equal programs."""
    parts = [path, *sorted(Path(__file__).parents[1].rglob("*.*"))]
    parts = [each for each in parts if each.suffix in (".py", ".toml", ".json", ".ipynb", ".mplstyle")]
    return files.digest(b"".join(files.digest(each.read_bytes()).encode() for each in parts))[:16]


# ---------------------------------------------------------------- one execution


@dataclass(frozen=True)
class Execution:
    """What became of a task, and what it cost."""

    id: str
    message: str = ""  # why it failed; empty: it was executed to the end
    notebook: bytes = b""  # on its way to the folder of the sweep
    answer: str = ""  # of the chapter
    verdicts: dict[str, list[str]] = field(default_factory=dict)  # claim -> verdict, what was measured
    trainings: list[dict] = field(default_factory=list)  # the training runs used, with the metrics of their last epochs
    seconds: float = 0.0  # wall clock
    cpu_seconds: float = 0.0  # of the process and its kernel
    peak_mb: float = 0.0  # of the larger of the two
    host: str = ""

    @property
    def done(self) -> bool:
        """Whether the chapter was executed to the end."""
        return not self.message


def execute(task: Combination, gpus: tuple[str, ...] = ()) -> Execution:
    """Execute a task in a process of its own, and wait for it. Dask calls this, on whichever machine.

    If Dask calls the task off, because the sweep or this worker ends, the process is ended too.

    Args:
        gpus: of this machine, on which its workers take turns.
    """
    path = checkout.root() / "notebooks" / f"{task.chapter}.ipynb"
    host = socket.gethostname()
    if not path.is_file() or code(path) != task.code:
        return Execution(task.id, f"{host} has another version of {task.chapter} or of the library", host=host)
    number, called_off = _place()
    environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    with tempfile.TemporaryDirectory(prefix="labbook-") as folder, open(Path(folder, "said"), "w+b") as said:
        began, ended, asked = time.perf_counter(), 0, False
        words = [task.chapter, *processes.parameters(task.values), "--out", folder]
        process = processes.labbook("run", *words, said=said, apart=True, **environment)
        while not ended:
            time.sleep(0.1)
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            if not ended and not asked and called_off():
                process.terminate()
                asked = True
        process.returncode = os.waitstatus_to_exitcode(status)
        cost = {
            "seconds": round(time.perf_counter() - began, 2),
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
            "peak_mb": round(used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10), 1),
            "host": host,
        }
        if process.returncode:
            return Execution(task.id, processes.fault(process, said), **cost)
        content = Path(folder, f"{task.chapter}.ipynb").read_bytes()
    notebook = nbformat.reads(content.decode(), 4)
    try:
        found = outcome.of(notebook, task.chapter)
        trainings = _trainings(found["runs"], task.values.get("out"))
    except ConfigurationError as refusal:
        return Execution(task.id, str(refusal), **cost)
    verdicts = {record["id"]: [record["verdict"], record.get("measured", "")] for record in found["claims"]}
    return Execution(task.id, "", content, found["answer"], verdicts, trainings, **cost)


def _place() -> tuple[int, Callable[[], bool]]:
    """Return the number of the Dask worker that this thread belongs to, and whether its task has been called off."""
    try:
        from distributed import Status, get_worker

        worker = get_worker()
    except (ImportError, ValueError):  # no worker: called by hand
        return 0, lambda: False
    key, over = worker.get_current_task(), (Status.closing, Status.closed, Status.failed)

    def called_off() -> bool:
        task = worker.state.tasks.get(key)
        return worker.status in over or task is None or task.state == "cancelled"

    return worker.name if isinstance(worker.name, int) else 0, called_off


def _trainings(manifest: list[dict], out: str | None) -> list[dict]:
    """Return what the training runs of a chapter's manifest came to."""
    from ..book import store  # with torch, which nothing else here needs

    places = [folder / "runs" for folder in (checkout.root() / "book", Path(out or checkout.root() / "_build"))]
    rows = []
    for entry in manifest:
        run = next(filter(None, (store.read_run(place / entry["id"]) for place in places)), None)
        if run is None:
            continue
        training, epoch = run.training, run.history[-1]
        rows.append(
            {
                "training": entry["id"],
                "model": training["model"],
                "optimiser": training.get("optimiser", "sgd"),
                "training_seed": training.get("seed", 0),
                "images": run.images,
                **{key: epoch.get(key) for key in ("loss", "accuracy", "fixed_accuracy")},
                "training_seconds": round(run.seconds, 1),
            }
        )
    return rows


# ---------------------------------------------------------------- Dask


def local_gpus() -> tuple[str, ...]:
    """Return the numbers of the GPUs that this process may use."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return tuple(each for each in visible.split(",") if each)
    if not shutil.which("nvidia-smi"):
        return ()
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    return tuple(re.findall(r"^GPU (\d+):", listed, re.M))


def local_workers() -> int:
    """Return how many executions this machine does at once: one per GPU, or one per core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return len(local_gpus()) or cores


def dask(
    tasks: list[Combination], address: str | None = None, workers: int | None = None
) -> Generator[Execution, None, None]:
    """Execute tasks by Dask; yield each outcome once, as they come. Dask gives the task of a lost worker to another.

    Left early (an exception in the loop, Ctrl-C), it ends what is under way, wherever that is.

    Args:
        address: of a scheduler, as tcp://HOST:PORT, or the path of its scheduler file; None: of this machine.
        workers: of this machine; None: `local_workers()`.

    Raises:
        ConfigurationError: Dask is not installed, or there is no scheduler at the address.
    """
    try:
        from dask import config
        from distributed import Client, LocalCluster, as_completed
    except ImportError:
        raise ConfigurationError("A sweep needs Dask: python -m pip install distributed.") from None
    with ExitStack() as stack:
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.CRITICAL)  # what Dask logs of itself: outcomes tell what failed
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="labbook-"))
        stack.enter_context(config.set(temporary_directory=place))  # else Dask leaves a folder of its own behind
        if address is None:
            options = {"processes": False, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": ":0"}
            cluster = LocalCluster(n_workers=workers or local_workers(), **options)
            where, gpus = {"address": stack.enter_context(cluster)}, local_gpus()
        else:
            where, gpus = {"scheduler_file" if Path(address).is_file() else "address": address}, ()
        try:
            client = stack.enter_context(Client(**where, timeout=10, set_as_default=False))
        except (OSError, ValueError, TimeoutError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ConfigurationError(f"scheduler={address!r} does not answer: {reason.rstrip('.')}.") from None
        futures = {
            client.submit(execute, task, gpus, key=f"labbook-{task.id}-{time.time_ns()}", pure=False): task
            for task in tasks
        }
        try:
            for future in as_completed(list(futures), loop=client.loop):
                task = futures[future]
                try:
                    yield future.result()
                except Exception as error:  # the task was lost too often, or the worker lacks the library
                    yield Execution(task.id, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
                future.release()
        finally:
            with suppress(Exception):  # the scheduler may be gone
                client.cancel(list(futures))


# ---------------------------------------------------------------- the folder of a sweep


def keep(folder: Path, task: Combination, outcome: Execution) -> None:
    """Keep a finished execution: the notebook, then the sealed record whose presence makes it whole.

    Raises:
        ConfigurationError: they cannot be written.
    """
    record = asdict(outcome) | {"notebook": files.digest(outcome.notebook), "values": task.values}
    files.write(folder / f"{task.id}.ipynb", outcome.notebook)
    files.write(folder / f"{task.id}.json", files.seal(json.dumps(record, sort_keys=True).encode()))


def recall(folder: Path, task: Combination) -> Execution | None:
    """Return a kept execution, its notebook left where it is; or None.

    Raises:
        ConfigurationError: its record or its notebook is truncated or altered.
    """
    path, notebook = folder / f"{task.id}.json", folder / f"{task.id}.ipynb"
    if not path.exists():
        return None
    record = json.loads(files.unseal(path.read_bytes(), path))
    content = notebook.read_bytes() if notebook.exists() else b""
    if (found := files.digest(content)) != record["notebook"]:
        raise ConfigurationError(
            f"{notebook} is missing, truncated or altered: expected SHA-256 {record['notebook']}, found {found}."
        )
    return Execution(**{name: value for name, value in record.items() if name != "values"} | {"notebook": b""})


def run(
    tasks: list[Combination],
    folder: Path,
    engine: Callable[[list[Combination]], Generator[Execution, None, None]],
    say: Callable[[Combination, Execution, int], None] | None = None,
    warn: Callable[[str], None] = print,
) -> dict[str, Execution]:
    """Execute what `folder` does not hold yet, keep every finished execution at once, and return all outcomes by id.

    Args:
        engine: yields the outcomes of the tasks it is given. say: is told of each as it comes, and how many are left.
        warn: is told of kept executions that are altered; they are executed again.

    Raises:
        ConfigurationError: a finished execution cannot be kept.
    """
    outcomes: dict[str, Execution] = {}
    for task in tasks:
        try:
            found = recall(folder, task)
        except ConfigurationError as refusal:
            warn(f"{refusal} It is executed again.")
            found = None
        if found:
            outcomes[task.id] = found
    by_id = {task.id: task for task in tasks}
    missing = [task for task in tasks if task.id not in outcomes]
    if missing:
        with closing(engine(missing)) as arriving:
            for outcome in arriving:
                if outcome.done:
                    keep(folder, by_id[outcome.id], outcome)
                outcomes[outcome.id] = replace(outcome, notebook=b"")
                if say:
                    say(by_id[outcome.id], outcome, len(tasks) - len(outcomes))
    return {task.id: outcomes[task.id] for task in tasks}


# ---------------------------------------------------------------- the table


def write_tables(folder: Path, tasks: list[Combination], outcomes: dict[str, Execution]) -> Path:
    """Write table.csv, a row per execution, and trainings.csv, one per training run of each; return the path of the
    first.

    A row of the table: the values, status ("done" or "failed"), verdict and measurement of each claim, the cost, and
    the answer.

    Raises:
        ConfigurationError: they cannot be written.
    """
    rows, trainings = [], []
    for task in tasks:
        outcome = outcomes[task.id]
        row = {**task.values, "status": "done" if outcome.done else "failed"}
        for claim, (verdict, measured) in outcome.verdicts.items():
            row |= {claim: verdict, f"{claim} measured": measured}
        cost = {name: getattr(outcome, name) for name in COST}
        rows.append({**row, **cost, "answer": outcome.answer or outcome.message, "id": task.id})
        trainings += [{**task.values, **each, "id": task.id} for each in outcome.trainings]
    files.write(folder / "trainings.csv", _csv(trainings))
    files.write(folder / "table.csv", _csv(rows))
    return folder / "table.csv"


def _csv(rows: list[dict]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: processes.written(value) for key, value in row.items()} for row in rows)
    return text.getvalue().encode()
