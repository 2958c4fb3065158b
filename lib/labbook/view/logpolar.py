"""The primer on log-polar vision: its explorer, with what the page needs to make filters and to invert them, its
diagrams and its figures."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from .. import filters as logpolar_filters
from .. import retina as retinas
from .. import rng, stimuli, textures
from .. import where as wheres
from ..errors import choose
from ..stimuli import EDGE, FIELD
from . import explorers, tensors
from .figures import COLOURS, COLUMN, INK, ORANGE, SKY, styled

NAMES = {  # of the retinas that a reader can choose
    "polo768": "768 (log-polar STN)",
    "polo2560": "2 560 (log-polar STN)",
    "whatwhere": "2 880 (What/Where model)",
}
STRONG = 1.4  # times the typical strength of a cell on textures: painted brightest
RIDGE = 0.03  # singular values below this, relative to the largest, are damped in the page's inverse
COARSE = 77  # samples per side on which the page sees rings whose filters hold no finer detail
# Pixels on either side of the fixation beyond which filters of a ring change no coefficient of a scene by more than
# 0.1 % of the largest; None: the ring is on the coarse grid, which changes them by as little.
REACH = (28, 28, 22, 24, 31, 43, None, None, None, None)


def channels(name: str) -> Tensor:
    """Return which features differ by a rotation alone, (channels, period): a row per orientation and ring (and
    phase), one azimuth after the other. A retina with twice as many azimuths elsewhere has two rows per ring there."""
    settings = retinas.RETINAS[choose("retina", name, NAMES)]
    if isinstance(settings, retinas.WhatWhere):
        return torch.arange(settings.n).view(settings.layout[0]).movedim(1, -1).flatten(0, -2)
    period, rows, first = min(part.azimuths for part in settings.parts), [], 0
    for part in settings.parts:
        index = first + torch.arange(part.n).view(-1, period, part.azimuths // period)
        rows.append(index.movedim(2, 1).flatten(0, 1))
        first += part.n
    return torch.cat(rows)


class Inverse(NamedTuple):
    """Of a retina A with `weight` W (n,) and `ridge`: the page solves (W A A' W + ridge) y = W f; its scene is A' W y.
    `factor` (frequencies, channels, channels): per angular frequency L with L L^H the inverse of the matrix, averaged
    over rotations."""

    weight: Tensor
    ridge: float
    factor: Tensor


@lru_cache(maxsize=4)
def inverse(name: str) -> Inverse:
    """Return what the page's inverse of a retina needs. Features of a channel weigh as if their kernels had unit
    norm."""
    index = channels(name)
    count, period = index.shape
    gram = retinas.build(name).gram()
    rows = gram[index.flatten()][:, index.flatten()].view(count, period, count, period)
    k = torch.arange(period)
    rotated = torch.stack([rows[:, (k + step) % period, :, k].mean(0) for step in range(period)], -1)  # (c, c, period)
    spread = rotated[..., 0].diagonal().rsqrt()  # (channels,)
    mean = torch.fft.rfft(rotated * spread[:, None, None] * spread[:, None]).movedim(2, 0)  # (frequencies, c, c)
    mean = (mean + mean.mH) / 2
    ridge = RIDGE**2 * float(torch.linalg.eigvalsh(mean).max())
    damped = mean + ridge * torch.eye(count, dtype=torch.float64)
    weight = torch.empty(index.numel(), dtype=torch.float64)
    weight[index] = spread[:, None]
    return Inverse(weight, ridge, torch.linalg.cholesky(torch.linalg.inv(damped)))


def data(name: str) -> dict:
    """Return a retina as plain data for `logpolar.retina` in logpolar.js."""
    settings, index = retinas.RETINAS[choose("retina", name, NAMES)], channels(name)
    made = inverse(name)
    lower = torch.tril_indices(len(index), len(index)).unbind(0)
    factor = torch.view_as_real(made.factor[:, *lower]).movedim(2, 1)  # (frequencies, 2, entries)
    shared = {
        "n": settings.n,
        "channels": {"index": index.flatten().tolist(), "count": len(index), "period": index.shape[1]},
        "weight": [float(f"{x:.6g}") for x in made.weight[index[:, 0]].tolist()],
        "ridge": made.ridge,
        "blocks": tensors.encode(factor.flatten(0, 1), "int8", packed=True),
    }
    if isinstance(settings, retinas.WhatWhere):
        return shared | whatwhere(settings)
    parts = [
        {key: getattr(part, key) for key in ("width", "rings", "azimuths", "orientations", "low_pass", "b_theta")}
        | {"levels": part.kept, "radii": part.ring_radii}
        for part in settings.parts
    ]
    return shared | {"kind": "pyramid", "parts": parts}


def whatwhere(settings: retinas.WhatWhere) -> dict:
    """Return a retina of the What/Where model as plain data for `logpolar.retina`, without what its inverse needs."""
    filters = [retinas.whatwhere_filters(settings, ring, normalised=False) for ring in range(settings.rings)]
    peaks = [each.abs().amax((-2, -1))[:, : settings.azimuths // 4] for each in filters]
    gains = 1 / torch.stack(peaks).transpose(1, 2)  # (rings, azimuths / 4, orientations, phases)
    rings = [{"n": FIELD, "half": h} if h else {"n": COARSE, "half": COARSE // 2} for h in REACH]
    part = asdict(settings) | {"rings": rings, "radii": settings.radii, "frequencies": settings.frequencies}
    part["b_theta"] = torch.pi / (2 * settings.orientations)
    gains = tensors.encode(gains.float(), packed=True)
    return {"kind": "whatwhere", "n": settings.n, "part": part, "gains": gains}


# ---- cells ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A ring of cells as the explorer shows it: radius, pixels; azimuths, and whether the ring is turned by half a
    step; period of its filters, pixels (0: of all periods); sigma of a cell, pixels; scale, the typical strength of a
    cell on textures; features (azimuths, orientations x phases) of each cell."""

    radius: float
    azimuths: int
    half: bool
    period: float
    sigma: float
    scale: float
    features: Tensor
    place: dict[str, int]  # where logpolar.js finds them

    def strength(self, features: Tensor, weight: Tensor) -> Tensor:
        """Return the strengths (B, azimuths) of the cells, for features (B, n)."""
        return (features * weight)[:, self.features].square().sum(2).sqrt() / self.scale


@lru_cache(maxsize=4)
def rows(name: str) -> tuple[Row, ...]:
    """Return the rings of a retina, from the innermost one outwards."""
    eye = retinas.build(name)
    settings, cells = eye.settings, retinas.cells(eye.settings)
    weight = inverse(name).weight.float()
    grounds = 0.5 + 0.15 * torch.stack([texture / texture.std() for texture in clouds(16)])[:, None]
    features = respond(name, grounds)
    found = []

    def add(index: Tensor, half: bool, cell: int, period: float, place: dict[str, int]) -> None:
        row = Row(float(cells.radius[cell]), len(index), half, period, float(cells.sigma[cell]), 1.0, index, place)
        scale = float(row.strength(features, weight).square().mean().sqrt())
        found.append(Row(*(scale if key == "scale" else getattr(row, key) for key in Row.__dataclass_fields__)))

    if isinstance(settings, retinas.WhatWhere):
        index = torch.arange(settings.n).view(settings.layout[0])  # (orientations, azimuths, rings, phases)
        for ring in range(settings.rings):
            features_of = index[:, :, ring].movedim(1, 0).flatten(1)  # (azimuths, orientations x phases)
            add(features_of, ring % 2 == 1, ring, 1 / settings.frequencies[ring], {"ring": ring})
        return tuple(found)
    first = cell = 0
    for part, settings_of in enumerate(settings.parts):
        index = first + torch.arange(settings_of.n).view(
            settings_of.layout[0]
        )  # (orientations, levels x rings, azimuths)
        for k in range(index.shape[1]):
            place = {"part": part, "ring": k, "first": first}
            add(index[:, k].T, k % settings_of.rings % 2 == 1, cell, 0.0, place)
            cell += settings_of.azimuths
        first += settings_of.n
    return tuple(sorted(found, key=lambda row: row.radius))


def respond(name: str, images: Tensor) -> Tensor:
    """Return the features (B, n) of scenes (B, 1, 128, 128), relative to those of a grey scene."""
    eye = retinas.build(name)
    return eye(images) - eye(torch.full((1, 1, FIELD, FIELD), retinas.GREY))


def keep(name: str, images: Tensor) -> Tensor:
    """Return what the coefficients keep of scenes (B, 1, 128, 128): the page's inverse, exactly, (B, 128, 128)."""
    weight = inverse(name).weight
    features = respond(name, images).double() * weight  # (B, n)
    y = torch.cholesky_solve(features.T, _damped(name)).T * weight
    return (retinas.GREY + (y.float() @ retinas.build(name).matrix)).view(-1, FIELD, FIELD)


@lru_cache(maxsize=4)
def _damped(name: str) -> Tensor:
    """Return the Cholesky factor (n, n) of W A A' W + ridge."""
    made = inverse(name)
    gram = made.weight[:, None] * retinas.build(name).gram() * made.weight
    gram.diagonal().add_(made.ridge)
    return torch.linalg.cholesky(gram)


# ---- scenes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """Where the explorer begins: a digit, its offset and the gaze (row, column), pixels, contrast, noise, the
    texture's seed."""

    digit: int = 4
    offset: tuple[int, int] = (-6, 24)
    gaze: tuple[int, int] = (0, 0)
    contrast: float = 0.7
    noise: float = 0.2
    seed: int = 3

    @property
    def image(self) -> Tensor:
        """The field (1, 1, 128, 128)."""
        ink, offset = tensors.ten_digits()[self.digit][None], torch.tensor([self.offset])
        return stimuli.compose_field(ink, offset, torch.tensor([self.contrast]), clouds(1, self.seed), self.noise)


def bare(digit: int, offset: tuple[int, int], contrast: float = 0.7) -> Tensor:
    """Return a digit on grey, (1, 1, 128, 128), without texture or edge of the field."""
    image = torch.full((1, 1, FIELD, FIELD), retinas.GREY)
    top, left = 50 + offset[0], 50 + offset[1]
    image[0, 0, top : top + EDGE, left : left + EDGE] += contrast / 2 * tensors.ten_digits()[digit] / 255
    return image


def clouds(n: int, seed: int = 0) -> Tensor:
    """Return textures (n, 128, 128) about 0."""
    return textures.fields(n, FIELD, rng.generator("primer", seed)).clone()


def turned(images: Tensor, angle: float = 0.0, factor: float = 1.0) -> Tensor:
    """Return scenes (B, 1, 128, 128) turned about pixel (64, 64) by an angle (radians, from down towards right) and
    enlarged by a factor, bilinear, grey beyond."""
    c, s = math.cos(angle) / factor, math.sin(angle) / factor
    axis = torch.arange(FIELD) - FIELD // 2.0
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    rows_of, columns = c * down + s * right, c * right - s * down
    grid = (torch.stack((columns, rows_of), -1) + FIELD // 2 + 0.5) * 2 / FIELD - 1
    shifted = images - retinas.GREY
    return F.grid_sample(shifted, grid.expand(len(images), -1, -1, -1), align_corners=False) + retinas.GREY


def saccades(scene: View, accuracy: Tensor, number: int = 2) -> list[float]:
    """Return the distances (pixels) of the digit's middle from the fixation: at first, and after each of some saccades
    to the best cell of the true targets.

    Args:
        accuracy: (k, k) of the What pathway against the digit's offset.
    """
    colliculus = wheres.colliculus()
    offset, found = torch.tensor([scene.offset]), [math.hypot(*scene.offset)]
    for _ in range(number):
        offset = offset - colliculus.offset(colliculus.target(accuracy, offset))
        found.append(float(offset[0].double().norm()))
    return found


# ---- the explorer ---------------------------------------------------------------------------------------------------


def explorer(scene: View, retina: str = "whatwhere", caption: str = "") -> HTML:
    """Return the explorer of log-polar retinas."""
    made = {}
    for name, title in NAMES.items():
        lines = [
            {key: getattr(row, key) for key in ("azimuths", "half")}
            | {key: float(f"{getattr(row, key):.5g}") for key in ("radius", "period", "sigma", "scale")}
            | row.place
            for row in rows(name)
        ]
        made[name] = data(name) | {"title": title, "rows": lines}
    content = {
        "retinas": made,
        "digits": tensors.encode(tensors.ten_digits(), "uint8", packed=True),
        "strong": STRONG,
        "start": asdict(scene) | {"retina": retina},
    }
    shifts = {"at the fixation": (0, 0), "24 px away": (0, 24), "40 px away": (0, 40)}
    scenes = {
        where: View(scene.digit, offset, (0, 0), scene.contrast, scene.noise, scene.seed)
        for where, offset in shifts.items()
    }
    images = torch.cat([each.image for each in scenes.values()])
    alike = likeness(images, keep(retina, images), list(shifts.values()))
    alt = (
        f"A {scene.digit} on a texture at three eccentricities; the strengths of the coefficients, rings by azimuths; "
        "and what the coefficients keep of the scene. Correlation of scene and reconstruction on the digit's pixels: "
        + ", ".join(f"{each:.2f} {where}" for where, each in zip(shifts, alike, strict=True))
        + "."
    )
    still = _still(retina, images, list(shifts))
    return explorers.made("logpolar", content, still, alt, caption, ("tensors.js", "logpolar.js"))


def likeness(images: Tensor, kept: Tensor, offsets: Sequence[tuple[int, int]]) -> list[float]:
    """Return the correlation of scenes (B, 1, 128, 128) and reconstructions (B, 128, 128) on the digits' 28 x 28
    pixels."""
    found = []
    for image, copy, (down, right) in zip(images[:, 0], kept, offsets, strict=True):
        window = slice(50 + down, 50 + down + EDGE), slice(50 + right, 50 + right + EDGE)
        found.append(float(torch.corrcoef(torch.stack((image[window].flatten(), copy[window].flatten())))[0, 1]))
    return found


def kept_by(name: str, scene: View, eccentricities: Sequence[float], directions: int = 8) -> list[float]:
    """Return for each eccentricity (pixels) the mean likeness of all ten digits in some directions, fixated at the
    middle."""
    angles = [2 * math.pi * k / directions for k in range(directions)]
    means = []
    for far in eccentricities:
        offsets = [(round(far * math.cos(angle)), round(far * math.sin(angle))) for angle in angles for _ in range(10)]
        offset = torch.tensor(offsets)
        ink = tensors.ten_digits().repeat(directions, 1, 1)
        ground = clouds(len(offsets), scene.seed)
        images = stimuli.compose_field(ink, offset, torch.full((len(offsets),), scene.contrast), ground, scene.noise)
        means.append(float(np.mean(likeness(images, keep(name, images), offsets))))
    return means


# ---- figures --------------------------------------------------------------------------------------------------------

# Dark blue to yellow, as in logpolar.js: hsl(230 - 175 x, 55 + 30 x %, 14 + 58 x %).
STRENGTH = ListedColormap(
    [colorsys.hls_to_rgb((230 - 175 * x) / 360, 0.14 + 0.58 * x, 0.55 + 0.3 * x) for x in np.linspace(0, 1, 128)]
)


def _picture(axis: Axes, image: Tensor, title: str = "") -> None:
    axis.imshow(image.numpy(), vmin=0, vmax=1)
    axis.set_title(title, loc="center", fontsize=9)
    axis.axis("off")


def _map(axis: Axes, name: str, features: Tensor, labels: bool = True) -> None:
    """Draw the strengths of the cells (one scene's features (n,)): a row per ring, outwards from below."""
    weight = inverse(name).weight.float()
    for k, row in enumerate(rows(name)):
        strength = row.strength(features[None], weight)[0]  # (azimuths,)
        if row.half:  # the last cell of a turned ring lies half before 0 and half after the last azimuth
            strength = torch.cat((strength[-1:], strength))
        edges = (np.arange(len(strength) + 1) - (0.5 if row.half else 0)) * 360 / row.azimuths
        axis.pcolormesh(edges, [k, k + 1], strength[None].numpy(), vmin=0, vmax=STRONG, cmap=STRENGTH)
    radii = [row.radius for row in rows(name)]
    axis.set(xlim=(0, 360), ylim=(0, len(radii)))
    shown = range(0, len(radii), 3 if len(radii) > 8 else 1)
    axis.set_yticks([k + 0.5 for k in shown], [f"{radii[k]:.0f} px" if labels else "" for k in shown], fontsize=8)
    axis.set_xticks([0, 90, 180, 270], ["0° ↓", "90° →", "180° ↑", "270° ←"], fontsize=8)
    axis.grid(False)


@styled
def _still(name: str, images: Tensor, titles: Sequence[str]) -> Figure:
    figure, axes = plt.subplots(3, len(titles), figsize=(COLUMN, 5.2), height_ratios=(3, 1.6, 3), squeeze=False)
    kept = keep(name, images).clamp(0, 1)
    for k, (title, features) in enumerate(zip(titles, respond(name, images), strict=True)):
        _picture(axes[0, k], images[k, 0], f"digit {title}")
        for row in rows(name):
            axes[0, k].add_patch(Circle((FIELD / 2, FIELD / 2), row.radius, fill=False, ec="white", lw=0.5, alpha=0.6))
        axes[0, k].plot(FIELD / 2, FIELD / 2, "+", color=ORANGE, ms=10, mew=2)
        _map(axes[1, k], name, features, k == 0)
        _picture(axes[2, k], kept[k], "what is kept")
    axes[1, 0].set_ylabel("ring")
    return figure


@styled
def geometry(settings: retinas.WhatWhere) -> Figure:
    """Draw a log-polar retina twice: its cells in the visual field, and unrolled, eccentricity against azimuth."""
    figure, (field, plane) = plt.subplots(1, 2, figsize=(COLUMN, 3.1), width_ratios=(1.1, 1))
    cells, ring, azimuth = retinas.cells(settings), settings.rings - 2, 4  # the cell that is marked
    reach = FIELD / 2
    field.set(xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
    places = (cells.centres - FIELD / 2).view(settings.azimuths, settings.rings, 2)
    sigma = cells.sigma.view(settings.azimuths, settings.rings)
    turns = cells.azimuth.view(settings.azimuths, settings.rings) * 180 / math.pi % 360
    for k in range(settings.rings):
        marked = k == ring
        for a in range(settings.azimuths):
            (y, x), colour = places[a, k].tolist(), SKY
            if marked:
                colour = ORANGE
            field.add_patch(
                Circle(
                    (x, y),
                    sigma[a, k].item() / 2,
                    fill=False,
                    ec=colour,
                    lw=2 if marked and a == azimuth else 0.8,
                    alpha=0.9,
                )
            )
            plane.plot(turns[a, k].item(), settings.radii[k], "o", color=colour, ms=5 if marked else 4, mew=0)
    y, x = places[azimuth, ring].tolist()
    field.plot([0, 0], [0, reach], color=INK, lw=0.8, ls=(0, (4, 3)))
    field.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "->", "color": ORANGE, "lw": 2})
    label = {"style": "italic", "fontsize": 14, "weight": "bold"}
    field.text(0.72 * x, 0.72 * y - 4, "r", color=ORANGE, ha="center", **label)
    arc = np.linspace(0, math.atan2(x, y), 30)
    field.plot(31 * np.sin(arc), 31 * np.cos(arc), color=INK, lw=1.4)
    field.text(40 * math.sin(arc[15]), 40 * math.cos(arc[15]) + 3, "ψ", color=ORANGE, ha="center", va="center", **label)
    field.set_title("in the visual field", loc="center")
    field.set_xticks([-50, 0, 50], ["50 px\nleft", "fixation", "50 px\nright"])
    field.set_yticks([])
    field.grid(False)
    plane.set(yscale="log", xlim=(-8, 360), xlabel="azimuth ψ", ylabel="eccentricity r (px)")
    ticks = [settings.radii[k] for k in range(settings.rings)]
    plane.set_yticks(ticks, [f"{r:.1f}" for r in ticks], fontsize=8)
    plane.minorticks_off()
    plane.set_xticks([0, 90, 180, 270], ["0°\ndown", "90°\nright", "180°\nup", "270°\nleft"])
    plane.set_title("unrolled: a rectangle", loc="center")
    plane.annotate(
        f"× {settings.rho:.2f}",
        (371, math.sqrt(ticks[3] * ticks[4])),
        color=INK,
        annotation_clip=False,
        fontsize=9,
        va="center",
    )
    return figure


class Moved(NamedTuple):
    """How maps (rings, azimuths) change when a scene is turned and enlarged: correlations with the map before, as it
    is and moved by so many columns or rows."""

    columns: int
    rings: int
    turned: tuple[float, float]
    enlarged: tuple[float, float]


def strengths(name: str, images: Tensor) -> Tensor:
    """Return the strengths (B, rings, azimuths) of a retina whose rings have equally many cells."""
    weight = inverse(name).weight.float()
    features = respond(name, images)
    return torch.stack([row.strength(features, weight) for row in rows(name)], 1)


def moved(name: str, image: Tensor, columns: int, rings: int) -> Moved:
    """Measure what a turn by `columns` azimuths, and an enlargement by `rings` radii (even: odd rings are turned by
    half a step), do to a scene's map."""
    settings = retinas.RETINAS[name]
    turn, factor = columns * 2 * math.pi / settings.azimuths, settings.rho**rings
    maps = strengths(name, torch.cat((image, turned(image, turn), turned(image, factor=factor))))
    plain, rotated, larger = maps

    def alike(a: Tensor, b: Tensor) -> float:
        return float(torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1])

    return Moved(
        columns,
        rings,
        (alike(plain, rotated), alike(plain.roll(columns, 1), rotated)),
        (alike(plain[rings:], larger[rings:]), alike(plain[:-rings], larger[rings:])),
    )


@styled
def transformations(name: str, image: Tensor, columns: int, rings: int) -> Figure:
    """Show a scene, the scene turned, enlarged and shifted, each above its map."""
    settings = retinas.RETINAS[name]
    turn, factor = columns * 2 * math.pi / settings.azimuths, settings.rho**rings
    scenes = {
        "a scene": image,
        f"turned by {math.degrees(turn):.0f}°": turned(image, turn),
        f"enlarged × {factor:.2f}": turned(image, factor=factor),
        "moved by 12 px": torch.roll(image, (0, 12), (2, 3)),
    }
    figure, axes = plt.subplots(2, len(scenes), figsize=(COLUMN, 3.2), height_ratios=(1.15, 1))
    for k, (title, scene) in enumerate(scenes.items()):
        _picture(axes[0, k], scene[0, 0], title)
        axes[0, k].plot(FIELD / 2, FIELD / 2, "+", color=ORANGE, ms=9, mew=2)
        _map(axes[1, k], name, respond(name, scene)[0], k == 0)
        axes[1, k].set_xticks([0, 180], ["0°", "180°"], fontsize=8)
    axes[1, 0].set_ylabel("ring")
    notes = {1: (f"{columns} columns →", None), 2: (f"{rings} rings ↑", None), 3: ("another map", None)}
    for k, (note, _) in notes.items():
        axes[1, k].set_title(note, loc="center", fontsize=9)
    return figure


@styled
def filters(settings: retinas.WhatWhere, rings: Sequence[int], azimuth: int = 3) -> Figure:
    """Show a filter of some rings: even part, odd part, and the spectrum of both with the ring's preferred
    frequency."""
    figure, axes = plt.subplots(3, len(rings), figsize=(COLUMN, 4.2))
    for column, ring in zip(axes.T, rings, strict=True):
        even, odd = retinas.whatwhere_filters(settings, ring)[0, azimuth]
        spectrum = torch.fft.fftshift(torch.fft.fft2(even - odd * 1j).abs())  # one-sided
        for axis, kernel in zip(column, (even, odd), strict=False):
            axis.imshow(kernel.numpy(), vmin=-1, vmax=1)
            axis.plot(FIELD / 2, FIELD / 2, "+", color=ORANGE, ms=7, mew=1.5)
        column[2].imshow(spectrum.numpy(), cmap=STRENGTH, extent=(-0.5, 0.5, 0.5, -0.5))
        column[2].add_patch(Circle((0, 0), settings.frequencies[ring], fill=False, ec="white", lw=0.8, ls=(0, (3, 2))))
        column[0].set_title(f"{settings.radii[ring]:.1f} px", loc="center", fontsize=9)
        for axis in column:
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
    for axis, label in zip(axes[:, 0], ("even", "odd", "spectrum"), strict=True):
        axis.set_ylabel(label)
    return figure


@styled
def pyramid(image: Tensor, settings: logpolar_filters.Pyramid) -> Figure:
    """Draw a pyramid over a scene (1, 1, 128, 128): each level, the crop of it that is kept, and its cells."""
    crops, kept = retinas.crops(image, settings)[0], settings.kept
    levels, level = [], image
    for _ in range(settings.levels):
        levels.append(level[0, 0])
        level = F.interpolate(level, scale_factor=1 / settings.base, mode="bilinear", align_corners=False)
    figure, axes = plt.subplots(2, kept, figsize=(COLUMN, 4.2))
    ring_of = 2 * math.pi / settings.azimuths
    for k in range(kept):
        above, below = axes[:, k]
        above.imshow(image[0, 0].numpy(), vmin=0, vmax=1)
        half = settings.width * settings.base**k / 2
        above.add_patch(Rectangle((FIELD / 2 - half - 0.5,) * 2, 2 * half, 2 * half, fill=False, ec=ORANGE, lw=2))
        title = "low-pass" if k == settings.levels - 1 else "residual"
        above.set_title(f"level {k + 1}: {len(levels[k])} × {len(levels[k])}", loc="center", fontsize=9)
        spread = crops[k].abs().max() if title == "residual" else 1
        shown = crops[k] / (2 * spread) + 0.5 if title == "residual" else crops[k]
        below.imshow(shown.numpy(), vmin=0, vmax=1)
        below.set_title(f"{title}, {settings.width} × {settings.width}", loc="center", fontsize=9)
        for i, radius in enumerate(settings.ring_radii):
            for a in range(settings.azimuths):
                psi = (a + 0.5 * (i % 2)) * ring_of
                x, y = settings.width / 2 + radius * math.sin(psi), settings.width / 2 + radius * math.cos(psi)
                below.plot(x, y, "o", color=SKY, ms=3, mew=0)
        for axis in (above, below):
            axis.axis("off")
        below.set(xlim=(-1, settings.width + 1), ylim=(settings.width + 1, -1))
    return figure


@styled
def fidelity(alike: Mapping[str, Sequence[float]], eccentricities: Sequence[float]) -> Figure:
    """Plot the likeness of scene and reconstruction against eccentricity, a labelled line per retina."""
    figure, axis = plt.subplots(figsize=(COLUMN, 3.2))
    for (name, values), colour in zip(alike.items(), COLOURS, strict=False):
        axis.plot(eccentricities, values, color=colour, marker="o", ms=4)
        axis.annotate(f" {name}", (eccentricities[-1], values[-1]), color=colour, va="center", annotation_clip=False)
    axis.set(
        xlabel="eccentricity of the digit (px)", ylabel="correlation", ylim=(0, 1.02), xlim=(0, max(eccentricities) + 6)
    )
    axis.set_xticks(eccentricities)
    return figure


@styled
def saccade(image: Tensor, offset: tuple[int, int], accuracy: Tensor) -> Figure:
    """Show how a collicular map chooses a saccade: the scene, the accuracy to expect of a fixation at each pixel, and
    its average over each collicular cell, with the best cell.

    Args:
        offset: of the digit, (row, column). accuracy: (k, k) of the What pathway.
    """
    colliculus = wheres.colliculus()
    settings, where = colliculus.settings, torch.tensor([offset])
    field = wheres.accuracy_field(accuracy, where)
    target = colliculus.target(accuracy, where)  # (1, cells)
    down, right = colliculus.offset(target)[0].tolist()
    figure, axes = plt.subplots(1, 3, figsize=(COLUMN, 2.3), width_ratios=(1, 1, 1.1))
    _picture(axes[0], image[0, 0], "the scene, fixated at +")
    axes[1].imshow(field[0].numpy(), vmin=0, vmax=1, cmap="cividis")
    axes[1].set_title("accuracy if fixated there", loc="center", fontsize=9)
    axes[1].axis("off")
    for axis in axes[:2]:
        axis.plot(FIELD / 2, FIELD / 2, "+", color=ORANGE, ms=9, mew=2)
    axes[0].annotate(
        "",
        (FIELD / 2 + right, FIELD / 2 + down),
        (FIELD / 2, FIELD / 2),
        arrowprops={"arrowstyle": "->", "color": ORANGE, "lw": 2.2},
    )
    values = target[0].view(settings.azimuths, settings.rings).T  # (rings, azimuths)
    step = 360 / settings.azimuths
    for k, row in enumerate(values):
        shifted = torch.cat((row[-1:], row)) if k % 2 else row
        edges = (np.arange(len(shifted) + 1) - (0.5 if k % 2 else 0)) * step
        axes[2].pcolormesh(edges, [k, k + 1], shifted[None].numpy(), vmin=0, vmax=1, cmap="cividis")
    best = int(target[0].argmax())
    azimuth, ring = best // settings.rings, best % settings.rings
    axes[2].add_patch(Rectangle(((azimuth + 0.5 * (ring % 2)) * step, ring), step, 1, fill=False, ec=ORANGE, lw=2.2))
    axes[2].set(xlim=(0, 360), ylim=(0, settings.rings))
    axes[2].set_xticks([0, 90, 180, 270], ["0° ↓", "90° →", "180° ↑", "270° ←"], fontsize=8)
    shown = range(0, settings.rings, 3)
    axes[2].set_yticks([k + 0.5 for k in shown], [f"{settings.radii[k]:.0f} px" for k in shown], fontsize=8)
    axes[2].grid(False)
    axes[2].set_title("its average over each cell", loc="center", fontsize=9)
    figure.colorbar(
        axes[1].images[0], ax=axes[:2], label="accuracy", ticks=[0.1, 0.5, 0.9], location="bottom", shrink=0.5
    )
    return figure
