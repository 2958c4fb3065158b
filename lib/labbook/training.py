"""The training loop: a configuration and a seed determine every step, so a killed run resumes to the same bits.

Each step draws its stimuli from a generator seeded by (seed, stage, epoch, step): nothing but weights, optimiser state
and position has to survive.
"""

from __future__ import annotations

import ctypes
import io
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from . import classifiers, evaluation, evidence, files, foveal, models, rng, score_function, searcher, transformers
from . import stimuli as scenes
from .config import Training
from .curriculum import Stage
from .digits import DigitSets
from .errors import ConfigurationError
from .machine import differences, machine, threads_restored
from .where import collicular

CHECKPOINT = 1  # format of the checkpoint file
GUARD_EVERY = 50  # steps between looks for NaN and infinity on a CPU; a GPU would have to be waited for: once an epoch
LOCALISING = ("localisation.", "where.")  # parameters of what decides where to look

OPTIMISERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def _position(seen: classifiers.TransformerOutput, stimuli: scenes.Stimuli) -> Tensor:
    """Return the distance of the window's centre from the digit's along both axes, Huber's loss in units of 10 px."""
    if seen.theta is None:  # a perfect fixation
        return torch.zeros((), device=seen.logits.device)
    centre = scenes.fixations(seen.theta, stimuli.images.shape[-1])  # (B, 2)
    return F.smooth_l1_loss(centre / 10, stimuli.offsets / 10)


def _taught_position(
    seen: transformers.TaughtOutput | classifiers.TransformerOutput, stimuli: scenes.Stimuli
) -> Tensor:
    """Return the distance of the window's centre from the place that an evidence map finds, given the label, as in
    `_position`."""
    if not isinstance(seen, transformers.TaughtOutput):
        return torch.zeros((), device=seen.logits.device)
    place = evidence.given_label(seen.evidence, stimuli.labels, stimuli.images.shape[-1])
    return F.smooth_l1_loss(scenes.fixations(seen.theta, stimuli.images.shape[-1]) / 10, place / 10)


LOSSES: dict[str, Callable[[classifiers.TransformerOutput, scenes.Stimuli], Tensor]] = {
    "cross_entropy": lambda seen, stimuli: F.cross_entropy(seen.logits, stimuli.labels),
    "mean_squared": lambda seen, stimuli: F.mse_loss(
        seen.logits.softmax(1), F.one_hot(stimuli.labels, 10).to(torch.float32)
    ),
    # the control that is told where the digit is, beside what it is
    "cross_entropy and position": lambda seen, stimuli: (
        F.cross_entropy(seen.logits, stimuli.labels) + _position(seen, stimuli)
    ),
    "cross_entropy and evidence": lambda seen, stimuli: (
        F.cross_entropy(seen.logits, stimuli.labels) + _taught_position(seen, stimuli)
    ),
    "posterior of places": lambda seen, stimuli: foveal.loss(seen, stimuli.labels),
    "collicular": collicular,  # for a Where network, which is told where the digit is and not what
    "value of fixations": lambda seen, stimuli: searcher.loss(seen, stimuli.labels),
}


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


def train(
    training: Training,
    sets: DigitSets,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    every: float = 30.0,
    say: Callable[[str], None] | None = None,
    weights: Mapping[str, Tensor] | None = None,
    until: float = math.inf,
) -> Outcome:
    """Train from the start, or from `checkpoint` where it exists; who keeps the result removes it.

    Args:
        weights: what a training with a `start` begins with: the state of that run's model.
        checkpoint: file for the state, rewritten every `every` seconds. The number of threads that the training began
            with is kept; where processor, device or PyTorch are others than then, a line says that the bits differ.
        say: receives one line per stage.
        until: when to stop (`time.monotonic()`), after a step at least; needs a checkpoint.

    Raises:
        Paused: the time was up.
        ConfigurationError: a checkpoint that is foreign, broken or of another format; a disk that is full.
        Diverged: NaN or infinity in loss, theta or weights.
    """
    if (training.start is None) != (weights is None):
        raise ConfigurationError("weights must be given if and only if the training has a start.")
    run = _Run(training, sets.to(device), device, checkpoint)
    if weights is not None:
        run.begin(weights)
    if checkpoint and checkpoint.exists():
        run.load(say)
    with torch.random.fork_rng(devices=[]), threads_restored():
        torch.set_num_threads(run.threads)
        run.finish(every, say, until)
    return Outcome(run.kept.eval(), run.history, run.machines)


def stepper(training: Training, sets: DigitSets, device: torch.device | str = "cpu") -> Callable[[], object]:
    """Return a function that does one step of the training's last stage at each call, for ever: for measurements."""
    run, stage = _Run(training, sets.to(device), device, None), training.stages[-1]
    run.set_rate(stage)
    order = run._order()

    def step() -> object:
        run.step %= run.steps
        return run._step(stage, order)

    return step


def keep_memory() -> None:
    """Let this process keep the memory that it frees, if its C library is glibc: a CPU trains up to 1.5 times as fast.

    Otherwise every large tensor is handed back to the system and asked for again, page by page, at every step.
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: nothing is mapped on its own
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: as much as may stay free


def free_memory(device: torch.device | str) -> int:
    """Return the bytes that are free on a device; 0 where it does not tell."""
    kind = torch.device(device).type
    if kind == "cpu":
        return psutil.virtual_memory().available
    return torch.cuda.mem_get_info(device)[0] if kind == "cuda" else 0


class _Run:
    """The state of a run: model, optimiser, position (stage, epoch, step), and what the current epoch has summed up."""

    def __init__(self, training: Training, sets: DigitSets, device: torch.device | str, checkpoint: Path | None):
        if training.data != sets.name:
            raise ConfigurationError(
                f"data={training.data!r} is what this training asks for, but it was given {sets.name!r}."
            )
        keep_memory()
        self.training, self.sets, self.device, self.checkpoint = training, sets, device, checkpoint
        weights = rng.generator("weights", training.seed)
        self.model = models.build(training.model, weights, **training.options).to(device).train()
        if training.precision == "bfloat16":
            models.in_bfloat16(self.model)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not name.startswith(LOCALISING) or training.localisation_rate > 0)
        average = get_ema_multi_avg_fn(training.average)
        self.averaged = AveragedModel(self.model, multi_avg_fn=average) if training.average else None
        self.optimiser = self._optimiser()
        self.stage = self.epoch = self.step = 0
        self.loss = torch.zeros((), dtype=torch.float64, device=device)  # sum over the epoch's steps so far
        self.seconds = 0.0
        self.history: list[dict] = []
        self.machines = [machine(device)]
        self.steps = training.steps(len(sets.train))
        self.guard_every = GUARD_EVERY if torch.device(device).type == "cpu" else self.steps
        self.n_validation = min(len(sets.validation), max(25, self.steps * training.batch // 10))
        self.widest = replace(training.stages[-1].scene, draws="fresh", texture="cloud")
        self.album: scenes.Album | None = None

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
        training = self.training
        where = [p for name, p in self.model.named_parameters() if name.startswith(LOCALISING)]
        what = [p for name, p in self.model.named_parameters() if not name.startswith(LOCALISING)]
        groups = [{"params": what, "rate": 1.0}, {"params": where, "rate": training.localisation_rate}]
        extra = {"momentum": training.momentum} if training.optimiser == "sgd" else {}
        return OPTIMISERS[training.optimiser](
            [group for group in groups if group["params"]], lr=1.0, weight_decay=training.weight_decay, **extra
        )

    def set_rate(self, stage: Stage) -> None:
        """Give the optimiser the learning rates of this epoch of a stage."""
        for group in self.optimiser.param_groups:
            group["lr"] = stage.lr_at(self.epoch) * group["rate"]

    def finish(self, every: float, say: Callable[[str], None] | None, until: float = math.inf) -> None:
        """Run to the end, epoch by epoch."""
        saved = time.monotonic()
        while self.stage < len(self.training.stages):
            stage = self.training.stages[self.stage]
            if self.epoch == self.step == 0 and self.training.renew_optimiser:
                self.optimiser = self._optimiser()
            self.set_rate(stage)
            if self.album is None or self.album.scene != stage.scene:
                self.album = None  # its memory is free before another is asked for
                self.album = self._album(stage)
            order = self._order()
            began = time.monotonic()
            while self.step < self.steps:
                theta = self._step(stage, order)
                if self.step % self.guard_every == 0 or self.step == self.steps:
                    self._guard(stage, theta)
                if self.checkpoint and time.monotonic() > min(saved + every, until):
                    self._guard(stage, theta)
                    self.seconds += time.monotonic() - began
                    self.save()
                    saved = began = time.monotonic()
                    if saved > until:
                        raise Paused(self._place())
            self.seconds += time.monotonic() - began
            self._record(stage)
            if self.epoch == 0 and self.stage > 0 and say:
                say(self._line(self.stage - 1))

    def _order(self) -> Tensor:
        """Return the digits of this epoch, in order (steps * batch,)."""
        generator = rng.generator("order", self.training.seed, self.stage, self.epoch)
        n, needed = self.training.drawn_from(len(self.sets.train)), self.steps * self.training.batch
        order = torch.randperm(n, generator=generator)
        return order.repeat(math.ceil(needed / n))[:needed].to(self.device)

    def _album(self, stage: Stage) -> scenes.Album | None:
        """Return the stimuli of a stage, painted once, if each is seen twice or more and memory is plentiful."""
        n = self.training.drawn_from(len(self.sets.train))
        again = stage.epochs * self.steps * self.training.batch >= 2 * n
        if stage.scene.draws != "frozen" or not again or 4 * n * stage.scene.edge**2 > free_memory(self.device) / 3:
            return None
        return scenes.Album(self.sets.train[:n], stage.scene)

    def _step(self, stage: Stage, order: Tensor) -> Tensor | None:
        training = self.training
        key = (training.seed, self.stage, self.epoch, self.step)
        torch.manual_seed(rng.seed_of("dropout", *key))
        rows = order[self.step * training.batch : (self.step + 1) * training.batch]
        if self.album:
            stimuli = self.album(rows)
        else:
            generator = rng.generator("stimuli", *key, device=self.device)
            stimuli = scenes.draw(self.sets.train, rows, stage.scene, generator)
        if stage.jitter:
            generator = rng.generator("glimpses", *key, device=self.device)
            loss, theta = score_function.loss(self.model, stimuli, training.glimpses, stage.jitter, generator)
        else:
            seen = self.model(stimuli.images)
            loss, theta = LOSSES[training.loss](seen, stimuli), seen.theta
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        if self.averaged:
            self.averaged.update_parameters(self.model)
        self.loss += loss.detach()
        self.step += 1
        return theta

    def _guard(self, stage: Stage, theta: Tensor | None) -> None:
        """Stop at NaN or infinity; waits for the device once."""
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

    def _record(self, stage: Stage) -> None:
        """Close the epoch: evaluate on the stage's stimuli and on the fixed ones, move on.

        A record: stage, epoch, lr, images (seen in this epoch), loss (mean), accuracy (on the stage's law),
        fixed_accuracy (on the last stage's law, the same stimuli for ever), theta (mean, spread, follow; None without
        a transformer), seconds; where weights are averaged, last_weights (fixed_accuracy of those that are not).
        Accuracies are of held-out training digits, 0 to 1.
        """
        validation, n = self.sets.validation, self.n_validation
        here = evaluation.answers(self.kept, validation, stage.scene, n, seed=self.stage)
        health = None if here.theta is None else asdict(evaluation.theta_health(here.theta, here.offsets))
        fixed = {"fixed_accuracy": self.kept} | ({"last_weights": self.model} if self.averaged else {})
        self.history.append(
            {
                "stage": self.stage,
                "epoch": self.epoch,
                "lr": stage.lr_at(self.epoch),
                "images": self.steps * self.training.batch,
                "loss": self.loss.item() / self.steps,
                "accuracy": here.accuracy.value,
                **{key: evaluation.accuracy(each, validation, self.widest, n).value for key, each in fixed.items()},
                "theta": health,
                "seconds": round(self.seconds, 2),
            }
        )
        self.loss, self.seconds, self.step = torch.zeros_like(self.loss), 0.0, 0
        self.epoch += 1
        if self.epoch == stage.epochs:
            self.stage, self.epoch = self.stage + 1, 0

    def _place(self) -> str:
        """Return how far the run is, in words."""
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

    # ---- checkpoints ----

    def save(self) -> None:
        """Write the state atomically, sealed with its checksum."""
        state = {
            "format": CHECKPOINT,
            "training": json.dumps(self.training.describe(), sort_keys=True),
            "position": [self.stage, self.epoch, self.step],
            "model": self.model.state_dict(),
            "averaged": self.averaged and self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "loss": self.loss,
            "seconds": self.seconds,
            "history": json.dumps(self.history),
            "machines": json.dumps(self.machines),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        files.write(self.checkpoint, files.seal(buffer.getvalue()))

    def load(self, say: Callable[[str], None] | None = None) -> None:
        """Take up the state of the checkpoint; say if the bits will not be those of an uninterrupted training.

        Raises:
            ConfigurationError: see `train`.
        """
        path = self.checkpoint
        content = io.BytesIO(files.unseal(files.read(path), path))
        try:
            state = dict(torch.load(content, map_location=self.device, weights_only=True))
        except Exception:  # whatever foreign bytes lead torch to
            raise ConfigurationError(f"{path} is no checkpoint of this library.") from None
        if state.get("format") != CHECKPOINT:
            raise ConfigurationError(
                f"{path} has checkpoint format {state.get('format')}; this version reads {CHECKPOINT}."
            )
        if json.loads(state["training"]) != self.training.describe():
            raise ConfigurationError(f"{path} belongs to another configuration; delete it or name another file.")
        try:
            self._take_up(state)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".:")
            raise ConfigurationError(f"{path} holds no state of this training: {reason}.") from None
        here = machine(self.device)
        if found := differences(self.machines[-1], here):
            self.machines.append({**here, "threads": self.threads})
            if say:
                say(f"Continued on another machine ({found}): the bits differ from those of a training that was not.")

    def _take_up(self, state: dict) -> None:
        """Take over a checkpoint's state; raises some error if it is not one of this training."""
        self.stage, self.epoch, self.step = position = state["position"]
        stages, self.history = self.training.stages, json.loads(state["history"])
        within = all(type(each) is int and each >= 0 for each in position) and (
            self.stage < len(stages) and self.epoch < stages[self.stage].epochs and self.step <= self.steps
        )
        if not within:
            raise ValueError(f"its position {position} is not within the schedule")
        if len(self.history) != sum(stage.epochs for stage in stages[: self.stage]) + self.epoch:
            raise ValueError(f"its history of {len(self.history)} epochs does not fit its position {position}")
        first, *later = json.loads(state["machines"]) if "machines" in state else self.machines
        self.machines = [{**first, "threads": int(first["threads"])}, *map(dict, later)]
        self.model.load_state_dict(state["model"])
        if self.averaged:
            self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.loss, self.seconds = state["loss"].to(self.loss), float(state["seconds"])
