"""Data flows one way: what a part of the library may import."""

import ast
from pathlib import Path

import pytest
from here import ROOT

import labbook

LIBRARY = ROOT / "lib" / "labbook"
SCIENCE = ("", "search", "runtime", "identity")  # folders that are read as one
MAY = {  # part -> the parts that it may import, beside itself
    "": set(),
    "study2021": {""},
    "experiments": {"", "study2021"},
    "book": {"", "study2021", "experiments"},
    "view": {"", "study2021", "experiments", "book"},
    "ops": {"", "study2021", "experiments", "book", "view"},
}


def modules(wing: str) -> list[Path]:
    """Return the modules of a part of the library."""
    folders = SCIENCE if wing == "" else (wing,)
    return sorted(path for each in folders for path in (LIBRARY / each).glob("*.py") if path.stem[:2] != "__")


def imported(path: Path) -> set[str]:
    """Return the dotted names, from the package on, that a module imports at any place in it."""
    here = path.relative_to(LIBRARY).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = [*here[: len(here) - node.level + 1]] if node.level else []
            module = (node.module or "").split(".") if node.module else []
            if node.level or module[:1] == ["labbook"]:
                found |= {".".join([*base, *(module if node.level else module[1:]), a.name]) for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.removeprefix("labbook.") for a in node.names if a.name.startswith("labbook.")}
    return found


def part(name: str) -> str:
    """Return the part of the library that a dotted name belongs to."""
    first = name.partition(".")[0]
    return first if first in MAY else ""


@pytest.mark.parametrize("wing", MAY)
def test_imports_point_one_way(wing):
    assert modules(wing)
    for path in modules(wing):
        beyond = {name for name in imported(path) if part(name) not in MAY[wing] | {wing}}
        assert not beyond, f"{path.relative_to(LIBRARY)} imports {', '.join(sorted(beyond))}"


def test_no_configuration_of_the_science_registers_itself_at_import():
    for path in modules(""):
        for node in ast.parse(path.read_text("utf-8")).body:
            stored = node.targets if isinstance(node, ast.Assign) else []
            assert not any(isinstance(each, ast.Subscript) for each in stored), f"{path.name}, line {node.lineno}"


def test_the_science_is_read_from_beginning_to_end():
    """No module imports one that comes later in the reading order of the package's docstring, and none is left out."""
    block = labbook.__doc__.split("reading order", 1)[1].split("\n\n")[1]
    order = [word for line in block.splitlines() for word in line[16:].split()]
    paths = {".".join(path.relative_to(LIBRARY).with_suffix("").parts): path for path in modules("")}
    assert sorted(order) == sorted(paths)
    for place, name in enumerate(order):
        later = [
            each for each in order[place + 1 :] if any(f"{i}.".startswith(f"{each}.") for i in imported(paths[name]))
        ]
        assert not later, f"{name} imports {', '.join(later)}"
