"""Tensors and networks as text, for `tensors.js`: what an explorer computes with in the page."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


def encode(tensor: Tensor, dtype: str = "float32", bits: int = 8, packed: bool = False) -> dict:
    """Return a tensor as plain data for `tensors.decode` or, packed, `tensors.unpack`.

    Args:
        dtype: "float32", "float16", "uint8" (whole numbers as they are), or "int8": every row (entry of the first axis)
            times the scale that brings its largest magnitude to the largest whole number of so many `bits`, 2 to 8.
        packed: whether the bytes are deflated before base64.

    Raises:
        ValueError: another dtype, or another number of bits.
    """
    tensor = tensor.detach().cpu().float()
    scale: dict[str, list[float]] = {}
    if dtype == "int8":
        if not 2 <= bits <= 8:
            raise ValueError(f"bits={bits!r} must be from 2 to 8.")
        rows = tensor.reshape(len(tensor), -1)
        factors = rows.abs().amax(1).clamp_min(1e-30) / (2 ** (bits - 1) - 1)  # (rows,)
        tensor = (rows / factors[:, None]).round().view(tensor.shape)
        scale = {"scale": [float(np.format_float_positional(f, 6, fractional=False)) for f in factors.numpy()]}
    elif dtype not in ("float32", "float16", "uint8"):
        raise ValueError(f"dtype={dtype!r} must be 'float32', 'float16', 'int8' or 'uint8'.")
    content = tensor.numpy().astype(np.dtype(dtype).newbyteorder("<")).tobytes()
    content = zlib.compress(content, 9) if packed else content
    kind = {"shape": list(tensor.shape), "dtype": dtype, **scale, **({"packed": "deflate"} if packed else {})}
    return kind | {"data": base64.b64encode(content).decode()}


def decode(coded: dict) -> Tensor:
    """Return the tensor that the page computes with, exactly."""
    content = base64.b64decode(coded["data"])
    content = zlib.decompress(content) if "packed" in coded else content
    values = torch.from_numpy(np.frombuffer(content, np.dtype(coded["dtype"]).newbyteorder("<")).astype(np.float32))
    scale = torch.tensor(coded.get("scale", [1.0]))
    return (values.view(len(scale), -1) * scale[:, None]).view(coded["shape"])


def network(modules: Sequence[nn.Module], dtype: str = "int8", bits: int = 8) -> list[dict]:
    """Return layers for `tensors.network`: weights in `dtype` and packed, biases as float32.

    Args:
        modules: convolutions and linear layers, rectifiers, max pooling; a batch normalisation in evaluation mode is
            folded into a convolution right before it.

    Raises:
        ValueError: another kind of layer.
    """
    layers: list[dict] = []
    weights: list[tuple[Tensor, Tensor]] = []
    for module in modules:
        if isinstance(module, nn.BatchNorm2d):
            gain = module.weight / (module.running_var + module.eps).sqrt()  # (out,)
            if layers and layers[-1]["kind"] == "conv":
                weight, bias = weights[-1]
                weights[-1] = weight * gain[:, None, None, None], (bias - module.running_mean) * gain + module.bias
            else:
                shift = module.bias - module.running_mean * gain
                layers.append({"kind": "affine", "weight": encode(gain), "bias": encode(shift)})
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            bias = torch.zeros(len(module.weight)) if module.bias is None else module.bias
            weights.append((module.weight, bias))
            size = {"stride": module.stride[0], "padding": module.padding[0]} if isinstance(module, nn.Conv2d) else {}
            layers.append({"kind": "conv" if size else "dense", **size})
        elif isinstance(module, nn.MaxPool2d):
            layers.append({"kind": "pool", "size": module.kernel_size})
        elif isinstance(module, nn.ReLU):
            layers.append({"kind": "relu"})
        else:
            raise ValueError(f"{type(module).__name__} has no counterpart in tensors.js.")
    weighted = [layer for layer in layers if layer["kind"] in ("conv", "dense")]
    for layer, (weight, bias) in zip(weighted, weights, strict=True):
        layer |= {"weight": encode(weight, dtype, bits, packed=True), "bias": encode(bias)}
    return layers


def lenet(model: nn.Module, dtype: str = "int8", bits: int = 8) -> list[dict]:
    """Return the layers of a `LeNet` for `tensors.network`."""
    pool, relu = nn.MaxPool2d(2), nn.ReLU()
    modules = (model.conv1, pool, relu, model.conv2, pool, relu, model.dense1, relu, model.dense2)
    return [{"kind": "subtract", "value": model.grey}, *network(modules, dtype, bits)]


def ten_digits() -> Tensor:
    """Return one test digit of MNIST per label, 0 to 9, for pages that need no more: uint8 (10, 28, 28), ink bright."""
    return decode(json.loads(Path(__file__).with_name("ten_digits.json").read_text("utf-8"))).to(torch.uint8)
