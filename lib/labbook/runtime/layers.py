"""Convolutions, each followed by 2x2 max pooling and a rectifier, in forms that differ in rounding and speed alone.

A form says how the same function is computed; weights, their names and their gradients are those of the plain one.

Folded layers, for a GPU: a kxk convolution (k odd) at stride 1 and its 2x2 pooling are one convolution of the image's
2x2 blocks, with four times the kernels, one set for each place in the pooled block; pooling is then the largest of four
channels. It takes 36/25 of the multiplications for 5x5 and 64/49 for 7x7, and has four times as many channels, 4 in
place of 1 and 80 in place of 20, which suits tensor cores; and neither pooling nor its backward pass looks for places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import choose


@dataclass(frozen=True)
class Form:
    """How convolutions are computed.

    Raises:
        ConfigurationError: a value outside what its field names.
    """

    folded: str = "none"  # or "first", layers with one input channel; or "all"; each with an odd kernel
    layout: str = "channels_last"  # or "contiguous": how images lie in memory

    def __post_init__(self):
        choose("folded", self.folded, ("none", "first", "all"))
        choose("layout", self.layout, ("channels_last", "contiguous"))

    @property
    def memory_format(self) -> torch.memory_format:
        """PyTorch's name for the layout."""
        return torch.channels_last if self.layout == "channels_last" else torch.contiguous_format


PLAIN = Form()
_form = PLAIN  # the one in use, see `computed_as`


@contextmanager
def computed_as(form: Form) -> Iterator[None]:
    """Let `features` take a form inside `with`; the models must lie in memory as it says (`laid_out`)."""
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

    >>> features([nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)], torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 50, 4, 4])
    """
    for conv in convs:
        if _folds(conv):
            x = _folded(conv, x)
        else:
            x = x if _form == PLAIN else x.contiguous(memory_format=_form.memory_format)
            x = F.relu(F.max_pool2d(conv(x), 2))
    return x


def _folds(conv: nn.Conv2d) -> bool:
    chosen = _form.folded == "all" or (_form.folded == "first" and conv.in_channels == 1)
    return chosen and all(size % 2 for size in conv.kernel_size)


def _folded(conv: nn.Conv2d, x: Tensor) -> Tensor:
    layout = {"memory_format": _form.memory_format}
    places = [F.pad(conv.weight, (j, 1 - j, i, 1 - i)) for i in (0, 1) for j in (0, 1)]  # each (n, c, k + 1, k + 1)
    blocks = F.pixel_unshuffle(torch.cat(places), 2).contiguous(**layout)  # (4 n, 4 c, (k + 1) / 2, (k + 1) / 2)
    bias = None if conv.bias is None else conv.bias.repeat(4)
    x = x[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]  # pooling leaves out the last of an odd number of rows
    x = F.conv2d(F.pixel_unshuffle(x, 2).contiguous(**layout), blocks, bias)
    return F.relu(x.unflatten(1, (4, -1)).max(1).values)  # (B, n, h', w')
