"""The change log of results, on a repository made for it."""

import json
import subprocess
from types import SimpleNamespace

import nbformat
import pytest
from chapters import OLD, page, written_pages
from here import ROOT

from labbook.book import changes, outcome
from labbook.errors import ConfigurationError


def test_what_changed_between_two_versions_of_a_page():
    before = changes.facts(outcome.of(page(OLD), "week1"))
    assert before == {"answer": OLD, "C6": "refuted: spread 0.11 px", "system ATN": "60.0 %"}
    after = page(OLD.replace("40.2", "41.0").replace("10,000", "9,000"), "partly", 0.52)
    after = changes.facts(outcome.of(after, "week1"))
    assert changes.compare(before, after) == [
        {"what": "answer", "how": "numbers", "pairs": [["40.2", "41.0"], ["10,000", "9,000"]]},
        {"what": "C6", "how": "verdict", "pairs": [["refuted", "partly"]]},
        {"what": "system ATN", "how": "numbers", "pairs": [["60.0", "61.0"]]},
    ]
    assert changes.compare(before, before) == []
    gone = changes.compare(before, {"answer": "It reads nothing.", "C9": "open: "})
    assert [(each["what"], each["how"]) for each in gone] == [
        ("answer", "words"),
        ("C9", "new"),
        ("C6", "gone"),
        ("system ATN", "gone"),
    ]
    assert gone[0]["pairs"] == [[OLD, "It reads nothing."]]


@pytest.fixture
def repository(tmp_path):
    """Two versions of one page, the second of them merged, and a page that is published and removed."""

    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(("git", "-C", str(tmp_path), *identity, *words), check=True, capture_output=True)

    def commit(name, notebook):
        nbformat.write(notebook, tmp_path / "book" / f"{name}.ipynb")
        git("add", ".")
        git("commit", "-m", name)

    (tmp_path / "book").mkdir()
    git("init", "-b", "main")
    commit("week1", page(OLD))
    git("checkout", "-b", "other")
    commit("week1", page(OLD.replace("40.2", "10.0")))
    commit("week1", page(OLD.replace("40.2", "41.0")))
    git("checkout", "main")
    commit("week2", page(OLD))
    git("merge", "--no-ff", "other", "-m", "Merge")
    git("rm", "book/week2.ipynb")
    git("commit", "-m", "Remove")
    outcome.write(page(OLD.replace("40.2", "41.0"), "open"), "week1", tmp_path / "book")  # the first file of an outcome
    commit("week1", page("words that are in no file"))
    return tmp_path


def test_the_history_of_a_repository_is_told_once_and_the_latest_first(repository):
    found = changes.history(repository)
    told = [(each["page"], each["what"], each["how"], each["pairs"]) for each in found]
    assert told == [
        ("week1", "C6", "verdict", [["refuted", "open"]]),
        ("week1", "answer", "numbers", [["40.2", "41.0"]]),  # not by way of 10.0, which was never in the book
        ("week2", "page", "published", []),
        ("week1", "page", "published", []),
    ]
    assert found[0]["why"] == "other numbers"
    path = changes.write(repository)
    assert json.loads(path.read_text("utf-8")) == found
    assert changes.write(repository).read_bytes() == path.read_bytes()


def test_without_a_whole_history_there_is_no_change_log(repository, tmp_path_factory):
    shallow = tmp_path_factory.mktemp("shallow")
    subprocess.run(("git", "clone", "-q", "--depth", "1", f"file://{repository}", str(shallow)), check=True)
    with pytest.raises(ConfigurationError, match="shallow clone"):
        changes.history(shallow)
    with pytest.raises(ConfigurationError, match="not a git repository"):
        changes.history(tmp_path_factory.mktemp("nothing"))


@pytest.fixture(scope="module")
def pages():
    return written_pages()


def test_the_page_says_by_how_much(pages):
    record = {"how": "numbers", "pairs": [["40.2", "41.0"], ["10,000", "9,000"], ["1e-3", "2e-3"]]}
    assert pages.change(record) == "40.2 → 41.0 (+0.8); 10,000 → 9,000 (-1000); 1e-3 → 2e-3"
    assert pages.change({"how": "numbers", "pairs": [["1", "2"]] * 8}).endswith("; and 2 more")
    turned = {"how": "verdict", "pairs": [["open", "partly"]], "why": "another rule"}
    assert 'verdict-open">open</span> → <span' in pages.change(turned) and "(another rule)" in pages.change(turned)
    before, after = "one two three four five six", "one two three four five 6 and more"
    assert pages.change({"how": "words", "pairs": [[before, after]]}) == (
        "*… two three four five six* → *… two three four five 6 and more*"
    )
    assert pages.differing("a b c", "c") == ["a b c", "c"]


def test_the_first_page_links_to_the_pdf_once_there_is_one(pages, tmp_path):
    watched = []
    app = SimpleNamespace(
        outdir=tmp_path,
        builder=SimpleNamespace(name="html"),
        env=SimpleNamespace(note_dependency=watched.append),
    )
    source = [pages.PDF]
    pages.write_pdf(app, "intro", source)
    assert source == [""] and watched == [str(tmp_path / "lab-book.pdf")]
    (tmp_path / "lab-book.pdf").write_bytes(bytes(2_100_000))
    source = [pages.PDF]
    pages.write_pdf(app, "intro", source)
    assert source == ['<a href="../lab-book.pdf">The whole book as one PDF</a> (2 MB).']


def test_why_a_verdict_changed():
    def found(**record):
        return {"claims": [{"id": "C6", "rule": "a", "evidence": "pilot", "seeds": [0]} | record]}

    assert changes.reason(found(), found(rule="b"), "C6") == "another rule"
    rule = json.loads((ROOT / "lib/labbook/experiments/rules.json").read_text("utf-8"))["C6"]
    assert changes.reason(found(rule=rule["was"][0]), found(rule=rule["lock"]), "C6") == "other numbers"
    later = found(evidence="own schedule", seeds=[0, 1, 2])
    assert changes.reason(found(), later, "C6") == "evidence: pilot, now own schedule; 1 seeds, now 3"
    assert changes.reason(found(), found(), "C6") == "other numbers"
    assert changes.reason({"claims": [{"id": "C6"}]}, found(), "C6").startswith("another rule")
