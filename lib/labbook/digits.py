"""Handwritten digits as uint8 tensors, with their provenance.

MNIST (LeCun et al. 1998) is read from the folder that `LABBOOK_DATA` names (a torchvision root: `MNIST/raw/`, plain or
gz files), else from torchvision's own download. Without either, `data="auto"` falls back to the 1 797 digits
that come with scikit-learn, brought to 28x28.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .errors import ConfigurationError, choose

HELD_OUT = 5_000  # training digits of MNIST kept for validation; the test digits serve reported evaluations alone

# Checksums of the uncompressed IDX files, so that plain and gz files are held to the same standard.
_MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@dataclass(frozen=True)
class Digits:
    """A set of digits: `images` uint8 (N, 28, 28), ink bright; `labels` int64 (N,); `first`, the index of digit 0
    in its source, and `part`, 1 for the test files of MNIST. Frozen stimuli depend on both."""

    images: Tensor
    labels: Tensor
    first: int = 0
    part: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Digits:
        """Return the same digits on `device`."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def __getitem__(self, rows: slice) -> Digits:
        """Return a contiguous part; its frozen stimuli stay those of the whole."""
        start, _, step = rows.indices(len(self))
        if step != 1:
            raise ConfigurationError(f"Digits are cut with step 1, not {step}: frozen stimuli depend on the position.")
        return replace(self, images=self.images[rows], labels=self.labels[rows], first=self.first + start)


@dataclass(frozen=True)
class DigitSets:
    """Training, validation and test digits, and where they come from.

    `name` is "mnist" or "digits", `origin` says it in words, `folder` is the place of MNIST's files.
    """

    train: Digits
    validation: Digits
    test: Digits
    name: str
    origin: str
    folder: Path | None = None

    def to(self, device: torch.device | str) -> DigitSets:
        """Return the same sets on `device`."""
        parts = {part: getattr(self, part).to(device) for part in ("train", "validation", "test")}
        return replace(self, **parts)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of all images and labels."""
        hashed = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            for column in (part.images, part.labels):
                hashed.update(column.cpu().contiguous().numpy())
        return hashed.hexdigest()


def load(data: str = "auto") -> DigitSets:
    """Return the digits that `data` asks for.

    Args:
        data: "mnist" (never falls back), "digits" (scikit-learn's), or "auto" (MNIST if it can be had).

    Raises:
        ConfigurationError: an unknown name; MNIST asked for and not to be had; a truncated or altered file, named
            with both checksums.
    """
    if choose("data", data, ("auto", "mnist", "digits")) == "digits":
        return _bundled()
    raw = _mnist_folder()
    if raw is None and data == "auto":
        return _bundled()
    if raw is None:
        raise ConfigurationError(
            "data='mnist' finds no MNIST: name a folder that holds MNIST/raw/ in LABBOOK_DATA, connect to the network, "
            "or use data='digits'."
        )
    return _mnist(raw)


def banner(sets: DigitSets) -> str:
    """Return the notice that a page must open with when it does not show MNIST, else an empty string."""
    if sets.name == "mnist":
        return ""
    return (
        f"These pages were made with the {len(sets.train) + len(sets.validation) + len(sets.test)} digits bundled "
        "with scikit-learn, because MNIST could not be found. Their numbers are no stand-in for MNIST results."
    )


# ---- MNIST ----------------------------------------------------------------------------------------------------------


def _mnist_folder() -> Path | None:
    """Return a folder with the four IDX files, downloading them if the network allows, or None."""
    named = os.environ.get("LABBOOK_DATA")
    if named:
        raw = Path(named).expanduser() / "MNIST" / "raw"
        if not raw.is_dir():
            raise ConfigurationError(f"LABBOOK_DATA={named!r} holds no folder MNIST/raw.")
        return raw
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lab-book"
    raw = root / "MNIST" / "raw"
    if all(_find(raw, name) for name in _MNIST_SHA256):
        return raw
    try:
        _torchvision_datasets().MNIST(str(root), download=True)
    except (ImportError, OSError, RuntimeError):  # no torchvision; no network, or no room: it raises either
        return None
    return raw


def _torchvision_datasets():
    """Import `torchvision.datasets`, also where torchvision's compiled part does not fit a CPU build of torch."""
    try:
        from torchvision import datasets
    except RuntimeError:  # "operator torchvision::nms does not exist"
        global _stubs  # the definitions last as long as their library object
        _stubs = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            _stubs.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torchvision import datasets
    return datasets


def _find(raw: Path, name: str) -> Path | None:
    return next((path for path in (raw / f"{name}.gz", raw / name) if path.is_file()), None)


def _read_idx(raw: Path, name: str) -> np.ndarray:
    """Return the array of an IDX file after checking every byte of it."""
    path = _find(raw, name)
    if path is None:
        raise ConfigurationError(f"{raw} lacks {name} (plain or .gz).")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError(
            f"{path} is truncated or altered ({error}): expected SHA-256 {_MNIST_SHA256[name]} of its content, "
            f"found none that can be read (the file itself: {_sha256(path.read_bytes())})."
        ) from None
    if (found := _sha256(content)) != _MNIST_SHA256[name]:
        raise ConfigurationError(
            f"{path} is truncated or altered: expected SHA-256 {_MNIST_SHA256[name]}, found {found}."
        )
    dimensions = content[3]
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _mnist(raw: Path) -> DigitSets:
    def read(prefix: str) -> Digits:
        images, labels = (_read_idx(raw, f"{prefix}-{part}") for part in ("images-idx3-ubyte", "labels-idx1-ubyte"))
        return Digits(
            torch.from_numpy(images.copy()), torch.from_numpy(labels.copy()).long(), part=int(prefix == "t10k")
        )

    train, test = read("train"), read("t10k")
    origin = f"MNIST, {len(train):,} + {len(test):,} digits"
    return DigitSets(train[:-HELD_OUT], train[-HELD_OUT:], test, "mnist", origin, raw)


# ---- scikit-learn's digits ------------------------------------------------------------------------------------------


def _bundled() -> DigitSets:
    """Return scikit-learn's 8x8 digits as 28x28 images: bicubic to 20x20, contrast stretched, centred by mass."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = torch.from_numpy(bunch.images / 16).float()[:, None]  # (1797, 1, 8, 8) in [0, 1]
    grown = torch.nn.functional.interpolate(small, (20, 20), mode="bicubic", align_corners=False)[:, 0]
    grown = ((grown - 0.25) / 0.5).clamp(0, 1)
    images = torch.zeros(len(grown), 28, 28)
    axis = torch.arange(20.0)
    for image, digit in zip(images, grown, strict=True):
        row, column = (
            int((14 - (digit.sum(1 - d) * axis).sum() / digit.sum() - 0.5).round().clamp(0, 8)) for d in (0, 1)
        )
        image[row : row + 20, column : column + 20] = digit
    images = (images * 255).round().to(torch.uint8)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(2021))
    every = Digits(images[order], torch.from_numpy(bunch.target).long()[order])
    return DigitSets(
        every[:1200], every[1200:1400], every[1400:], "digits", f"scikit-learn's digits, {len(every)} of 8x8 pixels"
    )
