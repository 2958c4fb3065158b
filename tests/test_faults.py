"""A few faults of the campaign in `faults.py`: nothing is lost, and nothing altered is taken for whole."""

import json
import random

import faults
import pytest
from here import ROOT

FEW = {"killed": 3, "published": 1, "struck": 2, "altered": 32, "together": 1}  # the others have tests of their own


@pytest.mark.parametrize(
    "fault", [each for each in faults.FAULTS if each.kind in FEW], ids=lambda each: f"{each.fault}: {each.to}"
)
def test_a_fault_ends_as_it_should(fault, tmp_path):
    try:
        assert fault.act(FEW[fault.kind], tmp_path, random.Random(fault.to)) == FEW[fault.kind]
    except PermissionError as error:
        pytest.skip(str(error))


def test_the_published_campaign_lost_nothing():
    rows = json.loads((ROOT / "book" / "results" / "faults.json").read_bytes())
    assert [(row["kind"], row["fault"], row["to"]) for row in rows] == [each[:3] for each in faults.FAULTS]
    assert all(row["good"] == row["tried"] > 0 and row["date"] and row["commit"] and row["machine"] for row in rows)
