"""Drift: what a fresh execution of a chapter shows that differs from the published one, number by number.

Compared are the outputs of the cells, in order: the numbers in them as they are printed, the pixels of the pictures,
and the words between. A number is within tolerance if it differs by no more than a thousandth of its value or, where it
is printed with a decimal point, by one unit in the last digit; a picture if no pixel differs by more than `LEVELS` of
255. Left out is what tells of the execution itself: the commit, the processor time, the command for another one. In a
cell tagged `measured-times` a number that differs counts as a time.
"""

from __future__ import annotations

import ast
import base64
import difflib
import html
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any

import nbformat

from ..book import checkout
from ..errors import ConfigurationError
from ..runtime import files

RELATIVE = 1e-3  # of the larger of two numbers
LEVELS = 4  # of 255
LARGEST = 5  # differences told per chapter

GLUED = "application/papermill.record/"  # before the forms of an output that is kept under a name
VOLATILE = re.compile(
    r'<div class="rerun">.*?</details></div>|\*Provenance\. .*?Code: [^*]*\*|\bcommit [0-9a-f]{7,40}( with changes)?',
    re.S,
)
PICTURE = re.compile(r"data:image/(?:png|jpeg|webp|gif);base64,([A-Za-z0-9+/=]+)")
DIGITS = r"(?<![\w.])[-−+]?{whole}(?:\.\d+)?(?:[eE][-+]?\d{{1,3}})?(?!\w)"
PRINTED = re.compile(DIGITS.format(whole=r"(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)"))  # 27,360 is one number
STORED = re.compile(DIGITS.format(whole=r"\d+"))  # in tags, scripts and JSON [1,234] are two
MACHINE = re.compile(r"(<script\b.*?</script>|<[^>]*>)", re.S)  # what a reader of the page does not read


@dataclass(frozen=True)
class Difference:
    """A number or a picture that is not the same in the two: where, what was published, what is there now."""

    cell: str  # id
    what: str  # the words before it
    published: str
    fresh: str
    size: float  # relative to the larger of two numbers; greatest difference of two pixels, 0 to 1


@dataclass(frozen=True)
class Count:
    """How many things were compared, and how many of them were equal, or within tolerance and not equal."""

    compared: int = 0
    equal: int = 0
    within: int = 0
    times: int = 0  # measured ones, which differ as they will

    @property
    def beyond(self) -> int:
        """How many differ by more than the tolerance, or are in one of the two only."""
        return self.compared - self.equal - self.within - self.times


@dataclass(frozen=True)
class Drift:
    """What the comparison of a chapter found."""

    numbers: Count
    pictures: Count
    words: int  # outputs whose words differ
    same_bytes: bool  # all of it, but for what is left out, and cells with measured times
    largest: list[Difference]  # beyond tolerance before within, large before small

    @property
    def held(self) -> bool:
        """Whether nothing differs by more than the tolerance."""
        return not (self.numbers.beyond or self.pictures.beyond or self.words)

    def __str__(self) -> str:
        parts = (
            f"{count.compared:,} {kind} compared, {count.within} within tolerance, {count.beyond} beyond"
            for kind, count in (("numbers", self.numbers), ("pictures", self.pictures))
        )
        return f"{'; '.join(parts)}; {self.numbers.times} measured times; other words in {self.words} outputs"


def compare(published: nbformat.NotebookNode, fresh: nbformat.NotebookNode) -> Drift:
    """Compare two executions of a chapter, output by output."""
    counts = {"numbers": Counter(), "pictures": Counter()}
    timed = {cell.id for cell in fresh.cells if "measured-times" in cell.metadata.get("tags", [])}
    words, same_bytes, found = 0, True, []
    for cell, before, now in _pairs(published, fresh):
        same_bytes &= before == now or cell in timed
        (text, numbers, pictures), (new_text, new_numbers, new_pictures) = _parts(before), _parts(now)
        words += text != new_text
        for kind, (old, new), judge in (
            ("numbers", _aligned(numbers, new_numbers), _number),
            ("pictures", (pictures, new_pictures), _picture),
        ):
            for a, b in zip_longest(old, new):
                word, difference = judge(cell, a, b)
                if kind == "numbers" and word != "equal" and a and b and cell in timed:
                    word = "times"
                elif word != "equal":
                    found.append((word == "within", -difference.size, difference))
                counts[kind] += Counter(compared=1, **{word: 1})
    found.sort(key=lambda each: each[:2])
    largest = [difference for _, _, difference in found[:LARGEST]]
    numbers, pictures = (
        Count(**{field.name: count[field.name] for field in fields(Count)}) for count in counts.values()
    )
    return Drift(numbers, pictures, words, same_bytes, largest)


def _pairs(published: nbformat.NotebookNode, fresh: nbformat.NotebookNode) -> Iterable[tuple[str, str, str]]:
    """Yield the id of each cell with the texts of its outputs in both; a cell or an output that one lacks is ""."""
    here, there = ({cell.id: _texts(cell) for cell in each.cells} for each in (published, fresh))
    for cell in dict.fromkeys((*here, *there)):
        for before, now in zip_longest(here.get(cell, []), there.get(cell, []), fillvalue=""):
            yield cell, before, now


def _texts(cell: nbformat.NotebookNode) -> list[str]:
    """Return the richest form of each output, without what is left out."""
    texts = []
    for output in cell.get("outputs", []):
        data = {kind.removeprefix(GLUED): content for kind, content in output.get("data", {}).items()}
        forms = ["text/html", "image/svg+xml", "text/markdown", "text/latex", "text/plain"]
        pictures = [f"data:{kind};base64,{data[kind]}" for kind in data if kind in ("image/png", "image/jpeg")]
        content = [data[kind] for kind in forms if kind in data][:1]
        content = pictures or content or [output.get("text", "".join(output.get("traceback", [])))]
        texts.append(VOLATILE.sub("", content[0]).replace("\n\n", "\n"))
    return texts


def _parts(text: str) -> tuple[str, list[tuple[str, str]], list[str]]:
    """Return the words of an output, its numbers, each with the words before it, and its pictures."""
    pictures = PICTURE.findall(text)
    words, numbers, before = [], [], ""
    for place, piece in enumerate(MACHINE.split(PICTURE.sub("", text))):
        pattern = STORED if place % 2 or piece.lstrip("'\"")[:1] in ("[", "{") else PRINTED
        words.append(pattern.sub("#", piece))
        at = 0
        for number in pattern.finditer(piece):
            before = (before + piece[at : number.start()])[-300:]
            numbers.append((before, number[0]))
            at = number.end()
        before = (before + piece[at:])[-300:]
    return "".join(words), numbers, pictures


def _aligned(old: list[tuple[str, str]], new: list[tuple[str, str]]) -> tuple[list, list]:
    """Pair the numbers of two outputs: in order, and where one has more of them by the words before each."""
    if len(old) == len(new):
        return old, new
    one, other = [], []
    keys = [[before[-20:] for before, _ in each] for each in (old, new)]
    for _, i, i_end, j, j_end in difflib.SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        for a, b in zip_longest(old[i:i_end], new[j:j_end]):
            one.append(a)
            other.append(b)
    return one, other


def _number(cell: str, old: tuple[str, str] | None, new: tuple[str, str] | None) -> tuple[str, Difference]:
    before, (a, b) = (old or new)[0], ((each or ("", ""))[1] for each in (old, new))
    plain = [each.replace(",", "").replace("−", "-") for each in (a, b)]
    size, word = float("inf"), "beyond"
    if a and b:
        values = [Decimal(each) for each in plain]
        last = min(each.as_tuple().exponent for each in values)
        apart, larger = abs(values[0] - values[1]), max(map(abs, values))
        size = float(apart / larger) if larger else 0.0
        if size <= RELATIVE or (last < 0 and apart <= Decimal(1).scaleb(last)):
            word = "within" if apart else "equal"
    words = " ".join(html.unescape(re.sub(r"<[^>]*>?", " ", before)).split())
    return word, Difference(cell, words[-40:], a, b, size)


def _picture(cell: str, old: str | None, new: str | None) -> tuple[str, Difference | None]:
    if old == new:
        return "equal", None
    import numpy as np
    from PIL import Image

    size, shapes = 1.0, ["", ""]
    if old and new:
        one, other = (Image.open(io.BytesIO(base64.b64decode(each))).convert("RGBA") for each in (old, new))
        shapes = [f"{each.width}x{each.height}" for each in (one, other)]
        if one.size == other.size:
            apart = np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16))  # (h, w, 4)
            size = float(apart.max()) / 255
            shapes[1] += f", {int(apart.any(-1).sum())} pixels differ"
    word = "equal" if size == 0 else "within" if size <= LEVELS / 255 else "beyond"
    return word, Difference(cell, "a picture", *shapes, size)


# ---------------------------------------------------------------- a chapter of the book


def parameters(published: nbformat.NotebookNode) -> dict[str, Any]:
    """Return the parameters that a published chapter was executed with, beside its defaults."""
    sources = [cell.source for cell in published.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    lines = ast.parse("\n".join(sources)).body
    return {line.targets[0].id: ast.literal_eval(line.value) for line in lines if isinstance(line, ast.Assign)}


def record(drift: Drift, page: Path, settings: Mapping[str, str]) -> dict:
    """Return a comparison as plain data, with what it holds for.

    Args:
        page: the published chapter. settings: of the execution, and where it took place.
    """
    found = asdict(drift)
    for kind in ("numbers", "pictures"):
        found[kind]["beyond"] = getattr(drift, kind).beyond
    for each in found["largest"]:
        each["size"] = float(f"{min(each['size'], 1e9):.3g}")  # plain JSON knows no infinity
    return {"chapter": page.stem, "sha256": files.digest(page.read_bytes()), **settings, "held": drift.held, **found}


def keep(records: Iterable[dict], path: Path) -> list[dict]:
    """Add records to a file, a line for each chapter, in place of what it held of the same chapters; return them all.

    Raises:
        ConfigurationError: the file is no list of such records, or cannot be written.
    """
    try:
        held = {each["chapter"]: each for each in json.loads(path.read_bytes())} if path.exists() else {}
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"{path} cannot be read as records of drift: {error}; delete it.") from None
    held |= {each["chapter"]: each for each in records}
    names = dict.fromkeys((*(each.stem for each in checkout.chapters()), *sorted(held)))
    every = [held[name] for name in names if name in held]
    lines = ",\n".join(json.dumps(each, ensure_ascii=False, allow_nan=False) for each in every)
    files.write(path, f"[\n{lines}\n]\n".encode())
    return every
