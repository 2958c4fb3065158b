"""Verdicts on a page: the claims of a chapter, judged by what is stored, as records.

A record (see `claims.RECORD`) is what the page shows, what `book/results/` holds, and what the page of claims is made
of. It names the rule that decided by its lock, the commit that introduced that rule, and whether this was before the
result.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import fmean
from string import Formatter

from ..config import Training, seeded
from ..errors import ConfigurationError
from ..experiments import claim as of
from ..experiments.claim import Claim, Judgement
from ..identity.description import name_of
from . import checkout, evaluations, report
from .chapter_store import ChapterStore
from .claims import RECORD, claims
from .store import Run

MAP_STIMULI, MAP_STEP = 300, 3  # of an accuracy map: stimuli at each offset, and pixels between offsets
UNITS = {"%": "proportion", "points": "proportion", "px": "pixels"}  # format of a number -> its unit


class Stored:
    """The stored runs of a claim's trainings, and what a chapter's store can tell of them."""

    def __init__(self, store: ChapterStore):
        self.store = store

    def find(self, training: Training) -> list[Run]:
        """Return the stored runs of a training, seeds 0, 1, ...; where the page does not reuse any, those it made."""
        runs, found = self.store.runs, []
        for each in (seeded(training, seed, self.store.sets.name) for seed in range(of.LOOKED_FOR)):
            run = runs.used.get(name_of(each)) or (runs.find(each) if runs.reuse else None)
            if run is not None:
                runs.used[run.id] = run  # it is published with the page
                found.append(run)
        return found

    def serving(self, training: Training) -> list[Run]:
        """Return the stored runs of a training in every precision that leaves them runs of a claim's own schedule."""
        return [run for each in of.PRECISIONS for run in self.find(of.in_precision(training, each))]

    def train(self, claim: Claim) -> None:
        """Train what a claim is about, with the page's seeds, as far as it is not stored."""
        for training in (claim.trainings(role)[0] for role in claim.own):
            stored = {run.training.get("seed", 0) for run in self.serving(training)}
            self.store.get_or_train(training, [seed for seed in self.store.settings.seeds if seed not in stored])

    def accuracy(self, run: Run, scene) -> float:
        with _weights_needed():
            return self.store.evaluate(evaluations.accuracy, run, scene=scene).value

    def cells(self, run: Run) -> dict[tuple[float, float], float]:
        with _weights_needed():
            return {cell: each.value for cell, each in self.store.evaluate(evaluations.benchmark, run).items()}

    def map(self, run: Run, scene) -> dict[str, float]:
        """Return the centre and the mean of the accuracy map, at every `MAP_STEP`th offset."""
        settings = {"scene": scene, "n": MAP_STIMULI, "step": MAP_STEP}
        with _weights_needed():
            rows = self.store.evaluate(evaluations.accuracy_map, run, raw=True, **settings)
        return {"centre": rows[len(rows) // 2][len(rows) // 2], "mean": fmean(map(fmean, rows))}


class _weights_needed:
    """Say by a LookupError that neither an evaluation nor the weights are stored."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind and issubclass(kind, ConfigurationError):
            raise LookupError(str(error)) from None
        return False


def judge(
    store: ChapterStore, claims: Iterable[Claim], pilot: Mapping[str, str] | None = None, shortened: Iterable[str] = ()
) -> list[dict]:
    """Return the records of claims, judged by what is stored of their own trainings.

    Args:
        pilot: claim -> a sentence on other trainings, shown where the claim stays open. shortened: claims of which
            these were the claim's own schedule, cut.
    """
    stored, pilot, shortened, records = Stored(store), dict(pilot or {}), set(shortened), []
    for each in claims:
        if store.settings.profile == "full":
            stored.train(each)
        said = {"pilot": pilot.pop(each.name, ""), "shortened": each.name in shortened}
        found = of.judge(each, stored.find, stored, **said)
        records.append(record(each, found, store.settings.chapter, checkout.root()))
    if pilot:
        raise ConfigurationError(f"There is no claim {', '.join(pilot)} on this page.")
    return records


def show(store: ChapterStore, *given, **options) -> None:
    """Judge claims (see `judge`), display them, and glue the records as `claims` (JSON)."""
    records = judge(store, *given, **options)
    report.table(
        ("claim", "what the lab-book claimed", "stated in 2021", "measured here", "verdict"),
        map(_row, records),
        "The rule of each verdict, and what it waits for, stands on the page of claims.",
    )
    report.numbers(claims=json.dumps(records))


def _row(record: Mapping) -> tuple[str, ...]:
    """Return a row of the table, in italics what pilot evidence says."""
    name, verdict, measured = record["id"], record["verdict"], record["measured"]
    if record["pilot"]:
        kind = "shortened schedule" if record["evidence"] == "shortened" else "pilot, not counted"
        measured = f"<span>{html.escape(measured)}</span> <em>{kind}: {html.escape(record['pilot'])}</em>"
    badge = f'<span class="verdict verdict-{verdict.replace(" ", "-")}">{verdict}</span>'
    return f'<a href="claims.html#{name.lower()}">{name}</a>', record["claim"], record["stated"], measured, badge


def record(claim: Claim, found: Judgement, chapter: str, root: Path) -> dict:
    """Return what became of a claim as plain data, with the fields of `RECORD`.

    Args:
        root: of the repository, whose history tells when the rule was introduced, and when the runs were added.
    """
    units = {name: UNITS.get(form, "number") for _, name, form, _ in Formatter().parse(claim.tell) if name}
    values = {
        name: {"unit": units.get(name, "number"), "seeds": [round(float(value), 6) for value in each]}
        for name, each in found.values.items()
    }
    written = of.locks()[claim.name]
    since, first = introduced(claim.name, [claim.lock, *written["was"]], root), None
    if found.runs and found.verdict != of.OPEN:
        added = [added_at(run.id, root) for run in found.runs]
        first = bool(since) and all(not when or since.partition(" ")[2] <= when for when in added)
    known = claims()[claim.name]
    note = ". ".join([found.note, *(f"Its rule changed after a result: {each['why']}" for each in written["changes"])])
    words = {key: known[key] for key in ("claim", "setting", "stated")}
    made = {"id": claim.name, "week": known["week"], "kind": claim.kind, **words, "measured": found.measured}
    made |= {"pilot": found.pilot, "verdict": found.verdict, "evidence": found.evidence, "seeds": found.seeds}
    made |= {"values": values, "chapter": chapter, "note": note, "rule": claim.lock, "since": since, "first": first}
    return {key: made[key] for key in RECORD}


def introduced(claim: str, locks: Sequence[str], root: Path) -> str:
    """Return the commit that introduced a rule, by any of its locks, and its time (ISO 8601, UTC); "" if it is not
    committed, or no history is there."""
    known = (found for lock in locks if (found := _introductions(root).get((claim, lock))))
    return min(known, key=lambda found: found.partition(" ")[2], default="")


def added_at(run: str, root: Path) -> str:
    """Return when a run was added to `book/runs/` (ISO 8601, UTC); "" if it is not committed."""
    return _additions(root).get(run, "")


@cache
def _introductions(root: Path) -> Mapping[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    if not of.LOCKS.is_relative_to(root) or _git(root, "rev-parse", "--is-shallow-repository").strip() != "false":
        return found
    where = of.LOCKS.relative_to(root).as_posix()
    for line in _git(root, "log", "--reverse", "--format=%h %ct", "--", where).splitlines():
        commit, seconds = line.split()
        for name, each in json.loads(_git(root, "show", f"{commit}:{where}") or "{}").items():
            found.setdefault((name, each["lock"]), f"{commit} {_time(seconds)}")
    return found


@cache
def _additions(root: Path) -> Mapping[str, str]:
    log = _git(root, "log", "--diff-filter=A", "--format=%x00%ct", "--name-only", "--", "book/runs")
    found: dict[str, str] = {}
    for entry in log.split("\0")[1:]:
        when, *paths = entry.split("\n")
        for path in paths:
            if match := re.match(r"book/runs/([0-9a-f]{16})/", path):
                found[match[1]] = _time(when)  # the log goes from new to old: the first time stays
    return found


def _time(seconds: str) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat(timespec="seconds")


def _git(root: Path, *words: str) -> str:
    """Return what git says; "" without git or a repository."""
    with suppress(ConfigurationError):
        return checkout.git(root, *words)
    return ""
