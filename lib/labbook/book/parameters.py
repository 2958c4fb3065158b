"""The parameters of a chapter: one declaration makes the cell of the notebook, the check and the table of the page.

A chapter's parameters are a pydantic model: type, range, unit, meaning and default of each (see `declarations`). The
notebook's cell tagged `parameters` is written from it, and its next code cell, tagged `check`, reads

    from labbook.book import parameters
    settings = parameters.check("week1_noisy_stn", globals())

The same check guards every way in: a notebook opened by hand, plain `papermill`, nbval, and `labbook run` and `sweep`,
which check all chapters before the first one starts. Nothing here imports torch, unless a GPU or a precision needs it.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import GenericAlias
from typing import Any, ClassVar, Literal, get_args, get_origin

import nbformat
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from ..errors import ConfigurationError, nearest, shown
from . import checkout, pages, versions

KINDS = {int: "a whole number", float: "a number", str: "a text"}


def number(default: Any, low: float, high: float, meaning: str, unit: str = "") -> Any:
    """Declare a number in [low, high], or a list of such numbers if `default` is one.

    Args:
        meaning: in words, for the cell and the page. unit: of value and range.
    """
    bounds = {"min_length": 1} if isinstance(default, list) else {"ge": low, "le": high}
    words = f"{low} to {high}{unit and ' '}{unit}"
    return Field(default, **bounds, description=meaning, json_schema_extra={"low": low, "high": high, "range": words})


def choice(default: Any, meaning: str, allowed: str = "") -> Any:
    """Declare one of the values of a `Literal`, or a text for which `allowed` says what it may be."""
    return Field(default, description=meaning, json_schema_extra={"range": allowed})


class Common(BaseModel):
    """The parameters of every chapter, checked; `profile` is decided, `out` is a whole path."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, validate_default=True, frozen=True)
    chapter: ClassVar[str] = ""  # its name

    profile: Literal["auto", "smoke", "quick", "full"] = choice(
        "auto", "how much to compute (auto: LABBOOK_PROFILE, else quick)"
    )
    seed: int = number(0, 0, 2**31 - 1, "the first seed")
    n_seeds: int = number(1, 1, 100, "how many seeds: seed, seed + 1, ...")
    device: str = choice("auto", "where to compute (auto: a GPU if there is one)", "auto, cpu, cuda or cuda:N")
    runs: Literal["reuse", "retrain"] = choice("reuse", "training runs from the store, or new ones")
    data: Literal["auto", "mnist", "digits"] = choice("auto", "auto: MNIST if it can be had, else scikit-learn's")
    out: str = choice("", "folder of new runs (empty: _build)", "the path of a folder")

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of this run: seed, seed + 1, ..."""
        return tuple(range(self.seed, self.seed + self.n_seeds))

    @property
    def torch_device(self) -> str:
        """The device to compute on; "auto" is the first CUDA GPU, else the CPU."""
        return device(self.device)

    @property
    def folder(self) -> Path:
        """Where new runs are kept."""
        return (Path(self.out) if self.out else checkout.root() / "_build") / "runs"

    @field_validator("*", mode="before")
    @classmethod
    def _from_text(cls, value: Any, info: Any) -> Any:
        """Read what a text stands for: YAML takes 1e-2 for a text, papermill a tuple or a NumPy number."""
        annotation = cls.model_fields[info.field_name].annotation
        if annotation is str or str in map(type, get_args(annotation)):
            return value
        value = _plain(value)
        if get_origin(annotation) is list:
            value = [_plain(each) for each in (value if isinstance(value, list | tuple) else [value])]
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _in_range(cls, value: Any, info: Any) -> Any:
        if isinstance(value, list):
            field = cls.model_fields[info.field_name]
            low, high = (field.json_schema_extra[bound] for bound in ("low", "high"))
            for place, each in enumerate(value):
                if not low <= each <= high:
                    raise ConfigurationError(_sentence(cls, (info.field_name, place), each))
        return value

    @field_validator("profile")
    @classmethod
    def _decided(cls, value: str) -> str:
        wanted = os.environ.get("LABBOOK_PROFILE") or "quick"
        if value != "auto" or wanted == "auto":
            return "quick" if value == "auto" else value
        if wanted not in get_args(cls.model_fields["profile"].annotation):
            raise ConfigurationError(_sentence(cls, ("profile",), wanted).replace("profile", "LABBOOK_PROFILE", 1))
        return wanted

    @field_validator("device")
    @classmethod
    def _device_is_here(cls, value: str) -> str:
        return _found(value)

    @field_validator("out")
    @classmethod
    def _a_folder(cls, value: str) -> str:
        value = os.path.expanduser(value)
        if "\0" in value or Path(value or ".").is_file():
            raise ValueError
        return value


class Trains(Common):
    """The parameters of a chapter that trains."""

    precision: Literal["auto", "float32", "tf32", "bfloat16"] = choice("auto", "of new runs (auto: as declared)")

    @model_validator(mode="after")
    def _device_is_able(self) -> Trains:
        if self.precision in ("tf32", "bfloat16"):
            from ..runtime import engine

            fast = {"tf32": engine.is_gpu, "bfloat16": engine.fast_in_bfloat16}[self.precision]
            if not fast(place := self.torch_device):
                raise ConfigurationError(
                    f"precision={self.precision!r} is not what device {place!r} computes fast; use 'float32'."
                )
        return self


# ---- devices ---------------------------------------------------------------------------------------------------------


def _found(value: str) -> str:
    """Return the device asked for, unless it is a GPU that is not there."""
    if value == "mps":
        raise ConfigurationError(
            "device='mps' cannot run this library: stimuli need float64, which MPS lacks; use 'cpu'."
        )
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", value):
        raise ValueError
    if value in ("auto", "cpu"):
        return value
    import torch

    with warnings.catch_warnings(record=True) as said:  # of a driver that is too old
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(value.partition(":")[2] or 0) >= count:
        reason = f" ({str(said[0].message).splitlines()[0].rstrip('. ')})" if said else ""
        raise ConfigurationError(
            f"device={value!r} asks for what is not here: PyTorch {torch.__version__} finds {count} GPUs{reason}; "
            "use 'cpu'."
        )
    return value


def device(asked: str) -> str:
    """Return the device asked for, checked; "auto" is the first CUDA GPU, else the CPU.

    Raises:
        ConfigurationError: no such device is here, or it cannot be used.
    """
    if read(Common, {"device": asked}).device == "cpu":
        return "cpu"
    import torch

    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.ones(1, device=asked).item()
    except RuntimeError as error:  # it is busy, full, or this PyTorch has no code for it
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ConfigurationError(f"device={asked!r} cannot be used: {reason}; use 'cpu'.") from None
    return asked


# ---- what is given ---------------------------------------------------------------------------------------------------


def declared(chapter: str) -> type[Common]:
    """Return the declaration of a chapter's parameters.

    Raises:
        ConfigurationError: it has none.
    """
    from . import declarations

    if chapter not in declarations.CHAPTERS:
        raise ConfigurationError(f"{chapter} declares no parameters; see labbook/book/declarations.py.")
    return declarations.CHAPTERS[chapter]


def of(path: Path) -> type[Common]:
    """Return the declaration of a notebook's parameters: that of the chapter its check names, also in a copy of it.

    Raises:
        ConfigurationError: the notebook cannot be read or has no check, or see `declared`.
    """
    sources = [cell.source for cell in pages.read(path).cells if "check" in cell.metadata.get("tags", [])]
    named = re.search(r"parameters\.check\(\s*['\"](\w+)", "".join(sources))
    if not named:
        raise ConfigurationError(
            f"{path.name} has no cell tagged 'check' that reads settings = parameters.check(CHAPTER, globals())."
        )
    return declared(named[1])


def read(declaration: type[Common], values: Mapping[str, Any]) -> Common:
    """Return parameters, checked: those given, and the others at their defaults.

    Raises:
        ConfigurationError: a value is of another type or out of range, or a name unknown; the sentence names the value
            and what is allowed.
    """
    for word in values:
        if word not in declaration.model_fields:
            raise _unknown(declaration, word)
    try:
        return declaration(**values)
    except ValidationError as error:
        first = error.errors()[0]
        refusal = first.get("ctx", {}).get("error")
        if isinstance(refusal, ConfigurationError):
            raise refusal from None
        raise ConfigurationError(_sentence(declaration, first["loc"], first["input"])) from None


def overrides(path: Path, pairs: Iterable[str]) -> dict[str, Any]:
    """Return what NAME=VALUE pairs give of a chapter's parameters, checked: adam, 1e-3, 0,15 or [0, 15].

    Raises:
        ConfigurationError: see `read`; or a pair is not one, or two pairs disagree.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, written = pair.partition("=")
        if not equals:
            raise ConfigurationError(f"-p {pair!r} has no '='; write NAME=VALUE.")
        if values.get(name, written) != written:
            raise ConfigurationError(f"{name} is given twice, as {values[name]!r} and as {written!r}.")
        values[name] = written
    settings = read(of(path), values)
    return {name: getattr(settings, name) for name in values}


def check(chapter: str, namespace: dict[str, Any]) -> Common:
    """Check a chapter's parameters where they stand, and return them.

    Values are written back in their canonical form, so that 1 and 1.0 configure the same run. papermill injects an
    unknown parameter like a known one, so any other plain value already in the namespace is refused; once a check has
    passed, later checks (a cell run again by hand) leave the notebook's own variables alone. papermill's own names
    (`--inject-paths`) pass.

    Raises:
        ConfigurationError: see `read`; or a parameter is missing, packages are missing or too old, or there is no
            checkout of the lab-book here.
    """
    versions.check()
    checkout.needed(chapter)
    known = declared(chapter).model_fields
    given = list(_injected())
    if "_labbook_checked" not in namespace:
        plain = (type(None), bool, int, float, str, list, tuple, dict)
        ours = (word for word in namespace if not word.startswith("_") and word not in ("In", "Out"))  # IPython's own
        given += (word for word in ours if isinstance(namespace[word], plain))
    for word in given:
        if word not in known and not word.startswith("PAPERMILL_"):
            raise _unknown(declared(chapter), word)
    if missing := next((word for word in known if word not in namespace), None):
        raise ConfigurationError(f"{chapter} needs the parameter {missing!r}: its parameters cell does not set it.")
    settings = read(declared(chapter), {word: namespace[word] for word in known})
    namespace.update(settings.model_dump(), _labbook_checked=True)
    return settings


def _injected() -> Iterable[str]:
    """Yield the names that papermill set in this kernel, those too that a later cell or IPython has hidden since."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    for source in shell.history_manager.input_hist_parsed if shell else ():
        if source.startswith("# Parameters\n"):
            for line in ast.parse(source).body:
                yield from (each.id for each in getattr(line, "targets", ()) if isinstance(each, ast.Name))


def _plain(value: Any) -> Any:
    """Return the number, list or constant that a text writes; what is none stays a text, and is refused as one."""
    for parse in (json.loads, ast.literal_eval) if isinstance(value, str) else ():
        try:
            return parse(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            pass
    return value


# ---- in words --------------------------------------------------------------------------------------------------------


def _unknown(declaration: type[Common], word: str) -> ConfigurationError:
    known = list(declaration.model_fields)
    return ConfigurationError(
        f"{declaration.chapter} has no parameter {word!r}; it has {', '.join(known)}.{nearest(word, known)}"
    )


def _sentence(declaration: type[Common], place: tuple, value: Any) -> str:
    """Return what is wrong with a value, and what is allowed in its place: a parameter, or an entry of a list."""
    field = declaration.model_fields[place[0]]
    name = "".join(str(each) if k == 0 else f"[{each}]" for k, each in enumerate(place))
    annotation, words = field.annotation, allowed(field)
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    if get_origin(annotation) is list:
        (annotation,) = get_args(annotation)
        words = f"{KINDS[annotation]} from {words}" if len(place) > 1 else f"a list of numbers from {words}"
    elif annotation in (int, float):
        words = f"{KINDS[annotation]} from {words}"
    return f"{name}={shown(value)} must be {words}.{nearest(value, choices)}"


def allowed(field: FieldInfo) -> str:
    """Return what a parameter may be, in words: `0 to 1000 pixels`, `reuse or retrain`."""
    if get_origin(field.annotation) is Literal:
        *most, last = map(str, get_args(field.annotation))
        return f"{', '.join(most)} or {last}"
    return field.json_schema_extra["range"]


def cell(declaration: type[Common]) -> str:
    """Return the parameters cell of a chapter: a line each, with meaning and range as papermill shows them."""
    lines = []
    for name, field in declaration.model_fields.items():
        kind = field.annotation
        if get_origin(kind) is Literal:
            kind = type(get_args(kind)[0])
        kind = str(kind) if isinstance(kind, GenericAlias) else kind.__name__
        default = json.dumps(field.default) if isinstance(field.default, str) else repr(field.default)
        lines.append(f"{name}: {kind} = {default}  # {field.description}; {allowed(field)}")
    return "\n".join(lines)


def write_cells() -> list[str]:
    """Write the parameters cells of all chapters anew from their declarations; return the names of those changed."""
    changed = []
    for path in checkout.chapters():
        page = nbformat.read(path, as_version=4)
        (found,) = (each for each in page.cells if "parameters" in each.metadata.get("tags", []))
        if found.source != (source := cell(of(path))):
            found.source = source
            path.write_text(f"{nbformat.writes(page)}\n", "utf-8")
            changed.append(path.stem)
    return changed


if __name__ == "__main__":  # python -m labbook.book.parameters
    print("changed:", ", ".join(write_cells()) or "none")
