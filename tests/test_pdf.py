"""The book as one PDF."""

import pytest

from lib import pdf


def test_without_a_browser_there_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pdf.chromium() is None
    with pytest.raises(RuntimeError, match=r"printed by Chromium, and none of chromium, .* is on the PATH"):
        pdf.make(tmp_path, tmp_path / "_build")


def test_a_book_that_cannot_be_rendered_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(pdf, "chromium", lambda: "/bin/true")
    with pytest.raises(RuntimeError, match="cannot be rendered as one page: "):
        pdf.make(tmp_path, tmp_path / "_build")
    assert not (tmp_path / "_build" / "html").exists()
