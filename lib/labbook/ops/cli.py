"""The command line: run chapters, sweep over parameters, find drift, build the book, use a lent GPU, show data,
measure the speed."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..book import checkout, claims, colab, execution, outcome, pages, parameters
from ..errors import ConfigurationError
from ..runtime import files
from . import processes


class Commands(typer.core.TyperGroup):
    """Turn what stops a command into one line and an exit code: 1 failed, 2 refused, 130 interrupted."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            with processes.ended_together():
                return super().invoke(ctx)
        except ConfigurationError as refusal:
            line, code = f"Refused: {refusal}", 2
        except execution.Failed as failure:
            line, code = str(failure), 1
        except KeyboardInterrupt:
            line, code = "Interrupted; the same command resumes training runs from their last checkpoints.", 130
        typer.echo(line, err=True)
        raise typer.Exit(code)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""The lab-book: chapters are notebooks with parameters, executed by papermill and rendered as a book.

    A chapter is named by its file or the beginning of it: `week1` is notebooks/week1_noisy_stn.ipynb. Its parameters
    are listed by `papermill --help-notebook notebooks/week1_noisy_stn.ipynb`.

    Exit codes: 0 fine, 1 a chapter failed, 2 refused before any work, 75 the time is up (gpu), 130 interrupted.""",
)


# What several commands are given.
Chapters = Annotated[
    list[str] | None, typer.Argument(metavar="CHAPTER", help="Names or beginnings of names; none means all.")
]
Profile = Annotated[
    str | None, typer.Option(help="smoke (seconds, numbers meaningless), quick (minutes on two cores) or full (a GPU).")
]
Data = Annotated[str, typer.Option(help="auto, mnist or digits.")]


def _pairs(help: str, metavar: str = "NAME=VALUE") -> Any:
    """Return the type of NAME=VALUE options."""
    option = typer.Option("--parameter", "-p", metavar=metavar, help=f"{help}; may be repeated.")
    return Annotated[list[str] | None, option]


def _folder(help: str, default: str) -> Any:
    """Return the type of an option that names a folder."""
    return Annotated[Path | None, typer.Option(help=help, show_default=default)]


@contextmanager
def _progress() -> Iterator[tuple[Console, Progress]]:
    """Lines of progress and, in a terminal, bars."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        yield console, bars


# ---------------------------------------------------------------- run


@app.command()
def run(
    words: Chapters = None,
    profile: Profile = None,
    seed: Annotated[str | None, typer.Option(help="The first seed; the others follow it.")] = None,
    pairs: _pairs("A parameter of every chapter named") = None,
    publish: Annotated[bool, typer.Option("--publish", help="Also put the executed chapters into book/.")] = False,
    out: _folder("Folder for the executed notebooks.", "_build/notebooks") = None,
) -> None:
    """Execute chapters, all of them checked before the first one starts.

    Values are written as in Python or JSON; a text needs no quotes, a list no brackets:

    `python -m labbook run week1 --profile smoke -p optimiser=adam -p stds=0,15`
    """
    pairs = [*(pairs or ()), *_given(profile=profile, seed=seed)]
    paths = checkout.find(words or ())
    if publish:
        _require_committed()
    values = [parameters.overrides(path, pairs) for path in paths]
    replaced = [
        checkout.root() / "book" / path.name for path, given in zip(paths, values, strict=True) if "data" not in given
    ]
    if publish and any(page.exists() and "Data: MNIST" in page.read_text("utf-8") for page in replaced):
        from .. import digits

        digits.load("mnist", checkout.root() / "book" / "digits")  # not replaced by one of other digits
    _run(paths, values, out or checkout.root() / "_build" / "notebooks", publish)


def _require_committed() -> None:
    """Refuse to publish what no commit holds: a page names the commit that makes it again."""
    words = ("status", "--porcelain", "--untracked-files=all", "--", "lib", "notebooks")
    try:
        said = checkout.git(checkout.root(), *words).splitlines()
    except ConfigurationError:  # no git, or no repository: nothing to compare with
        return
    if said:
        more = f" and {len(said) - 1} more" if len(said) > 1 else ""
        raise ConfigurationError(
            f"--publish needs committed code, and {said[0][3:]}{more} is changed; commit it first."
        )


def _given(**options: Any) -> Iterable[str]:
    return (f"{name}={value}" for name, value in options.items() if value is not None)


def _run(paths: list[Path], values: list[dict[str, Any]], folder: Path, publish: bool = False) -> dict[Path, Any]:
    """Check every chapter, then execute one after the other; return the executed notebooks by their paths."""
    for path, given in zip(paths, values, strict=True):
        parameters.read(parameters.of(path), given)
    executed = {}
    with _progress() as (console, bars):
        book = bars.add_task("chapters", total=len(paths))
        for path, given in zip(paths, values, strict=True):
            label = f"[{len(executed) + 1}/{len(paths)}] {path.stem}"
            console.print(f"{label} ...")
            cells, start = bars.add_task(path.stem), time.perf_counter()

            def count(done: int, total: int, cells=cells) -> None:
                bars.update(cells, completed=done, total=total)

            output = folder / path.name
            notebook = execution.execute(path, given, output, count)
            if publish:
                _publish_runs(notebook, given)
                colab.give(notebook, colab.repository(checkout.root() / "_config.yml"))
                pages.publish(notebook, output := checkout.root() / "book" / path.name)
                _publish_results(notebook, path.stem, output.parent)
            executed[output] = notebook
            bars.remove_task(cells)
            bars.advance(book)
            console.print(f"{label}: {time.perf_counter() - start:.1f} s, {os.path.relpath(output)}")
    return executed


def _publish_runs(notebook: Any, given: dict[str, Any]) -> None:
    """Copy the training runs that a chapter used to book/runs/."""
    if manifest := pages.glued(notebook, "runs"):
        from ..book import store

        made = Path(given.get("out") or checkout.root() / "_build")
        store.publish(json.loads(manifest), made / "runs", checkout.root() / "book" / "runs")


def _publish_results(notebook: Any, name: str, book: Path) -> None:
    """Write book/results/: what this chapter found, the verdicts of all chapters, and the benchmark if it made it."""
    outcome.write(notebook, name, book)
    claims.write(book)
    if benchmark := pages.glued(notebook, "benchmark"):
        files.write(book / "results" / "benchmark.json", benchmark.encode())


# ---------------------------------------------------------------- sweep


@app.command("sweep")
def sweep_(
    word: Annotated[str, typer.Argument(metavar="CHAPTER", help="A chapter, or the beginning of its name.")],
    pairs: _pairs("A,B,C or FIRST..LAST", "NAME=VALUES") = None,
    profile: Profile = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Executions at once.", show_default="one per GPU, or per core")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler, tcp://HOST:PORT, or its scheduler file.")
    ] = None,
    out: _folder("Folder of the sweep.", "_build/sweeps/CHAPTER") = None,
) -> None:
    """Execute a chapter for every combination of values, and gather the results in one table.

    All combinations are checked before the first one starts. What was executed before, with the same values and the
    same code, is not executed again; so a sweep that was interrupted goes on where it stopped.

    `python -m labbook sweep week2 --profile smoke -p lr_adam=0.001,0.005 -p seed=0..4`
    """
    from . import sweep

    if workers and scheduler:
        raise ConfigurationError(f"workers={workers} is for this machine; the scheduler has workers of its own.")
    (path,) = checkout.find([word])
    pairs = _one_data([*(pairs or ()), *_given(profile=profile)])
    tasks = sweep.grid(path, pairs)
    folder = out or checkout.root() / "_build" / "sweeps" / path.stem
    where = f"the Dask workers of {scheduler}" if scheduler else f"{workers or sweep.local_workers()} local workers"
    with _progress() as (console, bars):
        bar = bars.add_task(path.stem, total=len(tasks))
        console.print(f"{path.stem}: {len(tasks)} executions on {where}, into {os.path.relpath(folder)}")

        def say(task: sweep.Combination, outcome: sweep.Execution, left: int) -> None:
            bars.update(bar, completed=len(tasks) - left)
            ended = "" if outcome.done else f", failed: {outcome.message}"
            console.print(f"[{len(tasks) - left}/{len(tasks)}] {task.words}: {outcome.seconds:.1f} s{ended}")

        engine = partial(sweep.dask, address=scheduler, workers=workers)
        outcomes = sweep.run(tasks, folder, engine, say, lambda line: typer.echo(line, err=True))
    typer.echo(f"The table: {os.path.relpath(sweep.write_tables(folder, tasks, outcomes))}")
    if failed := [task for task in tasks if not outcomes[task.id].done]:
        raise execution.Failed(
            f"{len(failed)} of {len(tasks)} executions failed, the first at {failed[0].words}: "
            f"{outcomes[failed[0].id].message}\nThe same command tries them again."
        )


def _one_data(pairs: list[str]) -> list[str]:
    """Return the pairs with the digits that `data=auto` means here, so that a table never mixes digits: a worker that
    lacks them says so."""
    given = dict(pair.partition("=")[::2] for pair in pairs)
    wanted = given.get("data", "auto").split(",")
    if "auto" not in wanted:
        return pairs
    from .. import digits

    profile = given.get("profile") or os.environ.get("LABBOOK_PROFILE", "")
    trains = "smoke" in profile or "retrain" in given.get("runs", "")
    name = digits.load("auto", None if trains else checkout.root() / "book" / "digits").name
    data = ",".join(dict.fromkeys(name if each == "auto" else each for each in wanted))
    return [*(pair for pair in pairs if not pair.startswith("data=")), f"data={data}"]


# ---------------------------------------------------------------- build


@app.command()
def build(
    no_run: Annotated[bool, typer.Option("--no-run", help="Render the chapters in book/ as they are.")] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also print it as one PDF, by Chromium.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Render every page anew; a warning fails.")] = False,
) -> None:
    """Execute every chapter as its parameters stand, and render the book around the results.

    book/ is not touched: its pages and the fresh chapters meet in _build/source. LABBOOK_PROFILE sets another profile
    than quick. The log of the rendering is _build/book.log.
    """
    made = checkout.needed("build") / "_build"
    chapters = [] if no_run else _run(every := checkout.chapters(), [{}] * len(every), made / "notebooks")
    try:
        _stage(made / "source", chapters)
        _render(made / "source", made, strict)
    except OSError as error:
        raise ConfigurationError(f"the book cannot be written: {error}.") from None
    typer.echo(f"The book: {os.path.relpath(made / 'html' / 'index.html')}")
    if pdf:
        from ..book import pdf as printer

        try:
            typer.echo(f"The book as one file: {os.path.relpath(printer.make(made / 'source', made))}")
        except RuntimeError as error:
            raise execution.Failed(str(error)) from None


def _stage(source: Path, chapters: Iterable[Path]) -> None:
    """Copy what the book is made of, then lay the executed chapters over it; unchanged files keep their times."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    unread = shutil.ignore_patterns("__pycache__", ".*", "*.safetensors")
    for part in checkout.root().iterdir():
        if part.name in ("book", "lib") or (part.name.startswith("_") and part.name not in ("_build", "__pycache__")):
            copy = shutil.copy2 if part.is_file() else lambda *where: shutil.copytree(*where, ignore=unread)
            copy(part, source / part.name)
    for path in chapters:
        shutil.copy2(path, source / "book" / path.name)
    outcome.write_all(source / "book")
    claims.write(source / "book")


def _render(source: Path, made: Path, strict: bool) -> None:
    options = ["--all", "-W", "-n", "--keep-going"] if strict else []
    start = "from jupyter_book.cli.main import main; main(prog_name='jupyter-book')"
    command = [sys.executable, "-c", start, "build", *options, "--path-output", str(made.parent), str(source)]
    log = made / "book.log"
    with open(log, "w", encoding="utf-8") as file:
        done = subprocess.run(command, cwd=checkout.root(), stdout=file, stderr=subprocess.STDOUT, check=False)
    said = re.sub(r"\x1b\[[\d;]*m", "", log.read_text("utf-8", errors="replace")).replace(f"{source}{os.sep}", "")
    for line in re.findall(r".*\b(?:WARNING|ERROR)\b.*|Older than the library: .*", said):
        typer.echo(line, err=True)
    if done.returncode:
        cause = (re.findall(r"^.*(?:Error|Exception): .*\S", said, re.M) or ["see the warnings above"])[-1]
        raise execution.Failed(f"jupyter-book failed: {cause}\nIts log: {os.path.relpath(log)}")


# ---------------------------------------------------------------- gpu, import


@app.command("gpu")
def gpu_(
    minutes: Annotated[float, typer.Option(min=0, help="Length of this session, the pack included.")] = 10.0,
    pack: _folder("Folder for the parts of the pack.", "none") = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A training, or the beginning of names; may be repeated.")
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(help="A phase: check, chapters, timings, trainings or pack; may be repeated.")
    ] = None,
    share: Annotated[
        float, typer.Option(help="Share of each training, 0.0001 to 1; below 1 it is shortened, openly.")
    ] = 1.0,
    precision: Annotated[
        str | None,
        typer.Option(help="Precision of all trainings: float32, tf32 or bfloat16.", show_default="as declared"),
    ] = None,
    lanes: Annotated[
        int | None, typer.Option(min=1, help="Processes that train at once.", show_default="2 on a GPU, else 1")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    data: Data = "auto",
    chapter_seconds: Annotated[float, typer.Option(help="Seconds after which a chapter is stopped.")] = 90.0,
    out: _folder("Folder of record and runs.", "_build/gpu") = None,
    names: Annotated[bool, typer.Option("--list", help="List the trainings in the order of their worth.")] = False,
) -> None:
    """Use lent minutes of a GPU: check it, execute the chapters in smoke, time it, train what is worth most, pack.

    The session ends in time, with exit code 75 if trainings are left, and the same command goes on where it stopped:

    `labbook gpu --minutes 10 --pack pack`, and on the machine of the book: `labbook import pack/*.zip`
    """
    parameters.read(parameters.Common, {"data": data})
    if names:
        from ..experiments import card

        for entry in card.chosen(card.card_trainings(), only or ()):
            number = f"{len(entry.trainings)} training{'s' * (len(entry.trainings) > 1)}"
            typer.echo(f"{entry.minutes:>6.1f} minutes  {number:<14}{entry.name}")
        return
    place = parameters.device(device)
    from . import gpu

    folder = (out or checkout.root() / "_build" / "gpu").resolve()
    lanes, phases = lanes or (1 if place == "cpu" else 2), (tuple(skip or ()), pack and pack.resolve())
    asked = gpu.Asked(
        folder, place, data, share, minutes, tuple(only or ()), precision, lanes, *phases, chapter_seconds
    )
    if not gpu.Session(asked, typer.echo).run():
        raise typer.Exit(75)


@app.command("import")
def import_(
    parts: Annotated[list[Path], typer.Argument(metavar="FILE", help="The parts of a pack.")],
    out: _folder("Folder for runs whose weights are large.", "_build") = None,
) -> None:
    """Bring what a GPU session packed into the book: its runs into book/runs, its record into book/results/gpu.

    Every byte is checked before the first is written; nothing that is there is replaced.
    """
    from . import pack

    root = checkout.needed("import")
    pack.bring(parts, root / "book", (out or root / "_build") / "runs", typer.echo)


# ---------------------------------------------------------------- drift


@app.command("drift")
def drift_(
    words: Chapters = None,
    pairs: _pairs("Other than published") = None,
    publish: Annotated[bool, typer.Option("--publish", help="Put what is found into book/results/drift.json.")] = False,
) -> None:
    """Execute published chapters again, beside the book, and compare number by number with what is published.

    With the parameters that they were published with, on MNIST, and with the profile quick where these leave it open.
    What is found goes into _build/drift/drift.json or, with --publish, into book/results/drift.json, in place of what
    it held of the same chapters. `-p runs=retrain` trains anew. Exit code 1: something differs by more than the
    tolerance.
    """
    import torch

    from .. import digits
    from . import compare
    from .stamp import stamp

    os.environ.setdefault("LABBOOK_PROFILE", "quick")
    book, folder = checkout.root() / "book", checkout.root() / "_build" / "drift"
    paths = [path for path in checkout.find(words or ()) if words or (book / path.name).exists()]
    published = [pages.read(book / path.name) for path in paths]
    values = [
        compare.parameters(page) | parameters.overrides(path, pairs or ())
        for path, page in zip(paths, published, strict=True)
    ]
    if not all("data" in given for given in values):
        digits.load("mnist", book / "digits")  # not other digits than the published ones
    executed = _run(paths, values, folder)
    records = []
    for path, page, given, fresh in zip(paths, published, values, executed.values(), strict=True):
        asked = parameters.read(parameters.of(path), given)
        settings = {"profile": asked.profile, "runs": asked.runs, "torch": torch.__version__, **stamp()}
        found = compare.compare(page, fresh)
        records.append(compare.record(found, book / path.name, settings))
        typer.echo(f"{path.stem}: {found}")
    compare.keep(records, (book / "results" if publish else folder) / "drift.json")
    drifted = [record["chapter"] for record in records if not record["held"]]
    if drifted:
        raise execution.Failed(f"{len(drifted)} of {len(records)} chapters differ by more: {', '.join(drifted)}.")


# ---------------------------------------------------------------- results, changes, colab, data, bench


@app.command("results")
def results_(
    notebooks: Annotated[
        list[Path] | None, typer.Argument(help="Executed notebooks; none: those of the book, whose files are written.")
    ] = None,
) -> None:
    """Print what executed chapters found, as JSON: answer, verdicts with their numbers and units, systems, runs.

    Without a notebook, write book/results/CHAPTER.json of every executed chapter in book/, and collect the verdicts
    in book/results/claims.json. `run --publish` does so by itself; this is for chapters that came by another way, as
    from a merge.
    """
    for path in notebooks or ():
        typer.echo(outcome.content(outcome.of(pages.read(path), path.stem)).decode(), nl=False)
    if notebooks:
        return
    book = checkout.needed("results") / "book"
    written = outcome.write_all(book)
    path = claims.write(book)
    given = [record["verdict"] for record in json.loads(path.read_bytes())]
    counted = ", ".join(f"{verdict} {given.count(verdict)}" for verdict in claims.VERDICTS)
    typer.echo(f"chapters: {len(written)}; {os.path.relpath(path)}: {counted}")


@app.command("changes")
def changes_() -> None:
    """Write book/results/changes.json: which chapter changed its numbers, when, by how much, from the history of book/.

    It compares committed versions of the executed chapters; run it after they are committed.
    """
    from ..book import changes

    path = changes.write(checkout.needed("changes"))
    records = json.loads(path.read_bytes())
    pages = {record["page"] for record in records}
    typer.echo(f"{os.path.relpath(path)}: {len(records)} changes of {len(pages)} chapters")


@app.command("colab")
def colab_() -> None:
    """Give the executed chapters in book/ the cell that installs the library in Colab, or take it away.

    The address is `repository` in _config.yml; `run --publish` gives the cell by itself.
    """
    root = checkout.needed("colab")
    where, changed = colab.repository(root / "_config.yml"), colab.write(root)
    cell = f"the cell installs from {where.url}" if where else "no address, no cell"
    typer.echo(f"{changed} chapters changed: {cell}")


@app.command("verify")
def verify_(
    out: _folder("Folder that holds new runs.", "_build") = None,
) -> None:
    """Check the published runs, new runs and executed chapters, each by itself and against each other.

    One line per fault, and exit code 1 if there is one.
    """
    from ..book import verify

    root = checkout.needed("verify")
    found = verify.verify(root / "book", (out or root / "_build") / "runs")
    for fault in found.faults:
        typer.echo(fault)
    counted = ", ".join(f"{number} {kind}" for kind, number in found.counts.items())
    if found.faults:
        raise execution.Failed(f"{len(found.faults)} faults in {counted}.")
    typer.echo(f"All belongs together: {counted}.")


@app.command()
def data(data: Data = "auto") -> None:
    """Show which digits a new training would use: where they are from, how many, and their checksums.

    MNIST is looked for in the folder LABBOOK_DATA (it holds MNIST/raw), then downloaded; without either, auto takes the
    digits that scikit-learn brings, and says why. What is stored is analysed with the test digits in book/digits.
    """
    parameters.read(parameters.Common, {"data": data})
    from .. import digits

    sets = digits.load(data)
    typer.echo(f"{sets.name}: {sets.origin}{f', in {sets.folder}' if sets.folder else ''}")
    if sets.why:
        typer.echo(f"They stand in for MNIST: {sets.why}")
    for part in ("train", "validation", "test"):
        images = getattr(sets, part).images
        digest = hashlib.sha256(images.contiguous().numpy().tobytes()).hexdigest()
        typer.echo(f"{part:<11}{len(images):>7} images  sha256 {digest}")


@app.command()
def bench() -> None:
    """Measure stimuli and training steps per second on one core, beside those of 2021 and the machine's limits."""
    from . import bench

    bench.main()
