"""The readers' pages of the book as one PDF: rendered as one page by jupyter-book, printed by a headless Chromium.

`make pdf`. Nothing is imported that rendering the book does not need, so that it works without torch.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
NAME = "lab-book.pdf"
ON_SCREEN = {"For maintainers", "book/study_reference"}  # a part and a page of `_toc.yml` that are not printed
PATIENCE = 600  # seconds


def chromium() -> str | None:
    """Return the path of a Chromium or Chrome, or None: the one that CHROMIUM names, else the first on the PATH."""
    return next(filter(None, map(shutil.which, filter(None, (os.environ.get("CHROMIUM"), *BROWSERS)))), None)


def make(source: Path, made: Path) -> Path:
    """Print the readers' pages of the book whose sources are in `source`; return the PDF, in the HTML book `made/html`.

    Raises:
        RuntimeError: no Chromium; the book cannot be rendered or printed. A sentence says what failed.
    """
    browser = chromium()
    if browser is None:
        raise RuntimeError(f"The PDF is printed by Chromium, and none of {', '.join(BROWSERS)} is on the PATH.")
    printed = made / "print"
    try:
        contents = yaml.safe_load((source / "_toc.yml").read_text("utf-8"))
        printed.mkdir(parents=True, exist_ok=True)
        (printed / "_toc.yml").write_text(yaml.safe_dump(_printed(contents), sort_keys=False), "utf-8")
    except OSError as error:
        raise RuntimeError(f"The book cannot be rendered as one page: {error}.") from None
    start = "from jupyter_book.cli.main import main; main(prog_name='jupyter-book')"
    build = [sys.executable, "-c", start, "build", "-q", str(source), "--path-output"]
    one_page = ["--builder", "singlehtml", "--toc", str(printed / "_toc.yml")]
    _run([*build, str(printed), *one_page], "rendered as one page")
    pages = printed / "_build" / "singlehtml"
    page = max(pages.rglob("*.html"), key=lambda path: path.stat().st_size)  # index.html only leads to it
    page = page.replace(pages / "book.html")  # its styles are where they would be if it lay here
    target = made / "html" / NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    to_pdf(browser, page, target)
    _run([*build, str(made.parent)], "rendered")  # the first page now links to it
    return target


def _printed(entry: dict) -> dict:
    """Return an entry of a table of contents without what is ON_SCREEN alone."""
    kept = {}
    for key, value in entry.items():
        if isinstance(value, list):
            shown = (each for each in value if ON_SCREEN.isdisjoint((each.get("caption"), each.get("file"))))
            value = [_printed(each) for each in shown]
        if value:
            kept[key] = value
    return kept


def to_pdf(browser: str, page: Path, target: Path) -> None:
    """Print an HTML page to a PDF that is tagged, for readers who listen, and has the headings as its outline.

    Raises:
        RuntimeError: the page cannot be printed.
    """
    with tempfile.TemporaryDirectory() as profile:
        options = (
            "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
            "--virtual-time-budget=20000 --no-pdf-header-footer --generate-pdf-document-outline"
        )
        draft = Path(profile, NAME)
        _run(
            [
                browser,
                *options.split(),
                f"--user-data-dir={profile}",
                f"--print-to-pdf={draft}",
                page.resolve().as_uri(),
            ],
            "printed",
        )
        if not draft.exists() or not draft.read_bytes().startswith(b"%PDF"):
            raise RuntimeError("The book cannot be printed: Chromium made no PDF.")
        shutil.copyfile(draft, target)


def _run(command: list[str], what: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"The book was not {what} within {PATIENCE} seconds.") from None
    if done.returncode:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        causes = [line for line in said if re.match(r"[\w.]*(Error|Exception): .", line)] or said[-1:]
        raise RuntimeError(f"The book cannot be {what}: {causes[-1] if causes else 'no reason given'}")


if __name__ == "__main__":
    try:
        made = make(Path(), Path("_build"))
    except RuntimeError as error:
        sys.exit(str(error))
    print(f"The book as one file: {made} ({made.stat().st_size / 1e6:.1f} MB)")
