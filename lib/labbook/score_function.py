"""Glimpses: how a class label teaches a window where to look, by trying places near the chosen one.

The gradient of a label through the sampler is local: it knows the pixels under the window's samples and their
neighbours, and from a few pixels beside the digit on it hardly points anywhere. A glimpse is one look through the
window, displaced at random; the places at which the classifier errs less say where the digit is. That is the
score-function estimate of the gradient of the *expected* error (Williams 1992; for glimpses Mnih et al. 2014), here
with antithetic pairs: every displacement is tried both ways, so that what does not depend on it cancels.

The window's network is not changed, and nothing but the label is told.

Convention
    displacement    (B, K, 2), (x, y), in units of theta (half the edge of the field); the second half of K is minus the
                    first
    error           (B, K), the probability that the classifier does not give to the label
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import ConfigurationError
from .stimuli import Stimuli
from .transformers import Window

PAIRS_TAUGHT = 1  # pairs of glimpses from which the classifier learns: its backward pass is what they cost


def displacements(n: int, glimpses: int, jitter: float, edge: int, generator: torch.Generator) -> Tensor:
    """Draw antithetic displacements (n, glimpses, 2) with a standard deviation of `jitter` pixels along each axis.

    Raises:
        ConfigurationError: a number of glimpses that is not even.
    """
    if glimpses % 2:
        raise ConfigurationError(f"glimpses={glimpses} must be even: they come in pairs.")
    drawn = torch.randn(n, glimpses // 2, 2, generator=generator, device=generator.device) * (2 * jitter / edge)
    return torch.cat((drawn, -drawn), 1)


def sample_windows(model: Window, image: Tensor, theta: Tensor) -> Tensor:
    """Look at images (B, 1, h, w) through K windows each, theta (B, K, 2, 3); returns (B, K, 1, 28, 28).

    The K grids lie below one another in one, so that the images are not repeated.
    """
    count, edge = theta.shape[1], model.edge
    grid = F.affine_grid(theta.flatten(0, 1), [theta[..., 0, 0].numel(), 1, edge, edge], align_corners=False)
    grid = grid.view(len(image), count * edge, edge, 2)
    seen = F.grid_sample(image - model.padding, grid, align_corners=False) + model.padding
    return seen.view(len(image), count, 1, edge, edge)


def gradient_estimate(error: Tensor, displacement: Tensor, jitter: float, edge: int) -> Tensor:
    """Estimate the gradient (B, 2) of each image's expected error with respect to the translation (x, y) of theta."""
    return (error[..., None] * displacement).mean(1) / (2 * jitter / edge) ** 2


def error_probabilities(model: Window, image: Tensor, labels: Tensor, theta: Tensor) -> Tensor:
    """Return the errors (B, K) of the classifier behind windows theta (B, K, 2, 3)."""
    with torch.no_grad():
        logits = model.classifier(sample_windows(model, image, theta).flatten(0, 1)).logits
        right = logits.softmax(1).gather(1, labels.repeat_interleave(theta.shape[1])[:, None])
    return 1 - right.view(len(image), -1)


def loss(
    model: Window, stimuli: Stimuli, glimpses: int, jitter: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the loss of a batch of fields, and theta (B, 2, 3).

    The classifier and the window's scale learn from the cross-entropy of displaced glimpses, the window's place from
    `gradient_estimate`. The value is the cross-entropy's; the estimate is a term whose value is 0.

    Args:
        glimpses: K, even. jitter: standard deviation of the displacements along each axis, pixels, above 0.
    """
    image, labels = model.shown(stimuli.images), stimuli.labels
    edge = image.shape[-1]
    theta = model.localise(image)  # (B, 2, 3)
    aside = displacements(len(image), glimpses, jitter, edge, generator)  # (B, K, 2)
    place = theta[:, None, :, 2].detach() + aside  # (B, K, 2)
    size = theta[:, None, :, :2].expand(-1, glimpses, -1, -1)  # (B, K, 2, 2)
    error = error_probabilities(model, image, labels, torch.cat((size.detach(), place[..., None]), 3))
    pull = (gradient_estimate(error, aside, jitter, edge) * (theta[..., 2] - theta[..., 2].detach())).sum(1).mean()
    pairs = torch.cat((size, place[..., None]), 3).unflatten(1, (2, glimpses // 2))  # (B, 2, K / 2, 2, 3)
    taught = pairs[:, :, :PAIRS_TAUGHT].flatten(1, 2)  # (B, 2, 2, 3)
    logits = model.classifier(sample_windows(model, image, taught).flatten(0, 1)).logits  # (B 2, 10)
    return F.cross_entropy(logits, labels.repeat_interleave(taught.shape[1])) + pull, theta
