"""The box at the end of a chapter that says how to run it again: the commands, their cost, what is worth changing."""

from __future__ import annotations

import html
import json
import shlex
from collections.abc import Sequence
from typing import Any

from .parameters import Common, allowed
from .store import Run

BOUNDS = (10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)  # seconds; times are told as less than one of these
UNTOLD = ("device", "data", "runs", "out", "profile")  # parameters of every chapter that its page explains elsewhere


def commands(settings: Common) -> tuple[str, str]:
    """Return the two command lines that make a page again, papermill's and ours: with every parameter that differs from
    its default, but for the folder of new runs."""
    standard = {name: field.default for name, field in type(settings).model_fields.items()} | {"profile": "quick"}
    papermill = ["papermill", f"notebooks/{settings.chapter}.ipynb", "out.ipynb"]
    ours = ["python", "-m", "labbook", "run", settings.chapter]
    for name, value in settings.model_dump(exclude={"out"}).items():
        if value != standard[name]:
            papermill += ["-y", json.dumps({name: value})] if isinstance(value, list) else ["-p", name, str(value)]
            ours += ["-p", f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"]
    return shlex.join(papermill), shlex.join(ours)


def within(seconds: float) -> str:
    """Return a time as an upper bound that two measurements will share: `less than 30 seconds`."""
    bound = next((bound for bound in BOUNDS if seconds < bound), None)
    if bound is None:
        return f"about {seconds / 3600:.0f} hours"
    number, unit = (
        (bound, "second") if bound < 60 else (bound // 60, "minute") if bound < 3600 else (bound // 3600, "hour")
    )
    return f"less than {number} {unit}{'s' if number > 1 else ''}"


def box(settings: Common, seconds: float, runs: Sequence[Run]) -> str:
    """Return the box (HTML).

    Args:
        seconds: processor time of this page so far. runs: that the page used.
    """
    papermill, ours = (f'<div class="highlight"><pre>{html.escape(line)}\n</pre></div>' for line in commands(settings))
    minutes = sum(run.seconds for run in runs) / 60
    machines = "; ".join(sorted({run.machine["device"] for run in runs}))
    trained = (
        f" Its {len(runs)} training runs took {minutes:,.0f} minutes on {html.escape(machines)}. With "
        "<code>runs=reuse</code> they are read from the store, unless a parameter of the training changes."
        if runs
        else ""
    )
    rows = "".join(
        f"<tr><td><code>{name}</code></td><td>{_value(getattr(settings, name))}</td>"
        f"<td>{html.escape(each.description)}</td><td>{html.escape(allowed(each))}</td></tr>"
        for name, each in type(settings).model_fields.items()
        if name not in UNTOLD
    )
    return (
        '<div class="rerun"><p class="rerun-title">Run this chapter again</p>'
        f"<p>This page took {within(seconds)} of processor time.{trained}</p>"
        f"{papermill}<p>or, with names and values checked before the start:</p>{ours}"
        "<details><summary>Parameters worth changing</summary><p>Add <code>-p NAME VALUE</code> to the first command "
        "or <code>-p NAME=VALUE</code> to the second.</p>"
        "<table><thead><tr><th>name</th><th>here</th><th>meaning</th><th>allowed</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></details></div>"
    )


def _value(value: Any) -> str:
    entries = value if isinstance(value, list) else [value]
    return html.escape(", ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in entries))
