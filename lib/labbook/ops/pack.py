"""Packs: what was found on a lent machine, in a few files that any transfer takes, and the way back into the book.

A pack is one or more zip files, its parts, none above a limit. Every part holds `pack.json`, sealed with its checksum,
the same in all parts but for `part`:

    schema      of this format
    part        which one this is, 1 ... parts
    parts       how many there are
    files       path -> bytes, sha256, pieces: [[part, bytes], ...], in order
    left_out    paths for which there was no room

and pieces of files: a small file is one piece, a large one several, in whatever parts had room.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ..book import store
from ..book.store import Run
from ..errors import ConfigurationError, shown
from ..runtime import files

SCHEMA = 1
PART = 15_000_000  # bytes of a part at most
PARTS = 4  # at most: 60 MB
PIECES = 5  # of a large file that fit into a part: they fill what room is left
LISTED = 250  # bytes that a piece takes in the directory of its zip file, and a file in `pack.json`, at most
PATH = re.compile(r"(?!.*\.\.)[\w.-]+(/[\w.-]+)*")  # a path below the folder that a pack is unpacked to


def write(folder: Path, content: Iterable[tuple[str, bytes]], limit: int = PART, most: int = PARTS) -> list[Path]:
    """Write a pack in place of the one in a folder, and return its parts: `pack-1-of-3.zip` and so on.

    Args:
        content: path within the pack and bytes of each file, the most valuable first; what finds no room is left out.
        limit: bytes of a part at most. most: parts at most.

    Raises:
        ConfigurationError: it cannot be written.
    """
    content = list(content)
    start = 1000 + LISTED * len(content)  # bytes of `pack.json`
    size = (limit - start) // PIECES - LISTED - limit // 1000  # of a piece, which may be as long when compressed
    used: list[int] = []  # bytes of each part
    parts: list[dict[str, bytes]] = []  # name in the zip -> piece
    listed, left_out = {}, []
    for path, whole in content:
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)] or [b""]
        placed, room = [], list(used)
        for piece in pieces:
            needed = len(zlib.compress(piece, 6)) + LISTED
            part = next((k for k, each in enumerate(room) if each + needed <= limit), len(room))
            if part == len(room):
                room.append(start)
            room[part] += needed
            placed.append(part)
        if len(room) > most or max(room) > limit:
            left_out.append(path)
            continue
        used = room
        parts += [{} for _ in range(len(used) - len(parts))]
        for k, (part, piece) in enumerate(zip(placed, pieces, strict=True)):
            parts[part][f"{path}.{k}"] = piece
        listed[path] = {
            "bytes": len(whole),
            "sha256": files.digest(whole),
            "pieces": [[part + 1, len(piece)] for part, piece in zip(placed, pieces, strict=True)],
        }
    manifest = {"schema": SCHEMA, "parts": len(parts), "files": listed, "left_out": left_out}
    made = {}
    for number, part in enumerate(parts, 1):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            archive.writestr("pack.json", files.seal(json.dumps({**manifest, "part": number}).encode()))
            for name in sorted(part):
                archive.writestr(name, part[name])
        made[folder / f"pack-{number}-of-{len(parts)}.zip"] = buffer.getvalue()
    before = set(found(folder))
    for path, whole in made.items():
        files.write(path, whole)
    for path in before - set(made):
        path.unlink(missing_ok=True)
    return list(made)


def found(folder: Path) -> list[Path]:
    """Return the parts of the pack in a folder, as far as they are there."""
    return sorted(folder.glob("pack-*-of-*.zip"))


def read(paths: Sequence[Path]) -> tuple[dict[str, bytes], dict[str, list[int]]]:
    """Return the files in the parts given, path -> bytes, all of them checked; and those that are not whole here, path
    -> parts that are missing.

    Raises:
        ConfigurationError: a part is no pack, truncated, altered, of another schema, or of another pack than the first.
    """
    pieces: dict[tuple[str, int], bytes] = {}
    first: dict | None = None
    given = set()
    for path in paths:
        manifest, contents = _part(path)
        if first is None:
            first = manifest
        if {**manifest, "part": 0} != {**first, "part": 0}:
            raise ConfigurationError(f"{path} belongs to another pack than {paths[0]}.")
        given.add(manifest["part"])
        pieces |= contents
    whole, missing = {}, {}
    for name, facts in (first or {"files": {}})["files"].items():
        lacking = sorted({part for part, _ in facts["pieces"]} - given)
        if lacking:
            missing[name] = lacking
            continue
        content = b"".join(pieces[name, k] for k in range(len(facts["pieces"])))
        if files.digest(content) != facts["sha256"]:
            raise ConfigurationError(f"{paths[0]}: {name} was altered: its SHA-256 is not {facts['sha256']}.")
        whole[name] = content
    return whole, missing


def _part(path: Path) -> tuple[dict, dict[tuple[str, int], bytes]]:
    """Return the list of a part and its pieces, (path, number) -> bytes."""
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(files.unseal(archive.read("pack.json"), path))
            if not isinstance(manifest, Mapping) or manifest.get("schema") != SCHEMA:
                schema = shown(manifest.get("schema") if isinstance(manifest, Mapping) else None)
                raise ConfigurationError(f"{path} has pack schema {schema}; this version reads {SCHEMA}.")
            names = [
                (name, k)
                for name, facts in manifest["files"].items()
                for k, (part, _) in enumerate(facts["pieces"])
                if part == manifest["part"]
            ]
            if not all(PATH.fullmatch(name) for name, _ in names):
                raise ConfigurationError(f"{path} names a file outside of its own folder.")
            pieces = {(name, k): archive.read(f"{name}.{k}") for name, k in names}
    except ConfigurationError:
        raise
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, TypeError, ValueError, NotImplementedError) as error:
        raise ConfigurationError(f"{path} is no pack, truncated or altered: {shown(str(error))}.") from None
    return manifest, pieces


# ---- the way back ---------------------------------------------------------------------------------------------------


def bring(paths: Sequence[Path], book: Path, local: Path, say: Callable[[str], None] = print) -> list[str]:
    """Bring the runs of a pack into the book's store, and its record to `results/gpu/`; return the ids of the runs.

    Weights above 5 MB go to the local store, with their run; all else goes to the published one. What is there already
    stays: of a run that is there with the same weights, evaluations are added; of one with others, nothing.

    Raises:
        ConfigurationError: see `read`; a run or an evaluation that is not what it says. Nothing was brought then.
    """
    content, missing = read(paths)
    with tempfile.TemporaryDirectory() as place:
        staged = Path(place)
        for path, each in content.items():
            files.write(staged / path, each)
        runs = [run for folder in sorted((staged / "runs").glob("*/")) if (run := store.read_run(folder))]
        for run in runs:
            for path in run.folder.glob("*-*.json"):
                store.read_evaluation(path)
            if run.weights.exists():
                run.model()  # checks them
        record = json.loads(content.get("session.json", b"null"))
        for path, parts in missing.items():
            say(f"{path} is not whole here: import part {', '.join(map(str, parts))} too.")
        brought = [run.id for run in runs if _keep(run, staged / "runs", book / "runs", local, say)]
    if record is not None:
        written = book / "results" / "gpu" / f"session-{files.digest(content['session.json'])[:8]}.json"
        files.write(written, content["session.json"])
        say(f"The record of {record['machine']['device']}: {written}")
    say(f"{len(brought)} of {len(runs)} runs brought in.")
    return brought


def _keep(run: Run, staged: Path, published: Path, local: Path, say: Callable[[str], None]) -> bool:
    """Copy a run to the stores, and return whether no other run of its configuration was there."""
    there = [found for root in (published, local) if (found := store.read_run(root / run.id))]
    if any(found.weights_sha256 != run.weights_sha256 for found in there):
        say(f"{run.id} is here already with other weights, which stay.")
        return False
    large = run.weights.exists() and run.weights.stat().st_size > store.WEIGHTS_LIMIT
    for root in (local, published) if large else (published,):
        _copy(run, staged, root, without=store.WEIGHTS if large and root == published else "")
    return True


def _copy(run: Run, staged: Path, root: Path, without: str) -> None:
    """Copy the files of a run that are not there, those that make it count last."""
    last = [run.folder / store.RECORD, run.folder.parent / store.POINTER]
    first = [path for path in sorted(run.folder.iterdir()) if path not in last and path.name != without]
    for path in (*first, *last):
        kept = root / path.relative_to(staged)
        if not kept.exists():
            files.write(kept, files.read(path))
