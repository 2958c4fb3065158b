"""How fast a device trains the networks of 2021, in which precision and form, and what it could do at best.

`labbook gpu` measures it before it trains: `timings` are the parts, what is worth most first. What fails is told by the
session, and the next part goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch.utils import benchmark

from .. import evaluation, models, rng, stimuli, training
from ..config import Training
from ..digits import DigitSets
from ..experiments.card import LARGE, cut
from ..experiments.scaling import operations, traffic
from ..experiments.whole import SCHEDULES
from ..runtime import engine
from ..runtime.engine import ENGINE, FOLDED, Engine, is_gpu
from ..runtime.layers import PLAIN, Form
from ..stimuli import Scene28, Scene128, draw

BATCH = 100  # images per draw, that of training
DIGITS = 3000  # that a timed training draws from
SEEDS = 5  # of a small network, side by side
FIELDS_PER_SECOND = 50_000  # 128x128 stimuli that one data-centre GPU should make
MAP_PASSES, MAP_MINUTES = 55 * 55 * 10_000, 3  # forward passes of an accuracy map, and what they should take
FORMS = {
    "plain": PLAIN,
    "contiguous": Form(layout="contiguous"),
    "first folded": Form("first"),
    "first folded, contiguous": FOLDED,
    "all folded": Form("all"),
    "all folded, contiguous": Form("all", "contiguous"),
}


def short(x: float) -> float:
    """Return a number to four digits."""
    return float(f"{float(x):.4g}")


def clock(do: Callable[[], object], device: str, least: float = 0.3) -> float:
    """Return how often per second `do` can be done on a device: by PyTorch's timer, the median of blocks that take
    `least` seconds together, which waits for a GPU at the ends of each block.

    On a CPU with one thread the processor time of this thread counts: other work does not.
    """
    threads = torch.get_num_threads()
    alone = {"timer": time.thread_time} if torch.device(device).type == "cpu" and threads == 1 else {}
    timer = benchmark.Timer("do()", globals={"do": do}, num_threads=threads, **alone)
    return 1 / timer.blocked_autorange(min_run_time=least).median


def _card(device: str) -> bool:
    """Return whether a device is a GPU, and no pretend one."""
    return is_gpu(device) and torch.backends.cuda.is_built()


# ---- what a device could do -----------------------------------------------------------------------------------------


def needs(name: str) -> dict[str, float]:
    """Return the operations and the bytes that a schedule needs for each image that it trains on."""
    config, edge = SCHEDULES[name].training, SCHEDULES[name].edge
    model = models.build(config.model, **config.options)
    return {
        "operations": short(operations(model, edge, training=True)),
        "bytes": short(traffic(model, edge, config.batch)),
    }


def matrix_rate(device: str, precision: str = "float32") -> float:
    """Return the operations per second of a large product of matrices; what is bfloat16 is measured as TF32."""
    edge = 8192 if _card(device) else 1024
    square = torch.rand(edge, edge, generator=rng.generator("bench", device=device), device=device)
    product = torch.empty_like(square)
    with engine.arithmetic("float32" if precision == "float32" else "tf32"):
        return short(2 * edge**3 * clock(lambda: torch.mm(square, square, out=product), device))


def bandwidth(device: str) -> float:
    """Return the bytes per second that a device reads and writes in a large copy."""
    source = torch.zeros(1 << (28 if _card(device) else 22), device=device)
    target = torch.empty_like(source)
    return short(8 * source.numel() * clock(lambda: target.copy_(source), device, 0.1))


# ---- stimuli and trainings ------------------------------------------------------------------------------------------


def stepper(
    config: Training,
    sets: DigitSets,
    device: torch.device | str = "cpu",
    engine: Engine = ENGINE,
    say: Callable[[str], None] | None = None,
) -> Callable[[], object]:
    """Return a function that does one step of the training's last stage at each call, for ever. Its attribute `run` is
    what it goes on with.

    Frozen stimuli are painted first on a GPU, and drawn in each step on a CPU.
    """
    run = training._Run(config, sets.to(device), device, None, engine, say)
    if not is_gpu(device):
        run._cached = lambda stage: None
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


def time_stimuli(sets: DigitSets, device: str) -> list[dict]:
    """Measure stimuli per second, 100 at once: edge (pixels), draws, per_second, target."""
    digits, rows = sets.train.to(device), torch.arange(BATCH, device=device)
    timed = []
    for scene in (Scene128(), Scene128(draws="frozen"), Scene28(), Scene28(draws="frozen")):
        generator = rng.generator("bench", device=device)
        do = lambda scene=scene, generator=generator: draw(digits, rows, scene, generator)  # noqa: E731
        target = FIELDS_PER_SECOND if scene.edge == stimuli.FIELD else None
        rate = short(clock(do, device) * len(rows))
        timed.append({"edge": scene.edge, "draws": scene.draws, "per_second": rate, "target": target})
    return timed


def time_map(sets: DigitSets, device: str) -> dict:
    """Measure the forward passes of an accuracy map of the 28x28 transformer, per second, with their stimuli."""
    model, digits = models.build("stn28").to(device).eval(), sets.test.to(device)
    axis, n = (-5, 0, 5), min(1000, len(digits))
    rate = clock(lambda: evaluation.accuracy_map(model, digits, Scene28(), n, axis), device)
    return {"per_second": short(rate * n * (len(axis) ** 2 + 1)), "target": short(MAP_PASSES / (60 * MAP_MINUTES))}


def time_steps(
    name: str, precision: str, how: Engine, sets: DigitSets, device: str, seeds: int = 1, share: float = 1.0
) -> dict:
    """Measure the steps of a training at its last stage, stimuli included.

    Args:
        seeds: how many of it are trained side by side. share: see `card.cut`; a small one makes batches smaller.

    Returns:
        per_second, images of all seeds; captured, or why not; begun, seconds until steps are captured, compiled
        networks included; memory, the most that was held, in MB, or None.
    """
    began, said = time.perf_counter(), []
    config = cut(replace(SCHEDULES[name].training, data=sets.name, precision=precision), share, len(sets.train))
    config = replace(config, digits=min(DIGITS, len(sets.train)), fraction=1.0)
    card = _card(device)
    if card:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    steps = [stepper(replace(config, seed=seed), sets, device, how, said.append) for seed in range(seeds)]

    def each() -> None:
        for step in steps:
            step()

    for _ in range(engine.WARM + 2):  # on a GPU one is captured
        each()
    engine.settle(device)
    begun = time.perf_counter() - began
    rate = seeds * config.batch * clock(each, device)
    return {
        "per_second": short(rate),
        "captured": said[0] if said else steps[0].run.loop.captured is not None,
        "begun": round(begun, 2),
        "memory": torch.cuda.max_memory_allocated() // 2**20 if card else None,
    }


def time_stage(name: str, precision: str, share: float, sets: DigitSets, device: str) -> dict:
    """Measure two epochs of a training's last stage, each with its evaluation, the first with painting and capture.

    Args:
        share: of the digits in an epoch.

    Returns:
        first_epoch, epoch: seconds; overall: images per second of the whole stage, all that included.
    """
    whole = replace(SCHEDULES[name].training, data=sets.name, precision=precision, start=None)
    epochs = whole.stages[-1].epochs
    two = replace(whole, stages=(replace(whole.stages[-1], epochs=2),))
    run = training._Run(cut(two, share, len(sets.train)), sets.to(device), device, None)
    seconds = []
    while run.stage < len(run.training.stages):
        engine.settle(device)
        began, known = time.perf_counter(), len(run.history)
        while len(run.history) == known:
            run.advance(float("inf"))
        engine.settle(device)
        seconds.append(time.perf_counter() - began)
    first, later = seconds[0], seconds[-1]
    overall = epochs * run.steps * run.training.batch / (first + (epochs - 1) * later)
    return {"first_epoch": round(first, 3), "epoch": round(later, 3), "overall": short(overall)}


def time_training(name: str, sets: DigitSets, device: str, precision: str, share: float) -> dict:
    """Measure a schedule as it is trained here: its steps, one by one and, if it is small, five seeds side by side;
    and its last stage with evaluation.

    Returns:
        per_second, captured, begun, memory (see `time_steps`); one_by_one, five_seeds: images per second; first_epoch,
        epoch, overall (see `time_stage`); batch; target, images per second.
    """
    found = time_steps(name, precision, ENGINE, sets, device, share=share)
    if is_gpu(device):
        single = time_steps(name, precision, Engine(capture=False), sets, device, share=share)
        found["one_by_one"] = single["per_second"]
    if name not in LARGE:
        found["five_seeds"] = time_steps(name, precision, ENGINE, sets, device, SEEDS, share)["per_second"]
    found |= time_stage(name, precision, share, sets, device)
    return {**found, "batch": SCHEDULES[name].training.batch, "target": SCHEDULES[name].rate}


def variants() -> Iterator[tuple[str, str, str, Engine]]:
    """Yield what else is worth trying: network, precision, how it is computed, in words and as an engine."""
    for name in LARGE:
        for precision in ("tf32", "bfloat16"):
            for words, form in FORMS.items():
                yield name, precision, words, Engine(form=form)
        yield name, "float32", "first folded, contiguous", Engine(form=FOLDED)
        yield name, "tf32", "all folded, algorithms by timing", Engine(form=Form("all"), deterministic=False)
    for name in SCHEDULES:
        if name not in LARGE:
            yield name, "bfloat16", "plain", Engine(form=PLAIN)
    for name in SCHEDULES:  # the large ones first
        yield name, "tf32", "compiled, plain", Engine(form=PLAIN, compiled=True)
    for name in LARGE:
        yield name, "bfloat16", "compiled, plain", Engine(form=PLAIN, compiled=True)
        yield name, "bfloat16", "compiled, all folded", Engine(form=Form("all"), compiled=True)


def timings(
    sets: DigitSets, device: str, into: dict, precision: str = "float32", share: float = 1.0
) -> Iterator[tuple[str, dict, str, Callable[[], object]]]:
    """Yield the parts of the timings: title, the dictionary and the key that it goes to, and what does it.

    Forms are tried on a GPU alone, and last: a network takes PyTorch a minute to compile.
    """
    yield "product of matrices", into, "matrix", lambda: matrix_rate(device, precision)
    yield "bandwidth", into, "bandwidth", lambda: bandwidth(device)
    yield "needs", into, "needs", lambda: {name: needs(name) for name in SCHEDULES}
    yield "stimuli", into, "stimuli", lambda: time_stimuli(sets, device)
    for name in SCHEDULES:
        do = lambda name=name: time_training(name, sets, device, precision, share)  # noqa: E731
        yield f"training {name}", into["training"], name, do
    yield "accuracy map", into, "map", lambda: time_map(sets, device)
    for name, other, words, how in variants() if is_gpu(device) else ():
        title, known = f"{name}, {other}, {words}", {"network": name, "precision": other, "how": words}
        measure = partial(time_steps, name, other, how, sets, device, share=share)
        yield title, into["forms"], title, lambda known=known, measure=measure: known | measure()


def whole(digits: int) -> dict[str, dict]:
    """Return what each schedule is when it is whole: model, epochs, images, rate (its target, images per second), and
    minutes at it."""
    return {
        name: {
            "model": each.training.model,
            "epochs": sum(stage.epochs for stage in each.training.stages),
            "images": (images := each.training.images(digits)),
            "rate": each.rate,
            "minutes": short(images / each.rate / 60),
        }
        for name, each in SCHEDULES.items()
    }
