"""Drift: doctored executions are told from equal ones, and the page says what was found."""

import base64
import copy
import io
import json
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from chapters import write_chapter, written_pages
from here import ROOT
from PIL import Image
from typer.testing import CliRunner

from labbook.errors import ConfigurationError
from labbook.ops import cli, compare
from labbook.ops.compare import Count
from labbook.runtime import files, mnist

PIXELS = np.full((6, 8, 3), 120, np.uint8)


def picture(pixels=PIXELS):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png")
    return f'<img width="8" alt="Two 2s" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def page(**changes):
    """An executed chapter of five outputs, some of them changed."""
    contents = {
        "said": {"text/markdown": "In week 3 stn28 got 94.2 % (93.9 to 94.5, 3 seeds) of 27,360; C5 holds at −1.5e-3."},
        "table": {"text/html": "<table><tr><td width='40'>polo</td><td>12</td><td>0.75</td></tr></table>"},
        "figure": {"text/html": picture()},
        "data": {"text/html": '<svg><path d="M 1.5 2"/></svg><script>{"x":[1,234,5]}</script>'},
        "end": {"text/markdown": "*Provenance. Profile: quick. Code: commit 77a49241aa with changes.*"},
    }
    cells = [
        nbformat.v4.new_code_cell(
            "pass", id=name, outputs=[nbformat.v4.new_output("display_data", changes.get(name, content))]
        )
        for name, content in contents.items()
    ]
    return nbformat.v4.new_notebook(cells=cells)


def test_equal_executions_are_equal_whatever_their_commit():
    other = page(end={"text/markdown": "*Provenance. Profile: quick. Code: commit 0123456789.*"})
    found = compare.compare(page(), other)
    # prose 94.2, 93.9, 94.5, 3 twice, 27,360, -1.5e-3; the table 3 with its width; picture 3; path and script 5
    assert (found.numbers, found.pictures) == (Count(16, 16), Count(1, 1))
    assert found.same_bytes and found.held and found.words == 0 and found.largest == []


@pytest.mark.parametrize(
    ("cell", "old", "new", "word"),
    [
        ("said", "94.2", "94.3", "within"),  # a unit in the last digit
        ("said", "94.2", "94.4", "beyond"),
        ("said", "27,360", "27,361", "within"),  # less than a thousandth
        ("said", "27,360", "27,400", "beyond"),
        ("said", "3 seeds", "4 seeds", "beyond"),  # counts have no last digit to spare
        ("said", "−1.5e-3", "1.5e-3", "beyond"),
        ("table", "0.75", "0.74", "within"),
        ("table", "12", "13", "beyond"),
        ("data", "234", "235", "beyond"),  # one of three, not 1,234
        ("data", "1.5", "1.7", "beyond"),
    ],
)
def test_a_changed_number_is_counted_and_shown(cell, old, new, word):
    doctored = page()
    (target,) = [each for each in doctored.cells if each.id == cell]
    kind, content = next(iter(target.outputs[0].data.items()))
    target.outputs[0].data[kind] = content.replace(old, new)
    found = compare.compare(page(), doctored)
    assert found.numbers == Count(16, 15, int(word == "within")) and found.held == (word == "within")
    (difference,) = found.largest
    assert (difference.cell, difference.published, difference.fresh) == (cell, old.split()[0], new.split()[0])
    assert not found.same_bytes and found.words == 0


def test_measured_times_may_differ_and_their_neighbours_may_not():
    timed = page(table={"text/html": "<table><tr><td width='40'>polo</td><td>19</td><td>0.75</td></tr></table>"})
    timed.cells[1].metadata.tags = ["measured-times"]
    found = compare.compare(page(), timed)
    assert found.numbers == Count(16, 15, 0, 1) and found.held and found.same_bytes
    lost = copy.deepcopy(timed)
    lost.cells[1].outputs[0].data["text/html"] = "<table><tr><td width='40'>polo</td><td>19</td></tr></table>"
    assert compare.compare(page(), lost).numbers.beyond == 1


def test_a_verdict_that_turns_is_a_change_of_words():
    found = compare.compare(page(said={"text/plain": "C1 confirmed"}), page(said={"text/plain": "C1 refuted"}))
    assert found.words == 1 and not found.held


def test_the_richest_form_is_compared_in_whatever_order_they_are_kept():
    """The forms of an output stand in another order in memory than on disk; so do those that are kept under a name."""
    for prefix in ("", "application/papermill.record/"):
        plain, rich = {f"{prefix}text/plain": "<HTML object>"}, {f"{prefix}text/html": "<b>12</b>"}
        found = compare.compare(page(said=plain | rich), page(said=rich | plain))
        assert found.held and found.same_bytes
        other = page(said=plain | {f"{prefix}text/html": "<b>13</b>"})
        assert compare.compare(page(said=plain | rich), other).numbers.beyond == 1


@pytest.mark.parametrize(("levels", "word"), [(compare.LEVELS, "within"), (compare.LEVELS + 1, "beyond")])
def test_pictures_are_compared_by_their_pixels(levels, word):
    pixels = PIXELS.copy()
    pixels[2, 3, 1] += levels
    found = compare.compare(page(), page(figure={"text/html": picture(pixels)}))
    assert found.pictures == Count(1, 0, int(word == "within"))
    assert "1 pixels differ" in found.largest[0].fresh and found.largest[0].size == levels / 255
    assert compare.compare(page(), page(figure={"text/html": picture(PIXELS[1:])})).pictures.beyond == 1


def test_what_only_one_of_the_two_shows_counts_as_beyond():
    longer = page(table={"text/html": page().cells[1].outputs[0].data["text/html"] + "<p>and 7 more</p>"})
    found = compare.compare(page(), longer)
    assert (found.numbers.compared, found.numbers.beyond, found.words) == (17, 1, 1)
    assert [(each.published, each.fresh) for each in found.largest] == [("", "7")]
    gone = page()
    del gone.cells[2]
    found = compare.compare(page(), gone)
    assert found.pictures == Count(1) and found.words == 1 and not found.held


def test_the_command_compares_with_the_parameters_that_were_published(checkout, monkeypatch):
    write_chapter(checkout, "week1_a", "print(f'accuracy {noise:.3f} with {settings.profile}')")
    run = lambda *words: CliRunner().invoke(cli.app, words)  # noqa: E731
    published = ("run", "week1", "--publish", "-p", "noise=0.6", "--profile", "smoke")
    assert run(*published).exit_code == 0
    monkeypatch.delenv("LABBOOK_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(checkout / "cache"))

    def missing(read):
        raise mnist.Missing("no network.")

    monkeypatch.setattr(mnist, "cached", missing)
    assert "data='mnist' finds no MNIST" in run("drift").stderr
    assert run(*published, "-p", "data=digits").exit_code == 0
    done = run("drift")
    assert done.exit_code == 0 and "1 numbers compared, 0 within tolerance, 0 beyond" in done.output
    done = run("drift", "week1", "-p", "noise=0.9")
    assert done.exit_code == 1 and done.stderr == "1 of 1 chapters differ by more: week1_a.\n"
    (record,) = json.loads((checkout / "_build" / "drift" / "drift.json").read_bytes())
    assert not (checkout / "book" / "results" / "drift.json").exists()
    assert run("drift", "--publish").exit_code == 0 and (checkout / "book" / "results" / "drift.json").exists()
    assert record["sha256"] == files.digest((checkout / "book" / "week1_a.ipynb").read_bytes())
    assert (record["profile"], record["held"], record["numbers"]["beyond"]) == ("smoke", False, 1)
    (difference,) = record["largest"]
    assert (difference["published"], difference["fresh"], difference["what"]) == ("0.600", "0.900", "accuracy")


def test_a_file_of_records_that_is_none_is_refused(checkout):
    path = write_chapter(checkout, "week1_a").with_name("drift.json")
    compare.keep([{"chapter": "week1_a", "held": True}], path)
    assert compare.keep([{"chapter": "week1_a", "held": False}], path) == [{"chapter": "week1_a", "held": False}]
    path.write_text("{")
    with pytest.raises(ConfigurationError, match="cannot be read as records of drift"):
        compare.keep([], path)


def test_the_page_shows_what_was_found_and_what_was_published_since(tmp_path):
    pages, doctored = written_pages(), page(said={"text/markdown": "C1 refuted"})
    path = tmp_path / "week1_a.ipynb"
    path.write_text(nbformat.writes(page()))
    made = {"date": "2026-11-27", "commit": "abc", "machine": "a processor"}
    settings = {"profile": "quick", "runs": "reuse", "torch": "2", **made}
    record = json.loads(json.dumps(compare.record(compare.compare(page(), doctored), path, settings)))
    shown = pages.drift(tmp_path, [record])
    assert "Of 17 numbers and pictures in 1 chapters, 7 differ by more than the tolerance" in shown
    assert "[week1\\_a](week1_a.ipynb) | 9 | 0 | 7 |" in shown and "differ in 1 outputs | no |" in shown
    assert shown.count("only in one") == compare.LARGEST and "published anew since" not in shown
    path.write_text("{}")
    assert "(published anew since)" in pages.drift(tmp_path, [record])


def test_the_build_tells_in_one_line_which_reports_are_older_than_the_library(tmp_path, monkeypatch, capsys):
    pages, results = written_pages(), tmp_path / "book" / "results"
    files.write(results / "faults.json", b'[{"commit": "old"}, {"commit": "older"}]')
    files.write(results / "drift.json", b'[{"commit": "new"}]')
    files.write(results / "gpu" / "a.json", b'{"made": {"commit": "old"}}')
    changes = {"new": 0, "old": 1, "older": 7}
    monkeypatch.setattr(pages, "commits_since", lambda folder, commit: changes[commit])
    pages.tell_late(SimpleNamespace(srcdir=tmp_path), None)
    assert capsys.readouterr().err == "Older than the library: faults by 7 commits, gpu by 1 commit.\n"
    monkeypatch.undo()
    assert (
        pages.commits_since(ROOT, "HEAD") == pages.commits_since(tmp_path, "HEAD") == pages.commits_since(ROOT, "") == 0
    )
