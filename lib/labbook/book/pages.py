"""Executed chapters as files: normalised, sealed with their SHA-256, and free of what belongs to one machine."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import nbformat

from ..errors import ConfigurationError
from ..runtime import files
from . import checkout

ERROR_TAG = "papermill-error-cell-tag"
SEAL, BLANK = "sha256", "0" * 64  # in the metadata of an executed chapter
FOLDS = {"parameters": "Default parameters", "injected-parameters": "Parameters of this run"}


def read(path: Path) -> nbformat.NotebookNode:
    """Return a notebook; of an executed one every byte is checked.

    One that papermill made from an executed chapter still carries the seal of that one, which says nothing of it.

    Raises:
        ConfigurationError: it cannot be read as one, or was truncated or altered after its execution.
    """
    try:
        content = path.read_bytes()
        metadata = json.loads(content)["metadata"]
        for name, value in () if "papermill" in metadata else metadata.items():
            if name == SEAL or (isinstance(value, str) and len(value) == len(BLANK)):  # or what was one
                found = files.digest(content.replace(json.dumps(value).encode(), json.dumps(BLANK).encode()))
                if name != SEAL or value != found:
                    raise ConfigurationError(
                        f"{path} was altered after its execution: expected SHA-256 {value!r}, found {found}."
                    )
        return nbformat.reads(content.decode(), as_version=4)
    except ConfigurationError:
        raise
    except (OSError, ValueError, AttributeError, KeyError, TypeError, nbformat.ValidationError) as error:
        raise ConfigurationError(f"{path} cannot be read as a notebook: {reason(error)}.") from None


def reason(error: BaseException) -> str:
    """Return the last line of what an error says."""
    said = getattr(error, "strerror", None) or (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return said.rstrip(".")


def write(target: Path, notebook: nbformat.NotebookNode) -> None:
    """Write a notebook with the SHA-256 of its file, computed with zeros in that place, in its metadata.

    Raises:
        ConfigurationError: `target` cannot be written.
    """
    content = f"{nbformat.writes(nbformat.from_dict({**notebook, 'metadata': {**notebook.metadata, SEAL: BLANK}}))}\n"
    files.write(target, content.replace(BLANK, files.digest(content.encode())).encode())


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Strip, in place, what differs between two equal runs, and fold the parameters away for the book."""
    kept = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook.metadata = nbformat.from_dict(kept | {"language_info": {"name": "python"}})
    for cell in notebook.cells:
        for volatile in ("papermill", "execution"):
            cell.metadata.pop(volatile, None)
        tags = cell.metadata.get("tags", [])
        for tag, title in FOLDS.items():
            if tag in tags:
                cell.metadata.tags = [*tags, *({"hide-input"} - set(tags))]
                cell.metadata.mystnb = nbformat.from_dict({"code_prompt_show": title})
        if "injected-parameters" in tags:
            cell.id = "injected-parameters"
    return notebook


def publish(notebook: nbformat.NotebookNode, target: Path) -> None:
    """Write an executed chapter to its place in the book, normalised, whole or not at all.

    Raises:
        ConfigurationError: the notebook holds an error or a path of this machine, or `target` cannot be written.
    """
    for place, cell in enumerate(notebook.cells, start=1):
        because = f"{target.name} is not published: cell {place} holds"
        outputs = cell.get("outputs", [])
        if ERROR_TAG in cell.metadata.get("tags", []) or any(each.output_type == "error" for each in outputs):
            raise ConfigurationError(f"{because} an error.")
        for private in {str(checkout.root()), str(checkout.root().resolve()), os.path.expanduser("~")} - {"/", "~"}:
            if any(re.search(rf"(?<!\w){re.escape(private)}(?!\w)", written) for written in _texts(cell)):
                raise ConfigurationError(f"{because} the path {private} of this machine.")
    write(target, normalise(notebook))


def _texts(cell: nbformat.NotebookNode) -> Iterable[str]:
    if "injected-parameters" in cell.metadata.get("tags", []):
        yield cell.source
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        for kind, content in output.get("data", {}).items():
            if kind == "image/svg+xml" or not kind.startswith("image/"):
                yield json.dumps(content, ensure_ascii=False)


def glued(notebook: nbformat.NotebookNode, name: str) -> str | None:
    """Return a text that an executed chapter glued under a name, or None."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("metadata", {}).get("scrapbook", {}).get("name") == name:
                return ast.literal_eval(output.data["application/papermill.record/text/plain"])
    return None
