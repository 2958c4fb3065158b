"""The training loop: a configuration and a seed determine every step, so a killed run resumes to the same bits.

Each step draws its stimuli from a generator seeded by (seed, stage, epoch, step): nothing but weights, optimiser state
and position has to survive. Read `_Run`: `open` begins an epoch, `_work` is a step, `_record` ends an epoch. What lets
it go on for hours (checkpoints, a look for NaN, the clock) is in `runtime.run`; how a device computes the steps, in
`runtime.engine`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from . import evaluation, models, rng, score_function, transformers
from .config import OPTIMISERS, Training
from .curriculum import Stage
from .digits import DigitSets
from .errors import ConfigurationError
from .losses import LOSSES
from .runtime import cached
from .runtime import engine as engines
from .runtime.engine import ENGINE, Engine, is_gpu
from .runtime.machine import free_memory, threads_restored
from .runtime.run import Diverged, OngoingTraining, Paused
from .stimuli import CachedStimuli, Stimuli, StimulusConfig, draw

KEPT = 1 << 29  # bytes of fixed stimuli of one kind that a run keeps between epochs
LOCALISING = ("localisation.", "where.")  # parameters of what decides where to look


@dataclass
class Outcome:
    """A finished run: the model in evaluation mode, one record per epoch (see `_Run._record`), and the machines that it
    was trained on: more than one if it was continued where other bits come out."""

    model: nn.Module
    history: list[dict]
    machines: list[dict] = field(default_factory=list)


# What ends one of several trainings, and not the others.
STOPPED = (Diverged, Paused, ConfigurationError, torch.OutOfMemoryError)


def train(
    training: Training,
    sets: DigitSets,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    weights: Mapping[str, Tensor] | None = None,
    **options,
) -> Outcome:
    """Train from the start, or from `checkpoint` where it exists; who keeps the result removes it.

    Args:
        checkpoint: file for the state. The number of threads that the training began with is kept; where processor,
            device or PyTorch are others than then, a line says that the bits differ.
        weights: what a training with a `start` begins with: the state of that run's model.
        options: see `train_together`.

    Raises:
        Paused: the time was up.
        ConfigurationError: a checkpoint that is foreign, broken or of another format; a disk that is full.
        Diverged: NaN or infinity in loss, theta or weights.
    """
    (found,) = train_together([training], sets, device, [checkpoint], [weights], **options)
    if isinstance(found, Exception):
        raise found
    return found


def train_together(
    trainings: Sequence[Training],
    sets: DigitSets,
    device: torch.device | str = "cpu",
    checkpoints: Sequence[Path | None] | None = None,
    weights: Sequence[Mapping[str, Tensor] | None] | None = None,
    every: float = 30.0,
    say: Callable[[str], None] | None = None,
    until: float = math.inf,
    engine: Engine = ENGINE,
    at_once: int | None = None,
    done: Callable[[int, Outcome | Exception], None] | None = None,
) -> list[Outcome | Exception]:
    """Train several configurations side by side, each to the result that it has alone: small networks share a GPU.

    Args:
        checkpoints, weights: of each training, see `train`; default none.
        every: seconds between two checkpoints. say: receives one line per stage.
        until: when to stop (`time.monotonic()`), after a step at least; needs a checkpoint.
        engine: how it is computed; no part of what the run is.
        at_once: how many are under way at a time, the first ones first (default all).
        done: receives the place in `trainings` and the result of each that ends, at once.

    Returns:
        For each training its outcome, or what stopped it: `Diverged`, `Paused`, a refusal, or a GPU without memory.
    """
    count, sets = len(trainings), sets.to(device)

    def begun(training: Training, checkpoint: Path | None, weights: Mapping[str, Tensor] | None) -> _Run:
        if (training.start is None) != (weights is None):
            raise ConfigurationError("weights must be given if and only if the training has a start.")
        named = say and (lambda line: say(f"{training.model}, seed {training.seed}: {line}"))
        run = _Run(training, sets, device, checkpoint, engine, named if count > 1 else say)
        if weights is not None:
            run.begin(weights)
        if checkpoint and checkpoint.exists():
            run.load()
        return run

    columns = zip(trainings, checkpoints or [None] * count, weights or [None] * count, strict=True)
    begin = [partial(begun, *each) for each in columns]
    with torch.random.fork_rng(devices=[]), threads_restored():
        return engines.in_turns(
            begin, lambda run: None if run.advance(every, until) else run.outcome(), STOPPED, at_once, done
        )


class _Run(OngoingTraining):
    """A run of a configuration: its model, its stimuli, and what the current epoch has summed up."""

    def __init__(
        self,
        training: Training,
        sets: DigitSets,
        device: torch.device | str,
        checkpoint: Path | None,
        engine: Engine = ENGINE,
        say: Callable[[str], None] | None = None,
    ):
        if training.data != sets.name:
            raise ConfigurationError(
                f"data={training.data!r} is what this training asks for, but it was given {sets.name!r}."
            )
        super().__init__(training, device, checkpoint, engine, say)
        self.sets = sets
        self.model = self.placed(
            models.build(training.model, rng.generator("weights", training.seed), **training.options)
        )
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not name.startswith(LOCALISING) or training.localisation_rate > 0)
        self.averaged = AveragedModel(self.model, device) if training.ema_decay else None
        self.averages = 0  # steps that the average is of
        self.take_lane()
        self.optimiser = self._optimiser()
        self.steps = training.steps(len(sets.train))
        self.order = torch.zeros(self.steps, training.batch, dtype=torch.int64, device=device)  # digits, step by step
        self.at = torch.zeros(1, dtype=torch.int64, device=device)  # the step, as the device counts it
        self.cached: CachedStimuli | None = None  # the stage's stimuli, where they are the same each time
        self.n_validation = min(len(sets.validation), max(25, self.steps * training.batch // 10))
        self.widest = replace(training.stages[-1].scene, draws="fresh", texture="cloud")
        self.tests: dict[tuple, Stimuli] = {}  # fixed stimuli, where there is room for them

    @property
    def kept(self) -> nn.Module:
        """The model that is evaluated and handed out: the average where there is one."""
        return self.averaged.module if self.averaged else self.model

    def begin(self, weights: Mapping[str, Tensor]) -> None:
        """Take over the weights of the run that this one starts from.

        Raises:
            ConfigurationError: that run's model has other options, hence other weights.
        """
        own, start, part = self.model.state_dict(), self.training.start, self.training.start_with
        if part == "localisation":
            weights = transformers.localisation_for(self.model, models.build(start.model, **start.options), weights)
        if part == "teacher":
            weights = own | {f"{self.model.teacher}.{name}": value for name, value in weights.items()}
        elif part != "all":
            taken = {name for name in weights if name.startswith(LOCALISING) == (part == "localisation")}
            weights = own | {name: weights[name] for name in taken}
        if {name: value.shape for name, value in weights.items()} != {name: value.shape for name, value in own.items()}:
            raise ConfigurationError(f"start: a {self.training.model!r} with other options has other weights.")
        self.model.load_state_dict(weights)

    def _optimiser(self) -> torch.optim.Optimizer:
        """Return a new optimiser, its learning rates not yet set."""
        training = self.training
        where = [p for name, p in self.model.named_parameters() if name.startswith(LOCALISING)]
        what = [p for name, p in self.model.named_parameters() if not name.startswith(LOCALISING)]
        groups = [{"params": what, "rate": 1.0}, {"params": where, "rate": training.localisation_rate}]
        extra = {"momentum": training.momentum} if training.optimiser == "sgd" else {}
        if self.lane.capable:
            extra |= engines.static(training.optimiser)
        optimiser = OPTIMISERS[training.optimiser](
            [group for group in groups if group["params"]], lr=1.0, weight_decay=training.weight_decay, **extra
        )
        self.rates_in_place(optimiser)
        return optimiser

    # ---- epochs ----

    def outcome(self) -> Outcome:
        """Return what the finished run gives."""
        return Outcome(self.kept.eval(), self.history, self.machines)

    def open(self) -> None:
        """Lay out an epoch: learning rates, stimuli, digits in order."""
        training, stage = self.training, self.training.stages[self.stage]
        if self.opened is None:
            engines.settle(self.device)  # weights and states were laid out in another lane
        if self.epoch == self.step == 0 and training.reset_optimiser:
            self.optimiser = self._optimiser()
        if self.opened is None or self.opened[0] != self.stage:
            self.loop.renew()
            self.tests = {key: made for key, made in self.tests.items() if key == (self.widest, 0)}
        for group in self.optimiser.param_groups:
            rate = stage.lr_at(self.epoch) * group["rate"]
            group["lr"] = group["lr"].fill_(rate) if self.lane.capable else rate
        if self.cached is None or self.cached.scene != stage.scene:
            self.cached = None  # its memory is free before another is asked for
            self.cached = self._cached(stage)
        self.order.copy_(self._order().view_as(self.order))
        self.at.fill_(self.step)
        self.opened = self.stage, self.epoch

    def _cached(self, stage: Stage) -> CachedStimuli | None:
        """Return the stimuli of a stage, drawn once, if each is shown twice or more and memory is plentiful."""
        n, images = self.training.drawn_from(len(self.sets.train)), self.steps * self.training.batch
        if stage.scene.draws != "frozen" or stage.epochs * images < 2 * n:
            return None
        return cached.frozen_stimuli(self.sets.train, n, stage.scene, self.device, self.lane, self.say)

    def _order(self) -> Tensor:
        """Return the digits of this epoch, in order (steps * batch,), on the CPU."""
        generator = rng.generator("order", self.training.seed, self.stage, self.epoch)
        n, needed = self.training.drawn_from(len(self.sets.train)), self.steps * self.training.batch
        order = torch.randperm(n, generator=generator)
        return order.repeat(math.ceil(needed / n))[:needed]

    def _record(self) -> None:
        """Close the epoch: evaluate on the stage's stimuli and on the fixed ones, move on.

        A record: stage, epoch, lr, images (seen in this epoch), loss (mean), accuracy (on the stage's distribution),
        fixed_accuracy (on the last stage's distribution, always the same stimuli), theta (see
        `evaluation.ThetaStatistics`; None without a transformer), seconds; where weights are averaged, last_weights
        (fixed_accuracy of those that are not). Accuracies are of held-out training digits, 0 to 1.
        """
        stage = self.training.stages[self.stage]
        here = self._tested(self.kept, stage.scene, seed=self.stage)
        fixed = {"fixed_accuracy": self.kept} | ({"last_weights": self.model} if self.averaged else {})
        theta = None if here.theta is None else evaluation.theta_statistics(here.theta, here.offsets).record()
        self.history.append(
            {
                "stage": self.stage,
                "epoch": self.epoch,
                "lr": stage.lr_at(self.epoch),
                "images": self.steps * self.training.batch,
                "loss": self.loss.item() / self.steps,
                "accuracy": here.accuracy.value,
                **{key: self._tested(each, self.widest).accuracy.value for key, each in fixed.items()},
                "theta": theta,
                "seconds": round(self.seconds, 2),
            }
        )
        self.loss.zero_()
        self.seconds, self.step = 0.0, 0
        self.epoch += 1
        if self.epoch == stage.epochs:
            self.stage, self.epoch = self.stage + 1, 0
            self.say(self._line(self.stage - 1))

    def _tested(self, model: nn.Module, scene: StimulusConfig, seed: int = 0) -> evaluation.Predictions:
        """Return predictions for fixed stimuli of held-out digits, which are kept where they take little room."""
        key, n = (scene, seed), self.n_validation
        room = min(KEPT if is_gpu(self.device) else KEPT / 8, free_memory(self.device) / 10)
        if key not in self.tests and 4 * n * scene.edge**2 > room:
            return evaluation.predictions(model, self.sets.validation, scene, n, seed)
        if key not in self.tests:
            self.tests[key] = evaluation.fixed_stimuli(self.sets.validation, scene, n, seed)
        return evaluation.predict(model, self.tests[key])

    def _line(self, stage: int) -> str:
        """Return a line that sums up a finished stage."""
        epochs = [record for record in self.history if record["stage"] == stage]
        last = epochs[-1]
        spread = f", theta spread {max(last['theta']['spread']):.3f}" if last["theta"] else ""
        return (
            f"stage {stage + 1}/{len(self.training.stages)}, std {self.training.stages[stage].scene.std:g} px: "
            f"loss {last['loss']:.3f}, accuracy {last['accuracy']:.1%} (fixed {last['fixed_accuracy']:.1%}){spread}, "
            f"{sum(record['seconds'] for record in epochs):.0f} s"
        )

    # ---- steps ----

    def _step(self) -> Tensor | None:
        """Do one step; return its theta."""
        key = (self.training.seed, self.stage, self.epoch, self.step)  # all that is drawn is a function of it
        if not self.loop.captured or self.draws:
            engines.seed_global(self.device, rng.seed_of("dropout", *key))
        used = [] if self.cached else ["stimuli"]
        if self.training.stages[self.stage].perturbation_std:
            used.append("glimpses")
        for name in used:
            self.generators[name].manual_seed(rng.seed_of(name, *key))
        theta = self.loop(self._work, used)
        self.averages += bool(self.averaged)
        self.step += 1
        return theta

    def _work(self) -> Tensor | None:
        """Do what a device does in a step: stimuli, loss, gradient, update."""
        training, stage = self.training, self.training.stages[self.stage]
        rows = self.order.index_select(0, self.at)[0]
        if self.cached:
            stimuli = self.cached(rows)
        else:
            stimuli = draw(self.sets.train, rows, stage.scene, self.generators["stimuli"])
        if stage.perturbation_std:
            n, std, generator = training.n_perturbations, stage.perturbation_std, self.generators["glimpses"]
            loss, theta = score_function.loss(self.model, stimuli, n, std, generator)
        else:
            output = self.model(stimuli.images)
            loss, theta = LOSSES[training.loss](output, stimuli), output.theta
        self.optimiser.zero_grad()
        loss.backward()
        if self.lane.capable:
            engines.align(list(self.model.parameters()))
        self.optimiser.step()
        if self.averaged:
            self._average()
        self.loss += loss.detach()
        self.at += 1
        return None if theta is None else theta.detach()

    @torch.no_grad()
    def _average(self) -> None:
        """Bring the running average up to date, as PyTorch's `AveragedModel` does; the first step begins it."""
        mine, theirs = list(self.averaged.module.parameters()), list(self.model.parameters())
        if self.averages == 0:
            torch._foreach_copy_(mine, theirs)
        else:
            torch._foreach_lerp_(mine, theirs, 1 - self.training.ema_decay)
        for kept, buffer in zip(self.averaged.module.buffers(), self.model.buffers(), strict=True):
            kept.copy_(buffer)
        self.averaged.n_averaged += 1
