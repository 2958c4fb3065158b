"""When, of which commit and on which machine a report was made: the book says so, and when it is out of date."""

from __future__ import annotations

import datetime
from contextlib import suppress

from ..book import checkout
from ..errors import ConfigurationError
from ..runtime.machine import machine


def stamp(device: str = "cpu") -> dict[str, str]:
    """Return `date`, `commit` (empty outside of a git repository) and `machine` (what computes on a device)."""
    commit = ""
    with suppress(ConfigurationError):
        commit = checkout.git(checkout.root(), "rev-parse", "--short=10", "HEAD").strip()
    here = machine(device)
    name = here["device"] if device.startswith("cuda") else here["processor"]
    return {"date": str(datetime.date.today()), "commit": commit, "machine": name}
