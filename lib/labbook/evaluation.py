"""What a trained network can do: accuracies with intervals, the benchmark, statistics of theta, accuracy maps.

Convention: stimuli are drawn on the device of their digits, a model computes on its own, and what an evaluation returns
is on the CPU. The same draws on every machine are those of digits on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from . import rng, textures
from .classifiers import device_of
from .digits import Digits
from .errors import within
from .stimuli import ECCENTRICITIES, EDGE, FIELD, Scene128, Stimuli, StimulusConfig, draw, fixations, shift

BATCH = 500
BATCH_OF_FIELDS = 100  # for 128x128 images: STN128 takes about 4 MB for each
CONTRASTS = (0.7, 0.5, 0.3)  # of the benchmark
VERSION = 1  # of what settings mean; raise it when equal settings would give other results


@dataclass(frozen=True)
class Proportion:
    """A proportion of successes with its Wilson interval (Wilson 1927), 95 %."""

    correct: int
    n: int

    @property
    def value(self) -> float:
        """The proportion, 0 to 1."""
        return self.correct / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound, 0 to 1."""
        return wilson(self.correct, self.n)


def wilson(correct: float, n: float, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson score interval of `correct` successes in `n` trials, both bounds in [0, 1].

    Example:
        >>> [round(bound, 3) for bound in wilson(8, 10)]
        [0.49, 0.943]
    """
    p = correct / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Predictions:
    """A model's predictions for N stimuli: labels predicted (N,), whether they are correct (N,), theta (N, 2, 3) or
    None; and the digits' offsets (N, 2), pixels. A Where network predicts a cell, which is correct if its saccade hits
    the digit."""

    predicted: Tensor
    correct: Tensor
    theta: Tensor | None
    offsets: Tensor

    @property
    def accuracy(self) -> Proportion:
        """The share of correct predictions."""
        return Proportion(int(self.correct.sum()), len(self.correct))


def batches(stimuli: Stimuli, device: torch.device | str, fields: int = BATCH_OF_FIELDS) -> Iterator[Stimuli]:
    """Split stimuli into batches of 500 (128x128 on a CPU: `fields`), each moved to a device."""
    large = stimuli.images.shape[-1] >= FIELD and torch.device(device).type == "cpu"
    size = fields if large else BATCH
    return (Stimuli(*part).to(device) for part in zip(*(column.split(size) for column in stimuli), strict=True))


@torch.inference_mode()
def predict(model: nn.Module, stimuli: Stimuli) -> Predictions:
    """Return a model's predictions for stimuli, in evaluation mode, batch by batch; they are on the CPU."""
    was_training = model.training
    model.eval()
    is_correct = getattr(model, "correct", lambda seen, part: seen.logits.argmax(1) == part.labels)
    predicted, correct, thetas = [], [], []
    for part in batches(stimuli, device_of(model)):
        seen = model(part.images)
        predicted.append(seen.logits.argmax(1))
        correct.append(is_correct(seen, part))
        thetas.append(seen.theta)
    model.train(was_training)
    theta = None if thetas[0] is None else torch.cat(thetas).cpu()
    return Predictions(torch.cat(predicted).cpu(), torch.cat(correct).cpu(), theta, stimuli.offsets.cpu())


_kept: dict[tuple, tuple[Digits, list[Stimuli]]] | None = None  # what `stream` drew, see `keep_stimuli`
_kept_on: torch.device | None = None


def keep_stimuli(device: torch.device | str) -> None:
    """Let this process keep all that `stream` draws from now on, on a device: who evaluates many networks on the same
    stimuli draws them once. The 27 cells of the benchmark are 3.5 GB for 2 000 digits."""
    global _kept, _kept_on
    _kept, _kept_on = {}, torch.device(device)


def stream(digits: Digits, scene: StimulusConfig, n: int | None = None, seed: int = 0) -> Iterator[Stimuli]:
    """Draw stimuli of the first `n` digits (default all), 500 at a time, that are the same at every call: the seed is
    all they depend on."""
    n = len(digits) if n is None else int(within("n", n, 1, len(digits)))
    if _kept is None:
        return _drawn(digits, scene, n, seed)
    key = id(digits.images), scene, n, seed
    if key not in _kept:  # the digits stay too, so that no others have their key
        parts = [Stimuli(*(each.to(_kept_on) for each in part)) for part in _drawn(digits, scene, n, seed)]
        _kept[key] = digits, parts
    return iter(_kept[key][1])


def _drawn(digits: Digits, scene: StimulusConfig, n: int, seed: int) -> Iterator[Stimuli]:
    rows = torch.arange(n, device=digits.labels.device)
    generator = rng.generator("evaluation", seed, device=rows.device)
    return (draw(digits, part, scene, generator) for part in rows.split(BATCH))


def fixed_stimuli(digits: Digits, scene: StimulusConfig, n: int | None = None, seed: int = 0) -> Stimuli:
    """Return all that `stream` draws; 10 000 images of 128x128 pixels are 0.7 GB."""
    return Stimuli(*(torch.cat(column) for column in zip(*stream(digits, scene, n, seed), strict=True)))


def predictions(
    model: nn.Module, digits: Digits, scene: StimulusConfig, n: int | None = None, seed: int = 0
) -> Predictions:
    """Return the predictions for fixed stimuli, of which no more than 500 are held at once."""
    parts = [predict(model, stimuli) for stimuli in stream(digits, scene, n, seed)]
    columns = ([getattr(part, name) for part in parts] for name in ("predicted", "correct", "theta", "offsets"))
    return Predictions(*(None if column[0] is None else torch.cat(column) for column in columns))


def accuracy(
    model: nn.Module, digits: Digits, scene: StimulusConfig, n: int | None = None, seed: int = 0
) -> Proportion:
    """Return the accuracy on fixed stimuli. At 28x28, std 15 is the study's *general*, std 0 its *central* accuracy."""
    return predictions(model, digits, scene, n, seed).accuracy


# ---- the benchmark's cells ------------------------------------------------------------------------------------------


def cells(scene: Scene128 | None = None) -> dict[tuple[float, float], Scene128]:
    """Return the scenes of the benchmark: (contrast, radius) -> the scene at that fixed contrast and distance.

    Nine radii, 40 k / 9 pixels, times three contrasts (study 2.2 and 4). With fixed stimuli, digits and angles are the
    same in every cell, and with fresh draws the textures too: cells differ by contrast and radius alone.
    """
    scene = scene or Scene128()
    return {
        (contrast, radius): replace(fixed_contrast(scene, contrast), radius=radius)
        for contrast in CONTRASTS
        for radius in ECCENTRICITIES
    }


def count(
    of_batch: Callable[[Stimuli], Mapping[str, Tensor]],
    digits: Digits,
    scene: StimulusConfig,
    n: int,
    device: torch.device | str,
    seed: int = 0,
) -> dict[str, list]:
    """Sum what `of_batch` returns, name -> truth values or whole numbers (B,) or (B, k), over the fixed stimuli of `n`
    digits, a batch at a time on `device`; the sums are plain data."""
    totals: dict[str, Tensor] = {}
    for part in stream(digits, scene, n, seed):
        for batch in batches(part, device):
            for name, values in of_batch(batch).items():
                totals[name] = totals.get(name, 0) + values.sum(0)
    return {name: total.tolist() for name, total in totals.items()}


def benchmark(
    model: nn.Module, digits: Digits, n: int | None = None, scene: Scene128 | None = None, seed: int = 0
) -> dict[tuple[float, float], Proportion]:
    """Return the accuracy in each of the benchmark's cells, (contrast, radius) -> proportion of `n` stimuli (default
    all digits)."""
    return {cell: accuracy(model, digits, each, n, seed) for cell, each in cells(scene).items()}


def mean_accuracy(
    cells: Mapping[tuple[float, float], Proportion | float],
    contrast: float | None = None,
    eccentricity: float | None = None,
) -> float:
    """Return the mean over cells (contrast, radius) -> accuracy, all or those of one contrast or eccentricity."""
    values = [
        getattr(each, "value", each)
        for (c, r), each in cells.items()
        if contrast in (None, c) and eccentricity in (None, r)
    ]
    return sum(values) / len(values)


# ---- theta ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ThetaStatistics:
    """Statistics of theta over stimuli: `mean` and `std` (standard deviation over inputs) of a, b, tx, c, d, ty;
    `correlation` of (tx, ty) with the digit's offset (x, y), 0 where either does not vary. A transformer that has
    collapsed to one transformation has a standard deviation of 0."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    correlation: tuple[float, float]

    def record(self) -> dict[str, tuple[float, ...]]:
        """Return them as the history of a stored run has them; its keys are frozen."""
        return {"mean": self.mean, "spread": self.std, "follow": self.correlation}


def theta_statistics(theta: Tensor, offsets: Tensor) -> ThetaStatistics:
    """Measure theta (N, 2, 3) against offsets (N, 2), pixels (row, column)."""
    flat = theta.flatten(1).double()
    correlation = tuple(_correlation(flat[:, column], offsets[:, axis].double()) for column, axis in ((2, 1), (5, 0)))
    return ThetaStatistics(tuple(flat.mean(0).tolist()), tuple(flat.std(0).tolist()), correlation)


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = (a.square().mean() * b.square().mean()).sqrt().item()
    return (a * b).mean().item() / scale if scale > 1e-12 else 0.0


@torch.inference_mode()
def active_units(model: nn.Module, images: Tensor) -> float:
    """Return the share of the localisation network's last hidden units that are above 0 for at least one of images
    (B, 1, h, w).

    A rectified unit that is 0 for every input passes no gradient on: it is dead. Where all are, theta is the same for
    every input, and stays so.
    """
    hidden = []
    hook = model.localisation.last.register_forward_hook(lambda layer, inputs, output: hidden.append(inputs[0]))
    try:
        for part in images.split(BATCH_OF_FIELDS):
            model.eval()(part.to(device_of(model)))
    finally:
        hook.remove()
    return (torch.cat(hidden) > 0).any(0).float().mean().item()


def fixation_error(predictions: Predictions, edge: int = FIELD) -> Tensor:
    """Return the distance (N,) between the window's centre and the digit's, pixels.

    Args:
        edge: of the images, pixels.
    """
    return (fixations(predictions.theta, edge) - predictions.offsets).norm(dim=1)


# ---- maps -----------------------------------------------------------------------------------------------------------


def positions(reach: int = 27, step: int = 1) -> list[int]:
    """Return the offsets of one axis of an accuracy map: 0 and every `step` pixels up to `reach`, both ways."""
    last = reach // step * step
    return list(range(-last, last + 1, step))


@torch.inference_mode()
def accuracy_map(
    model: nn.Module,
    digits: Digits,
    scene: StimulusConfig,
    n: int = 1000,
    axis: Sequence[int] | None = None,
    seed: int = 0,
) -> Tensor:
    """Return the accuracy at every offset: (rows, columns), 55x55 by default (study 5; claims C5 and C17).

    Digits, contrasts and textures are the same at every position, so that the map's shape is not their noise.

    Args:
        n: stimuli per position. axis: offsets in pixels along both axes.
    """
    axis = positions() if axis is None else axis
    rows = torch.arange(int(within("n", n, 1, len(digits))), device=digits.labels.device)
    generator = rng.generator("map", seed, device=rows.device)
    low, high = scene.contrast
    contrast = torch.rand(len(rows), generator=generator, device=rows.device) * (high - low) + low
    texture = textures.draw(len(rows), scene.edge, generator)
    device = device_of(model.eval())
    drawn = (rows, contrast, texture, digits.images[rows], digits.labels[rows])
    rows, contrast, texture, digit, labels = (each.to(device) for each in drawn)

    def correct(ink: Tensor, offsets: Tensor, which: Tensor) -> Tensor:
        images = scene.render(ink, offsets, contrast[which], texture[which])
        predicted = [model(part).logits.argmax(1) for part in images.split(BATCH)]
        return torch.cat(predicted) == labels[which]

    every = torch.arange(len(rows), device=rows.device)
    centre = torch.zeros(len(rows), 2, dtype=torch.int64, device=rows.device)
    without_digit = correct(torch.zeros_like(digit), centre, every)  # what is blank is the same at every position
    total = torch.zeros(len(axis), len(axis), dtype=torch.int64, device=rows.device)
    for i, down in enumerate(axis):
        for j, across in enumerate(axis):
            offsets = torch.tensor([[down, across]], device=rows.device).expand(len(rows), 2)
            if scene.edge == EDGE:
                shown = shift(digit, offsets).flatten(1).amax(1) > 0
            else:
                shown = torch.ones_like(every, dtype=torch.bool)
            total[i, j] = without_digit[~shown].sum()
            if shown.any():
                total[i, j] += correct(digit[shown], offsets[shown], every[shown]).sum()
    return total.cpu() / len(rows)


def fixed_contrast(scene: StimulusConfig, contrast: float) -> StimulusConfig:
    """Return the scene at one contrast."""
    return replace(scene, contrast=(contrast, contrast))
