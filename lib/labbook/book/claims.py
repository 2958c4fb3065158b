"""The claims of the lab-book and what became of them: the ledger, and the records that the chapters leave behind.

`claims.toml` says what was claimed. Every chapter glues a record for each claim that it judged (see report.py);
`collect` gathers them from the executed chapters into one list, `book/results/claims.json`, in which every claim has
exactly one record. Nothing here imports torch.
"""

from __future__ import annotations

import json
import tomllib
from functools import cache
from pathlib import Path

from .. import files
from ..errors import ConfigurationError
from . import chapter

VERDICTS = ("confirmed", "refuted", "partly", "open")
KINDS = ("experiment", "question", "record")  # re-run here; about the software; a piece of work, an idea or a reading
FIELDS = ("id", "week", "kind", "claim", "setting", "stated", "measured", "verdict", "seeds", "chapter", "note")
FIRST_OF_WEEK = {1: 1, 2: 6, 3: 18, 4: 23, 5: 52, 6: 57, 7: 78, 8: 86}  # study section 7
WEEKS = {f"C{number}": max(week for week, first in FIRST_OF_WEEK.items() if first <= number) for number in range(1, 89)}
WEEKS |= {f"R{number}": 8 for number in range(1, 7)}  # what the README of 2021 claimed, after the last week


@cache
def claims() -> dict[str, dict]:
    """Return the claims of the lab-book by number: week, claim, setting, stated; a kind other than "experiment"."""
    return tomllib.loads(Path(__file__).with_name("claims.toml").read_text("utf-8"))


def collect(book: Path) -> list[dict]:
    """Return one record per claim, C1 to C88 and R1 to R6 in this order, from the executed chapters in a folder.

    A record has the keys of `FIELDS`. A claim that no chapter judged is open, and its note says why.

    Raises:
        ConfigurationError: a chapter cannot be read, judges a claim that does not exist, or one that another chapter
            judged.
    """
    judged: dict[str, dict] = {}
    for path in sorted(book.glob("*.ipynb")):
        for record in json.loads(chapter.glued(chapter.read(path), "claims") or "[]"):
            name = record["id"]
            if name not in WEEKS:
                raise ConfigurationError(f"{path.name} judges {name!r}; claims are C1 to C88 and R1 to R6.")
            if name in judged:
                raise ConfigurationError(
                    f"{name} is judged twice, by {judged[name]['chapter']} and by {record['chapter']}."
                )
            judged[name] = record
    return [{key: (_unjudged(name) | judged.get(name, {}))[key] for key in FIELDS} for name in WEEKS]


def _unjudged(name: str) -> dict:
    known = claims().get(name)
    note = "the chapter that will judge it is not published yet" if known else "not written down yet"
    blank = dict.fromkeys(("claim", "setting", "stated", "measured"), "") | {"seeds": [], "chapter": None}
    return {"id": name, "week": WEEKS[name], "kind": KINDS[0], **blank, "verdict": "open", "note": note} | (known or {})


def content(book: Path) -> bytes:
    """Return what the file of claims must hold when `book` holds the executed chapters: the same at every call."""
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in collect(book))
    return f"[\n{lines}\n]\n".encode()


def write(book: Path) -> Path:
    """Collect the records of the executed chapters into `results/claims.json` of their folder; return its path.

    Raises:
        ConfigurationError: see `collect`; or the file cannot be written.
    """
    path = book / "results" / "claims.json"
    files.write(path, content(book))
    return path


def write_locks(book: Path, why: str = "") -> list[str]:
    """Write down the rules of all claims as they are now (see `experiments.claim`); return the names of those changed.

    Raises:
        ConfigurationError: a rule changed after its result was published, and no reason is given.
    """
    from ..experiments import claim
    from ..experiments import claims as declared

    records = json.loads((book / "results" / "claims.json").read_text("utf-8"))
    decided = {record["id"]: record.get("rule", "") for record in records if record["verdict"] != "open"}
    return claim.write_locks(declared(), decided, why)


if __name__ == "__main__":  # python -m labbook.book.claims [WHY]
    import sys

    from . import chapter as here

    print("changed:", ", ".join(write_locks(here.root() / "book", " ".join(sys.argv[1:]))) or "none")
