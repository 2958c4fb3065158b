"""Linear probes: how much of a quantity is linear in features?

What a linear probe finds, the first dense layer of a localisation network can use at once; what it does not find has
to be made by the layers behind the first rectifier.
"""

from __future__ import annotations

import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from torch import Tensor

from .errors import ConfigurationError, within


def explained_variance(features: Tensor, targets: Tensor, fitted: int, ridge: float = 1.0) -> float:
    """Return the share of the targets' variance that a ridge regression on standardised features explains, on samples
    that it was not fitted to: 1 is all, and 0 or less nothing.

    Args:
        features: (N, n). targets: (N, m). fitted: how many of the samples, the first, are fitted; the others test.
        ridge: penalty in units of a feature's variance, above 0.

    Raises:
        ConfigurationError: fewer than two samples to fit or to test; a ridge out of bounds.

    Example:
        >>> x = torch.linspace(-1, 1, 101)[:, None]
        >>> round(explained_variance(x, 3 * x + 1, fitted=60, ridge=1e-6), 3)
        1.0
    """
    within("ridge", ridge, 1e-6, 1e6)
    if not 2 <= fitted <= len(features) - 2:
        raise ConfigurationError(f"fitted={fitted} of {len(features)} samples must leave two at least on either side.")
    x, y = features.double().cpu(), targets.double().cpu().numpy()
    std, mean = torch.std_mean(x[:fitted], 0)
    x = ((x - mean) / std.clamp_min(1e-9)).numpy()
    model = Ridge(alpha=ridge * fitted).fit(x[:fitted], y[:fitted])
    return float(r2_score(y[fitted:], model.predict(x[fitted:]), multioutput="variance_weighted"))
