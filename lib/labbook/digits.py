"""Handwritten digits as uint8 tensors, with their provenance.

MNIST (LeCun et al. 1998) is read from the folder that `LABBOOK_DATA` names (it holds `MNIST/raw/` with the four files,
plain or gz), else downloaded once by torchvision. Its test digits come with the book: an analysis of stored trainings
needs no other digits. Without MNIST, `data="auto"` falls back to the 1 797 digits that come with scikit-learn, brought
to 28x28.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor

from .errors import ConfigurationError, choose
from .runtime import files

TRAINING_DIGITS = 60_000
HELD_OUT = 5_000  # training digits of MNIST kept for validation; the test digits serve reported evaluations alone

# ---- sets of digits -------------------------------------------------------------------------------------------------


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


class DeferredDigits(Digits):
    """`n` digits that are loaded when their images or labels are first needed."""

    def __init__(self, n: int, first: int, load: Callable[[], Digits]):
        vars(self).update(n=n, first=first, load=load)

    def __getattr__(self, name: str) -> Tensor:
        if name not in ("images", "labels"):
            raise AttributeError(name)
        return getattr(self.load(), name)

    def __len__(self) -> int:
        return self.n

    def to(self, device: torch.device | str) -> Digits:
        """Return the same digits on `device`; on the CPU still deferred."""
        return self if torch.device(device).type == "cpu" else super().to(device)


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
        return _mnist(_named(Path(named).expanduser()))
    if tests is not None and (tests / "MNIST" / "raw").is_dir():
        return _test_digits(tests / "MNIST" / "raw")
    try:
        return _cached()
    except Missing as missing:
        if data == "auto":
            return replace(_bundled(), why=str(missing))
        raise missing.sentence("data='mnist' finds no MNIST") from None


# ---- MNIST ----------------------------------------------------------------------------------------------------------

LARGEST = 16 + 60_000 * 28 * 28  # bytes of MNIST's largest file, uncompressed
_MNIST_SHA256 = {  # of the uncompressed files, so that plain and gz files are held to the same standard
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


class Missing(Exception):
    """MNIST is not available: says why, in a sentence."""

    def sentence(self, problem: str) -> ConfigurationError:
        """Return the error for whoever needs it, with the cures."""
        return ConfigurationError(
            f"{problem}: {self} Name a folder that holds MNIST/raw/ in LABBOOK_DATA, connect to the network, or use "
            "data='digits'."
        )


def _mnist(raw: Path) -> DigitSets:
    train, test = _part(raw, "train"), _part(raw, "t10k")
    return DigitSets(train[:-HELD_OUT], train[-HELD_OUT:], test, "mnist", _origin(len(train), len(test)), raw)


def _test_digits(raw: Path) -> DigitSets:
    """Return MNIST of which only the test digits are there as yet."""

    @cache
    def every() -> DigitSets:
        try:
            return _cached()
        except Missing as missing:
            raise missing.sentence("A new training needs MNIST") from None

    test, n = _part(raw, "t10k"), TRAINING_DIGITS - HELD_OUT
    train = DeferredDigits(n, 0, lambda: every().train)
    validation = DeferredDigits(HELD_OUT, n, lambda: every().validation)
    return DigitSets(train, validation, test, "mnist", _origin(TRAINING_DIGITS, len(test)), raw)


def _origin(train: int, test: int) -> str:
    return f"MNIST, {train:,} + {test:,} digits"


def _named(root: Path) -> Path:
    """Return the folder with the four files that LABBOOK_DATA names."""
    if (raw := root / "MNIST" / "raw").is_dir():
        return raw
    above = [each for each in list(root.parents)[:2] if (each / "MNIST" / "raw").is_dir()]
    cure = f" Name {str(above[0])!r}, which holds it." if above and root.is_relative_to(above[0] / "MNIST") else ""
    raise ConfigurationError(f"LABBOOK_DATA={str(root)!r} holds no folder MNIST/raw.{cure}")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lab-book"


def _cached() -> DigitSets:
    """Return MNIST from the cache; a file that is missing there, truncated or altered is downloaded.

    Raises:
        Missing: there is no network, or no room, or something else came.
    """
    root, raw = _cache(), _cache() / "MNIST" / "raw"
    with suppress(ConfigurationError):
        return _mnist(raw)
    try:
        raw.mkdir(parents=True, exist_ok=True)
        with FileLock(root / "download.lock"):
            for name in filter(lambda name: not _intact(raw, name), _MNIST_SHA256):
                for path in (raw / name, raw / f"{name}.gz"):  # torchvision would take it for whole
                    path.unlink(missing_ok=True)
            _torchvision_datasets().MNIST(str(root), download=True)
    except (ImportError, OSError, RuntimeError) as error:  # no torchvision; no network, or no room: it raises either
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Missing(f"its download into {root} failed ({reason.rstrip('.')}).") from None
    if altered := [name for name in _MNIST_SHA256 if not _intact(raw, name)]:
        raise Missing(f"what was downloaded is not MNIST: {raw / altered[0]} has another checksum.")
    return _mnist(raw)


def _torchvision_datasets():
    """Import `torchvision.datasets`, also where its operators, which datasets do not use, do not fit torch's build."""
    try:
        from torchvision import datasets
    except RuntimeError:  # "operator torchvision::nms does not exist"
        global _operators  # the definitions last as long as their library object
        _operators = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            _operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torchvision import datasets
    return datasets


def _intact(raw: Path, name: str) -> bool:
    try:
        return bool(_content(raw, name))
    except ConfigurationError:
        return False


def _part(raw: Path, prefix: str) -> Digits:
    """Return the digits of one pair of files: headers of 16 and of 8 bytes, then a byte a pixel or a label."""
    images, labels = (
        torch.frombuffer(bytearray(_content(raw, f"{prefix}-{name}")), dtype=torch.uint8, offset=header)
        for name, header in (("images-idx3-ubyte", 16), ("labels-idx1-ubyte", 8))
    )
    return Digits(images.view(-1, 28, 28), labels.long(), part=int(prefix == "t10k"))


def _content(raw: Path, name: str) -> bytes:
    """Return the uncompressed content of a file, no more of it than the largest has, after checking every byte.

    Raises:
        ConfigurationError: there is no such file, it cannot be read, or is truncated or altered.
    """
    path = next((path for path in (raw / f"{name}.gz", raw / name) if path.is_file()), None)
    if path is None:
        raise ConfigurationError(f"{raw} lacks {name} (plain or .gz).")
    expected, cure = _MNIST_SHA256[name], "put the original in its place."
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ConfigurationError(
            f"{path} is truncated or altered ({error}): expected SHA-256 {expected} of its content, found none that "
            f"can be read (the file itself: {files.digest(files.read(path))}); {cure}"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path}: {error.strerror or error}.") from None
    if (found := files.digest(content)) != expected:
        raise ConfigurationError(f"{path} is truncated or altered: expected SHA-256 {expected}, found {found}; {cure}")
    return content


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
