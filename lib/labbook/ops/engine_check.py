"""Captured steps on a GPU: whether they are what they should be, and how fast they are in each form.

    python -m labbook.ops.engine_check [NAMES] [--device cuda] [--seconds 90] [--out FILE] [--compiled]

First each kind of training is done three times over a few steps: one operation after another, captured, and captured
again. Then the networks of 2021 are timed, stimuli included, in every precision and form. A row is printed as soon as
it is known; what fails says so in its row, and no row begins after the seconds are over.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch

from .. import digits, models, rng, stimuli
from ..config import Training
from ..curriculum import Stage
from ..digits import DigitSets
from ..errors import choose
from ..experiments import recipes
from ..experiments.whole import SCHEDULES
from ..layers import Form
from ..runtime import engine, files
from ..runtime.engine import Engine
from ..training import train
from . import bench
from .stepper import stepper

LARGE = ("stn128", "atn")  # networks whose convolutions keep a GPU busy
TIMED = 3000  # digits that a timed training draws from
FORMS = {
    "": None,
    "first folded": Form("first"),
    "contiguous": Form(layout="contiguous"),
    "first folded, contiguous": Form("first", layout="contiguous"),
    "all folded": Form("all"),
    "all folded, contiguous": Form("all", layout="contiguous"),
}


# ---- what is compared ----------------------------------------------------------------------------------------------


def kinds(sets: DigitSets) -> dict[str, Training]:
    """Return a training of each kind, two epochs of ten steps: the schedules of 2021, and what else a step can have."""
    found = {name: schedule.training for name, schedule in SCHEDULES.items()}
    found["dropout, momentum, average"] = Training(
        "tutorial", (Stage(stimuli.Scene28(), 2, 0.01),), momentum=0.9, ema_decay=0.9
    )
    found["bank, bfloat16, AdamW"] = Training(
        "stn28", (Stage(stimuli.Scene28(texture="bank"), 2, 0.001),), optimiser="adamw", precision="bfloat16"
    )
    found["score function"] = recipes.attention()
    found["searcher"] = recipes.searcher()
    found["foveal searcher"] = recipes.searcher(periphery="log-polar", retina="polo768")
    return {name: _few(each, sets) for name, each in found.items()}


def _few(whole: Training, sets: DigitSets) -> Training:
    stage = replace(whole.stages[-1], epochs=2, decay=1.0)
    batch = min(whole.batch, 50)
    n = min(10 * batch, len(sets.train))
    return replace(whole, stages=(stage,), batch=batch, digits=n, fraction=1.0, data=sets.name, start=None)


def check_capture(name: str, config: Training, sets: DigitSets, device: str) -> dict:
    """Compare a training's captured steps with those done one by one, and with themselves.

    Returns:
        what; apart, the distance of the two results relative to the way that the weights went; same, whether their
        bits are equal; again, whether those of two captured trainings are; captured, or why not; seconds.
    """
    began, said = time.monotonic(), []
    start = models.build(config.model, rng.generator("weights", config.seed), **config.options).state_dict()

    def way(how: Engine) -> torch.Tensor:
        state = train(config, sets, device, engine=how, say=said.append).model.state_dict()
        return torch.cat([(state[key].cpu().double() - start[key]).flatten() for key in start])

    one, two, three = way(Engine(capture=False)), way(Engine()), way(Engine())
    failed = [line for line in said if "not captured" in line]
    return {
        "what": name,
        "apart": float(f"{((one - two).norm() / one.norm()).item():.3g}"),
        "same": torch.equal(one, two),
        "again": torch.equal(two, three),
        "captured": failed[0] if failed else engine.is_gpu(device),
        "seconds": round(time.monotonic() - began, 2),
    }


# ---- what is timed -------------------------------------------------------------------------------------------------


def variants(name: str, compiled: bool = False) -> Iterable[tuple[str, str, Engine]]:
    """Yield what is worth trying for a network: a name, a precision, and how it is computed."""
    yield "one by one", "tf32", Engine(capture=False)
    for precision in ("float32", "tf32", "bfloat16"):
        for form, how in FORMS.items():
            if name not in LARGE and (precision != "tf32" or "contiguous" in form) and form:
                continue
            if precision == "float32" and "8" in form:
                continue
            yield f"captured{', ' if form else ''}{form}", precision, Engine(form=how)
    yield "captured, algorithms by timing", "tf32", Engine(deterministic=False)
    if compiled:
        for precision in ("tf32", "bfloat16"):
            yield "captured, compiled", precision, Engine(compiled=True)


def time_steps(name: str, precision: str, how: Engine, sets: DigitSets, device: str, least: float = 0.25) -> dict:
    """Measure a network's training at the last stage of its schedule of 2021: per_second, images, stimuli included;
    captured, or not; memory, the most that was held, in MB."""
    config = replace(SCHEDULES[name].training, data=sets.name, digits=TIMED, precision=precision)
    said: list[str] = []
    step = stepper(config, sets, device, how, said.append)
    for _ in range(engine.WARM + 2):
        step()
    rate = config.batch * bench.clock(step, device, least)
    gpu = engine.is_gpu(device) and torch.backends.cuda.is_built()
    return {
        "per_second": float(f"{rate:.4g}"),
        "captured": step.run.loop.captured is not None if not said else said[0],
        "memory": torch.cuda.max_memory_allocated() // 2**20 if gpu else None,
    }


def time_epoch_end(name: str, sets: DigitSets, device: str) -> dict:
    """Measure what comes between two epochs: seconds of the first evaluation of a stage, and of the next ones."""
    step = stepper(replace(SCHEDULES[name].training, data=sets.name, digits=TIMED), sets, device)
    step()
    run = step.run
    run.n_validation = len(sets.validation)
    seconds = []
    for _ in range(2):
        bench.wait(device)
        began = time.perf_counter()
        with run.at_work():
            run._tested(run.kept, run.widest)
            run._tested(run.kept, run.training.stages[run.stage].scene, run.stage)
        bench.wait(device)
        seconds.append(round(time.perf_counter() - began, 4))
    return {"first": seconds[0], "next": seconds[1]}


def time_together(name: str, count: int, sets: DigitSets, device: str) -> dict:
    """Measure several seeds of a network side by side: images per second of all together."""
    config = replace(SCHEDULES[name].training, data=sets.name, digits=TIMED, precision="tf32")
    steps = [stepper(replace(config, seed=seed), sets, device) for seed in range(count)]

    def each() -> None:
        for step in steps:
            step()

    for _ in range(engine.WARM + 2):
        each()
    return {"per_second": float(f"{count * config.batch * bench.clock(each, device):.4g}")}


def time_album(edge: int, sets: DigitSets, device: str) -> dict:
    """Measure the painting of a stage's frozen stimuli: images per second."""
    scene = stimuli.Scene28(draws="frozen") if edge == stimuli.EDGE else stimuli.Scene128(draws="frozen")
    few = sets.train[: min(4000, len(sets.train))].to(device)
    return {
        "per_second": float(f"{len(few) * bench.clock(lambda: stimuli.CachedStimuli(few, scene), device, 0.2):.4g}")
    }


# ---- what a network needs at least ---------------------------------------------------------------------------------


def traffic(model: torch.nn.Module, edge: int, batch: int) -> float:
    """Return the bytes that a training step moves at least for an image: the image is read, what the backward pass
    needs is written and read, weights are read twice, gradients written and read, weights read and written."""
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    images = torch.rand(2, 1, edge, edge)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        logits = model(images).logits
    assert logits.requires_grad  # until here all that was saved is held
    weights = {p.untyped_storage().data_ptr(): 4 * p.numel() for p in model.parameters()}
    activations = sum(n for where, n in saved.items() if where not in weights) / len(images)
    return 4 * edge**2 + 2 * activations + 6 * sum(weights.values()) / batch


def needs(name: str, products: float, bandwidth: float, taken: float | None = None) -> dict:
    """Return what a network needs of a device for an image of its training, and what it takes.

    Args:
        products, bandwidth: operations and bytes per second that the device reaches. taken: images per second.

    Returns:
        operations, bytes, for an image; limit, images per second if only the scarcer of the two took time, and which;
        per_second, and its share of the limit.
    """
    config = SCHEDULES[name].training
    model, edge = models.build(config.model, **config.options), SCHEDULES[name].edge
    operations, moved = bench.operations(model, edge), traffic(model, edge, config.batch)
    limits = {"operations": products / operations, "bytes": bandwidth / moved}
    scarce = min(limits, key=limits.get)
    row = {"what": name, "operations": operations, "bytes": moved, "limit": limits[scarce], "scarce": scarce}
    return row if taken is None else row | {"per_second": taken, "of_limit": taken / limits[scarce]}


def bandwidth_of(device: str) -> float:
    """Return the bytes per second that a device reads and writes in a large copy."""
    large = engine.is_gpu(device) and torch.backends.cuda.is_built()
    source = torch.zeros(1 << (28 if large else 22), device=device)
    target = torch.empty_like(source)
    return 8 * source.numel() * bench.clock(lambda: target.copy_(source), device, 0.1)


# ---- all of it -----------------------------------------------------------------------------------------------------


def run(
    names: Iterable[str],
    sets: DigitSets,
    device: str,
    seconds: float,
    say: Callable[[str], None],
    compiled: bool = False,
) -> list[dict]:
    """Compare and time, as far as the seconds reach; return the rows, each with its part."""
    until, rows, sets = time.monotonic() + seconds, [], sets.to(device)
    names = list(names)

    def add(part: str, title: str, do: Callable[[], dict], **known) -> None:
        if time.monotonic() > until:
            return
        began = time.monotonic()
        try:
            found = do()
        except Exception as error:  # the others go on
            found = {"failed": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
        rows.append({"part": part, **known, **found})
        say(f"{title}: {json.dumps(found)} [{time.monotonic() - began:.1f} s]")
        gc.collect()
        if engine.is_gpu(device) and torch.backends.cuda.is_built():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    for name, config in kinds(sets).items():
        if name in names or name not in SCHEDULES:
            add("capture", f"capture, {name}", lambda name=name, each=config: check_capture(name, each, sets, device))
    for edge in (stimuli.EDGE, stimuli.FIELD):
        add("album", f"album {edge}", lambda edge=edge: time_album(edge, sets, device), edge=edge)
    for name in names:
        for how, precision, each in variants(name):
            do = lambda name=name, precision=precision, each=each: time_steps(name, precision, each, sets, device)  # noqa: E731
            add("steps", f"{name}, {precision}, {how}", do, network=name, precision=precision, how=how)
        add("epoch", f"{name}, end of an epoch", lambda name=name: time_epoch_end(name, sets, device), network=name)
    for name in (each for each in names if each not in LARGE):
        for count in (2, 5):
            do = lambda name=name, count=count: time_together(name, count, sets, device)  # noqa: E731
            add("together", f"{name}, {count} at once", do, network=name, count=count)
    if compiled:
        for name in names:
            for how, precision, each in list(variants(name, True))[-2:]:
                do = lambda name=name, precision=precision, each=each: time_steps(name, precision, each, sets, device)  # noqa: E731
                add("steps", f"{name}, {precision}, {how}", do, network=name, precision=precision, how=how)
    with engine.arithmetic("tf32"):
        add("rates", "rates", lambda: {"products": bench.matrix_rate(device), "bandwidth": bandwidth_of(device)})
    rates = rows[-1] if rows and rows[-1].get("products") else None
    for name in names if rates else ():
        best = max(
            (row.get("per_second", 0) for row in rows if row.get("network") == name and row["part"] == "steps"),
            default=0,
        )
        add(
            "needs",
            f"{name} needs",
            lambda name=name, best=best: needs(name, rates["products"], rates["bandwidth"], best or None),
        )
    return rows


def main() -> None:
    """Run the check from the command line."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("names", nargs="*", help=f"of {', '.join(SCHEDULES)}; default all")
    asked.add_argument("--device", default="cuda")
    asked.add_argument("--data", default="auto")
    asked.add_argument("--seconds", type=float, default=90)
    asked.add_argument("--out", type=Path)
    asked.add_argument("--compiled", action="store_true")
    args = asked.parse_args()
    names = [choose("schedule", name, SCHEDULES) for name in args.names] or list(SCHEDULES)
    say = lambda line: print(line, flush=True)  # noqa: E731
    rows = run(names, digits.load(args.data), args.device, args.seconds, say, args.compiled)
    if args.out:
        files.write(args.out, f"{json.dumps(rows, indent=1)}\n".encode())


if __name__ == "__main__":
    main()
