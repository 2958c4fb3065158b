"""The claims of the lab-book and what became of them: the ledger, and the records that the chapters leave behind.

`claims.toml` says what was claimed, `experiments` what each claim is about and its rule. Every chapter leaves a record
for each claim that it judged (see `RECORD`); `collect` gathers them from `book/results/` into one list,
`book/results/claims.json`, in which every claim has exactly one record. Nothing here imports torch.
"""

from __future__ import annotations

import json
import tomllib
from functools import cache
from pathlib import Path

from ..errors import ConfigurationError
from ..runtime import files
from . import outcome

VERDICTS = ("confirmed", "refuted", "partly", "open", "no claim")
KINDS = ("experiment", "fact", "record")
RECORD = {  # field -> what it holds
    "id": "C1 to C88, R1 to R6",
    "week": "1 to 8",
    "kind": "experiment, fact (counted or read in code) or record (claims nothing)",
    "claim": "what was claimed",
    "setting": "in which setting",
    "stated": "what was stated in 2021",
    "measured": "what was measured of the runs that count, in words",
    "pilot": "a sentence on other trainings, which are not counted; of an open claim",
    "verdict": "confirmed, partly, refuted or open; no claim, of a record",
    "evidence": "own schedule, shortened, pilot or none",
    "seeds": "seeds of the runs that were counted",
    "values": "what the rule got: name -> unit, and one number per seed",
    "chapter": "that judged it",
    "note": "the rule in words, and what limits it",
    "rule": "lock of the rule, 16 hexadecimal digits; see experiments/rules.json",
    "since": "commit that introduced the rule, and its time; empty: not committed",
    "first": "whether the rule was committed before the runs that decided; null: nothing was decided by runs",
}
DEFAULTS = dict.fromkeys(RECORD, "") | {  # of a claim that no chapter judged
    **{"week": 0, "kind": KINDS[0], "verdict": "open", "evidence": "none"},
    **{"seeds": [], "values": {}, "chapter": None, "first": None},
}
FIRST_OF_WEEK = {1: 1, 2: 6, 3: 18, 4: 23, 5: 52, 6: 57, 7: 78, 8: 86}
WEEKS = {f"C{number}": max(week for week, first in FIRST_OF_WEEK.items() if first <= number) for number in range(1, 89)}
WEEKS |= {f"R{number}": 8 for number in range(1, 7)}  # what the README of 2021 claimed, after the last week


@cache
def claims() -> dict[str, dict]:
    """Return the claims of the lab-book by number: week, claim, setting, stated; the chapter, where not its week's."""
    return tomllib.loads(Path(__file__).with_name("claims.toml").read_text("utf-8"))


def collect(book: Path) -> list[dict]:
    """Return one record per claim, C1 to C88 and R1 to R6 in this order, from the outcomes of the chapters in a folder.

    A claim that no chapter judged is open, and its note says why.

    Raises:
        ConfigurationError: an outcome cannot be read; a chapter judges a claim that does not exist, or one that another
            chapter judged.
    """
    judged: dict[str, dict] = {}
    for found in outcome.read_all(book):
        for record in found["claims"]:
            name, page = record["id"], found["chapter"]
            if name not in WEEKS:
                raise ConfigurationError(f"{page} judges {name!r}; claims are C1 to C88 and R1 to R6.")
            if name in judged:
                raise ConfigurationError(f"{name} is judged twice, by {judged[name]['chapter']} and by {page}.")
            judged[name] = record | {"kind": record.get("kind") if record.get("kind") in KINDS else KINDS[0]}
    return [{key: (_unjudged(name) | judged.get(name, {}))[key] for key in DEFAULTS} for name in WEEKS]


def _unjudged(name: str) -> dict:
    note = "the chapter that will judge it is not published yet"
    return DEFAULTS | {"id": name, "week": WEEKS[name], "note": note} | claims().get(name, {})


def content(book: Path) -> bytes:
    """Return what the file of claims must hold when `book` holds these outcomes: the same at every call."""
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in collect(book))
    return f"[\n{lines}\n]\n".encode()


def write(book: Path) -> Path:
    """Collect the records of the chapters into `results/claims.json` of their folder; return its path.

    Raises:
        ConfigurationError: see `collect`; or the file cannot be written.
    """
    path = book / "results" / "claims.json"
    files.write(path, content(book))
    return path


def same_rule(claim: str, *locks: str | None) -> bool:
    """Return whether locks are of one rule of a claim, perhaps in other words."""
    written = json.loads((Path(__file__).parents[1] / "experiments" / "rules.json").read_text("utf-8"))[claim]
    return len({written["lock"] if lock in written["was"] else lock for lock in locks}) == 1


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

    from .checkout import root

    print("changed:", ", ".join(write_locks(root() / "book", " ".join(sys.argv[1:]))) or "none")
