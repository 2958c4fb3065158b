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
from .claim import (
    CONFIRMED,
    OPEN,
    PARTLY,
    REFUTED,
    Claim,
    Values,
    best,
    both,
    end,
    higher,
    learning,
    not_higher,
    reaches,
    says_reaches,
)
from .recipes import STEPPING_STONES
from .week2 import BETTER

CLEAR = Scene128(contrast=(0.7, 0.7), draws="frozen")  # of 2021's kind, contrast 70 %; std 40 px unless replaced
MUCH_BETTER = 0.03  # half of what 2021 had, or less: 6.0 points general, 3.9 central
WORKS_BY = 10  # epochs, C20
ONE = 1  # seed that confirms that STN-128 can be trained so; three are needed to refute it
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


def _c19(general: Values, central: Values, adam_general: Values, adam_central: Values) -> str:
    return both(much_better(general, adam_general), much_better(central, adam_central))


def _c21(last: Values) -> str:
    return reaches(last, FIRST, ONE)


def _c22(last: Values) -> str:
    return reaches(last, ONE_LESS, ONE)


CLAIMS = (
    week2.same(
        "C18",
        OWN["STN-28 without biases, Adam 0.005"],
        False,
        "no code is left; the schedule of week 1 at Adam 0.005, contrast 70 %",
    ),
    Claim(
        "C19",
        _c19,
        f"Confirmed if SGD is above Adam by {100 * MUCH_BETTER:g} points and by two standard errors over seeds, "
        f"general and central, at contrast 70 %; partly if by {100 * BETTER:g}; refuted if it is below, or no gain of "
        f"{100 * BETTER:g} point",
        week2.TELL_ACCURACIES,
        {"sgd": week2.SGD, "adam": week2.ADAM},
        week2.BOTH_ACCURACIES,
    ),
    learning(
        "C20",
        OWN["STN-128, first network, centred"],
        True,
        f"best of {WORKS_BY} epochs",
        f"Within {WORKS_BY} epochs",
        f"the first {WORKS_BY} epochs of the run of C21",
        partial(best, epochs=WORKS_BY),
    ),
    Claim(
        "C21",
        _c21,
        says_reaches(FIRST, enough=ONE),
        "{last:%} after 25 epochs",
        {"run": OWN["STN-128, first network, centred"]},
        {"last": ("run", end)},
    ),
    Claim(
        "C22",
        _c22,
        says_reaches(ONE_LESS, enough=ONE),
        "{last:%} after 24 epochs",
        {"run": OWN["STN-128, one dense layer less, centred"]},
        {"last": ("run", end)},
    ),
)
