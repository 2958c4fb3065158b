"""A chapter of trainings passes through the profile "full", shortened, on the pretend GPU."""

import os

import pytest
import rehearsal
from here import PRETEND_CARD, ROOT

from labbook.book import checkout, pages


@pytest.mark.slow
def test_a_chapter_is_rehearsed_in_full(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (PRETEND_CARD, ROOT / "lib"))))
    (path,) = checkout.find(["week3"])
    assert rehearsal.rehearse(path, tmp_path) == ""
    page = pages.read(tmp_path / path.name)
    assert any(cell.id == "rehearsal" for cell in page.cells) and len(list((tmp_path / "runs").glob("*/"))) > 5
