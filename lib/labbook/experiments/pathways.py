"""Trainings of the two pathways of the What/Where model: those of 2020, and ours (week 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .. import curriculum, evaluation
from ..config import Training
from ..errors import choose
from ..stimuli import Scene128
from ..study2021 import schedules


def what_training(noise: float) -> Training:
    """Return the training of the generic What pathway (study 3.4): LeNet, Adam 0.005, std 0 to 15 px, 5 epochs each."""
    return Training("lenet", schedules.week2(lr=0.005, epochs=5, noise=noise, draws="frozen"), optimiser="adam")


@dataclass(frozen=True)
class Parameters:
    """A set of parameters of the Where pathway (study 1.6)."""

    noise: float
    contrast: tuple[float, float]
    offset_max: float  # pixels
    lr: float
    batch_norm: bool
    dropout: float


PARAMETERS = {
    "2020-07": Parameters(0.75, (0.7, 0.7), 34, 5e-3, True, 0.0),  # set A, the file that the internship loaded
    "paper": Parameters(1.0, (0.7, 0.7), 40, 1e-4, False, 0.5),  # set B, one network for each contrast
}


def where_training_of_2020(accuracy: Sequence[float], which: str = "paper", contrast: float | None = None) -> Training:
    """Return the training of 2020, 60 epochs of frozen stimuli, by one of the two sets of parameters.

    Args:
        accuracy: profile of the What pathway. contrast: of the stimuli, instead of the set's.
    """
    them = PARAMETERS[choose("parameters", which, PARAMETERS)]
    scene = Scene128(std=30.0, offset_max=them.offset_max, contrast=them.contrast, noise=them.noise, draws="frozen")
    if contrast is not None:
        scene = evaluation.fixed_contrast(scene, contrast)
    options = {"accuracy": tuple(accuracy), "batch_norm": them.batch_norm, "dropout": them.dropout}
    return Training("where", (curriculum.Stage(scene, 60, them.lr),), options, optimiser="adam", loss="collicular")


def where_training(
    accuracy: Sequence[float], noise: float, epochs: int = 12, lr: float = 1e-3, fraction: float = 1.0
) -> Training:
    """Return our training: fresh stimuli of all contrasts, standardised features, a learning rate that falls to a
    twentieth.

    Args:
        accuracy: profile of the What pathway. epochs: 12 here, 60 in 2020. fraction: of the digits, in each epoch.
    """
    scene = Scene128(std=30.0, noise=noise)
    stage = curriculum.decaying(scene, epochs, lr)
    options = {"accuracy": tuple(accuracy), "standard": True}
    return Training("where", (stage,), options, optimiser="adam", loss="collicular", fraction=fraction)
