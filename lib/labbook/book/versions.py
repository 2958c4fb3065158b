"""What the library needs: the least versions that pyproject.toml names, held against what is installed here."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

from ..errors import ConfigurationError

LATER = {"torchvision"}  # needed to download MNIST alone


def needed() -> list[str]:
    """Return the packages that the library asks for: `name>=version`."""
    file = Path(__file__).parents[3] / "pyproject.toml"
    if file.is_file():
        return tomllib.loads(file.read_text("utf-8"))["project"]["dependencies"]
    return [line for line in importlib.metadata.requires("labbook") or () if "extra" not in line]


def check() -> None:
    """Compare what is needed with what is installed.

    Raises:
        ConfigurationError: packages are missing or too old; the sentence names all of them.
    """
    wrong = []
    for line in needed():
        name, _, least = line.partition(">=")
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = None
        if name not in LATER and (found is None or _release(found) < _release(least or "0")):
            wrong.append(f"{name} {least} (here: {found or 'none'})")
    if wrong:
        raise ConfigurationError(f"labbook needs these packages, or newer ones: {', '.join(wrong)}.")


def _release(version: str) -> list[int]:
    """Return the numbers of a version, without what follows them: 2.11.0a0+cu130 is 2.11.0."""
    return [int(part) for part in re.match(r"\d+(\.\d+)*", version)[0].split(".")]
