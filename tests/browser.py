"""Explorers in a headless Chromium, each alone on a page."""

import pytest

from labbook.book import checkout as book_checkout
from labbook.book import report
from labbook.book.chapter_store import ChapterStore
from labbook.book.declarations import Week1

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<style>:root {{ color-scheme: light dark }} body {{ margin: 12px; font: 16px sans-serif }}</style><body>{}</html>"""


@pytest.fixture(scope="module")
def browser():
    """A Chromium; without one the test is skipped."""
    from playwright.sync_api import sync_playwright

    from labbook.book import pdf

    if pdf.chromium() is None:
        pytest.skip("no chromium here")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=pdf.chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser):
    """Make a page; what went wrong on it, and what it asked of the network, is checked at the end."""
    wrong, contexts = [], []

    def heard(message):
        # The theme says the latter once in a profile, where no choice of colours is kept yet.
        if message.type == "error" and "Got invalid theme mode" not in message.text:
            wrong.append(f"{message.page.url}: {message.text}")

    def new_page(width=1000, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
        page.on("console", heard)
        page.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
        return page

    yield new_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def alone(new_page, tmp_path):
    """Open an output as the only one of its page."""

    def alone(output, width=1000, **options):
        (path := tmp_path / "page.html").write_text(_PAGE.format(output), "utf-8")
        page = new_page(width, **options)
        page.goto(path.as_uri())
        return page

    return alone


@pytest.fixture
def opened(request, alone, output):
    """Open the explorer of a module, which names in READY the property that it has once it can be used."""

    def opened(width=1000, **options):
        page = alone(output, width, **options)
        if options.get("java_script_enabled", True):
            ready = f"document.querySelector('.explorer').{request.module.READY}"
            page.wait_for_function(ready, timeout=120_000)
        return page

    return opened


@pytest.fixture
def frame_time():
    """Measure a frame on a processor that is four times slower: the least of thirty times, in milliseconds, from what a
    reader does, a script of (element, k), to the drawn frame."""

    def measure(page, selector, act):
        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 4})
        return page.evaluate(f"""async () => {{
            const element = document.querySelector({selector!r}), act = {act}, times = [];
            for (let k = 0; k < 30; k++) {{
                const start = performance.now();
                act(element, k);
                await new Promise(requestAnimationFrame);
                await new Promise(done => {{
                    const {{port1, port2}} = new MessageChannel();
                    port1.onmessage = done;
                    port2.postMessage(0);
                }});
                times.push(performance.now() - start);
            }}
            return Math.min(...times);
        }}""")

    return measure


@pytest.fixture
def chapter_store(tmp_path, monkeypatch):
    """Return what opens the store of a chapter in an empty checkout."""
    monkeypatch.setattr(book_checkout, "root", lambda: tmp_path)

    def chapter_store(profile="quick", runs="reuse"):
        return ChapterStore(Week1(profile=profile, n_seeds=2, runs=runs, data="digits", device="cpu"))

    return chapter_store


@pytest.fixture
def shown(monkeypatch):
    """Return what a page displays and glues."""
    outputs = []
    monkeypatch.setattr(report, "display", lambda output: outputs.append(output.data))
    monkeypatch.setattr(report.myst_nb, "glue", lambda name, value, display: outputs.append((name, value)))
    return outputs
