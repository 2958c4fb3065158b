"""Commands of the lab-book in processes of their own, which end together: a signal to end is an interruption, and no
child outlives its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import psutil

from ..book import checkout

PARENT = "LABBOOK_PARENT"  # the environment variable that holds the number of the process to end with
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def labbook(*words: str, said: BinaryIO, apart: bool = False, **environment: str) -> subprocess.Popen:
    """Start `labbook` with some words; it ends with this process (`ended_together`), and what it says goes to a file.

    Args:
        apart: whether Ctrl-C does not reach it, since who started it passes that on.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "labbook", *words],
        cwd=checkout.root(),
        env={**os.environ, PARENT: str(os.getpid()), **environment},
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=subprocess.STDOUT,
        start_new_session=apart,
    )


def written(value: Any) -> str:
    """Return a parameter's value as it is written on the command line."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def parameters(values: Mapping[str, Any]) -> list[str]:
    """Return the words that give parameters to a chapter."""
    return [word for name, value in values.items() for word in ("-p", f"{name}={written(value)}")]


def fault(process: subprocess.Popen, said: BinaryIO) -> str:
    """Return why a command that has ended did not succeed, from the last of what it said; "" if it did."""
    if process.returncode <= 0:
        return f"killed by signal {-process.returncode}" if process.returncode else ""
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    lines = [line for line in lines if not line.startswith("The notebook up to there")]
    return lines[-1] if lines else "failed without a word"


def end(process: subprocess.Popen) -> None:
    """End a process and all that it started, kernels included, unless it has ended."""
    if process.poll() is not None:
        return
    with suppress(psutil.NoSuchProcess):
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(family[1:], timeout=5)
    process.wait()


@contextmanager
def ended_together() -> Iterator[None]:
    """Let SIGTERM, by which clusters end a job, and SIGHUP, a lost connection, do what Ctrl-C does; so does the end of
    the parent, if that asked for it (`labbook`). A signal that is ignored, as under nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.getsignal(each) for each in ENDING}
    parent = os.environ.pop(PARENT, None)
    ended = threading.Event()
    try:
        for each, handler in before.items():
            if handler is signal.SIG_DFL:
                signal.signal(each, signal.default_int_handler)
        if parent:
            threading.Thread(target=_follow, args=(int(parent), ended), daemon=True).start()
        yield
    finally:
        ended.set()
        for each, handler in before.items():
            signal.signal(each, handler)


def _follow(parent: int, ended: threading.Event) -> None:
    """Interrupt this process once its parent is another one: the first has ended, however it did."""
    while os.getppid() == parent:
        if ended.wait(0.5):
            return
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)  # longer than any tidying up
    os._exit(130)
