"""Steps of a training, one at a call, for measurements."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .. import training
from ..config import Training
from ..digits import DigitSets
from ..runtime.engine import ENGINE, Engine, is_gpu


def stepper(
    config: Training,
    sets: DigitSets,
    device: torch.device | str = "cpu",
    engine: Engine = ENGINE,
    say: Callable[[str], None] | None = None,
) -> Callable[[], object]:
    """Return a function that does one step of the training's last stage at each call, for ever: for measurements. Its
    attribute `run` is what it goes on with.

    Frozen stimuli are painted first on a GPU, and drawn in each step on a CPU.
    """
    run = training._Run(config, sets.to(device), device, None, engine, say)
    if not is_gpu(device):
        run._album = lambda stage: None
    run.stage = len(config.stages) - 1

    def step() -> object:
        with run.at_work():
            if run.opened is None:
                run.open()
            elif run.step == run.steps:  # the same digits again: what was captured stays
                run.step = 0
                run.at.zero_()
            return run._step()

    step.run = run
    return step
