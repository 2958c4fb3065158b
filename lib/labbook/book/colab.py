"""Chapters that open in Colab: one cell, which gets the book and installs its library, in every executed chapter.

The address of the repository is set in one place, `repository` in `_config.yml`. As long as it is empty no chapter has
the cell, and no page a button.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import nbformat
import yaml

from ..errors import ConfigurationError
from . import pages

CELL = "colab"  # id of the cell
SOURCE = """\
# In Colab this gets the book and installs its library; anywhere else it does nothing.
import sys

if "google.colab" in sys.modules:
    import os
    import subprocess

    if not os.path.isdir("lab-book"):
        subprocess.run("git clone -q --depth 1 --branch {branch} {url} lab-book".split(), check=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-e", "lab-book"], check=True)
    sys.path.insert(0, os.path.abspath("lab-book/lib"))"""


class Repository(NamedTuple):
    """Where the book is kept: the address of a repository on GitHub, and a branch."""

    url: str
    branch: str


def repository(config: Path) -> Repository | None:
    """Return the repository that a `_config.yml` names, or None where there is no such file or its address is empty.

    Raises:
        ConfigurationError: the file cannot be read, or Colab could not open the address.
    """
    if not config.exists():
        return None
    try:
        given = (yaml.safe_load(config.read_text("utf-8")) or {}).get("repository") or {}
    except (OSError, yaml.YAMLError, AttributeError) as error:
        raise ConfigurationError(f"{config} cannot be read: {error}.") from None
    url, branch = given.get("url") or "", given.get("branch") or "main"
    if not url:
        return None
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
        raise ConfigurationError(
            f"repository url {url!r} must read https://github.com/OWNER/REPOSITORY: Colab opens no other."
        )
    if not re.fullmatch(r"[\w./-]+", branch):
        raise ConfigurationError(f"repository branch {branch!r} must be the name of a branch.")
    return Repository(url, branch)


def give(notebook: nbformat.NotebookNode, where: Repository | None) -> None:
    """Give a chapter the cell, before its first code cell, or take it away where there is no address; in place."""
    notebook.cells = [cell for cell in notebook.cells if cell.get("id") != CELL]
    if where is None:
        return
    cell = nbformat.v4.new_code_cell(SOURCE.format(**where._asdict()), id=CELL, metadata={"tags": ["remove-cell"]})
    first = next((k for k, each in enumerate(notebook.cells) if each.cell_type == "code"), len(notebook.cells))
    notebook.cells.insert(first, cell)


def write(root: Path) -> int:
    """Give every executed chapter in `book/` the cell that `_config.yml` asks for; return how many changed."""
    where, changed = repository(root / "_config.yml"), 0
    for path in sorted((root / "book").glob("*.ipynb")):
        notebook = pages.read(path)
        before = [cell.source for cell in notebook.cells]
        give(notebook, where)
        if [cell.source for cell in notebook.cells] != before:
            pages.write(path, notebook)
            changed += 1
    return changed
