"""Psychometric functions: accuracy against contrast, and the contrast at which an accuracy is reached.

Convention: p(c) = guess + (1 - guess - lapse) F(c), with F(c) = 1 - exp(-(c / scale)^slope), Weibull's function of the
contrast c. `guess` is fixed at 1/10, the chance level of ten classes. `lapse` is the error left at any contrast,
between 0 and `LAPSE`. The scale is expressed by the threshold t, the contrast at which p(t) is the level asked for
(Wichmann & Hill 2001, Perception & Psychophysics 63:1293).

Curves are fitted jointly: each has a threshold of its own, and all share one slope and one lapse, which three contrasts
of one curve would not determine. Intervals are widened by the deviance.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import xlogy

from .errors import ConfigurationError, within
from .evaluation import Proportion

GUESS = 0.1
LAPSE = 0.2  # at most
SLOPES = (0.3, 30.0)
CONTRASTS = (1e-3, 10.0)  # where thresholds are looked for; above 1 nothing can be shown
CUT = 3.841459  # 95 % quantile of chi squared, one degree of freedom


@dataclass(frozen=True)
class Threshold:
    """A contrast with its 95 % interval by profile likelihood; infinite where accuracy falls short of the level at any
    contrast up to 10, `high` also where the data exclude no contrast above `low`."""

    value: float
    low: float
    high: float

    @property
    def attainable(self) -> bool:
        """Whether there is such a contrast: at most 1."""
        return self.value <= 1


@dataclass(frozen=True)
class Fit:
    """Curves fitted jointly by maximum likelihood.

    `thresholds` by the key of the curve; `slope` and `lapse` of all; `deviance` from the saturated model with `freedom`
    degrees of freedom, 0 if the fit is exact by construction; `level`: the accuracy at the thresholds.
    """

    thresholds: dict[Hashable, Threshold]
    slope: float
    lapse: float
    deviance: float
    freedom: int
    level: float

    @property
    def dispersion(self) -> float:
        """Deviance per degree of freedom, at least 1: by its root the intervals are wider than binomial ones."""
        return max(1.0, self.deviance / self.freedom) if self.freedom else 1.0

    def accuracy(self, key: Hashable, contrast: float | np.ndarray) -> float | np.ndarray:
        """Return the fitted accuracy of a curve at a contrast, 0 to 1."""
        threshold = min(self.thresholds[key].value, CONTRASTS[1])
        return curve(contrast, threshold, self.slope, self.lapse, self.level)


def curve(
    contrast: float | np.ndarray, threshold: float, slope: float, lapse: float, level: float = 0.75
) -> float | np.ndarray:
    """Return the accuracy at a contrast above 0, 0 to 1; `level` at the threshold. It never falls as contrast grows."""
    at_threshold = -math.log(1 - (level - GUESS) / (1 - GUESS - lapse))
    return GUESS + (1 - GUESS - lapse) * -np.expm1(-at_threshold * (np.asarray(contrast) / threshold) ** slope)


def pooled(runs: Sequence[Mapping[Hashable, Proportion]]) -> dict[Hashable, Proportion]:
    """Return the cells of several seeds as one, their counts added."""
    return {
        cell: Proportion(sum(run[cell].correct for run in runs), sum(run[cell].n for run in runs)) for cell in runs[0]
    }


def fit(
    cells: Mapping[tuple[float, Hashable], Proportion],
    level: float = 0.75,
) -> Fit:
    """Fit one curve per key to counts of correct predictions.

    Args:
        cells: (contrast, key) -> proportion, as of the benchmark, where the key is the eccentricity.
        level: the accuracy at a threshold, 0.11 to 0.99.

    Raises:
        ConfigurationError: a contrast outside (0, 1], a level out of bounds, or fewer cells than parameters.

    Example:
        >>> counts = {(0.3, 10): Proportion(40, 100), (0.5, 10): Proportion(75, 100), (0.7, 10): Proportion(90, 100)}
        >>> round(fit(counts).thresholds[10].value, 2)
        0.5
    """
    within("level", level, GUESS + 0.01, 0.99)
    room = 1 - level - 0.005  # the curve must be able to rise above the level
    keys = list(dict.fromkeys(key for _, key in cells))
    free = len(keys) + 2
    if len(cells) < free:
        raise ConfigurationError(f"{len(cells)} cells cannot decide {free} parameters: more contrasts are needed.")
    for contrast, _ in cells:
        within("contrast", contrast, 1e-3, 1)
    model = _Model(cells, keys, level, min(LAPSE, room))
    best, minus = model.fit()
    deviance = max(0.0, 2 * (minus - model.saturated))
    outcome = Fit({}, float(np.exp(best[-2])), float(best[-1]), deviance, len(cells) - free, level)
    cut = minus + CUT / 2 * outcome.dispersion
    for place, key in enumerate(keys):
        outcome.thresholds[key] = model.threshold(place, best, cut)
    return outcome


def points(cells: Mapping[tuple[float, Hashable], Proportion], level: float = 0.75) -> dict[Hashable, float]:
    """Return the thresholds of `fit` by key, without intervals: infinite where there is none. For resampling."""
    keys = list(dict.fromkeys(key for _, key in cells))
    best, _ = _Model(cells, keys, level, min(LAPSE, 1 - level - 0.005)).fit()
    never = math.log(CONTRASTS[1]) - 1e-6
    return {key: math.inf if at >= never else math.exp(at) for key, at in zip(keys, best, strict=False)}


class _Model:
    """The likelihood; parameters are the logarithms of the thresholds, then that of the slope, then the lapse."""

    def __init__(self, cells, keys, level, most):
        self.log_contrast = np.log([contrast for contrast, _ in cells])  # (cells,)
        self.which = np.array([keys.index(key) for _, key in cells])  # (cells,)
        self.right = np.array([each.correct for each in cells.values()], dtype=float)
        self.wrong = np.array([each.n for each in cells.values()], dtype=float) - self.right
        self.level, self.n = level, len(keys)
        self.bounds = [tuple(np.log(CONTRASTS))] * self.n + [tuple(np.log(SLOPES)), (0.0, most)]
        share = self.right / (self.right + self.wrong)
        self.saturated = -float(xlogy(self.right, share).sum() + xlogy(self.wrong, 1 - share).sum())

    def minus(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Return minus the logarithm of the likelihood, and its gradient."""
        threshold, slope, lapse = parameters[self.which], math.exp(parameters[-2]), parameters[-1]
        top = 1 - GUESS - lapse
        reach = (self.level - GUESS) / top
        at_threshold = -math.log1p(-reach)
        power = np.exp(np.clip(slope * (self.log_contrast - threshold), -700, 50))
        u = at_threshold * power
        decay = np.exp(-u)
        p = np.clip(GUESS + top * (1 - decay), 1e-12, 1 - 1e-12)
        value = -(self.right @ np.log(p) + self.wrong @ np.log1p(-p))
        by_p = self.wrong / (1 - p) - self.right / p
        by_u = by_p * top * decay
        gradient = np.zeros_like(parameters)
        np.add.at(gradient, self.which, -by_u * slope * u)
        gradient[-2] = (by_u * u * slope) @ (self.log_contrast - threshold)
        gradient[-1] = -by_p @ (1 - decay) + by_u @ power * reach / top / (1 - reach)
        return value, gradient

    def fit(
        self, starts: Sequence[np.ndarray] = (), pinned: tuple[int, float] | None = None
    ) -> tuple[np.ndarray, float]:
        """Return the best parameters and minus the logarithm of their likelihood; `pinned`: one held, its value."""
        bounds = list(self.bounds)
        starts = starts or [self._start(slope) for slope in (1.5, 4.0)]
        if pinned:
            bounds[pinned[0]] = (pinned[1],) * 2
        best = None
        for first in starts:
            low, high = np.array(bounds).T
            options = {"ftol": 1e-10, "gtol": 1e-6, "maxiter": 1000}
            found = minimize(
                self.minus, np.clip(first, low, high), jac=True, method="L-BFGS-B", bounds=bounds, options=options
            )
            if best is None or found.fun < best[1]:
                best = (found.x, float(found.fun))
        return best

    def _start(self, slope: float) -> np.ndarray:
        """Return a first guess: each curve through its own mean, at this slope."""
        share = self.right / (self.right + self.wrong)
        guess = np.zeros(self.n + 2)
        for k in range(self.n):
            mine = self.which == k
            reach = np.clip((share[mine].mean() - GUESS) / (0.95 - GUESS), 0.03, 0.97)
            level = (self.level - GUESS) / (0.95 - GUESS)
            ratio = math.log(math.log1p(-level) / math.log1p(-reach)) / slope if level < 1 else 0.0
            guess[k] = self.log_contrast[mine].mean() + ratio
        guess[-2:] = math.log(slope), 0.03
        return guess

    def threshold(self, place: int, best: np.ndarray, cut: float) -> Threshold:
        """Return a threshold with the interval in which the profile of minus the log-likelihood stays below `cut`."""
        low, high = self.bounds[place]

        nearby = best  # the search goes on from its last point

        @cache  # one answer per place, wherever the search comes from: the root stays bracketed
        def above(at: float) -> float:
            nonlocal nearby
            nearby, minus = self.fit((nearby, best), (place, at))
            return minus - cut

        def end(limit: float, beyond: float) -> float:
            step, here = (0.05 if limit > best[place] else -0.05), best[place]
            while abs(here - best[place]) < abs(limit - best[place]):
                there = float(np.clip(here + step, low, high))
                if above(there) > 0:
                    return math.exp(brentq(above, here, there, xtol=1e-3))
                here, step = there, 2 * step
            return beyond

        never = best[place] >= high - 1e-6
        value = math.inf if never else math.exp(best[place])
        return Threshold(value, end(low, 0.0), math.inf if never else end(high, math.inf))
