"""The score-function gradient: how class labels train the position of a window, by perturbed fixations.

The gradient of the *expected* error under Gaussian perturbations of the position is estimated from n perturbations in
antithetic pairs,

    grad_mu E[error(mu + eps)]  ~  1 / n  sum over i of error(mu + eps_i) eps_i / std^2,      eps_i ~ N(0, std^2),

the score-function or REINFORCE estimator (Williams 1992; for glimpses Mnih et al. 2014). What does not depend on the
perturbation cancels in a pair. `gradient_alignment` compares it with the gradient through the sampler.

Convention
    displacement    (B, n, 2), (x, y), in units of theta (half the edge); the second half is minus the first
    error           (B, n), 0 to 1: the probability that the classifier does not give to the label
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import ConfigurationError
from .stimuli import Stimuli
from .transformers import Window

PAIRS_TRAINED = 1  # pairs of perturbed windows that train the classifier: its backward pass is the cost


def displacements(count: int, n: int, std: float, edge: int, generator: torch.Generator) -> Tensor:
    """Draw antithetic displacements (count, n, 2).

    Args:
        n: for each of `count` images, even. std: along each axis, pixels of a field of `edge` pixels.

    Raises:
        ConfigurationError: an odd n.

    Example:
        >>> pairs = displacements(5, 4, 6.0, 128, torch.Generator())
        >>> pairs.shape, bool((pairs[:, :2] == -pairs[:, 2:]).all())
        (torch.Size([5, 4, 2]), True)
    """
    if n % 2:
        raise ConfigurationError(f"n={n} must be even: they come in pairs.")
    drawn = torch.randn(count, n // 2, 2, generator=generator, device=generator.device) * (2 * std / edge)
    return torch.cat((drawn, -drawn), 1)


def gradient_estimate(error: Tensor, displacement: Tensor, std: float, edge: int) -> Tensor:
    """Return the estimated gradient (B, 2) of each image's expected error with respect to (tx, ty) of theta.

    Args:
        error: (B, n). displacement: (B, n, 2). std, edge: see `displacements`.
    """
    return (error[..., None] * displacement).mean(1) / (2 * std / edge) ** 2


def sample_windows(model: Window, image: Tensor, theta: Tensor) -> Tensor:
    """Sample images (B, 1, h, w) through n windows each, theta (B, n, 2, 3); returns crops (B, n, 1, 28, 28).

    The n grids lie below one another in one, so that the images are not repeated.
    """
    count, edge = theta.shape[1], model.edge
    grid = F.affine_grid(theta.flatten(0, 1), [theta[..., 0, 0].numel(), 1, edge, edge], align_corners=False)
    grid = grid.view(len(image), count * edge, edge, 2)
    crops = F.grid_sample(image - model.padding, grid, align_corners=False) + model.padding
    return crops.view(len(image), count, 1, edge, edge)


def error_probabilities(model: Window, image: Tensor, labels: Tensor, theta: Tensor) -> Tensor:
    """Return the errors (B, n), without a gradient, of the classifier behind windows theta (B, n, 2, 3)."""
    with torch.no_grad():
        logits = model.classifier(sample_windows(model, image, theta).flatten(0, 1)).logits
        correct = logits.softmax(1).gather(1, labels.repeat_interleave(theta.shape[1])[:, None])
    return 1 - correct.view(len(image), -1)


def loss(model: Window, stimuli: Stimuli, n: int, std: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the loss of a batch of fields, and theta (B, 2, 3).

    Its value is the cross-entropy, in nats, of `PAIRS_TRAINED` pairs of perturbed windows, which trains the classifier
    and the window's scale. A term of value 0 gives the window's position the gradient of `gradient_estimate`.

    Args:
        n: perturbations per image, even. std: of the perturbations along each axis, pixels, above 0.
    """
    image, labels = model.preprocess(stimuli.images), stimuli.labels
    edge = image.shape[-1]
    theta = model.localise(image)  # (B, 2, 3)
    displacement = displacements(len(image), n, std, edge, generator)  # (B, n, 2)
    position = theta[:, None, :, 2].detach() + displacement  # (B, n, 2)
    scale = theta[:, None, :, :2].expand(-1, n, -1, -1)  # (B, n, 2, 2)
    error = error_probabilities(model, image, labels, torch.cat((scale.detach(), position[..., None]), 3))
    gradient = gradient_estimate(error, displacement, std, edge)  # (B, 2)
    surrogate = (gradient * (theta[..., 2] - theta[..., 2].detach())).sum(1).mean()
    pairs = torch.cat((scale, position[..., None]), 3).unflatten(1, (2, n // 2))  # (B, 2, n / 2, 2, 3)
    trained = pairs[:, :, :PAIRS_TRAINED].flatten(1, 2)  # (B, 2, 2, 3)
    logits = model.classifier(sample_windows(model, image, trained).flatten(0, 1)).logits  # (B 2, 10)
    return F.cross_entropy(logits, labels.repeat_interleave(trained.shape[1])) + surrogate, theta
