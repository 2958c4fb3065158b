"""A training under way: done piece by piece, timed, watched for NaN and infinity, and kept in a checkpoint.

What a step does, and what an epoch begins and ends with, is in `training`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import Training
from . import checkpoint as checkpoints
from . import engine as engines
from . import layers
from .engine import Engine, is_gpu
from .machine import keep_memory, machine

GUARD_EVERY = 50  # steps between looks for NaN and infinity on a CPU; a GPU would have to be waited for: once an epoch


class Diverged(RuntimeError):
    """NaN or infinity appeared: says in what, where, and which checkpoint is the last good one."""


class Paused(Exception):
    """The time was up: the state is in the checkpoint, and the same training goes on from it."""


class OngoingTraining:
    """How a run advances; a subclass says what it does: `open` and `_record` for an epoch, `_step`.

    What changes from step to step lies in tensors that stay in place, so that a step can be captured (see `engine`).
    The state that a checkpoint keeps: model, averaged, optimiser; stage, epoch, step; loss, seconds, history, machines.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    steps: int  # in an epoch

    def __init__(
        self,
        training: Training,
        device: torch.device | str,
        checkpoint: Path | None,
        engine: Engine,
        say: Callable[[str], None] | None,
    ):
        keep_memory()
        self.training, self.device, self.checkpoint = training, device, checkpoint
        self.engine, self.say = engine, say or (lambda line: None)
        self.form = engine.form_of(training.model, device)
        self.stage = self.epoch = self.step = 0
        self.opened: tuple[int, int] | None = None  # the stage and epoch that are laid out
        self.loss = torch.zeros((), dtype=torch.float64, device=device)  # sum over the epoch's steps so far
        self.history: list[dict] = []
        self.seconds = 0.0
        self.saved = self.since = time.monotonic()

    def placed(self, model: nn.Module) -> nn.Module:
        """Return a model on the device, in the form and the precision in which it is trained."""
        model = model.to(self.device).train()
        if self.form != layers.PLAIN:
            layers.laid_out(model, self.form)
        if self.training.precision == "bfloat16":
            engines.in_bfloat16(model)
        return model

    def take_lane(self) -> None:
        """Choose where the work is queued, now that the model is there."""
        if self.engine.compiled:
            engines.compiled(self.model)
        self.generators = {name: torch.Generator(self.device) for name in ("stimuli", "glimpses")}
        self.draws = engines.draws(self.model)
        self.loop = engines.Loop(self.training.model, self.device, self.draws, self.generators, self.engine, self.say)
        self.lane = self.loop.lane
        with self.at_work():
            self.machines = [machine(self.device)]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """What is done within is computed as this run wants it, and queued in its lane."""
        precision, deterministic = self.training.precision, self.engine.deterministic
        with engines.arithmetic(precision, self.form, deterministic), self.lane.work():
            yield

    @property
    def threads(self) -> int:
        """The number of threads that the training began with."""
        return self.machines[0]["threads"]

    def rates_in_place(self, optimiser: torch.optim.Optimizer) -> None:
        """Keep learning rates in tensors, where a captured step finds them."""
        for group in optimiser.param_groups if self.lane.capable else ():
            group["lr"] = torch.ones((), device=self.device)

    def advance(self, every: float, until: float = math.inf) -> bool:
        """Do some steps, none beyond the end of an epoch, which is then recorded; return whether any were left.

        Args:
            every: seconds between two checkpoints. until: when to stop (`time.monotonic()`), after a step at least.
        """
        if self.stage == len(self.training.stages):
            return False
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        with self.at_work():
            if self.opened != (self.stage, self.epoch):
                self.open()
                self.since = time.monotonic()
            if not self.lane.capable:
                self.since = time.monotonic()
            for _ in range(min(engines.PIECE, self.steps - self.step)):
                theta = self._step()
                if self.step == self.steps or not (is_gpu(self.device) or self.step % GUARD_EVERY):
                    self._guard(theta)
                if self.checkpoint and time.monotonic() > min(self.saved + every, until):
                    self._guard(theta)
                    self._clock()
                    self.save()
                    self.saved = self.since = time.monotonic()
                    if self.saved > until:
                        raise Paused(self._place())
            if not self.lane.capable or self.step == self.steps:
                self._clock()
            if self.step == self.steps:
                self._record()
            self.lane.mark()
        return True

    def _clock(self) -> None:
        """Add to the seconds of the epoch: in turns on a CPU, as they pass on a GPU, which works on between turns."""
        now = time.monotonic()
        self.seconds, self.since = self.seconds + now - self.since, now

    def _guard(self, theta: Tensor | None) -> None:
        """Stop at NaN or infinity; waits for the device once."""
        stage = self.training.stages[self.stage]
        looked_at = {"loss": [self.loss], "theta": [] if theta is None else [theta], "weights": self.model.parameters()}
        finite = [(name, torch.isfinite(tensor).all()) for name, tensors in looked_at.items() for tensor in tensors]
        good = torch.stack([each for _, each in finite]).tolist()
        bad = dict.fromkeys(name for (name, _), fine in zip(finite, good, strict=True) if not fine)
        if bad:
            kept = self.checkpoint if self.checkpoint and self.checkpoint.exists() else "none was written"
            raise Diverged(
                f"NaN or infinity in {' and '.join(bad)} at stage {self.stage} ({stage.scene}), epoch {self.epoch}, "
                f"step {self.step}, learning rate {stage.lr_at(self.epoch):g}; last good checkpoint: {kept}."
            )

    def _place(self) -> str:
        """Return how far the run is."""
        stages, stage = len(self.training.stages), self.training.stages[self.stage]
        return f"stage {self.stage + 1} of {stages}, epoch {self.epoch + 1} of {stage.epochs}, step {self.step}"

    def save(self) -> None:
        """Write the state to the checkpoint."""
        checkpoints.save(self)

    def load(self) -> None:
        """Take up the state of the checkpoint; say if the bits will not be those of an uninterrupted training."""
        checkpoints.load(self)
