"""What a chapter found, as data: `book/results/<chapter>.json`, from which all other pages are made.

An outcome is what the executed chapter glued, in one object (see `FIELDS`): for a script, `labbook results` prints it
for any executed notebook. Publishing a chapter writes its file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import nbformat

from ..errors import ConfigurationError
from ..runtime import files
from . import pages

FIELDS = {  # field -> its type, and what it holds
    "chapter": (str, "name of the chapter"),
    "answer": (str, "its answer in words, with the numbers that it turns on"),
    "claims": (
        list,
        "the claims that it judged: records with the fields of `claims.RECORD`, numbers with units",
    ),
    "systems": (list, "the systems that it measured: mean accuracy over 27 cells, a proportion, at each noise"),
    "runs": (list, "the training runs that it used: id, and whether their weights are needed"),
}


def of(notebook: nbformat.NotebookNode, name: str) -> dict:
    """Return the outcome of an executed chapter.

    Raises:
        ConfigurationError: what it glued is no JSON, or of another kind.
    """
    glued = {key: pages.glued(notebook, key) for key in ("answer", "claims", "benchmark", "runs")}
    try:
        claims, cells, runs = (json.loads(glued[key] or "[]") for key in ("claims", "benchmark", "runs"))
        found = {"chapter": name, "answer": glued["answer"] or "", "claims": claims, "systems": _systems(cells)}
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"{name}: what the executed chapter kept cannot be read: {error}.") from None
    return _checked({**found, "runs": runs}, name)


def _systems(cells: Iterable[dict]) -> list[dict]:
    """Return the accuracy of each measured system at each noise: its record of the mean; of pages that had none, the
    mean over its cells."""
    means: dict[tuple[str, float], float] = {}
    groups: dict[tuple[str, float], list[float]] = {}
    for cell in (cell for cell in cells if cell["source"] == "measured"):
        key = cell["system"], cell["noise"]
        if cell.get("contrast", 0) is None:
            means[key] = cell["accuracy"]
        else:
            groups.setdefault(key, []).append(cell["accuracy"])
    return [
        {
            "system": system,
            "noise": noise,
            "accuracy": means.get((system, noise), round(sum(group) / len(group), 5)),
            "unit": "proportion",
            "cells": len(group),
        }
        for (system, noise), group in groups.items()
    ]


def _checked(found: object, name: str) -> dict:
    if not isinstance(found, dict) or set(found) != set(FIELDS):
        raise ConfigurationError(f"{name}: an outcome has the fields {', '.join(FIELDS)}.")
    for field, (kind, _) in FIELDS.items():
        if not isinstance(found[field], kind):
            raise ConfigurationError(f"{name}: {field} must be a {kind.__name__}, not {type(found[field]).__name__}.")
    for record in found["claims"]:
        if not isinstance(record, dict) or not isinstance(record.get("id"), str) or "verdict" not in record:
            raise ConfigurationError(f"{name}: every claim must have an id and a verdict.")
    return found


def content(found: dict) -> bytes:
    """Return the file of an outcome, a line for each record."""
    lines = []
    for field in FIELDS:
        value = found[field]
        if isinstance(value, list) and value:
            rows = ",\n".join(f"  {json.dumps(each, ensure_ascii=False, allow_nan=False)}" for each in value)
            lines.append(f" {json.dumps(field)}: [\n{rows}\n ]")
        else:
            lines.append(f" {json.dumps(field)}: {json.dumps(value, ensure_ascii=False)}")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def write(notebook: nbformat.NotebookNode, name: str, book: Path) -> Path:
    """Write the outcome of an executed chapter to the `results` of a book; return the path.

    Raises:
        ConfigurationError: see `of`; or the file cannot be written.
    """
    path = book / "results" / f"{name}.json"
    files.write(path, content(of(notebook, name)))
    return path


def write_all(book: Path) -> list[Path]:
    """Write the outcomes of all executed chapters of a folder.

    Raises:
        ConfigurationError: a chapter cannot be read, or see `write`.
    """
    return [write(pages.read(path), path.stem, book) for path in sorted(book.glob("*.ipynb"))]


def read(path: Path) -> dict:
    """Return the outcome in a file.

    Raises:
        ConfigurationError: it cannot be read, or is none.
    """
    try:
        return parse(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}; `labbook results` writes it anew.") from None


def parse(content: str, name: str) -> dict:
    """Return the outcome that a text holds; `name` is what an error calls it.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        return _checked(json.loads(content), name)
    except ValueError as error:
        raise ConfigurationError(f"{name} is no outcome of a chapter ({error}); see `labbook results`.") from None


def read_all(book: Path) -> list[dict]:
    """Return the outcomes of the chapters in a folder, in the order of their names.

    Raises:
        ConfigurationError: see `read`.
    """
    return [read(book / "results" / f"{path.stem}.json") for path in sorted(book.glob("*.ipynb"))]
