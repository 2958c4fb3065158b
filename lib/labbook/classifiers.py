"""Classifiers, and what all networks share: their output, their first weights.

Convention
    input       (B, 1, h, w) in [0, 1], grey is 0.5
    output      `TransformerOutput`
    features    what `features` makes of an image: convolutions, each followed by 2x2 max pooling and a rectifier

Architectures and parameter counts: study, section 1 (LeCun et al. 1998). Defaults are those of 2021.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import ConfigurationError, within
from .runtime.layers import features


class TransformerOutput(NamedTuple):
    """What a model returns: logits (B, 10); theta (B, 2, 3), or None without a transformer; crop (B, 1, h, w), the
    classifier's input."""

    logits: Tensor
    theta: Tensor | None
    crop: Tensor


def initialise(module: nn.Module, generator: torch.Generator, kaiming: bool = False) -> nn.Module:
    """Draw every convolution and linear layer from `generator`, in order; return the module.

    Args:
        kaiming: False: PyTorch's default, weights and biases uniform within 1 / sqrt(fan-in). True: weights of variance
            2 / fan-in, which keeps the variance through rectifiers (He et al. 2015), and biases 0.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            nn.init.kaiming_uniform_(layer.weight, a=0 if kaiming else math.sqrt(5), generator=generator)
            if layer.bias is not None and kaiming:
                nn.init.zeros_(layer.bias)
            elif layer.bias is not None:
                bound = 1 / math.sqrt(layer.weight[0].numel())
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return module


def positive_integers(name: str, values: Sequence[int]) -> tuple[int, ...]:
    """Return `values` as a tuple if all are whole numbers from 1 to 10 000, and at least one."""
    if not values:
        raise ConfigurationError(f"{name}=() must hold at least one number.")
    return tuple(within(name, value, 1, 10_000, whole=True) for value in values)


def feature_map_edge(edge: int, layers: Sequence[nn.Conv2d]) -> int:
    """Return the edge of the maps after valid convolutions, each followed by 2x2 pooling unless it is strided.

    >>> feature_map_edge(28, [nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)])
    4
    """
    for layer in layers:
        edge = (edge - layer.kernel_size[0]) // layer.stride[0] + 1
        edge = edge // 2 if layer.stride[0] == 1 else edge
    if edge < 1:
        raise ConfigurationError(f"{len(layers)} convolutions leave no pixel.")
    return edge


def device_of(module: nn.Module) -> torch.device:
    """Return the device that the weights of a model are on; the CPU if it has none."""
    return next(module.parameters(), torch.empty(0)).device


def count(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


# ---- networks ------------------------------------------------------------------------------------------------------


class LeNet(nn.Module):
    """The What pathway: two convolutions and two dense layers on 28x28 pixels, 431 080 parameters (study 1.1).

    Args:
        grey: what is subtracted from the image (2021: 0).
    """

    def __init__(self, grey: float = 0.0):
        super().__init__()
        self.grey = within("grey", grey, 0, 1)
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.dense1 = nn.Linear(50 * 4 * 4, 500)
        self.dense2 = nn.Linear(500, 10)

    def forward(self, image: Tensor) -> TransformerOutput:
        x = image - self.grey if self.grey else image
        x = features((self.conv1, self.conv2), x)  # (B, 20, 12, 12), then (B, 50, 4, 4)
        x = F.relu(self.dense1(x.flatten(1)))  # (B, 500)
        return TransformerOutput(self.dense2(x), None, image)


class TutorialNet(nn.Module):
    """The classifier of PyTorch's transformer tutorial, 28x28 pixels, with dropout; 21 840 parameters (study 3.5)."""

    draws = True  # in training mode, from the global generator

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.dense1 = nn.Linear(20 * 4 * 4, 50)
        self.dense2 = nn.Linear(50, 10)

    def forward(self, image: Tensor) -> TransformerOutput:
        x = F.relu(F.max_pool2d(self.conv1(image), 2))  # (B, 10, 12, 12)
        x = F.dropout2d(self.conv2(x), training=self.training)  # (B, 20, 8, 8)
        x = F.relu(F.max_pool2d(x, 2))  # (B, 20, 4, 4)
        x = F.dropout(F.relu(self.dense1(x.flatten(1))), training=self.training)  # (B, 50)
        return TransformerOutput(self.dense2(x), None, image)


class Classifier128(nn.Module):
    """A classifier of 128x128 pixels: 5x5 convolutions and two dense layers, 10 816 838 parameters by default (study
    1.3).

    Args:
        kernels: of each convolution. hidden: units of the first dense layer. grey: what is subtracted from the image
            (2021: 0).
    """

    def __init__(self, kernels: Sequence[int] = (20, 100), hidden: int = 128, grey: float = 0.0):
        super().__init__()
        self.grey = within("classifier_grey", grey, 0, 1)
        kernels = positive_integers("classifier_kernels", kernels)
        within("classifier_hidden", hidden, 1, 10_000, whole=True)
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 5) for i, o in zip((1, *kernels), kernels, strict=False))
        self.dense1 = nn.Linear(kernels[-1] * feature_map_edge(128, self.convs) ** 2, hidden)
        self.dense2 = nn.Linear(hidden, 10)

    def forward(self, image: Tensor) -> TransformerOutput:
        x = image - self.grey if self.grey else image
        x = features(self.convs, x)  # by default (B, 20, 62, 62), then (B, 100, 29, 29)
        x = F.relu(self.dense1(x.flatten(1)))  # (B, hidden)
        return TransformerOutput(self.dense2(x), None, image)


class Downsampled(nn.Module):
    """LeNet on the whole scene brought to 28x28 pixels by bilinear interpolation, no transformer (claims C51, C54).

    Args:
        antialias: whether the interpolation averages over a triangle as wide as the downsampling factor, 4.57.
        kaiming: see `initialise`.
    """

    def __init__(self, antialias: bool = False, kaiming: bool = False):
        super().__init__()
        self.antialias, self.kaiming = antialias, kaiming
        self.classifier = LeNet()

    def forward(self, image: Tensor) -> TransformerOutput:
        crop = F.interpolate(image, (28, 28), mode="bilinear", align_corners=False, antialias=self.antialias)
        return TransformerOutput(self.classifier(crop).logits, None, crop)
