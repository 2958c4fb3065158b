"""Evidence maps: one small convolutional network at every place of the field, and the sum over places.

The network gives eleven numbers at each place of a grid: one for each digit, one for "no digit here". Their difference
is a log likelihood ratio, the *evidence* s_c(p) that the pixels around place p show digit c rather than texture alone.
A field holds one digit at one unknown place, so that its likelihood under the label c is a sum over places,

    p(image | c) = p(image | no digit) x mean over p of exp s_c(p),

and the evidence of the field for c is the log-sum-exp of s_c over the places. The cross-entropy of its softmax with the
label is the negative log marginal likelihood: multiple-instance learning with the place as the latent instance
(Dietterich et al. 1997; Maron & Lozano-Perez 1998). Its gradient reaches all places at once.

Convention
    places      pixels, (row, column) = (down, right) from the middle of the field: the centre of the 28x28 pixels of a
                place. On 128 pixels and a stride of 4: 26x26 places, -50, -46, ..., 50
    evidence    (B, 10, rows, columns), natural logarithms of likelihood ratios
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import stimuli
from ..errors import ConfigurationError, choose, within
from ..stimuli import EDGE, GREY

NEAR = 6.0  # pixels around the place of highest evidence within which the posterior is averaged


class EvidenceOutput(NamedTuple):
    """What an evidence map returns: logits (B, 10), the evidence of the field; theta (B, 2, 3), the 28x28 window at the
    place that most probably holds the digit; crop (B, 1, 28, 28), what that window shows; evidence (B, 10, rows,
    columns)."""

    logits: Tensor
    theta: Tensor
    crop: Tensor
    evidence: Tensor


class EvidenceMap(nn.Module):
    """A fully convolutional network with one output per digit and place; 46 907 parameters by default.

    5x5, 5x5 and 4x4 convolutions to w, 2 w and 4 w channels, the first two followed by 2x2 max pooling, all by batch
    normalisation and rectification; then a 1x1 convolution. Pooling comes first, where it leaves a quarter of the
    values to normalise.

    Args:
        width: w, channels of the first layer; 16 gives 46 907 parameters, 23 gives 95 899.
        stride: distance of neighbouring places, pixels: 2, 4 or 8; each has 28x28 pixels, and all the same weights
            (2: the second pooling moves by a pixel, and what follows is dilated).
        pooling: how the evidence of the places becomes the field's: "marginal" (log-sum-exp), "max", "mean", or
            "attention" (weights from the eleventh output, Ilse et al. 2018).
        blank: whether the eleventh output, "no digit", is subtracted from the others. Attention takes it for itself.

    Example:
        >>> EvidenceMap()(torch.rand(2, 1, 128, 128)).evidence.shape
        torch.Size([2, 10, 26, 26])
    """

    kaiming = True  # see `classifiers.initialise`

    def __init__(self, width: int = 16, stride: int = 4, pooling: str = "marginal", blank: bool = True):
        super().__init__()
        within("width", width, 1, 512, whole=True)
        self.stride = choose("stride", stride, (2, 4, 8))
        self.pooling = choose("pooling", pooling, POOLINGS)
        self.blank = blank and pooling != "attention"
        widths = width, 2 * width, 4 * width
        self.conv1 = nn.Conv2d(1, widths[0], 5, bias=False)
        self.conv2 = nn.Conv2d(widths[0], widths[1], 5, bias=False)
        self.conv3 = nn.Conv2d(
            widths[1], widths[2], 4, stride=2 if stride == 8 else 1, dilation=2 if stride == 2 else 1, bias=False
        )
        self.norm1, self.norm2, self.norm3 = map(nn.BatchNorm2d, widths)
        self.last = nn.Conv2d(widths[2], 11 if blank or pooling == "attention" else 10, 1)

    def reset_parameters(self) -> None:
        """Start with little evidence: without any all places are alike, which takes hundreds of steps to overcome; with
        that of a He-initialised layer the sum is that of a few places."""
        with torch.no_grad():
            self.last.weight.mul_(0.3)

    def outputs(self, image: Tensor) -> Tensor:
        """Return the numbers (B, 11 or 10, rows, columns) at each place of images (B, 1, h, w)."""
        x = F.max_pool2d(self.conv1(image - GREY), 2)  # (B, w, 62, 62)
        x = F.relu(self.norm1(x))
        x = F.max_pool2d(self.conv2(x), 2, 1 if self.stride == 2 else 2)  # (B, 2 w, 29, 29)
        x = F.relu(self.norm2(x))
        x = F.relu(self.norm3(self.conv3(x)))  # (B, 4 w, 26, 26)
        return self.last(x).float()

    def forward(self, image: Tensor) -> EvidenceOutput:
        outputs = self.outputs(image)
        evidence = outputs[:, :10] - outputs[:, 10:] if self.blank else outputs[:, :10]
        logits = POOLINGS[self.pooling](evidence, outputs[:, 10:])  # (B, 10)
        with torch.no_grad():
            somewhere = outputs[:, 10] if self.pooling == "attention" else evidence.logsumexp(1)  # (B, rows, columns)
            grid = places(image.shape[-1], self.stride, str(image.device))
            place = most_probable(somewhere.flatten(1), grid)  # (B, 2)
            crop = stimuli.crops(image, place.round().to(torch.int64))
        return EvidenceOutput(logits, stimuli.window(place, image.shape[-1]), crop, evidence)


def _attended(evidence: Tensor, attention: Tensor) -> Tensor:
    return (evidence * attention.flatten(2).softmax(2).view_as(attention)).sum((2, 3))


POOLINGS = {  # evidence (B, 10, rows, columns), the eleventh output (B, 1, rows, columns) -> logits (B, 10)
    "marginal": lambda evidence, _: evidence.flatten(2).logsumexp(2),
    "max": lambda evidence, _: evidence.amax((2, 3)),
    "mean": lambda evidence, _: evidence.mean((2, 3)),
    "attention": _attended,
}


def most_probable(scores: Tensor, grid: Tensor) -> Tensor:
    """Return where the digit most probably is (B, 2), given log posteriors (B, n), up to a constant, of places (n, 2):
    the mean of the posterior within `NEAR` pixels of its highest place."""
    share = scores.softmax(1)  # (B, n)
    best = grid[share.argmax(1)]  # (B, 2)
    share = share * ((grid - best[:, None]).norm(dim=2) <= NEAR)
    return share @ grid / share.sum(1, keepdim=True)


def given_label(evidence: Tensor, labels: Tensor, edge: int = stimuli.FIELD, stride: int = 4) -> Tensor:
    """Return the most probable place (B, 2) of the digit whose label (B,) is known, by evidence (B, 10, n)."""
    scores = evidence.gather(1, labels[:, None, None].expand(-1, 1, evidence.shape[2]))[:, 0]  # (B, n)
    return most_probable(scores, places(edge, stride, str(evidence.device)))


@lru_cache(maxsize=16)
def places(edge: int = stimuli.FIELD, stride: int = 4, device: str = "cpu") -> Tensor:
    """Return the places (n, 2) of the map of a field of `edge` pixels, row by row.

    Raises:
        ConfigurationError: a field smaller than a digit.
    """
    if edge < EDGE:
        raise ConfigurationError(f"A field of {edge} pixels is smaller than a digit; {EDGE} pixels are the least.")
    axis = torch.arange(0, edge - EDGE + 1, stride, device=device, dtype=torch.float32) - (edge - EDGE) / 2
    return torch.cartesian_prod(axis, axis)


# ---- what limits it -------------------------------------------------------------------------------------------------


REACH = 10.0  # pixels around a digit's true offset: a map prefers places that are some pixels off


def at_true_place(output: EvidenceOutput, offsets: Tensor, edge: int = stimuli.FIELD, stride: int = 4) -> Tensor:
    """Return the evidence (B, 10) of the places within `REACH` pixels, along each axis, of each digit's true offset
    (B, 2): the prediction of the same network at the true position, a ceiling."""
    apart = (places(edge, stride, str(offsets.device)) - offsets[:, None]).abs().amax(2)  # (B, n)
    return output.evidence.flatten(2).masked_fill((apart > REACH)[:, None], float("-inf")).logsumexp(2)


def near_digit(output: EvidenceOutput, offsets: Tensor, edge: int = stimuli.FIELD, within: float = 8.0) -> Tensor:
    """Return whether the most probable place is within so many pixels of the digit's true offset (B,)."""
    return (stimuli.fixations(output.theta, edge) - offsets).norm(dim=1) <= within
