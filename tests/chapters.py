"""Chapters for tests: sources without outputs, executed pages, and the module that writes pages of results."""

import importlib.util
import json
from pathlib import Path

import nbformat
from here import ROOT

from labbook.book import parameters

OLD = "It reads 40.2 % of 10,000 digits after 3 seeds, at a rate of 1e-3."

NAME = "week2_adam_vs_sgd"  # whose parameters these chapters have
PARAMETERS = parameters.cell(parameters.declared(NAME)).replace('"auto"  # where', '"cpu"  # where')
CHECK = f'from labbook.book import parameters\nsettings = parameters.check("{NAME}", globals())'


def write_chapter(folder: Path, name: str, *cells: str, check: str = CHECK) -> Path:
    """Write notebooks/NAME.ipynb below the folder: title, parameters, check, then the cells given."""
    v4 = nbformat.v4
    made = [
        v4.new_markdown_cell(f"# {name}", id="title"),
        v4.new_code_cell(PARAMETERS, id="parameters", metadata={"tags": ["parameters"]}),
        v4.new_code_cell(check, id="check", metadata={"tags": ["check"]}),
        *(v4.new_code_cell(source, id=f"cell-{place}") for place, source in enumerate(cells)),
    ]
    path = folder / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(v4.new_notebook(cells=made, metadata={"kernelspec": kernel}), path)
    return path


def page(answer, verdict="refuted", accuracy=0.5):
    records = {
        "answer": answer,
        "claims": json.dumps([{"id": "C6", "verdict": verdict, "measured": "spread 0.11 px"}]),
        "benchmark": json.dumps(
            [
                {"system": "ATN", "source": "measured", "noise": 0.75, "accuracy": accuracy},
                {"system": "ATN", "source": "measured", "noise": 0.75, "accuracy": 0.7},
                {"system": "ATN", "source": "measured", "noise": 1.0, "accuracy": 0.1},
                {"system": "ATN", "source": "2021", "noise": 0.75, "accuracy": 0.9},
            ]
        ),
    }
    outputs = [
        nbformat.v4.new_output(
            "display_data",
            {"application/papermill.record/text/plain": repr(text)},
            metadata={"scrapbook": {"name": name}},
        )
        for name, text in records.items()
    ]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("page", outputs=outputs)])


def written_pages():
    """Return the module that writes pages of results while the book is built."""
    place = ROOT / "book" / "_ext" / "labbook_results.py"
    spec = importlib.util.spec_from_file_location("labbook_results", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
