"""Chapters: notebooks whose parameters are declared, checked before any work, and executed by papermill.

A chapter is `notebooks/NAME.ipynb`. Its cell tagged `parameters` holds annotated literals; the next code cell, tagged
`check`, says what each may be:

    from labbook.book import chapter
    here = chapter.begin("week1_noisy_stn", globals(), contrast=chapter.number(0.05, 1.0))

The same two cells guard every way in: a notebook opened by hand, plain `papermill`, nbval, and `python -m labbook run`,
which runs them on their own before it starts the first chapter. Nothing here imports torch, unless a GPU is asked for.
"""

import ast
import json
import logging
import math
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import nbformat

from .. import files
from ..errors import ConfigurationError, nearest, shown
from . import versions

ERROR_TAG = "papermill-error-cell-tag"
SEAL, BLANK = "sha256", "0" * 64  # in the metadata of an executed chapter
TOC = "_toc.yml"
FOLDS = {"parameters": "Default parameters", "injected-parameters": "Parameters of this run"}


class Failed(RuntimeError):
    """A chapter stopped while it ran: the chapter, the cell, the last line of the error, the partial notebook."""


# ---------------------------------------------------------------- rules: what a parameter may be


@dataclass(frozen=True)
class Rule:
    """What a parameter may be: `allowed` in words, `read(name, value)` in code, `choices` to guess from."""

    allowed: str
    read: Callable[[str, Any], Any]
    choices: tuple = ()

    def check(self, name: str, value: Any) -> Any:
        """Return the value, in its one canonical form (1 becomes 1.0 where a number is wanted).

        Raises:
            ConfigurationError: the value is of another type or outside what is allowed.
        """
        try:
            return self.read(name, value)
        except ConfigurationError:
            raise
        except (TypeError, ValueError, OverflowError):
            hint = nearest(value, self.choices)
            raise ConfigurationError(f"{name}={shown(value)} must be {self.allowed}.{hint}") from None


def _plain(value: Any) -> Any:
    """Return what a text stands for: YAML reads 1e-2 as a text, papermill writes a tuple or a NumPy number as one."""
    return _literal(value.strip()) if isinstance(value, str) else value


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError


def _bounds(*bounds: Any) -> Iterable[float]:
    """Return bounds as numbers; one that is another parameter, and none, is refused by that parameter's own rule."""
    for given, none in zip(map(_plain, bounds), (-math.inf, math.inf), strict=True):
        yield given if isinstance(given, int | float) and given == given else none


def _between(kind: str, low: float, high: float) -> str:
    if math.isinf(high):
        return kind if math.isinf(low) else f"{kind}, {low} or more"
    return f"{kind}, {high} or less" if math.isinf(low) else f"{kind} from {low} to {high}"


def number(low: float = -math.inf, high: float = math.inf) -> Rule:
    """A finite number in [low, high]; whole numbers and texts of numbers count, True and NaN do not."""
    low, high = _bounds(low, high)

    def read(name, value):
        value = _plain(value)
        _require(isinstance(value, int | float) and not isinstance(value, bool))
        _require(math.isfinite(value) and low <= value <= high)
        return float(value)

    return Rule(_between("a number", low, high), read)


def integer(low: float = -math.inf, high: float = math.inf) -> Rule:
    """A whole number in [low, high], or the text of one; 3.0 and True do not count."""
    low, high = _bounds(low, high)

    def read(name, value):
        value = _plain(value)
        _require(isinstance(value, int) and not isinstance(value, bool) and low <= value <= high)
        return value

    return Rule(_between("a whole number", low, high), read)


def one_of(*values: Any) -> Rule:
    """One of the values listed."""

    texts = any(isinstance(each, str) for each in values)

    def read(name, value):
        value = value if texts else _plain(value)
        same = [each for each in values if each == value and isinstance(each, bool) == isinstance(value, bool)]
        _require(bool(same))
        return same[0]

    *most, last = map(repr, values)
    return Rule(f"{', '.join(most)} or {last}" if most else last, read, values)


def flag() -> Rule:
    """True or False."""
    return one_of(True, False)


def text() -> Rule:
    """A string."""

    def read(name, value):
        _require(isinstance(value, str))
        return value

    return Rule("a text", read)


def list_of(rule: Rule) -> Rule:
    """A list of at least one entry, each by the rule given; an entry at fault is named by its index.

    A tuple counts, and the text of either.
    """

    def read(name, value):
        value = _plain(value)
        _require(isinstance(value, list | tuple) and len(value) > 0)
        return [rule.check(f"{name}[{index}]", entry) for index, entry in enumerate(value)]

    return Rule(f"a list, each entry {rule.allowed}", read)


def optional(rule: Rule) -> Rule:
    """None, its text, or what the rule allows."""
    return Rule(
        f"None or {rule.allowed}",
        lambda name, value: None if value in (None, "None") else rule.read(name, value),
        rule.choices,
    )


def _device(name: str, value: Any) -> str:
    if value == "mps":
        raise ConfigurationError(
            f"{name}='mps' cannot run this library: stimuli need float64, which MPS lacks; use 'cpu'."
        )
    _require(isinstance(value, str) and bool(re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", value)))
    if value in ("auto", "cpu"):
        return value
    try:
        import torch
    except ImportError:
        raise ConfigurationError(f"{name}={value!r} needs PyTorch, which is not installed here.") from None
    index = int(value.partition(":")[2] or 0)
    with warnings.catch_warnings(record=True) as said:  # of a driver that is too old
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= count:
        reason = f" ({str(said[0].message).splitlines()[0].rstrip('. ')})" if said else ""
        raise ConfigurationError(
            f"{name}={value!r} asks for what is not here: PyTorch {torch.__version__} finds {count} GPUs{reason}; "
            "use 'cpu'."
        )
    return value


def _folder(name: str, value: Any) -> str:
    _require(isinstance(value, str) and "\0" not in value)
    value = os.path.expanduser(value)
    _require(not Path(value or ".").is_file())
    return value


COMMON = {
    "profile": one_of("auto", "smoke", "quick", "full"),
    "seed": integer(0, 2**31 - 1),
    "n_seeds": integer(1, 100),
    "device": Rule("'auto', 'cpu', 'cuda' or 'cuda:N'", _device, ("auto", "cpu", "cuda")),
    "runs": one_of("reuse", "retrain"),
    "data": one_of("auto", "mnist", "digits"),
    "out": Rule("'' or the path of a folder", _folder),
}


# ---------------------------------------------------------------- inside a notebook


@dataclass(frozen=True)
class Here:
    """The checked parameters of a chapter; `parameters` holds them all as given, the attributes as they apply."""

    name: str
    profile: str
    seed: int
    n_seeds: int
    runs: str
    data: str
    out: Path | None
    parameters: dict[str, Any]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of this run: seed, seed + 1, ..."""
        return tuple(range(self.seed, self.seed + self.n_seeds))

    @property
    def device(self) -> str:
        """The device asked for; "auto" is the first CUDA GPU, else the CPU."""
        return device(self.parameters["device"])


def device(asked: str) -> str:
    """Return the device asked for, checked; "auto" is the first CUDA GPU, else the CPU.

    Raises:
        ConfigurationError: no such device is here, or it cannot be used.
    """
    if COMMON["device"].check("device", asked) == "cpu":
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


def _unknown(chapter: str, word: str, known: Iterable[str]) -> ConfigurationError:
    known = list(known)
    return ConfigurationError(f"{chapter} has no parameter {word!r}; it has {', '.join(known)}.{nearest(word, known)}")


def _profile(asked: str) -> str:
    if asked != "auto":
        return asked
    wanted = os.environ.get("LABBOOK_PROFILE") or "quick"
    return "quick" if wanted == "auto" else COMMON["profile"].check("LABBOOK_PROFILE", wanted)


def begin(name: str, namespace: dict[str, Any], **rules: Rule) -> Here:
    """Check a chapter's parameters where they stand, and return them.

    Values are written back in their canonical form, so that 1 and 1.0 configure the same run. papermill injects an
    unknown parameter like a known one, so any other plain value already in the namespace is refused; once a check has
    passed, later checks (a cell run again by hand) leave the notebook's own variables alone. papermill's own names
    (`--inject-paths`) pass.

    Raises:
        ConfigurationError: a parameter is unknown, missing, of another type or outside its range, or asks for a GPU
            that is not there; packages are missing or too old; there is no checkout of the lab-book here.
    """
    versions.check()
    checkout(name)
    known = COMMON | rules
    given = list(_injected())
    if "_labbook_checked" not in namespace:
        plain = (type(None), bool, int, float, str, list, tuple, dict)
        ours = (word for word in namespace if not word.startswith("_") and word not in ("In", "Out"))  # IPython's own
        given += (word for word in ours if isinstance(namespace[word], plain))
    for word in given:
        if word not in known and not word.startswith("PAPERMILL_"):
            raise _unknown(name, word, known)
    for word in known:
        if word not in namespace:
            raise ConfigurationError(f"{name} needs the parameter {word!r}: its parameters cell does not set it.")
    try:
        values = {word: rule.check(word, namespace[word]) for word, rule in known.items()}
    except ConfigurationError as refusal:
        raise ConfigurationError(f"{refusal}{_blame(name, str(refusal), namespace)}") from None
    here = Here(
        name,
        _profile(values["profile"]),
        *(values[word] for word in ("seed", "n_seeds", "runs", "data")),
        Path(values["out"]) if values["out"] else None,
        values,
    )
    namespace.update(values, _labbook_checked=True)
    return here


def _blame(name: str, refusal: str, namespace: dict[str, Any]) -> str:
    """Return which values given made a default be refused, as by a range that one parameter sets for another."""
    word = refusal.partition("=")[0]
    try:
        defaults = {each: found.default for each, found in declared(root() / "notebooks" / f"{name}.ipynb").items()}
    except ConfigurationError:  # begun elsewhere
        return ""
    if word not in defaults or namespace[word] != defaults[word]:
        return ""
    given = [f"{each}={shown(namespace[each])}" for each in defaults if namespace.get(each) != defaults[each]]
    return f" It stands at its default, which does not go with {', '.join(given)}." if given else ""


def _injected() -> Iterable[str]:
    """Yield the names that papermill set in this kernel, those too that a later cell or IPython has hidden since."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    for source in shell.history_manager.input_hist_parsed if shell else ():
        if source.startswith("# Parameters\n"):
            for line in ast.parse(source).body:
                yield from (each.id for each in getattr(line, "targets", ()) if isinstance(each, ast.Name))


# ---------------------------------------------------------------- the chapters of the checkout


def root() -> Path:
    """The checkout, known by its `_toc.yml`: the folder above `lib/labbook`, else the current directory or one above.

    Where there is none, the current directory.
    """
    here = Path.cwd()
    places = (Path(__file__).resolve().parents[3], here, *here.parents)
    return next((each for each in places if (each / TOC).is_file()), here)


def checkout(asked: str) -> Path:
    """Return the root of the checkout that a chapter or a command needs.

    Raises:
        ConfigurationError: there is none here. It names what asked for it.
    """
    place = root()
    if not (place / TOC).is_file():
        raise ConfigurationError(f"{asked} needs a checkout of the lab-book, and {place} is in none; start it in one.")
    return place


def chapters() -> list[Path]:
    """Every notebook of `notebooks/`, in the order of `_toc.yml`; those it does not list follow by name.

    Raises:
        ConfigurationError: there is none.
    """
    toc = root() / TOC
    listed = re.findall(r"\bfile:\s*['\"]?([^\s'\"#,}]+)", toc.read_text("utf-8")) if toc.is_file() else []
    order = {Path(entry.removesuffix(".ipynb")).name: place for place, entry in enumerate(listed)}
    found = (root() / "notebooks").glob("*.ipynb")
    found = sorted(found, key=lambda path: (order.get(path.stem, len(order)), path.stem))
    if not found:
        raise ConfigurationError(
            f"there is no notebook in {root() / 'notebooks'}; run this in a checkout of the lab-book."
        )
    return found


def find(words: Iterable[str]) -> list[Path]:
    """The chapters that the words name: a name, a beginning of it that fits only one, or a path; no word means all.

    Raises:
        ConfigurationError: a word fits no chapter, or more than one.
    """
    every = {path.stem: path for path in chapters()}
    found = {}
    for word in words:
        stem = Path(word).name.removesuffix(".ipynb")
        fits = [stem] if stem in every else [name for name in every if stem and name.startswith(stem)]
        if not fits:
            raise ConfigurationError(
                f"there is no chapter {word!r}; there are {', '.join(every)}.{nearest(stem, every)}"
            )
        if len(fits) > 1:
            raise ConfigurationError(f"{word!r} fits more than one chapter: {', '.join(fits)}.")
        found[fits[0]] = every[fits[0]]
    return list(found.values()) or list(every.values())


def read(path: Path) -> nbformat.NotebookNode:
    """Return a notebook; of an executed one every byte is checked.

    One that papermill made from an executed chapter still carries the seal of that one, which says nothing of it.

    Raises:
        ConfigurationError: it cannot be read as one, or was truncated or altered after its execution.
    """
    try:
        content = path.read_bytes()
        metadata = json.loads(content)["metadata"]
        for name, value in () if "papermill" in metadata else metadata.items():
            if name == SEAL or (isinstance(value, str) and len(value) == len(BLANK)):  # or what was one
                found = files.digest(content.replace(json.dumps(value).encode(), json.dumps(BLANK).encode()))
                if name != SEAL or value != found:
                    raise ConfigurationError(
                        f"{path} was altered after its execution: expected SHA-256 {value!r}, found {found}."
                    )
        return nbformat.reads(content.decode(), as_version=4)
    except ConfigurationError:
        raise
    except (OSError, ValueError, AttributeError, KeyError, TypeError, nbformat.ValidationError) as error:
        raise ConfigurationError(f"{path} cannot be read as a notebook: {_reason(error)}.") from None


def _reason(error: BaseException) -> str:
    reason = getattr(error, "strerror", None) or (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return reason.rstrip(".")


def _tagged(path: Path, tag: str) -> str:
    cells = [cell.source for cell in read(path).cells if tag in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ConfigurationError(
            f"{path.name} has {len(cells) or 'no'} cells tagged {tag!r}; a chapter has exactly one."
        )
    return cells[0]


# ---------------------------------------------------------------- before the work


def _annotated(path: Path) -> tuple[str, list[ast.AnnAssign]]:
    """The source of a chapter's parameters cell, and the lines that declare a parameter."""
    source = _tagged(path, "parameters")
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ConfigurationError(f"the parameters cell of {path.name} is not Python: {error.msg}.") from None
    return source, [line for line in body if isinstance(line, ast.AnnAssign)]


def parameters(path: Path) -> dict[str, str]:
    """The parameters that a chapter declares, with their annotations.

    Raises:
        ConfigurationError: the chapter has no readable parameters cell.
    """
    return {line.target.id: ast.unparse(line.annotation) for line in _annotated(path)[1]}


class Declared(NamedTuple):
    """A parameter as a chapter declares it: its default, and the comment beside it."""

    default: Any
    meaning: str


def declared(path: Path) -> dict[str, Declared]:
    """The defaults and meanings of the parameters that a chapter declares.

    Raises:
        ConfigurationError: the chapter has no readable parameters cell.
    """
    source, body = _annotated(path)
    lines, found = source.splitlines(), {}
    for line in body:
        beside = lines[line.end_lineno - 1].encode()[line.end_col_offset :].decode()
        found[line.target.id] = Declared(ast.literal_eval(line.value), beside.partition("#")[2].strip())
    return found


def _literal(written: str) -> Any:
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(written)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            pass
    return written  # not a literal: the rule refuses it in its own words, or it is a text


def interpret(written: str, annotation: str) -> Any:
    """Return a value from the command line, of the type that a chapter declares: adam, 1e-3, true, 0,15, [0, 15]."""
    value = _literal(written.strip())
    if annotation.startswith("list"):
        if isinstance(value, str) and "," in value:
            value = [_literal(entry.strip()) for entry in value.strip("[]").split(",")]
        return list(value) if isinstance(value, list | tuple) else [value]
    if "str" in annotation:
        return value if isinstance(value, str) or (value is None and "None" in annotation) else written
    return value


def overrides(path: Path, pairs: Iterable[str]) -> dict[str, Any]:
    """Read NAME=VALUE pairs by the types that the chapter declares: adam, 1e-3, true, 0,15 or [0, 15].

    Raises:
        ConfigurationError: a pair is not one, or names no parameter of the chapter, or two pairs disagree.
    """
    declared, values = parameters(path), {}
    for pair in pairs:
        name, equals, written = pair.partition("=")
        if not equals:
            raise ConfigurationError(f"-p {pair!r} has no '='; write NAME=VALUE.")
        if name not in declared:
            raise _unknown(path.stem, name, declared)
        value = interpret(written, declared[name])
        if name in values and values[name] != value:
            raise ConfigurationError(f"{name} is given twice, as {values[name]!r} and as {value!r}.")
        values[name] = value
    return values


def check(path: Path, values: dict[str, Any]) -> Here:
    """Run a chapter's parameters cell, the values and its check cell, here and now and nothing else.

    Raises:
        ConfigurationError: what the chapter would refuse, or its two cells do not work.
    """
    return checker(path)(values)


def checker(path: Path) -> Callable[[dict[str, Any]], Here]:
    """Return what `check` does as a function of the values; for many of them, the notebook is read once.

    Raises:
        ConfigurationError: the chapter's two cells cannot be read, or are not Python.
    """

    def guarded(tag: str, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except ConfigurationError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f"the {tag} cell of {path.name} fails: {type(error).__name__}: {_reason(error)}."
            ) from None

    def compiled(tag: str) -> CodeType:
        source = _tagged(path, tag)
        return guarded(tag, lambda: compile(source, f"{path.name}, {tag} cell", "exec", dont_inherit=True))

    cells = {tag: compiled(tag) for tag in ("parameters", "check")}

    def checked(values: dict[str, Any]) -> Here:
        namespace: dict[str, Any] = {"__name__": path.stem}
        for tag, cell in cells.items():
            guarded(tag, lambda cell=cell: exec(cell, namespace))
            if tag == "parameters":
                namespace.update(values)
        here = namespace.get("here")
        if not isinstance(here, Here) or here.name != path.stem:
            begun = f"here = chapter.begin({path.stem!r}, globals(), ...)"
            raise ConfigurationError(f"the check cell of {path.name} must read {begun}.")
        return here

    return checked


# ---------------------------------------------------------------- the work


def sockets() -> tempfile.TemporaryDirectory:
    """Return a new folder for the sockets of one kernel, whose paths may have 107 characters."""
    return tempfile.TemporaryDirectory(prefix="kernel-", dir="/tmp" if len(tempfile.gettempdir()) > 70 else None)


def execute(
    path: Path, values: dict[str, Any], output: Path, progress: Callable[[int, int], None] | None = None
) -> nbformat.NotebookNode:
    """Execute a chapter with papermill into `output`, and return it normalised; `progress(done, total)` counts cells.

    `output` appears at the end; it is never half a notebook.

    Raises:
        Failed: a cell failed or the kernel died; `output` then holds the cells up to it.
        ConfigurationError: `output` cannot be written.
    """
    import papermill
    import psutil
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    output = output.resolve()
    draft = output.with_name(f".{output.stem}.{os.getpid()}.part.ipynb")
    total = len(read(path).cells) + bool(values)
    at = 0

    def count(cell, cell_index):
        nonlocal at
        at = cell_index
        if progress:
            progress(cell_index, total)

    def failed(last_line):
        shown = os.path.relpath(output)
        with suppress(OSError):
            os.replace(draft, output)
        return Failed(f"{path.stem} failed in cell {at + 1} of {total}: {last_line}\nThe notebook up to there: {shown}")

    others = psutil.Process().children()
    folder = sockets()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        notebook = papermill.execute_notebook(
            *(str(each).replace("{", "{{").replace("}", "}}") for each in (path.resolve(), draft)),
            parameters=values,
            kernel_name="python3",
            start_timeout=300,  # seconds; the default of 60 is short where every core has its run
            language="python",
            progress_bar=False,
            record_timing=False,
            cwd=str(root()),
            coalesce_streams=True,
            on_cell_start=count,
            extra_arguments=["--log-level=CRITICAL"],  # an interrupted kernel says so once, here
            config=Config(
                {
                    "KernelManager": {  # all in one folder, not shared by two runs
                        "transport": "ipc",
                        "ip": f"{folder.name}/s",
                        "connection_file": f"{folder.name}/kernel.json",
                    }
                }
            ),
        )
    except KeyboardInterrupt:  # a kernel that was being started is not known to papermill yet
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # nobody waits for the cell that was at work
        for process in set(psutil.Process().children()) - set(others):
            process.kill()
        raise
    except papermill.PapermillExecutionError as error:
        raise failed(f"{error.ename}: {(error.evalue.strip().splitlines() or [''])[-1]}") from None
    except DeadKernelError:
        raise failed("the kernel died, for want of memory perhaps") from None
    except RuntimeError as error:  # the kernel did not start in time
        raise failed(_reason(error)) from None
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {_reason(error)}.") from None
    finally:
        folder.cleanup()
        with suppress(OSError):
            draft.unlink()
    write(output, normalise(notebook))
    if progress:
        progress(total, total)
    return notebook


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Strip, in place, what differs between two equal runs, and fold the parameters away for the book."""
    kept = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook.metadata = nbformat.from_dict(kept | {"language_info": {"name": "python"}})
    for cell in notebook.cells:
        for volatile in ("papermill", "execution"):
            cell.metadata.pop(volatile, None)
        tags = cell.metadata.get("tags", [])
        for tag, title in FOLDS.items():
            if tag in tags:
                cell.metadata.tags = [*tags, *({"hide-input"} - set(tags))]
                cell.metadata.mystnb = nbformat.from_dict({"code_prompt_show": title})
        if "injected-parameters" in tags:
            cell.id = "injected-parameters"
    return notebook


# ---------------------------------------------------------------- after the work


def publish(notebook: nbformat.NotebookNode, target: Path) -> None:
    """Write an executed chapter to its place in the book, normalised, whole or not at all.

    Raises:
        ConfigurationError: the notebook holds an error or a path of this machine, or `target` cannot be written.
    """
    for place, cell in enumerate(notebook.cells, start=1):
        because = f"{target.name} is not published: cell {place} holds"
        outputs = cell.get("outputs", [])
        if ERROR_TAG in cell.metadata.get("tags", []) or any(each.output_type == "error" for each in outputs):
            raise ConfigurationError(f"{because} an error.")
        for private in {str(root()), str(root().resolve()), os.path.expanduser("~")} - {"/", "~"}:
            if any(re.search(rf"(?<!\w){re.escape(private)}(?!\w)", written) for written in _texts(cell)):
                raise ConfigurationError(f"{because} the path {private} of this machine.")
    write(target, normalise(notebook))


def glued(notebook: nbformat.NotebookNode, name: str) -> str | None:
    """Return a text that an executed chapter glued under a name, or None."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("metadata", {}).get("scrapbook", {}).get("name") == name:
                return ast.literal_eval(output.data["application/papermill.record/text/plain"])
    return None


def _texts(cell: nbformat.NotebookNode) -> Iterable[str]:
    if "injected-parameters" in cell.metadata.get("tags", []):
        yield cell.source
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        for kind, content in output.get("data", {}).items():
            if kind == "image/svg+xml" or not kind.startswith("image/"):
                yield json.dumps(content, ensure_ascii=False)


def write(target: Path, notebook: nbformat.NotebookNode) -> None:
    """Write a notebook with the SHA-256 of its file, computed with zeros in that place, in its metadata.

    Raises:
        ConfigurationError: `target` cannot be written.
    """
    content = f"{nbformat.writes(nbformat.from_dict({**notebook, 'metadata': {**notebook.metadata, SEAL: BLANK}}))}\n"
    files.write(target, content.replace(BLANK, files.digest(content.encode())).encode())
