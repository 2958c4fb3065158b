"""Linear readouts: what they find, and what only magnitudes tell."""

import pytest
import torch

from labbook import linear_probe, rng
from labbook.errors import ConfigurationError


def test_a_linear_relation_is_found_and_chance_is_not():
    g = rng.generator("readout")
    features = torch.randn(600, 20, generator=g)
    targets = features[:, :2] * 3 + 5 + 0.1 * torch.randn(600, 2, generator=g)
    assert linear_probe.explained_variance(features, targets, 400, 1e-3) == pytest.approx(1, abs=0.01)
    assert linear_probe.explained_variance(features, torch.randn(600, 2, generator=g), 400) < 0.05


def test_a_readout_of_more_features_than_samples_is_the_same_as_by_the_normal_equations():
    g = rng.generator("wide")
    features, targets = torch.randn(40, 60, generator=g, dtype=torch.float64), torch.randn(40, 1, generator=g).double()
    std, mean = torch.std_mean(features[:30], 0)
    x, middle = (features - mean) / std, targets[:30].mean(0)
    weights = torch.linalg.solve(x[:30].T @ x[:30] + 15 * torch.eye(60), x[:30].T @ (targets[:30] - middle))
    left = (targets[30:] - middle - x[30:] @ weights).square().sum() / (
        targets[30:] - targets[30:].mean()
    ).square().sum()
    assert linear_probe.explained_variance(features, targets, 30, 0.5) == pytest.approx(1 - left.item(), abs=1e-9)


def test_features_of_random_sign_tell_a_place_by_their_magnitudes_alone():
    g = rng.generator("signs")
    place = torch.rand(800, 1, generator=g)
    centres = torch.linspace(0, 1, 15)
    signs = torch.randint(2, (800, 15), generator=g) * 2 - 1
    features = signs * torch.exp(-((place - centres) ** 2) / 0.02)
    assert linear_probe.explained_variance(features, place, 500) < 0.05
    assert linear_probe.explained_variance(features.abs(), place, 500, 0.01) > 0.9


def test_bad_values_are_refused():
    features = torch.zeros(4, 2)
    for options, message in (({"fitted": 3}, "fitted=3 of 4"), ({"fitted": 2, "ridge": 0.0}, "ridge=0")):
        with pytest.raises(ConfigurationError, match=message):
            linear_probe.explained_variance(features, features, **options)
