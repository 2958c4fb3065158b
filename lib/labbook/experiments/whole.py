"""The schedules of 2021, whole, by network: what a GPU is checked and timed with, and what shares are shares of.

All stimuli are frozen, as they were then: those of a digit are the same in every epoch of a stage.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Training
from ..study2021 import schedules
from . import pathways


@dataclass(frozen=True)
class Schedule:
    """A training of 2021: `study`, the section that tells of it; `rate`, the images per second that one data-centre GPU
    should train; `needs`, names of schedules whose runs are needed to measure it; `retina`, that it looks through."""

    training: Training
    study: str
    rate: float
    needs: tuple[str, ...] = ()
    retina: str | None = None

    @property
    def edge(self) -> int:
        """Edge of its images, pixels."""
        return self.training.stages[-1].scene.edge


SCHEDULES: dict[str, Schedule] = {
    "stn128": Schedule(Training("stn128", schedules.week5(draws="frozen")), "3.6", 40_000),
    "atn": Schedule(Training("atn", schedules.week6(draws="frozen")), "3.7", 60_000),
    "polo": Schedule(Training("polo", schedules.week7(draws="frozen")), "3.8", 120_000, retina="polo768"),
    "stn28": Schedule(Training("stn28", schedules.week2(draws="frozen")), "3.1", 110_000),
    "conv_polo": Schedule(Training("conv_polo", schedules.week8(draws="frozen")), "3.9", 90_000, retina="polo2560band"),
    "what": Schedule(pathways.what_training(0.75), "3.4", 140_000),
    "where": Schedule(
        pathways.where_training_of_2020((), "2020-07"), "1.6", 100_000, needs=("what",), retina="whatwhere"
    ),  # trained, as in 2020, on the accuracy map that was published with the model
}
