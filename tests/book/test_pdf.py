"""The book as one PDF."""

import re

import pytest
import yaml
from here import ROOT

from labbook.book import pdf


def test_without_a_browser_there_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pdf.chromium() is None
    with pytest.raises(RuntimeError, match=r"printed by Chromium, and none of chromium, .* is on the PATH"):
        pdf.make(tmp_path, tmp_path / "_build")


@pytest.mark.skipif(pdf.chromium() is None, reason="no chromium here")
def test_a_printed_page_is_tagged_and_has_an_outline(tmp_path):
    page, target = tmp_path / "page.html", tmp_path / "page.pdf"
    image = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
    page.write_text(
        f'<html lang="en"><title>Digits</title><h1>Retina</h1><p>Words</p><h2>Fovea</h2>'
        f'<img width="9" height="9" alt="A seven" src="{image}"><table><tr><th>noise</th><td>1</td></tr></table></html>'
    )
    pdf.to_pdf(pdf.chromium(), page, target)
    made = target.read_bytes()
    catalog = re.search(rb"/Type /Catalog.*?endobj", made, re.S)[0]
    for key in (
        rb"/MarkInfo\s*<<[^>]*/Marked true",
        rb"/StructTreeRoot \d+ 0 R",
        rb"/Outlines \d+ 0 R",
        rb"/Lang \(en\)",
    ):
        assert re.search(key, catalog), key
    assert b"/Alt (A seven)" in made
    assert {b"/H1", b"/H2", b"/P", b"/Figure", b"/TH", b"/TD"} <= set(re.findall(rb"/S (/\w+)", made))
    entries = re.findall(rb"\d+ 0 obj\n<<[^>]*/Title \((\w+)\)[^>]*/Dest[^>]*>>", made)
    assert sorted(entries) == [b"Fovea", b"Retina"]


def test_pages_for_maintainers_are_not_printed():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    files = re.findall(r"'file': '(\S+)'", str(pdf._printed(contents)))
    every = re.findall(r"'file': '(\S+)'", str(contents))
    assert {"book/primer_task", "book/beyond_evidence", "book/study", "book/references"} <= set(files)
    assert {"book/study_reference", "book/library", "book/faults"} <= set(every) - set(files)


@pytest.mark.slow
@pytest.mark.skipif(pdf.chromium() is None, reason="no chromium here")
def test_the_print_edition_holds_the_readers_pages_and_is_short(tmp_path):
    made = pdf.make(ROOT, tmp_path / "_build").read_bytes()
    assert 60 < len(re.findall(rb"/Type /Page\b", made)) < 120
    titles = set(re.findall(rb"/Title \(([^)]*)\)", made))
    assert {b"Glossary", b"References"} <= titles and not {b"The library", b"Changelog of results"} & titles


def test_a_book_that_cannot_be_rendered_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(pdf, "chromium", lambda: "/bin/true")
    with pytest.raises(RuntimeError, match="cannot be rendered as one page: "):
        pdf.make(tmp_path, tmp_path / "_build")
    assert not (tmp_path / "_build" / "html").exists()
