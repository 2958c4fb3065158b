"""What is measured of a run for the claims: numbers of its history, and evaluations of its network.

Convention
    accuracies are proportions, 0 to 1; distances pixels; a stage, an epoch is counted from 0. Every quantity is a
    function of a run and of who can be asked for evaluations; it returns None where the run does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any, Protocol

LOST = 0.2  # accuracy below which a network is lost: at chance, epochs of up to 16 % were measured (see `rule`)
VARIES = 0.1  # standard deviation over inputs of a window's centre on 28x28 pixels that varies (see `rule`)


class Ran(Protocol):
    """What is asked of a finished run: configuration, and one record per epoch (see `training`)."""

    training: dict
    history: list[dict]


class Evaluations(Protocol):
    """What else can be asked of a stored run; raises LookupError where neither result nor weights are stored."""

    def accuracy(self, run: Ran, scene: object) -> float: ...

    def cells(self, run: Ran) -> Mapping[tuple[float, float], float]: ...

    def map(self, run: Ran, scene: object) -> Mapping[str, float]: ...


Quantity = Callable[[Any, Any], Any]  # of a run, asking for evaluations -> a number; None: this run does not count


def of_stage(run: Ran, stage: int) -> list[dict]:
    """Return the records of a stage; -1 is the last."""
    wanted = sorted({record["stage"] for record in run.history})[stage]
    return [record for record in run.history if record["stage"] == wanted]


def end(run: Ran, asked: Evaluations | None = None, stage: int = -1, epoch: int = -1) -> float:
    """The accuracy at the end of a stage, on its own stimuli; or after another of its epochs."""
    return of_stage(run, stage)[epoch]["accuracy"]


def end_at(run: Ran, asked: Evaluations | None = None, std: float = 0.0) -> float:
    """The accuracy at the end of the stage of a std, pixels, at contrast 70 %."""
    stages = enumerate(run.training["stages"])
    here = [
        k
        for k, stage in stages
        if stage["scene"].get("contrast") == [0.7, 0.7] and abs(stage["scene"].get("std", 40) - std) < 1e-6
    ]
    return end(run, stage=here[-1])


def best(run: Ran, asked: Evaluations | None = None, stage: int | None = None, epochs: int | None = None) -> float:
    """The accuracy of the best epoch of a stage (None: of all), of its first `epochs`."""
    records = run.history if stage is None else of_stage(run, stage)
    return max(record["accuracy"] for record in records[:epochs])


def mean_of(run: Ran, asked: Evaluations | None = None, stage: int = 0, epochs: int | None = None) -> float:
    """The accuracy, mean over the first `epochs` of a stage: the higher, the sooner it was learnt."""
    return fmean(record["accuracy"] for record in of_stage(run, stage)[:epochs])


def spread(run: Ran, asked: Evaluations | None = None, stage: int = -1) -> float:
    """The spread over inputs of the window's centre at the end of a stage, pixels: root mean square of both axes."""
    down, across = (of_stage(run, stage)[-1]["theta"]["spread"][k] for k in (2, 5))
    edge = 28 if run.training["stages"][-1]["scene"]["law"] == "Scene28" else 128
    return ((down**2 + across**2) / 2) ** 0.5 * edge / 2


def spread_learnt(run: Ran, asked: Evaluations | None = None, stage: int = -1) -> float:
    """The same, and 0 of a network that is at chance: its window serves nothing."""
    return spread(run, asked, stage) if end(run, asked, stage) >= LOST else 0.0


def spread_if_learnt(run: Ran, asked: Evaluations | None = None, stage: int = -1) -> float | None:
    """The same, and nothing of a network that is at chance: it is not trained, and does not count."""
    return spread(run, asked, stage) if end(run, asked, stage) >= LOST else None


def varying_stages(run: Ran, asked: Evaluations | None = None) -> int:
    """The number of stages at whose end the window varies, in a network above chance."""
    return sum(spread_learnt(run, asked, k) >= VARIES for k in range(len(run.training["stages"])))


def scale(run: Ran, asked: Evaluations | None = None) -> float:
    """The scale of the mean window at the end; below 0 it is upside down."""
    return run.history[-1]["theta"]["mean"][0]


def fall(run: Ran, asked: Evaluations | None = None, epochs: int | None = None) -> float:
    """The largest fall of the accuracy from one epoch to the next of a stage, in the first `epochs`; 0 if none."""
    pairs = zip(run.history[:epochs], run.history[1:epochs], strict=False)
    return max([0.0, *(a["accuracy"] - b["accuracy"] for a, b in pairs if a["stage"] == b["stage"])])


def late_fall(run: Ran, asked: Evaluations | None = None, stage: int = -1, last: int = 10) -> float:
    """The largest fall of the accuracy below an earlier epoch, within the last epochs of a stage."""
    values = [record["accuracy"] for record in of_stage(run, stage)]
    return max(max(values[:k]) - values[k] for k in range(max(1, len(values) - last), len(values)))


def overfitting(run: Ran, asked: Evaluations | None = None, stage: int = -1, epochs: int | None = None) -> float:
    """The fall of the accuracy from its best epoch to the last one of a stage while the training loss fell too; 0 if
    the loss rose: the training was lost, not overfitted."""
    records = of_stage(run, stage)[:epochs]
    top, last = max(records, key=lambda record: record["accuracy"]), records[-1]
    return top["accuracy"] - last["accuracy"] if last["loss"] < top["loss"] else 0.0


def accuracy(run: Ran, asked: Evaluations, scene: object) -> float:
    """The accuracy on test digits, on fixed stimuli of a scene."""
    return asked.accuracy(run, scene)


def map_of(run: Ran, asked: Evaluations, scene: object, what: str) -> float:
    """The "centre" or the "mean" of the accuracy map over all offsets, on test stimuli of a scene."""
    return asked.map(run, scene)[what]


def at_contrast(run: Ran, asked: Evaluations, contrast: float = 0.7) -> tuple[float, ...]:
    """The accuracies of the benchmark's nine distances at a contrast, from near to far."""
    return tuple(value for (c, _), value in sorted(asked.cells(run).items()) if c == contrast)
