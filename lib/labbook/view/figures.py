"""Figures of the book: each function takes results and returns a matplotlib figure; `show` puts it on the page.

Convention: colours are those of Okabe and Ito, the same name the same colour within a figure; the ground is
transparent, text grey, so that one picture serves light and dark pages. Accuracies are drawn in percent.
"""

from __future__ import annotations

import base64
import html
import io
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML, display
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from torch import Tensor

from ..book.store import Run
from ..classifiers import TransformerOutput
from ..evaluation import CONTRASTS, Proportion
from ..experiments.benchmark import Errors
from ..experiments.bootstrap import Estimate
from ..experiments.week8 import Repeated
from ..gradient_alignment import GradientAlignment
from ..psychometrics import Fit
from ..search.foveal import FovealTrace
from ..search.searcher import SearchTrace
from ..stimuli import EDGE, Stimuli

STYLE = str(Path(__file__).with_name("gadfly.mplstyle"))
CHANCE = 10.0  # percent
INK = "#7a7a7a"
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, AMBER = "#56B4E9", "#E69F00"
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, AMBER)
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)), "-", (0, (5, 2)))

COLUMN = 5.6  # inches: width of a figure whose letters can still be read when a phone shrinks it to its screen

SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) * EDGE  # outline of a digit's frame, closed, pixels

# Figures go to the page through `show` alone.
matplotlib.use("agg")


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw a figure in the book's style."""

    @wraps(draw)
    def drawn(*args, **options):
        with plt.style.context(STYLE):
            return draw(*args, **options)

    return drawn


@styled
def picture(figure: Figure, alt: str = "", classes: str = "dark-light", dpi: float | None = None) -> str:
    """Return a figure as an `<img>`, with its description for readers who cannot see it (default: the one that it got
    when it was drawn, see `described`); close it.

    The picture is a WebP without loss, which has 4 bytes where a PNG has 7. One that is no wider than `COLUMN` is of
    class "narrow": on a phone it shrinks to the screen.
    """
    buffer = io.BytesIO()
    lossless = {"lossless": True, "quality": 50}  # quality: of the search for the smallest file, 0 to 100
    figure.savefig(buffer, format="webp", pil_kwargs=lossless, dpi=dpi or plt.rcParams["savefig.dpi"])
    plt.close(figure)
    source = base64.b64encode(buffer.getvalue()).decode()
    width = round(figure.get_figwidth() * 96)
    narrow = " narrow" if figure.get_figwidth() <= COLUMN else ""
    return (
        f'<img class="{classes}{narrow}" width="{width}" alt="{html.escape(alt or figure.get_label())}" '
        f'src="data:image/webp;base64,{source}">'
    )


def described(figure: Figure, text: str) -> Figure:
    """Give a figure its description, in which its numbers are, for readers who cannot see it; return it."""
    figure.set_label(text)
    return figure


def framed(figure: Figure, alt: str = "", caption: str = "") -> HTML:
    """Return a figure with its description, and a caption that stands alone; close it."""
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    return HTML(f'<figure class="plot">{picture(figure, alt)}{below}</figure>')


def side_by_side(pictures: Mapping[str, Figure] | Sequence[Figure], caption: str) -> None:
    """Display narrow figures, by description where they have none of their own, beside one another where there is room,
    else below; close them."""
    by_alt = pictures.items() if isinstance(pictures, Mapping) else (("", figure) for figure in pictures)
    shown = "".join(picture(figure, alt) for alt, figure in by_alt)
    display(HTML(f'<figure class="plot pair">{shown}<figcaption>{caption}</figcaption></figure>'))


def show(figure: Figure, alt: str = "", caption: str = "") -> None:
    """Display a figure, see `framed`."""
    display(framed(figure, alt, caption))


def _legend(figure: Figure, **options) -> None:
    """Put the legend of all axes below them, one entry per label, in as many columns as there is room for."""
    entries = {}
    for axis in figure.axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    columns = int(figure.get_figwidth() / (0.075 * max(map(len, entries)) + 0.65))  # inches of an entry
    columns = max(1, min(columns, len(entries)))
    rows = -(-len(entries) // columns)
    ncols = -(-len(entries) // rows)
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=ncols, **options)


def in_words(ends: Mapping[str, float], unit: str = " %") -> str:
    """Return numbers by name as text."""
    return "; ".join(f"{name}: {value:.{1 + (not unit)}f}{unit}" for name, value in ends.items())


TEXT = 9  # points: letters of a name beside its line


def _beside(axis, ends: Mapping[str, tuple[float, float, str]]) -> bool:
    """Name lines at the right of an axis, whose limits are set, by name -> (x and y of the end, colour); return False
    and write nothing where the names do not fit."""
    names = {name: textwrap.fill(name, 15) for name in ends}
    line = 1.35 * TEXT / 72 / (axis.get_position().height * axis.figure.get_figheight())  # in heights of the axis
    heights = {name: line * (1 + names[name].count("\n")) for name in ends}
    if sum(heights.values()) > 1:
        return False
    middle = axis.transAxes.inverted()
    ends = {
        name: (middle.transform(axis.transData.transform((x, y)))[1], colour) for name, (x, y, colour) in ends.items()
    }
    order = sorted(ends, key=lambda name: ends[name][0])
    tops = []  # of the names from below, none over another
    for name in order:
        tops.append(max(ends[name][0] + heights[name] / 2, (tops[-1] if tops else 0) + heights[name]))
    room = 1.0
    for k in reversed(range(len(order))):
        tops[k] = min(tops[k], room)
        room = tops[k] - heights[order[k]]
        place = (1.015, tops[k] - heights[order[k]] / 2)
        axis.text(
            *place, names[order[k]], color=ends[order[k]][1], transform=axis.transAxes, va="center", fontsize=TEXT
        )
    return True


def _axes(rows: int, columns: int, width: float, height: float, **options):
    return plt.subplots(rows, columns, figsize=(width, height), **options)


def _drawn(groups: Mapping, seconds: Sequence = DASHES) -> Iterator[tuple]:
    """Yield each group's name, what is in it, its colour, and its dash (or its marker, or what else `seconds` are).

    From the seventh group on the colours come again, each with another dash.
    """
    for k, (name, each) in enumerate(groups.items()):
        yield name, each, COLOURS[k % len(COLOURS)], seconds[(k + k // len(COLOURS)) % len(seconds)]


# ---- stimuli --------------------------------------------------------------------------------------------------------


@styled
def stimuli(batch: Stimuli, columns: int = 8) -> Figure:
    """Show stimuli (B, 1, h, w) in a grid, each titled with its label and contrast."""
    n = len(batch.labels)
    rows = -(-n // columns)
    figure, axes = _axes(rows, columns, 1.05 * columns, 1.35 * rows, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, label, contrast in zip(axes.flat, batch.images, batch.labels, batch.contrast, strict=False):
        axis.imshow(image[0], vmin=0, vmax=1)
        axis.set_title(f"{label}, {100 * contrast:.0f} %", fontsize=9, loc="center")
    told = "; ".join(f"{label}, {100 * each:.0f} %" for label, each in zip(batch.labels, batch.contrast, strict=True))
    return described(figure, f"{n} stimuli in {rows} rows, with label and contrast: {told}.")


def _marked(answer: int, label: int) -> str:
    """Return an answer with a tick, or with a cross and the label."""
    return f"{answer} ✓" if answer == label else f"{answer} ✗ ({label})"


def _outlines(theta: Tensor) -> Tensor:
    """Return the corners of windows theta (..., 2, 3), closed: (..., 2, 5), x and y in half edges from the middle."""
    return theta @ torch.tensor([[-1.0, 1, 1, -1, -1], [-1, -1, 1, 1, -1], [1, 1, 1, 1, 1]])


@styled
def windows(batch: Stimuli, seen: TransformerOutput, columns: int = 8) -> Figure:
    """Show what a spatial transformer does: above, each stimulus with the window's outline (orange) and the digit's
    true box (blue, dashed); below, what the classifier saw, with its answer and the label where they differ.
    """
    n = min(columns, len(batch.labels))
    figure, axes = _axes(2, n, 1.3 * n, 3.2, squeeze=False)
    edge = batch.images.shape[-1]
    outlines = _outlines(seen.theta[:n])
    frames = (2 * batch.offsets[:n].abs().max().item() + EDGE) / edge  # half edges, like the outlines
    reach = max(1.04, min(1.4, frames), min(2.0, 1.1 * outlines.abs().max().item())) * edge / 2  # what is shown
    for k in range(n):
        above, below = axes[:, k]
        above.imshow(batch.images[k, 0], vmin=0, vmax=1)
        above.plot(*((outlines[k] + 1) * edge / 2 - 0.5).numpy(), color=ORANGE, lw=2, label="window")
        top, left = (batch.offsets[k] + (edge - EDGE) // 2).tolist()
        square = SQUARE - 0.5
        above.plot(square[:, 0] + left, square[:, 1] + top, color=SKY, lw=1.5, ls=(0, (3, 2)), label="digit's frame")
        above.set(xlim=(edge / 2 - reach, edge / 2 + reach), ylim=(edge / 2 + reach, edge / 2 - reach))
        below.imshow(seen.crop[k, 0], vmin=0, vmax=1)
        answer, label = seen.logits[k].argmax().item(), batch.labels[k].item()
        below.set_title(_marked(answer, label), fontsize=10, loc="center")
        for axis in (above, below):
            axis.axis("off")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    right = int((seen.logits[:n].argmax(1) == batch.labels[:n]).sum())
    text = f"{n} stimuli with the window and the digit's frame; below, the crops with the predicted classes"
    return described(figure, f"{text}, {right} of {n} correct.")


# ---- training -------------------------------------------------------------------------------------------------------


@styled
def learning_curves(
    groups: Mapping[str, Sequence[Run]],
    stated: Mapping[str, Sequence[float]] | None = None,
    key: str = "accuracy",
    log: bool = False,
) -> Figure:
    """Draw an accuracy against training images, one thin line per run, one colour per group.

    Args:
        stated: 2021's values by group, one per epoch of 60 000 images, as dots. key: of the accuracy in the history.
        log: whether the axis of images is logarithmic.
    """
    figure, axis = _axes(1, 1, COLUMN, 3.6)
    stated, ends = stated or {}, {}
    for name, runs, colour, dash in _drawn(groups):
        last = sum(100 * run.history[-1][key] for run in runs) / len(runs)
        ends[name] = (0, last, colour)
        for k, run in enumerate(runs):
            images = np.cumsum([record["images"] for record in run.history]) / 1000
            values = [100 * record[key] for record in run.history]
            axis.plot(
                images,
                values,
                color=colour,
                ls=dash,
                lw=1.6,
                marker="." if len(values) < 3 else "",
                label=name if k == 0 else None,
            )
        if name in stated:
            _epochs_2021(axis, name, stated[name], colour)
    _percent(axis)
    axis.set_xlabel("training images (thousands)")
    axis.set_ylabel("accuracy (%)")
    if log:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
    _name(figure, axis, ends)
    told = in_words({name: y for name, (_, y, _) in ends.items()})
    return described(figure, f"Accuracy against training images. At the end: {told}.")


def _name(figure: Figure, axis, ends: Mapping[str, tuple[float, float, str]]) -> None:
    """Name lines beside an axis (see `_beside`), the others in a legend; all in a legend where names do not fit."""
    if _beside(axis, ends):
        for each in (line for axis in figure.axes for line in axis.lines if line.get_label() in ends):
            each.set_label(None)
    _legend(figure)


@styled
def per_stage(
    groups: Mapping[str, Sequence[Run]],
    quantities: Mapping[str, str],
    stated: Mapping[str, Mapping[float, float]] | None = None,
) -> Figure:
    """Draw quantities at the end of each stage against the stage's shift std, one line per seed.

    Args:
        groups: runs by name. quantities: label of a panel -> quantity, see `Run.measure`.
        stated: group -> {std: accuracy of 2021}, drawn as dots on "accuracy".
    """
    figure, axes = _axes(len(quantities), 1, COLUMN, 0.9 + 1.8 * len(quantities), sharex=True, squeeze=False)
    ends: list[dict] = []  # of the lines, by panel
    for axis, (label, quantity) in zip(axes[:, 0], quantities.items(), strict=True):
        ends.append({})
        for name, runs, colour, dash in _drawn(groups):
            runs = [run for run in runs if run.history[0]["theta"] or quantity.endswith("accuracy")]
            if not runs:
                continue
            stds = [stage["scene"].get("std", 15) for stage in runs[0].training["stages"]]
            values = np.array([[_plotted(run, quantity, record) for record in run.last_of_stages()] for run in runs])
            axis.plot(stds, values.T, color=colour, ls=dash, lw=1.8 if len(runs) == 1 else 1.3, label=name)
            ends[-1][name] = (stds[-1], values[:, -1].mean(), colour)
            if quantity == "accuracy" and stated and name in stated:
                points = sorted(stated[name].items())
                axis.plot(
                    *zip(*((x, 100 * y) for x, y in points), strict=True),
                    "o",
                    color=colour,
                    ms=3.5,
                    alpha=0.7,
                    label=f"{name}, 2021",
                )
        _quantity(axis, label, quantity)
    axes[-1, 0].set_xlabel("standard deviation of the shift at that stage (pixels)")
    k = max(range(len(ends)), key=lambda k: len(ends[k]))  # the first panel that has all
    _name(figure, axes[k, 0], ends[k])
    values = ({name: y for name, (_, y, _) in each.items()} for each in ends)
    told = (f"{label}, {in_words(each, '')}" for label, each in zip(quantities, values, strict=True))
    return described(
        figure, f"Against the shift of each stage, panels below one another. Last stage: {'. '.join(told)}."
    )


def _plotted(run: Run, quantity: str, record: dict) -> float:
    """Return a quantity of an epoch, see `Run.measure`, accuracies in percent."""
    value = run.measure(quantity, record)
    return 100 * value if quantity.endswith("accuracy") else value


@styled
def course(
    groups: Mapping[str, Sequence[Run]],
    quantities: Mapping[str, str],
    stated: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """Draw trainings that consist of several runs, one after the other, against all images seen so far; a mark where
    the stage changes.

    Args:
        groups: name -> its runs in order. quantities: label of a panel -> quantity, see `Run.measure`.
        stated: group -> accuracies of 2021, one per epoch of 60 000 images, drawn as dots on "accuracy".
    """
    figure, axes = _axes(len(quantities), 1, COLUMN, 0.9 + 1.8 * len(quantities), sharex=True, squeeze=False)
    ends, told = {}, {label: {} for label in quantities}
    for axis, (label, quantity) in zip(axes[:, 0], quantities.items(), strict=True):
        for name, runs, colour, dash in _drawn(groups):
            records = [(run, record) for run in runs for record in run.history]
            images = np.cumsum([record["images"] for _, record in records]) / 1000
            values = [_plotted(run, quantity, record) for run, record in records]
            changes = [a[0] is not b[0] or a[1]["stage"] != b[1]["stage"] for a, b in pairwise(records)]
            ends.setdefault(name, (0, values[-1], colour))
            told[label][name] = values[-1]
            last = [*np.flatnonzero(changes), len(records) - 1]
            axis.plot(images, values, color=colour, ls=dash, lw=1.6, marker="o", ms=3.5, markevery=last, label=name)
            if quantity == "accuracy" and stated and name in stated:
                _epochs_2021(axis, name, stated[name], colour)
        _quantity(axis, label, quantity)
    axes[-1, 0].set_xlabel("training images (thousands)")
    _name(figure, axes[0, 0], ends)
    text = ". ".join(f"{label}, {in_words(each, '')}" for label, each in told.items())
    return described(figure, f"Against training images, panels below one another. At the end: {text}.")


def _epochs_2021(axis, name: str, accuracies: Sequence[float], colour: str) -> None:
    """Draw accuracies of 2021 as dots, one per epoch of 60 000 images."""
    images = 60 * np.arange(1, len(accuracies) + 1)
    values = 100 * np.array(accuracies)
    axis.plot(images, values, color=colour, ls="none", marker="o", ms=3, alpha=0.6, label=f"{name}, 2021")


def _quantity(axis, label: str, quantity: str) -> None:
    """Label and bound the vertical axis of a quantity, see `Run.measure`."""
    axis.set_ylabel(label)
    if quantity.endswith("accuracy"):
        _percent(axis)
    else:
        axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))


def _percent(axis) -> None:
    axis.set_ylim(0, 100)
    axis.axhline(CHANCE, color=INK, lw=1, ls=(0, (2, 3)))
    axis.text(1, CHANCE - 1, "chance ", transform=axis.get_yaxis_transform(), ha="right", va="top", fontsize=8)


# ---- the visual field -----------------------------------------------------------------------------------------------


@styled
def benchmark(
    groups: Mapping[str, Sequence[Mapping[tuple[float, float], Proportion]]],
    stated: Mapping[str, Mapping[tuple[float, float], float]] | None = None,
    ceiling: Mapping[tuple[float, float], Proportion] | None = None,
    direct: bool = False,
    beside: Mapping[str, Mapping[tuple[float, float], float]] | None = None,
) -> Figure:
    """Draw accuracy against the digit's distance from the centre, a panel per contrast.

    Args:
        groups: cells of each run (contrast, radius) -> proportion or estimate, by name; one line per group, the mean of
            its runs, in a band from the lowest to the highest bound of their 95 % intervals.
        stated: 2021's cells by group, dots. ceiling: drawn in grey. direct: names beside the lines of the last panel
            instead of a legend.
        beside: cells of other systems by name, grey marks.
    """
    contrasts = sorted({contrast for contrast, _ in next(iter(groups.values()))[0]}, reverse=True)
    height = 3.5 + 0.07 * (len(groups) + len(stated or {})) * (not direct)  # the legend grows with them
    figure, axes = _axes(1, len(contrasts), 9.6, height, sharex=True, sharey=True, squeeze=False)
    for axis, contrast in zip(axes[0], contrasts, strict=True):
        if ceiling:
            row = [(radius, each) for (c, radius), each in ceiling.items() if c == contrast]
            axis.plot(
                *zip(*((x, 100 * y.value) for x, y in row), strict=True), color=INK, lw=1.2, label="perfect fixation"
            )
        for name, runs, colour, dash in _drawn(groups):
            radii = [radius for c, radius in runs[0] if c == contrast]
            _band(axis, [{radius: run[contrast, radius] for radius in radii} for run in runs], name, colour, dash)
            if stated and name in stated:
                there = [100 * stated[name][contrast, radius] for radius in radii]
                axis.plot(radii, there, "o", color=colour, ms=3.5, alpha=0.7, label=f"{name}, 2021")
        for name, cells, _, marker in _drawn(beside or {}, "sDv^"):
            there = [(radius, 100 * value) for (c, radius), value in cells.items() if c == contrast]
            axis.plot(*zip(*there, strict=True), marker, color=INK, mfc="none", ms=4, label=name)
        axis.set_title(f"contrast {100 * contrast:.0f} %")
        axis.set_xlabel("eccentricity (pixels)")
        _percent(axis)
    axes[0, 0].set_ylabel("accuracy (%)")
    if direct:
        cell = contrasts[-1], max(radius for c, radius in runs[0] if c == contrasts[-1])
        _name(
            figure,
            axes[0, -1],
            {
                name: (cell[1], 100 * np.mean([run[cell].value for run in each]), colour)
                for name, each, colour, _ in _drawn(groups)
            },
        )
    else:
        _legend(figure)
    every = {name: list(runs) for name, runs in groups.items()}
    every |= {f"{name}, 2021": [cells] for name, cells in (stated or {}).items()}
    every |= {name: [cells] for name, cells in (beside or {}).items()}
    if ceiling:
        every["perfect fixation"] = [ceiling]
    told = "; ".join(f"{name}: {', '.join(_means(runs, contrasts))}" for name, runs in every.items())
    levels = ", ".join(f"{100 * contrast:.0f} %" for contrast in contrasts)
    return described(figure, f"Accuracy against eccentricity at contrasts of {levels}. Means in percent: {told}.")


def _means(runs: Sequence[Mapping[tuple[float, float], Proportion | float]], contrasts: Sequence[float]) -> list[str]:
    """Return the mean accuracy at each contrast over eccentricities and runs, percent, as text."""
    cells = [(c, getattr(each, "value", each)) for run in runs for (c, _), each in run.items()]
    return [f"{100 * fmean(value for c, value in cells if c == contrast):.1f}" for contrast in contrasts]


@styled
def systems(
    rows: Mapping[str, tuple[Mapping[str, Estimate], float | None, Errors | None]],
    stated: Mapping[str, float | None] | None = None,
) -> Figure:
    """Draw systems below one another: left, their accuracies with 95 % intervals and a tick at their ceiling; right,
    the shares of stimuli that are localisation and classification errors, as bars.

    Args:
        rows: name -> accuracies by what they are of (the first filled, the second hollow), the ceiling or None, the
            errors or None.
        stated: name -> accuracy of 2021, a diamond.
    """
    figure, (left, right) = _axes(1, 2, 9.6, 1.0 + 0.34 * len(rows), sharey=True, width_ratios=(3, 2))
    kinds = list(dict.fromkeys(kind for estimates, *_ in rows.values() for kind in estimates))
    kinds_of_error = {"localisation error": ORANGE, "one or the other": INK, "classification error": BLUE}
    labels = set()

    def once(label: str) -> str | None:
        return None if label in labels else labels.add(label) or label

    for k, (name, (estimates, ceiling, errors)) in enumerate(rows.items()):
        for shift, kind in zip((0.12, -0.12), kinds, strict=False):
            if each := estimates.get(kind):
                filled = {} if shift > 0 else {"mfc": "none"}
                left.plot([100 * each.low, 100 * each.high], [k - shift] * 2, color=BLUE, lw=1.4)
                left.plot(100 * each.value, k - shift, "o", color=BLUE, ms=5, label=once(kind), **filled)
        if ceiling is not None:
            label = once("window at the true position")
            left.plot(100 * ceiling, k - 0.12, "|", color=ORANGE, ms=11, mew=2, label=label)
        if (theirs := (stated or {}).get(name)) is not None:
            left.plot(100 * theirs, k, "D", color=ORANGE, mfc="none", ms=5, label=once("2021, its own schedule"))
        start = 0.0
        for share, colour in zip(errors or (), kinds_of_error.values(), strict=False):
            right.barh(k, 100 * share, left=100 * start, color=colour, alpha=0.75, height=0.55)
            start += share
    for k, (what, colour) in enumerate(kinds_of_error.items()):
        if any(errors and errors[k] for *_, errors in rows.values()):
            right.plot([], [], "s", color=colour, alpha=0.75, label=what)
    left.set_yticks(range(len(rows)), list(rows))
    left.set(xlabel="accuracy (%)", ylim=(len(rows) - 0.4, -1.2))
    right.set(xlabel="misclassified (%)", xlim=(0, None))
    left.grid(axis="y", visible=False)
    right.grid(axis="y", visible=False)
    _legend(figure)
    return figure


@styled
def repeated(schedules: Mapping[str, Repeated]) -> Figure:
    """Draw how reproducible schedules are, a panel each: the accuracy at the end of each stage, a dot per run, and the
    single run of 2021."""
    columns = min(2, len(schedules))
    rows = -(-len(schedules) // columns)
    figure, axes = _axes(rows, columns, 4.8 * columns, 0.4 + 2.7 * rows, sharey=True, squeeze=False)
    for axis in axes.flat[len(schedules) :]:
        axis.set_visible(False)
    for axis, (name, each) in zip(axes.flat, schedules.items(), strict=False):
        stages = range(len(each.stages))
        for k, run in enumerate(each.runs):
            axis.plot(
                stages,
                [100 * value for value in run],
                "o",
                color=BLUE,
                ms=4,
                alpha=0.6,
                label=("runs of this book, a dot each", None)[k > 0],
            )
        stated = [100 * value for value in each.stated]
        axis.plot(stages, stated, "D-", color=ORANGE, mfc="none", ms=5, lw=1, label="the single run of 2021")
        axis.set_xticks(stages, each.stages, fontsize=8)
        axis.set(title=f"{name}: {len(each.runs)} runs", xlabel="std of the shift in each stage (pixels)")
        _percent(axis)
    axes[0, 0].set_ylabel("accuracy (%)")
    _legend(figure)
    told = "; ".join(
        f"{name}, {len(each.runs)} runs, at most {100 * each.widest:.0f} points apart"
        for name, each in schedules.items()
    )
    return described(figure, f"Accuracy at the end of each stage of whole schedules, run several times: {told}.")


@styled
def distances(groups: Mapping[str, Sequence[Mapping[float, Proportion]]]) -> Figure:
    """Draw accuracy against the digit's distance from the centre.

    Args:
        groups: distance (pixels) -> proportion of each run, by name; one line per group, the mean of its runs, in a
            band from the lowest to the highest bound of their 95 % intervals.
    """
    figure, axis = _axes(1, 1, COLUMN, 3.6)
    ends = {}
    for name, runs, colour, dash in _drawn(groups):
        ends[name] = (0, 100 * fmean(list(run.values())[-1].value for run in runs), colour)
        _band(axis, runs, name, colour, dash)
    _percent(axis)
    axis.set(xlabel="eccentricity of the digit (pixels)", ylabel="accuracy (%)")
    _name(figure, axis, ends)
    means = {name: 100 * fmean(each.value for run in runs for each in run.values()) for name, runs in groups.items()}
    return described(figure, f"Accuracy against the digit's eccentricity. Mean of all: {in_words(means)}.")


def _band(axis, runs: Sequence[Mapping[float, Proportion]], name: str, colour: str, dash) -> None:
    """Draw the mean of runs, distance -> proportion, in a band from the lowest to the highest bound."""
    radii = list(runs[0])
    values = 100 * np.array([[run[radius].value for radius in radii] for run in runs])
    bounds = 100 * np.array([[run[radius].interval for radius in radii] for run in runs])
    axis.fill_between(radii, bounds[..., 0].min(0), bounds[..., 1].max(0), color=colour, alpha=0.18, lw=0)
    axis.plot(radii, values.mean(0), color=colour, ls=dash, label=name)


@styled
def psychometric(
    fitted: Fit, cells: Mapping[tuple[float, float], Proportion], eccentricities: Sequence[float] | None = None
) -> Figure:
    """Draw accuracy against contrast: what was measured, and the fitted functions, a colour per eccentricity.

    Args:
        fitted: see `psychometrics.fit`. cells: what was fitted.
        eccentricities: the curves to draw (default: the nearest, the middle and the farthest).
    """
    known = list(fitted.thresholds)
    eccentricities = eccentricities or [known[0], known[len(known) // 2], known[-1]]
    figure, axis = _axes(1, 1, COLUMN, 3.6)
    contrasts = np.linspace(0.05, 1, 200)
    measured = {radius: {c: each for (c, other), each in cells.items() if other == radius} for radius in eccentricities}
    for radius, here, colour, dash in _drawn(measured):
        label = f"{radius:.1f} px"
        axis.plot(100 * contrasts, 100 * fitted.accuracy(radius, contrasts), color=colour, ls=dash, label=label)
        for contrast, each in here.items():
            axis.plot([100 * contrast] * 2, 100 * np.array(each.interval), color=colour, lw=1)
            axis.plot(100 * contrast, 100 * each.value, "o", color=colour, ms=4.5)
    _percent(axis)
    axis.axhline(level := 100 * fitted.level, color=INK, lw=1, ls=(0, (2, 3)))
    axis.text(0, level, f" {level:.0f} %", transform=axis.get_yaxis_transform(), va="bottom", fontsize=8)
    axis.set(xlabel="contrast (%)", ylabel="accuracy (%)", xlim=(0, 100))
    _legend(figure, title="distance")
    return figure


@styled
def thresholds(fits: Mapping[str, Fit], contrasts: Sequence[float] = CONTRASTS) -> Figure:
    """Draw the contrast that each system needs against the digit's distance from the centre, with 95 % intervals; the
    systems side by side within each distance. A triangle at the upper edge: not reached at full contrast.

    Args:
        contrasts: that were measured; a threshold outside of their range is extrapolated and drawn hollow.
    """
    figure, axis = _axes(1, 1, COLUMN, 3.9)
    level = next(iter(fits.values())).level
    for k, (name, each, colour, marker) in enumerate(_drawn(fits, "osD^vP")):
        radii = np.array(list(each.thresholds)) + 0.45 * (k - (len(fits) - 1) / 2)  # beside one another
        axis.plot([], [], color=colour, marker=marker, ms=5, label=name)
        reached = [(x, found) for x, found in zip(radii, each.thresholds.values(), strict=True) if found.attainable]
        axis.plot([x for x, _ in reached], [100 * found.value for _, found in reached], color=colour, lw=1)
        for x, found in zip(radii, each.thresholds.values(), strict=True):
            if found.attainable:
                measured = min(contrasts) <= found.value <= max(contrasts)
                ground = colour if measured else "none"
                axis.plot([x, x], [100 * found.low, min(100, 100 * found.high)], color=colour, lw=1.2)
                axis.plot(x, 100 * found.value, marker, color=colour, mfc=ground, ms=5)
            else:
                axis.plot(x, 100, "^", color=colour, mfc="none", ms=6, clip_on=False)
    axis.axhspan(100 * min(contrasts), top := 100 * max(contrasts), color=INK, alpha=0.1, lw=0)
    axis.text(0, top, " contrasts measured", transform=axis.get_yaxis_transform(), va="top", fontsize=8)
    axis.set(xlabel="eccentricity of the digit (pixels)", ylim=(0, 100))
    axis.set_ylabel(f"contrast for {100 * level:.0f} % accuracy (%)")
    _legend(figure)
    near, far = ({name: 100 * list(each.thresholds.values())[k].value for name, each in fits.items()} for k in (0, -1))
    text = f"Contrast for {100 * level:.0f} % accuracy against eccentricity"
    return described(figure, f"{text}. Nearest: {in_words(near)}. Farthest: {in_words(far)}.")


@styled
def fixations(errors: Mapping[str, Mapping[float, Tensor]], lost: float = EDGE / 2) -> Figure:
    """Draw how far the window's centre is from the digit, against the digit's distance from the centre of the field.

    Args:
        errors: by name, distance of the digit -> errors (N,), pixels; median, and the middle half as a band.
        lost: error from which the window misses half of the digit, drawn as a line.
    """
    figure, axis = _axes(1, 1, COLUMN, 3.6)
    ends = {}
    for name, by_radius, colour, dash in _drawn(errors):
        quartiles = np.array([np.quantile(each.numpy(), (0.25, 0.5, 0.75)) for each in by_radius.values()])
        axis.fill_between(list(by_radius), quartiles[:, 0], quartiles[:, 2], color=colour, alpha=0.18, lw=0)
        axis.plot(list(by_radius), quartiles[:, 1], color=colour, ls=dash, label=name)
        ends[name] = (0, quartiles[-1, 1], colour)
    axis.axhline(lost, color=INK, lw=1, ls=(0, (2, 3)))
    axis.text(
        1, lost, "half of the digit outside ", transform=axis.get_yaxis_transform(), ha="right", va="bottom", fontsize=8
    )
    axis.set(xlabel="eccentricity of the digit (pixels)", ylabel="distance of the window from the digit (pixels)")
    axis.set_ylim(bottom=0)
    _name(figure, axis, ends)
    told = in_words({name: y for name, (_, y, _) in ends.items()}, " px")
    return described(
        figure, f"Distance of the window from the digit against its eccentricity. Median at the largest: {told}."
    )


@styled
def pointing(shares: Mapping[str, Mapping[float, float]]) -> Figure:
    """Draw the share of images (0 to 1) in which a step leads towards the digit, by name, against its distance."""
    figure, axis = _axes(1, 1, COLUMN, 3.6)
    ends = {}
    for name, by_distance, colour, dash in _drawn(shares):
        axis.plot(list(by_distance), [100 * share for share in by_distance.values()], color=colour, ls=dash, label=name)
        ends[name] = (0, 100 * list(by_distance.values())[-1], colour)
    axis.axhline(50, color=INK, lw=1, ls=(0, (2, 3)))
    axis.text(0, 50, " random directions", transform=axis.get_yaxis_transform(), ha="left", va="top", fontsize=8)
    axis.set(xlabel="distance of the digit from the window (pixels)", ylabel="steps towards the digit (%)")
    axis.set_ylim(0, 100)
    _name(figure, axis, ends)
    distances = list(next(iter(shares.values())))
    middle = distances[len(distances) // 2]
    told = in_words({name: 100 * each[middle] for name, each in shares.items()})
    return described(figure, f"Share of steps towards the digit against its distance. At {middle:g} px: {told}.")


@styled
def alignments(pulls: Mapping[float, GradientAlignment], misses: Sequence[float] = (EDGE,)) -> Figure:
    """Draw how well gradients point to the digit against the distance of the window from it.

    Args:
        pulls: distance in pixels -> gradients; drawn is their mean alignment with its 95 % interval.
        misses: distances marked by a line: from there on the window holds no ink of the digit.
    """
    figure, axis = _axes(1, 1, COLUMN, 3.4)
    distances = list(pulls)
    drifts = 100 * np.array([each.towards for each in pulls.values()])
    mean, half = drifts[:, 0], 1.96 * drifts[:, 1]
    axis.fill_between(distances, mean - half, mean + half, color=BLUE, alpha=0.18, lw=0)
    axis.plot(distances, mean, color=BLUE, marker="o", ms=3.5)
    axis.axhline(0, color=INK, lw=1, ls=(0, (2, 3)))
    axis.text(
        1, 0, "no better than any direction ", transform=axis.get_yaxis_transform(), ha="right", va="bottom", fontsize=8
    )
    for x in misses:
        axis.axvline(x, color=INK, lw=1, ls=(0, (2, 3)))
        axis.text(x, 1, " no ink in the window", transform=axis.get_xaxis_transform(), va="top", fontsize=8)
    axis.set(
        xlabel="distance of the window from the digit (pixels)",
        ylabel="share of the gradients\ntowards the digit (%)",
    )
    axis.set_xlim(left=0)
    return figure


@styled
def scales(groups: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the scales that windows ended with, a row of points per group; left of zero they are inverted."""
    figure, axis = _axes(1, 1, COLUMN, 0.9 + 0.42 * len(groups))
    for row, values in enumerate(groups.values()):
        colours = [ORANGE if value < 0 else BLUE for value in values]
        axis.scatter(values, [row] * len(values), color=colours, s=28, alpha=0.8, lw=0)
    axis.axvline(0, color=INK, lw=1, ls=(0, (2, 3)))
    axis.set_yticks(range(len(groups)), groups)
    axis.set_ylim(len(groups) - 0.5, -0.5)
    axis.set_xlabel("scale s at the end (below 0: rotated by 180°)")
    return figure


@styled
def outcomes(groups: Mapping[str, Mapping[str, Sequence[Run]]]) -> Figure:
    """Draw what trainings of windows came to, a panel per group and a row per way of training: the accuracy of the last
    epoch, a point per run, joined to its best epoch; orange where the window is inverted at the end."""
    rows = list(dict.fromkeys(name for ways in groups.values() for name in ways))
    figure, axes = _axes(1, len(groups), COLUMN, 1.3 + 0.3 * len(rows), sharex=True, sharey=True, squeeze=False)
    for axis, (title, ways) in zip(axes[0], groups.items(), strict=True):
        for name, runs in ways.items():
            for k, run in enumerate(runs):
                row, last = rows.index(name) + 0.22 * (k - (len(runs) - 1) / 2), run.history[-1]
                down = run.measure("scale") < 0
                colour, marker, label = (ORANGE, "v", "inverted") if down else (BLUE, "o", "upright")
                axis.plot([100 * last["accuracy"], 100 * run.best], [row, row], color=colour, lw=1)
                axis.plot(100 * run.best, row, "|", color=colour, ms=6, label="best epoch", ls="none")
                axis.plot(100 * last["accuracy"], row, marker, color=colour, ms=5, label=label, ls="none")
        axis.axvline(CHANCE, color=INK, lw=1, ls=(0, (2, 3)), zorder=0)
        axis.set_title(title)
        axis.set_xlabel("accuracy (%)")
        axis.set_xlim(0, 100)
    axes[0, 0].set_yticks(range(len(rows)), rows)
    axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    _legend(figure)
    means = {
        title: {name: 100 * fmean(run.measure("accuracy") for run in runs) for name, runs in ways.items()}
        for title, ways in groups.items()
    }
    told = ". ".join(f"{title}, {in_words(each)}" for title, each in means.items())
    return described(figure, f"Accuracy at the end of each training. {told}.")


@styled
def searches(
    batch: Stimuli, trace: SearchTrace | FovealTrace, columns: int = 6, cells: tuple[Tensor, Tensor] | None = None
) -> Figure:
    """Show searches: scenes with the fixations made, joined and numbered (orange), and the digit's true frame (blue,
    dashed); titles: the answer, with the label where they differ.

    Args:
        cells: places (B, n, 2) and their posterior (B, n) relative to its maximum, 0 to 1, drawn below.
    """
    n = min(columns, len(batch.labels))
    figure, axes = _axes(2 if cells else 1, n, 1.75 * n, 4.1 if cells else 2.3, squeeze=False)
    middle = (batch.images.shape[-1] - 1) / 2
    square = SQUARE - EDGE / 2
    for k in range(n):
        axis = axes[0, k]
        axis.imshow(batch.images[k, 0], vmin=0, vmax=1)
        path = trace.fixations[k, : trace.made[k]].numpy() + middle  # (s, 2), (row, column)
        axis.plot(path[:, 1], path[:, 0], color=ORANGE, lw=1.2)
        for number, (row, column) in enumerate(path, 1):
            axis.plot(column, row, "o", color=ORANGE, ms=4)
            label = {"boxstyle": "circle,pad=0.15", "fc": ORANGE, "ec": "none"}
            axis.annotate(
                number, (column, row), (7, 7), textcoords="offset points", fontsize=6, color="white", bbox=label
            )
        row, column = batch.offsets[k].numpy() + middle
        axis.plot(square[:, 0] + column, square[:, 1] + row, color=SKY, lw=1.5, ls=(0, (3, 2)))
        answer, label = trace.predicted[k].item(), batch.labels[k].item()
        axis.set_title(_marked(answer, label), fontsize=10, loc="center")
        if cells:
            places, values = cells[0][k].numpy() + middle, cells[1][k].numpy()
            order = values.argsort()
            size = 9 if len(values) > 300 else 14
            marks = axes[1, k].scatter(
                *places[order].T[::-1], c=values[order], s=size, marker="s", vmin=0, vmax=1, cmap="cividis"
            )
        for each in axes[:, k]:
            each.axis("off")
            each.set(xlim=(-0.5, 2 * middle + 0.5), ylim=(2 * middle + 0.5, -0.5), aspect="equal")
    if cells:
        label = "posterior of places,\nrelative to its maximum"
        figure.colorbar(marks, ax=list(axes[1]), label=label, shrink=0.9).outline.set_visible(False)
    return figure


@styled
def against(
    points: Mapping[str, tuple[float, Sequence[float]]],
    stated: Mapping[str, tuple[float, float]],
    labels: tuple[str, str],
) -> Figure:
    """Draw systems as points, x on a logarithmic axis: ours filled and named, a point per run; 2021's hollow, at the
    same x.

    Args:
        points: name -> x, and y of each run. stated: name -> x, y. labels: of the axes; y is in percent.
    """
    figure, axis = _axes(1, 1, COLUMN, 4.0)
    for k, (name, (x, ys)) in enumerate(points.items()):
        axis.plot([x] * len(ys), ys, "o", color=BLUE, ms=6, label=None if k else "here")
        below = -9 * (k % 2)  # neighbours at one x do not write over each other
        axis.annotate(name, (x, max(ys)), (8, 3 + below), textcoords="offset points", fontsize=8)
    axis.plot(*zip(*stated.values(), strict=True), "D", color=ORANGE, mfc="none", ms=6, ls="none", label="2021")
    axis.set_xscale("log", base=2)
    ticks = sorted({x for x, _ in points.values()})
    axis.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axis.minorticks_off()
    axis.margins(x=0.2, y=0.2)
    axis.set(xlabel=labels[0], ylabel=labels[1])
    _legend(figure)
    told = "; ".join(f"{name}: {x:,}, {fmean(ys):.1f}" for name, (x, ys) in points.items())
    return described(figure, f"{labels[1]} against {labels[0]}. {told}.")


@styled
def costs(points: Mapping[str, tuple[float, Estimate]], labels: tuple[str, str]) -> Figure:
    """Draw accuracy against a cost on a logarithmic axis: a named point per system, with its 95 % interval.

    Args:
        points: name -> cost, accuracy. labels: of the axes.
    """
    figure, axis = _axes(1, 1, 7.2, 4.4)
    for x, each in points.values():
        axis.plot([x, x], [100 * bound for bound in each.interval], color=BLUE, lw=1.2)
        axis.plot(x, 100 * each.value, "o", color=BLUE, ms=6)
    axis.set_xscale("log")
    axis.margins(x=0.3, y=0.12)
    axis.set(xlabel=labels[0], ylabel=labels[1])
    low, high = axis.get_xlim()
    ticks = [step * 10**power for power in range(12) for step in (1, 3) if low <= step * 10**power <= high]
    axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axis.minorticks_off()
    _beside_points(figure, axis, {name: (x, 100 * each.value) for name, (x, each) in points.items()})
    return figure


def _beside_points(figure: Figure, axis, points: Mapping[str, tuple[float, float]]) -> None:
    """Name points (x, y), each where its name is over no other point or name."""
    figure.canvas.draw()
    taken = [Bbox.from_bounds(*(axis.transData.transform(each) - 5), 10, 10) for each in points.values()]
    places = [(way * 8, up) for up in (-3, 7, -13, 17, -23, 27) for way in (1, -1)]
    for name, at in sorted(points.items(), key=lambda each: -each[1][1]):
        for right, up in places:
            side = "left" if right > 0 else "right"
            text = axis.annotate(name, at, (right, up), textcoords="offset points", ha=side, fontsize=8)
            box = text.get_window_extent()
            inside = axis.bbox.x0 <= box.x0 and box.x1 <= axis.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                break
            if (right, up) != places[-1]:
                text.remove()
        taken.append(box)


@styled
def scanpaths(
    images: Tensor,
    labels: Sequence[int],
    paths: Mapping[str, Sequence[Sequence[tuple[float, float]]]],
    colours: Sequence[str] = COLOURS,
) -> Figure:
    """Draw fixations over scenes (n, h, h): a line per system and scene, a dot where it ends.

    Args:
        paths: name -> for each scene its fixations (row, column), pixels from the centre.
    """
    figure, axes = _axes(1, len(images), 2.3 * len(images), 2.8, squeeze=False)
    middle = (images.shape[-1] - 1) / 2
    for k, (axis, image, label) in enumerate(zip(axes[0], images, labels, strict=True)):
        axis.imshow(image.numpy(), vmin=0, vmax=1)
        for (name, each), colour in zip(paths.items(), colours, strict=False):
            rows, columns = np.array(each[k]).T + middle
            axis.plot(columns, rows, color=colour, marker=".", ms=5, lw=1.6, label=name)
            axis.plot(columns[-1], rows[-1], "o", color=colour, ms=7)
        axis.set_title(f"{label}", loc="center")
        axis.axis("off")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@styled
def gallery(rows: Mapping[str, Tensor], titles: Sequence[str]) -> Figure:
    """Show images (n, h, w), one row per name, one column per title."""
    figure, axes = _axes(len(rows), len(titles), 1.5 * len(titles) + 1, 1.65 * len(rows), squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image, vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(name, fontsize=9)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9, loc="center")
    columns = f", in columns: {', '.join(titles)}" if any(titles) else ""
    return described(figure, f"Images in rows: {', '.join(rows)}{columns}.".replace("\n", " "))


@styled
def visual_field(
    images: Tensor,
    views: Tensor,
    offsets: Tensor,
    label: int,
    windows: Mapping[str, tuple[Tensor, Tensor]],
    titles: Sequence[str],
) -> Figure:
    """Show one digit in several scenes: above, the scenes (n, h, h) with the windows of systems and the digit's frame
    at offsets (n, 2) (dashed); below, the scenes' log-polar views (n, h, h).

    Args:
        windows: name -> theta (n, 2, 3), answers (n,). titles: of the scenes.
    """
    n, edge = len(images), images.shape[-1]
    figure, axes = _axes(2, n, 1.9 * n, 4.8, squeeze=False)
    for k in range(n):
        above, below = axes[:, k]
        above.imshow(images[k].numpy(), vmin=0, vmax=1)
        below.imshow(views[k].numpy(), vmin=0, vmax=1)
        square = SQUARE - 0.5 + (edge - EDGE) // 2
        row, column = offsets[k].tolist()
        dashed = {"color": AMBER, "lw": 1.6, "ls": (0, (3, 2))}
        above.plot(square[:, 0] + column, square[:, 1] + row, **dashed, label="digit's frame")
        for name, (theta, _), colour, _ in _drawn(windows):
            x, y = ((_outlines(theta[k]) + 1) * edge / 2 - 0.5).numpy()
            above.plot(x, y, color=colour, lw=1.6, label=name)
        answers = " ".join(_tick(int(answers[k]), label) for _, answers in windows.values())
        above.set_title(f"{titles[k]}\n{answers}", fontsize=8, loc="center")
        for axis in (above, below):
            axis.axis("off")
            axis.set(xlim=(-0.5, edge - 0.5), ylim=(edge - 0.5, -0.5))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _tick(answer: int, label: int) -> str:
    return f"{answer} {'✓' if answer == label else '✗'}"


# ---- accuracy maps --------------------------------------------------------------------------------------------------

LEVELS = (20, 40, 60, 80)


@styled
def maps(by_name: Mapping[str, Tensor], columns: int = 2) -> Figure:
    """Draw accuracy maps (n, n), 0 to 1, as images on one scale with contours at 20, 40, 60 and 80 %."""
    rows = -(-len(by_name) // columns)
    size = (2.4 * columns + 0.8, 2.4 * rows + 0.9)  # two beside one another shrink to a phone
    figure, axes = _axes(rows, columns, *size, sharex=True, sharey=True, squeeze=False, layout="compressed")
    for axis in axes.flat[len(by_name) :]:
        axis.axis("off")
    for axis, (name, accuracy) in zip(axes.flat, by_name.items(), strict=False):
        reach = 27
        percent = 100 * accuracy.numpy()
        picture = axis.imshow(
            percent, vmin=0, vmax=100, cmap="cividis", extent=(-reach - 0.5, reach + 0.5, reach + 0.5, -reach - 0.5)
        )
        ticks = np.linspace(-reach, reach, len(percent))
        if levels := _crossed(percent):
            lines = axis.contour(ticks, ticks, percent, levels, colors="white", linewidths=0.9)
            axis.clabel(lines, fmt="%d", fontsize=7)
        axis.set_title(name, pad=8)
        axis.grid(False)
        axis.set_xticks((-20, -10, 0, 10, 20))
        axis.set_yticks((-20, -10, 0, 10, 20))
    for axis in axes[-1]:
        axis.set_xlabel("shift to the right (pixels)")
    for axis in axes[:, 0]:
        axis.set_ylabel("shift down (pixels)")
    figure.colorbar(picture, ax=axes, label="accuracy (%)", shrink=0.8).outline.set_visible(False)
    told = (
        f"{name}: {100 * a[len(a) // 2, len(a) // 2]:.1f} % at the centre, mean {100 * a.mean():.1f} %"
        for name, a in by_name.items()
    )
    return described(figure, f"Accuracy over the shift of the digit, as maps. {'; '.join(told)}.")


def _crossed(percent: np.ndarray) -> list[int]:
    return [level for level in LEVELS if percent.min() < level < percent.max()]
