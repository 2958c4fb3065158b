"""The file that a training is taken up from: sealed with its checksum, read without executing code."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from ..errors import ConfigurationError
from . import files

FORMAT = 1


def write(path: Path, state: dict) -> None:
    """Write a state of tensors, numbers, texts, lists and dictionaries atomically.

    Raises:
        ConfigurationError: see `files.write`.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    files.write(path, files.seal(buffer.getvalue()))


def read(path: Path, device: torch.device | str) -> dict:
    """Return the state of a checkpoint, its tensors on a device.

    Raises:
        ConfigurationError: a foreign, truncated or altered file, or another format.
    """
    content = io.BytesIO(files.unseal(files.read(path), path))
    try:
        state = dict(torch.load(content, map_location=device, weights_only=True))
    except Exception:  # whatever foreign bytes lead torch to
        raise ConfigurationError(f"{path} is no checkpoint of this library.") from None
    if state.get("format") != FORMAT:
        raise ConfigurationError(f"{path} has checkpoint format {state.get('format')}; this version reads {FORMAT}.")
    return state
