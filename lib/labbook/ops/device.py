"""How a device does what a CPU does: the check of a GPU against the CPU, and its timings beside what it could do.

A check is rows of what was compared, the difference found and what is allowed. On the CPU itself a step agrees by
construction.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from .. import evaluation, models, retina, rng, sampler, stimuli
from ..config import Training, shortened
from ..curriculum import Stage
from ..digits import DigitSets
from ..experiments.whole import SCHEDULES
from ..runtime import engine
from ..stimuli import Scene28, Scene128
from ..training import train
from . import bench
from .stepper import stepper

CENTRAL, GENERAL = 0.0, 15.0  # std of the shift, pixels, of the two accuracies at 28x28
FIELDS_PER_SECOND = 50_000  # 128x128 stimuli that one data-centre GPU should make
MAP_PASSES, MAP_MINUTES = 55 * 55 * 10_000, 3  # forward passes of an accuracy map, and what they should take


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


def checks(sets: DigitSets, device: str, tf32: bool) -> Iterator[tuple[str, Callable[[], dict]]]:
    """Return the parts of the check, what takes long last: title, and what does it."""
    for edge in sorted({each.edge for each in SCHEDULES.values()}, reverse=True):
        yield f"stimuli {edge}x{edge}", lambda edge=edge: check_stimuli(edge, sets, device)
    for name in sorted(SCHEDULES, key=lambda name: SCHEDULES[name].retina == "whatwhere"):
        yield f"steps of {name}", lambda name=name: check_steps(name, sets, device, tf32=tf32)
    for name in filter(None, dict.fromkeys(each.retina for each in SCHEDULES.values())):
        yield name, lambda name=name: check_features(name, sets, device)


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
    """Compare one step of SGD with the CPU's; and twenty steps of the schedule's own optimiser with themselves, and
    with those that are not captured (see engine.py).

    The one step is taken from the first weights, `off_the_pixels`.
    """
    training = SCHEDULES[name].training
    stages = (Stage(training.stages[-1].scene, 1, 0.01),)
    first = replace(training, stages=stages, optimiser="sgd", batch=batch, digits=batch, data=sets.name, seed=seed)
    one = replace(first, start=first)
    start = off_the_pixels(models.build(one.model, rng.generator("weights", seed), **one.options))

    def state(each: Training, place: str, how: engine.Engine = engine.ENGINE) -> dict[str, torch.Tensor]:
        model = train(each, sets, place, weights=each.start and start, engine=how).model
        return {key: value.cpu().float() for key, value in model.state_dict().items()}

    def apart(mine: dict, theirs: dict) -> float:
        moved = sum((mine[key] - start[key]).square().sum() for key in mine)
        return (sum((mine[key] - theirs[key]).square().sum() for key in mine) / moved).sqrt().item()

    mine = state(one, "cpu")
    rows = [row("one step, relative", apart(mine, state(one, device)), 1e-3)]
    if tf32:
        rows.append(row("one step in TF32, relative", apart(mine, state(replace(one, precision="tf32"), device)), 3e-2))
    twenty = replace(one, stages=stages, optimiser=training.optimiser, digits=20 * batch)
    single = state(twenty, device, engine.Engine(capture=False))
    once, again = (state(twenty, device) for _ in range(2))
    rows.append(row("twenty steps, captured or not, relative", apart(single, once), 1e-2))
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


def time_training(name: str, sets: DigitSets, device: str, matrix: float, precision: str = "float32") -> dict:
    """Measure the training of a schedule in a precision, at its last stage.

    Returns:
        per_second, images, in batches of `batch`; stimuli, their share of a step; operations, of the forward and
        backward pass of an image; of_matrix, the share of `matrix` (operations per second) that these reach; sent,
        operations sent to the device in a step, and waits, how many of them wait for it (see `bench.Watch`; Adam keeps
        its own counter on the host, so SGD stands for it); target, images per second.
    """
    schedule = SCHEDULES[name]
    training = replace(schedule.training, data=sets.name, precision=precision)
    step = stepper(training, sets, device)
    for _ in range(engine.WARM + 1):  # on a GPU one is captured
        step()
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
    return {
        "per_second": short(rate),
        "stimuli": short(steps / drawn),
        "operations": operations,
        "of_matrix": short(rate * operations / matrix),
        "sent": watch.sent,
        "waits": len(watch.waits),
        "batch": training.batch,
        "target": schedule.rate,
    }


def time_matrix(device: str, precision: str) -> float:
    """Measure the operations per second of a large product of matrices; what is bfloat16 is measured as TF32."""
    with engine.arithmetic("float32" if precision == "float32" else "tf32"):
        return short(bench.matrix_rate(device))


def time_map(sets: DigitSets, device: str) -> dict:
    """Measure the forward passes of an accuracy map of the 28x28 transformer, per second, with their stimuli."""
    model, digits = models.build("stn28").to(device).eval(), sets.test.to(device)
    axis, n = (-5, 0, 5), min(1000, len(digits))
    rate = bench.clock(lambda: evaluation.accuracy_map(model, digits, Scene28(), n, axis), device)
    return {"per_second": short(rate * n * (len(axis) ** 2 + 1)), "target": short(MAP_PASSES / (60 * MAP_MINUTES))}


def timings(
    sets: DigitSets, device: str, into: dict, precision: str = "float32"
) -> Iterator[tuple[str, dict, str, Callable[[], object]]]:
    """Return the parts of the timings: title, the dictionary and the key that it goes to, and what does it."""
    yield "product of matrices", into, "matrix", lambda: time_matrix(device, precision)
    yield "stimuli", into, "stimuli", lambda: time_stimuli(sets, device)
    for name in SCHEDULES:
        do = lambda name=name: time_training(name, sets, device, into["matrix"], precision)  # noqa: E731
        yield f"training {name}", into["training"], name, do
    yield "accuracy map", into, "map", lambda: time_map(sets, device)


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


def comment(made: object) -> str:
    """Return what is worth saying of a part of the check or the timings."""
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
        worst.append("twenty steps twice: " + ("equal weights" if made["same"] else "; ".join(made["reasons"]) or "?"))
    return "; " + "; ".join(worst)
