"""The file that a training is taken up from: sealed with its checksum, read without executing code."""

from __future__ import annotations

import io
import json
from pathlib import Path

import torch

from ..errors import ConfigurationError
from ..identity.description import describe
from . import files
from .engine import HOW
from .machine import differences, machine

FORMAT = 1


def write(path: Path, state: dict) -> None:
    """Write a state of tensors, numbers, texts, lists and dictionaries atomically.

    Raises:
        ConfigurationError: see `files.write`.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    files.write(path, files.seal(buffer.getvalue()))


def read(path: Path, device: torch.device | str) -> dict:
    """Return the state of a checkpoint, its tensors on a device.

    Raises:
        ConfigurationError: a foreign, truncated or altered file, or another format.
    """
    content = io.BytesIO(files.unseal(files.read(path), path))
    try:
        state = dict(torch.load(content, map_location=device, weights_only=True))
    except Exception:  # whatever foreign bytes lead torch to
        raise ConfigurationError(f"{path} is no checkpoint of this library.") from None
    if state.get("format") != FORMAT:
        raise ConfigurationError(f"{path} has checkpoint format {state.get('format')}; this version reads {FORMAT}.")
    return state


def save(run) -> None:
    """Write the state of a run (`training._Run`) to its checkpoint."""
    state = {
        "training": json.dumps(describe(run.training), sort_keys=True),
        "position": [run.stage, run.epoch, run.step],
        "model": run.model.state_dict(),
        "averaged": run.averaged and run.averaged.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "loss": run.loss,
        "seconds": run.seconds,
        "history": json.dumps(run.history),
        "machines": json.dumps(run.machines),
    }
    write(run.checkpoint, state)


def load(run) -> None:
    """Let a run take up the state of its checkpoint; say if the bits will not be those of an uninterrupted training.

    Raises:
        ConfigurationError: see `train`.
    """
    path = run.checkpoint
    state = read(path, run.device)
    if json.loads(state["training"]) != describe(run.training):
        raise ConfigurationError(f"{path} belongs to another configuration; delete it or name another file.")
    try:
        _take_up(run, state)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".:")
        raise ConfigurationError(f"{path} holds no state of this training: {reason}.") from None
    with run.at_work():
        here = machine(run.device)
    if found := differences(run.machines[-1], here):
        run.machines.append({**here, "threads": run.threads})
        run.say(f"Continued on another machine ({found}): the bits differ from those of a training that was not.")


def _take_up(run, state: dict) -> None:
    """Take over a checkpoint's state; raises some error if it is not one of this training."""
    run.stage, run.epoch, run.step = position = state["position"]
    stages, run.history = run.training.stages, json.loads(state["history"])
    within = all(type(each) is int and each >= 0 for each in position) and (
        run.stage < len(stages) and run.epoch < stages[run.stage].epochs and run.step <= run.steps
    )
    if not within:
        raise ValueError(f"its position {position} is not within the schedule")
    if len(run.history) != sum(stage.epochs for stage in stages[: run.stage]) + run.epoch:
        raise ValueError(f"its history of {len(run.history)} epochs does not fit its position {position}")
    first, *later = json.loads(state["machines"]) if "machines" in state else run.machines
    run.machines = [{**first, "threads": int(first["threads"])}, *map(dict, later)]
    run.model.load_state_dict(state["model"])
    if run.averaged:
        run.averaged.load_state_dict(state["averaged"])
        run.averages = int(run.averaged.n_averaged)
    for saved, own in zip(state["optimiser"]["param_groups"], run.optimiser.param_groups, strict=True):
        saved.update({name: own[name] for name in HOW if name in own})  # another device may have saved it
    run.optimiser.load_state_dict(state["optimiser"])
    run.rates_in_place(run.optimiser)
    run.loss.copy_(state["loss"].to(run.loss))
    run.seconds = float(state["seconds"])
