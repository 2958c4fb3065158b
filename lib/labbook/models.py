"""Classifiers and spatial transformers: one idea per class.

Convention
    input       (B, 1, h, w) in [0, 1], grey is 0.5
    theta       (B, 2, 3), maps *output* to *input* coordinates, both (x, y) = (right, down) in [-1, 1]; one unit is
    half the edge.
                A window moved by +d pixels needs a translation of +2 d / edge; the content then moves by -d.
    sampler     bilinear, align_corners=False; outside the image it sees `padding` (2021: 0, black; grey is 0.5)
    output      `Seen`: what the network concluded, and how it got there

Architectures and parameter counts: study, section 1 (Jaderberg et al. 2015; LeCun et al. 1998). Defaults are those of
2021; `STEPPING_STONES` names what came before them. Pooling comes before
the rectifier, which is the same function, computed on a quarter of the values.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import retina as retinas
from . import rng
from .errors import ConfigurationError, choose, within
from .evidence import EvidenceMap
from .where import WhereNet


class Seen(NamedTuple):
    """What a model returns: logits (B, 10); theta (B, 2, 3), or None without a transformer; crop (B, 1, h, w), what
    was classified."""

    logits: Tensor
    theta: Tensor | None
    crop: Tensor


def initialise(module: nn.Module, generator: torch.Generator, kaiming: bool = False) -> nn.Module:
    """Draw every convolution and linear layer from `generator`, in order; return the module.

    Args:
        kaiming: False: PyTorch's default law, weights and biases uniform within 1 / sqrt(fan-in). True: weights of
            variance 2 / fan-in, which keeps the variance through rectifiers (He et al. 2015), and biases 0.
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


def _positive(name: str, values: Sequence[int], empty: bool = False) -> tuple[int, ...]:
    """Return `values` as a tuple if all are whole numbers from 1 to 10 000."""
    values = tuple(values)
    if not values and not empty:
        raise ConfigurationError(f"{name}=() must hold at least one number.")
    for value in values:
        if within(name, value, 1, 10_000) != int(value):
            raise ConfigurationError(f"{name}={value!r} must be a whole number.")
    return tuple(int(value) for value in values)


def _convolved(edge: int, layers: Sequence[nn.Conv2d]) -> int:
    """Return the edge of what is left after valid convolutions, each followed by 2x2 pooling unless it is strided."""
    for layer in layers:
        edge = (edge - layer.kernel_size[0]) // layer.stride[0] + 1
        edge = edge // 2 if layer.stride[0] == 1 else edge
    if edge < 1:
        raise ConfigurationError(f"{len(layers)} convolutions leave no pixel.")
    return edge


# ---- classifiers ----------------------------------------------------------------------------------------------------


class LeNet(nn.Module):
    """The generic What pathway: two convolutions and two dense layers on 28x28 pixels, 431 080 parameters (study
    1.1).

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

    def forward(self, image: Tensor) -> Seen:
        x = image - self.grey if self.grey else image
        x = F.relu(F.max_pool2d(self.conv1(x), 2))  # (B, 20, 12, 12)
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
        kernels = _positive("classifier_kernels", kernels)
        (hidden,) = _positive("classifier_hidden", (hidden,))
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 5) for i, o in zip((1, *kernels), kernels, strict=False))
        self.dense1 = nn.Linear(kernels[-1] * _convolved(128, self.convs) ** 2, hidden)
        self.dense2 = nn.Linear(hidden, 10)

    def forward(self, image: Tensor) -> Seen:
        x = image - self.grey if self.grey else image
        for conv in self.convs:
            x = F.relu(F.max_pool2d(conv(x), 2))  # by default (B, 20, 62, 62), (B, 100, 29, 29)
        x = F.relu(self.dense1(x.flatten(1)))  # (B, hidden)
        return Seen(self.dense2(x), None, image)


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

    def forward(self, image: Tensor) -> Seen:
        crop = F.interpolate(image, (28, 28), mode="bilinear", align_corners=False, antialias=self.antialias)
        return Seen(self.classifier(crop).logits, None, crop)


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
    """An axis-aligned window: (s, tx, ty), (sx, sy, tx, ty), or (tx, ty) alone (study 1.4 and 3.7).

    Args:
        scale: width of the first window, in widths of the image.
        law: "free": the predicted number is the scale, which may become negative. "positive": its softplus is.
            "fixed": the scale stays what it is at the start and only the translation is predicted.
        scales: 1, or 2 for one along each axis.

    Raises:
        ConfigurationError: a positive scale that starts at 0.
    """

    def __init__(self, scale: float, law: str = "free", scales: int = 1):
        within("scale_start", scale, 0, 10)
        choose("scale", law, ("free", "positive", "fixed"))
        choose("scales", scales, (1, 2))
        if law == "positive" and scale == 0:
            raise ConfigurationError("scale_start=0 must be above 0 with scale='positive'.")
        number = math.log(math.expm1(scale)) if law == "positive" else scale
        super().__init__((() if law == "fixed" else (float(number),) * scales) + (0.0, 0.0))
        for name, value in (("scale", scale), ("law", law), ("scales", scales)):
            object.__setattr__(self, name, value)

    def matrix(self, numbers: Tensor) -> Tensor:
        *scales, x, y = numbers.unbind(1)
        if self.law == "fixed":
            scales = [torch.full_like(x, self.scale)]
        elif self.law == "positive":
            scales = [F.softplus(scale) for scale in scales]
        zero = torch.zeros_like(x)
        return torch.stack((scales[0], zero, x, zero, scales[-1], y), 1).view(-1, 2, 3)


# ---- localisation ---------------------------------------------------------------------------------------------------


class Localisation(nn.Module):
    """What all localisation networks share: `start`, and a layer `last` that is set to it.

    With the last layer at zero weights, every input is first looked at through the same window. Without biases the
    start is a constant added to the output.
    """

    last: nn.Linear

    def __init__(self, parametrisation: Parametrisation):
        super().__init__()
        self.register_buffer("start", torch.tensor(parametrisation.start), persistent=False)

    def begin(self, weights: bool = True) -> None:
        """Set the last layer to its start: bias and, unless `weights` is False, zero weights."""
        if weights:
            nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            with torch.no_grad():
                self.last.bias.copy_(self.start)


class Localisation28(Localisation):
    """Localisation network for 28x28 pixels: 5 520 parameters with six outputs (study 1.2)."""

    def __init__(self, parametrisation: Parametrisation, bias: bool = True):
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
        x = F.relu(F.max_pool2d(self.conv1(image), 2))  # (B, 8, 11, 11)
        x = F.relu(F.max_pool2d(self.conv2(x), 2))  # (B, 10, 3, 3)
        x = self.dense2(F.relu(self.dense1(x.flatten(1))))  # (B, n)
        return x if self.dense2.bias is not None else x + self.start


class Foveated(nn.Module):
    """A foveated convolution (claim C35): four concentric windows, each seen at its own scale, side by side.

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
        parametrisation: Parametrisation,
        kernels: Sequence[int] = (16, 32, 64, 128),
        hidden: Sequence[int] = (32,),
        bias: bool = True,
        dropout: float = 0.0,
        first: str = "pooled",
    ):
        super().__init__(parametrisation)
        kernels, hidden = _positive("kernels", kernels), _positive("hidden", hidden)
        self.dropout = within("dropout", dropout, 0, 0.99)
        self.first = choose("first", first, ("pooled", "strided", "foveated"))
        stride = 2 if first == "strided" else 1
        edge = 128
        if first == "foveated":
            self.fovea, kernels, edge = Foveated(kernels[0], bias), (4 * kernels[0], *kernels[1:]), 14
        sizes = list(zip((1, *kernels), kernels, strict=False))[1 if first == "foveated" else 0 :]
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 7 if i == 1 else 5, stride=stride, bias=bias) for i, o in sizes)
        widths = (kernels[-1] * _convolved(edge, self.convs) ** 2, *hidden)
        self.dense = nn.ModuleList(nn.Linear(i, o, bias=bias) for i, o in zip(widths, hidden, strict=False))
        self.last = nn.Linear(hidden[-1], len(parametrisation.start), bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        if self.first == "foveated":
            x = F.relu(F.max_pool2d(self.fovea(x), 2))  # (B, 4 kernels[0], 14, 14)
        for conv in self.convs:  # by default (B, 16, 61, 61), (B, 32, 28, 28), (B, 64, 12, 12), (B, 128, 4, 4)
            x = F.relu(conv(x) if self.first == "strided" else F.max_pool2d(conv(x), 2))
        x = x.flatten(1)  # (B, 2048)
        for dense in self.dense:
            x = F.relu(dense(x))  # (B, 32)
        x = self.last(F.dropout(x, self.dropout, self.training) if self.dropout else x)  # (B, n)
        return x if self.last.bias is not None else x + self.start


class Constant(Localisation):
    """No network: the same numbers for every input, learnt like a bias."""

    def __init__(self, parametrisation: Parametrisation):
        super().__init__(parametrisation)
        self.numbers = nn.Parameter(self.start.clone())

    def begin(self, weights: bool = True) -> None:
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
        magnitudes: whether features lose their signs first. The sign of a band-pass feature tells where a stroke lies
            under its filter, its magnitude that there is one.
    """

    def __init__(
        self,
        parametrisation: Parametrisation,
        retina: str,
        hidden: int = 32,
        standard: bool = False,
        magnitudes: bool = False,
    ):
        super().__init__(parametrisation)
        (hidden,) = _positive("hidden", (hidden,))
        self.magnitudes = magnitudes
        self.settings = retinas.RETINAS[choose("retina", retina, retinas.RETINAS)]
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
        parametrisation: Parametrisation,
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


# ---- sampler --------------------------------------------------------------------------------------------------------


def sample(image: Tensor, theta: Tensor, edge: int, padding: float = 0.0) -> Tensor:
    """Look at images (B, 1, h, w) through windows theta (B, 2, 3).

    Returns:
        (B, 1, edge, edge); the identity returns the image itself when edge = h = w. Outside the image: `padding`.
    """
    grid = F.affine_grid(theta, [len(theta), 1, edge, edge], align_corners=False)  # (B, edge, edge, 2)
    if padding == 0:
        return F.grid_sample(image, grid, align_corners=False)
    return F.grid_sample(image - padding, grid, align_corners=False) + padding


def sample_axes(image: Tensor, theta: Tensor, edge: int, padding: float = 0.0, antialias: bool = False) -> Tensor:
    """Look at images (B, 1, h, w) through axis-aligned windows theta (B, 2, 3), of which b and c are not read.

    Along each axis every output pixel is a weighted sum of input pixels, so that a window is two small matrices:
    out = rows @ image @ columns^T. The weights are a triangle of half-width one pixel, which is bilinear interpolation:
    the result is that of `sample`. Matrix products only: deterministic, also backwards on a GPU.

    Args:
        padding: as in `sample`.
        antialias: widen the triangle to the step between output pixels where that is more than a pixel, so that every
            input pixel counts and none is skipped. Where it is less, nothing changes.

    Returns:
        (B, 1, edge, edge).
    """
    h, w = image.shape[-2:]
    rows = _axis(theta[:, 1, 1], theta[:, 1, 2], edge, h, antialias)  # (B, edge, h)
    columns = _axis(theta[:, 0, 0], theta[:, 0, 2], edge, w, antialias)  # (B, edge, w)
    seen = (rows @ (image[:, 0] - padding) @ columns.mT)[:, None] + padding
    return seen


def _axis(scale: Tensor, translation: Tensor, edge: int, size: int, antialias: bool) -> Tensor:
    """Return the weights (B, edge, size) of `size` input pixels in `edge` output pixels, along one axis."""
    output = (2 * torch.arange(edge, device=scale.device, dtype=scale.dtype) + 1) / edge - 1  # (edge,), in [-1, 1]
    at = ((scale[:, None] * output + translation[:, None] + 1) * size - 1) / 2  # (B, edge), input pixels from 0
    distance = (at[:, :, None] - torch.arange(size, device=scale.device, dtype=scale.dtype)).abs()  # (B, edge, size)
    if not antialias:
        return (1 - distance).clamp_min(0)
    width = (scale.abs() * size / edge).clamp_min(1)[:, None]  # (B, 1), half of the triangle's base
    return (1 - distance / width[:, :, None]).clamp_min(0) / _mass(at, width)[:, :, None]


def _mass(at: Tensor, width: Tensor) -> Tensor:
    """Return the sum over all whole numbers j, of the image or beyond it, of a triangle: max(0, 1 - |at - j| / width).

    On either side the distances are d, d + 1, ..., as many as are below `width`. `width` is at least 1.
    """
    below = at - at.floor()
    total = torch.zeros_like(at)
    for d in (below, 1 - below):
        n = ((width - d).floor() + 1).detach()
        total = total + n - (n * d + n * (n - 1) / 2) / width
    return total


SAMPLERS = {"grid": sample, "axes": sample_axes, "antialias": partial(sample_axes, antialias=True)}


# ---- transformers ---------------------------------------------------------------------------------------------------


class Transformer(nn.Module):
    """A spatial transformer: localisation, sampler, classifier.

    Args:
        edge: of the grid, pixels.
        padding: grey level outside the image, 0 to 1 (2021: 0).
        zero_start: whether the last layer of the localisation starts with zero weights (2021: yes).
        centre: whether the localisation sees the image minus grey (0.5), a mean near 0 (2021: False).
        kaiming: see `initialise` (2021: False).
        sampler: "grid" (`sample`), "axes" (`sample_axes`), or "antialias" (`sample_axes` with its filter).
    """

    def __init__(
        self,
        parametrisation: Parametrisation,
        localisation: nn.Module,
        classifier: nn.Module,
        edge: int,
        padding: float = 0.0,
        zero_start: bool = True,
        centre: bool = False,
        kaiming: bool = False,
        sampler: str = "grid",
    ):
        super().__init__()
        self.padding = within("padding", padding, 0, 1)
        self.sampler = choose("sampler", sampler, SAMPLERS)
        self.parametrisation, self.edge = parametrisation, edge
        self.localisation, self.classifier = localisation, classifier
        self.zero_start, self.centre, self.kaiming = zero_start, centre, kaiming

    def begin(self) -> None:
        """Set the localisation to its start."""
        self.localisation.begin(self.zero_start)

    def attend(self, image: Tensor) -> Tensor:
        """Return theta (B, 2, 3): where the localisation wants to look in images (B, 1, h, w)."""
        return self.parametrisation.matrix(self.localisation(image - 0.5 if self.centre else image))

    def look(self, image: Tensor, theta: Tensor) -> Tensor:
        """Return what is seen (B, 1, edge, edge) of images (B, 1, h, w) through windows theta (B, 2, 3)."""
        return SAMPLERS[self.sampler](image, theta, self.edge, self.padding)

    def forward(self, image: Tensor) -> Seen:
        theta = self.attend(image)
        crop = self.look(image, theta)
        return Seen(self.classifier(crop).logits, theta, crop)


class STN28(Transformer):
    """Spatial transformer on 28x28 pixels; 436 600 parameters by default (study 1.2).

    Args:
        theta: "affine" (six numbers) or "attention" (three).
        classifier: "lenet" or "tutorial".
        bias: whether the localisation has bias terms (claim C18).
        options: of `Transformer`: padding, zero_start, centre, kaiming.
    """

    def __init__(self, theta: str = "affine", classifier: str = "lenet", bias: bool = True, **options):
        choose("theta", theta, ("affine", "attention"))
        choose("classifier", classifier, ("lenet", "tutorial"))
        parametrisation = Affine() if theta == "affine" else Attention(1.0)
        localisation = Localisation28(parametrisation, bias)
        super().__init__(
            parametrisation, localisation, LeNet() if classifier == "lenet" else TutorialNet(), 28, **options
        )


class STN128(Transformer):
    """Spatial transformer on 128x128 pixels, without downsampling; 11 152 428 parameters by default (study 1.3).

    Args:
        kernels, hidden, bias, dropout, first: of `Localisation128`.
        classifier_kernels, classifier_hidden, classifier_grey: of `Classifier128`.
        options: of `Transformer`: padding, zero_start, centre, kaiming.
    """

    def __init__(
        self,
        kernels: Sequence[int] = (16, 32, 64, 128),
        hidden: Sequence[int] = (32,),
        bias: bool = True,
        dropout: float = 0.0,
        first: str = "pooled",
        classifier_kernels: Sequence[int] = (20, 100),
        classifier_hidden: int = 128,
        classifier_grey: float = 0.0,
        **options,
    ):
        localisation = Localisation128(Affine(), kernels, hidden, bias, dropout, first)
        classifier = Classifier128(classifier_kernels, classifier_hidden, classifier_grey)
        super().__init__(Affine(), localisation, classifier, 128, **options)


class Window(Transformer):
    """An axis-aligned window of 28x28 samples on 128x128 pixels, and the LeNet of week 1 behind it.

    A batch of 28x28 images is taken for what a perfect fixation saw (`Scene128(view="oracle")`) and goes straight to
    the classifier, so that a curriculum may begin with it.
    """

    def __init__(self, parametrisation: Attention, localisation: nn.Module, **options):
        super().__init__(parametrisation, localisation, LeNet(), 28, **options)

    def forward(self, image: Tensor) -> Seen:
        return self.classifier(image) if image.shape[-1] == 28 else super().forward(self.shown(image))

    def shown(self, image: Tensor) -> Tensor:
        """Return what is shown to the network, localisation and window, of fields (B, 1, 128, 128): all of them."""
        return image


class ATN(Window):
    """Attention transformer: localisation by convolutions; 766 571 parameters by default (study 1.4).

    Args:
        scale_start: width of the first window, in widths of the image; 28/128 = 0.219 shows every pixel once.
        scale: "free" (2021), "positive" or "fixed" (translation only). scales: 1 or 2; see `Attention`.
        kernels, hidden, bias, dropout, first: of `Localisation128`.
        options: of `Transformer`: padding, zero_start, centre, kaiming, sampler.
    """

    def __init__(
        self,
        scale_start: float = 0.2,
        scale: str = "free",
        scales: int = 1,
        kernels: Sequence[int] = (16, 32, 64, 128),
        hidden: Sequence[int] = (32,),
        bias: bool = True,
        dropout: float = 0.0,
        first: str = "pooled",
        **options,
    ):
        parametrisation = Attention(scale_start, scale, scales)
        super().__init__(
            parametrisation, Localisation128(parametrisation, kernels, hidden, bias, dropout, first), **options
        )


class TaughtOutput(NamedTuple):
    """What a taught transformer returns in training mode: `Seen`, and the evidence (B, 10, n) of its teacher."""

    logits: Tensor
    theta: Tensor
    crop: Tensor
    evidence: Tensor


class TaughtATN(ATN):
    """An attention transformer whose localisation is taught by an evidence map, see `evidence`, during training; the
    map comes from the run that the training starts from, stays as it is, and has no part in evaluation.

    Args:
        evidence_width: of the map, see `EvidenceMap`.
        options: of `ATN`.
    """

    teacher = "taught_by"  # the part that a run of "evidence" may begin with

    def __init__(self, evidence_width: int = 16, **options):
        super().__init__(**options)
        self.taught_by = EvidenceMap(evidence_width)

    def train(self, mode: bool = True) -> TaughtATN:
        """Set the mode of the transformer; the evidence map is never in training mode."""
        super().train(mode)
        self.taught_by.eval()
        return self

    def forward(self, image: Tensor) -> Seen | TaughtOutput:
        seen = super().forward(image)
        if not self.training:
            return seen
        with torch.no_grad():
            return TaughtOutput(*seen, self.taught_by(image).evidence.flatten(2))


class OneWindow(Window):
    """One window for all inputs: an attention transformer without a localisation network; 431 083 parameters.

    What 2021's first attention transformers had become: theta the same for every input (study 3.7, 5377d2e to b0bc17d).

    Args:
        scale_start, scale, scales: of `ATN`.
        options: of `Transformer`: padding, kaiming, sampler.
    """

    def __init__(self, scale_start: float = 0.2, scale: str = "free", scales: int = 1, **options):
        parametrisation = Attention(scale_start, scale, scales)
        super().__init__(parametrisation, Constant(parametrisation), **options)


class PoloATN(Window):
    """Polo-STN: a log-polar retina says where to look, a window of fixed width looks there; 455 754 parameters by
    default (study 1.5).

    Args:
        retina: a name in `retina.RETINAS`. scale_start: width of the window, in widths of the image.
        hidden, standard, magnitudes: of `LogPolar`.
        reconstruction: whether the retina stands before the whole network, as before an ordinary transformer: the
            window, too, sees no more of the field than the image that has the same features (claim C79).
        options: of `Transformer`: padding, zero_start, centre, kaiming, sampler.
    """

    def __init__(
        self,
        retina: str = "polo768",
        scale_start: float = 0.2,
        hidden: int = 32,
        standard: bool = False,
        magnitudes: bool = False,
        reconstruction: bool = False,
        **options,
    ):
        parametrisation = Attention(scale_start, "fixed")
        super().__init__(parametrisation, LogPolar(parametrisation, retina, hidden, standard, magnitudes), **options)
        self.reconstruction = reconstruction

    def shown(self, image: Tensor) -> Tensor:
        """Return what is shown to the network of fields (B, 1, 128, 128): all, or their reconstruction."""
        if not self.reconstruction:
            return image
        retina = retinas.build(self.localisation.settings, image.device)
        with torch.no_grad():
            return retina.invert(retina(image))


class ConvPoloATN(Window):
    """Polo-STN whose localisation convolves over rings and azimuths; 667 652 parameters (study 1.5).

    Args:
        scale_start: width of the window, in widths of the image.
        hidden, standard, wrap, magnitudes: of `LogPolarConv`.
        options: of `Transformer`: padding, zero_start, centre, kaiming, sampler.
    """

    def __init__(
        self,
        scale_start: float = 0.2,
        hidden: int = 200,
        standard: bool = False,
        wrap: bool = False,
        magnitudes: bool = False,
        **options,
    ):
        parametrisation = Attention(scale_start, "fixed")
        localisation = LogPolarConv(parametrisation, hidden, standard, wrap, magnitudes)
        super().__init__(parametrisation, localisation, **options)


def localisation_for(model: Transformer, other: Transformer, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state for the localisation of `model`, with which it predicts the theta that `other` predicts.

    What comes before the last layer is the same in both. The last layer may give an `Affine` window where the other's
    gives an `Attention`: theta is linear in either's numbers, unless a scale is "positive".

    Args:
        weights: state of `other`.

    Raises:
        ConfigurationError: neither is so.
    """
    state = {name: value for name, value in weights.items() if name.startswith("localisation.")}
    theirs = other.parametrisation
    if vars(model.parametrisation) == vars(theirs):
        return state
    if not isinstance(model.parametrisation, Affine) or getattr(theirs, "law", "") == "positive":
        raise ConfigurationError(
            "start_with='localisation' takes over a window of the same settings, or one that is linear in affine ones."
        )
    n = len(theirs.start)
    with torch.no_grad():
        at_zero = theirs.matrix(torch.zeros(1, n)).flatten()  # (6,)
        per_number = (theirs.matrix(torch.eye(n)).flatten(1) - at_zero).T  # (6, n)
        last = "localisation.last."
        return state | {
            f"{last}weight": per_number @ state[f"{last}weight"].cpu(),
            f"{last}bias": per_number @ state[f"{last}bias"].cpu() + at_zero,
        }


# ---- arithmetic -----------------------------------------------------------------------------------------------------


def in_bfloat16(model: nn.Module) -> None:
    """Let the networks of a model compute in bfloat16, from now on: of a transformer or searcher what looks and what
    names, else the whole.

    Weights stay float32, and so do images, windows, the sampler, and what the networks return: a place needs more than
    the 8 bits of a bfloat16. What it is worth depends on the device: see `fast_in_bfloat16`.
    """
    networks = [
        part for name, part in model.named_children() if name in ("localisation", "classifier", "where", "what")
    ]
    for network in networks or [model]:
        network.forward = partial(_in_bfloat16, network.forward)


def fast_in_bfloat16(device: torch.device | str) -> bool:
    """Return whether a device multiplies faster in bfloat16 than in float32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities() if kind == "cpu" else {}
    return able.get("amx_bf16", False) or able.get("avx512_bf16", False)


def _in_bfloat16(forward: Callable[..., Tensor | Seen], image: Tensor, *given: Tensor) -> Tensor | Seen:
    with torch.autocast(image.device.type, torch.bfloat16):
        found = forward(image, *given)
    return found.float() if isinstance(found, Tensor) else found._replace(logits=found.logits.float())


# ---- by name --------------------------------------------------------------------------------------------------------

MODELS = {
    "lenet": LeNet,
    "tutorial": TutorialNet,
    "downsampled": Downsampled,
    "stn28": STN28,
    "stn128": STN128,
    "atn": ATN,
    "taught_atn": TaughtATN,
    "one_window": OneWindow,
    "polo": PoloATN,
    "conv_polo": ConvPoloATN,
    "where": WhereNet,
    "evidence": EvidenceMap,
}

_FOUR = {"classifier_kernels": (20, 50, 80, 100)}
STEPPING_STONES: dict[str, dict] = {  # options of "stn128" on the way to its defaults, by claim
    "first": {"kernels": (8, 10, 16), "hidden": (64, 32), **_FOUR, "classifier_hidden": 500},  # C20, C21
    "one dense less": {"kernels": (8, 10, 16), **_FOUR, "classifier_hidden": 500},  # C22
    "more kernels": {"kernels": (16, 32, 64), **_FOUR},  # C25, C34
    "dropout": {"kernels": (8, 10, 16), **_FOUR, "classifier_hidden": 500, "dropout": 0.5},  # C27
    "translated cluttered": {"kernels": (32, 64), "first": "strided"},  # C28
    "foveated": {"kernels": (8, 32), "first": "foveated"},  # C35
    "no bias": {"bias": False},  # C18
}


def of_localisation(options: Mapping[str, object]) -> dict:
    """Return options of "stn128" without those of its classifier."""
    return {name: value for name, value in options.items() if not name.startswith("classifier_")}


def defaults(name: str) -> dict[str, object]:
    """Return the options of a model and their defaults, those of its base classes included."""
    kind = MODELS[choose("model", name, MODELS)]
    ours = kind.__mro__[: kind.__mro__.index(nn.Module)]
    named = (p for each in reversed(ours) for p in inspect.signature(each.__init__).parameters.values())
    return {p.name: p.default for p in named if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty}


def build(name: str, generator: torch.Generator | None = None, **options) -> nn.Module:
    """Return a model by name, its weights drawn from `generator` (a fixed one if None), on the CPU.

    Raises:
        ConfigurationError: an unknown name, option or option value.
    """
    known = defaults(name)
    for option in options:
        choose(f"option of {name}", option, known)
    with torch.random.fork_rng(devices=[]):  # PyTorch's layers draw weights of their own first
        model = MODELS[name](**options)
    initialise(model, generator or rng.generator("weights", 0), getattr(model, "kaiming", False))
    if hasattr(model, "begin"):
        model.begin()
    return model.to(memory_format=torch.channels_last)  # 1.6 times as fast on a CPU


def device_of(module: nn.Module) -> torch.device:
    """Return the device that the weights of a model are on; the CPU if it has none."""
    return next(module.parameters(), torch.empty(0)).device


def count(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
