"""The last chapter: its explorer, an evidence map over a field that the reader changes and a foveal search on it; its
figures of searches, errors and scaling."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import matplotlib.pyplot as plt
import torch
from IPython.display import HTML
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from .. import retina as retinas
from .. import rng, stimuli, textures
from ..evaluation import CONTRASTS
from ..experiments.bootstrap import Estimate
from ..experiments.scaling import PowerLaw
from ..search import evidence
from ..search.evidence import EvidenceMap, EvidenceOutput
from ..search.foveal import FovealEvidence, FovealTrace
from ..stimuli import EDGE, FIELD, Stimuli
from . import explorers, figures, logpolar, tensors
from .figures import BLUE, COLUMN, INK, ORANGE, SKY, styled

LOW, HIGH = -10, 25  # log evidence painted darkest and brightest, as in search.js


@dataclass(frozen=True)
class SearchStart:
    """Where the explorer begins: digit, its offset (row, column) in pixels, contrast, noise, the texture's seed."""

    digit: int = 4
    offset: tuple[int, int] = (-14, 28)
    contrast: float = 0.5
    noise: float = 0.75
    seed: int = 8


# ---- networks as the page has them ----------------------------------------------------------------------------------


def rounded(model: nn.Module) -> nn.Module:
    """Return a copy of a network whose convolutions have the weights that the page computes with, eight bits each."""
    model = copy.deepcopy(model).eval()
    for layer in model.modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d)):
            layer.weight.data = tensors.decode(tensors.encode(layer.weight, "int8"))
    return model


def changed(model: nn.Module, images: Tensor) -> int:
    """Return for how many images (B, 1, 128, 128) rounding the weights changes the predicted digit."""
    with torch.inference_mode():
        return int((model.eval()(images).logits.argmax(1) != rounded(model)(images).logits.argmax(1)).sum())


def evidence_map(model: EvidenceMap) -> list[dict]:
    """Return the layers of an evidence map for `tensors.network`; its places are 4 pixels apart."""
    pool, relu = nn.MaxPool2d(2), nn.ReLU()
    modules = (model.conv1, pool, model.norm1, relu, model.conv2, pool, model.norm2, relu, model.conv3, model.norm3)
    return [{"kind": "subtract", "value": retinas.GREY}, *tensors.network((*modules, relu, model.last))]


def where_network(model: FovealEvidence) -> dict:
    """Return the where network of a foveal searcher as plain data: see search.js."""
    where, grey = model.where, torch.full((1, 1, FIELD, FIELD), retinas.GREY)
    standard = where.standard  # the page's coefficients are relative to those of a grey field
    mean = standard.running_mean - retinas.build(where.settings)(grey)[0]
    scale = (standard.running_var + standard.eps).sqrt()

    def coded(values: Tensor) -> dict:
        return tensors.encode(values, "int8", packed=True)

    norms = (where.norm1, where.norm2, where.norm3)
    return {
        "mean": tensors.encode(mean, packed=True),
        "deviation": tensors.encode(scale, packed=True),
        "convs": [coded(layer.weight[:, :, None]) for layer in (where.conv1, where.conv2, where.conv3)],
        "norms": [tensors.encode(x) for each in norms for x in (each.weight, each.bias)],
        "last": [coded(where.last.weight[:, :, None]), tensors.encode(where.last.bias)],
    }


# ---- the explorer ---------------------------------------------------------------------------------------------------


def field(start: SearchStart) -> Tensor:
    """Return the field (1, 1, 128, 128) that the explorer would show with a texture of the library."""
    ink, offset = tensors.ten_digits()[start.digit][None], torch.tensor([start.offset])
    ground = textures.fields(1, FIELD, rng.generator("search", start.seed)).clone()
    return stimuli.compose_field(ink, offset, torch.tensor([start.contrast]), ground, start.noise)


def explorer(model: FovealEvidence, start: SearchStart, caption: str = "") -> HTML:
    """Return the explorer of a foveal searcher and of the evidence map in its fovea."""
    data = {
        "map": evidence_map(model.what),
        "where": where_network(model),
        "cells": tensors.encode(model.cells, "uint8", packed=True),
        "retina": logpolar.whatwhere(model.where.settings),
        "sure": model.sure,
        "saccades": model.saccades,
        "digits": tensors.encode(tensors.ten_digits(), "uint8", packed=True),
        "start": asdict(start),
    }
    fields = {c: field(SearchStart(start.digit, start.offset, c, start.noise, start.seed)) for c in CONTRASTS}
    with torch.inference_mode():
        maps = {c: model.what(image).evidence[0].logsumexp(0) for c, image in fields.items()}
    alt = (
        f"A {start.digit} in a noisy field at three contrasts; the log evidence for any digit at each place. Highest: "
        + ", ".join(f"{float(values.max()):.0f} at contrast {100 * c:.0f} %" for c, values in maps.items())
        + "."
    )
    still = _still(fields, maps, start.offset)
    return explorers.made("search", data, still, alt, caption, ("tensors.js", "logpolar.js", "search.js"))


@styled
def _still(fields: dict[float, Tensor], maps: dict[float, Tensor], offset: tuple[int, int]) -> Figure:
    figure, axes = plt.subplots(2, len(fields), figsize=(COLUMN, 4.1))
    box = (-FIELD / 2, FIELD / 2, FIELD / 2, -FIELD / 2)
    for (contrast, image), (above, below) in zip(fields.items(), axes.T, strict=True):
        above.imshow(image[0, 0].numpy(), vmin=0, vmax=1, extent=box)
        above.set_title(f"contrast {100 * contrast:.0f} %", loc="center")
        values = maps[contrast]
        reach = 2 * len(values)  # pixels: 4 a place
        below.imshow(values.numpy(), vmin=LOW, vmax=HIGH, cmap="cividis", extent=(-reach, reach, reach, -reach))
        best = divmod(int(values.argmax()), len(values))
        below.plot(4 * best[1] - reach + 2, 4 * best[0] - reach + 2, "s", ms=6, mfc="none", mec=ORANGE, mew=2)
        for axis in (above, below):
            corner = offset[1] - EDGE / 2, offset[0] - EDGE / 2
            axis.add_patch(Rectangle(corner, EDGE, EDGE, fill=False, ec=SKY, lw=1.6, ls=(0, (4, 3))))
            axis.set(xlim=box[:2], ylim=box[2:])
            axis.axis("off")
    return figure


# ---- figures --------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def searches(model: FovealEvidence, teacher: EvidenceMap, pool: Stimuli, saccades: int) -> Figure:
    """Show searches of a pool: the first three with more than one fixation and the first three with one; below, the
    posterior over places of the map that taught the searcher."""
    found = model.search(pool.images, saccades)
    picked = torch.cat([(more == (found.made > 1)).nonzero()[:3, 0] for more in (True, False)])
    shown = Stimuli(*(each[picked] for each in pool))
    posterior = teacher(shown.images).evidence.flatten(2).logsumexp(1).softmax(1)  # (6, places)
    cells = evidence.places().expand(len(picked), -1, -1), posterior / posterior.amax(1, keepdim=True)
    return figures.searches(shown, FovealTrace(*(each[picked] for each in found)), 6, cells)


class Misclassified(NamedTuple):
    """Fields of a pool that a map misclassifies, in its order but for those with the most probable place away from the
    digit, which come first: their positions (k,), how many are `away`, and what the map gives for the whole pool."""

    which: Tensor
    away: int
    found: EvidenceOutput


@torch.inference_mode()
def misclassified(model: EvidenceMap, pool: Stimuli) -> Misclassified:
    """Return which fields of a pool a map misclassifies; away: further than 8 pixels."""
    found = model.eval()(pool.images)
    wrong, near = found.logits.argmax(1) != pool.labels, evidence.near_digit(found, pool.offsets)
    away, there = ((wrong & each).nonzero()[:, 0] for each in (~near, near))
    return Misclassified(torch.cat((away, there)), len(away), found)


@styled
def errors(errors: Misclassified, pool: Stimuli, number: int = 5) -> Figure:
    """Show the first errors of a pool: the field, the 28 x 28 pixels at the most probable place (orange), and those at
    the digit (blue)."""
    found, picked = errors.found, errors.which[:number].tolist()
    places = stimuli.fixations(found.theta, FIELD)
    rows = pool.images, found.crop, stimuli.crops(pool.images, pool.offsets)
    figure, axes = plt.subplots(3, len(picked), figsize=(COLUMN, 3.7), squeeze=False)
    for k, line in zip(picked, axes.T, strict=True):
        for axis, images in zip(line, rows, strict=True):
            axis.imshow(images[k, 0].numpy(), vmin=0, vmax=1)
            axis.set(xticks=(), yticks=())
        for (row, column), colour, dash in ((places[k].tolist(), ORANGE, "-"), (pool.offsets[k].tolist(), SKY, "--")):
            corner = column + (FIELD - EDGE) / 2 - 0.5, row + (FIELD - EDGE) / 2 - 0.5
            line[0].add_patch(Rectangle(corner, EDGE, EDGE, fill=False, ec=colour, lw=1.6, ls=dash))
        predicted, label = int(found.logits[k].argmax()), int(pool.labels[k])
        line[0].set_title(f"{label}, as {predicted}", loc="center", fontsize=10)
        for axis, colour in zip(line[1:], (ORANGE, SKY), strict=True):
            axis.spines[:].set(visible=True, color=colour, linewidth=2)
    for axis, label in zip(axes[:, 0], ("field", "place chosen", "the digit"), strict=True):
        axis.set_ylabel(label)
    return figure


@styled
def laws(points: Mapping[str, Mapping[float, Sequence[float]]], fits: Mapping[str, PowerLaw]) -> Figure:
    """Draw errors against what they fall with, a panel each, on logarithmic axes, with the power laws fitted.

    Args:
        points: name of an axis -> {x: error of each run}. fits: of the same axes.
    """
    figure, axes = plt.subplots(1, len(points), figsize=(COLUMN, 3.0), sharey=True, squeeze=False)
    for axis, (name, errors_at) in zip(axes[0], points.items(), strict=True):
        for x, values in errors_at.items():
            axis.plot([x] * len(values), [100 * each for each in values], "o", color=BLUE, ms=5, zorder=3)
        ends = min(errors_at), max(errors_at)
        axis.plot(ends, [100 * fits[name].at(x) for x in ends], color=INK, lw=1.2)
        axis.set(xscale="log", yscale="log", xlabel=name)
        axis.set_xticks(list(errors_at), [f"{x:,.0f}" for x in errors_at], fontsize=8)
        axis.margins(x=0.14)
        axis.set_title(f"exponent {fits[name].exponent.value:.2f}".replace("-", "−"), loc="center", fontsize=10)
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("{x:g}")
        axis.tick_params(which="minor", bottom=False)
        axis.xaxis.set_minor_formatter("")
    axes[0, 0].set_ylabel("errors over the 27 cells (%)")
    mean = {name: {f"{x:,}": 100 * sum(each) / len(each) for x, each in of.items()} for name, of in points.items()}
    return figures.described(
        figure, " ".join(f"Errors against {name}: {figures.in_words(each)}." for name, each in mean.items())
    )


@styled
def factorial(cells: Mapping[tuple[str, ...], float], effects: Mapping[str, Estimate]) -> Figure:
    """Draw a factorial experiment: left, the accuracy of each cell, a panel's row for each combination of the other
    factors and a colour for each level of the last factor; right, effects on the log odds with 95 % intervals.

    Args:
        cells: levels -> accuracy. effects: name -> effect, see `scaling.main_effects`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2))
    rows = list(dict.fromkeys(levels[:-1] for levels in cells))
    for k, level in enumerate(dict.fromkeys(levels[-1] for levels in cells)):
        values = [100 * cells[(*row, level)] for row in rows]
        left.plot(values, range(len(rows)), "oD"[k], color=(ORANGE, BLUE)[k], ms=6, label=level)
    left.axvline(figures.CHANCE, color=INK, lw=0.8, ls=(0, (2, 3)))
    left.set_yticks(range(len(rows)), [", ".join(row) for row in rows], fontsize=9)
    left.set(xlabel="accuracy over the 27 cells (%)", xlim=(0, 100), ylim=(len(rows) - 0.4, -0.6))
    left.set_ylabel("stimuli, optimiser, lower contrasts", labelpad=10)
    for k, each in enumerate(effects.values()):
        right.plot(each.interval, [k, k], color=BLUE, lw=1.6)
        right.plot(each.value, k, "o", color=BLUE, ms=6)
    right.axvline(0, color=INK, lw=0.8)
    right.set_yticks(range(len(effects)), [name.replace(" x ", " × ") for name in effects], fontsize=9)
    right.set(xlabel="effect on the log odds", ylim=(len(effects) - 0.4, -0.6))
    figure.legend(loc="outside lower left", ncols=2)
    drawn = {", ".join(levels): 100 * each for levels, each in cells.items()}
    found = figures.in_words({name: each.value for name, each in effects.items()}, "")
    return figures.described(figure, f"Accuracies: {figures.in_words(drawn)}. Effects on the log odds: {found}.")


@styled
def sizes(
    accuracies: Mapping[str, Mapping[int, Estimate]],
    costs: Mapping[str, Mapping[str, Mapping[int, float]]],
    fits: Mapping,
) -> Figure:
    """Draw what larger fields cost: the accuracy of two systems, and a panel for each cost, with power laws.

    Args:
        accuracies: system -> {edge of the field, pixels: accuracy}. costs: label of an axis -> system -> {edge: cost}.
        fits: the same keys -> power law; what has none is drawn as a line through its points.
    """
    figure, (first, *others) = plt.subplots(1, 1 + len(costs), figsize=(9.6, 3.4))
    styles = (BLUE, "o"), (ORANGE, "D")
    for points, (colour, mark) in zip(accuracies.values(), styles, strict=True):
        for edge, each in points.items():
            first.plot([edge, edge], [100 * bound for bound in each.interval], color=colour, lw=1.4)
            first.plot(edge, 100 * each.value, mark, color=colour, ms=6)
    first.set(ylabel="accuracy (%)")
    for axis, (label, systems) in zip(others, costs.items(), strict=True):
        for (name, points), (colour, mark) in zip(systems.items(), styles, strict=True):
            fit = fits.get((label, name))
            law = [fit.at(x) if fit else y for x, y in points.items()]
            axis.plot(list(points), list(points.values()), mark, color=colour, ms=6, label=name)
            axis.plot(list(points), law, color=colour, lw=1.2)
        axis.set(yscale="log", ylabel=label)
        axis.yaxis.set_major_formatter("{x:,.0f}")
        axis.yaxis.set_minor_formatter("")
    others[0].legend(loc="upper left", frameon=False, fontsize=9)
    for axis in (first, *others):
        axis.set_xscale("log", base=2)
        axis.set_xlabel("edge of the field (pixels)")
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.xaxis.set_minor_formatter("")
        axis.tick_params(which="minor", bottom=False)
    drawn = [
        f"Accuracy, {name}: {figures.in_words({f'{edge} px': 100 * each.value for edge, each in points.items()})}."
        for name, points in accuracies.items()
    ]
    return figures.described(figure, " ".join([*drawn, "Costs that grow with the edge of the field."]))
