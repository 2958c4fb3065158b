"""Chapters executed by papermill: one kernel each, output that is whole or absent, one sentence for what went wrong."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat

from ..errors import ConfigurationError
from . import checkout, pages


class Failed(RuntimeError):
    """A chapter stopped while it ran: the chapter, the cell, the last line of the error, the partial notebook."""


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
        ConfigurationError: a cell refused to go on, as one that must train and finds no MNIST; or `output` cannot be
            written.
    """
    import papermill
    import psutil
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    output = output.resolve()
    draft = output.with_name(f".{output.stem}.{os.getpid()}.part.ipynb")
    total = len(pages.read(path).cells) + bool(values)
    at = 0

    def count(cell, cell_index):
        nonlocal at
        at = cell_index
        if progress:
            progress(cell_index, total)

    def failed(last_line):
        with suppress(OSError):
            os.replace(draft, output)
        shown = os.path.relpath(output)
        return Failed(f"{path.stem} failed in cell {at + 1} of {total}: {last_line}\nThe notebook up to there: {shown}")

    others = psutil.Process().children()
    folder = sockets()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        executed = papermill.execute_notebook(
            *(str(each).replace("{", "{{").replace("}", "}}") for each in (path.resolve(), draft)),
            parameters=values,
            kernel_name="python3",
            start_timeout=300,  # seconds; the default of 60 is short where every core has its run
            language="python",
            progress_bar=False,
            record_timing=False,
            cwd=str(checkout.root()),
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
        sentence = (error.evalue.strip().splitlines() or [""])[-1]
        failure = failed(f"{error.ename}: {sentence}")
        raise (ConfigurationError(sentence) if error.ename == "ConfigurationError" else failure) from None
    except DeadKernelError:
        raise failed("the kernel died, for want of memory perhaps") from None
    except RuntimeError as error:  # the kernel did not start in time
        raise failed(pages.reason(error)) from None
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {pages.reason(error)}.") from None
    finally:
        folder.cleanup()
        with suppress(OSError):
            draft.unlink()
    pages.write(output, pages.normalise(executed))
    if progress:
        progress(total, total)
    return executed
