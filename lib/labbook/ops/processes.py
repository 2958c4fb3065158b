"""Processes that end together: a signal to end is an interruption, and no child outlives its parent."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PARENT = "LABBOOK_PARENT"  # the environment variable that holds the number of the process to end with
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def child_environment() -> dict[str, str]:
    """Return what the environment of a child needs, for `ended_together` in it to end it with this process."""
    return {PARENT: str(os.getpid())}


@contextmanager
def ended_together() -> Iterator[None]:
    """Let SIGTERM, by which clusters end a job, and SIGHUP, a lost connection, do what Ctrl-C does; so does the end of
    the parent, if that asked for it (`child_environment`). A signal that is ignored, as under nohup, stays ignored.
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
