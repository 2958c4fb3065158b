"""The schedules of 2021, whole, one after another on one device: `python -m labbook full`.

First the device is checked against the CPU, then timed, then the trainings follow, in an order in which a cut-off
leaves the most. The command works in pieces: when its minutes are over it stops, and the same command goes on. What was
found is kept in one record, plain data, which is written anew after each part of the work:

    share, seed, data, machine      what it was asked for, and where
    checks      part -> rows: what, difference (found), allowed; `same`: whether twenty steps twice give equal weights
    timings     matrix (operations per second), stimuli and networks (per second), targets beside them
    trained     name -> what became of each schedule
    whole       name -> what each schedule of the table is when it is whole
    pieces      what each piece of the work did, in words, and its seconds
    left        names of the schedules that are not finished

A share below 1 shortens every schedule, openly, and takes the same way through the code.
"""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .. import curriculum, evaluation, files, models, retina, rng, sampler, stimuli, whatwhere
from ..book import store
from ..book.store import Run, Store
from ..config import Training, plain, seeded, shortened
from ..curriculum import Stage
from ..digits import DigitSets
from ..errors import ConfigurationError, choose, within
from ..experiments import pathways
from ..stimuli import Scene28, Scene128
from ..training import Paused, stepper, train
from . import bench

CENTRAL, GENERAL = 0.0, 15.0  # std of the shift, pixels, of the two accuracies at 28x28
TESTED = 20  # test digits at least, of a shortened schedule


@dataclass(frozen=True)
class Schedule:
    """A training of 2021: `facts`, the section that tells of it; `minutes`, what it should take on one data-centre GPU;
    `needs`, names of schedules whose runs are needed to measure it; `retina`, that it looks through."""

    training: Training
    study: str
    minutes: float | None = None
    needs: tuple[str, ...] = ()
    retina: str | None = None

    @property
    def edge(self) -> int:
        """Edge of its images, pixels."""
        return self.training.stages[-1].scene.edge


SCHEDULES: dict[str, Schedule] = {
    "stn128": Schedule(Training("stn128", curriculum.week5(draws="frozen")), "3.6", 8),
    "atn": Schedule(Training("atn", curriculum.week6(draws="frozen")), "3.7", 4),
    "polo": Schedule(Training("polo", curriculum.week7(draws="frozen")), "3.8", 2, retina="polo768"),
    "stn28": Schedule(Training("stn28", curriculum.week2(draws="frozen")), "3.1", 3),
    "conv_polo": Schedule(Training("conv_polo", curriculum.week8(draws="frozen")), "3.9", retina="polo2560band"),
    "what": Schedule(pathways.what_training(0.75), "3.4"),
    "where": Schedule(
        pathways.where_training_of_2020((), "2020-07"), "1.6", needs=("what",), retina="whatwhere"
    ),  # taught, as in 2020, by the accuracy map that was published with the model
}

FIELDS_PER_SECOND = 50_000  # 128x128 stimuli that one data-centre GPU should make
MAP_PASSES, MAP_MINUTES = 55 * 55 * 10_000, 3  # forward passes of an accuracy map, and what they should take


def chosen(words: Iterable[str] = ()) -> list[str]:
    """Return the names of the schedules asked for (none: all) and of those that they need, in the order of the table.

    Raises:
        ConfigurationError: an unknown name.
    """
    asked = {choose("schedule", word, SCHEDULES) for word in words} or set(SCHEDULES)
    asked |= {need for name in asked for need in SCHEDULES[name].needs}
    return [name for name in SCHEDULES if name in asked]


def cut(training: Training, share: float, digits: int) -> Training:
    """Return a training cut to about a share of its images: each epoch shows so much less of `digits` training digits.

    Where that would be less than one batch, there is one epoch per stage (`config.shortened`).
    """
    if share == 1:
        return training
    if training.drawn_from(digits) * share >= training.batch:
        return replace(training, fraction=share)
    return shortened(training, max(1, round(share * training.images(digits))), digits)


# ---- the check ------------------------------------------------------------------------------------------------------


def row(what: str, difference: float, allowed: float) -> dict:
    """Return a line of the check."""
    return {"what": what, "difference": short(difference), "allowed": short(allowed)}


def short(x: float) -> float:
    """Return a number to four digits."""
    return float(f"{float(x):.4g}")


def agrees(checks: dict) -> bool:
    """Return whether all differences found are within what is allowed."""
    return all(each["difference"] <= each["allowed"] for part in checks.values() for each in part["rows"])


def check_stimuli(edge: int, sets: DigitSets, device: str) -> dict:
    """Compare 28x28 or 128x128 stimuli of a device with those of the CPU.

    Fresh ones are other draws of the same law: the difference of means, in standard errors. Frozen ones are functions
    of their digits: the largest difference of a pixel.
    """
    scene = Scene28() if edge == stimuli.EDGE else Scene128()
    n = min(400, len(sets.train))
    found = {}
    for side, place in (("reference", "cpu"), ("device", device)):
        digits = sets.train[:n].to(place)
        rows = torch.arange(n, device=place)
        fresh = stimuli.draw(digits, rows, scene, rng.generator("check", side, device=place))
        pixels = fresh.images.flatten(1)
        values = {
            "mean of a stimulus": pixels.mean(1),
            "spread of a stimulus": pixels.std(1),
            "contrast": fresh.contrast,
            "distance": fresh.offsets.float().norm(dim=1),
        }
        frozen = stimuli.draw(digits, rows[:100], replace(scene, draws="frozen")).images
        found[side] = {key: value.double().cpu() for key, value in values.items()}, frozen.cpu()
    (mine, still), (theirs, moved) = found["reference"], found["device"]
    rows = [
        row(
            f"{key}, standard errors",
            (mine[key].mean() - theirs[key].mean()).abs() / ((mine[key].var() + theirs[key].var()) / n).sqrt(),
            4.5,
        )
        for key in mine
    ]
    quantum = 1 / 255 if edge == stimuli.EDGE else 0.0  # 8 bits: a pixel may fall to the other side
    return {"rows": [*rows, row("frozen stimuli, grey level", (still - moved).abs().max(), quantum + 1e-4)]}


def check_features(name: str, sets: DigitSets, device: str) -> dict:
    """Compare a retina's features on a device, as one matrix, with those of the CPU's small products."""
    scene = Scene128(draws="frozen")
    images = stimuli.draw(sets.train[:20].to("cpu"), torch.arange(20), scene).images
    here = retina.build(name, "cpu", "cores")(images)
    there = retina.build(name, device, "matrix")(images.to(device)).cpu()
    return {"rows": [row("features, relative", (here - there).norm() / here.norm(), 1e-4)]}


def check_steps(name: str, sets: DigitSets, device: str, seed: int = 0, tf32: bool = False, batch: int = 10) -> dict:
    """Compare one step of SGD with the CPU's, and twenty steps of the schedule's own optimiser with themselves.

    The step is taken from the first weights, `off_the_pixels`.
    """
    training = SCHEDULES[name].training
    stages = (Stage(training.stages[-1].scene, 1, 0.01),)
    first = replace(training, stages=stages, optimiser="sgd", batch=batch, digits=batch, data=sets.name, seed=seed)
    one = replace(first, start=first)
    start = off_the_pixels(models.build(one.model, rng.generator("weights", seed), **one.options))

    def state(each: Training, place: str) -> dict[str, torch.Tensor]:
        model = train(each, sets, place, weights=each.start and start).model
        return {key: value.cpu().float() for key, value in model.state_dict().items()}

    mine = state(one, "cpu")

    def apart(theirs: dict[str, torch.Tensor]) -> float:
        moved = sum((mine[key] - start[key]).square().sum() for key in mine)
        return (sum((mine[key] - theirs[key]).square().sum() for key in mine) / moved).sqrt().item()

    rows = [row("one step, relative", apart(state(one, device)), 1e-3)]
    if tf32:
        with precision(True):
            rows.append(row("one step in TF32, relative", apart(state(one, device)), 3e-2))
    twenty = replace(training, stages=stages, batch=batch, digits=20 * batch, data=sets.name, seed=seed)
    once, again = (state(twenty, device) for _ in range(2))
    same = all(torch.equal(once[key], again[key]) for key in once)
    return {"rows": rows, "same": same, "reasons": [] if same else undetermined(lambda: state(one, device))}


def off_the_pixels(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights of a model, an affine window moved and turned by some hundredths.

    Such a window first shows every pixel once: its samples fall on the middles of pixels, where the slope of the
    bilinear sampler jumps. On which side of them they are is a matter of the last bit of their coordinates, which at
    28x28 differs between devices and changes the gradient of theta by half of its size.
    """
    if isinstance(getattr(model, "parametrisation", None), sampler.Affine):
        with torch.no_grad():
            last = model.localisation.last.bias
            last.add_(torch.linspace(0.01, 0.02, len(last)))
    return model.state_dict()


def undetermined(do: Callable[[], object]) -> list[str]:
    """Return what PyTorch says of the operations of `do` that may give other bits each time."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            do()
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    return sorted({str(each.message).split(", but you set")[0] for each in said if "determinis" in str(each.message)})


@contextmanager
def precision(tf32: bool):
    """Let a GPU multiply in TF32, or not; a CPU never does."""
    switches = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [each.allow_tf32 for each in switches]
    try:
        for each in switches:
            each.allow_tf32 = tf32
        yield
    finally:
        for each, value in zip(switches, before, strict=True):
            each.allow_tf32 = value


# ---- timings --------------------------------------------------------------------------------------------------------


def time_stimuli(sets: DigitSets, device: str) -> list[dict]:
    """Measure stimuli per second, 100 at once: edge (pixels), draws, per_second, target."""
    digits = sets.train.to(device)
    rows = torch.arange(bench.BATCH, device=device)
    timed = []
    for scene in (Scene128(), Scene128(draws="frozen"), Scene28(), Scene28(draws="frozen")):
        generator = rng.generator("bench", device=device)
        rate = bench.clock(
            lambda scene=scene, generator=generator: stimuli.draw(digits, rows, scene, generator), device
        )
        target = FIELDS_PER_SECOND if scene.edge == stimuli.FIELD else None
        timed.append(
            {"edge": scene.edge, "draws": scene.draws, "per_second": short(rate * len(rows)), "target": target}
        )
    return timed


def time_training(name: str, sets: DigitSets, device: str, matrix: float) -> dict:
    """Measure the training of a schedule, at its last stage.

    Returns:
        per_second, images, in batches of `batch`; stimuli, their share of a step; operations, of the forward and
        backward pass of an image; of_matrix, the share of `matrix` (operations per second) that these reach; sent,
        operations sent to the device in a step, and waits, how many of them wait for it (see `bench.Watch`; Adam keeps
        its own counter on the host, so SGD stands for it); target, images per second that the minutes ask for.
    """
    schedule = SCHEDULES[name]
    training = replace(schedule.training, data=sets.name)
    step = stepper(training, sets, device)
    steps = bench.clock(step, device)
    digits = sets.train.to(device)
    rows, scene = torch.arange(training.batch, device=device) % len(digits), training.stages[-1].scene
    generator = rng.generator("bench", device=device)
    drawn = bench.clock(lambda: stimuli.draw(digits, rows, scene, generator), device)
    few = replace(training, batch=10, optimiser="sgd")  # what is sent does not depend on the batch
    one = stepper(few, sets, device)
    one()  # once: tables are made
    with bench.Watch() as watch:
        one()
    operations = bench.operations(models.build(training.model, **training.options), schedule.edge)
    rate = steps * training.batch
    target = schedule.minutes and short(training.images(len(sets.train)) / (60 * schedule.minutes))
    return {
        "per_second": short(rate),
        "stimuli": short(steps / drawn),
        "operations": operations,
        "of_matrix": short(rate * operations / matrix),
        "sent": watch.sent,
        "waits": len(watch.waits),
        "batch": training.batch,
        "target": target,
    }


def time_map(sets: DigitSets, device: str) -> dict:
    """Measure the forward passes of an accuracy map of the 28x28 transformer, per second, with their stimuli."""
    model, digits = models.build("stn28").to(device).eval(), sets.test.to(device)
    axis, n = (-5, 0, 5), min(1000, len(digits))
    rate = bench.clock(lambda: evaluation.accuracy_map(model, digits, Scene28(), n, axis), device)
    return {"per_second": short(rate * n * (len(axis) ** 2 + 1)), "target": short(MAP_PASSES / (60 * MAP_MINUTES))}


# ---- training -------------------------------------------------------------------------------------------------------


class Piece:
    """One piece of the work: goes on with the record of its settings, as far as its minutes reach.

    Args:
        names: schedules, see `chosen`. share: of each of them. folder: of the record, and of the runs in `store`.
        minutes: after which the piece ends, at the next step of a training or the next part of other work; one of
            these is done at least.
        say: receives the lines of progress. tf32: whether a GPU may multiply in TF32.

    Raises:
        ConfigurationError: a share or a time that makes no sense; a record that cannot be read.
    """

    def __init__(
        self,
        names: Iterable[str],
        sets: DigitSets,
        device: str,
        folder: Path,
        share: float = 1.0,
        seed: int = 0,
        minutes: float = math.inf,
        say: Callable[[str], None] = print,
        tf32: bool = False,
    ):
        within("share", share, 1e-4, 1)
        within("minutes", minutes, 0, math.inf)
        self.names, self.share, self.seed, self.tf32 = list(names), share, seed, tf32
        self.device, self.sets, self.say = device, sets.to(device), say
        self.began = time.monotonic()
        self.until = self.began + 60 * minutes
        self.store = Store(folder / "nowhere", folder / "runs", say=lambda line: say(f"  {line}"), until=self.until)
        self.n_test = len(sets.test) if share == 1 else min(len(sets.test), max(TESTED, round(share * len(sets.test))))
        kind = torch.device(device).type + ("-tf32" if tf32 else "")
        self.path = folder / f"{sets.name}-{kind}-share{share:g}-seed{seed}.json"
        self.record = self._read()
        self.worked = False  # whether this piece has done anything yet

    def _read(self) -> dict:
        if self.path.exists():
            try:
                return json.loads(self.path.read_text("utf-8"))
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    f"{self.path} is no record of this command ({error}); remove it to begin anew."
                ) from None
        asked = {"share": self.share, "seed": self.seed, "data": self.sets.name, "tf32": self.tf32}
        found = {"checks": {}, "timings": {"training": {}}, "trained": {}, "pieces": []}
        return {**asked, "digits": len(self.sets.train), "machine": store.machine(self.device), **found, "left": []}

    def run(self) -> bool:
        """Go on until all is done (True) or the time is up (False)."""
        ended = "done"
        try:
            with precision(False):
                self._check()
            with precision(self.tf32):
                self._time()
                for name in self.names:
                    self._train(name)
        except Paused as paused:
            ended = str(paused)
        left = [name for name in self.names if name not in self.record["trained"]]
        seconds = time.monotonic() - self.began
        if self.worked:
            self.record["pieces"].append({"ended": ended, "seconds": round(seconds, 1)})
        self._keep(left=left, whole=self._whole())
        if ended == "done":
            self.say(f"All is done: {os.path.relpath(self.path)}")
        else:
            self.say(f"The time is up after {seconds / 60:.1f} minutes, at {ended}.")
            self.say(f"Left: {', '.join(left) or 'evaluations'}. The same command goes on.")
        return ended == "done"

    def _whole(self) -> dict[str, dict]:
        """Return what each schedule is when it is whole: model, epochs, images, minutes (its target)."""
        n = len(self.sets.train)
        return {
            name: {
                "model": each.training.model,
                "epochs": sum(stage.epochs for stage in each.training.stages),
                "images": each.training.images(n),
                "minutes": each.minutes,
            }
            for name, each in SCHEDULES.items()
        }

    def _keep(self, **changed) -> None:
        self.record |= changed
        files.write(self.path, f"{json.dumps(self.record, indent=1)}\n".encode())

    def _part(self, into: dict, key: str, do: Callable[[], object], title: str) -> None:
        """Do a part of the work once, unless the time is up."""
        if key in into:
            return
        self._in_time(title)
        began = time.monotonic()
        into[key] = do()
        self.worked = True
        self.say(f"{title}: {time.monotonic() - began:.1f} s{self._comment(into[key])}")
        self._keep()

    def _comment(self, made: object) -> str:
        """Return what is worth saying of a part."""
        if isinstance(made, float):
            return f"; {made / 1e9:,.0f} billion operations per second"
        if isinstance(made, list):
            each = (f"{one['draws']} {one['edge']}x{one['edge']} {one['per_second']:,.0f}" for one in made)
            return f"; per second: {', '.join(each)}"
        worst = [
            f"{each['what']} {each['difference']:.2g} (allowed {each['allowed']:.2g})" for each in made.get("rows", ())
        ]
        if "per_second" in made:
            target = f", target {made['target']:,.0f}" if made.get("target") else ""
            return f"; {made['per_second']:,.0f} per second{target}"
        if "same" in made:
            worst.append(
                "twenty steps twice: " + ("equal weights" if made["same"] else "; ".join(made["reasons"]) or "?")
            )
        return "; " + "; ".join(worst)

    def _check(self) -> None:
        checks, device, sets = self.record["checks"], self.device, self.sets
        for edge in sorted({SCHEDULES[name].edge for name in self.names}, reverse=True):
            title = f"stimuli {edge}x{edge}"
            self._part(checks, title, lambda edge=edge: check_stimuli(edge, sets, device), f"check, {title}")
        for name in dict.fromkeys(SCHEDULES[name].retina for name in self.names):
            if name:
                self._part(checks, name, lambda name=name: check_features(name, sets, device), f"check, retina {name}")
        for name in self.names:
            do = lambda name=name: check_steps(name, sets, device, self.seed, self.tf32)  # noqa: E731
            self._part(checks, f"steps of {name}", do, f"check, steps of {name}")
        if not agrees(checks):
            self.say("The device and the CPU do not agree; what follows is kept with that remark.")

    def _time(self) -> None:
        timings, device, sets = self.record["timings"], self.device, self.sets
        self._part(timings, "matrix", lambda: short(bench.matrix_rate(device)), "timing, product of matrices")
        self._part(timings, "stimuli", lambda: time_stimuli(sets, device), "timing, stimuli")
        for name in self.names:
            do = lambda name=name: time_training(name, sets, device, timings["matrix"])  # noqa: E731
            self._part(timings["training"], name, do, f"timing, training {name}")
        if "stn28" in self.names:
            self._part(timings, "map", lambda: time_map(sets, device), "timing, accuracy map")

    def training(self, name: str) -> Training:
        """Return the training of a schedule as it is done here."""
        whole = seeded(SCHEDULES[name].training, self.seed, self.sets.name)
        return cut(whole, self.share, len(self.sets.train))

    def _train(self, name: str) -> None:
        if name in self.record["trained"]:
            return
        self._in_time(f"the start of {name}")
        training, n = self.training(name), len(self.sets.train)
        whole = SCHEDULES[name].training.images(n)
        self.say(f"{name}: {training.images(n):,} of {whole:,} images, {training.images(n) / whole:.2%}")
        new = self.store.find(training) is None
        try:
            run = self.store.get_or_train(training, self.sets, self.device)
        except Paused as paused:
            self.worked = True
            raise Paused(f"{name}, {paused}") from None
        self.worked |= new
        found = self._evaluate(name, run)
        self.record["trained"][name] = {
            "run": run.id,
            "study": SCHEDULES[name].study,
            "epochs": sum(stage.epochs for stage in training.stages),
            "images": run.images,
            "seconds": round(run.seconds, 2),
            "device": run.machine["device"],
            "tested": self.n_test,
            **found,
        }
        said = "; ".join(f"{key} {sum(value) / len(value) / self.n_test:.1%}" for key, value in found.items())
        self.say(f"{name}: {run.images / run.seconds:,.0f} images per second, {run.seconds:.1f} s; {said}")
        self._keep()

    def _evaluate(self, name: str, run: Run) -> dict[str, list[int]]:
        """Count the right answers of a run, `tested` digits each: central and general at 28x28; else in the 27 cells;
        of a Where network with the What pathway, after 0, 1, ... saccades."""
        n, test = self.n_test, self.sets.test
        if SCHEDULES[name].edge == stimuli.EDGE:
            asked = {"central": CENTRAL, "general": GENERAL}
            return {key: [self._accuracy(name, run, Scene28(std=std, draws="frozen"))] for key, std in asked.items()}
        if name != "where":
            return {"cells": [self._accuracy(name, run, scene) for scene in evaluation.cells().values()]}
        what = self.store.get_or_train(self.training("what"), self.sets, self.device)
        counts = []
        for scene in evaluation.cells().values():

            def compute(model, scene=scene):
                self.worked = True
                named = {"what": what.model(self.device)}
                return list(whatwhere.measure(named, model, test, scene, n)["what"].right)

            settings = {"what": what.id, "scene": plain(scene), "n": n}
            self._in_time(f"the evaluation of {name}")
            counts.append(self.store.evaluate(run, "right by saccades", compute, self.device, **settings))
        return {f"{k} saccades": [each[k] for each in counts] for k in range(whatwhere.SACCADES + 1)}

    def _accuracy(self, name: str, run: Run, scene: stimuli.Scene) -> int:
        """Return the right answers to fixed stimuli; filed as the chapters do."""

        def compute(model):
            self.worked = True
            found = evaluation.accuracy(model, self.sets.test, scene, self.n_test)
            return [found.correct, found.n]

        settings = {"scene": plain(scene), "n": self.n_test, "seed": 0}
        self._in_time(f"the evaluation of {name}")
        return self.store.evaluate(run, "accuracy", compute, self.device, **settings)[0]

    def _in_time(self, title: str) -> None:
        """Stop before another part of the work if the time is up and something was done in it."""
        if self.worked and time.monotonic() > self.until:
            raise Paused(title)


def publish(piece: Piece, book: Path) -> Path:
    """Write the record to `results/full.json` of the book, and the runs of whole schedules to its store: with their
    weights where these are small enough, else the metrics alone. Returns the path of the record."""
    if piece.share == 1:
        for each in piece.record["trained"].values():
            run = store.read_run(piece.store.local / each["run"])
            small = run.weights.stat().st_size <= store.WEIGHTS_LIMIT
            entry = {"id": run.id, "generation": run.folder.name, "weights": small}
            store.publish([entry], piece.store.local, book / "runs")
    path = book / "results" / "full.json"
    files.write(path, piece.path.read_bytes())
    return path
