"""The checkout of the lab-book: where it is, and the chapters in it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from ..errors import ConfigurationError, nearest

TOC = "_toc.yml"


def root() -> Path:
    """The checkout, known by its `_toc.yml`: the folder above `lib/labbook`, else the current directory or one above.

    Where there is none, the current directory.
    """
    here = Path.cwd()
    places = (Path(__file__).resolve().parents[3], here, *here.parents)
    return next((each for each in places if (each / TOC).is_file()), here)


def needed(asked: str) -> Path:
    """Return the root of the checkout that a chapter or a command needs.

    Raises:
        ConfigurationError: there is none here. It names what asked for it.
    """
    place = root()
    if not (place / TOC).is_file():
        raise ConfigurationError(f"{asked} needs a checkout of the lab-book, and {place} is in none; start it in one.")
    return place


def git(place: Path, *words: str) -> str:
    """Return what git says of the repository at a place.

    Raises:
        ConfigurationError: there is no git here, no repository, or git fails.
    """
    try:
        done = subprocess.run(("git", "-C", str(place), *words), capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise ConfigurationError(f"The history of {place} cannot be read: there is no git here.") from None
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["git failed"])[-1]
        raise ConfigurationError(f"The history of {place} cannot be read: {reason}.") from None
    return done.stdout


def chapters() -> list[Path]:
    """Every notebook of `notebooks/`, in the order of `_toc.yml`; those it does not list follow by name.

    Raises:
        ConfigurationError: there is none.
    """
    toc = root() / TOC
    listed = re.findall(r"\bfile:\s*['\"]?([^\s'\"#,}]+)", toc.read_text("utf-8")) if toc.is_file() else []
    order = {Path(entry.removesuffix(".ipynb")).name: place for place, entry in enumerate(listed)}
    found = (root() / "notebooks").glob("*.ipynb")
    found = sorted(found, key=lambda path: (order.get(path.stem, len(order)), path.stem))
    if not found:
        raise ConfigurationError(
            f"there is no notebook in {root() / 'notebooks'}; run this in a checkout of the lab-book."
        )
    return found


def find(words: Iterable[str]) -> list[Path]:
    """The chapters that the words name: a name, a beginning of it that fits only one, or a path; no word means all.

    Raises:
        ConfigurationError: a word fits no chapter, or more than one.
    """
    every = {path.stem: path for path in chapters()}
    found = {}
    for word in words:
        stem = Path(word).name.removesuffix(".ipynb")
        fits = [stem] if stem in every else [name for name in every if stem and name.startswith(stem)]
        if not fits:
            raise ConfigurationError(
                f"there is no chapter {word!r}; there are {', '.join(every)}.{nearest(stem, every)}"
            )
        if len(fits) > 1:
            raise ConfigurationError(f"{word!r} fits more than one chapter: {', '.join(fits)}.")
        found[fits[0]] = every[fits[0]]
    return list(found.values()) or list(every.values())
