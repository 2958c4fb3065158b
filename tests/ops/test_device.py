"""The check of a device, its timings, and that no step of a training waits for it."""

from dataclasses import replace

import pytest
import torch

from labbook import models, retina
from labbook.config import Training
from labbook.experiments import recipes
from labbook.experiments.whole import SCHEDULES
from labbook.ops import bench, device
from labbook.ops.stepper import stepper
from labbook.study2021 import schedules


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("share", [0.5, 0.01, 0.001, 0.0001])
def test_a_share_shortens_openly(name, share):
    whole = SCHEDULES[name].training
    assert device.cut(whole, 1, 55_000) is whole
    short = device.cut(whole, share, 55_000)
    kept = replace(short, stages=whole.stages, fraction=1.0, batch=whole.batch)
    assert kept == whole and [stage.scene for stage in short.stages] == [stage.scene for stage in whole.stages]
    steps = sum(stage.epochs for stage in short.stages)  # each epoch has at least one, and rounds by half of one
    assert abs(short.images(55_000) - share * whole.images(55_000)) <= steps * whole.batch


# ---- no step waits ---------------------------------------------------------------------------------------------------

SMALL = retina.WhatWhere(orientations=2, azimuths=4, rings=3)
STEPS = {
    "28x28, fresh, from the bank": Training("stn28", schedules.week2(texture="bank")),
    "28x28, frozen": SCHEDULES["stn28"].training,
    "128x128, frozen, log-polar": SCHEDULES["polo"].training,
    "128x128, told where": recipes.polo_by_gradient(loss="cross_entropy and position"),
    "glimpses": replace(recipes.attention(), batch=4),
    "searcher": recipes.searcher(),
    "foveal searcher": recipes.searcher(periphery="log-polar", retina="polo768"),
    "where": replace(SCHEDULES["where"].training, options={"retina": SMALL, "batch_norm": True, "standard": True}),
}


@pytest.mark.parametrize("name", STEPS)
def test_no_step_waits_for_the_device(sets, name):
    """Adam counts its steps on the host, which costs no wait; so SGD stands for it."""
    few = replace(STEPS[name], data="digits", optimiser="sgd", batch=min(10, STEPS[name].batch))
    step = stepper(few, sets)
    step()  # once: tables are made
    with bench.Watch() as watch:
        step()
    assert watch.waits == []
    assert 100 < watch.sent < 1000


@pytest.mark.parametrize(
    "do",
    [
        lambda x: bool((x > 0).all()),
        lambda x: float(x[0]),
        lambda x: x[0].item(),
        lambda x: x.tolist(),
        lambda x: x[x > 0],
        lambda x: x[[0, 1]],
        lambda x: x.nonzero(),
        lambda x: x.to("cpu"),
        lambda x: x + torch.arange(3),
        lambda x: x + torch.tensor([1, 2, 3]),
        lambda x: torch.equal(x, x),
    ],
)
def test_every_kind_of_wait_is_seen(do):
    x = torch.ones(3)
    with bench.Watch() as watch:
        do(x)
    assert watch.waits
    with bench.Watch() as watch:
        (x + torch.arange(3, device=x.device)).to(torch.float64).view(3, 1).sum()
    assert watch.waits == [] and watch.sent == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", STEPS)
def test_no_step_waits_for_a_gpu(sets, name):
    step = stepper(replace(STEPS[name], data="digits"), sets, "cuda")
    step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_operations_of_a_network_with_batch_normalisation_are_counted():
    """Its second layer, 1000 by 1000, takes six million: forward, and twice backward; making the retina none."""
    small = retina.WhatWhere(orientations=2, azimuths=4, rings=2)
    first, second = (bench.operations(models.build("where", retina=small, batch_norm=True), 128) for _ in range(2))
    assert 6e6 < first == second < 9e6


# ---- the check -------------------------------------------------------------------------------------------------------


def test_the_check_finds_what_differs(few, monkeypatch):
    assert device.agrees({"a": device.check_features("polo768", few, "cpu")})
    assert device.agrees({"a": device.check_stimuli(28, few, "cpu")})
    build = retina.build

    def wrong(name, device="cpu", form=None):
        right = build(name, device, form)
        return right if form == "cores" else lambda images: right(images) * 1.001

    monkeypatch.setattr(device.retina, "build", wrong)
    assert not device.agrees({"a": device.check_features("polo768", few, "cpu")})
    draw = device.stimuli.draw
    brighter = lambda *given: draw(*given)._replace(images=draw(*given).images + 0.005)  # noqa: E731
    sides = iter((draw, draw, brighter, brighter))
    monkeypatch.setattr(device.stimuli, "draw", lambda *given: next(sides)(*given))
    assert not device.agrees({"a": device.check_stimuli(28, few, "cpu")})


def test_the_check_tells_steps_that_differ_and_why(few, monkeypatch):
    good = device.check_steps("stn28", few, "cpu")
    assert good["same"] and device.agrees({"a": good})
    train, calls = device.train, iter(range(100))

    def noisy(*given, **more):
        outcome = train(*given, **more)
        with torch.no_grad():
            next(outcome.model.parameters()).add_(1e-3 * next(calls))
            torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]))  # an operation that PyTorch calls undetermined
        return outcome

    monkeypatch.setattr(device, "train", noisy)
    bad = device.check_steps("stn28", few, "cpu")
    assert not bad["same"] and not device.agrees({"a": bad})
    assert any(reason.startswith("put_ does not have a deterministic implementation") for reason in bad["reasons"])
    assert not torch.are_deterministic_algorithms_enabled()
