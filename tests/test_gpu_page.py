"""The page on the whole schedules."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from labbook.config import name_of, seeded
from labbook.experiments import recipes
from labbook.experiments.whole import SCHEDULES
from labbook.ops import device

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def page():
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    yield importlib.import_module("labbook_gpu")
    sys.path.remove(str(ROOT / "book" / "_ext"))


def test_the_published_record_is_whole_and_of_this_table():
    full = json.loads((ROOT / "book" / "results" / "full.json").read_text("utf-8"))
    assert list(full["trained"]) == list(SCHEDULES) and full["left"] == []
    assert device.agrees(full["checks"])
    for name, each in full["trained"].items():
        whole = SCHEDULES[name].training
        asked = device.cut(seeded(whole, full["seed"], full["data"]), full["share"], full["digits"])
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
    ours = recipes.attention().images(55_000) / SCHEDULES["atn"].training.images(55_000)
    assert named["week6_attention", "atn", "adamw", True][1] == pytest.approx(ours)
    led = recipes.stn128_led()
    chain = led.images(55_000) + led.start.images(55_000)
    assert named["week5_contrast", "stn128", "adamw", True][1] * 110 * 55_000 == chain
    written = page.covered(full, rows, page.notices(ROOT / "book"))
    assert "**whole**, 100 %" in written and "a trial, one stage" in written and "no such network in 2021" in written


def test_small_shares_are_told(page):
    assert [page.percent(share) for share in (1, 0.125, 0.0029, 0.00013)] == ["100 %", "12 %", "0.29 %", "0.013 %"]
