"""Frozen stimuli that come again: drawn once, where memory is plentiful, and shared by the runs that use them."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch

from ..digits import Digits
from ..stimuli import CachedStimuli, StimulusConfig
from .engine import Lane
from .machine import free_memory

_in_use: weakref.WeakValueDictionary[tuple, CachedStimuli] = weakref.WeakValueDictionary()


def frozen_stimuli(
    digits: Digits,
    n: int,
    scene: StimulusConfig,
    device: torch.device | str,
    lane: Lane,
    say: Callable[[str], None],
) -> CachedStimuli | None:
    """Return the frozen stimuli of the first `n` digits; None, and a line for `say`, where they do not fit."""
    key = id(digits.images), n, scene
    made = _in_use.get(key)
    if made is None:
        room, needed = free_memory(device) / 3, 4 * n * scene.edge**2
        if needed > room:
            say(f"{needed / 1e9:.2g} GB of stimuli do not fit ({room / 1e9:.2g} GB): each is drawn anew.")
            return None
        made = CachedStimuli(digits[:n], scene)
        made.source = digits.images  # as long as it lives, no other digits have its key
        lane.wait()  # another run may look at it from another lane
        _in_use[key] = made
    return made
