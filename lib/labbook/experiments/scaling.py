"""What explains an accuracy and what it costs: power laws, effects of a factorial experiment, operations and bytes.

Convention
    log odds    natural logarithm; half a prediction is added to correct and to wrong ones, so that they exist
    interval    95 %, from Student's t with the degrees of freedom that are left
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import linregress
from scipy.stats import t as student
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..errors import ConfigurationError
from .bootstrap import Estimate


class PowerLaw(NamedTuple):
    """y = scale x^exponent. `exponent` with its interval; `residual`, the root mean square of what is left of log y."""

    scale: float
    exponent: Estimate
    residual: float

    def at(self, x: float) -> float:
        """Return y at x."""
        return self.scale * x**self.exponent.value


def _estimate(value: float, standard_error: float, freedom: int) -> Estimate:
    """Return a value with a standard error of so many degrees of freedom; none leaves no bound."""
    half = standard_error * student.ppf(0.975, freedom) if freedom > 0 else math.inf
    return Estimate(float(value), float(value - half), float(value + half))


def power_law(x: Sequence[float], y: Sequence[float]) -> PowerLaw:
    """Fit a power law to points, by least squares of the logarithms.

    Raises:
        ConfigurationError: fewer than two different x; a value that is not positive.

    Example:
        >>> round(power_law([1, 2, 4], [3, 12, 48]).exponent.value, 6)
        2.0
    """
    if len(x) != len(y) or len(set(x)) < 2:
        raise ConfigurationError(f"x={list(x)!r} and y={list(y)!r} must be pairs, of two different x at least.")
    if min(*x, *y) <= 0:
        raise ConfigurationError("A power law is fitted to positive numbers.")
    a, b = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
    line = linregress(a, b)
    left = b - line.intercept - line.slope * a
    error = np.nan_to_num(line.stderr)  # of a constant y SciPy knows none
    exponent = _estimate(line.slope, error, len(x) - 2)
    return PowerLaw(float(np.exp(line.intercept)), exponent, float(np.sqrt((left**2).mean())))


def log_odds(correct: int, n: int) -> float:
    """Return the log odds of a correct prediction, natural logarithm, with half a prediction added to either side."""
    return math.log((correct + 0.5) / (n - correct + 0.5))


def main_effects(cells: Mapping[tuple, float], factors: Mapping[str, tuple]) -> dict[str, Estimate]:
    """Return the main effects and two-factor interactions of a full two-level experiment, one value per cell.

    An effect is the mean of a factor's second level minus that of its first, over all other factors; an interaction is
    half the difference between an effect at the other factor's second level and at its first. Their common standard
    error comes from the interactions of three factors and more, which are taken for noise.

    Args:
        cells: levels, in the order of the factors -> value, for instance `log_odds`.
        factors: name -> first and second level.

    Returns:
        name, or "name x name", -> effect; main effects first.

    Raises:
        ConfigurationError: a cell that is missing; fewer than three factors.
    """
    if len(factors) < 3:
        raise ConfigurationError("Without a third factor nothing is left to estimate the noise from.")
    if len(cells) != 2 ** len(factors):
        raise ConfigurationError(f"{len(cells)} cells are not the {2 ** len(factors)} of {len(factors)} factors.")
    levels = list(factors.values())
    signs = np.array([[2 * levels[k].index(level) - 1 for k, level in enumerate(cell)] for cell in cells])
    values = np.array(list(cells.values()), float)

    def contrast(which: tuple[int, ...]) -> float:
        return float(2 * (signs[:, which].prod(1) * values).mean())

    names = list(factors)
    noise = [contrast(which) for order in range(3, len(names) + 1) for which in combinations(range(len(names)), order)]
    error = math.sqrt(np.square(noise).mean())
    asked = [which for order in (1, 2) for which in combinations(range(len(names)), order)]
    return {" x ".join(names[k] for k in which): _estimate(contrast(which), error, len(noise)) for which in asked}


def operations(model: nn.Module, edge: int, training: bool = False) -> float:
    """Return the multiplications and additions of one image (1, edge, edge), by PyTorch's counter: products and
    convolutions, those of a retina too.

    Args:
        training: whether those of a training step, forward and backward, are counted. Else the model classifies in
            evaluation mode, and a search makes all its fixations.
    """
    images = torch.zeros(1 + training, 1, edge, edge)  # batch normalisation refuses to train with one
    model.train(training)
    with torch.set_grad_enabled(training):
        with torch.no_grad():
            model(images)  # once: a retina is made, which is not counted
        with FlopCounterMode(display=False) as counter:
            found = model(images)
            if training:
                found.logits.sum().backward()
    return counter.get_total_flops() / len(images)


def traffic(model: nn.Module, edge: int, batch: int) -> float:
    """Return the bytes that a training step moves at least for an image: the image is read, what the backward pass
    needs is written and read, weights are read twice, gradients written and read, weights read and written."""
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    images = torch.rand(2, 1, edge, edge)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        logits = model(images).logits
    assert logits.requires_grad  # until here all that was saved is held
    weights = {p.untyped_storage().data_ptr(): 4 * p.numel() for p in model.parameters()}
    activations = sum(n for where, n in saved.items() if where not in weights) / len(images)
    return 4 * edge**2 + 2 * activations + 6 * sum(weights.values()) / batch
