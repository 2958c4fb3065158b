"""In-page explorers: figures that answer back. Each function takes results and returns one output.

An output holds all it needs, script, style and data, and asks neither a kernel nor the network for anything. Beneath
lies a static picture with its description, for print and for readers without scripts. Equal results are equal bytes.
The script is `explorers.js` beside this file: controls, drawings, and one function per explorer.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from IPython.display import HTML
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from .. import retina, sampler
from ..book.results import NAMES, Cell
from ..book.store import Run
from ..book.visual_field import Sweep, SweepOutput
from ..errors import ConfigurationError
from ..evaluation import Predictions
from ..runtime import files
from ..stimuli import EDGE, Stimuli
from . import figures
from .figures import COLOURS, ORANGE, SKY

LIMIT = 1_500_000  # bytes of an output
STILL = 96  # dots per inch of the static picture
DASHES = ("", "5 2", "1 2")  # of lines, as SVG writes them
FIELDS, TILES = 45, 80  # quality, 0 to 100, of pictures of fields and of small ones
NOISE = 0.75  # amplitude of the background that a system's name need not mention


@cache
def _beside(name: str) -> str:
    """Return a file beside this one without what the page does not need: indents, empty lines, lines of comment."""
    lines = [line.strip() for line in Path(__file__).with_name(name).read_text("utf-8").splitlines()]
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def made(kind: str, data: dict, still: Figure, alt: str, caption: str, scripts: Sequence[str] = ()) -> HTML:
    """Return an explorer over its static picture.

    Args:
        kind: which: `explorers[kind]` in a script. data: what it gets, plain data. still: the static picture.
        alt: describes it, for readers without scripts or sight. caption: shown below either.
        scripts: files beside this module, after `explorers.js`: "tensors.js", and one that defines the explorer.

    Raises:
        ConfigurationError: the output would have more than 1.5 MB.
    """
    content = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    name = f"explorer-{kind}-{files.digest(content.encode())[:8]}"
    script = "\n".join(map(_beside, ("explorers.js", *scripts)))
    output = (
        f'<figure class="plot explorer" id="{name}"><style>{_beside("explorers.css")}</style>'
        f"{figures.picture(still, alt, 'dark-light explorer-still', STILL)}"
        f'<div class="explorer-live" role="group" aria-label="{html.escape(alt, quote=True)}"></div>'
        f"<figcaption>{html.escape(caption)}</figcaption>"
        f'<script type="application/json">{content}</script>'
        f'<script>(() => {{\n"use strict";\n{script}\nbegin("{name}", "{kind}");\n}})();</script></figure>'
    )
    if (size := len(output.encode())) > LIMIT:
        raise ConfigurationError(
            f"The {kind} explorer has {size} bytes; {LIMIT} are allowed: give it fewer stimuli or offsets."
        )
    return HTML(output)


def _sprite(tiles: Tensor, **options) -> str:
    """Return images (rows, columns, h, w) in [0, 1] as one data URI, a WebP; options: of how it is written."""
    rows, columns, height, width = tiles.shape
    sheet = tiles.detach().cpu().permute(0, 2, 1, 3).reshape(rows * height, columns * width)
    buffer = io.BytesIO()
    grey = (sheet.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    Image.fromarray(grey).save(buffer, format="webp", method=6, **options)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _rounded(values: Sequence[float], digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]


# ---- the visual field -----------------------------------------------------------------------------------------------


def visual_field(
    grid: Sweep,
    pictures: tuple[Tensor, Sequence[int], Tensor],
    systems: Mapping[str, SweepOutput],
    caption: str = "",
) -> HTML:
    """Return an explorer of the visual field: eccentricity, contrast and noise on sliders, and a button for another
    scene; the scene, its log-polar view, and the window, the crop and the prediction of each system.

    Args:
        grid: of the settings. pictures: see `Sweep.pictures`. systems: name -> its output.

    Raises:
        ConfigurationError: more than six systems, or one with another grid.
    """
    images, labels, offsets = pictures
    shape = (len(grid.scenes), grid.shown)
    for name, each in systems.items():
        if each.predictions.shape != shape:
            raise ConfigurationError(f"{name} has {tuple(each.predictions.shape)} predictions; the grid has {shape}.")
    if not 1 <= len(systems) <= len(COLOURS):
        raise ConfigurationError(f"{len(systems)} systems to show; 1 to {len(COLOURS)} are possible.")
    views = torch.stack([_log_polar(each) for each in images])
    axes = (("eccentricity", grid.eccentricities), ("contrast", grid.contrasts), ("noise", grid.noises))
    data = {
        "sprite": _sprite(torch.stack((images, views), 2).flatten(1, 2), quality=FIELDS),
        "edge": images.shape[-1],
        "axes": axes,
        "start": [len(values) // 2 for _, values in axes],
        "labels": list(labels),
        "offsets": offsets.tolist(),
        "counted": grid.counted,
        "box": SKY,
        "systems": [
            {
                "name": name,
                "colour": colour,
                "predictions": each.predictions.tolist(),
                "windows": [[_rounded(theta.flatten(), 3) for theta in shown] for shown in each.windows],
                "fixations": [[fixations.int().tolist() for fixations in shown] for shown in each.fixations],
                "correct": each.correct.tolist(),
            }
            for (name, each), colour in zip(systems.items(), COLOURS, strict=False)
        ],
    }
    ends = {"the easiest setting": grid.place(0, -1, 0), "the hardest": grid.place(-1, 0, -1)}
    alt = f"Scenes, their log-polar views and the windows of systems. Correct predictions of {grid.counted} digits: "
    alt += "; ".join(
        f"at {where} " + ", ".join(f"{name} {each.correct[k]}" for name, each in systems.items())
        for where, k in ends.items()
    )
    return made("field", data, field_still(grid, pictures, systems), f"{alt}.", caption)


def field_still(
    grid: Sweep, pictures: tuple[Tensor, Sequence[int], Tensor], systems: Mapping[str, SweepOutput]
) -> Figure:
    """Return the static picture: one digit at four settings, from easy to hard; arguments as of `visual_field`."""
    images, labels, offsets = pictures
    middle = [len(values) // 2 for values in (grid.eccentricities, grid.contrasts, grid.noises)]
    ways = ((0, -1, middle[2]), (middle[0], -1, middle[2]), (-1, middle[1], middle[2]), (-1, 0, middle[2]))
    places = list(dict.fromkeys(grid.place(*way) for way in ways))
    titles = [f"{s.radius:g} px, {100 * s.contrast[0]:.0f} %, noise {s.noise:g}" for s in grid.scenes]
    windows = {name: (each.windows[places, 0], each.predictions[places, 0]) for name, each in systems.items()}
    scenes = images[places, 0]
    return figures.visual_field(
        scenes, _log_polar(scenes), offsets[places, 0], labels[0], windows, [titles[k] for k in places]
    )


def _log_polar(images: Tensor) -> Tensor:
    """Return the reconstructions of scenes (n, h, h) from 768 log-polar features, at twice their contrast."""
    eye = retina.build("polo768")
    return retina.GREY + 2 * (eye.invert(eye(images[:, None]))[:, 0] - retina.GREY)


# ---- the curriculum -------------------------------------------------------------------------------------------------


def curriculum(groups: Mapping[str, Sequence[Run]], caption: str = "") -> HTML:
    """Return an explorer of training: a slider moves through the stages, and the windows, their spread, their
    correlation with the digit and the accuracy follow, a colour per group.

    Args:
        groups: runs with a theta by name, one per seed, all on stages with the same stds.

    Raises:
        ConfigurationError: runs without theta, or on different stages.
    """
    everyone = [run for runs in groups.values() for run in runs]
    stds = [stage["scene"].get("std", 15) for stage in everyone[0].training["stages"]]
    for run in everyone:
        if [stage["scene"].get("std", 15) for stage in run.training["stages"]] != stds:
            raise ConfigurationError(
                f"Run {run.id} has other stages than {everyone[0].id}; an explorer needs the same for all."
            )
        if not run.history[0]["theta"]:
            raise ConfigurationError(f"Run {run.id} ({run.training['model']}) has no theta to follow.")

    def course(run: Run) -> dict:
        epochs = [sum(other["stage"] == record["stage"] for other in run.history) for record in run.history]
        theta = [record["theta"] for record in run.history]
        return {
            "seed": run.training.get("seed", 0),
            "at": _rounded(
                [each["stage"] + (each["epoch"] + 1) / n for each, n in zip(run.history, epochs, strict=True)], 4
            ),
            **{key: _rounded([run.measure(key, each) for each in run.history], 3) for key in ("spread", "follow")},
            "accuracy": _rounded([record["accuracy"] for record in run.history], 4),
            "mean": [_rounded(each["mean"], 3) for each in theta],
            "sigma": [_rounded((each["spread"][k] * run.edge / 2 for k in (2, 5)), 2) for each in theta],
        }

    data = {
        "stds": stds,
        "steps": max(stage["epochs"] for run in everyone for stage in run.training["stages"]),
        "edge": everyone[0].edge,
        "groups": [
            {"name": name, "colour": COLOURS[k], "dash": DASHES[k % 3], "runs": [course(run) for run in runs]}
            for k, (name, runs) in enumerate(groups.items())
        ],
    }
    panels = {"window's spread (px)": "spread", "window against digit (r)": "follow", "accuracy (%)": "accuracy"}
    alt = "The spread of the window, its correlation with the digit, and the accuracy through training. At the end: "
    alt += "; ".join(
        f"{name} {_span([run.measure('spread') for run in runs])} px, correlation "
        f"{_span([run.measure('follow') for run in runs])}, accuracy "
        f"{_span([100 * run.measure('accuracy') for run in runs], 1)} %"
        for name, runs in groups.items()
    )
    return made("curriculum", data, figures.per_stage(groups, panels), f"{alt}.", caption)


def _span(values: Sequence[float], digits: int = 2) -> str:
    low, high = (f"{extreme(values):.{digits}f}" for extreme in (min, max))
    return low if low == high else f"{low} to {high}"


# ---- the accuracy map -----------------------------------------------------------------------------------------------


def accuracy_map(
    maps: Mapping[str, Tensor], n: int, stimuli: Stimuli, predictions: Mapping[str, Predictions], caption: str = ""
) -> HTML:
    """Return an explorer of accuracy maps: point at a shift, see each system's accuracy there, and some stimuli at the
    nearest shift that is kept, with window, crop and predictions.

    Args:
        maps: name -> accuracies (m, m), 0 to 1, offsets from -27 to 27 along both axes. n: stimuli per position.
        stimuli: see `evaluations.grid_stimuli`. predictions: of the same systems for these.

    Raises:
        ConfigurationError: maps and predictions of different systems, or maps of different sizes.
    """
    if list(maps) != list(predictions) or len({values.shape for values in maps.values()}) != 1:
        raise ConfigurationError(
            f"maps of {', '.join(maps)} and predictions of {', '.join(predictions)}: all must match, and be one size."
        )
    size = len(next(iter(maps.values())))
    images, offsets = stimuli.images.cpu(), stimuli.offsets[:, 0].unique().tolist()
    thetas = [each.theta for each in predictions.values()]
    crops = [sampler.sample(images, theta, images.shape[-1]) for theta in thetas if theta is not None]
    tiles = torch.cat([images, *crops], 1)  # (places * count, tiles, 28, 28)
    readers = [None if theta is None else 1 + k - thetas[:k].count(None) for k, theta in enumerate(thetas)]
    shown = [
        {
            "label": int(stimuli.labels[k]),
            "contrast": round(float(stimuli.contrast[k]), 2),
            "predictions": [int(each.predicted[k]) for each in predictions.values()],
            "thetas": [None if theta is None else _rounded(theta[k].flatten(), 3) for theta in thetas],
        }
        for k in range(len(images))
    ]
    count = len(images) // len(offsets) ** 2
    ramp = matplotlib.colormaps["cividis"](np.linspace(0, 1, 101))[:, :3]
    data = {
        "names": list(maps),
        "axis": np.linspace(-27, 27, size).round().astype(int).tolist(),
        "maps": [(1000 * values).round().int().flatten().tolist() for values in maps.values()],
        "n": n,
        "colours": [f"{r:02x}{g:02x}{b:02x}" for r, g, b in (255 * ramp).round().astype(int)],
        "offsets": offsets,
        "sprite": _sprite(tiles.unflatten(0, (-1, count)).flatten(1, 2), quality=TILES),
        "size": images.shape[-1],
        "readers": readers,
        "window": ORANGE,
        "box": SKY,
        "places": [shown[k : k + count] for k in range(0, len(shown), count)],
    }
    middle = size // 2
    alt = f"Maps of the accuracy at {size}x{size} shifts of the digit. " + " ".join(
        f"{name}: {100 * values[middle, middle]:.1f} % at the centre, {100 * values.mean():.1f} % on average."
        for name, values in maps.items()
    )
    return made("map", data, figures.maps(maps), alt, caption)


# ---- the benchmark --------------------------------------------------------------------------------------------------


class _Point(NamedTuple):
    value: float
    interval: tuple[float, float]


def benchmark(records: Sequence[Cell], shown: Sequence[str] | None = None, caption: str = "") -> HTML:
    """Return an explorer of the benchmark: choose systems and contrast, accuracy against eccentricity or a cost; values
    on hover and on focus, as a table, and as CSV.

    Args:
        records: see `results.Cell`. shown: names of the systems that are shown at first, as measured here at the usual
            noise where they were (default: those measured here, or else all, at most six).

    Raises:
        ConfigurationError: no records, or a system to be shown that has none.
    """
    if not records:
        raise ConfigurationError("There are no records to explore.")
    owners: dict[str, list[int]] = {}
    for k, record in enumerate(records):
        name = record.system + (f", noise {record.noise:g}" if record.noise != NOISE else "")
        owners.setdefault(name + (", 2021" if record.source == "2021" else ""), []).append(k)
    if shown is None:
        first = [name for name in owners if records[owners[name][0]].source == "measured"] or list(owners)
        chosen = first[: len(COLOURS)]
    else:
        chosen = [
            name
            for name in owners
            if name in shown or ((system := records[owners[name][0]].system) in shown and system not in owners)
        ]
        known = {record.system for record in records}
        if strange := [name for name in shown if name not in known]:
            raise ConfigurationError(f"The benchmark has no system {strange[0]!r}; it has {', '.join(sorted(known))}.")
    systems = [
        {
            "name": name,
            "colour": COLOURS[k % len(COLOURS)],
            "dash": DASHES[k // len(COLOURS) % len(DASHES)],
            "shape": k // len(COLOURS) % 3,
            "source": records[owners[name][0]].source,
            "on": name in chosen,
            "records": owners[name],
        }
        for k, name in enumerate(sorted(owners, key=lambda name: name not in chosen))
    ]
    data = {
        "fields": NAMES,
        "records": [list(asdict(record).values()) for record in records],
        "systems": systems,
    }
    cells = {
        name: [
            {
                (each.contrast, each.eccentricity): _Point(each.accuracy, (each.low, each.high))
                for each in sorted((records[k] for k in owners[name]), key=lambda each: each.eccentricity)
            }
        ]
        for name in chosen
    }
    alt = "Accuracy against the digit's eccentricity, a panel per contrast. Mean over all cells: " + "; ".join(
        f"{name} {100 * np.mean([point.value for point in each[0].values()]):.1f} %" for name, each in cells.items()
    )
    return made("benchmark", data, figures.benchmark(cells), f"{alt}.", caption)


# ---- saccades -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trace:
    """The fixations of a system on a scene.

    Raises:
        ConfigurationError: no fixation, or not a prediction and a note for each.
    """

    fixations: Sequence[tuple[float, float]]  # (row, column), pixels from the centre, down and right positive
    predictions: Sequence[int | None]  # after each fixation; None: none yet
    notes: Sequence[str] = ()  # of each fixation: what made it, or its probability

    def __post_init__(self):
        lengths = {len(self.fixations), len(self.predictions), len(self.notes) or len(self.fixations)}
        if len(lengths) != 1 or 0 in lengths:
            raise ConfigurationError(
                f"A trace of {len(self.fixations)} fixations, {len(self.predictions)} predictions and "
                f"{len(self.notes)} notes: there must be a prediction for each fixation, at least one, and a note for "
                "each or for none."
            )


def traces(
    images: Tensor,
    labels: Sequence[int],
    systems: Mapping[str, Sequence[Trace]],
    fovea: int = EDGE,
    caption: str = "",
) -> HTML:
    """Return an explorer of saccades: step through the fixations of systems over the same scenes, with the crop
    at the fovea and the prediction after each.

    Args:
        images: scenes (N, h, h) or (N, 1, h, h) in [0, 1]. labels: of the scenes.
        systems: name -> a trace for each scene. fovea: edge of the crop at a fixation, pixels.

    Raises:
        ConfigurationError: numbers of scenes, labels and traces that differ.
    """
    images = images.reshape(-1, *images.shape[-2:]).detach().cpu().float()
    for name, each in systems.items():
        if not len(images) == len(labels) == len(each):
            raise ConfigurationError(
                f"{name}: {len(images)} scenes, {len(labels)} labels and {len(each)} traces must be as many."
            )
    data = {
        "sprite": _sprite(images[:, None], quality=TILES),
        "edge": images.shape[-1],
        "fovea": fovea,
        "labels": [int(label) for label in labels],
        "systems": [
            {
                "name": name,
                "colour": (ORANGE, *(colour for colour in COLOURS if colour != ORANGE))[k],
                "traces": [
                    {
                        "fixations": [_rounded(fixation, 1) for fixation in trace.fixations],
                        "predictions": [None if each is None else int(each) for each in trace.predictions],
                        "notes": list(trace.notes),
                    }
                    for trace in each
                ],
            }
            for k, (name, each) in enumerate(systems.items())
        ],
    }
    right = {
        name: sum(trace.predictions[-1] == label for trace, label in zip(each, labels, strict=True))
        for name, each in systems.items()
    }
    alt = (
        f"{len(labels)} scenes with the fixations of each system as a line. Classified correctly in the end: "
        + ", ".join(f"{name} {count}" for name, count in right.items())
    )
    kept = min(4, len(labels))
    paths = {name: [trace.fixations for trace in each[:kept]] for name, each in systems.items()}
    colours = [system["colour"] for system in data["systems"]]
    still = figures.scanpaths(images[:kept], labels[:kept], paths, colours)
    return made("traces", data, still, f"{alt}.", caption)
