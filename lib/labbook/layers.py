"""Convolutions, each followed by 2x2 max pooling and a rectifier, in forms that differ in rounding and speed alone.

What suits a GPU is not what is easiest to write: a first layer with one input channel leaves its tensor cores idle, and
so do numbers of channels that are no multiple of 8. A form says how the same function is computed; weights, their names
and their gradients are those of the plain one.

Folded first layer: a kxk convolution (k odd) at stride 1 and its 2x2 pooling are one convolution of the image's 2x2
blocks, with four times the kernels, one set for each place in the pooled block; pooling is then the largest of four
channels. 36/25 of the multiplications for 5x5, 64/49 for 7x7, with 4 input channels in place of 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import choose, within


@dataclass(frozen=True)
class Form:
    """How convolutions are computed.

    Raises:
        ConfigurationError: a value outside what its field names.
    """

    first: str = "plain"  # or "folded", of layers with one input channel, an odd kernel and an even image
    multiple: int = 1  # channels between layers are filled up with zeros to a multiple of this
    layout: str = "channels_last"  # or "contiguous": how images lie in memory

    def __post_init__(self):
        choose("first", self.first, ("plain", "folded"))
        within("multiple", self.multiple, 1, 64, whole=True)
        choose("layout", self.layout, ("channels_last", "contiguous"))

    @property
    def memory_format(self) -> torch.memory_format:
        """PyTorch's name for the layout."""
        return torch.channels_last if self.layout == "channels_last" else torch.contiguous_format


PLAIN = Form()
_form = PLAIN  # the one in use, see `computed_as`


@contextmanager
def computed_as(form: Form) -> Iterator[None]:
    """Let `features` take a form inside `with`; models that are not plain lie in memory as it says (`laid_out`)."""
    global _form
    before, _form = _form, form
    try:
        yield
    finally:
        _form = before


def laid_out(model: nn.Module, form: Form) -> nn.Module:
    """Return the model with its weights in the layout of a form."""
    return model.to(memory_format=form.memory_format)


def features(convs: Iterable[nn.Conv2d], x: Tensor) -> Tensor:
    """Return what convolutions at stride 1, each followed by 2x2 max pooling and a rectifier, make of (B, c, h, w).

    Pooling comes before the rectifier, which is the same function, computed on a quarter of the values.
    """
    convs = list(convs)
    if _form == PLAIN:
        for conv in convs:
            x = F.relu(F.max_pool2d(conv(x), 2))
        return x
    for conv in convs:
        x = _folded(conv, x) if _folds(conv, x) else F.relu(F.max_pool2d(_convolved(x, *_filled(conv, x)), 2))
    return x[:, : convs[-1].out_channels]


def _folds(conv: nn.Conv2d, x: Tensor) -> bool:
    odd = all(size % 2 for size in conv.kernel_size)
    return _form.first == "folded" and x.shape[1] == 1 and odd and not (x.shape[2] % 2 or x.shape[3] % 2)


def _filled(conv: nn.Conv2d, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return weights and bias for inputs with as many channels as x has, and for a multiple of output channels."""
    more = -conv.out_channels % _form.multiple
    weight = F.pad(conv.weight, (0, 0, 0, 0, 0, x.shape[1] - conv.in_channels, 0, more))
    return weight, conv.bias if conv.bias is None else F.pad(conv.bias, (0, more))


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    layout = _form.memory_format
    return F.conv2d(x.contiguous(memory_format=layout), weight.contiguous(memory_format=layout), bias)


def _folded(conv: nn.Conv2d, x: Tensor) -> Tensor:
    weight, bias = _filled(conv, x)  # (n, 1, k, k)
    places = [F.pad(weight, (j, 1 - j, i, 1 - i)) for i in (0, 1) for j in (0, 1)]  # each (n, 1, k + 1, k + 1)
    blocks = F.pixel_unshuffle(torch.cat(places), 2)  # (4 n, 4, (k + 1) / 2, (k + 1) / 2)
    seen = _convolved(F.pixel_unshuffle(x, 2), blocks, None if bias is None else bias.repeat(4))
    return F.relu(seen.unflatten(1, (4, -1)).max(1).values)  # (B, n, h', w')
