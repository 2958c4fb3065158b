"""Files that are whole or absent: atomic writes, and content sealed with its checksum."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from pathlib import Path

from ..errors import ConfigurationError


def write(path: Path, content: bytes) -> None:
    """Write a file so that, whatever happens, `path` holds either its old content or all of the new.

    Raises:
        ConfigurationError: the disk is full, the folder read-only, or the like; `path` is untouched.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")  # containers may share a folder and process numbers
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # it may never have been made
            draft.unlink()
        raise ConfigurationError(f"Cannot write {path}: {error.strerror or error}; nothing was changed.") from None


def read(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        ConfigurationError: it cannot be read.
        FileNotFoundError: there is none.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path}: {error.strerror or error}.") from None


def digest(content: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def seal(content: bytes) -> bytes:
    """Prefix content with its SHA-256."""
    return digest(content).encode() + b"\n" + content


def unseal(content: bytes, path: Path) -> bytes:
    """Return what `seal` was given.

    Raises:
        ConfigurationError: not a sealed file, truncated, or altered; the sentence names `path` and both checksums.
    """
    expected, _, content = content.partition(b"\n")
    if (found := digest(content)) != expected.decode("ascii", "replace"):
        raise ConfigurationError(
            f"{path} is foreign, truncated or altered: expected SHA-256 {expected[:64]!r}, found {found}."
        )
    return content


def sealed(path: Path, **types: type | tuple[type, ...]) -> dict:
    """Return the JSON object of a sealed file that has at least these keys, of these types.

    Raises:
        ConfigurationError: foreign, truncated, altered, unreadable, or another kind of content.
        FileNotFoundError: there is none.
    """
    content = unseal(read(path), path)
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} holds no JSON: {error}.") from None
    for key, kind in types.items():
        if not isinstance(record, dict) or not isinstance(record.get(key), kind):
            raise ConfigurationError(f"{path} is no file of this kind: it lacks {key!r}, or has it in another form.")
    return record
