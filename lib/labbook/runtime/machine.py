"""Where something is computed: what the bits of a result depend on besides its configuration."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch


def machine(device: torch.device | str) -> dict:
    """Return what a result's provenance needs to know of the machine, and of how it computes."""
    cuda = str(device).startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(device) if cuda else f"{os.cpu_count()} CPU cores ({platform.machine()})",
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "deterministic": not cuda or torch.backends.cudnn.deterministic,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def processor() -> str:
    """Return the name of the processor, as the system knows it."""
    try:
        names = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.M)
    except OSError:  # not Linux
        names = []
    return names[0].strip() if names else platform.processor() or platform.machine()


def differences(one: dict, other: dict) -> str:
    """Return in words how a machine differs from another one where that may change bits; threads can be set."""
    keys = ("device", "processor", "deterministic", "torch")
    return ", ".join(f"{key} {one.get(key)}, now {other.get(key)}" for key in keys if one.get(key) != other.get(key))


@contextmanager
def threads_restored() -> Iterator[None]:
    """Leave PyTorch's number of threads as it was, whatever it is set to meanwhile."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_memory() -> None:
    """Let this process keep the memory that it frees, if its C library is glibc: a CPU trains up to 1.5 times as fast.

    Otherwise every large tensor is handed back to the system and asked for again, page by page, at every step.
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: nothing is mapped on its own
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: as much as may stay free


def free_memory(device: torch.device | str) -> int:
    """Return the bytes that are free on a device; 0 where it does not tell."""
    if str(device).startswith("cuda"):  # what the system has, and what this process holds without using it
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return psutil.virtual_memory().available if torch.device(device).type == "cpu" else 0
