"""The store of trained runs: configuration -> metrics and weights, found again by content, never replaced.

    NAME/                     the name of a configuration, see `description.name_of`
        current.json          which generation counts: the one small file that ever moves, last and at once
        GENERATION/           the first 16 digits of the SHA-256 of its weights
            run.json          configuration, history, machine, data, checksum of the weights
            weights.safetensors
            EVALUATION.json   each names its settings, the run and the weights that it is of

Every JSON file is sealed with its checksum; reading checks that what it says belongs where it lies. A training done
again may end in other bits, on another machine say: they form another generation beside the first. Two folders are
searched: the published one, `book/runs/`, and the local one, `_build/runs/`, to which all new runs go. Several
processes, containers and machines may share them.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from .. import evaluation, models
from ..config import Training
from ..digits import DigitSets
from ..errors import ConfigurationError
from ..experiments.measure import best, fall
from ..identity.description import describe, digest, name_of, parse
from ..runtime import engine, files
from ..runtime.engine import is_gpu
from ..runtime.machine import machine
from ..training import Outcome, Paused, train, train_together

POINTER, RECORD, WEIGHTS = "current.json", "run.json", "weights.safetensors"
NAME = re.compile(r"[0-9a-f]{16}")  # of a configuration, of a generation
WEIGHTS_LIMIT = 5_000_000  # bytes of a published weights file
T = TypeVar("T")
MEASURED = ("stage", "epoch", "images", "accuracy", "seconds")  # numbers in every record of a history


@dataclass(frozen=True)
class Run:
    """A finished run: the folder of its generation, configuration (plain data), one record per epoch, where it was
    trained and on which digits; `beside` is another folder of the same generation."""

    folder: Path
    training: dict
    history: list[dict]
    machine: dict
    weights_sha256: str
    data: dict = field(default_factory=dict)
    beside: Path | None = field(default=None, compare=False)

    @property
    def id(self) -> str:
        """The name of the configuration."""
        return self.folder.parent.name

    @property
    def folders(self) -> list[Path]:
        """Where its files may lie."""
        return [self.folder, *([self.beside] if self.beside else [])]

    @property
    def weights(self) -> Path:
        """The file of the weights, which may not exist."""
        places = [folder / WEIGHTS for folder in self.folders]
        return next(filter(Path.exists, places), places[0])

    @property
    def configuration(self) -> Training:
        """The configuration, with every option that the code would choose otherwise today."""
        return parse(self.training)

    @property
    def images(self) -> int:
        """Training images seen, without those of a run that it started from."""
        return sum(record["images"] for record in self.history)

    @property
    def seconds(self) -> float:
        """Training time, evaluations excluded."""
        return sum(record["seconds"] for record in self.history)

    @property
    def best(self) -> float:
        """The highest accuracy of an epoch, on its own stage's stimuli."""
        return best(self)

    @property
    def fall(self) -> float:
        """The largest fall of the accuracy from one epoch to the next of a stage; 0 if there is none."""
        return fall(self)

    @property
    def edge(self) -> int:
        """Edge of the images that it was trained on, pixels."""
        return self.configuration.stages[-1].scene.edge

    def measure(self, quantity: str, record: dict | None = None) -> float:
        """Return a quantity of the last epoch, or of another record of the history.

        Args:
            quantity: "accuracy" on the stage's own stimuli, or "fixed_accuracy" on the last stage's, 0 to 1; "spread"
                of the window's centre over inputs, pixels (root mean square of its standard deviations along both
                axes); "follow", the correlation of its centre with the digit's (mean of both axes), -1 to 1; of the
                mean window "scale", its width in widths of the image, below 0 if it is upside down, and
                "displacement" of its centre from the image's middle, pixels.
        """
        record = self.history[-1] if record is None else record
        if quantity == "scale":
            return record["theta"]["mean"][0]
        if quantity == "displacement":
            return math.hypot(record["theta"]["mean"][2], record["theta"]["mean"][5]) * self.edge / 2
        if quantity == "spread":
            x, y = record["theta"]["spread"][2], record["theta"]["spread"][5]
            return math.sqrt((x**2 + y**2) / 2) * self.edge / 2
        if quantity == "follow":
            return sum(record["theta"]["follow"]) / 2
        return record[quantity]

    def last_of_stages(self) -> list[dict]:
        """Return the last epoch's record of each stage."""
        return [
            a
            for a, b in zip(self.history, [*self.history[1:], {"stage": None}], strict=True)
            if a["stage"] != b["stage"]
        ]

    def model(self, device: torch.device | str = "cpu") -> nn.Module:
        """Return the trained model in evaluation mode.

        Raises:
            ConfigurationError: the weights are missing (only metrics were published) or altered.
        """
        path = self.weights
        try:
            content = files.read(path)
        except FileNotFoundError:
            raise ConfigurationError(
                f"{path} does not exist: of this run only the metrics are kept; retrain it with runs='retrain'."
            ) from None
        if (found := files.digest(content)) != self.weights_sha256:
            raise ConfigurationError(
                f"{path} is truncated or altered: expected SHA-256 {self.weights_sha256}, found {found}."
            )
        config = self.configuration
        model = models.build(config.model, **config.options)
        try:
            model.load_state_dict(load_tensors(content))
        except (SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0].rstrip(".:")
            raise ConfigurationError(
                f"{path} does not hold the weights of {self.training['model']!r}: {reason}."
            ) from None
        return model.to(device).eval()


# ---- reading --------------------------------------------------------------------------------------------------------


def read_run(folder: Path) -> Run | None:
    """Return the run in a folder NAME of a store, that of the generation that counts, or None.

    Raises:
        ConfigurationError: it is truncated, altered or does not belong there.
    """
    pointer = folder / POINTER
    for _ in range(3):  # `publish` may remove a generation between the two reads
        try:
            generation = files.sealed(pointer, generation=str)["generation"]
        except FileNotFoundError:
            return None
        _require(NAME.fullmatch(generation), pointer, f"no generation is named {generation[:40]!r}")
        with suppress(FileNotFoundError):
            return read_generation(folder / generation)
    raise ConfigurationError(f"{pointer} points to {generation}, where there is no {RECORD}.")


def read_generation(folder: Path) -> Run:
    """Return the run of a generation, after checking that it belongs where it lies.

    Raises:
        ConfigurationError: it is truncated, altered or does not belong there.
        FileNotFoundError: there is no record.
    """
    path = folder / RECORD
    record = files.sealed(path, training=dict, history=list, machine=dict, weights_sha256=str, data=dict)
    try:
        training = parse(record["training"])
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    name, generation = name_of(training), record["weights_sha256"][:16]
    _require(name == folder.parent.name, path, f"its configuration is that of {name}")
    _require(generation == folder.name, path, f"its weights are those of generation {generation[:40]}")
    _require(record["data"].get("name") == training.data, path, f"its digits are not those of data={training.data!r}")
    _require(_complete(record["history"], training), path, "its history does not fit its configuration")
    return Run(folder, *(record[key] for key in ("training", "history", "machine", "weights_sha256", "data")))


def _complete(history: list, training: Training) -> bool:
    """Return whether there is a record of every epoch of the schedule."""
    epochs = [(k, epoch) for k, stage in enumerate(training.stages) for epoch in range(stage.epochs)]
    numbers = all(isinstance(each, dict) and all(_number(each.get(key)) for key in MEASURED) for each in history)
    return numbers and [(each["stage"], each["epoch"]) for each in history] == epochs


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_evaluation(path: Path) -> dict:
    """Return the record of an evaluation, after checking that it belongs where it lies.

    Raises:
        ConfigurationError: it is truncated, altered or does not belong there.
        FileNotFoundError: there is none.
    """
    record = files.sealed(path, evaluation=str, settings=dict, version=int, run=str, weights_sha256=str, others=dict)
    name = f"{record['evaluation']}-{digest({**record['settings'], 'version': record['version']})}.json"
    _require(name == path.name, path, f"its name and settings are those of {name}")
    _require(record["run"] == path.parents[1].name, path, f"it is of the run {record['run'][:40]}")
    generation = record["weights_sha256"][:16]
    _require(generation == path.parent.name, path, f"it is of the weights {generation}")
    _require("result" in record, path, "it has no result")
    return record


def _require(condition: object, path: Path, otherwise: str) -> None:
    if not condition:
        raise ConfigurationError(f"{path} does not belong there: {otherwise}.")


def same(result: T) -> T:
    """Return what is stored as it is."""
    return result


# ---- the store ------------------------------------------------------------------------------------------------------


class Store:
    """Where runs are looked up and kept.

    Args:
        published: folder of runs that come with the book, read only. local: folder for new runs.
        reuse: whether stored runs are used at all; without it everything is trained and computed anew, once.
        say: receives a line per stage of a training, and whom it waits for. until: when trainings stop, see `train`.
        precision: of new trainings; "auto": as each declares.
    """

    def __init__(
        self,
        published: Path,
        local: Path,
        reuse: bool = True,
        say: Callable[[str], None] | None = None,
        until: float = math.inf,
        precision: str = "auto",
    ):
        self.published, self.local, self.reuse, self.say = Path(published), Path(local), reuse, say
        self.until, self.precision = until, precision
        self.used: dict[str, Run] = {}  # in the order of use
        self.shown: set[str] = set()  # ids of the runs whose weights were asked for

    def find(self, training: Training) -> Run | None:
        """Return the stored run of this configuration, or None: the published one, unless only the local one has
        weights.

        Raises:
            ConfigurationError: a stored run that is truncated or altered, or does not belong where it lies.
        """
        name = name_of(training)
        found = [run for root in (self.published, self.local) if (run := self._beside(read_run(root / name)))]
        return min(found, key=lambda run: not run.weights.exists(), default=None)

    def _beside(self, run: Run | None) -> Run | None:
        """Return a run of one of the two folders, with its place in the other one."""
        if run is None:
            return None
        other = self.local if run.folder.is_relative_to(self.published) else self.published
        return replace(run, beside=other / run.id / run.folder.name)

    def get_or_train(self, wanted: Training | Sequence[Training], sets: DigitSets, device: str = "cpu") -> Run:
        """Return a run of the first configuration that is stored, else train the last one.

        Args:
            wanted: one configuration, or several from the longest schedule to the one worth training now. Where
                bfloat16 or TF32 would be slow, that one is trained in float32.
        """
        (run,) = self.get_or_train_many([wanted], sets, device)
        return run

    def get_or_train_many(
        self, wanted: Sequence[Training | Sequence[Training]], sets: DigitSets, device: str = "cpu"
    ) -> list[Run]:
        """Return for each of `wanted` what `get_or_train` does; what is missing is trained side by side."""
        found = [self._stored(each, device) for each in wanted]
        missing = {name_of(each): each for each in found if isinstance(each, Training)}
        trained = self._train(missing, sets, device) if missing else {}
        runs = [trained[name_of(each)] if isinstance(each, Training) else each for each in found]
        self.used |= {run.id: run for run in runs}
        return runs

    def _stored(self, wanted: Training | Sequence[Training], device: str) -> Run | Training:
        """Return the first stored run of those wanted, else the configuration to train."""
        candidates = [wanted] if isinstance(wanted, Training) else list(wanted)
        candidates.append(self._suited(candidates[-1], device))
        run = next(filter(None, map(self.find, candidates)), None) if self.reuse else None
        return run or self.used.get(name_of(candidates[-1])) or candidates[-1]

    def _suited(self, training: Training, device: str) -> Training:
        """Return a training in the precision asked for, if it is fast on a device, and likewise a start that is not
        stored."""
        start = training.start
        if start is not None and not (self.reuse and self.find(start)):
            start = self._suited(start, device)
        fast = {"tf32": torch.device(device).type == "cuda", "bfloat16": engine.fast_in_bfloat16(device)}
        wanted = training.precision if self.precision == "auto" else self.precision
        precision = wanted if fast.get(wanted) else "float32"
        return replace(training, start=start, precision=precision)

    # ---- training ----

    def _train(self, missing: dict[str, Training], sets: DigitSets, device: str) -> dict[str, Run]:
        """Train what another process does not finish first; return the runs by name."""
        asked = {name: self._stamp(name) for name in missing}
        onwards = {name: each.start for name, each in missing.items() if each.start}
        starts = dict(zip(onwards, self.get_or_train_many(list(onwards.values()), sets, device), strict=True))
        runs = {}
        with ExitStack() as locks:
            for name in sorted(missing):  # in one order everywhere, so that nobody waits for who waits for him
                locks.enter_context(self._lock(name))
            for name in missing:
                if (stamp := self._stamp(name)) and (self.reuse or stamp != asked[name]):  # another process was first
                    runs[name] = self._beside(read_run(self.local / name))
            left = [name for name in missing if name not in runs]
            checkpoints = {name: self.local / f"{name}.checkpoint" for name in left}
            weights = {name: starts[name].model(device).state_dict() if name in starts else None for name in left}
            options = {"say": self.say, "until": self.until}

            def end(place: int, outcome: Outcome | Exception) -> None:
                if isinstance(outcome, Outcome):
                    name = left[place]
                    kept = self._keep(name, missing[name], outcome, sets, device, starts.get(name))
                    runs[name] = self._beside(kept)
                    checkpoints[name].unlink(missing_ok=True)

            if len(left) > 1 and is_gpu(device):
                trainings, paths, states = ([each[name] for name in left] for each in (missing, checkpoints, weights))
                for found in train_together(trainings, sets, device, paths, weights=states, done=end, **options):
                    if isinstance(found, Exception):
                        raise found
            else:
                for place, name in enumerate(left):
                    end(place, train(missing[name], sets, device, checkpoints[name], weights=weights[name], **options))
        return runs

    def _keep(
        self, name: str, training: Training, outcome: Outcome, sets: DigitSets, device: str, start: Run | None
    ) -> Run:
        """Write a generation; the last write makes it count."""
        weights = save_tensors({key: value.cpu().contiguous() for key, value in outcome.model.state_dict().items()})
        sha = files.digest(weights)
        folder = self.local / name / sha[:16]
        files.write(folder / WEIGHTS, weights)
        try:
            run = read_generation(folder)  # the same bits as before: that record stays
        except (FileNotFoundError, ConfigurationError):
            first, *later = outcome.machines or [machine(device)]
            record = {
                "training": describe(training),
                "machine": {**first, "continued_on": later} if later else first,
                "data": {"name": sets.name, "sha256": sets.sha256},
                "start": start and {"run": start.id, "weights_sha256": start.weights_sha256},
                "weights_sha256": sha,
                "history": outcome.history,
            }
            files.write(folder / RECORD, files.seal(_json(record)))
            run = read_generation(folder)
        files.write(folder.parent / POINTER, files.seal(_json({"generation": folder.name})))
        return run

    def _stamp(self, name: str) -> int:
        """Return when a local run of this name was last finished, 0 if none was."""
        try:
            return (self.local / name / POINTER).stat().st_mtime_ns
        except OSError:
            return 0

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Keep other processes from training a configuration. The system frees the lock of one that is gone."""
        path, lock = self.local / f"{name}.holder", FileLock(self.local / f"{name}.lock")
        holder = f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        try:
            self.local.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if self.say:
                    self.say(f"Waiting for {name}, which is being trained by {_holder(path)}.")
                try:
                    lock.acquire(timeout=-1 if self.until == math.inf else max(0.0, self.until - time.monotonic()))
                except Timeout:
                    raise Paused(f"waiting for {name}, which is being trained by {_holder(path)}") from None
            with suppress(OSError):
                path.write_text(holder, "utf-8")
        except OSError as error:
            raise ConfigurationError(f"Cannot keep runs in {self.local}: {error.strerror or error}.") from None
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
            lock.release()

    # ---- what is known of a run ----

    def model(self, run: Run, device: torch.device | str = "cpu") -> nn.Module:
        """Return a run's trained model, and remember that the weights are needed."""
        self.shown.add(run.id)
        return run.model(device)

    def load_result(
        self, run: Run, name: str, others: Sequence[Run] = (), read: Callable[[object], T] = same, **settings
    ) -> T | None:
        """Return the stored result of an evaluation of a run with these settings, or None.

        Args:
            others: further runs that it is of. read: turns what is stored into what is returned.

        Raises:
            ConfigurationError: it is truncated or altered, or does not belong where it lies.
        """
        for folder in run.folders if self.reuse else ():
            path = folder / _evaluation_file(name, settings)
            with suppress(FileNotFoundError):
                record = read_evaluation(path)
                if record["others"] == {other.id: other.weights_sha256 for other in others}:
                    try:
                        return read(record["result"])
                    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError) as error:
                        raise ConfigurationError(f"{path} holds no result of this kind: {error}.") from None
        return None

    def evaluate(
        self,
        run: Run,
        name: str,
        compute: Callable[[nn.Module], object],
        device: str = "cpu",
        others: Sequence[Run] = (),
        read: Callable[[object], T] = same,
        **settings,
    ) -> T:
        """Return a stored result of an evaluation of a run with these settings, else `compute(model)`, which is kept.

        Args:
            name: what is evaluated. settings: all that the result depends on besides the runs.
            compute: gets the model, returns plain data.
            others: further runs that it depends on, by their weights.
            read: turns plain data, computed or stored, into what is returned.
        """
        if (result := self.load_result(run, name, others, read, **settings)) is not None:
            return result
        result = compute(run.model(device))
        if (first := self.load_result(run, name, others, read, **settings)) is not None:  # another process was first
            return first
        record = {
            "evaluation": name,
            "settings": settings,
            "version": evaluation.VERSION,
            "run": run.id,
            "weights_sha256": run.weights_sha256,
            "others": {other.id: other.weights_sha256 for other in others},
            "result": result,
        }
        path = self.local / run.id / run.folder.name / _evaluation_file(name, settings)
        files.write(path, files.seal(_json(record)))
        return read(result)

    def manifest(self) -> list[dict]:
        """Return the runs used so far, for `publish`: id, generation, and whether the weights were shown."""
        return [
            {"id": name, "generation": run.folder.name, "weights": name in self.shown}
            for name, run in self.used.items()
        ]


def publish(manifest: Sequence[dict], local: Path, published: Path) -> None:
    """Copy runs to the published folder: metrics and evaluations, and the weights of those that were shown.

    A published run is replaced as a whole: the new generation is complete before it counts, and only then the old one
    goes.

    Args:
        manifest: what `Store.manifest` returned.

    Raises:
        ConfigurationError: no manifest; a run that is not there, or altered; weights above 5 MB; a disk that is full.
    """
    for entry in manifest:
        name, generation = (str(entry.get(key, "")) for key in ("id", "generation"))
        if not (NAME.fullmatch(name) and NAME.fullmatch(generation)):
            raise ConfigurationError(f"{entry!r} of a manifest names no run of this store.")
        source, target = local / name / generation, published / name / generation
        if (weights := source / WEIGHTS).exists() and entry["weights"]:
            if (size := weights.stat().st_size) > WEIGHTS_LIMIT:
                raise ConfigurationError(f"{weights} has {size} bytes; at most {WEIGHTS_LIMIT} are published.")
            files.write(target / WEIGHTS, files.read(weights))
        for path in source.glob("*-*.json"):
            read_evaluation(path)
            files.write(target / path.name, files.read(path))
        if not (target / RECORD).exists():
            read_generation(source)
            files.write(target / RECORD, files.read(source / RECORD))
        pointer = files.seal(_json({"generation": generation}))
        if not (target.parent / POINTER).exists() or files.read(target.parent / POINTER) != pointer:
            files.write(target.parent / POINTER, pointer)
        for other in target.parent.iterdir():
            if other.is_dir() and other != target:
                shutil.rmtree(other)


def _holder(path: Path) -> str:
    """Return who holds a lock, and since when, as far as it is known."""
    try:
        return path.read_text("utf-8") or "another process"
    except OSError:
        return "another process"


def _evaluation_file(name: str, settings: dict) -> str:
    return f"{name}-{digest({**settings, 'version': evaluation.VERSION})}.json"


def _json(record: dict) -> bytes:
    return json.dumps(record, indent=1, sort_keys=True).encode()
