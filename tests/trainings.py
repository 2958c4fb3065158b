"""Trainings for tests: short, in processes of their own, and what is compared of them."""

import io
import json
import multiprocessing
from pathlib import Path

import torch

from labbook import curriculum, digits, training
from labbook.config import Training
from labbook.curriculum import Stage
from labbook.runtime import files
from labbook.stimuli import Scene28
from labbook.training import train

CLEAR = Scene28(std=0, contrast=(0.7, 0.7), noise=0.3)


def one(model: str = "lenet", scene: Scene28 = CLEAR, epochs: int = 1, lr: float = 0.01, **options) -> Training:
    """A configuration of one stage; 20 images a step, one step an epoch on 400 digits unless said otherwise."""
    return Training(model, (Stage(scene, epochs, lr),), **{"data": "digits", "batch": 20, "fraction": 0.05, **options})


def weights(outcome: training.Outcome) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in outcome.model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


KILLED = {
    "dropout, Adam, a transformer": Training(
        "stn28",
        curriculum.growing([0, 4], 3, 0.001, Scene28()),
        options={"classifier": "tutorial"},
        optimiser="adam",
        batch=5,
        fraction=0.5,
        data="digits",
    ),
    "momentum kept over stages, decay, frozen, averaged": Training(
        "tutorial",
        curriculum.growing([0, 4, 8], 2, 0.01, Scene28(draws="frozen"), decay=0.5),
        momentum=0.9,
        ema_decay=0.9,
        reset_optimiser=False,
        batch=5,
        fraction=0.5,
        data="digits",
    ),
}


def to_the_end(name: str, folder: Path) -> None:
    """Train in a process of its own, with a checkpoint every 20 ms, and leave weights and history in the folder."""
    torch.set_num_threads(1)
    parts = [digits.Digits(*part) for part in torch.load(folder / "digits", weights_only=True)]
    outcome = train(KILLED[name], digits.DigitSets(*parts, "digits", ""), checkpoint=folder / "checkpoint", every=0.02)
    buffer = io.BytesIO()
    torch.save([weights(outcome), json.dumps(outcome.history)], buffer)
    files.write(folder / "outcome", buffer.getvalue())


def processes():
    """Real processes, each forked from a server that has imported what takes long (optimisers need dynamo)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["labbook.book.store", "torch._dynamo", "pytest", "hypothesis"])
    return context
