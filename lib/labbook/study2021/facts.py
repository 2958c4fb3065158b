"""Facts of the 2021 study that results are compared with: accuracies per epoch, accuracy maps, the benchmark.

Source: the public repository of the lab-book (github.com/dabane-ghassan/int-lab-book) and, for "what", that of the
What/Where model (github.com/laurentperrinet/WhereIsMyMNIST); each entry names its notebook.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from ..errors import choose
from ..stimuli import ECCENTRICITIES

_FOLDER = Path(__file__).parent


@cache
def _read(name: str) -> dict:
    return json.loads((_FOLDER / f"{name}.json").read_text("utf-8"))


def series(run: str) -> list[dict]:
    """Return the stages of a run: std (pixels; None: digits at a fixed distance), optimiser, lr (None: not logged),
    accuracy (test, per epoch, 0 to 1).

    Raises:
        ConfigurationError: an unknown run.
    """
    return _read("series")[choose("run", run, _read("series"))]["stages"]


def final_accuracies(run: str) -> dict[float, float]:
    """Return the accuracy at the end of each stage of a run, by std."""
    return {stage["std"]: stage["accuracy"][-1] for stage in series(run)}


def ends(run: str) -> tuple[float, ...]:
    """Return the accuracy at the end of each stage of a run, in order."""
    return tuple(stage["accuracy"][-1] for stage in series(run))


def accuracy_map(run: str) -> Tensor:
    """Return a 55x55 accuracy map, 0 to 1; row and column are the offset (down, right) + 27 pixels.

    Raises:
        ConfigurationError: an unknown run.
    """
    return torch.tensor(_read("accuracy_maps")[choose("run", run, _read("accuracy_maps"))]["map"]) / 1e4


def systems() -> dict[str, dict]:
    """Return the systems of 2021's benchmark by name: noise, n_stimuli (per cell), parameters, coefficients (numbers
    looked at for one answer) and train_images (study 1 and 3)."""
    stored = _read("benchmark")["systems"]
    return {name: {key: value for key, value in facts.items() if key != "accuracy"} for name, facts in stored.items()}


def benchmark(system: str) -> dict[tuple[float, float], float]:
    """Return the 27 cells of a system of 2021, (contrast, radius in pixels) -> accuracy, 0 to 1 (study 4).

    The noise is 0.75, for What/Where 1.0.

    Raises:
        ConfigurationError: an unknown system.
    """
    stored = _read("benchmark")
    rows = stored["systems"][choose("system", system, stored["systems"])]["accuracy"]
    return {
        (contrast, radius): value
        for contrast, row in zip(stored["contrasts"], rows, strict=True)
        for radius, value in zip(ECCENTRICITIES, row, strict=True)
    }
