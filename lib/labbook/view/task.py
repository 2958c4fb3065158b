"""The primer on the task: its explorer, and figures of stimuli, distributions, curricula and measures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from .. import psychometrics, rng, stimuli, textures
from ..curriculum import Stage
from ..evaluation import CONTRASTS, Proportion
from ..stimuli import ECCENTRICITIES, EDGE, FIELD, Scene28, Scene128
from . import explorers, tensors
from .figures import BLUE, COLOURS, COLUMN, GREEN, INK, ORANGE, SKY, styled

STAIRCASE = {"trials": 24, "used": 14, "step": 0.12, "first": 0.7, "least": 0.03}


@dataclass(frozen=True)
class Setting:
    """Where the explorer begins: edge of the field (28 or 128), digit, contrast, noise, std of the places in pixels,
    preferred frequency and bandwidth of the texture in cycles per pixel, and the seed of its draws."""

    size: int = FIELD
    digit: int = 4
    contrast: float = 0.7
    noise: float = 0.75
    std: float = 20
    preferred: float = textures.SF_0
    bandwidth: float = textures.B_SF
    seed: int = 6


# ---- stimuli --------------------------------------------------------------------------------------------------------


def ground(
    n: int, size: int, seed: int = 0, preferred: float = textures.SF_0, bandwidth: float = textures.B_SF
) -> Tensor:
    """Return textures (n, size, size) in [0, 1], mean 0.5; equal seeds differ by their spectrum alone."""
    generator = rng.generator("primer", seed)
    coefficients = torch.view_as_complex(torch.randn(n, size, size, 2, generator=generator))
    return textures.from_draws(coefficients, textures.envelope(size, preferred, bandwidth))


def field(digit: int, offset: tuple[int, int], contrast: float, noise: float, texture: Tensor) -> Tensor:
    """Return a visual field (128, 128) with a digit at an offset (row, column), on a texture (128, 128) in [0, 1]."""
    ink, shift = tensors.ten_digits()[digit][None], torch.tensor([offset])
    return stimuli.compose_field(ink, shift, torch.tensor([contrast]), texture[None] - 0.5, noise)[0, 0]


def framed(digit: int, offset: tuple[int, int], contrast: float, noise: float, texture: Tensor) -> Tensor:
    """Return a digit shifted in its own frame (28, 28), on a texture (28, 28) in [0, 1]."""
    ink = stimuli.shift(tensors.ten_digits()[digit][None], torch.tensor([offset]))
    return stimuli.compose(ink, torch.tensor([contrast]), texture[None], noise)[0, 0]


def brighter(size: int, contrast: float, noise: float, seed: int = 0, n: int = 200) -> float:
    """Return the share of a digit's bright pixels (above half of its maximum) that are brighter than the texture there,
    centred, mean over the ten digits and `n` textures."""
    middle = slice((size - EDGE) // 2, (size + EDGE) // 2)
    behind = 0.5 + noise * (ground(n, size, seed)[:, None, middle, middle] - 0.5)  # (n, 1, 28, 28)
    x = tensors.ten_digits() / tensors.ten_digits().flatten(1).amax(1)[:, None, None]
    inked = (x > 0.5).expand(n, -1, -1, -1)
    return float((0.5 + contrast * (x - 0.5) > behind)[inked].float().mean())


def blank(std: float, seed: int = 0, n: int = 2000) -> float:
    """Return the share of 28 x 28 stimuli from which a shift has moved the whole digit out, over the ten digits."""
    offsets = Scene28(std=std).fresh(10 * n, rng.generator("primer", seed))
    moved = stimuli.shift(tensors.ten_digits().repeat(n, 1, 1), offsets)
    return float((moved.flatten(1).amax(1) == 0).float().mean())


def at_limit(std: float, limit: float = 40) -> float:
    """Return the share of 128 x 128 stimuli whose eccentricity is the largest: of |N(0, 1)| std above the limit."""
    return math.erfc(limit / std / math.sqrt(2))


# ---- the explorer ---------------------------------------------------------------------------------------------------


def explorer(start: Setting, caption: str = "") -> HTML:
    """Return the explorer of stimuli, with a staircase that measures the reader's threshold."""
    data = {
        "digits": tensors.encode(tensors.ten_digits(), "uint8", packed=True),
        "start": vars(start),
        "fields": {str(EDGE): {"std": 15, "limit": 25}, str(FIELD): {"std": 40, "limit": 40}},
        "dots": 200,
        "staircase": STAIRCASE,
    }
    alt = (
        "Stimuli of both kinds: a digit shifted within its own frame of 28 by 28 pixels, and a digit in a round field "
        "of 128 by 128 pixels, at three contrasts on random textures."
    )
    return explorers.made("task", data, _still(), alt, caption, ("tensors.js", "task.js"))


@styled
def _still() -> Figure:
    figure, axes = plt.subplots(2, 4, figsize=(COLUMN, 3.1))
    for k, (contrast, offset) in enumerate(((0.7, (0, 0)), (0.7, (10, 26)), (0.5, (-18, 20)), (0.3, (24, -22)))):
        near = tuple(int(each / 4) for each in offset)
        images = (
            framed(4, near, contrast, 0.75, ground(1, EDGE, k)[0]),
            field(4, offset, contrast, 0.75, ground(1, FIELD, k)[0]),
        )
        for axis, image in zip(axes[:, k], images, strict=True):
            _picture(axis, image, f"contrast {100 * contrast:.0f} %" if axis is axes[0, k] else "")
    return figure


# ---- figures --------------------------------------------------------------------------------------------------------


def _picture(axis: Axes, image: Tensor, title: str = "") -> None:
    axis.imshow(image.numpy(), vmin=0, vmax=1)
    axis.set_title(title, loc="center", fontsize=9)
    axis.axis("off")


@styled
def overview(digit: int = 4, noise: float = 0.75, seed: int = 2) -> Figure:
    """Show one digit on one texture at three contrasts and three eccentricities."""
    offsets = {"at the fixation": (0, 0), "eccentricity 20 px": (12, 16), "eccentricity 40 px": (-24, 32)}
    figure, axes = plt.subplots(len(CONTRASTS), len(offsets), figsize=(COLUMN, 5.6))
    texture = ground(1, FIELD, seed)[0]
    for row, (line, contrast) in enumerate(zip(axes, CONTRASTS, strict=True)):
        for axis, (title, offset) in zip(line, offsets.items(), strict=True):
            _picture(axis, field(digit, offset, contrast, noise, texture), "" if row else title)
        line[0].text(
            -0.06,
            0.5,
            f"contrast {100 * contrast:.0f} %",
            transform=line[0].transAxes,
            rotation=90,
            va="center",
            ha="right",
        )
    return figure


@styled
def spectrum(frequencies: Sequence[float] = (0.05, 0.1, 0.2), seed: int = 2) -> Figure:
    """Draw the textures' amplitude spectrum for three preferred frequencies, and a texture of each from the same
    draws."""
    mosaic = ["curve"] * len(frequencies), [f"{each:g}" for each in frequencies]
    figure, panels = plt.subplot_mosaic(mosaic, figsize=(COLUMN, 4.2), height_ratios=(1, 1.1))
    axes = list(panels.values())
    f = np.geomspace(1 / FIELD, 0.5, 200)
    for preferred, colour, axis in zip(frequencies, COLOURS, axes[1:], strict=False):
        sigma = math.log((preferred + textures.B_SF) / preferred)
        amplitude = np.exp(-0.5 * (np.log(f / preferred) / sigma) ** 2) / f
        axes[0].plot(f, amplitude / amplitude.max(), color=colour)
        peak = f[amplitude.argmax()]
        axes[0].text(peak, 1.04, f"{preferred:g}", color=colour, ha="center")
        _picture(axis, ground(1, FIELD, seed, preferred)[0])
        axis.set_title(f"$f_0$ = {preferred:g}", loc="center", fontsize=9, color=colour)
    axes[0].set(xscale="log", xlabel="cycles per pixel", ylabel="amplitude", ylim=(0, 1.2), yticks=(0, 1))
    axes[0].set_xticks([0.01, 0.03, 0.1, 0.3], ["0.01", "0.03", "0.1", "0.3"])
    axes[0].minorticks_off()
    return figure


@styled
def composition(
    digit: int = 4, offset: tuple[int, int] = (-10, 22), contrast: float = 0.7, noise: float = 0.75
) -> Figure:
    """Show the steps from a digit and a texture to a visual field."""
    texture = ground(1, FIELD, 2)[0]
    whole = torch.zeros(FIELD, FIELD)
    whole[50:78, 50:78] = tensors.ten_digits()[digit] / 255
    moved = whole.roll(offset, (0, 1))
    level = 0.5 + contrast * (moved - 0.5)
    behind = 0.5 + noise * (texture - 0.5)
    opaque = torch.where(level > 0.5, level, torch.zeros(()))
    steps = {
        "digit, shifted": moved,
        "contrast $c$": level,
        "texture, noise $n$": behind,
        "the brighter of both": torch.maximum(opaque, behind),
        "stretched, round": field(digit, offset, contrast, noise, texture),
    }
    figure, axes = plt.subplots(1, len(steps), figsize=(COLUMN, 1.6))
    for k, (axis, (title, image)) in enumerate(zip(axes, steps.items(), strict=True)):
        _picture(axis, image, f"{k + 1}. {title}")
        axis.title.set_fontsize(7)
    return figure


@styled
def distributions(seed: int = 0, n: int = 400) -> Figure:
    """Show where digits lie under both distributions, and how their eccentricities are spread for several stds."""
    figure, panels = plt.subplot_mosaic("AB;CC", figsize=(COLUMN, 5.0), height_ratios=(1.25, 1))
    axes = list(panels.values())
    generator = rng.generator("primer", seed)
    for axis, scene, title in zip(
        axes, (Scene28(), Scene128()), ("28 × 28, std 15 px", "128 × 128, std 40 px"), strict=False
    ):
        offsets = scene.fresh(n, generator)
        axis.plot(offsets[:, 1].numpy(), offsets[:, 0].numpy(), ".", color=SKY, ms=4, alpha=0.7, mew=0)
        half = scene.edge / 2
        outline = (
            Circle((0, 0), half, fill=False, ec=INK)
            if scene.edge == FIELD
            else Rectangle((-half,) * 2, EDGE, EDGE, fill=False, ec=INK)
        )
        axis.add_patch(outline)
        axis.add_patch(Rectangle((-14, -14), EDGE, EDGE, fill=False, ec=ORANGE, ls=(0, (4, 3))))
        reach = 30 if scene.edge == EDGE else 66
        axis.set(
            xlim=(-reach, reach),
            ylim=(reach, -reach),
            aspect="equal",
            xticks=[-reach // 3 * 2, 0, reach // 3 * 2],
            yticks=[],
        )
        axis.set_xlabel("pixels right of the middle")
        axis.set_title(title, loc="center", fontsize=9)
    r = np.linspace(0, 40, 161)
    for std, colour in zip(
        (ECCENTRICITIES[0], ECCENTRICITIES[3], ECCENTRICITIES[8]), (BLUE, GREEN, ORANGE), strict=True
    ):
        density = 2 / (std * math.sqrt(2 * math.pi)) * np.exp(-0.5 * (r / std) ** 2)
        axes[2].plot(r, density, color=colour)
        place = (r[np.abs(density - density[0] / 2).argmin()], density[0] / 2)
        axes[2].text(place[0] + 1, place[1], f"std {std:.1f} px", color=colour)
    axes[2].text(40, 0.035, f"{100 * at_limit(40):.0f} % at 40 px\nfor std 40", color=ORANGE, ha="right", fontsize=8)
    axes[2].set(xlabel="eccentricity (px)", ylabel="density per pixel", ylim=(0, None), xlim=(0, 41))
    axes[2].set_title("128 × 128: eccentricities", loc="center", fontsize=9)
    return figure


@styled
def schedules(curricula: Mapping[str, Sequence[Stage]]) -> Figure:
    """Draw curricula: the std of the places against the epoch, orange where contrasts vary."""
    figure, axes = plt.subplots(len(curricula), 1, figsize=(COLUMN, 1.7 * len(curricula)))
    for axis, (name, stages) in zip(np.atleast_1d(axes), curricula.items(), strict=True):
        start = 0
        for stage in stages:
            low, high = stage.scene.contrast
            told = low != high and len({stage.scene.contrast for stage in stages}) > 1
            colour = BLUE if low == high else ORANGE
            axis.fill_between(
                [start, start + stage.epochs], stage.scene.std, step="post", color=colour, alpha=0.35, lw=0
            )
            axis.plot([start, start + stage.epochs], [stage.scene.std] * 2, color=colour, lw=2)
            if told:
                middle = start + stage.epochs / 2, stage.scene.std / 2
                axis.text(
                    *middle, f"{100 * low:.0f} to\n{100 * high:.0f} %", color=INK, ha="center", va="center", fontsize=8
                )
            start += stage.epochs
        axis.set(ylabel="std (px)", xlim=(0, start), ylim=(0, 1.25 * max(stage.scene.std for stage in stages) or 1))
        axis.set_title(name, fontsize=9)
    np.atleast_1d(axes)[-1].set_xlabel("epoch")
    return figure


@styled
def measures(accuracy: Tensor, cells: Mapping[tuple[float, float], float], n: int = 10_000) -> Figure:
    """Show what is measured: an accuracy map (55, 55), the 27 cells of the benchmark, and thresholds from them.

    Args:
        cells: (contrast, eccentricity) -> accuracy, of one system. n: stimuli per cell.
    """
    figure, panels = plt.subplot_mosaic("AC;BB", figsize=(COLUMN, 4.6), height_ratios=(1.5, 1))
    axes = [panels[key] for key in "ABC"]
    shown = axes[0].imshow(100 * accuracy.numpy(), extent=(-27.5, 27.5, 27.5, -27.5), cmap="cividis", vmin=0, vmax=100)
    axes[0].plot(0, 0, "+", color=ORANGE, ms=9, mew=2)
    axes[0].set(xlabel="shift right (px)", ylabel="shift down (px)", xticks=(-20, 0, 20), yticks=(-20, 0, 20))
    axes[0].grid(False)
    axes[0].set_title("accuracy map (%)", loc="center", fontsize=9)
    figure.colorbar(shown, ax=axes[0], location="right", shrink=0.8, ticks=(0, 50, 100))
    values = np.array([[100 * cells[contrast, r] for r in ECCENTRICITIES] for contrast in CONTRASTS])
    axes[1].imshow(values, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        axes[1].text(
            j, i, f"{value:.0f}", ha="center", va="center", fontsize=8, color="white" if value < 60 else "black"
        )
    axes[1].set_xticks(range(0, 9, 2), [f"{r:.0f}" for r in ECCENTRICITIES[::2]])
    axes[1].set_yticks(range(3), [f"{100 * c:.0f} %" for c in CONTRASTS])
    axes[1].set(xlabel="eccentricity (px)", ylabel="contrast")
    axes[1].grid(False)
    axes[1].set_title("27 cells (%)", loc="center", fontsize=9)
    fit = thresholds(cells, n)
    contrast = np.geomspace(0.1, 1, 60)
    shown = zip(
        (ECCENTRICITIES[0], ECCENTRICITIES[5], ECCENTRICITIES[8]), (BLUE, GREEN, ORANGE), (6, 0, -6), strict=True
    )
    for r, colour, shift in shown:
        axes[2].plot(100 * contrast, 100 * fit.accuracy(r, contrast), color=colour)
        axes[2].plot([100 * c for c in CONTRASTS], [100 * cells[c, r] for c in CONTRASTS], "o", color=colour, ms=4)
        threshold = fit.thresholds[r].value
        if threshold <= 1:
            axes[2].plot([100 * threshold] * 2, [0, 100 * fit.level], color=colour, lw=1, ls=(0, (3, 2)))
        axes[2].text(101, 100 * fit.accuracy(r, 1.0) + shift, f"{r:.0f} px", color=colour, va="center", fontsize=8)
    axes[2].axhline(100 * fit.level, color=INK, lw=0.8)
    axes[2].set(xlabel="contrast (%)", ylabel="accuracy (%)", xlim=(10, 100), ylim=(0, 102))
    axes[2].set_title("thresholds", loc="center", fontsize=9)
    return figure


def thresholds(cells: Mapping[tuple[float, float], float], n: int = 10_000) -> psychometrics.Fit:
    """Fit psychometric functions to the cells of one system, one per eccentricity."""
    return psychometrics.fit({cell: Proportion(round(n * accuracy), n) for cell, accuracy in cells.items()})
