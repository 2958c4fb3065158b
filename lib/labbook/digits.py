"""Handwritten digits as uint8 tensors, with their provenance.

MNIST (LeCun et al. 1998) is read from the folder that `LABBOOK_DATA` names, else downloaded once (`runtime.mnist`). Its
test digits come with the book: an analysis of stored trainings needs no others. Without MNIST, `data="auto"` falls back
to the 1 797 digits that come with scikit-learn, brought to 28x28.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import Tensor

from .errors import ConfigurationError, choose
from .runtime import mnist
from .runtime.mnist import Missing

TRAINING_DIGITS = 60_000
HELD_OUT = 5_000  # training digits of MNIST kept for validation; the test digits serve reported evaluations alone


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
        return Digits(self.images.to(device), self.labels.to(device), self.first, self.part)

    def __getitem__(self, rows: slice) -> Digits:
        """Return a contiguous part; its frozen stimuli stay those of the whole.

        >>> digits = Digits(torch.zeros(5, 28, 28, dtype=torch.uint8), torch.arange(5))
        >>> len(digits[2:]), digits[2:].first
        (3, 2)
        """
        start, _, step = rows.indices(len(self))
        if step != 1:
            raise ConfigurationError(f"Digits are cut with step 1, not {step}: frozen stimuli depend on the position.")
        return Digits(self.images[rows], self.labels[rows], self.first + start, self.part)


@dataclass(frozen=True)
class DigitSets:
    """Training, validation and test digits, and their provenance.

    `name` is "mnist" or "digits", `origin` says it in words, `folder` is where MNIST's files are, `why` the reason why
    these digits replace MNIST.
    """

    train: Digits
    validation: Digits
    test: Digits
    name: str
    origin: str
    folder: Path | None = None
    why: str = ""

    def to(self, device: torch.device | str) -> DigitSets:
        """Return the same sets on `device`."""
        return replace(self, **{part: getattr(self, part).to(device) for part in ("train", "validation", "test")})

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of all images and labels."""
        hashed = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            for column in (part.images, part.labels):
                hashed.update(column.cpu().contiguous().numpy())
        return hashed.hexdigest()


def load(data: str = "auto", tests: Path | None = None) -> DigitSets:
    """Return the digits that `data` asks for.

    Args:
        data: "mnist" (never falls back), "digits" (scikit-learn's), or "auto" (MNIST if it is available).
        tests: folder that holds MNIST/raw/ with the test digits alone. Unless `LABBOOK_DATA` names another, the
            training and validation digits are then loaded when they are first needed, and not before.

    Raises:
        ConfigurationError: an unknown name; MNIST asked for and not available; a truncated or altered file, named with
            both checksums.
    """
    if choose("data", data, ("auto", "mnist", "digits")) == "digits":
        return _bundled()
    if named := os.environ.get("LABBOOK_DATA"):
        return _mnist(mnist.named(Path(named).expanduser()))
    if tests is not None and (raw := tests / "MNIST" / "raw").is_dir():
        return _test_digits(raw)
    try:
        return mnist.cached(_mnist)
    except Missing as missing:
        if data == "auto":
            return replace(_bundled(), why=str(missing))
        raise missing.sentence("data='mnist' finds no MNIST") from None


# ---- MNIST ----------------------------------------------------------------------------------------------------------


def _mnist(raw: Path) -> DigitSets:
    train, test = _part(raw, "train"), _part(raw, "t10k")
    return DigitSets(train[:-HELD_OUT], train[-HELD_OUT:], test, "mnist", _origin(len(train), len(test)), raw)


def _part(raw: Path, prefix: str) -> Digits:
    images, labels = mnist.read(raw, prefix)
    return Digits(images, labels, part=int(prefix == "t10k"))


def _origin(train: int, test: int) -> str:
    return f"MNIST, {train:,} + {test:,} digits"


def _test_digits(raw: Path) -> DigitSets:
    """Return MNIST of which the test digits alone are here; the others are loaded when they are first needed."""

    @cache
    def every() -> DigitSets:
        try:
            return mnist.cached(_mnist)
        except Missing as missing:
            raise missing.sentence("A new training needs MNIST") from None

    test, n = _part(raw, "t10k"), TRAINING_DIGITS - HELD_OUT
    train = mnist.Deferred(n, 0, lambda: every().train)
    validation = mnist.Deferred(HELD_OUT, n, lambda: every().validation)
    return DigitSets(train, validation, test, "mnist", _origin(TRAINING_DIGITS, len(test)), raw)


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
    origin = f"scikit-learn's digits, {len(every)} of 8x8 pixels"
    return DigitSets(every[:1200], every[1200:1400], every[1400:], "digits", origin)
