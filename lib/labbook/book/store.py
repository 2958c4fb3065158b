"""The store of training runs: configuration -> metrics and weights, found again by content.

A run lives in a folder named after the SHA-256 of its configuration: `run.json` (sealed with its checksum),
`weights.safetensors`, and one JSON per evaluation. Two folders are searched: the published one, `book/runs/`, and the
local one, `_build/runs/`, to which all new runs go. Several processes may share them.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from .. import evaluation, files, models
from ..config import Training, digest, name_of, parse
from ..digits import DigitSets
from ..errors import ConfigurationError
from ..training import train

WEIGHTS_LIMIT = 5_000_000  # bytes of a published weights file


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, configuration (plain data), one record per epoch, and where it was trained."""

    folder: Path
    training: dict
    history: list[dict]
    machine: dict
    weights_sha256: str

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of the configuration's SHA-256."""
        return self.folder.name

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
        return max(record["accuracy"] for record in self.history)

    @property
    def fall(self) -> float:
        """The largest fall of the accuracy from one epoch to the next of a stage; 0 if there is none."""
        return max([0.0, *(a["accuracy"] - b["accuracy"] for a, b in self._successive())])

    def around_the_fall(self) -> tuple[dict, dict]:
        """Return the records before and after the largest fall; the run must have a stage of two epochs."""
        return max(self._successive(), key=lambda pair: pair[0]["accuracy"] - pair[1]["accuracy"])

    def _successive(self) -> list[tuple[dict, dict]]:
        return [(a, b) for a, b in pairwise(self.history) if a["stage"] == b["stage"]]

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
        path = self.folder / "weights.safetensors"
        if not path.exists():
            raise ConfigurationError(
                f"{path} does not exist: of this run only the metrics are kept; retrain it with runs='retrain'."
            )
        content = path.read_bytes()
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


class Store:
    """Where runs are looked up and kept.

    Args:
        published: folder of runs that come with the book, read only. local: folder for new runs.
        reuse: whether stored runs are used at all; without it everything is trained and computed anew, once.
        say: receives a line per stage of a training. until: when trainings stop, see `train`.
    """

    def __init__(
        self,
        published: Path,
        local: Path,
        reuse: bool = True,
        say: Callable[[str], None] | None = None,
        until: float = math.inf,
    ):
        self.published, self.local, self.reuse, self.say = Path(published), Path(local), reuse, say
        self.until = until
        self.used: dict[str, Run] = {}  # in the order of use
        self.shown: set[str] = set()  # ids of the runs whose weights were asked for

    def find(self, training: Training) -> Run | None:
        """Return the stored run of this configuration, or None.

        Raises:
            ConfigurationError: a stored run that is truncated or altered.
        """
        name = name_of(training)
        stored = [root / name for root in (self.published, self.local) if (root / name / "run.json").exists()]
        stored.sort(key=lambda folder: not (folder / "weights.safetensors").exists())  # one with weights, if any
        return _read(stored[0]) if stored else None

    def obtain(self, candidates: Training | Sequence[Training], sets: DigitSets, device: str = "cpu") -> Run:
        """Return a run of the first candidate that is stored, else train the last one.

        Args:
            candidates: one configuration, or several from the longest schedule to the one worth training now. Where
                bfloat16 would be slow, that one is trained in float32.
        """
        candidates = [candidates] if isinstance(candidates, Training) else list(candidates)
        candidates.append(self._suited(candidates[-1], device))
        run = next(filter(None, map(self.find, candidates)), None) if self.reuse else None
        run = run or self.used.get(name_of(candidates[-1])) or self._train(candidates[-1], sets, device)
        self.used[run.id] = run
        return run

    def _suited(self, training: Training, device: str) -> Training:
        """Return a training in an arithmetic that is fast on a device, and likewise a start that is not stored."""
        start = training.start
        if start is not None and not (self.reuse and self.find(start)):
            start = self._suited(start, device)
        fast = {"tf32": torch.device(device).type == "cuda", "bfloat16": models.fast_in_bfloat16(device)}
        precision = training.precision if fast.get(training.precision) else "float32"
        return replace(training, start=start, precision=precision)

    def _train(self, training: Training, sets: DigitSets, device: str) -> Run:
        name = name_of(training)
        lock = FileLock(self.local / f"{name}.lock")
        try:
            self.local.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise ConfigurationError(f"Cannot keep runs in {self.local}: {error.strerror or error}.") from None
        try:
            if self.reuse and (self.local / name / "run.json").exists():  # another process was first
                return _read(self.local / name)
            weights = training.start and self.obtain(training.start, sets, device).model(device).state_dict()
            checkpoint = self.local / f"{name}.checkpoint"
            outcome = train(training, sets, device, checkpoint, say=self.say, weights=weights, until=self.until)
            weights = save_tensors({key: value.cpu().contiguous() for key, value in outcome.model.state_dict().items()})
            record = {
                "training": training.describe(),
                "machine": machine(device),
                "weights_sha256": files.digest(weights),
                "history": outcome.history,
            }
            files.write(self.local / name / "weights.safetensors", weights)
            files.write(self.local / name / "run.json", files.seal(_json(record)))  # its presence makes the run whole
            checkpoint.unlink(missing_ok=True)
        finally:
            lock.release()
        return _read(self.local / name)

    def model(self, run: Run, device: torch.device | str = "cpu") -> nn.Module:
        """Return a run's trained model, and remember that the weights are needed."""
        self.shown.add(run.id)
        return run.model(device)

    def recall(self, run: Run, name: str, **settings) -> object | None:
        """Return a stored evaluation of a run with these settings, or None.

        Raises:
            ConfigurationError: it is truncated or altered.
        """
        for root in (self.published, self.local) if self.reuse else ():
            if (path := root / run.id / _evaluation_file(name, settings)).exists():
                return json.loads(files.unseal(path.read_bytes(), path))["result"]
        return None

    def evaluate(
        self, run: Run, name: str, compute: Callable[[nn.Module], object], device: str = "cpu", **settings
    ) -> object:
        """Return a stored evaluation of a run with these settings, else `compute(model)`, which is then kept.

        Args:
            name: what is evaluated. settings: all that the result depends on besides the run.
            compute: gets the model, returns plain data.
        """
        if (result := self.recall(run, name, **settings)) is None:
            result = compute(run.model(device))
            record = {"evaluation": name, "settings": settings, "result": result}
            files.write(self.local / run.id / _evaluation_file(name, settings), files.seal(_json(record)))
        return result

    def manifest(self) -> list[dict]:
        """Return the runs used so far, for `publish`: id, and whether the weights were shown."""
        return [{"id": name, "weights": name in self.shown} for name in self.used]


def publish(manifest: Sequence[dict], local: Path, published: Path) -> None:
    """Copy runs to the published folder: metrics and evaluations, and the weights of those that were shown.

    Args:
        manifest: what `Store.manifest` returned.

    Raises:
        ConfigurationError: weights above 5 MB; a disk that is full.
    """
    for entry in manifest:
        source, target = local / entry["id"], published / entry["id"]
        weights = source / "weights.safetensors"
        if entry["weights"] and weights.exists():
            if (size := weights.stat().st_size) > WEIGHTS_LIMIT:
                raise ConfigurationError(f"{weights} has {size} bytes; at most {WEIGHTS_LIMIT} are published.")
            files.write(target / weights.name, weights.read_bytes())
        for path in sorted(source.glob("*.json"), key=lambda path: path.name == "run.json"):  # run.json makes it whole
            files.write(target / path.name, path.read_bytes())


def _evaluation_file(name: str, settings: dict) -> str:
    return f"{name}-{digest({**settings, 'version': evaluation.VERSION})}.json"


def machine(device: torch.device | str) -> dict:
    """Return what a result's provenance needs to know of the machine."""
    cuda = str(device).startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(device) if cuda else f"{os.cpu_count()} CPU cores ({platform.machine()})",
        "processor": processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def processor() -> str:
    """Return the name of the processor, as the system knows it."""
    try:
        names = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.M)
    except OSError:  # not Linux
        names = []
    return names[0].strip() if names else platform.processor() or platform.machine()


def _json(record: dict) -> bytes:
    return json.dumps(record, indent=1, sort_keys=True).encode()


def _read(folder: Path) -> Run:
    path = folder / "run.json"
    record = json.loads(files.unseal(path.read_bytes(), path))
    return Run(folder, record["training"], record["history"], record["machine"], record["weights_sha256"])
