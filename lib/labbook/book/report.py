"""What a page says: numbers as text, tables, code of the library; notices, the answer, costs, provenance.

Values that other pages quote are glued: `answer`, `claims` (see `verdicts`), `runs` and, of one chapter, `benchmark`.
"""

from __future__ import annotations

import ast
import html
import importlib.metadata
import inspect
import json
import re
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import myst_nb
import numpy as np
from IPython.display import HTML, Markdown, display

from .. import classifiers, digits, models
from ..errors import ConfigurationError
from ..evaluation import Proportion
from ..experiments.bootstrap import Estimate
from . import checkout, claims, rerun, results
from .chapter_store import ChapterStore
from .parameters import Common
from .store import Run

NUMBER = re.compile(r"[-+]?\d[\d,.]*( %| px)?|")  # what may stand in a column of numbers
PACKAGES = ("torch", "numpy", "MotionClouds", "matplotlib")


def percent(values: float | Sequence[float], digits: int = 1) -> str:
    """Return proportions as text: `94.2 %`, or for several `94.2 % (seeds: 93.9, 94.2, 94.5)`."""
    if isinstance(values, (int, float)):
        return f"{100 * values:.{digits}f} %"
    values = list(values)
    mean = sum(values) / len(values)
    if len(values) == 1:
        return percent(mean, digits)
    return f"{percent(mean, digits)} (seeds: {', '.join(f'{100 * value:.{digits}f}' for value in values)})"


def proportion(accuracy: Proportion | Estimate) -> str:
    """Return an accuracy with its 95 % interval: `94.2 % (93.7 to 94.6)`."""
    low, high = accuracy.interval
    return f"{percent(accuracy.value)} ({100 * low:.1f} to {100 * high:.1f})"


def points(difference: Estimate) -> str:
    """Return a difference of accuracies with its 95 % interval: `+4.2 points (+3.7 to +4.6)`."""
    value, low, high = (100 * each for each in difference)
    return f"{value:+.1f} points ({low:+.1f} to {high:+.1f})"


def ends(runs: Sequence[Run]) -> str:
    """Return the accuracies with which runs ended, see `percent`."""
    return percent([run.measure("accuracy") for run in runs])


def ended(run: Run, record: dict | None = None) -> tuple[str, str, str]:
    """Return what a transformer ended with, or another record of its history, as text: accuracy, standard deviation of
    its window, correlation of the window with the digit's position."""
    accuracy, spread, r = (run.measure(quantity, record) for quantity in ("accuracy", "spread", "follow"))
    return percent(accuracy), f"{spread:,.1f} px", f"{r:.2f}"


def window(runs: Sequence[Run]) -> str:
    """Return how the windows of runs move, as text: `3.1 px (r = 0.92)`, of each."""
    return ", ".join("{1} (r = {2})".format(*ended(run)) for run in runs)


def against(ours: Sequence[Sequence[Proportion]], theirs: Sequence[Sequence[Proportion]]) -> str:
    """Return general and central accuracies, of each seed, as text: `general 44.1 % against 40.2 %, central ...`."""
    pairs = (
        [percent([each.value for each in column]) for column in zip(*runs, strict=True)] for runs in (ours, theirs)
    )
    return ", ".join(
        f"{name} {one} against {other}" for name, one, other in zip(("general", "central"), *pairs, strict=True)
    )


def table(header: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "", once: str = "") -> None:
    """Display a table; cells are text, or ready HTML if they start with `<`. Columns of numbers align at the right.

    Args:
        once: a column that the caption tells instead if all its cells are the same.
    """
    header, rows = list(header), [list(row) for row in rows]
    if once in header and len({str(row[header.index(once)]) for row in rows}) == 1:
        k = header.index(once)
        [same] = {str(row.pop(k)) for row in rows}
        caption = f"{caption} All {header.pop(k)} {same}.".strip()
    numbers = [all(NUMBER.fullmatch(str(each)) for each in column) for column in zip(*rows, strict=True)]
    kinds = [' class="number"' * each for each in numbers] or [""] * len(header)

    def cell(value: object) -> str:
        text = str(value)
        return text if text.startswith("<") else html.escape(text).replace(" %", "&nbsp;%")

    def line(tag: str, values: Sequence[object]) -> str:
        cells = (f"<{tag}{kind}>{cell(value)}</{tag}>" for kind, value in zip(kinds, values, strict=True))
        return f"<tr>{''.join(cells)}</tr>"

    body = "".join(line("td", row) for row in rows)
    caption = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    display(HTML(f"<table>{caption}<thead>{line('th', header)}</thead><tbody>{body}</tbody></table>"))


def source(function: Callable) -> None:
    """Display the code of a function as the library has it, without its docstring, under its name and module."""
    lines, _ = inspect.getsourcelines(function)
    tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
    first = next(
        node for node in tree.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    )
    head = lines[: tree.body[0].lineno - 1]
    code = textwrap.dedent("".join([*head, *lines[first.lineno - 1 :]]))
    display(Markdown(f"`{function.__module__}.{function.__qualname__}`:\n\n```python\n{code.rstrip()}\n```"))


def remade(settings: Common) -> None:
    """Display how to run a page again that uses no training run."""
    display(HTML(rerun.box(settings, time.process_time(), [])))
    myst_nb.glue("runs", "[]", display=False)


def numbers(**values: float | str) -> None:
    """Glue values under their names, for `{glue:text}` in the Markdown of the page; NumPy's numbers as Python's, which
    a page can format."""
    for name, value in values.items():
        myst_nb.glue(name, value.item() if isinstance(value, np.generic) else value, display=False)


def measured(**runs: Run) -> None:
    """Glue what runs of transformers ended with, see `Run.measure`, under the name of each: `own_accuracy` in percent,
    `own_r`, the correlation of its window with the digit's position, `own_spread` in pixels and `own_scale`."""
    quantities = {"accuracy": "accuracy", "r": "follow", "spread": "spread", "scale": "scale"}
    for name, run in runs.items():
        found = {f"{name}_{short}": run.measure(quantity) for short, quantity in quantities.items()}
        numbers(**found | {f"{name}_accuracy": 100 * run.measure("accuracy")})


def stated(*names: str) -> None:
    """Glue what the lab-book stated of claims, in its words, under their names: `c21`."""
    numbers(**{name.lower(): claims.claims()[name]["stated"] for name in names})


def markdown(text: str) -> None:
    """Display a computed sentence (Markdown)."""
    display(Markdown(text))


def notices(store: ChapterStore, schedules: Mapping[str, tuple[Run, int]]) -> None:
    """Display what a reader must know first: digits that are not MNIST, shortened schedules, meaningless numbers.

    Args:
        schedules: name of an experiment -> one of its runs, and the number of images of the 2021 schedule.
    """
    if text := _other_digits(store.sets):
        display(HTML(f'<div class="banner banner-data"><p>{text}</p></div>'))
    cut = [
        f"{name} {percent(run.images / whole)}" for name, (run, whole) in schedules.items() if run.images < 0.85 * whole
    ]
    if store.settings.profile == "smoke":
        text = "This page is a smoke test: a few steps of training, numbers without meaning."
    elif cut:
        text = "Shortened schedules, as a share of the training images of 2021: " + "; ".join(cut) + "."
    else:
        return
    display(HTML(f'<div class="banner banner-short"><p>{text}</p></div>'))


def _other_digits(sets: digits.DigitSets) -> str:
    """Return the notice that a page must open with when it does not show MNIST, else an empty string."""
    if sets.name == "mnist":
        return ""
    return (
        f"These pages were made with the {len(sets.train) + len(sets.validation) + len(sets.test)} digits bundled "
        f"with scikit-learn{', because MNIST could not be had' if sets.why else ''}. Their numbers are no stand-in for "
        f"MNIST results.{f' {sets.why}' if sets.why else ''}"
    )


def answer(text: str) -> None:
    """Display the chapter's answer in one sentence, and glue it as `answer`."""
    display(Markdown(f"**{text}**"))
    myst_nb.glue("answer", text, display=False)


def export(cells: Sequence[results.Cell]) -> None:
    """Glue the records of the benchmark as `benchmark` (JSON); publishing the chapter writes them to
    `book/results/benchmark.json`."""
    myst_nb.glue("benchmark", results.content(cells).decode(), display=False)


def glue(name: str, shown: HTML) -> None:
    """Glue an output that another page of the book shows."""
    myst_nb.glue(name, shown, display=False)


def costs(experiments: Mapping[str, Sequence[Run]]) -> None:
    """Display what each experiment cost: parameters, images, seconds and the machine, mean over its runs."""
    rows = []
    for name, runs in experiments.items():
        run = runs[0]
        model = models.build(run.configuration.model, **run.configuration.options)
        seconds = sum(each.seconds for each in runs) / len(runs)
        rows.append(
            (
                name,
                f"{classifiers.count(model):,}",
                len(runs),
                f"{run.images:,}",
                f"{seconds / 60:.1f}",
                run.machine["device"],
            )
        )
    header = ("experiment", "parameters", "runs", "training images per run", "minutes per run", "trained on")
    table(header, rows, once="trained on")


def provenance(store: ChapterStore) -> None:
    """Display how to run the page again, and where it is from; glue the runs that it used as `runs` (JSON)."""
    where = store.runs.used.values()
    display(HTML(rerun.box(store.settings, time.process_time(), list(where))))
    machines = sorted({f"{run.machine['device']}, torch {run.machine['torch']}" for run in where})
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    minutes = sum(run.seconds for run in where) / 60
    display(
        Markdown(
            f"*Provenance. Data: {store.sets.origin}. Seeds: {', '.join(map(str, store.settings.seeds))}. "
            f"Profile: {store.settings.profile}, runs={store.settings.runs}. Analysis: {versions}. "
            f"Training: {len(where)} runs, "
            f"{minutes:.0f} minutes on {'; '.join(machines)}. Code: {_commit()}.*"
        )
    )
    myst_nb.glue("runs", json.dumps(store.runs.manifest()), display=False)


def _commit() -> str:
    """Return the commit of the code, with a mark if files beside the executed pages have changed since."""
    try:
        commit = checkout.git(checkout.root(), "rev-parse", "--short=10", "HEAD").strip()
        changed = checkout.git(checkout.root(), "status", "--porcelain", "--", "lib", "notebooks").strip()
    except ConfigurationError:
        return "not under version control"
    return f"commit {commit}{' with changes' if changed else ''}"
