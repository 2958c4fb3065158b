"""The change log of results: which page of the book changed its numbers, when, and by how much.

It is generated from the history of the chapters' outcomes: every version of `book/results/<chapter>.json` that was
committed on the way to the present one is compared with the version before, by its answer, the verdicts on its claims,
and its means of the benchmark.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import nbformat

from ..errors import ConfigurationError
from ..runtime import files
from . import checkout, outcome
from .claims import same_rule

NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?!\w)")
NOISE = 0.75  # amplitude of the background of the means that are followed


def facts(found: Mapping) -> dict[str, str]:
    """Return what an outcome says, by name: `answer`; `C6`, ... (the verdict and what was measured); `system NAME` (the
    mean of its cells, percent)."""
    said = {"answer": found["answer"]} if found["answer"] else {}
    said |= {record["id"]: f"{record['verdict']}: {record.get('measured', '')}" for record in found["claims"]}
    means = (each for each in found["systems"] if each["noise"] == NOISE)
    return said | {f"system {each['system']}": f"{100 * each['accuracy']:.1f} %" for each in means}


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> list[dict]:
    """Return what differs between two versions of a page, a record for each fact.

    A record has `what`, `how` ("new", "gone", "numbers", "verdict" or "words"), and `pairs` of [before, after]: the
    numbers that changed where the words around them are the same, else the verdicts if those changed, else the texts.
    """
    found = []
    for what in [*after, *(name for name in before if name not in after)]:
        old, new = before.get(what), after.get(what)
        if old == new:
            continue
        if old is None or new is None:
            found.append({"what": what, "how": "new" if old is None else "gone", "pairs": []})
            continue
        words = [NUMBER.sub("#", each) for each in (old, new)]
        verdicts = [each.partition(":")[0] for each in (old, new)]
        numbers = zip(NUMBER.findall(old), NUMBER.findall(new), strict=False)
        if re.fullmatch(r"[CR]\d+", what) and verdicts[0] != verdicts[1]:
            found.append({"what": what, "how": "verdict", "pairs": [verdicts]})
        elif words[0] == words[1]:
            found.append({"what": what, "how": "numbers", "pairs": [[a, b] for a, b in numbers if a != b]})
        else:
            found.append({"what": what, "how": "words", "pairs": [[old, new]]})
    return found


def versions(root: Path, folder: str = "book") -> Iterator[tuple[str, str, dict]]:
    """Return every committed version of the chapters' outcomes, from the oldest on: (time, page, outcome).

    Merges count as one version, that of the branch they were merged into. Before there were files of outcomes, they are
    those of the executed notebooks.

    Raises:
        ConfigurationError: no repository, or one that was cloned without its history.
    """
    if checkout.git(root, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise ConfigurationError(
            f"{root} is a shallow clone; the change log needs the whole history (git fetch --unshallow)."
        )
    places = (f"{folder}/*.ipynb", f"{folder}/results/*.json")
    log = ("log", "--first-parent", "-m", "--reverse", "--format=%x00%H %aI", "--name-only", "--", *places)
    kept: set[str] = set()  # pages with a file of their outcome
    for entry in checkout.git(root, *log).split("\0")[1:]:
        (commit, time), *paths = [line.split() for line in entry.splitlines() if line]
        for path in sorted(path for (path,) in paths):
            name = Path(path).stem
            if path.endswith(".ipynb") and name in kept:
                continue
            try:
                content = checkout.git(root, "show", f"{commit}:{path}")
                found = outcome.parse(content, path) if path.endswith(".json") else _of_notebook(content, name)
            except ConfigurationError:
                continue  # this commit removed it, or it is another kind of result
            kept |= {name} if path.endswith(".json") else set()
            yield time, name, found


def _of_notebook(content: str, name: str) -> dict:
    return outcome.of(nbformat.reads(content, as_version=4), name)


def history(root: Path, folder: str = "book") -> list[dict]:
    """Return the change log, the latest change first: `time`, `page`, and the keys of `compare`; of a verdict that
    changed, `why`.

    A page's first version is one record, with `how` "published".
    """
    last: dict[str, dict] = {}
    found = []
    for time, page, now in versions(root, folder):
        if page in last:
            for change in compare(facts(last[page]), facts(now)):
                why = {"why": reason(last[page], now, change["what"])} if change["how"] == "verdict" else {}
                found.append({"time": time, "page": page, **change, **why})
        else:
            found.append({"time": time, "page": page, "what": "page", "how": "published", "pairs": []})
        last[page] = now
    return found[::-1]


def reason(before: Mapping, after: Mapping, claim: str) -> str:
    """Return why the verdict on a claim is another one in the second of two outcomes: its rule, its evidence, or what
    was measured."""
    old, new = (next(each for each in found["claims"] if each["id"] == claim) for found in (before, after))
    reasons = ["another rule"] if not same_rule(claim, old.get("rule"), new.get("rule")) else []
    if old.get("evidence", new.get("evidence")) != new.get("evidence"):
        reasons.append(f"evidence: {old['evidence']}, now {new['evidence']}")
    if old.get("seeds") != new.get("seeds"):
        reasons.append(f"{len(old.get('seeds', []))} seeds, now {len(new.get('seeds', []))}")
    return "; ".join(reasons) or "other numbers"


def write(root: Path) -> Path:
    """Write the change log to `book/results/changes.json`; return its path."""
    path = root / "book" / "results" / "changes.json"
    lines = ",\n".join(json.dumps(each, ensure_ascii=False) for each in history(root))
    files.write(path, f"[\n{lines}\n]\n".encode())
    return path
