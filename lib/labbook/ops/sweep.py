"""Sweeps: a grid of values, one execution of a chapter for each combination, one table at the end.

Every execution is `python -m labbook run` in a process of its own, so that neither its memory nor its end touches the
others. A finished one is kept as a notebook and a sealed record, named by the content of what was executed: the
parameters, the notebook's source and the code of the library. The same sweep asked for again executes what is missing.
Where executions take place is left to an engine: threads that wait for local processes, or Dask.
"""

from __future__ import annotations

import csv
import html
import io
import itertools
import json
import os
import queue
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat

from .. import files
from ..book import chapter, outcome
from ..errors import ConfigurationError
from . import processes

MOST = 100_000  # combinations of one sweep
RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")
ALTERNATIVE = re.compile(r"""\s*(\[[^\]]*\]|"[^"]*"|'[^']*'|[^,]*?)\s*(?:,|$)""")
COST = ("seconds", "cpu_seconds", "peak_mb", "host")  # what an execution cost, and where it took place


# ---------------------------------------------------------------- the grid


@dataclass(frozen=True)
class Task:
    """One execution: a chapter, the values given, and the digest of the code that the worker must have too."""

    chapter: str
    values: dict[str, Any]
    code: str
    id: str  # 16 hexadecimal digits of all that the result depends on

    @property
    def words(self) -> str:
        """The values as they are written on the command line."""
        return " ".join(f"{name}={_written(value)}" for name, value in self.values.items())


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


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


def grid(path: Path, pairs: Iterable[str]) -> list[Task]:
    """Return every combination of the values given as NAME=A,B,C or NAME=FIRST..LAST, each of them checked.

    The last name varies fastest. Combinations that mean the same execution are one.

    Raises:
        ConfigurationError: what `labbook run` would refuse of a single value, a name given twice, a list without
            brackets, or too large a grid.
    """
    declared = chapter.parameters(path)
    axes: dict[str, list[Any]] = {}
    for pair in pairs:
        name, equals, written = pair.partition("=")
        if name in axes:
            raise ConfigurationError(f"{name} is given twice; write {name}=A,B,C.")
        if not equals or name not in declared:
            chapter.overrides(path, [pair])  # refuses it
        if declared[name].startswith("list") and "," in written and "[" not in written:
            raise ConfigurationError(
                f"{name}={written} is one list or several? Write {name}=[{written}], or each list in brackets."
            )
        axes[name] = [chapter.interpret(each, declared[name]) for each in alternatives(written)]
    size = 1
    for values in axes.values():
        size *= len(values)
    if size > MOST:
        raise ConfigurationError(f"this grid has {size} combinations; at most {MOST} make a sweep.")
    version, check, tasks = code(path), chapter.checker(path), {}
    for combination in itertools.product(*axes.values()):
        values = dict(zip(axes, combination, strict=True))
        here = check(values)
        whole = here.parameters | {"profile": here.profile, "out": ""}
        content = json.dumps([path.stem, whole, version], sort_keys=True)
        name = files.digest(content.encode())[:16]
        tasks.setdefault(name, Task(path.stem, values | {"profile": here.profile}, version, name))
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


def execute(
    task: Task, environment: dict[str, str] | None = None, started: Callable[[int], None] | None = None
) -> Execution:
    """Execute a task in a process of its own, and wait for it. Engines call this, on whichever machine.

    Args:
        environment: variables of the process, beside those of this one. started: receives the process's id.
    """
    path = chapter.root() / "notebooks" / f"{task.chapter}.ipynb"
    host = socket.gethostname()
    if not path.is_file() or code(path) != task.code:
        return Execution(task.id, f"{host} has another version of {task.chapter} or of the library", host=host)
    with tempfile.TemporaryDirectory(prefix="labbook-") as folder:
        pairs = [word for name, value in task.values.items() for word in ("-p", f"{name}={json.dumps(value)}")]
        command = [sys.executable, "-m", "labbook", "run", task.chapter, *pairs, "--out", folder]
        began = time.perf_counter()
        with open(Path(folder, "said"), "w+b") as said:
            process = subprocess.Popen(
                command,
                cwd=chapter.root(),
                env={"OMP_NUM_THREADS": "1"} | dict(os.environ) | processes.child_environment() | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,  # Ctrl-C is passed on once, by the engine
            )
            if started:
                started(process.pid)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            words = said.read().decode("utf-8", "replace").strip().splitlines()
        cost = {
            "seconds": round(time.perf_counter() - began, 2),
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
            "peak_mb": round(used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10), 1),
            "host": host,
        }
        if process.returncode:
            ended = f"killed by signal {-process.returncode}" if process.returncode < 0 else "failed without a word"
            last = [line for line in words if not line.startswith("The notebook up to there")][-1:]
            return Execution(task.id, *(last or [ended]), **cost)
        content = Path(folder, f"{task.chapter}.ipynb").read_bytes()
    notebook = nbformat.reads(content.decode(), 4)
    try:
        found = outcome.of(notebook, task.chapter)
        trainings = _trainings(found["runs"], task.values.get("out"))
    except ConfigurationError as refusal:
        return Execution(task.id, str(refusal), **cost)
    verdicts = {record["id"]: [record["verdict"], record.get("measured", "")] for record in found["claims"]}
    return Execution(task.id, "", content, found["answer"], verdicts, trainings, **cost)


def _trainings(manifest: list[dict], out: str | None) -> list[dict]:
    """Return what the training runs of a chapter's manifest came to."""
    places = (chapter.root() / "book" / "runs", (Path(out).expanduser() if out else chapter.root() / "_build") / "runs")
    rows = []
    for entry in manifest:
        pointer = next(filter(Path.is_file, (place / entry["id"] / "current.json" for place in places)), None)
        if pointer is None:
            continue
        generation = files.sealed(pointer, generation=str)["generation"]
        record = files.sealed(pointer.parent / generation / "run.json", training=dict, history=list)
        training, epoch = record["training"], record["history"][-1]
        rows.append(
            {
                "training": entry["id"],
                "model": training["model"],
                "optimiser": training.get("optimiser", "sgd"),
                "training_seed": training.get("seed", 0),
                "images": sum(each["images"] for each in record["history"]),
                **{key: epoch.get(key) for key in ("loss", "accuracy", "fixed_accuracy")},
                "training_seconds": round(sum(each["seconds"] for each in record["history"]), 1),
            }
        )
    return rows


# ---------------------------------------------------------------- engines


def slots(workers: int | None = None) -> list[dict[str, str]]:
    """Return the environment of each local worker: one per GPU, or one per core that this process may use.

    Args:
        workers: how many; on a machine with GPUs they take turns on them.
    """
    gpus = _gpus()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    number = workers or len(gpus) or cores
    return [{"CUDA_VISIBLE_DEVICES": gpus[k % len(gpus)]} if gpus else {} for k in range(number)]


def _gpus() -> list[str]:
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [each for each in visible.split(",") if each]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    return re.findall(r"^GPU (\d+):", listed, re.M)


def local(tasks: list[Task], workers: list[dict[str, str]]) -> Generator[Execution, None, None]:
    """Execute tasks on this machine, as many at once as there are workers; yield outcomes as they come.

    Left early (an exception in the loop, Ctrl-C), it interrupts what is under way, and waits for its end.
    """
    free: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
    for environment in workers:
        free.put(environment)
    running: set[int] = set()  # process ids
    lock, stopping = threading.Lock(), threading.Event()

    def one(task: Task) -> Execution | None:
        if stopping.is_set():
            return None
        environment, mine = free.get(), set()

        def started(process: int) -> None:
            with lock:
                mine.add(process)
                running.add(process)
                if stopping.is_set():
                    _interrupt(process)

        try:
            return execute(task, environment, started)
        finally:
            with lock:
                running.difference_update(mine)
            free.put(environment)

    with ThreadPoolExecutor(len(workers)) as pool:
        waiting = {pool.submit(one, task) for task in tasks}
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for each in done:
                    yield each.result()
        finally:
            with lock:
                stopping.set()
                for process in running:
                    _interrupt(process)
            pool.shutdown(cancel_futures=True)


def _interrupt(process: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it has ended
        os.kill(process, signal.SIGTERM)


def dask(tasks: list[Task], address: str) -> Generator[Execution, None, None]:
    """Execute tasks on a Dask cluster; yield each outcome once, as they come. Dask gives the task of a lost worker to
    another one.

    Args:
        address: of the scheduler, as tcp://HOST:PORT, or the path of its scheduler file.

    Raises:
        ConfigurationError: Dask is not installed, or there is no scheduler at the address.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise ConfigurationError("--scheduler needs Dask: python -m pip install distributed.") from None
    where = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        client = Client(**where, timeout=10, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigurationError(f"scheduler={address!r} does not answer: {reason.rstrip('.')}.") from None
    with client:
        futures = {
            client.submit(execute, task, key=f"labbook-{task.id}-{time.time_ns()}", pure=False): task for task in tasks
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
            client.cancel(list(futures))


# ---------------------------------------------------------------- the folder of a sweep


def keep(folder: Path, task: Task, outcome: Execution) -> None:
    """Keep a finished execution: the notebook, then the sealed record whose presence makes it whole.

    Raises:
        ConfigurationError: they cannot be written.
    """
    record = asdict(outcome) | {"notebook": files.digest(outcome.notebook), "values": task.values}
    files.write(folder / f"{task.id}.ipynb", outcome.notebook)
    files.write(folder / f"{task.id}.json", files.seal(json.dumps(record, sort_keys=True).encode()))


def recall(folder: Path, task: Task) -> Execution | None:
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
    tasks: list[Task],
    folder: Path,
    engine: Callable[[list[Task]], Generator[Execution, None, None]],
    say: Callable[[Task, Execution, int], None] | None = None,
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


def tables(tasks: list[Task], outcomes: dict[str, Execution]) -> tuple[list[dict], list[dict]]:
    """Return the rows of the table, one per execution, and those of its training runs, one per run and execution.

    A row: the values, status ("done" or "failed"), verdict and measurement of each claim, the cost, and the answer.
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
    return rows, trainings


def write_tables(folder: Path, title: str, tasks: list[Task], outcomes: dict[str, Execution]) -> Path:
    """Write table.csv, trainings.csv and index.html; return the path of the first.

    Raises:
        ConfigurationError: they cannot be written.
    """
    rows, trainings = tables(tasks, outcomes)
    for name, content in (("table.csv", rows), ("trainings.csv", trainings)):
        files.write(folder / name, _csv(content))
    files.write(folder / "index.html", _page(title, rows).encode())
    return folder / "table.csv"


def _csv(rows: list[dict]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _written(value) for key, value in row.items()} for row in rows)
    return text.getvalue().encode()


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><style>
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }} body {{ margin: 2rem; }}
table {{ border-collapse: collapse; }} .failed {{ color: #d55e00; }}
th, td {{ padding: .2rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid #8886; }}</style>
<h1>{title}</h1><p>{summary}</p><p>The same as data: <a href="table.csv">table.csv</a>, and
<a href="trainings.csv">trainings.csv</a> with a line for each training run.</p>
<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></html>
"""


def _page(title: str, rows: list[dict]) -> str:
    done = [row for row in rows if row["status"] == "done"]
    summary = [f"{len(done)} of {len(rows)} executions are done"]
    claims = [key for key in dict.fromkeys(key for row in rows for key in row) if re.fullmatch(r"[CR]\d+", key)]
    for claim in claims:
        counted = Counter(row[claim] for row in done if claim in row)
        summary.append(f"{claim}: " + ", ".join(f"{verdict} {number}" for verdict, number in counted.most_common()))
    shown = [
        key
        for key in dict.fromkeys(key for row in rows for key in row)
        if not key.endswith(" measured") and key != "id"
    ]

    def cell(row: dict, key: str) -> str:
        text = html.escape(_written(row[key])) if key in row else ""
        if key == "status":
            return f'<a href="{row["id"]}.ipynb">done</a>' if text == "done" else f'<span class="failed">{text}</span>'
        return text

    body = "".join("<tr>" + "".join(f"<td>{cell(row, key)}</td>" for key in shown) + "</tr>" for row in rows)
    head = "".join(f"<th>{html.escape(key)}</th>" for key in shown)
    return PAGE.format(title=html.escape(title), summary=html.escape("; ".join(summary)) + ".", head=head, body=body)


def command(path: Path, pairs: Iterable[str]) -> str:
    """Return the command that makes a sweep."""
    return " ".join(["python -m labbook sweep", path.stem, *(f"-p {shlex.quote(pair)}" for pair in pairs)])
