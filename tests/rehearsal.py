"""Rehearse the profile "full" without a GPU: `python tests/rehearsal.py [CHAPTER ...]`, the weekly chapters by default.

Each chapter is executed as a GPU would execute it, with every training and every seed, on scikit-learn's digits and on
the pretend GPU. A cell put behind its check shortens what costs hours: a training has two epochs of two images in each
stage, stored evaluations take `TEST` test digits, and an accuracy map has every ninth offset.
"""

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import nbformat
from here import PRETEND_CARD, ROOT

from labbook import config, experiments
from labbook.book import chapter_store, checkout, evaluations, execution, pages
from labbook.errors import ConfigurationError

TEST = 20  # test digits
CELL = f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r}); import rehearsal; rehearsal.shorten()"


def shorten() -> None:
    """Shorten, in this process, every training and every evaluation of the profile "full"."""
    experiments.claims()  # imports the experiments
    whole, store = config.seeded, chapter_store.ChapterStore
    evaluate = store.evaluate

    def seeded(training, seed, data):
        made = whole(training, seed, data)
        made = config.shortened(made, 2 * len(made.stages), experiments.DIGITS)
        return replace(made, stages=tuple(replace(stage, epochs=2) for stage in made.stages))

    def few(self, evaluation, run, raw=False, **settings):
        fewer = {"n": TEST} if "n" in evaluation.settings(settings) else {}
        return evaluate(self, evaluation, run, raw, **{**settings, **fewer})

    for module in list(sys.modules.values()):
        if getattr(module, "seeded", None) is whole:
            module.seeded = seeded
    store.evaluate = few
    store.accuracy_map = lambda self, run, scene, n=0: few(
        self, evaluations.accuracy_map, run, scene=scene, n=n, step=9
    )


def rehearse(path: Path, out: Path, **values) -> str:
    """Execute a chapter in the profile "full", shortened; return what stopped it, or "" if nothing did."""
    notebook = pages.read(path)
    check = next(k for k, cell in enumerate(notebook.cells) if "check" in cell.metadata.get("tags", []))
    notebook.cells.insert(check + 1, nbformat.v4.new_code_cell(CELL, id="rehearsal"))
    copy = out / "sources" / path.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, copy)
    values = {"profile": "full", "runs": "retrain", "data": "digits", "device": "cuda", "out": str(out), **values}
    try:
        execution.execute(copy, values, out / path.name)
    except (execution.Failed, ConfigurationError) as error:
        return str(error)
    return ""


def main(words: list[str]) -> int:
    """Rehearse chapters, tell of each how long it took and what stopped it, and return how many were stopped."""
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, (PRETEND_CARD, ROOT / "lib")))  # of the kernels
    out, stopped = Path(os.environ.get("OUT") or tempfile.mkdtemp(prefix="rehearsal-")), 0
    for path in checkout.find(words or [f"week{k}" for k in range(1, 9)]):
        began = time.monotonic()
        fault = rehearse(path, out)
        stopped += bool(fault)
        print(f"{path.stem}: {time.monotonic() - began:.0f} s, {fault or 'done'}", flush=True)
    return stopped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
