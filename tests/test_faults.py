"""A few faults of the campaign in `faults.py`: nothing is lost, and nothing altered is taken for whole."""

import json
import random

import faults
import pytest
from here import ROOT

QUICK = [name for name in faults.DISKS if name not in ("an executed notebook", "the pages in HTML")]  # no processes


@pytest.mark.parametrize("name", faults.KILLED)
def test_a_writer_killed_at_any_moment_leaves_nothing_half_written(tmp_path, name):
    assert faults.kill(name, 3, tmp_path, random.Random(name)) == 3


def test_a_flipped_bit_or_a_lost_end_is_refused_by_name_in_every_kind_of_file(tmp_path):
    refused = faults.damage(10, tmp_path, random.Random(1))
    assert refused == dict.fromkeys(refused, 10) and len(refused) >= 7


@pytest.mark.parametrize("fault", [faults.full, faults.read_only])
@pytest.mark.parametrize("name", QUICK)
def test_a_disk_that_takes_nothing_loses_nothing(tmp_path, name, fault):
    try:
        assert faults.strike(name, 2, tmp_path, random.Random(2), fault) == (2, 2)
    except PermissionError as error:
        pytest.skip(str(error))


def test_a_run_that_is_killed_while_it_publishes_leaves_all_whole(tmp_path):
    faults._checkout(tmp_path)
    assert faults.kill_run(1, tmp_path, random.Random(3), publish=True) == 1


def test_a_clock_that_jumps_changes_no_bit(tmp_path):
    assert faults.jump(1, tmp_path, random.Random(4)) == 1


def test_two_processes_get_one_training(tmp_path):
    assert faults.beside(1, tmp_path) == 1


def test_a_worker_without_memory_costs_its_own_execution_alone(tmp_path):
    assert faults.starve(1, tmp_path, random.Random(5)) == 1


def test_the_published_campaign_lost_nothing():
    rows = json.loads((ROOT / "book" / "results" / "faults.json").read_bytes())
    assert {row["kind"] for row in rows} == set(faults.KINDS)
    assert [row["to"] for row in rows if row["kind"] == "killed"] == list(faults.KILLED)
    assert all(row["good"] == row["tried"] > 0 for row in rows)
    assert all(row["tried"] >= 25 for row in rows if row["kind"] in ("killed", "trained", "executed", "published"))
