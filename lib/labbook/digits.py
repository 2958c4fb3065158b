"""Handwritten digits as uint8 tensors, with their provenance.

MNIST (LeCun et al. 1998) is read from the folder that `LABBOOK_DATA` names (a torchvision root: `MNIST/raw/`, plain or
gz files), else from torchvision's own download. Its test digits come with the book: where only those are looked at, as
when an analysis of stored trainings is executed again, nothing else is needed. Without MNIST, `data="auto"` falls back
to the 1 797 digits that come with scikit-learn, brought to 28x28.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from . import files
from .errors import ConfigurationError, choose

LARGEST = 16 + 60_000 * 28 * 28  # bytes of MNIST's largest file, uncompressed
TRAINING_DIGITS = 60_000
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


class Deferred(Digits):
    """Digits that are got when they are first looked at; how many there are is known before."""

    def __init__(self, n: int, first: int, get: Callable[[], Digits]):
        for name, value in (("n", n), ("first", first), ("get", get)):
            object.__setattr__(self, name, value)

    @property
    def images(self) -> Tensor:
        """The images."""
        return self.get().images

    @property
    def labels(self) -> Tensor:
        """The labels."""
        return self.get().labels

    def __len__(self) -> int:
        return self.n

    def to(self, device: torch.device | str) -> Digits:
        """Return the same digits on `device`; on the CPU still deferred."""
        return self if torch.device(device).type == "cpu" else self.get().to(device)

    def __getitem__(self, rows: slice) -> Digits:
        return self.get()[rows]


@dataclass(frozen=True)
class DigitSets:
    """Training, validation and test digits, and where they come from.

    `name` is "mnist" or "digits", `origin` says it in words, `folder` is the place of MNIST's files, `why` the reason
    why these digits stand in for MNIST.
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


def load(data: str = "auto", tests: Path | None = None) -> DigitSets:
    """Return the digits that `data` asks for.

    Args:
        data: "mnist" (never falls back), "digits" (scikit-learn's), or "auto" (MNIST if it can be had).
        tests: folder that holds MNIST/raw/ with the test digits alone. Where the others are not on this machine, they
            are then got when they are first looked at, and not before.

    Raises:
        ConfigurationError: an unknown name; MNIST asked for and not to be had; a truncated or altered file, named with
            both checksums.
    """
    if choose("data", data, ("auto", "mnist", "digits")) == "digits":
        return _bundled()
    named = os.environ.get("LABBOOK_DATA")
    if named:
        return _mnist(_named(Path(named).expanduser()))
    if tests is not None and (tests / "MNIST" / "raw").is_dir() and not _whole(_cache() / "MNIST" / "raw"):
        return _test_digits(tests / "MNIST" / "raw")
    try:
        return _cached()
    except Missing as missing:
        if data == "auto":
            return replace(_bundled(), why=str(missing))
        raise ConfigurationError(
            f"data='mnist' finds no MNIST: {missing} Name a folder that holds MNIST/raw/ in LABBOOK_DATA, connect to "
            "the network, or use data='digits'."
        ) from None


def banner(sets: DigitSets) -> str:
    """Return the notice that a page must open with when it does not show MNIST, else an empty string."""
    if sets.name == "mnist":
        return ""
    return (
        f"These pages were made with the {len(sets.train) + len(sets.validation) + len(sets.test)} digits bundled "
        f"with scikit-learn{', because MNIST could not be had' if sets.why else ''}. Their numbers are no stand-in for "
        f"MNIST results.{f' {sets.why}' if sets.why else ''}"
    )


# ---- MNIST ----------------------------------------------------------------------------------------------------------


class Missing(Exception):
    """MNIST cannot be had: says why, in a sentence."""


def _named(root: Path) -> Path:
    """Return the folder with the four IDX files that LABBOOK_DATA names."""
    if (raw := root / "MNIST" / "raw").is_dir():
        return raw
    above = [each for each in list(root.parents)[:2] if (each / "MNIST" / "raw").is_dir()]
    cure = f" Name {str(above[0])!r}, which holds it." if above and root.is_relative_to(above[0] / "MNIST") else ""
    raise ConfigurationError(f"LABBOOK_DATA={str(root)!r} holds no folder MNIST/raw.{cure}")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lab-book"


def _whole(raw: Path) -> bool:
    """Return whether all four files are there, whatever they hold."""
    return all(_find(raw, name) for name in _MNIST_SHA256)


def _cached() -> DigitSets:
    """Return MNIST from the cache; what lacks there, or is truncated or altered, is downloaded.

    Raises:
        Missing: there is no network, or no room, or something else came.
    """
    root = _cache()
    raw = root / "MNIST" / "raw"
    if _whole(raw):
        with suppress(ConfigurationError):
            return _mnist(raw)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / "download.lock"):
            for path in _broken(raw):  # torchvision would take it for whole
                path.unlink()
            _torchvision_datasets().MNIST(str(root), download=True)
    except (ImportError, OSError, RuntimeError) as error:  # no torchvision; no network, or no room: it raises either
        first, *_, last = (str(error).strip().splitlines() or [type(error).__name__]) * 2
        reason = first if first == last else f"{first.rstrip(':')}: {last}"  # torchvision's first and last line
        raise Missing(f"its download into {root} failed ({reason.rstrip('.')}).") from None
    if broken := _broken(raw):
        raise Missing(f"what was downloaded is not MNIST: {broken[0]} has another checksum.")
    return _mnist(raw)


def _broken(raw: Path) -> list[Path]:
    """Return the files of MNIST in a folder that are not what they should be."""
    found = []
    for name in _MNIST_SHA256:
        for path in filter(Path.exists, (raw / f"{name}.gz", raw / name)):
            try:
                _content(path, name)
            except ConfigurationError:
                found.append(path)
    return found


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
    content = _content(path, name)
    dimensions = content[3]
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _content(path: Path, name: str) -> bytes:
    """Return the uncompressed content of a file, no more of it than the largest has.

    Raises:
        ConfigurationError: it cannot be read, or is truncated or altered.
    """
    expected = _MNIST_SHA256[name]
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ConfigurationError(
            f"{path} is truncated or altered ({error}): expected SHA-256 {expected} of its content, found none that "
            f"can be read (the file itself: {_sha256(files.read(path))}); put the original in its place."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path}: {error.strerror or error}.") from None
    if (found := _sha256(content)) != expected:
        raise ConfigurationError(
            f"{path} is truncated or altered: expected SHA-256 {expected}, found {found}; put the original in "
            "its place."
        )
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _part(raw: Path, prefix: str) -> Digits:
    images, labels = (_read_idx(raw, f"{prefix}-{part}") for part in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    return Digits(torch.from_numpy(images.copy()), torch.from_numpy(labels.copy()).long(), part=int(prefix == "t10k"))


def _mnist(raw: Path) -> DigitSets:
    train, test = _part(raw, "train"), _part(raw, "t10k")
    return DigitSets(train[:-HELD_OUT], train[-HELD_OUT:], test, "mnist", _origin(len(train), len(test)), raw)


def _test_digits(raw: Path) -> DigitSets:
    """Return MNIST of which only the test digits are there as yet."""

    @lru_cache(maxsize=1)
    def every() -> DigitSets:
        try:
            return _cached()
        except Missing as missing:
            raise ConfigurationError(
                f"A new training needs MNIST: {missing} Name a folder that holds MNIST/raw/ in LABBOOK_DATA, connect "
                "to the network, or use data='digits'."
            ) from None

    test, n = _part(raw, "t10k"), TRAINING_DIGITS - HELD_OUT
    train = Deferred(n, 0, lambda: every().train)
    validation = Deferred(HELD_OUT, n, lambda: every().validation)
    return DigitSets(train, validation, test, "mnist", _origin(TRAINING_DIGITS, len(test)), raw)


def _origin(train: int, test: int) -> str:
    return f"MNIST, {train:,} + {test:,} digits"


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
