"""Intervals over digits and seeds hold what they should, and answer to both."""

import numpy as np

from labbook.experiments import bootstrap


def outcomes(rng, seeds=3, digits=400, cells=27, spread=0.0):
    """Answers whose difficulty is the digit's in all cells; `spread`: of the seeds' log odds."""
    odds = 1 + rng.normal(size=(1, 1, digits)) + spread * rng.normal(size=(seeds, 1, 1))
    return rng.random((seeds, cells, digits)) < 1 / (1 + np.exp(-odds))


def width(found):
    low, high = np.percentile(bootstrap.resampled(found).mean(1), (2.5, 97.5))
    return high - low


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth = outcomes(rng, 1, 200_000, 1).mean()
    hits = 0
    for _ in range(60):
        found = outcomes(rng)
        each = bootstrap.estimate(found.mean(), bootstrap.resampled(found).mean(1))
        hits += each.low <= truth <= each.high
    assert hits >= 53


def test_intervals_widen_with_seeds_that_differ_and_with_answers_that_go_together():
    rng = np.random.default_rng(1)
    assert width(outcomes(rng, spread=1.0)) > 2 * width(outcomes(rng))
    shared, alone = outcomes(rng, 1, 400, 27), outcomes(rng, 1, 400, 1)
    assert width(shared) > 2 * width(rng.permuted(shared, axis=2))  # the same counts, digit by digit unrelated
    assert width(shared) < width(alone)
    assert bootstrap.correlation(shared) > 0.1 > abs(bootstrap.correlation(rng.permuted(shared, axis=2)))


def test_draws_are_the_same_every_time_and_keep_the_mean():
    found = outcomes(np.random.default_rng(2))
    draws = bootstrap.resampled(found)
    assert np.array_equal(draws, bootstrap.resampled(found)) and draws.shape == (bootstrap.RESAMPLES, 27)
    assert abs(draws.mean() - found.mean()) < 0.003
