"""The page on the whole schedules: what sessions on a GPU found, and which results come from shortened schedules."""

import importlib
import json
import sys

import pytest
from here import ROOT

from labbook.experiments import card, recipes
from labbook.experiments.whole import SCHEDULES
from labbook.ops import device, timing

BOOK = ROOT / "book"
RECORDS = sorted((BOOK / "results" / "gpu").glob("*.json"))


@pytest.fixture(scope="module")
def page():
    sys.path.insert(0, str(BOOK / "_ext"))
    yield importlib.import_module("labbook_gpu")
    sys.path.remove(str(BOOK / "_ext"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_published_record_has_the_schedules_of_this_library_and_is_told(page, path):
    found = json.loads(path.read_text("utf-8"))
    images = {name: each["images"] for name, each in found["whole"].items()}
    assert images == {name: each.training.images(found["digits"]) for name, each in SCHEDULES.items()}
    assert {"asked", "machine", "checks", "chapters", "timings", "trained", "stopped", "left"} <= found.keys()
    told = page.session(found)
    assert found["machine"]["device"] in told
    assert all(f"{each['per_second']:,.0f}" in told for each in found["timings"]["training"].values())


def test_the_first_session_is_told_as_it_was(page):
    found = json.loads(RECORDS[0].read_text("utf-8"))
    told = page.session(found)
    assert "NVIDIA H100" in told and "TF32" in told
    assert "143 of 160 epochs; 52 % at the end" in told and "18 of 110 epochs; 76 % at the end" in told
    assert "whole, 150 s: central 75.5 %, general 31.9 %" in told.replace("75.6", "75.5")
    assert "0 saccades 29.3 %, 1 saccade 63.9 %, 5 saccades 65.0 %" in told
    assert "Of 9 chapters in the profile `smoke`, side by side, 0 finished." in told
    assert not device.agrees(found["checks"])  # a step of STN-28, for the reason that `device.off_the_pixels` gives
    assert "for 1 of 7 networks" in told


def test_what_a_network_needs_is_told_as_it_is(page):
    records = page.sessions(BOOK)
    needs = records[1]["timings"]["needs"]
    assert set(needs) == set(SCHEDULES) and needs["what"] == timing.needs("what")
    told = page.needed(records)
    assert told.count("\n") == 1 + len(SCHEDULES) and "| STN-28 | 15 | 0.41 | 0.04; 0.12 | 7.3; 3.1 | 4 % |" in told


def test_every_schedule_has_its_training(page):
    names = {entry.name for entry in card.card_trainings()}
    assert set(page.SCHEDULES) == set(SCHEDULES) and set(page.SCHEDULES.values()) - {"STN-128"} <= names
    assert set(SCHEDULES) <= set(page.TITLES)


def test_a_session_that_trained_seeds_is_told(page):
    run = {"run": "0", "images": 100, "seconds": 2.0, "measured": {"central": 0.9}}
    rows = [{**run, "seed": 0}, {**run, "seed": 1, "measured": {"central": 0.8}}]
    found = json.loads(RECORDS[0].read_text("utf-8"))
    found |= {"trained": {"STN-28, SGD": rows, "two convolutions, 0.005": rows}, "stopped": {}, "chapters": []}
    found["asked"] |= {"share": 0.01, "precision": None}
    told = page.session(found)
    assert "whole, 2 s: central 85.0 % (mean of 2 seeds)" in told and "two convolutions, 0.005" in told
    assert "rehearsal** with 1 %" in told and "chapters" not in told


def test_the_page_says_which_results_are_shortened(page):
    found = page.sessions(BOOK)[0]
    rows = page.coverage(found, BOOK)
    manifest = {path.stem: page.used(path) for path in BOOK.glob("*.ipynb")}
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
    written = page.covered(rows, page.notices(BOOK))
    assert "**whole**, 100 %" in written and "a trial, one stage" in written and "no such network in 2021" in written


def test_small_shares_are_told(page):
    assert [page.percent(share) for share in (1, 0.125, 0.0029, 0.00013)] == ["100 %", "12 %", "0.29 %", "0.013 %"]
