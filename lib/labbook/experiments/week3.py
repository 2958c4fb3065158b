"""Week 3: from 28x28 to 128x128 pixels, with digits at the centre.

cost        the first network: 25 epochs, 1.4 million images of 128x128 pixels a seed; without a dense layer 1.3 million
score       97.8 % and 97.3 % at the centre in 2021
command     papermill notebooks/week3_growing.ipynb out.ipynb
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from .. import evaluation
from ..classifiers import feature_map_edge
from ..config import Training
from ..curriculum import growing
from ..digits import Digits
from ..stimuli import FIELD, Scene128
from ..study2021 import facts
from . import week1, week2
from .claim import experiment
from .measure import best, end
from .recipes import STEPPING_STONES
from .rule import (
    BEYOND,
    CONFIRMED,
    ONE,
    OPEN,
    PARTLY,
    REFUTED,
    Rule,
    Values,
    higher,
    learn,
    not_higher,
    number,
    reach,
    rule,
    same,
)
from .week2 import BETTER

CLEAR = Scene128(contrast=(0.7, 0.7), draws="frozen")  # of 2021's kind, contrast 70 %; std 40 px unless replaced
MUCH_BETTER = 0.03  # half of what 2021 had, or less: 6.0 points general, 3.9 central
WORKS_BY = 10  # epochs, C20
FIRST, ONE_LESS = facts.ends("stn128_first")[0], facts.ends("stn128_one_dense_less")[0]


def centred(name: str, epochs: int, lr: float = 0.01, **settings) -> Training:
    """Return a training of a network of `STEPPING_STONES` on digits at the centre."""
    return Training("stn128", growing([0], epochs, lr, CLEAR), options=STEPPING_STONES[name], **settings)


def trainings() -> dict[str, Training]:
    """Return the trainings of the week's claims by name, seed 0."""
    return {
        "STN-28 without biases, Adam 0.005": Training(
            "stn28", growing(range(16), 5, 0.005, week1.BOLD), options={"bias": False}, optimiser="adam"
        ),
        "STN-128, first network, centred": centred("first", 25),
        "STN-128, one dense layer less, centred": centred("one dense layer less", 24),
    }


def last_map(convs: Sequence[nn.Conv2d]) -> str:
    """Return, as text, the channels and the edge of the last feature map, and the receptive field of its units, for
    convolutions of a field of 128 pixels with pooling after each."""
    field, step = 1, 1
    for conv in convs:
        field, step = field + conv.kernel_size[0] * step, 2 * step
    edge = feature_map_edge(FIELD, convs)
    return f"{convs[-1].out_channels} @ {edge} × {edge}, {field} px"


def enlarged(model: nn.Module, digits: Digits, scene: Scene128, widths: Sequence[float], n: int) -> list[float]:
    """Return the accuracy of a network on the first `n` digits with windows of several widths around the middle."""
    found = []
    for width in widths:
        theta = width * torch.eye(2, 3)
        model.localise = lambda image, theta=theta: theta.expand(len(image), 2, 3).to(image)
        found.append(evaluation.accuracy(model, digits, scene, n).value)
    return found


OWN = trainings()


def much_better(ours: Values, theirs: Values) -> str:
    """Confirmed: higher by `MUCH_BETTER`; partly: higher by `BETTER`; refuted: lower, or no gain of `BETTER`."""
    much = higher(ours, theirs, MUCH_BETTER)
    if much != OPEN:
        return much
    if not_higher(ours, theirs, BETTER) == CONFIRMED:
        return REFUTED
    return PARTLY if higher(ours, theirs, BETTER) == CONFIRMED else OPEN


def _much_better(gain: Rule) -> Rule:
    """Return the rule that a gain is large."""
    words = gain.yes.partition(" by ")[0]
    yes = f"{words} by {number(MUCH_BETTER, 'points')} and {BEYOND}"
    no = f"it is below, or no gain of {number(BETTER, 'points')}; partly where the gain is smaller"
    return rule(much_better, yes, no, **gain.measured)


CLAIMS = (
    experiment(
        "C18",
        OWN["STN-28 without biases, Adam 0.005"],
        same(),
        reading="no code is left; the schedule of week 1 at Adam 0.005, contrast 70 %",
    ),
    experiment(
        "C19",
        {"sgd": week2.SGD, "adam": week2.ADAM},
        *map(_much_better, week2.SGD_IS_BETTER),
        tell=week2.TELL_ACCURACIES,
    ),
    experiment(
        "C20",
        OWN["STN-128, first network, centred"],
        learn(f"best of {WORKS_BY} epochs", best=partial(best, epochs=WORKS_BY)),
        reading=f"the first {WORKS_BY} epochs of the run of C21",
    ),
    experiment(
        "C21", OWN["STN-128, first network, centred"], reach(ONE, last=(end, FIRST)), tell="{last:%} after 25 epochs"
    ),
    experiment(
        "C22",
        OWN["STN-128, one dense layer less, centred"],
        reach(ONE, last=(end, ONE_LESS)),
        tell="{last:%} after 24 epochs",
    ),
)
