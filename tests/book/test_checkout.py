"""The checkout: where it is found, and the chapters in it."""

import pytest
from chapters import write_chapter

from labbook.book import checkout as book_checkout
from labbook.errors import ConfigurationError


def test_the_checkout_is_looked_for_above(tmp_path, monkeypatch):
    monkeypatch.setattr(
        book_checkout, "__file__", str(tmp_path / "a" / "b" / "site" / "labbook" / "book" / "checkout.py")
    )
    (tmp_path / "book" / "notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "book" / "notebooks")
    assert book_checkout.root() == tmp_path / "book" / "notebooks"
    (tmp_path / "book" / "_toc.yml").touch()
    assert book_checkout.root() == tmp_path / "book"


def test_chapters_are_found_in_reading_order_by_unique_beginnings(checkout):
    with pytest.raises(ConfigurationError, match="no notebook"):
        book_checkout.chapters()
    paths = {name: write_chapter(checkout, name) for name in ("beyond", "week1_a", "week2_b", "week2_c")}
    assert [path.stem for path in book_checkout.chapters()] == sorted(paths)
    toc = "root: book/intro\nchapters:\n- file: book/week2_b.ipynb\n- {file: book/week1_a}\n- file: 'book/beyond'\n"
    (checkout / "_toc.yml").write_text(toc)
    assert [path.stem for path in book_checkout.find([])] == ["week2_b", "week1_a", "beyond", "week2_c"]
    assert book_checkout.find(["week1", "notebooks/week1_a.ipynb"]) == [paths["week1_a"]]
    for word, words in [("week2", "fits more than one"), ("weak1_a", "Did you mean 'week1_a'"), ("", "no chapter")]:
        with pytest.raises(ConfigurationError, match=words):
            book_checkout.find([word])
