"""What a trained network can do: accuracies with intervals, accuracy maps, the health of theta."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from . import chance, clouds, scenes
from .digits import Digits
from .refusal import within
from .scenes import Scene28, Stimuli

BATCH = 500


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
    """Return the Wilson score interval of `correct` successes in `n` trials, both bounds in [0, 1]."""
    p = correct / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Answers:
    """A model's answers to a set of stimuli: labels predicted (N,), right or not (N,), theta (N, 2, 3) or None."""

    predicted: Tensor
    right: Tensor
    theta: Tensor | None

    @property
    def accuracy(self) -> Proportion:
        """The share of right answers."""
        return Proportion(int(self.right.sum()), len(self.right))


@torch.inference_mode()
def answer(model: nn.Module, stimuli: Stimuli) -> Answers:
    """Run a model in evaluation mode over stimuli, in batches of 500."""
    was_training = model.training
    model.eval()
    predicted, thetas = [], []
    for images in stimuli.images.split(BATCH):
        seen = model(images)
        predicted.append(seen.logits.argmax(1))
        thetas.append(seen.theta)
    model.train(was_training)
    predicted = torch.cat(predicted)
    theta = None if thetas[0] is None else torch.cat(thetas)
    return Answers(predicted, predicted == stimuli.labels, theta)


def fixed_stimuli(digits: Digits, scene: Scene28, n: int | None = None, seed: int = 0) -> Stimuli:
    """Draw stimuli of the first `n` digits (default all) that are the same at every call: the seed is all they depend
    on."""
    n = len(digits) if n is None else int(within("n", n, 1, len(digits)))
    rows = torch.arange(n, device=digits.labels.device)
    generator = chance.generator("evaluation", seed, device=rows.device)
    parts = [scenes.draw(digits, part, scene, generator) for part in rows.split(BATCH)]
    return Stimuli(*(torch.cat(column) for column in zip(*parts, strict=True)))


def accuracy(model: nn.Module, digits: Digits, scene: Scene28, n: int | None = None, seed: int = 0) -> Proportion:
    """Return the accuracy on fixed stimuli. Std 15 is the study's *general*, std 0 its *central* accuracy."""
    return answer(model, fixed_stimuli(digits, scene, n, seed)).accuracy


@dataclass(frozen=True)
class Theta:
    """The health of theta over a set of stimuli.

    `mean` and `spread` (standard deviation over inputs) per component (a, b, tx, c, d, ty); `follow`: correlation of
    (tx, ty) with the digit's true offset (x, y), 0 where either does not vary. A transformer that ignores its input
    has no spread.
    """

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    follow: tuple[float, float]


def theta_health(theta: Tensor, offsets: Tensor) -> Theta:
    """Measure theta (N, 2, 3) against offsets (N, 2), pixels (row, column)."""
    flat = theta.flatten(1).double()
    follow = tuple(_correlation(flat[:, column], offsets[:, axis].double()) for column, axis in ((2, 1), (5, 0)))
    return Theta(tuple(flat.mean(0).tolist()), tuple(flat.std(0).tolist()), follow)


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = (a.square().mean() * b.square().mean()).sqrt().item()
    return (a * b).mean().item() / scale if scale > 1e-12 else 0.0


def positions(reach: int = 27, step: int = 1) -> list[int]:
    """Return the offsets of one axis of an accuracy map: 0 and every `step` pixels up to `reach`, both ways."""
    one_way = range(step, reach + 1, step)
    return [*(-d for d in reversed(one_way)), 0, *one_way]


@torch.inference_mode()
def accuracy_map(
    model: nn.Module, digits: Digits, scene: Scene28, n: int = 1000, axis: Sequence[int] | None = None, seed: int = 0
) -> Tensor:
    """Return the accuracy at every offset: (rows, columns), 55x55 by default (study 5; claims C5 and C17).

    Digits, contrasts and textures are the same at every position, so that the map's shape is not their noise.

    Args:
        n: stimuli per position. axis: offsets in pixels along both axes.
    """
    axis = positions() if axis is None else axis
    rows = torch.arange(int(within("n", n, 1, len(digits))), device=digits.labels.device)
    generator = chance.generator("map", seed, device=rows.device)
    low, high = scene.contrast
    contrast = torch.rand(len(rows), generator=generator, device=rows.device) * (high - low) + low
    texture = clouds.draw(len(rows), scenes.EDGE, generator)
    model.eval()
    right = torch.zeros(len(axis), len(axis), dtype=torch.int64)
    for i, down in enumerate(axis):
        for j, across in enumerate(axis):
            offsets = torch.tensor([[down, across]], device=rows.device).expand(len(rows), 2)
            images = scenes.compose(scenes.shift(digits.images[rows], offsets), contrast, texture, scene.noise)
            for part, labels in zip(images.split(BATCH), digits.labels[rows].split(BATCH), strict=True):
                right[i, j] += (model(part).logits.argmax(1) == labels).sum().cpu()
    return right / len(rows)


def fixed_contrast(scene: Scene28, contrast: float) -> Scene28:
    """Return the scene at one contrast."""
    return replace(scene, contrast=(contrast, contrast))
