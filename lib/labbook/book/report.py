"""What a page says about itself: notices, the answer, verdicts on claims, costs, provenance. All of it computed.

Values that other pages quote are glued: `answer`, `claims`, `runs` and, of one chapter, `benchmark` (JSON).
"""

from __future__ import annotations

import ast
import html
import importlib.metadata
import inspect
import json
import re
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from IPython.display import HTML, Markdown, display
from myst_nb import glue
from torch import Tensor, nn

from .. import classifiers, digits, evaluation, evidence, foveal, models, searcher, visual_field, whatwhere
from ..classifiers import TransformerOutput
from ..config import Training, plain, seeded, shortened
from ..errors import ConfigurationError
from ..evaluation import CONTRASTS, Predictions, Proportion
from ..experiments.claim import Claim, judge
from ..stimuli import ECCENTRICITIES, Scene128, Stimuli, StimulusConfig, window
from . import checkout, rerun, results, verdicts
from . import claims as ledger
from .parameters import Common
from .store import Run, Store

QUICK_IMAGES, SMOKE_IMAGES = 40_000, 400  # training images of a shortened run
# Cost of an image, in images of 28x28: shortened runs are shorter by this factor.
HEAVY = {"stn128": 50, "atn": 20, "searcher": 8}
NUMBER = re.compile(r"[-+]?\d[\d,.]*( %| px)?|")  # what may stand in a column of numbers
PACKAGES = ("torch", "numpy", "MotionClouds", "matplotlib")


def percent(values: float | Sequence[float], digits: int = 1) -> str:
    """Return proportions as text: `94.2 %`, or for several `94.2 % (93.9 to 94.5, 3 seeds)`."""
    if isinstance(values, (int, float)):
        return f"{100 * values:.{digits}f} %"
    values = list(values)
    mean = sum(values) / len(values)
    if len(values) == 1:
        return percent(mean, digits)
    low, high = (f"{100 * extreme(values):.{digits}f}" for extreme in (min, max))
    return f"{percent(mean, digits)} ({low} to {high}, {len(values)} seeds)"


def proportion(accuracy: Proportion) -> str:
    """Return an accuracy with its 95 % interval: `94.2 % (93.7 to 94.6)`."""
    low, high = accuracy.interval
    return f"{percent(accuracy.value)} ({100 * low:.1f} to {100 * high:.1f})"


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
    glue("runs", "[]", display=False)


def numbers(**values: float | str) -> None:
    """Glue values under their names, for `{glue:text}` in the Markdown of the page."""
    for name, value in values.items():
        glue(name, value, display=False)


def measured(**runs: Run) -> None:
    """Glue what runs of transformers ended with, see `Run.measure`, under the name of each: `own_accuracy` in percent,
    `own_r`, the correlation of its window with the digit's position, `own_spread` in pixels and `own_scale`."""
    quantities = {"accuracy": "accuracy", "r": "follow", "spread": "spread", "scale": "scale"}
    for name, run in runs.items():
        found = {f"{name}_{short}": run.measure(quantity) for short, quantity in quantities.items()}
        numbers(**found | {f"{name}_accuracy": 100 * run.measure("accuracy")})


def stated(*names: str) -> None:
    """Glue what the lab-book stated of claims, in its words, under their names: `c21`."""
    numbers(**{name.lower(): ledger.claims()[name]["stated"] for name in names})


def say(text: str) -> None:
    """Display a computed sentence (Markdown)."""
    display(Markdown(text))


class Page:
    """A chapter at work: it gets runs and evaluations as its profile allows, and displays what is computed from them.

    A profile decides what may be computed now. "full": everything, whole. "quick": whole schedules and maps where the
    store has them, shortened ones otherwise. "smoke": a few steps, from nothing.

    Args:
        settings: the checked parameters.

    Trainings and evaluations compute on the chapter's device, from digits on the CPU, so that stimuli are the same on
    every machine; all that a page returns, and `store.model`, is on the CPU.
    """

    def __init__(self, settings: Common):
        self.settings = settings
        reuse = settings.runs == "reuse" and settings.profile != "smoke"
        self.sets = digits.load(settings.data, checkout.root() / "book" / "digits" if reuse else None)
        precision = getattr(settings, "precision", "auto")  # of a chapter that trains
        self.store = Store(checkout.root() / "book" / "runs", settings.folder, reuse, print, precision=precision)
        self.records: list[dict] = []
        self.shortened: set[str] = set()  # ids of runs on a schedule shorter than the chapter asks for

    # ---- results ----

    def _tested(self, n: int) -> int:
        """Return how many test digits stand for `n`: as many as there are, in smoke 8."""
        return 8 if self.settings.profile == "smoke" else min(n, len(self.sets.test))

    def obtain(self, training: Training, seeds: Sequence[int] | None = None, quick: int | None = None) -> list[Run]:
        """Return one run per seed (default: the chapter's), the longest that the profile and the store allow.

        Args:
            quick: training images of a shortened run in the profile "quick" (default `QUICK_IMAGES`); what is shorter
                anyway is trained whole.
        """
        n, cost = len(self.sets.train), HEAVY.get(training.model, 1)
        limit = quick or QUICK_IMAGES // cost
        every = [seeded(training, seed, self.sets.name) for seed in (self.settings.seeds if seeds is None else seeds)]
        wanted = [
            {
                "full": [whole],
                "quick": [whole] if whole.images(n) <= limit else [whole, shortened(whole, limit, n)],
                "smoke": [shortened(whole, SMOKE_IMAGES // cost, n, stages=2)],
            }[self.settings.profile]
            for whole in every
        ]
        obtained = self.store.get_or_train_many(wanted, self.sets, self.settings.torch_device)
        for run, whole in zip(obtained, every, strict=True):
            if run.images < whole.images(n):
                self.shortened.add(run.id)
        return obtained

    def evaluate(
        self, run: Run, name: str, compute: Callable[[nn.Module], object], others: Sequence[Run] = (), **settings
    ) -> Any:
        """Return an evaluation of a run, see `Store.evaluate`; `compute` gets the model on the chapter's device."""
        return self.store.evaluate(run, name, compute, self.settings.torch_device, others, **settings)

    def accuracy(self, run: Run, scene: StimulusConfig, seed: int = 0) -> Proportion:
        """Return the accuracy of a run on the test digits, fixed stimuli of a scene (smoke: of 200 digits)."""
        n = 200 if self.settings.profile == "smoke" else len(self.sets.test)

        def compute(model):
            proportion = evaluation.accuracy(model, self.sets.test, scene, n, seed)
            return [proportion.correct, proportion.n]

        settings = {"scene": plain(scene), "n": n, "seed": seed}
        return self.evaluate(run, "accuracy", compute, read=lambda kept: Proportion(*map(int, kept)), **settings)

    def general_and_central(self, run: Run, scene: StimulusConfig) -> list[Proportion]:
        """Return the general and the central accuracy of a run: of digits shifted by std 15 px, and unshifted."""
        return [self.accuracy(run, replace(scene, std=std)) for std in (15.0, 0.0)]

    def predictions(self, run: Run, scene: StimulusConfig, n: int = 500, seed: int = 0) -> Predictions:
        """Return a run's answers to fixed stimuli of the first `n` test digits (smoke: of 8); kept, so that they are
        had without the weights. Theta is rounded to 5 digits."""
        n = self._tested(n)

        def compute(model):
            return _kept(evaluation.predictions(model, self.sets.test, scene, n, seed))

        def read(kept):
            stimuli = [(each.labels, each.offsets) for each in evaluation.stream(self.sets.test, scene, n, seed)]
            return _answers(kept, *(torch.cat(column).cpu() for column in zip(*stimuli, strict=True)))

        return self.evaluate(run, "answers", compute, read=read, scene=plain(scene), n=n, seed=seed)

    def predictions_on_grid(
        self, run: Run, scene: StimulusConfig, axis: Sequence[int], count: int = 4, seed: int = 0
    ) -> Predictions:
        """Return a run's answers to the stimuli of `evaluation.grid_stimuli`; kept like those of `answers`."""
        stimuli = evaluation.grid_stimuli(self.sets.test, scene, axis, count, seed)

        def compute(model):
            return _kept(evaluation.predict(model, stimuli))

        settings = {"scene": plain(scene), "axis": list(axis), "count": count, "seed": seed}
        return self.evaluate(
            run, "grid", compute, read=lambda kept: _answers(kept, stimuli.labels, stimuli.offsets), **settings
        )

    def active_units(self, run: Run, scene: StimulusConfig, n: int = 500) -> float:
        """Return the share of a run's last hidden localisation units that answer to any of `n` test stimuli."""
        n = self._tested(n)

        def compute(model):
            return round(evaluation.active_units(model, evaluation.fixed_stimuli(self.sets.test, scene, n).images), 5)

        return self.evaluate(run, "alive", compute, read=float, scene=plain(scene), n=n)

    def output(self, run: Run, stimuli: Stimuli) -> TransformerOutput:
        """Return what the network of a run does with stimuli."""
        with torch.inference_mode():
            return self.store.model(run)(stimuli.images)

    def benchmark(
        self, run: Run, n: int = 2000, view: str = "field", noise: float = 0.75
    ) -> dict[tuple[float, float], Proportion]:
        """Return the accuracy of a run in the 27 cells of the benchmark, (contrast, radius) -> proportion of the first
        `n` test digits (smoke: of 8).

        Args:
            view: "oracle" shows the classifier what a perfect fixation would see: the run's own ceiling.
            noise: amplitude of the background.
        """
        n = self._tested(n)

        def compute(model):
            found = evaluation.benchmark(model, self.sets.test, n, scene)
            return [[each.correct for (c, _), each in found.items() if c == contrast] for contrast in CONTRASTS]

        scene = Scene128(view=view, noise=noise)

        def read(correct):
            return {
                (contrast, radius): Proportion(int(each), n)
                for contrast, row in zip(CONTRASTS, correct, strict=True)
                for radius, each in zip(ECCENTRICITIES, row, strict=True)
            }

        return self.evaluate(run, "benchmark", compute, read=read, scene=plain(scene), n=n)

    def saccades(
        self, where: Run, whats: Sequence[Run], noise: float, n: int = 2000, saccades: int = whatwhere.SACCADES
    ) -> list[dict[tuple[float, float], whatwhere.SaccadeCounts]]:
        """Return what the eye of a What/Where model does in the 27 cells of the benchmark, for each of several What
        pathways at the same fixations; the stimuli are those of `benchmark`.

        Args:
            where: run of the Where network. whats: runs of What pathways. saccades: at most.
        """
        n = self._tested(n)
        scene = Scene128(noise=noise)

        def compute(model):
            named = {run.id: run.model(self.settings.torch_device) for run in whats}
            cells = evaluation.cells(scene).values()
            found = [whatwhere.measure(named, model, self.sets.test, each, n, saccades) for each in cells]
            return [[asdict(each[run.id]) for each in found] for run in whats]

        def read(found):
            return [
                {
                    cell: whatwhere.SaccadeCounts(**each)
                    for cell, each in zip(evaluation.cells(scene), column, strict=True)
                }
                for column in found
            ]

        settings = {"whats": [run.id for run in whats], "scene": plain(scene), "n": n, "saccades": saccades}
        return self.evaluate(where, "saccades", compute, whats, read=read, **settings)

    def traces(self, where: Run, what: Run, scene: Scene128, n: int = 60) -> tuple[Stimuli, Tensor, Tensor]:
        """Return fixed stimuli of a scene, and what the eye of a What/Where model did with them: fixations
        (looks, n, 2) and answers (looks, n)."""
        stimuli = evaluation.fixed_stimuli(self.sets.test, scene, min(n, len(self.sets.test)))

        def compute(model):
            seen = whatwhere.trace(what.model(self.settings.torch_device), model, stimuli.images)
            return [seen.fixations.tolist(), seen.posterior.argmax(2).tolist()]

        settings = {"what": what.id, "scene": plain(scene), "n": n}
        fixations, named = self.evaluate(where, "traces", compute, [what], read=_tensors(2), **settings)
        return stimuli, fixations, named

    def searches(self, run: Run, n: int = 1000, saccades: int = 5) -> list[dict[tuple[float, float], Proportion]]:
        """Return the accuracy of a searcher's run in the 27 cells with at most 1, 2, ... saccades, on the first `n`
        test digits (smoke: 8)."""
        n = self._tested(n)

        def compute(model):
            return searcher.benchmark(model, self.sets.test, n, saccades)

        def read(counts):
            return [
                {cell: Proportion(int(k), n) for cell, k in zip(cells, row, strict=True)} for row in counts["right"]
            ]

        cells = evaluation.cells()
        return self.evaluate(run, "searches", compute, read=read, n=n, saccades=saccades)

    def limits(self, run: Run, n: int = 1000) -> dict[str, list]:
        """Return what `evidence.benchmark` counts of an evidence map, on the first `n` test digits (smoke: 8)."""
        n = self._tested(n)

        def compute(model):
            return evidence.benchmark([model], self.sets.test, n)

        return self.evaluate(run, "limits", compute, n=n, reach=evidence.REACH)

    def foveal_searches(self, run: Run, n: int = 1000, saccades: int = 5) -> dict[str, list]:
        """Return what `foveal.benchmark` counts of a foveal searcher, on the first `n` test digits (smoke: 8)."""
        n = self._tested(n)

        def compute(model):
            return foveal.benchmark(model, self.sets.test, n, saccades)

        return self.evaluate(run, "foveal searches", compute, n=n, saccades=saccades)

    def scanpaths(self, run: Run, scene: Scene128, n: int, saccades: int = 5) -> tuple[Stimuli, searcher.SearchTrace]:
        """Return fixed stimuli of a scene, and how a searcher's run searched them; see `traces`, which has the same."""
        stimuli = evaluation.fixed_stimuli(self.sets.test, scene, min(n, len(self.sets.test)))

        def compute(model):
            with torch.inference_mode():
                trace = model.search(stimuli.images.to(self.settings.torch_device), saccades)
            rounded = [[[round(p, 4) for p in look] for look in each] for each in trace.posteriors.tolist()]
            worth = [[round(w, 4) for w in each] for each in trace.confidence.tolist()]
            return [trace.fixations.tolist(), trace.expected.tolist(), rounded, worth, trace.made.tolist()]

        settings = {"scene": plain(scene), "n": n, "saccades": saccades}
        return stimuli, searcher.SearchTrace(*self.evaluate(run, "scanpaths", compute, read=_tensors(5), **settings))

    def watched(self, grid: visual_field.Sweep, run: Run, what: Run | None = None) -> visual_field.SweepOutput:
        """Return what a system did with a grid of settings: a run that names digits through a window, or that of a
        Where network with the What pathway that names what it looks at."""

        def compute(model):
            model.eval()
            named = what and what.model(self.settings.torch_device)

            def look(images):
                if named is None:
                    seen = model(images.to(self.settings.torch_device))
                    return seen.logits.argmax(1), seen.theta, torch.zeros(len(images), 0, 2)
                seen = whatwhere.trace(named, model, images)
                return seen.posterior[-1].argmax(1), window(seen.fixations[-1]), seen.fixations.transpose(0, 1)

            with torch.inference_mode():
                found = visual_field.evaluate(look, self.sets.test, grid)
            windows = [[[round(x, 4) for x in theta] for theta in each] for each in found.windows.flatten(2).tolist()]
            return [found.predictions.tolist(), windows, found.fixations.tolist(), found.correct.tolist()]

        settings = {"grid": asdict(grid), "what": what and what.id}
        others = [what] if what else []
        predictions, windows, fixations, correct = self.evaluate(
            run, "field", compute, others, read=_tensors(4), **settings
        )
        return visual_field.SweepOutput(predictions, windows.unflatten(2, (2, 3)), fixations, correct)

    def accuracy_map(self, run: Run, scene: StimulusConfig, n: int = 500) -> Tensor:
        """Return the accuracy map of a run on the test digits: 55x55 with `n` stimuli per position, coarser if the
        profile asks for it and the store has no better one."""
        n = min(n, len(self.sets.test))
        ladder = {
            "full": [(n, 1)],
            "quick": [(n, 1), (min(n, 100), 3)],
            "smoke": [(20, 9)],
        }[self.settings.profile]
        for count, step in ladder:
            settings = {"scene": plain(scene), "n": count, "step": step}
            if (values := self.store.load_result(run, "map", read=torch.tensor, **settings)) is not None:
                return values

        def compute(model):
            values = evaluation.accuracy_map(model, self.sets.test, scene, count, evaluation.positions(step=step))
            return [[round(value, 5) for value in row] for row in values.tolist()]

        return self.evaluate(run, "map", compute, read=torch.tensor, **settings)

    # ---- text ----

    def notices(self, schedules: Mapping[str, tuple[Run, int]]) -> None:
        """Display what a reader must know first: digits that are not MNIST, shortened schedules, meaningless numbers.

        Args:
            schedules: name of an experiment -> one of its runs, and the number of images of the 2021 schedule.
        """
        if text := _other_digits(self.sets):
            display(HTML(f'<div class="banner banner-data"><p>{text}</p></div>'))
        cut = [
            f"{name} {percent(run.images / whole)}"
            for name, (run, whole) in schedules.items()
            if run.images < 0.85 * whole
        ]
        if self.settings.profile == "smoke":
            text = "This page is a smoke test: a few steps of training, numbers without meaning."
        elif cut:
            text = "Shortened schedules, as a share of the training images of 2021: " + "; ".join(cut) + "."
        else:
            return
        display(HTML(f'<div class="banner banner-short"><p>{text}</p></div>'))

    def answer(self, text: str) -> None:
        """Display the chapter's answer in one sentence, and glue it as `answer`."""
        display(Markdown(f"**{text}**"))
        glue("answer", text, display=False)

    def verdicts(
        self, claims: Iterable[Claim], pilot: Mapping[str, str] | None = None, shortened: Iterable[str] = ()
    ) -> None:
        """Judge claims by what is stored of their own trainings, display them, and glue the records as `claims` (JSON).

        Args:
            pilot: claim -> a sentence on other trainings, shown where the claim stays open. shortened: claims of which
                these were the claim's own schedule, cut.
        """
        stored, pilot, shortened = verdicts.Stored(self, self.sets.name), dict(pilot or {}), set(shortened)
        for each in claims:
            if self.settings.profile == "full":
                stored.train(each)
            said = {"pilot": pilot.pop(each.name, ""), "shortened": each.name in shortened}
            found = judge(each, stored.find, stored, **said)
            self.records.append(verdicts.record(each, found, self.settings.chapter, checkout.root()))
        if pilot:
            raise ConfigurationError(f"There is no claim {', '.join(pilot)} on this page.")
        table(
            ("claim", "what the lab-book claimed", "stated in 2021", "measured here", "verdict"),
            [
                (
                    f'<a href="claims.html#{record["id"].lower()}">{record["id"]}</a>',
                    record["claim"],
                    record["stated"],
                    _measured(record),
                    f'<span class="verdict verdict-{record["verdict"].replace(" ", "-")}">{record["verdict"]}</span>',
                )
                for record in self.records
            ],
            "The rule of each verdict, and what it waits for, stands on the page of claims.",
        )
        glue("claims", json.dumps(self.records), display=False)

    def keep(self, cells: Sequence[results.Cell]) -> None:
        """Glue the records of the benchmark as `benchmark` (JSON); publishing the chapter writes them to
        `book/results/benchmark.json`."""
        glue("benchmark", results.content(cells).decode(), display=False)

    def place(self, name: str, shown: HTML) -> None:
        """Glue an output that another page of the book shows."""
        glue(name, shown, display=False)

    def costs(self, experiments: Mapping[str, Sequence[Run]]) -> None:
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

    def provenance(self) -> None:
        """Display how to run the page again, and where it is from; glue the runs that it used as `runs` (JSON)."""
        where = self.store.used.values()
        display(HTML(rerun.box(self.settings, time.process_time(), list(where))))
        machines = sorted({f"{run.machine['device']}, torch {run.machine['torch']}" for run in where})
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
        minutes = sum(run.seconds for run in where) / 60
        display(
            Markdown(
                f"*Provenance. Data: {self.sets.origin}. Seeds: {', '.join(map(str, self.settings.seeds))}. "
                f"Profile: {self.settings.profile}, runs={self.settings.runs}. Analysis: {versions}. "
                f"Training: {len(where)} runs, "
                f"{minutes:.0f} minutes on {'; '.join(machines)}. Code: {_commit()}.*"
            )
        )
        glue("runs", json.dumps(self.store.manifest()), display=False)


def _measured(record: Mapping) -> str:
    """Return what was measured of a claim, and in italics what pilot evidence says."""
    if not record.get("pilot"):
        return record["measured"]
    kind = "shortened schedule" if record["evidence"] == "shortened" else "pilot, not counted"
    return f"<span>{html.escape(record['measured'])}</span> <em>{kind}: {html.escape(record['pilot'])}</em>"


def _other_digits(sets: digits.DigitSets) -> str:
    """Return the notice that a page must open with when it does not show MNIST, else an empty string."""
    if sets.name == "mnist":
        return ""
    return (
        f"These pages were made with the {len(sets.train) + len(sets.validation) + len(sets.test)} digits bundled "
        f"with scikit-learn{', because MNIST could not be had' if sets.why else ''}. Their numbers are no stand-in for "
        f"MNIST results.{f' {sets.why}' if sets.why else ''}"
    )


def _kept(found: Predictions) -> dict:
    """Return answers as plain data, theta rounded to 5 digits."""
    theta = found.theta
    thetas = None if theta is None else [[round(x, 5) for x in each] for each in theta.flatten(1).tolist()]
    return {"predicted": found.predicted.tolist(), "theta": thetas}


def _tensors(n: int) -> Callable[[Sequence], list[Tensor]]:
    """Return what reads `n` tensors that were kept as lists."""

    def read(kept):
        if len(kept) != n:
            raise ValueError(f"{len(kept)} parts, not {n}")
        return [torch.tensor(each) for each in kept]

    return read


def _answers(kept: dict, labels: Tensor, offsets: Tensor) -> Predictions:
    """Return answers that were kept."""
    predicted = torch.tensor(kept["predicted"])
    theta = None if kept["theta"] is None else torch.tensor(kept["theta"]).view(-1, 2, 3)
    return Predictions(predicted, predicted == labels, theta, offsets)


def _commit() -> str:
    """Return the commit of the code, with a mark if files beside the executed pages have changed since."""
    try:
        command = ("git", "-C", str(checkout.root()))
        commit = subprocess.run(
            (*command, "rev-parse", "--short=10", "HEAD"), capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            (*command, "status", "--porcelain", "--", "lib", "notebooks"), capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "not under version control"
    return f"commit {commit.stdout.strip()}{' with changes' if changed.stdout.strip() else ''}"
