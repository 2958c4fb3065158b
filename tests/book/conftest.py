"""Explorers in a headless Chromium, each alone on a page."""

import pytest

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
def opened(request, browser, output, tmp_path):
    """Open the explorer as its only page; what was wrong, and what was asked of the network, is checked at the end.

    The module names in READY the property that the explorer has once it can be used.
    """
    (path := tmp_path / "page.html").write_text(_PAGE.format(output), "utf-8")
    wrong, contexts = [], []

    def opened(width=1000, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
        page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            ready = f"document.querySelector('.explorer').{request.module.READY}"
            page.wait_for_function(ready, timeout=120_000)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
