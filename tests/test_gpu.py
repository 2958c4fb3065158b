"""The schedules of 2021, whole: what they are, the check of the device, and the command that works in pieces."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_training import one
from typer.testing import CliRunner

from labbook import curriculum, evaluation, files, models, retina, training
from labbook.book import store as runs
from labbook.config import Training, name_of, seeded
from labbook.experiments import recipes
from labbook.ops import bench, cli, gpu
from labbook.stimuli import ECCENTRICITIES

ROOT = Path(__file__).parent.parent
LIGHT = ("polo", "stn28")


# ---- what they are ---------------------------------------------------------------------------------------------------


def test_the_table_is_that_of_2021():
    assert list(gpu.SCHEDULES) == ["stn128", "atn", "polo", "stn28", "conv_polo", "what", "where"]
    facts = {  # epochs, optimiser, learning rate of each stage's first epoch (study 3.1 to 3.9, 1.6)
        "stn128": (110, "sgd", [0.01] * 3 + [0.001] * 3 + [0.0001] * 3 + [0.001] * 2),
        "atn": (110, "sgd", [0.01 / 2**k for k in range(9)] + [0.001, 0.0005]),
        "polo": (110, "sgd", [0.005 / 2**k for k in range(9)] + [0.0005, 0.00025]),
        "stn28": (160, "sgd", [0.01] * 16),
        "conv_polo": (190, "sgd", [0.005, 0.0045, 0.005 * 0.9**5, 0.005]),
        "what": (80, "adam", [0.005] * 16),
        "where": (60, "adam", [0.005]),
    }
    for name, schedule in gpu.SCHEDULES.items():
        each = schedule.training
        epochs, optimiser, rates = facts[name]
        assert sum(stage.epochs for stage in each.stages) == epochs
        assert (each.optimiser, each.momentum, each.weight_decay, each.batch) == (optimiser, 0, 0, 100)
        assert [stage.lr_at(0) for stage in each.stages] == pytest.approx(rates)
        assert {(stage.scene.draws, stage.scene.noise) for stage in each.stages} == {("frozen", 0.75)}
        assert (each.fraction, each.digits, each.start) == (1.0, None, None)
    for name in ("stn128", "atn", "polo"):
        stages = gpu.SCHEDULES[name].training.stages
        assert [stage.scene.std for stage in stages] == [*ECCENTRICITIES, 40, 40]
        assert [stage.scene.contrast for stage in stages] == [(0.7, 0.7)] * 9 + [(0.5, 0.7), (0.3, 0.7)]
    for name in ("stn28", "what"):
        assert [stage.scene.std for stage in gpu.SCHEDULES[name].training.stages] == list(range(16))
    conv = gpu.SCHEDULES["conv_polo"].training.stages
    rates = [stage.lr_at(epoch) for stage in conv for epoch in range(stage.epochs)]
    assert {stage.scene.std for stage in conv} == {40}
    assert rates[:90] == pytest.approx([0.005 * 0.9 ** (epoch // 10) for epoch in range(90)])
    assert rates[90:] == pytest.approx([0.005 * 0.5 ** (epoch // 10) for epoch in range(100)])


@pytest.mark.parametrize("name", gpu.SCHEDULES)
@pytest.mark.parametrize("share", [0.5, 0.01, 0.001, 0.0001])
def test_a_share_shortens_openly(name, share):
    whole = gpu.SCHEDULES[name].training
    assert gpu.cut(whole, 1, 55_000) is whole
    short = gpu.cut(whole, share, 55_000)
    kept = replace(short, stages=whole.stages, fraction=1.0, batch=whole.batch)
    assert kept == whole and [stage.scene for stage in short.stages] == [stage.scene for stage in whole.stages]
    steps = sum(stage.epochs for stage in short.stages)  # each epoch has at least one, and rounds by half of one
    assert abs(short.images(55_000) - share * whole.images(55_000)) <= steps * whole.batch


def test_what_is_needed_comes_along_and_unknown_names_are_refused():
    assert gpu.chosen() == list(gpu.SCHEDULES)
    assert gpu.chosen(["where", "polo"]) == ["polo", "what", "where"]
    for words, said in (
        (["stn182"], "Did you mean 'stn128'?"),
        (["polo", "--share", "0"], "share=0.0 must be a number from 0.0001 to 1"),
        (["polo", "--device", "cuda:99"], "device='cuda:99' asks for what is not here"),
        (["polo", "--data", "mnits"], "Did you mean 'mnist'?"),
    ):
        done = CliRunner().invoke(cli.app, ["full", "--data", "digits", *words])
        assert done.exit_code == 2 and said in done.stderr, done.output


# ---- no step waits ---------------------------------------------------------------------------------------------------

SMALL = retina.WhatWhere(orientations=2, azimuths=4, rings=3)
STEPS = {
    "28x28, fresh, from the bank": Training("stn28", curriculum.week2(texture="bank")),
    "28x28, frozen": gpu.SCHEDULES["stn28"].training,
    "128x128, frozen, log-polar": gpu.SCHEDULES["polo"].training,
    "128x128, told where": recipes.polo_by_gradient(loss="cross_entropy and position"),
    "glimpses": replace(recipes.attention(), batch=4),
    "searcher": recipes.searcher(),
    "foveal searcher": recipes.searcher(periphery="log-polar", retina="polo768"),
    "where": replace(gpu.SCHEDULES["where"].training, options={"retina": SMALL, "batch_norm": True, "standard": True}),
}


@pytest.mark.parametrize("name", STEPS)
def test_no_step_waits_for_the_device(sets, name):
    """Adam counts its steps on the host, which costs no wait; so SGD stands for it."""
    few = replace(STEPS[name], data="digits", optimiser="sgd", batch=min(10, STEPS[name].batch))
    step = training.stepper(few, sets)
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
    step = training.stepper(replace(STEPS[name], data="digits"), sets, "cuda")
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
    assert gpu.agrees({"a": gpu.check_features("polo768", few, "cpu")})
    assert gpu.agrees({"a": gpu.check_stimuli(28, few, "cpu")})
    build = retina.build

    def wrong(name, device="cpu", form=None):
        right = build(name, device, form)
        return right if form == "cores" else lambda images: right(images) * 1.001

    monkeypatch.setattr(gpu.retina, "build", wrong)
    assert not gpu.agrees({"a": gpu.check_features("polo768", few, "cpu")})
    draw = gpu.stimuli.draw
    brighter = lambda *given: draw(*given)._replace(images=draw(*given).images + 0.005)  # noqa: E731
    sides = iter((draw, draw, brighter, brighter))
    monkeypatch.setattr(gpu.stimuli, "draw", lambda *given: next(sides)(*given))
    assert not gpu.agrees({"a": gpu.check_stimuli(28, few, "cpu")})


def test_the_check_tells_steps_that_differ_and_why(few, monkeypatch):
    good = gpu.check_steps("stn28", few, "cpu")
    assert good["same"] and gpu.agrees({"a": good})
    train, calls = gpu.train, iter(range(100))

    def noisy(*given, **more):
        outcome = train(*given, **more)
        with torch.no_grad():
            next(outcome.model.parameters()).add_(1e-3 * next(calls))
            torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]))  # an operation that PyTorch calls undetermined
        return outcome

    monkeypatch.setattr(gpu, "train", noisy)
    bad = gpu.check_steps("stn28", few, "cpu")
    assert not bad["same"] and not gpu.agrees({"a": bad})
    assert any(reason.startswith("put_ does not have a deterministic implementation") for reason in bad["reasons"])
    assert not torch.are_deterministic_algorithms_enabled()


def test_tf32_is_switched_and_switched_back():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    for tf32 in (True, False):
        with gpu.precision(tf32):
            assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (tf32, tf32)
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


# ---- in pieces -------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Steps of ten images, clocks that do not wait, and checks that do not repeat what other tests try."""
    for name in LIGHT:
        schedule = gpu.SCHEDULES[name]
        few = replace(schedule, training=replace(schedule.training, batch=10))
        monkeypatch.setitem(gpu.SCHEDULES, name, few)
    monkeypatch.setattr(bench, "clock", lambda do, device, least=0: do() is None or 100.0)
    monkeypatch.setattr(gpu, "check_steps", lambda *given: {"rows": [], "same": True, "reasons": []})


def test_cut_off_again_and_again_it_ends_as_if_left_alone(few, tmp_path, quick, monkeypatch):
    cells = dict(list(evaluation.cells().items())[::9])
    monkeypatch.setattr(evaluation, "cells", lambda: cells)
    monkeypatch.setattr(gpu, "time_training", lambda *given: {"per_second": 1.0, "target": None})
    whole = gpu.Piece(LIGHT, few, "cpu", tmp_path / "whole", 0.001, say=lambda line: None)
    assert whole.run() and whole.record["pieces"][-1]["ended"] == "done"
    said, pieces = [], 0
    while True:
        piece = gpu.Piece(LIGHT, few, "cpu", tmp_path / "cut", 0.001, minutes=0, say=said.append)
        pieces += 1
        if piece.run():
            break
        assert said[-1].endswith("The same command goes on.") and pieces < 200
    assert pieces > 30 and len(piece.record["pieces"]) == pieces and piece.record["left"] == []
    assert any("polo, stage 3 of 11" in each["ended"] for each in piece.record["pieces"])
    for name in LIGHT:
        one, other = whole.record["trained"][name], piece.record["trained"][name]
        assert {key: value for key, value in one.items() if key != "seconds"} == {
            key: value for key, value in other.items() if key != "seconds"
        }
        stored = [runs.read_run(each.store.local / one["run"]).weights_sha256 for each in (whole, piece)]
        assert stored[0] == stored[1]
        whole_one = piece.record["whole"][name]
        assert one["images"] < whole_one["images"] and one["epochs"] < whole_one["epochs"]
    assert len(one["central"]) == len(one["general"]) == 1
    assert len(piece.record["trained"]["polo"]["cells"]) == len(cells)
    assert json.loads(piece.path.read_text("utf-8")) == piece.record


def test_the_command_says_that_time_is_up_and_goes_on(tmp_path, quick):
    command = ["full", "stn28", "--data", "digits", "--share", "0.0005", "--device", "cpu", "--out", str(tmp_path)]
    first = CliRunner().invoke(cli.app, [*command, "--minutes", "0"])
    assert first.exit_code == 75, first.output
    assert "Left: stn28. The same command goes on." in first.output
    second = CliRunner().invoke(cli.app, command)
    assert second.exit_code == 0, second.output
    assert "images per second" in second.output and "All is done: " in second.output
    (record,) = tmp_path.glob("*.json")
    assert [each["ended"] == "done" for each in json.loads(record.read_text("utf-8"))["pieces"]] == [False, True]
    record.write_text("{")
    assert CliRunner().invoke(cli.app, command).exit_code == 2


@pytest.mark.parametrize("share", [1, 0.5])
def test_only_whole_runs_are_published_and_large_weights_stay_behind(tmp_path, few, monkeypatch, share):
    store = runs.Store(tmp_path / "nowhere", tmp_path / "runs")
    small, large = (store.get_or_train(one(model), few) for model in ("tutorial", "lenet"))
    monkeypatch.setattr(runs, "WEIGHTS_LIMIT", (small.weights.stat().st_size + large.weights.stat().st_size) // 2)
    files.write(tmp_path / "record.json", b"{}")
    record = {"trained": {run.id: {"run": run.id} for run in (small, large)}}
    piece = SimpleNamespace(share=share, record=record, store=store, path=tmp_path / "record.json")
    book = tmp_path / "book"
    assert gpu.publish(piece, book).read_bytes() == b"{}"
    published = runs.Store(book / "runs", tmp_path / "nowhere")
    found = [published.find(one(model)) for model in ("tutorial", "lenet")]
    assert [run and run.weights.exists() for run in found] == ([True, False] if share == 1 else [None, None])


# ---- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page():
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    yield importlib.import_module("labbook_gpu")
    sys.path.remove(str(ROOT / "book" / "_ext"))


def test_the_published_record_is_whole_and_of_this_table():
    full = json.loads((ROOT / "book" / "results" / "full.json").read_text("utf-8"))
    assert list(full["trained"]) == list(gpu.SCHEDULES) and full["left"] == []
    assert gpu.agrees(full["checks"])
    for name, each in full["trained"].items():
        whole = gpu.SCHEDULES[name].training
        asked = gpu.cut(seeded(whole, full["seed"], full["data"]), full["share"], full["digits"])
        assert each["run"] == name_of(asked)
        images = each["images"], full["whole"][name]["images"]
        assert images == (asked.images(full["digits"]), whole.images(full["digits"]))
        assert full["timings"]["training"][name]["waits"] == 0


def test_the_page_says_which_results_are_shortened(page):
    full = json.loads((ROOT / "book" / "results" / "full.json").read_text("utf-8"))
    rows = page.coverage(full, ROOT / "book")
    manifest = {path.stem: page.used(path) for path in (ROOT / "book").glob("*.ipynb")}
    assert {row["chapter"] for row in rows} == {name for name, used in manifest.items() if used}
    assert sum(row["runs"] for row in rows) == sum(map(len, manifest.values()))
    named = {
        (row["chapter"], row["model"], row["optimiser"], row["part"]): row["share"] for row in rows if row["share"]
    }
    assert named["week2_adam_vs_sgd", "stn28", "sgd", False] == (1, 1)
    ours = recipes.attention().images(55_000) / gpu.SCHEDULES["atn"].training.images(55_000)
    assert named["week6_attention", "atn", "adamw", True][1] == pytest.approx(ours)
    led = recipes.stn128_led()
    chain = led.images(55_000) + led.start.images(55_000)
    assert named["week5_contrast", "stn128", "adamw", True][1] * 110 * 55_000 == chain
    written = page.covered(full, rows, page.notices(ROOT / "book"))
    assert "**whole**, 100 %" in written and "a trial, one stage" in written and "no such network in 2021" in written


def test_small_shares_are_told(page):
    assert [page.percent(share) for share in (1, 0.125, 0.0029, 0.00013)] == ["100 %", "12 %", "0.29 %", "0.013 %"]
