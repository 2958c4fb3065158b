"""The experiments of the book, a file a chapter: trainings, and the claims of 2021 with their rules."""

from __future__ import annotations

from collections.abc import Callable

from ..config import Training
from ..identity.description import describe

DIGITS = 55_000  # training digits of MNIST
# Training images per second: on one H100 with captured steps, and on one thread of a server's CPU.
PER_SECOND = {
    "lenet": (150e3, 2400),
    "stn28": (140e3, 1400),
    "polo": (150e3, 1800),
    "atn": (32e3, 140),
    "stn128": (13e3, 60),
}
OTHER = (30e3, 140)  # of networks that 2021 did not have
PAINTED_PER_SECOND = 40e3  # frozen stimuli, once a stage, on an H100


def claims() -> dict[str, object]:
    """Return every declared claim by name, in the order of the weeks."""
    return {each.name: each for week in _weeks() for each in week.CLAIMS}


def card_seconds(training: Training) -> float:
    """Return about how long an H100 needs for a training, without that of its start."""
    painted = len(training.stages) * DIGITS / PAINTED_PER_SECOND
    return training.images(DIGITS) / PER_SECOND.get(training.model, OTHER)[0] + painted


def core_seconds(training: Training) -> float:
    """Return about how long one CPU core needs for a training, without that of its start."""
    return training.images(DIGITS) / PER_SECOND.get(training.model, OTHER)[1]


def card_trainings(
    count: int = 3, stored: Callable[[Training], object] = lambda training: None
) -> list[tuple[str, list[Training], float]]:
    """Return what a GPU should train for the claims of 2021: (name, the training with `count` seeds, its worth).

    The worth is the number of claims that the training helps to decide, per minute of one H100 and all seeds. Lines
    come from the highest worth to the lowest, a start before what goes on from it. All are whole schedules of 2021 with
    frozen stimuli, in float32; TF32 serves as well (see `claim`).

    Args:
        stored: seeds for which it returns something are left out, and lines of which nothing is left.
    """
    from .claim import of_seeds

    names = {_key(each): name for week in _weeks() for name, each in week.trainings().items()}
    needed: dict[str, tuple[Training, set[str]]] = {}

    def need(training: Training, claim: str) -> None:
        needed.setdefault(_key(training), (training, set()))[1].add(claim)
        if training.start is not None:
            need(training.start, claim)

    for claim in claims().values():
        for role in claim.own:
            need(claim.trainings(role)[0], claim.name)
    worth = {key: 60 * len(users) / (count * card_seconds(each)) for key, (each, users) in needed.items()}
    ordered: dict[str, Training] = {}
    for key in sorted(needed, key=worth.get, reverse=True):
        training = needed[key][0]
        for part in (training.start, training):
            if part is not None:
                ordered.setdefault(_key(part), part)
    lines = ((key, [each for each in of_seeds(ordered[key], count) if not stored(each)]) for key in ordered)
    return [(names[key], left, round(worth[key], 3)) for key, left in lines if left]


def _key(training: Training) -> str:
    return repr(describe(training))


def _weeks() -> tuple:
    from . import week1, week2, week3, week4, week5, week6, week7, week8

    return week1, week2, week3, week4, week5, week6, week7, week8
