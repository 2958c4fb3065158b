"""The four files of MNIST, plain or gz, in `MNIST/raw/`: in a folder that is named, or downloaded once into a cache.

Every byte is held to its checksum.
"""

from __future__ import annotations

import gzip
import os
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch
from filelock import FileLock
from torch import Tensor

from ..errors import ConfigurationError
from . import files

Read = TypeVar("Read")
LARGEST = 16 + 60_000 * 28 * 28  # bytes of the largest file, uncompressed
SHA256 = {  # of the uncompressed files, so that plain and gz files are held to the same standard
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


def named(root: Path) -> Path:
    """Return the folder with the four files that LABBOOK_DATA names."""
    if (raw := root / "MNIST" / "raw").is_dir():
        return raw
    above = [each for each in list(root.parents)[:2] if (each / "MNIST" / "raw").is_dir()]
    cure = f" Name {str(above[0])!r}, which holds it." if above and root.is_relative_to(above[0] / "MNIST") else ""
    raise ConfigurationError(f"LABBOOK_DATA={str(root)!r} holds no folder MNIST/raw.{cure}")


def cache() -> Path:
    """Return the folder for downloaded files."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lab-book" / "MNIST" / "raw"


def cached(read: Callable[[Path], Read]) -> Read:
    """Return what `read` makes of the cached files; they are downloaded where it refuses them, or there are none.

    Raises:
        Missing: see `download`.
    """
    with suppress(ConfigurationError):
        return read(cache())
    download()
    return read(cache())


def download() -> None:
    """Bring into the cache what is missing there, truncated or altered.

    Raises:
        Missing: there is no network, or no room, or something else came.
    """
    raw = cache()
    root = raw.parents[1]
    try:
        raw.mkdir(parents=True, exist_ok=True)
        with FileLock(root / "download.lock"):
            for name in filter(lambda name: not _intact(raw, name), SHA256):
                for path in (raw / name, raw / f"{name}.gz"):  # torchvision would take it for whole
                    path.unlink(missing_ok=True)
            _torchvision_datasets().MNIST(str(root), download=True)
    except (ImportError, OSError, RuntimeError) as error:  # no torchvision; no network, or no room: it raises either
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Missing(f"its download into {root} failed ({reason.rstrip('.')}).") from None
    if altered := [name for name in SHA256 if not _intact(raw, name)]:
        raise Missing(f"what was downloaded is not MNIST: {raw / altered[0]} has another checksum.")


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
        return bool(content(raw, name))
    except ConfigurationError:
        return False


def content(raw: Path, name: str) -> bytes:
    """Return the uncompressed content of a file, no more of it than the largest has, after checking every byte.

    Raises:
        ConfigurationError: there is no such file, it cannot be read, or is truncated or altered: both checksums.
    """
    path = next((path for path in (raw / f"{name}.gz", raw / name) if path.is_file()), None)
    if path is None:
        raise ConfigurationError(f"{raw} lacks {name} (plain or .gz).")
    expected, cure = SHA256[name], "put the original in its place."
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


def read(raw: Path, prefix: str) -> tuple[Tensor, Tensor]:
    """Return images uint8 (N, 28, 28) and labels int64 (N,) of one pair of files, "train" or "t10k".

    They have headers of 16 and of 8 bytes, then a byte a pixel or a label.

    Raises:
        ConfigurationError: see `content`.
    """
    images, labels = (
        torch.frombuffer(bytearray(content(raw, f"{prefix}-{name}")), dtype=torch.uint8, offset=header)
        for name, header in (("images-idx3-ubyte", 16), ("labels-idx1-ubyte", 8))
    )
    return images.view(-1, 28, 28), labels.long()


class Deferred:
    """Stands for `n` digits, the first with index `first`, which `load` loads when anything else of them is needed."""

    def __init__(self, n: int, first: int, load: Callable[[], object]):
        self.n, self.first, self.load = n, first, load

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, rows: slice) -> object:
        return self.load()[rows]

    def __getattr__(self, name: str) -> object:
        return getattr(self.load(), name)

    def to(self, device: torch.device | str) -> object:
        """Return the same digits on `device`; on the CPU still deferred."""
        return self if torch.device(device).type == "cpu" else self.load().to(device)
