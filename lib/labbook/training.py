"""The training loop: a configuration and a seed determine every step, so a killed run resumes to the same bits.

Each step draws its stimuli from a generator seeded by (seed, stage, epoch, step): nothing but weights, optimiser state
and position has to survive. Read `_Run` from `advance` on: `open` begins an epoch, `_work` is a step, `_record` ends an
epoch, `save` and `load` are the checkpoint. How a device computes the steps is up to `engine`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from .runtime import albums, layers
from .runtime import checkpoint as checkpoints
from .runtime import engine as engines
from .runtime.engine import ENGINE, Engine, is_gpu
from .runtime.machine import free_memory, keep_memory, machine, threads_restored
from .stimuli import CachedStimuli, Stimuli, StimulusConfig, draw

KEPT = 1 << 29  # bytes of fixed stimuli of one kind that a run keeps between epochs
GUARD_EVERY = 50  # steps between looks for NaN and infinity on a CPU; a GPU would have to be waited for: once an epoch
LOCALISING = ("localisation.", "where.")  # parameters of what decides where to look


class Diverged(RuntimeError):
    """NaN or infinity appeared: says in what, where, and which checkpoint is the last good one."""


class Paused(Exception):
    """The time was up: the state is in the checkpoint, and the same training goes on from it."""


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
    columns = zip(trainings, checkpoints or [None] * count, weights or [None] * count, strict=True)
    begin = [partial(_begun, *each, sets, device, engine, say, count > 1) for each in columns]
    with torch.random.fork_rng(devices=[]), threads_restored():
        return engines.in_turns(begin, lambda run: run.advance(every, until), STOPPED, at_once, done)


def _begun(
    training: Training,
    checkpoint: Path | None,
    weights: Mapping[str, Tensor] | None,
    sets: DigitSets,
    device: torch.device | str,
    engine: Engine,
    say: Callable[[str], None] | None,
    named: bool,
) -> _Run:
    """Return a run that can advance; `named`: its lines name it."""
    if (training.start is None) != (weights is None):
        raise ConfigurationError("weights must be given if and only if the training has a start.")
    named_say = say and (lambda line: say(f"{training.model}, seed {training.seed}: {line}"))
    run = _Run(training, sets, device, checkpoint, engine, named_say if named else say)
    if weights is not None:
        run.begin(weights)
    if checkpoint and checkpoint.exists():
        run.load()
    return run


class _Run:
    """The state of a run: model, optimiser, position (stage, epoch, step), and what the current epoch has summed up.

    What changes from step to step lies in tensors that stay in place, so that a step can be captured (see `engine`).
    """

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
        keep_memory()
        self.training, self.sets, self.device, self.checkpoint = training, sets, device, checkpoint
        self.engine, self.say = engine, say or (lambda line: None)
        self.form = engine.form_of(training.model, device)
        weights = rng.generator("weights", training.seed)
        self.model = models.build(training.model, weights, **training.options).to(device).train()
        if self.form != layers.PLAIN:
            layers.laid_out(self.model, self.form)
        if training.precision == "bfloat16":
            engines.in_bfloat16(self.model)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not name.startswith(LOCALISING) or training.localisation_rate > 0)
        self.averaged = AveragedModel(self.model, device) if training.ema_decay else None
        self.averages = 0  # steps that the average is of
        if engine.compiled:
            engines.compiled(self.model)
        self.generators = {name: torch.Generator(device) for name in ("stimuli", "glimpses")}
        self.draws = engines.draws(self.model)
        self.loop = engines.Loop(training.model, device, self.draws, self.generators, engine, self.say)
        self.lane = self.loop.lane
        self.optimiser = self._optimiser()
        self.stage = self.epoch = self.step = 0
        self.loss = torch.zeros((), dtype=torch.float64, device=device)  # sum over the epoch's steps so far
        self.seconds = 0.0
        self.saved = self.since = time.monotonic()
        self.history: list[dict] = []
        with self.at_work():
            self.machines = [machine(device)]
        self.steps = training.steps(len(sets.train))
        self.guard_every = self.steps if is_gpu(device) else GUARD_EVERY
        self.n_validation = min(len(sets.validation), max(25, self.steps * training.batch // 10))
        self.widest = replace(training.stages[-1].scene, draws="fresh", texture="cloud")
        self.album: CachedStimuli | None = None
        self.tests: dict[tuple, Stimuli] = {}  # fixed stimuli, where there is room for them
        self.opened: tuple[int, int] | None = None  # the stage and epoch that are laid out
        self.order = torch.zeros(self.steps, training.batch, dtype=torch.int64, device=device)  # digits, step by step
        self.at = torch.zeros(1, dtype=torch.int64, device=device)  # the step, as the device counts it

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

    def rates_in_place(self, optimiser: torch.optim.Optimizer) -> None:
        """Keep learning rates in tensors, where a captured step finds them."""
        for group in optimiser.param_groups if self.lane.capable else ():
            group["lr"] = torch.ones((), device=self.device)

    # ---- epochs ----

    def advance(self, every: float, until: float = math.inf) -> Outcome | None:
        """Do some steps, none beyond the end of an epoch, which is then recorded; return the outcome of the last."""
        if self.stage == len(self.training.stages):
            return Outcome(self.kept.eval(), self.history, self.machines)
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
                if self.step % self.guard_every == 0 or self.step == self.steps:
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
        return None

    def _clock(self) -> None:
        """Add to the seconds of the epoch: in turns on a CPU, as they pass on a GPU, which works on between turns."""
        now = time.monotonic()
        self.seconds, self.since = self.seconds + now - self.since, now

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
        if self.album is None or self.album.scene != stage.scene:
            self.album = None  # its memory is free before another is asked for
            self.album = self._album(stage)
        self.order.copy_(self._order().view_as(self.order))
        self.at.fill_(self.step)
        self.opened = self.stage, self.epoch

    def _album(self, stage: Stage) -> CachedStimuli | None:
        """Return the stimuli of a stage, painted once, if each is shown twice or more and memory is plentiful."""
        n, images = self.training.drawn_from(len(self.sets.train)), self.steps * self.training.batch
        if stage.scene.draws != "frozen" or stage.epochs * images < 2 * n:
            return None
        return albums.painted(self.sets.train, n, stage.scene, self.device, self.lane, self.say)

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

    # ---- steps ----

    def _step(self) -> Tensor | None:
        """Do one step; return its theta."""
        key = (self.training.seed, self.stage, self.epoch, self.step)  # all that is drawn is a function of it
        if not self.loop.captured or self.draws:
            engines.seed_global(self.device, rng.seed_of("dropout", *key))
        used = [] if self.album else ["stimuli"]
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
        if self.album:
            stimuli = self.album(rows)
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

    # ---- in words ----

    def _place(self) -> str:
        """Return how far the run is."""
        stages, stage = len(self.training.stages), self.training.stages[self.stage]
        return f"stage {self.stage + 1} of {stages}, epoch {self.epoch + 1} of {stage.epochs}, step {self.step}"

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

    # ---- checkpoint ----

    def save(self) -> None:
        """Write the state to the checkpoint."""
        checkpoints.save(self)

    def load(self) -> None:
        """Take up the state of the checkpoint; say if the bits will not be those of an uninterrupted training."""
        checkpoints.load(self)
