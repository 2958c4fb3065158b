"""Classifiers and spatial transformers: one idea per class.

Convention
    input       (B, 1, h, w) in [0, 1], grey is 0.5
    theta       (B, 2, 3), maps *output* to *input* coordinates, both (x, y) = (right, down) in [-1, 1]; one unit is
    half the edge.
                A window moved by +d pixels needs a translation of +2 d / edge; the content then moves by -d.
    sampler     bilinear, align_corners=False; outside the image it sees `padding` (2021: 0, black; grey is 0.5)
    output      `Seen`: what the network concluded, and how it got there

Architectures and parameter counts: study, section 1 (Jaderberg et al. 2015; LeCun et al. 1998). Pooling comes before
the rectifier, which is the same function, computed on a quarter of the values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import chance
from .refusal import choose, within


class Seen(NamedTuple):
    """What a model returns: logits (B, 10); theta (B, 2, 3), or None without a transformer; crop (B, 1, h, w), what
    was classified."""

    logits: Tensor
    theta: Tensor | None
    crop: Tensor


def initialise(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """Draw every convolution and linear layer from PyTorch's default law, but from `generator`, in order; return the
    module."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if layer.bias is not None:
                bound = 1 / math.sqrt(layer.weight[0].numel())
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return module


# ---- classifiers ----------------------------------------------------------------------------------------------------


class LeNet(nn.Module):
    """The generic What pathway: two convolutions and two dense layers on 28x28 pixels, 431 080 parameters (study
    1.1)."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.dense1 = nn.Linear(50 * 4 * 4, 500)
        self.dense2 = nn.Linear(500, 10)

    def forward(self, image: Tensor) -> Seen:
        x = F.relu(F.max_pool2d(self.conv1(image), 2))  # (B, 20, 12, 12)
        x = F.relu(F.max_pool2d(self.conv2(x), 2))  # (B, 50, 4, 4)
        x = F.relu(self.dense1(x.flatten(1)))  # (B, 500)
        return Seen(self.dense2(x), None, image)


class TutorialNet(nn.Module):
    """The classifier of PyTorch's transformer tutorial, with dropout, on 28x28 pixels, 21 840 parameters (study
    3.5)."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.dense1 = nn.Linear(20 * 4 * 4, 50)
        self.dense2 = nn.Linear(50, 10)

    def forward(self, image: Tensor) -> Seen:
        x = F.relu(F.max_pool2d(self.conv1(image), 2))  # (B, 10, 12, 12)
        x = F.dropout2d(self.conv2(x), training=self.training)  # (B, 20, 8, 8)
        x = F.relu(F.max_pool2d(x, 2))  # (B, 20, 4, 4)
        x = F.dropout(F.relu(self.dense1(x.flatten(1))), training=self.training)  # (B, 50)
        return Seen(self.dense2(x), None, image)


# ---- theta ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parametrisation:
    """How a few predicted numbers become theta. `start` is where training begins, whatever the input."""

    start: tuple[float, ...]

    def matrix(self, numbers: Tensor) -> Tensor:
        """Map predicted numbers (B, n) to theta (B, 2, 3)."""
        raise NotImplementedError


class Affine(Parametrisation):
    """Six free numbers, row by row; starts at the identity."""

    def __init__(self):
        super().__init__((1.0, 0.0, 0.0, 0.0, 1.0, 0.0))

    def matrix(self, numbers: Tensor) -> Tensor:
        return numbers.view(-1, 2, 3)


class Attention(Parametrisation):
    """Three numbers (s, tx, ty): an isotropic, axis-aligned window (study 1.4)."""

    def __init__(self, scale: float):
        super().__init__((scale, 0.0, 0.0))

    def matrix(self, numbers: Tensor) -> Tensor:
        scale, x, y = numbers.unbind(1)
        zero = torch.zeros_like(scale)
        return torch.stack((scale, zero, x, zero, scale, y), 1).view(-1, 2, 3)


# ---- localisation, sampler, transformer -----------------------------------------------------------------------------


class Localisation28(nn.Module):
    """Localisation network for 28x28 pixels: 5 520 parameters with six outputs (study 1.2).

    The last layer starts at zero weights, so every input is first looked at through the same window.
    Without biases the start is a constant added to the output.
    """

    def __init__(self, parametrisation: Parametrisation, bias: bool = True):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 7, bias=bias)
        self.conv2 = nn.Conv2d(8, 10, 5, bias=bias)
        self.dense1 = nn.Linear(10 * 3 * 3, 32, bias=bias)
        self.dense2 = nn.Linear(32, len(parametrisation.start), bias=bias)
        self.register_buffer("start", torch.tensor(parametrisation.start), persistent=False)

    def begin(self, weights: bool = True) -> None:
        """Set the last layer to its start: bias and, unless `weights` is False, zero weights."""
        if weights:
            nn.init.zeros_(self.dense2.weight)
        if self.dense2.bias is not None:
            with torch.no_grad():
                self.dense2.bias.copy_(self.start)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(F.max_pool2d(self.conv1(image), 2))  # (B, 8, 11, 11)
        x = F.relu(F.max_pool2d(self.conv2(x), 2))  # (B, 10, 3, 3)
        x = self.dense2(F.relu(self.dense1(x.flatten(1))))  # (B, n)
        return x if self.dense2.bias is not None else x + self.start


def sample(image: Tensor, theta: Tensor, edge: int, padding: float = 0.0) -> Tensor:
    """Look at images (B, 1, h, w) through windows theta (B, 2, 3).

    Returns:
        (B, 1, edge, edge); the identity returns the image itself when edge = h = w. Outside the image: `padding`.
    """
    grid = F.affine_grid(theta, [len(theta), 1, edge, edge], align_corners=False)  # (B, edge, edge, 2)
    if padding == 0:
        return F.grid_sample(image, grid, align_corners=False)
    return F.grid_sample(image - padding, grid, align_corners=False) + padding


class STN28(nn.Module):
    """Spatial transformer on 28x28 pixels: localisation, sampler, classifier; 436 600 parameters by default (study
    1.2).

    Args:
        theta: "affine" (six numbers) or "attention" (three).
        classifier: "lenet" or "tutorial".
        padding: grey level outside the image, 0 to 1 (2021: 0).
        bias: whether the localisation has bias terms (claim C18).
        zero_start: whether the last layer starts with zero weights (2021: yes).
    """

    def __init__(
        self,
        theta: str = "affine",
        classifier: str = "lenet",
        padding: float = 0.0,
        bias: bool = True,
        zero_start: bool = True,
    ):
        super().__init__()
        choose("theta", theta, ("affine", "attention"))
        choose("classifier", classifier, ("lenet", "tutorial"))
        self.padding = within("padding", padding, 0, 1)
        self.parametrisation = Affine() if theta == "affine" else Attention(1.0)
        self.localisation = Localisation28(self.parametrisation, bias)
        self.classifier = LeNet() if classifier == "lenet" else TutorialNet()
        self.zero_start = zero_start

    def begin(self) -> None:
        """Set the localisation to its start."""
        self.localisation.begin(self.zero_start)

    def forward(self, image: Tensor) -> Seen:
        theta = self.parametrisation.matrix(self.localisation(image))
        crop = sample(image, theta, image.shape[-1], self.padding)
        return Seen(self.classifier(crop).logits, theta, crop)


# ---- by name --------------------------------------------------------------------------------------------------------

MODELS = {"lenet": LeNet, "tutorial": TutorialNet, "stn28": STN28}


def build(name: str, generator: torch.Generator | None = None, **options) -> nn.Module:
    """Return a model by name, its weights drawn from `generator` (a fixed one if None), on the CPU.

    Raises:
        Refusal: an unknown name or option value.
    """
    model = MODELS[choose("model", name, MODELS)](**options)
    initialise(model, generator or chance.generator("weights", 0))
    if hasattr(model, "begin"):
        model.begin()
    return model.to(memory_format=torch.channels_last)  # 1.6 times as fast on a CPU


def count(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
