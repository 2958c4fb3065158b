"""The check of a device, and that no step of a training waits for it."""

from dataclasses import replace

import pytest
import torch
from waits import Watch

from labbook import retina
from labbook.config import Training
from labbook.experiments import recipes
from labbook.experiments.whole import SCHEDULES
from labbook.ops import device
from labbook.ops.timing import stepper
from labbook.study2021 import schedules

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
    with Watch() as watch:
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
    with Watch() as watch:
        do(x)
    assert watch.waits
    with Watch() as watch:
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


def test_the_check_tells_steps_that_differ(few, monkeypatch):
    training = SCHEDULES["stn28"].training
    good = device.check_steps(training, few, "cpu")
    assert good["same"] and device.agrees({"a": good}) and len(good["rows"]) == 2
    train, calls = device.train, iter(range(100))

    def noisy(*given, **more):
        outcome = train(*given, **more)
        with torch.no_grad():
            next(outcome.model.parameters()).add_(1e-3 * next(calls))
        return outcome

    monkeypatch.setattr(device, "train", noisy)
    bad = device.check_steps(training, few, "cpu")
    assert not bad["same"] and not device.agrees({"a": bad})


@pytest.mark.parametrize("name", ["dropout, momentum, average", "searcher"])
def test_other_kinds_of_step_are_checked_too(few, name):
    found = device.check_steps(device.others()[name], few, "cpu", batch=2, one=False)
    assert found["same"] and [each["difference"] for each in found["rows"]] == [0]
