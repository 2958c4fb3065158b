"""The committed book: whole, told in words, held to its runs, and sufficient unto itself."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import quote_plus

import nbformat
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from here import ROOT

from labbook.book import claims, colab, outcome, pages, results
from labbook.book import store as runs

CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module", params=CHAPTERS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def page(name):
    return pages.read(ROOT / "book" / f"{name}.ipynb")  # every byte of it, if it is sealed


def test_a_published_chapter_is_the_source_executed(name, page):
    source = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    executed = [cell.source for cell in page.cells if cell.id not in ("injected-parameters", colab.CELL)]
    assert executed == [cell.source for cell in source.cells]
    for cell in page.cells:
        assert pages.ERROR_TAG not in cell.metadata.get("tags", [])
        assert not any(output.output_type == "error" for output in cell.get("outputs", []))
    where = colab.repository(ROOT / "_config.yml")
    given = [cell.source for cell in page.cells if cell.id == colab.CELL]
    assert given == ([colab.SOURCE.format(**where._asdict())] if where else [])


def test_chapters_hold_little_code():
    """At most 1 500 lines in the nine chapters, 150 in the appendix, and no function longer than ten."""
    cells = {
        name: ["".join(cell.source) for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        for name, path in ((name, ROOT / "notebooks" / f"{name}.ipynb") for name in CHAPTERS)
        if not name.startswith("primer")
    }

    def lines(name):
        stripped = (line.strip() for cell in cells[name] for line in cell.splitlines())
        return sum(bool(line) and not line.startswith("#") for line in stripped)

    assert lines("beyond_scaling") <= 150
    assert sum(lines(name) for name in cells if name != "beyond_scaling") <= 1500
    trees = [ast.parse(cell) for each in cells.values() for cell in each]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert [each.name for each in functions if each.end_lineno - each.lineno >= 10] == []


def test_every_figure_is_described(page):
    images = re.findall(r"<img\b[^>]*>", "".join(str(cell.get("outputs", "")) for cell in page.cells))
    assert len(images) >= 3
    for image in images:
        assert re.search(r'alt="[^"]{20,}"', image)


def test_every_claim_written_down_is_judged_by_its_chapter():
    records = []
    for name in CHAPTERS:
        made = pages.glued(nbformat.read(ROOT / "book" / f"{name}.ipynb", 4), "claims")
        records += json.loads(made or "[]")  # a chapter of our own makes none
    known = claims.claims()
    due = [name for name, claim in known.items() if claim.get("chapter") in (None, *CHAPTERS)]
    assert sorted(record["id"] for record in records) == sorted(due)
    for record in records:
        assert record["chapter"] == known[record["id"]].get("chapter", record["chapter"])
        assert record["verdict"] in claims.VERDICTS
        assert record["note"] and (record["measured"] or record["verdict"] in ("open", "no claim"))


def test_what_a_chapter_found_is_kept_as_data(name, page):
    path = ROOT / "book" / "results" / f"{name}.json"
    assert path.read_bytes() == outcome.content(outcome.of(page, name))


def test_the_file_of_claims_says_what_the_chapters_say():
    assert (ROOT / "book" / "results" / "claims.json").read_bytes() == claims.content(ROOT / "book")


def test_the_file_of_the_benchmark_says_what_its_chapter_says():
    told = [pages.glued(nbformat.read(ROOT / "book" / f"{name}.ipynb", 4), "benchmark") for name in CHAPTERS]
    told = [each for each in told if each]
    path = ROOT / "book" / "results" / "benchmark.json"
    assert [path.read_text("utf-8")] == told if path.exists() else not told
    if told:
        assert results.content(results.read(path)).decode() == told[0]


def test_the_runs_behind_a_chapter_are_published_and_intact(name, page):
    store = runs.Store(ROOT / "book" / "runs", ROOT / "nowhere")
    manifest = json.loads(pages.glued(page, "runs"))
    assert manifest or name in ("primer_logpolar", "primer_task")  # which train nothing
    for entry in manifest:
        run = runs.read_run(store.published / entry["id"])  # all of it belongs there
        if entry["weights"]:
            run.model()


def test_the_published_store_is_small():
    weights = [path.stat().st_size for path in (ROOT / "book" / "runs").rglob("*.safetensors")]
    assert max(weights) <= runs.WEIGHTS_LIMIT
    every = [path for part in ("runs", "digits") for path in (ROOT / "book" / part).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in every) <= 40_000_000


def test_the_book_can_be_cited_by_the_version_that_it_is():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (cited["cff-version"], cited["version"], cited["license"]) == (
        "1.2.0",
        project["version"],
        project["license"],
    )
    assert cited["title"] and cited["message"] and cited["authors"]
    known = (ROOT / "book" / "references.bib").read_text("utf-8")
    for each in cited["references"]:
        assert {"type", "title", "authors", "year"} <= set(each)
        assert each.get("doi", each.get("url")) in known


def test_every_module_of_the_library_is_described_on_one_page():
    pages = "\n".join(path.read_text("utf-8") for path in (ROOT / "book").glob("library*.md"))
    named = " ".join(re.findall(r"(?m)^% library reference: (.*)$", pages)).split()
    modules = [path.stem for path in (ROOT / "lib" / "labbook").rglob("*.py") if not path.stem.startswith("_")]
    assert sorted(named) == sorted(modules)


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The book, rendered without a warning."""
    folder = tmp_path_factory.mktemp("built")
    start = "from jupyter_book.cli.main import main; main(prog_name='jupyter-book')"
    strict = ["-q", "-W", "-n", "--keep-going", "--path-output", str(folder), str(ROOT)]
    done = subprocess.run([sys.executable, "-c", start, "build", *strict], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "_build" / "html"


def test_no_page_asks_the_network_for_anything(html):
    pages = list(html.rglob("*.html"))
    assert len(pages) > len(CHAPTERS)
    asking = re.compile(r"""<(?:script|img|iframe|source|video)\b[^>]*\bsrc=["'](?:https?:)?//[^"']*|<link\b[^>]*>""")
    for path in pages:
        for tag in asking.findall(path.read_text("utf-8")):
            assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", tag) or 'rel="canonical"' in tag, (
                path.name,
                tag,
            )


def test_the_book_is_light(html):
    pages = {path.name: path.stat().st_size for path in (html / "book").glob("*.html")}
    assert {name: size for name, size in pages.items() if size > 3_000_000} == {}
    room_for_the_pdf = 20_000_000  # a third of it the tags by which it is read aloud
    assert sum(path.stat().st_size for path in html.rglob("*") if path.is_file()) < 40_000_000 - room_for_the_pdf
    for path in html.rglob("*.html"):  # nothing heavy stands before the words
        assert not re.search(r'<script src="[^"]*/fontawesome\.js', path.read_text("utf-8"))
    for path in (html / "_sources").rglob("*.ipynb"):
        assert not any(cell.get("outputs") for cell in nbformat.read(path, 4).cells)


def test_numbers_stay_with_their_units(html):
    page = (html / "book" / "week7_polo.html").read_text("utf-8")
    words = re.sub(r"<(script|style|pre|code)\b.*?</\1>|<[^>]*>", " ", page[page.index("<article") :], flags=re.S)
    assert re.search(r"\d\u00a0%", words) and re.search(r"\d\u00a0px", words) and "2\u00a0560" in words
    assert not re.search(r"\b\d[\d.]* ?%|\d px\b", words)


def test_every_argument_has_a_line_of_its_own(html):
    page = (html / "book" / "library_networks.html").read_text("utf-8")
    (network,) = re.findall(r'id="labbook.localisation.Localisation128">(.*?)<dt class="sig ', page, re.S)
    listed = re.findall(r'<li><p><code[^>]*><span class="pre">(\w+)</span></code>: ', network)
    assert listed == ["kernels", "hidden", "bias", "dropout", "first", "ConfigurationError"]


def test_the_search_finds_the_terms_of_the_field(html, browser):
    page = browser.new_page()  # of its own: a browser keeps what the page fetches to show beside a hit from files
    for words, found in {
        "spatial transformer": "primer_transformers",
        "log-polar": "primer_logpolar",
        "superior colliculus": "primer_logpolar",
        "psychometric function": "glossary",
        "dead ReLU": "glossary",
        "curriculum learning": "week4_curriculum",
        "visual search": "beyond",
        "weakly supervised": "glossary",
        "cortical magnification": "glossary",
        "multiple-instance learning": "beyond_evidence",
    }.items():
        page.goto(f"{(html / 'search.html').as_uri()}?q={quote_plus(words)}")
        page.wait_for_function("/matching|did not match/.test(document.querySelector('#search-results').textContent)")
        links = page.eval_on_selector_all("#search-results li > a", "all => all.map(each => each.pathname)")
        assert f"{found}.html" in [Path(link).name for link in links[:10]], words


SEEN = """new Promise((done, fail) => {
    const late = new Error(`${location.pathname}: no figure was painted, or something larger was`);
    setTimeout(() => fail(late), 10000);
    new PerformanceObserver(seen => {
        for (const each of seen.getEntries()) if (each.element?.closest("figure")) done(each.startTime);
    }).observe({type: "largest-contentful-paint", buffered: true});
})"""  # milliseconds from asking for the page until its first figure is painted


def test_the_first_figure_of_a_chapter_is_seen_within_a_second(html, tmp_path, new_page):
    """Nothing heavy stands before it; and it is painted at most a second after the floor, which is the time that the
    same picture needs when it is all that a page has. On a busy machine both take longer, so it has three attempts."""
    bare = tmp_path / "bare.html"
    for name in CHAPTERS:
        page = (html / "book" / f"{name}.html").read_text("utf-8")
        before, figure = re.search(r"(.*?)(<figure\b.*?</figure>)", page, re.S).groups()
        assert re.search(r'<img\b[^>]*\bsrc="data:image/', figure), name
        assert len(before) + len(figure) < 500_000, name
        tags = re.findall(r"<(?:script|link)\b[^>]*>", before)
        waited = [tag for tag in tags if 'rel="stylesheet"' in tag or not re.match(r"<link|.*\b(?:defer|async)\b", tag)]
        paths = re.findall(r'\b(?:src|href)="([^"?]*)', "".join(waited))
        assert len(paths) > 5 and sum((html / "book" / path).stat().st_size for path in paths) < 600_000, name
        if name == CHAPTERS[0]:
            bare.write_text(f"<!doctype html><meta charset='utf-8'>{figure}", "utf-8")
    page = new_page(1440)

    def painted(path):
        page.goto(path.as_uri())
        return page.evaluate(SEEN)

    for name in CHAPTERS:
        path = html / "book" / f"{name}.html"
        took = []
        while not took or (took[-1][1] > took[-1][0] + 1000 and len(took) < 3):
            took.append((painted(bare), painted(path)))
        assert took[-1][1] <= took[-1][0] + 1000, (name, took)
        top = page.evaluate("document.querySelector('article figure').getBoundingClientRect().top")
        assert top < 0.75 * 900, name  # on a desk it begins above the fold


def test_every_page_opens_on_a_phone_without_an_error(html, new_page):
    page = new_page(390, color_scheme="dark")
    for path in sorted((html / "book").glob("*.html")):
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path.name
        if path.stem in CHAPTERS:  # the question, the answer and a figure come first; all figures have loaded
            figure = "document.querySelector('article figure').getBoundingClientRect()"
            assert page.evaluate(f"{figure}.top < 2.2 * innerHeight"), path.name
            assert page.evaluate("[...document.images].every(each => each.complete && each.naturalWidth)"), path.name


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_hard_to_use_for_anyone(html, new_page, scheme):
    """What axe-core calls a critical or a serious violation of the WCAG. Docutils marks references as a list of
    `doc-biblioentry`, which WAI-ARIA once counted as list items."""
    page, found = new_page(1200, color_scheme=scheme), {}
    for path in sorted((html / "book").glob("*.html")):
        page.goto(path.as_uri())
        for each in Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]:
            nodes = [node["html"][:200] for node in each["nodes"] if 'class="citation-list"' not in node["html"]]
            if each["impact"] in ("critical", "serious") and nodes:
                found[path.name, each["id"]] = nodes[:3]
    assert found == {}
