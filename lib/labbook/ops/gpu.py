"""One command for a lent GPU: `labbook gpu`.

A card is often lent for ten or fifteen minutes, on a machine without network, which forgets everything afterwards. So
the work comes in the order of its worth, stops in time, and leaves one pack:

    check       the device against the CPU, by the same code
    chapters    all of them in the profile "smoke", side by side, into one folder
    timings     images per second of every schedule, with stimuli and evaluation, beside what the device could do; then
                precisions and forms of the networks, and networks that PyTorch compiles
    trainings   `card.card_trainings()`, in lanes: processes that share the device. Each finished run is measured
                at once; a training that the time cuts off keeps its checkpoint, and the same command goes on from it
    pack        records, runs and logs, in parts that any transfer takes (see `pack`); written anew while trainings run,
                so that a session that is killed leaves one too

What was found is kept in one record, `session.json`, plain data, written anew after each part of the work:

    asked, machine, digits      what it was asked for, where, and the number of training digits
    made        date, commit and machine
    checks      part -> rows: what, difference (found), allowed; `same`: whether twenty steps twice give equal weights
    chapters    chapter, seconds, ended ("done", or what stopped it)
    timings     see `timing`: matrix and bandwidth (per second), needs, stimuli, training (name -> ...), map,
                forms (title -> ...)
    trained     name -> one row for each run: run, seed, images, seconds, and what was measured
    stopped     name -> why a training stopped, and of each of its unfinished runs: run, seed, epochs, of (how many),
                ends (accuracy at the end of each whole stage)
    seconds     phase -> how long it took
    left        names of the trainings that are not finished
"""

from __future__ import annotations

import io
import json
import math
import multiprocessing
import os
import subprocess
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path

import torch

from .. import digits, evaluation, stimuli
from ..book import checkout, evaluations, store
from ..book.chapter_store import ChapterStore
from ..book.parameters import Trains
from ..book.store import Run, Store
from ..config import Training, seeded
from ..errors import ConfigurationError, choose, within
from ..experiments import card
from ..experiments.card import CardTraining
from ..experiments.pathways import what_training
from ..identity.description import name_of
from ..runtime import files
from ..runtime.engine import PRECISIONS
from ..training import Paused
from ..whatwhere import SACCADES
from . import device as devices
from . import pack, processes, timing
from .stamp import stamp

PHASES = ("check", "chapters", "timings", "trainings", "pack")
SECONDS = {"check": 40, "timings": 150}  # after which no part of these begins, but on a CPU
PACKING, GRACE = 20, 10  # seconds kept for the pack; seconds that lanes have to stop
EVERY = 90  # seconds between packs while trainings run


@dataclass(frozen=True)
class Asked:
    """What a session is asked for.

    Args:
        folder: of the record, the runs and the logs. only: names of trainings, or beginnings; () means all.
        share: of each training; below 1 it is shortened, openly, and evaluations are short too. precision: of all
            trainings; None: as they are declared. lanes: processes that train at once. skip: phases left out.
        chapter_seconds: after which a chapter is stopped.
    """

    folder: Path
    device: str = "cpu"
    data: str = "auto"
    share: float = 1.0
    minutes: float = math.inf
    only: tuple[str, ...] = ()
    precision: str | None = None
    lanes: int = 1
    skip: tuple[str, ...] = ()
    pack: Path | None = None
    chapter_seconds: float = 90.0

    def __post_init__(self):
        within("share", self.share, 1e-4, 1)
        within("minutes", self.minutes, 0, math.inf)
        within("lanes", self.lanes, 1, 64, whole=True)
        within("chapter_seconds", self.chapter_seconds, 1, 3600)
        for phase in self.skip:
            choose("skip", phase, PHASES)
        if self.precision is not None and choose("precision", self.precision, PRECISIONS) != "float32":
            kind = torch.device(self.device).type
            if kind != "cuda" or (self.precision == "bfloat16" and not torch.cuda.is_bf16_supported()):
                raise ConfigurationError(f"precision={self.precision!r} is not to be had on {self.device!r}.")

    def entries(self, sets: digits.DigitSets) -> list[CardTraining]:
        """Return the trainings asked for, as they are done here."""
        chosen = card.chosen(card.card_trainings(), self.only)
        return [replace(card.adapted(each, self.change(sets)), minutes=self.share * each.minutes) for each in chosen]

    def change(self, sets: digits.DigitSets) -> Callable[[Training], Training]:
        """Return what makes of a training the one that is done here."""
        precision = {} if self.precision is None else {"precision": self.precision}
        return lambda training: card.cut(replace(training, data=sets.name, **precision), self.share, len(sets.train))


# ---- the chapters ---------------------------------------------------------------------------------------------------


def smoke(asked: Asked, until: float, say: Callable[[str], None]) -> list[dict]:
    """Execute the chapters in the profile "smoke", as many at once as there are cores, into one folder.

    A chapter that fails, or takes too long, is told of and holds up nothing.
    """
    names, folder, cores = [path.stem for path in checkout.chapters()], asked.folder / "chapters", os.cpu_count() or 1
    folder.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, cores // len(names)))  # each would take all cores for itself
    started, running = time.monotonic(), []

    def execute(name: str) -> dict:
        began = time.monotonic()
        given = {"device": asked.device, "data": asked.data, "out": str(folder / "out")}
        words = [name, "--profile", "smoke", "--out", str(folder), *processes.parameters(given)]
        with open(folder / f"{name}.log", "w+b") as log:
            process = processes.labbook("run", *words, said=log, OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads)
            running.append(process)
            try:
                process.wait(max(0.1, min(asked.chapter_seconds, until - began)))
                ended = processes.fault(process, log) or "done"
            except subprocess.TimeoutExpired:
                processes.end(process)
                ended = f"stopped after {time.monotonic() - began:.0f} s"
        say(f"chapter {name}: {time.monotonic() - began:.0f} s, {ended}")
        return {"chapter": name, "seconds": round(time.monotonic() - began, 1), "ended": ended}

    pool = ThreadPoolExecutor(cores)
    try:
        rows = sorted(pool.map(execute, names), key=lambda row: row["chapter"])
    finally:  # an interruption too
        pool.shutdown(wait=False, cancel_futures=True)
        for process in running:
            processes.end(process)
    say(f"chapters: {sum(row['ended'] == 'done' for row in rows)} of {len(rows)} in {time.monotonic() - started:.0f} s")
    return rows


# ---- what is measured of a run --------------------------------------------------------------------------------------

STORED = {  # model -> what is stored of its runs beside the 27 cells
    "searcher": evaluations.searches,
    "evidence": evaluations.limits,
    "foveal": evaluations.foveal_searches,
}


def measured(lane: Worker, run: Run, training: Training) -> dict[str, float]:
    """Evaluate a run, by the kind of its stimuli and of its network, and return its accuracies.

    28x28: `central` without a shift, `general` at a standard deviation of 15 px, and the mean of the accuracy `map`.
    128x128: the mean of the 27 `cells` of the benchmark and, of a transformer, its `theta correlation` at the widest
    shift; of a Where pathway, accuracies after 0, 1, ... saccades. On other fields: those of the training itself.
    """
    scene, evaluate = training.stages[-1].scene, lane.book.evaluate
    if scene.edge == stimuli.EDGE:
        general, central = lane.book.general_and_central(run, scene)
        mean = lane.book.accuracy_map(run, scene).mean().item()
        return {"central": central.value, "general": general.value, "map": mean}
    if not isinstance(scene, stimuli.Scene128):
        return {"own": evaluate(evaluations.accuracy, run, scene=scene).value}
    if type(scene) is not stimuli.Scene128:
        fixed = {each: evaluation.fixed_contrast(scene, each) for each in evaluation.CONTRASTS}
        found = {each: evaluate(evaluations.accuracy, run, scene=one) for each, one in fixed.items()}
        return {f"contrast {contrast:.0%}": each.value for contrast, each in found.items()}
    if training.model == "where":
        return _saccades(lane, run, training, stimuli.Scene128(noise=scene.noise))
    if training.model in STORED:
        evaluate(STORED[training.model], run)
    found = {"cells": evaluation.mean_accuracy(evaluate(evaluations.benchmark, run))}
    widest = replace(stimuli.Scene128(), std=float(stimuli.ECCENTRICITIES[-1]))
    answers = evaluate(evaluations.predictions, run, scene=widest)
    if answers.theta is not None:
        health = evaluation.theta_statistics(answers.theta, answers.offsets)
        found["theta correlation"] = sum(health.correlation) / 2
    return found


def _saccades(lane: Worker, run: Run, training: Training, scene: stimuli.Scene128) -> dict[str, float]:
    """Evaluate the What/Where model with the What pathway of the same seed."""
    what = lane.get_or_train(lane.change(seeded(what_training(scene.noise), training.seed, training.data)))
    (found,) = lane.book.evaluate(evaluations.saccades, run, whats=[what], scene=scene)
    words = {k: f"{k} saccade{'' if k == 1 else 's'}" for k in range(SACCADES + 1)}
    return {word: sum(each.accuracy(k).value for each in found.values()) / len(found) for k, word in words.items()}


# ---- a lane: a process that trains and measures ---------------------------------------------------------------------


class Worker:
    """What a lane does: one entry after another, as it is told."""

    def __init__(self, asked: Asked, until: float, say: Callable[[str], None]):
        self.asked, self.until, self.say = asked, until, say
        self.sets = digits.load(asked.data).to(asked.device)
        if torch.device(asked.device).type == "cuda":
            evaluation.keep_stimuli(asked.device)
        self.change = asked.change(self.sets)
        self.entries = {entry.name: entry for entry in asked.entries(self.sets)}
        self.store = Store(checkout.root() / "book" / "runs", asked.folder / "runs", say=say, until=until)
        profile = "full" if asked.share == 1 else "smoke"
        settings = Trains(profile=profile, device=asked.device, data=asked.data, out=str(asked.folder))
        self.book = ChapterStore(settings, self.store)

    def do(self, name: str) -> list[dict]:
        """Train an entry and measure its runs: one row for each.

        Raises:
            Paused: the time was up.
        """
        entry = self.entries[name]
        rows = []
        for run, training in zip(self._trained(entry), entry.trainings, strict=True):
            row = {"run": run.id, "seed": training.seed, "images": run.images, "seconds": round(run.seconds, 2)}
            row |= {"device": run.machine["device"], "accuracy": run.history[-1]["accuracy"], "measured": {}}
            if time.monotonic() > self.until:
                raise Paused(f"the evaluation of {name}, seed {training.seed}")
            try:
                row["measured"] = measured(self, run, training)
            except ConfigurationError as error:  # the book has its metrics alone
                self.say(f"seed {training.seed} is not measured: {error}")
            rows.append(row)
        return rows

    def get_or_train(self, training: Training) -> Run:
        """Return a run that is stored, else train it."""
        return self.store.get_or_train(training, self.sets, self.asked.device)

    def _trained(self, entry: CardTraining) -> Iterator[Run]:
        """Yield the runs of an entry, seeds of one training together, others as they come."""
        if len(entry.trainings) > 1 and card.alike(entry.trainings):
            yield from self.store.get_or_train_many(entry.trainings, self.sets, self.asked.device)
        else:
            yield from map(self.get_or_train, entry.trainings)


def serve(connection, asked: Asked, until: float, threads: int) -> None:
    """Do what a connection asks for, entry by entry, and send back lines, rows, and what stopped an entry."""
    torch.set_num_threads(threads)
    lane = None
    for name in iter(connection.recv, None):
        try:
            lane = lane or Worker(asked, until, lambda line: connection.send(("say", line)))
            reply = "trained", lane.do(name)
        except Paused as paused:
            reply = "stopped", f"time was up at {paused}"
        except Exception as error:  # whatever stops one entry, the others go on
            connection.send(("log", traceback.format_exc()))
            reply = "stopped", f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        connection.send(reply)


def side_by_side(
    entries: Sequence[CardTraining],
    done: Callable[[Training], bool],
    start: Callable[[], tuple],
    lanes: int,
    until: float,
    each: Callable[[str, str, object], None],
    grace: float = GRACE,
    idle: Callable[[], None] = lambda: None,
) -> None:
    """Give entries to lanes, the most valuable first among those whose starts are trained and that fit into the time
    left; where none fits, the most valuable that does not. While a network that fills the device is at work, others
    come first.

    Args:
        done: whether a training is stored. start: starts a lane; returns its process and its connection.
        until: when no more is given out; lanes that have not stopped by `grace` seconds later are ended.
        each: gets name, kind ("say", "log", "trained" or "stopped") and what was sent. idle: is called now and then.
    """
    waiting = list(entries)
    working: dict[object, tuple[object, str]] = {}  # connection -> process, name of the entry
    free: list[tuple[object, object]] = []
    large = {entry.name for entry in entries if entry.large}

    def end(connection, process, why):
        each(working.pop(connection)[1], "stopped", why)
        connection.close()
        process.join(timeout=1)

    while True:
        now = time.monotonic()
        ready = [entry for entry in waiting if all(map(done, entry.starts))]
        filled = any(name in large for _, name in working.values())
        ready.sort(  # stable: else in the order of worth
            key=lambda entry, left=until - now, filled=filled: (60 * entry.minutes > left, filled and entry.large)
        )
        if ready and now < until and (free or len(working) < lanes):
            process, connection = free.pop() if free else start()
            waiting.remove(ready[0])
            connection.send(ready[0].name)
            working[connection] = process, ready[0].name
            continue
        if not working:
            break
        for connection in wait(list(working), timeout=1):
            process, name = working[connection]
            try:
                kind, said = connection.recv()
            except (EOFError, OSError):
                end(connection, process, "its process ended, for want of memory perhaps")
                continue
            each(name, kind, said)
            if kind in ("trained", "stopped"):
                del working[connection]
                free.append((process, connection))
        idle()
        if time.monotonic() > until + grace:
            for connection, (process, _) in list(working.items()):
                process.kill()
                end(connection, process, "the time was up, and it did not stop")
    for process, connection in free:
        with suppress(OSError):
            connection.send(None)
        process.join(timeout=5)
        process.kill()


# ---- the session ----------------------------------------------------------------------------------------------------


class Session:
    """One session on one device.

    Raises:
        ConfigurationError: a name that is no training; a record that cannot be read, or is of another session.
    """

    def __init__(self, asked: Asked, say: Callable[[str], None] = print):
        self.asked, self.began = asked, time.monotonic()
        keep = 0 if math.isinf(asked.minutes) else min(PACKING + GRACE, 6 * asked.minutes)
        self.until = self.began + 60 * asked.minutes - keep
        self.sets = digits.load(asked.data)
        self.entries = asked.entries(self.sets)
        asked.folder.mkdir(parents=True, exist_ok=True)
        self.path, self.log = asked.folder / "session.json", asked.folder / "session.log"
        self._say, self.packed = say, time.monotonic()
        self.record = self._read()
        self.store = Store(checkout.root() / "book" / "runs", asked.folder / "runs")

    def say(self, line: str) -> None:
        """Tell, and log, a line of progress with its second."""
        line = f"{time.monotonic() - self.began:5.0f} s  {line}"
        self._say(line)
        self._log(f"{line}\n")

    def _read(self) -> dict:
        asked = {key: getattr(self.asked, key) for key in ("share", "data", "precision", "device")}
        asked["data"] = self.sets.name
        fresh = {
            "asked": asked,
            "machine": store.machine(self.asked.device),
            "made": stamp(self.asked.device),
            "digits": len(self.sets.train),
            "whole": timing.whole(len(self.sets.train)),
            "checks": {},
            "chapters": [],
            "timings": {"training": {}, "forms": {}},
            "trained": {},
            "stopped": {},
            "seconds": {},
            "left": [],
        }
        if not self.path.exists():
            return fresh
        try:
            found = json.loads(self.path.read_text("utf-8"))
            before = found["asked"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{self.path} is no record of this command ({error}); remove it to begin anew."
            ) from None
        if before != asked:
            raise ConfigurationError(f"{self.path} is of a session with {before}, not {asked}; name another folder.")
        return {**fresh, **found}

    def run(self) -> bool:
        """Do the phases that are asked for; return whether all trainings are finished."""
        self.say(f"{self.record['machine']['device']}, {self.sets.origin}: {len(self.entries)} entries")
        for phase in PHASES:
            if phase in self.asked.skip or (phase == "pack" and self.asked.pack is None):
                continue
            began = time.monotonic()
            try:
                getattr(self, f"_{phase}")()
            except Exception as error:  # a full disk, data that went away: the next phase may still do
                self._fault(phase, error)
            self.record["seconds"][phase] = round(time.monotonic() - began, 1)
            self._keep()
        left = self.record["left"]
        self.say(f"All is done: {os.path.relpath(self.path)}" if not left else f"Left: {', '.join(left)}.")
        return not left

    def _keep(self) -> None:
        if "trainings" not in self.asked.skip:
            self.record["left"] = [each.name for each in self.entries if each.name not in self.record["trained"]]
        files.write(self.path, f"{json.dumps(self.record, indent=1)}\n".encode())

    def _limit(self, phase: str) -> float:
        """Return when the parts of a phase end to begin."""
        return math.inf if self.asked.device == "cpu" else time.monotonic() + SECONDS[phase]

    def _fault(self, title: str, error: Exception) -> None:
        """Tell what stopped a part of the work; the log has the traceback."""
        self._log("".join(traceback.format_exception(error)))
        self.say(f"{title} failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}")

    def _log(self, words: str) -> None:
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(words)

    def _part(self, into: dict, key: str, do: Callable[[], object], title: str, limit: float) -> None:
        """Do a part of the work once, unless the time is up; one that fails is told of."""
        began = time.monotonic()
        if key in into:
            return
        if began > min(self.until, limit):
            self.say(f"{title}: left out, its time is over")
            return
        try:
            into[key] = do()
        except Exception as error:  # as of a card that is too small: the rest may still do
            self._fault(title, error)
            return
        self.say(f"{title}: {time.monotonic() - began:.1f} s, {json.dumps(into[key])}")
        self._keep()

    def _check(self) -> None:
        checks, limit = self.record["checks"], self._limit("check")
        for title, do in devices.checks(self.sets, self.asked.device, self.asked.precision == "tf32"):
            self._part(checks, title, do, f"check, {title}", limit)
        if not devices.agrees(checks):
            self.say("The device and the CPU do not agree; what follows is kept with that remark.")

    def _chapters(self) -> None:
        if not self.record["chapters"]:
            self.record["chapters"] = smoke(self.asked, self.until, self.say)

    def _timings(self) -> None:
        timings, device, precision = self.record["timings"], self.asked.device, self.asked.precision or "float32"
        limit = self._limit("timings")
        for title, into, key, do in timing.timings(self.sets.to(device), device, timings, precision, self.asked.share):
            self._part(into, key, do, f"timing, {title}", limit)

    def _trainings(self) -> None:
        asked, trained, stopped = self.asked, self.record["trained"], self.record["stopped"]
        threads = max(1, (os.cpu_count() or 1) // asked.lanes)
        context = multiprocessing.get_context("spawn")

        def start() -> tuple:
            mine, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, asked, self.until, threads), daemon=True)
            process.start()
            theirs.close()
            return process, mine

        def each(name: str, kind: str, said: object) -> None:
            if kind == "log":
                self._log(str(said))
                return
            if kind == "say":
                self.say(f"{name}: {str(said).strip()}")
                return
            if kind == "trained":
                trained[name] = said
                stopped.pop(name, None)
            else:
                parts = (unfinished(asked.folder / "runs", training) for training in by_name[name].trainings)
                stopped[name] = {"why": said, "runs": [part for part in parts if part]}
            self.say(f"{name}, {kind}: {said if kind == 'stopped' else json.dumps(said)}")
            self._keep()

        def idle() -> None:
            if asked.pack and "pack" not in asked.skip and time.monotonic() > self.packed + EVERY:
                self._pack()

        by_name = {entry.name: entry for entry in self.entries}
        waiting = [entry for entry in self.entries if entry.name not in trained]
        done = lambda training: self.store.find(training) is not None  # noqa: E731
        side_by_side(waiting, done, start, asked.lanes, self.until, each, idle=idle)

    def _pack(self) -> None:
        self._keep()
        parts = pack.write(self.asked.pack, self.content())
        self.packed = time.monotonic()
        size = sum(path.stat().st_size for path in parts)
        self.say(f"packed {size / 1e6:.1f} MB in {len(parts)} parts: {os.path.relpath(parts[0].parent)}")

    def content(self) -> Iterable[tuple[str, bytes]]:
        """Return the files of the pack, the most valuable first: record and logs, what was found, small weights, large
        weights."""
        folder = self.asked.folder
        for path in (self.path, self.log, *sorted((folder / "chapters").glob("*.log"))):
            if path.exists():
                yield path.relative_to(folder).as_posix(), path.read_bytes()
        order = [row["run"] for rows in self.record["trained"].values() for row in rows]
        runs = filter(None, map(store.read_run, (folder / "runs").glob("*/")))
        runs = sorted(runs, key=lambda run: order.index(run.id) if run.id in order else len(order))
        for run in runs:
            pointer, record = run.folder.parent / store.POINTER, run.folder / store.RECORD
            for path in (record, pointer, *sorted(run.folder.glob("*-*.json"))):
                yield path.relative_to(folder).as_posix(), path.read_bytes()
        weights = [run.weights for run in runs if run.weights.exists()]
        for path in sorted(weights, key=lambda path: path.stat().st_size > store.WEIGHTS_LIMIT):
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def unfinished(folder: Path, training: Training) -> dict | None:
    """Return how far a training came, from its checkpoint, or None if there is none."""
    path = folder / f"{name_of(training)}.checkpoint"
    if not path.exists():
        return None
    content = io.BytesIO(files.unseal(files.read(path), path))
    history = json.loads(torch.load(content, map_location="cpu", weights_only=True)["history"])
    last = {record["stage"]: (record["epoch"] + 1, record["accuracy"]) for record in history}
    ends = [last[k][1] for k, stage in enumerate(training.stages) if k in last and last[k][0] == stage.epochs]
    epochs = {"epochs": len(history), "of": sum(stage.epochs for stage in training.stages)}
    return {"run": name_of(training), "seed": training.seed, **epochs, "ends": ends}
