"""Two shared budgets: every network of the benchmark trained on as many images, by the best recipe known for it.

A budget is of all parts of a system together: warm-ups count, and so does the evidence map that teaches a foveal
searcher or the network whose localisation is taken over; a crop counts like a field. Each recipe is the one that
`systems` has, with the shares of its stages as far as whole epochs allow.

cost        about, on one CPU core, of the smaller budget: log-polar STN 4 minutes, What/Where model 6, attention STN
            and searchers 15, evidence map 30, STN-128 60; of the larger one 4 times as much
score       see week 8
command     `trainings()` has each by the name of its system; `what_where` is two networks
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .. import curriculum
from ..config import Training
from ..stimuli import GREY, Scene28, Scene128
from . import DIGITS, beyond, curricula, pathways, recipes
from .systems import SYSTEMS

BUDGETS = SMALL, LARGE = 154_000, 550_000  # training images, at most
LEAST = 0.5  # share of a budget that a run must have used to stand for it
NEARLY = 0.95  # share from which on it is said to have used the budget
WORTH = 85.0, 65.0  # of the trainings at each budget, see `card`
MAP = {"n": 100, "step": 3}  # of the accuracy map from which What's profile is taken, see `evaluations.accuracy_map`


def trainings() -> dict[str, dict[int, Training]]:
    """Return the last training of each system of the benchmark at each budget: name -> budget -> training."""
    by_window = {SMALL: (curricula.for_attention(8, 1, 4), 0.1), LARGE: (curricula.for_attention(12, 1, 10), 0.2)}
    by_position = {SMALL: (curricula.for_window(3, 17), 0.1), LARGE: (curricula.for_window(3, 14), 0.4)}
    windows = {
        name: _resized(system.training, by_position if "position" in system.training.loss else by_window)
        for name, system in SYSTEMS.items()
        if system.training.model in ("atn", "polo", "conv_polo")
    }
    return {
        "evidence map": {SMALL: beyond.evidence_map(SMALL), LARGE: beyond.main()},
        "foveal searcher with evidence map": {
            SMALL: beyond.foveal(beyond.evidence_map(49_500), 19, 0.1),
            LARGE: beyond.foveal(beyond.evidence_map(SMALL), 36, 0.2),
        },
        "sliding-window searcher": {
            SMALL: recipes.searcher(15, 13, share=0.1),
            LARGE: recipes.searcher(28, 22, share=0.2),
        },
        "STN-128": {
            SMALL: replace(recipes.stn128_led(8), start=_resized_once(recipes.attention(), 4, 1)),
            LARGE: recipes.stn128_led(43),
        },
        **windows,
    }


def _resized(training: Training, sizes: dict[int, tuple[tuple, float]]) -> dict[int, Training]:
    return {budget: replace(training, stages=stages, fraction=share) for budget, (stages, share) in sizes.items()}


def _resized_once(training: Training, warm: int, stay: int) -> Training:
    return replace(training, stages=curricula.for_attention(warm, 1, stay))


def what_where(budget: int) -> tuple[Training, Callable[[Sequence[float]], Training]]:
    """Return the training of the What pathway, and that of Where given What's profile: half of a budget each.

    What is trained like that of the sliding-window searcher: on digits at 4 pixels from the centre of their frame.
    """
    epochs = round(budget / 2 / 5_500)
    near = Scene28(std=4.0, contrast=Scene128().contrast, noise=Scene128().noise)
    what = Training(
        "lenet", (curriculum.decaying(near, epochs, 0.001),), {"grey": GREY}, batch=50, fraction=0.1, **recipes.ADAMW
    )
    return what, lambda profile: pathways.where_training(profile, Scene128().noise, epochs, fraction=0.1)


def images(training: Training) -> int:
    """Return the training images of a training and of all that it goes on from."""
    return training.images(DIGITS) + (images(training.start) if training.start else 0)


def candidates(name: str, budget: int) -> list[Training]:
    """Return the trainings of a system that stand for a budget: the one made for it; then its own of `systems`, if it
    is within the budget and used at least `LEAST` of it."""
    own = SYSTEMS[name].training
    return [trainings()[name][budget], *([own] if LEAST * budget <= images(own) <= budget else [])]


def card_trainings() -> list[tuple[str, list[Training], float]]:
    """Return what to train on a GPU: name, three seeds of a training, worth; a start before what goes on from it. Of
    the What/Where model What alone: Where waits for its profile."""
    by_name = trainings() | {"What pathway": {budget: what_where(budget)[0] for budget in BUDGETS}}
    lines = []
    for budget, worth in zip(BUDGETS, WORTH, strict=True):
        for k, (name, each) in enumerate(by_name.items()):
            line, training = f"{name}, {budget:,} images", each[budget]
            if training.start is not None:
                lines.append((f"{line}: start", beyond.seeds(training.start), worth - k / 10 + 0.05))
            lines.append((line, beyond.seeds(training), worth - k / 10))
    return lines
