"""Does the gradient of a label's loss point from the window to the digit?

It passes through the bilinear sampler, which only uses pixels next to its samples: a digit outside the window
contributes nothing. `at_distance` measures how the alignment falls with the window's distance from the digit;
`at_centre` compares it with the estimate of `score_function`.

Convention
    alignment   cosine between the direction in which the loss falls and the direction to the digit; of random
                directions half have a positive one
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import sampler, score_function
from .classifiers import device_of
from .errors import within
from .stimuli import EDGE, FIELD, GREY, MARGIN, Stimuli, window
from .transformers import Window


def at_centre(model: Window, stimuli: Stimuli, n: int, std: float, generator: torch.Generator) -> Tensor:
    """Return the alignments (2, B), on the CPU, of a window at the centre of fields: of the gradient through the
    sampler, then of the score-function estimate.

    Args:
        model: a transformer with a window, whose classifier and scale are used. n, std: of the estimate, see
            `score_function.loss`.
    """
    stimuli = stimuli.to(device_of(model))
    image, labels = model.preprocess(stimuli.images), stimuli.labels
    edge = image.shape[-1]
    centre = torch.zeros(len(image), 2, device=image.device, requires_grad=True)
    scale = torch.eye(2, device=image.device) * getattr(model.parametrisation, "scale", EDGE / edge)
    scale = scale.expand(len(image), 1, 2, 2)
    with torch.enable_grad():
        crops = score_function.sample_windows(model, image, torch.cat((scale, centre[:, None, :, None]), 3))
        F.cross_entropy(model.classifier(crops.flatten(0, 1)).logits, labels, reduction="sum").backward()
    displacement = score_function.displacements(len(image), n, std, edge, generator).to(image.device)
    theta = torch.cat((scale.expand(-1, n, -1, -1), displacement[..., None]), 3)
    error = score_function.error_probabilities(model, image, labels, theta)
    estimate = score_function.gradient_estimate(error, displacement, std, edge)
    steps = -torch.stack((centre.grad, estimate))  # (2, B, 2), (x, y)
    return F.cosine_similarity(steps, stimuli.offsets.flip(1).float().expand_as(steps), dim=2).cpu()


class GradientAlignment(NamedTuple):
    """Of N windows: alignment (N,), and norm (N,) of the gradient, nats per pixel."""

    alignment: Tensor
    norm: Tensor

    @property
    def towards(self) -> tuple[float, float]:
        """The mean alignment, weighted by the gradients' norms, -1 to 1, and its standard error."""
        towards = self.alignment * self.norm
        share = (towards.sum() / self.norm.sum()).item()
        spread = (towards - share * self.norm).std().item()
        return share, spread / (self.norm.mean().item() * len(towards) ** 0.5)


def at_distance(what: nn.Module, stimuli: Stimuli, distance: float, generator: torch.Generator) -> GradientAlignment:
    """Return the alignment of a 28x28 window whose centre is `distance` pixels from the digit's, in a random direction
    in which it stays in the field.

    Args:
        what: classifies the crops (N, 1, 28, 28).

    Raises:
        ConfigurationError: a distance that is not from 0.1 to 128 pixels.
    """
    within("distance", distance, 0.1, FIELD, "pixels")
    offsets = stimuli.offsets.float()
    angle = torch.rand(len(offsets), 32, generator=generator, device=offsets.device) * (2 * torch.pi)
    places = offsets[:, None] + distance * torch.stack((angle.cos(), angle.sin()), 2)  # (N, 32, 2)
    first = places.norm(dim=2).argmin(1) if distance > MARGIN else (places.abs().amax(2) <= MARGIN).int().argmax(1)
    places = places[torch.arange(len(places)), first].requires_grad_()  # (N, 2)
    what.eval()
    with torch.enable_grad():
        crops = sampler.sample(stimuli.images, window(places), EDGE, padding=GREY)
        total = F.cross_entropy(what(crops).logits, stimuli.labels, reduction="sum")
        (gradient,) = torch.autograd.grad(total, places)
    return GradientAlignment(F.cosine_similarity(-gradient, offsets - places.detach(), dim=1), gradient.norm(dim=1))
