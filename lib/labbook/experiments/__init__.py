"""The experiments of the book, a file a chapter: trainings, and the claims of 2021 with their rules."""

from __future__ import annotations

from ..config import Training

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


def needed() -> dict[str, Training]:
    """Return what the claims of 2021 are about, the trainings of seed 0 by name: those that help to decide most claims
    for each minute of a GPU first, but a start before what goes on from it."""
    named = [(name, each) for week in _weeks() for name, each in week.trainings().items()]
    users: dict[str, set[str]] = {}
    for claim in claims().values():
        for role in claim.own:
            part = claim.trainings(role)[0]
            while part is not None:
                users.setdefault(next(name for name, each in named if each == part), set()).add(claim.name)
                part = part.start
    trainings, ordered = dict(named), {}
    for name in sorted(users, key=lambda name: -len(users[name]) / card_seconds(trainings[name])):
        starts = [other for other in users if trainings[other] == trainings[name].start]
        ordered |= {part: trainings[part] for part in (*starts, name)}
    return ordered


def _weeks() -> tuple:
    from . import week1, week2, week3, week4, week5, week6, week7, week8

    return week1, week2, week3, week4, week5, week6, week7, week8
