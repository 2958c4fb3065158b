"""A few faults of the campaign in `faults.py`: nothing is lost, and nothing altered is taken for whole."""

import json
import random
from pathlib import Path

import faults
import pytest


@pytest.mark.parametrize("name", faults.KILLED)
def test_a_writer_killed_at_any_moment_leaves_nothing_half_written(tmp_path, name):
    assert faults.kill(name, 3, tmp_path, random.Random(name)) == 3


def test_a_flipped_bit_or_a_lost_end_is_refused_by_name_in_every_kind_of_file(tmp_path):
    refused = faults.damage(10, tmp_path, random.Random(1))
    assert refused == dict.fromkeys(refused, 10) and len(refused) == 6


def test_the_published_campaign_lost_nothing():
    rows = json.loads((Path(__file__).parent.parent / "book" / "results" / "faults.json").read_bytes())
    assert [row["to"] for row in rows[:3]] == list(faults.KILLED) and len(rows) == 9
    assert all(row["good"] == row["tried"] >= 10 for row in rows)
