"""The check of a GPU against the CPU: the same code on both sides, and captured steps beside those done one by one.

A check is rows of what was compared, the difference found and what is allowed. On the CPU itself all agree by
construction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from .. import models, retina, rng, sampler, stimuli
from ..config import Training
from ..curriculum import Stage
from ..digits import DigitSets
from ..experiments import recipes
from ..experiments.whole import SCHEDULES
from ..runtime.engine import ENGINE, Engine
from ..stimuli import Scene28, Scene128
from ..training import train
from .timing import short


def others() -> dict[str, Training]:
    """Return trainings with what a step can have and those of 2021 have not."""
    return {
        "dropout, momentum, average": Training("tutorial", (Stage(Scene28(), 1, 0.01),), momentum=0.9, ema_decay=0.9),
        "bank, bfloat16, AdamW": Training(
            "stn28", (Stage(Scene28(texture="bank"), 1, 0.001),), optimiser="adamw", precision="bfloat16"
        ),
        "score function": recipes.attention(),
        "searcher": recipes.searcher(),
        "foveal searcher": recipes.searcher(periphery="log-polar", retina="polo768"),
    }


def row(what: str, difference: float, allowed: float) -> dict:
    """Return a line of the check."""
    return {"what": what, "difference": short(difference), "allowed": short(allowed)}


def agrees(checks: dict) -> bool:
    """Return whether all differences found are within what is allowed."""
    return all(each["difference"] <= each["allowed"] for part in checks.values() for each in part["rows"])


def checks(sets: DigitSets, device: str, tf32: bool) -> Iterator[tuple[str, Callable[[], dict]]]:
    """Return the parts of the check, what takes long last: title, and what does it."""
    for edge in sorted({each.edge for each in SCHEDULES.values()}, reverse=True):
        yield f"stimuli {edge}x{edge}", lambda edge=edge: check_stimuli(edge, sets, device)
    for name in sorted(SCHEDULES, key=lambda name: SCHEDULES[name].retina == "whatwhere"):
        training = SCHEDULES[name].training
        yield f"steps of {name}", lambda training=training: check_steps(training, sets, device, tf32=tf32)
    for name in filter(None, dict.fromkeys(each.retina for each in SCHEDULES.values())):
        yield name, lambda name=name: check_features(name, sets, device)
    for name, training in others().items():
        yield f"steps of {name}", lambda training=training: check_steps(training, sets, device, one=False)


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


def check_steps(
    whole: Training, sets: DigitSets, device: str, seed: int = 0, tf32: bool = False, batch: int = 10, one: bool = True
) -> dict:
    """Compare twenty steps of a training with those that are not captured (see `engine`), and with themselves; and, if
    `one`, one step of SGD with the CPU's.

    They are taken from the first weights, `off_the_pixels`.

    Returns:
        rows; same, whether twenty steps twice give equal weights.
    """
    stage = Stage(whole.stages[-1].scene, 1, 0.01, perturbation_std=whole.stages[-1].perturbation_std)
    first = replace(
        whole, stages=(stage,), batch=batch, digits=batch, fraction=1.0, data=sets.name, seed=seed, start=None
    )
    first = replace(first, start=replace(first, optimiser="sgd"), start_with="all")
    start = off_the_pixels(models.build(first.model, rng.generator("weights", seed), **first.options))

    def state(each: Training, place: str, how: Engine = ENGINE) -> dict[str, torch.Tensor]:
        model = train(each, sets, place, weights=start, engine=how).model
        return {key: value.cpu().float() for key, value in model.state_dict().items()}

    def apart(mine: dict, theirs: dict) -> float:
        moved = sum((mine[key] - start[key]).square().sum() for key in mine)
        return (sum((mine[key] - theirs[key]).square().sum() for key in mine) / moved).sqrt().item()

    rows = []
    if one:
        single = replace(first, optimiser="sgd")
        mine = state(single, "cpu")
        rows.append(row("one step, relative", apart(mine, state(single, device)), 1e-3))
        if tf32:
            theirs = state(replace(single, precision="tf32"), device)
            rows.append(row("one step in TF32, relative", apart(mine, theirs), 3e-2))
    twenty = replace(first, digits=20 * batch)
    plain, once, again = (state(twenty, device, how) for how in (Engine(capture=False), ENGINE, ENGINE))
    rows.append(row("twenty steps, captured or not, relative", apart(plain, once), 1e-2))
    return {"rows": rows, "same": all(torch.equal(once[key], again[key]) for key in once)}


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
