"""Intervals of accuracies over digits and seeds: a two-way bootstrap.

Seeds of a system answer the same digits, and the cells of the benchmark show the same digits: answers are correlated,
and counting them as independent makes intervals too narrow. Digits and seeds are therefore resampled independently,
each with replacement, and a resample keeps all cells of its digits (the pigeonhole bootstrap, Owen 2007, Annals of
Applied Statistics 1:386). Systems are compared on the same resamples of digits. One seed gives an interval of digits
alone. The variance of a mean over three
seeds is a third too small, as in any resampling of three.

Convention
    outcomes    (seeds, cells, digits), 0 or 1
    draws       (RESAMPLES, cells), the mean over seeds and digits of each resample
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

RESAMPLES = 2000
TAIL = 2.5  # percent outside of an interval, at either end


class Estimate(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound."""
        return self.low, self.high


@lru_cache(maxsize=8)
def shares(n: int, what: str) -> np.ndarray:
    """Return how much each of `n` digits or seeds counts in each resample: (RESAMPLES, n), rows sum to 1."""
    generator = np.random.default_rng([n, *what.encode()])
    return (generator.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n).astype(np.float32)


def resampled(outcomes: np.ndarray, seeds_of: str = "one") -> np.ndarray:
    """Return the draws (RESAMPLES, cells) of outcomes (seeds, cells, digits); `seeds_of`: another system has others."""
    seeds, _, digits = outcomes.shape
    by_seed = [shares(digits, "digits") @ each.T.astype(np.float32) for each in outcomes]  # (RESAMPLES, cells) each
    return np.einsum("rs,src->rc", shares(seeds, f"seeds of {seeds_of}"), np.stack(by_seed))


def estimate(value: float, draws: np.ndarray) -> Estimate:
    """Return a value with the percentile interval of its draws (RESAMPLES,)."""
    low, high = np.percentile(draws, (TAIL, 100 - TAIL))
    return Estimate(float(value), float(min(low, value)), float(max(high, value)))


def correlation(outcomes: np.ndarray) -> float:
    """Return the mean correlation between two cells over digits, of outcomes (seeds, cells, digits), pooled."""
    centred = outcomes - outcomes.mean(2, keepdims=True)
    cells = outcomes.shape[1]
    total, own = (centred.sum(1) ** 2).sum(), (centred**2).sum()
    return float((total / own - 1) / (cells - 1))
