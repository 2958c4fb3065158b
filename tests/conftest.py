"""What the tests share: one thread, reproducible properties, digits without a network."""

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

from labbook import digits

torch.set_num_threads(1)  # as in the trainings: two threads would compete with the processes that some tests start

hypothesis.settings.register_profile("lab-book", deadline=None, max_examples=25, derandomize=True, database=None)
hypothesis.settings.load_profile("lab-book")


@pytest.fixture(autouse=True)
def _numpy_state():
    state = np.random.get_state()  # noqa: NPY002 - the pipeline of 2021 seeds the global generator
    yield
    np.random.set_state(state)  # noqa: NPY002


@pytest.fixture(scope="session")
def sets() -> digits.DigitSets:
    """scikit-learn's digits: always there."""
    return digits.load("digits")


@pytest.fixture(scope="session")
def few(sets) -> digits.DigitSets:
    """A small set, for trainings of which only the mechanics matter."""
    return digits.DigitSets(sets.train[:400], sets.validation, sets.test, sets.name, sets.origin)


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """Where the real MNIST files are."""
    if not os.environ.get("LABBOOK_DATA"):
        pytest.skip("LABBOOK_DATA names no folder with MNIST")
    return Path(os.environ["LABBOOK_DATA"])


@pytest.fixture(scope="session")
def mnist(mnist_root) -> digits.DigitSets:
    return digits.load("mnist")


# ---- explorers, each alone on a page --------------------------------------------------------------------------------

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
