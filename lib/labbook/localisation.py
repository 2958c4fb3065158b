"""Localisation networks: from an image (B, 1, h, w) to the few numbers (B, n) that theta is made of.

Architectures and parameter counts: study, section 1. `LogPolar` and `LogPolarConv` localise from log-polar features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import retina as retinas
from .classifiers import feature_map_edge, positive_integers
from .errors import choose, within
from .runtime.layers import features
from .sampler import ThetaParametrisation


class Localisation(nn.Module):
    """What all localisation networks share: `start`, and a layer `last` that is set to it.

    With the last layer at zero weights, training begins with the same window for every input. Without biases the start
    is a constant added to the output.
    """

    last: nn.Linear

    def __init__(self, parametrisation: ThetaParametrisation):
        super().__init__()
        self.register_buffer("start", torch.tensor(parametrisation.start), persistent=False)

    def reset_parameters(self, weights: bool = True) -> None:
        """Set the last layer to its start: bias and, unless `weights` is False, zero weights."""
        if weights:
            nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            with torch.no_grad():
                self.last.bias.copy_(self.start)

    def predict(self, x: Tensor) -> Tensor:
        """Return the numbers (B, n) that theta is made of, from the last hidden units (B, hidden)."""
        x = self.last(x)
        return x if self.last.bias is not None else x + self.start


class Localisation28(Localisation):
    """Localisation network for 28x28 pixels: 5 520 parameters with six outputs (study 1.2)."""

    def __init__(self, parametrisation: ThetaParametrisation, bias: bool = True):
        super().__init__(parametrisation)
        self.conv1 = nn.Conv2d(1, 8, 7, bias=bias)
        self.conv2 = nn.Conv2d(8, 10, 5, bias=bias)
        self.dense1 = nn.Linear(10 * 3 * 3, 32, bias=bias)
        self.dense2 = nn.Linear(32, len(parametrisation.start), bias=bias)

    @property
    def last(self) -> nn.Linear:
        """The second dense layer."""
        return self.dense2

    def forward(self, image: Tensor) -> Tensor:
        x = features((self.conv1, self.conv2), image)  # (B, 8, 11, 11), then (B, 10, 3, 3)
        return self.predict(F.relu(self.dense1(x.flatten(1))))


class Foveated(nn.Module):
    """A foveated convolution (claim C35): four concentric windows, each at its own scale, side by side.

    The windows are 128, 96, 64 and 32 pixels wide, averaged over 4, 3, 2 and 1 pixels to 32x32; each has a 5x5
    convolution of its own; their outputs are concatenated, the widest first.

    Args:
        kernels: of each scale.
    """

    FACTORS = (4, 3, 2, 1)

    def __init__(self, kernels: int, bias: bool = True):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(1, kernels, 5, bias=bias) for _ in self.FACTORS)

    def forward(self, image: Tensor) -> Tensor:
        edge = image.shape[-1]
        scales = []
        for factor, conv in zip(self.FACTORS, self.convs, strict=True):
            margin = (edge - edge // 4 * factor) // 2
            window = image[..., margin : edge - margin, margin : edge - margin]
            scales.append(conv(F.avg_pool2d(window, factor)))  # (B, kernels, 28, 28)
        return torch.cat(scales, 1)  # (B, 4 kernels, 28, 28)


class Localisation128(Localisation):
    """Localisation network for 128x128 pixels: convolutions of 7x7, then 5x5, and dense layers; 335 590 parameters
    by default with six outputs, 335 491 with three (study 1.3, 1.4).

    Args:
        kernels: of each convolution. hidden: units of each dense layer but the last.
        bias: whether there are bias terms. dropout: share of the last hidden units that training leaves out.
        first: what reduces the image: "pooled" (2021), "strided" (all convolutions at stride 2, no pooling; claim C28),
            or "foveated" (the first layer is `Foveated`, kernels[0] per scale).

    Raises:
        ConfigurationError: numbers that are not positive and whole, or so many convolutions that no pixel is left.
    """

    def __init__(
        self,
        parametrisation: ThetaParametrisation,
        kernels: Sequence[int] = (16, 32, 64, 128),
        hidden: Sequence[int] = (32,),
        bias: bool = True,
        dropout: float = 0.0,
        first: str = "pooled",
    ):
        super().__init__(parametrisation)
        kernels, hidden = positive_integers("kernels", kernels), positive_integers("hidden", hidden)
        self.dropout = within("dropout", dropout, 0, 0.99)
        self.first = choose("first", first, ("pooled", "strided", "foveated"))
        stride = 2 if first == "strided" else 1
        edge = 128
        if first == "foveated":
            self.fovea, kernels, edge = Foveated(kernels[0], bias), (4 * kernels[0], *kernels[1:]), 14
        sizes = list(zip((1, *kernels), kernels, strict=False))[1 if first == "foveated" else 0 :]
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 7 if i == 1 else 5, stride=stride, bias=bias) for i, o in sizes)
        widths = (kernels[-1] * feature_map_edge(edge, self.convs) ** 2, *hidden)
        self.dense = nn.ModuleList(nn.Linear(i, o, bias=bias) for i, o in zip(widths, hidden, strict=False))
        self.last = nn.Linear(hidden[-1], len(parametrisation.start), bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        if self.first == "strided":
            for conv in self.convs:
                x = F.relu(conv(x))
        else:
            if self.first == "foveated":
                x = F.relu(F.max_pool2d(self.fovea(x), 2))  # (B, 4 kernels[0], 14, 14)
            x = features(self.convs, x)  # by default (B, 16, 61, 61), (B, 32, 28, 28), (B, 64, 12, 12), (B, 128, 4, 4)
        x = x.flatten(1)  # (B, 2048)
        for dense in self.dense:
            x = F.relu(dense(x))  # (B, 32)
        return self.predict(F.dropout(x, self.dropout, self.training) if self.dropout else x)


class Constant(Localisation):
    """No network: the same numbers for every input, learnt like a bias."""

    def __init__(self, parametrisation: ThetaParametrisation):
        super().__init__(parametrisation)
        self.numbers = nn.Parameter(self.start.clone())

    def reset_parameters(self, weights: bool = True) -> None:
        """Set the numbers to their start."""
        with torch.no_grad():
            self.numbers.copy_(self.start)

    def forward(self, image: Tensor) -> Tensor:
        return self.numbers.expand(len(image), -1)  # (B, n)


class LogPolar(Localisation):
    """A localisation network on the features of a log-polar retina: two dense layers, n-32-2; 24 674 parameters on 768
    features (study 1.5).

    The retina is fixed: a linear map of the image, no parameter.

    Args:
        retina: a name in `retina.RETINAS`. hidden: units of the first layer.
        standard: whether each feature is standardised over the batch while training, and with the running mean and
            variance afterwards (batch normalisation without gain or bias). 2021: raw features, of which the low-pass
            level is by far the largest.
        magnitudes: whether features lose their signs first. The sign of a band-pass feature depends on where a stroke
            lies under its filter, its magnitude only on how strong it is.
    """

    def __init__(
        self,
        parametrisation: ThetaParametrisation,
        retina: str,
        hidden: int = 32,
        standard: bool = False,
        magnitudes: bool = False,
    ):
        super().__init__(parametrisation)
        within("hidden", hidden, 1, 10_000, whole=True)
        self.magnitudes = magnitudes
        self.settings = retinas.settings_of(retina)
        n = self.settings.n
        self.standard = nn.BatchNorm1d(n, affine=False, momentum=0.01) if standard else nn.Identity()
        self.dense1, self.last = nn.Linear(n, hidden), nn.Linear(hidden, len(parametrisation.start))

    def features(self, image: Tensor) -> Tensor:
        """Return the features (B, n) of images (B, 1, 128, 128)."""
        features = retinas.build(self.settings, image.device)(image)
        return self.standard(features.abs() if self.magnitudes else features)

    def forward(self, image: Tensor) -> Tensor:
        return self.last(F.relu(self.dense1(self.features(image))))  # (B, 2)


class LogPolarConv(LogPolar):
    """A convolutional localisation network on the two band-pass pyramids of `polo2560band`; 236 572 parameters (study
    1.5).

    Features are images whose rows are rings, whose columns are azimuths and whose channels are orientations.

    Args:
        wrap: whether the azimuth is padded with itself, as on a circle (2021: with zeros).
    """

    def __init__(
        self,
        parametrisation: ThetaParametrisation,
        hidden: int = 200,
        standard: bool = False,
        wrap: bool = False,
        magnitudes: bool = False,
    ):
        super().__init__(parametrisation, "polo2560band", hidden, standard, magnitudes)
        self.wrap = wrap
        rows_only = (1, 0) if wrap else 1
        self.outer1, self.outer2 = nn.Conv2d(8, 20, 3, padding=rows_only), nn.Conv2d(20, 50, 3, padding=rows_only)
        self.inner1 = nn.Conv2d(8, 20, 3, padding=rows_only)
        self.dense1 = nn.Linear((50 + 20) * 2 * 8, hidden)

    def forward(self, image: Tensor) -> Tensor:
        retina = retinas.build(self.settings, image.device)
        inner, outer = retina.unflatten(self.features(image))  # (B, 8, 4, 16), (B, 8, 8, 32)
        inner = self._layer(self.inner1, inner)  # (B, 20, 2, 8)
        outer = self._layer(self.outer2, self._layer(self.outer1, outer))  # (B, 50, 2, 8)
        seen = torch.cat((outer, inner), 1).flatten(1)  # (B, 1120)
        return self.last(F.relu(self.dense1(seen)))  # (B, 2)

    def _layer(self, conv: nn.Conv2d, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 0, 0), mode="circular") if self.wrap else x
        return F.relu(F.max_pool2d(conv(x), 2))
