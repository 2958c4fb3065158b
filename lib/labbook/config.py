"""The configuration of a training: everything that its result depends on.

What a configuration is stored under, and how it is written as plain data, is up to `identity`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch

from . import models, transformers
from .curriculum import Stage
from .errors import ConfigurationError, choose, shown, within
from .losses import LOSSES
from .retina import Polo, WhatWhere
from .runtime.engine import PRECISIONS

OPTIMISERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}

CHOICES = {  # field -> what it may be
    "model": models.MODELS,
    "optimiser": OPTIMISERS,
    "loss": LOSSES,
    "precision": PRECISIONS,
    "data": ("mnist", "digits"),
    "start_with": ("all", "classifier", "localisation", "teacher"),
}
REAL = {  # field -> least and greatest value
    "momentum": (0, 0.9999),
    "weight_decay": (0, 10),
    "localisation_rate": (0, 1000),
    "ema_decay": (0, 0.999999),
    "fraction": (1e-6, 1),
}
WHOLE = {"n_perturbations": (2, 64), "batch": (1, 100_000), "digits": (1, 1_000_000), "seed": (-(2**63), 2**63)}


@dataclass(frozen=True)
class Training:
    """Everything that a training run depends on; only two of the losses use positions, see `losses`.

    Raises:
        ConfigurationError: a value that is none of `CHOICES`, or outside `REAL` or `WHOLE`; fields that do not fit each
            other.
    """

    model: str  # a name in models.MODELS
    stages: tuple[Stage, ...]
    options: Mapping[str, object] = field(default_factory=dict)  # of the model
    optimiser: str = "sgd"  # "adam" or "adamw"; PyTorch's defaults but for the fields below
    momentum: float = 0.0  # sgd only
    weight_decay: float = 0.0
    localisation_rate: float = 1.0  # learning rate of the localisation relative to the classifier's; 0 saves its part
    ema_decay: float = 0.0  # per step, of an exponential moving average of the weights, which then counts; 0: none
    reset_optimiser: bool = True  # forget the optimiser's state at the start of each stage, like 2021
    loss: str = "cross_entropy"  # or another name in losses.LOSSES
    n_perturbations: int = 8  # per image, even, in stages with a perturbation_std
    batch: int = 100  # images per step
    digits: int | None = None  # the first so many training digits alone; None: all
    fraction: float = 1.0  # share of the training digits that an epoch shows, another one each time
    precision: str = "float32"  # "tf32": of products on a GPU; "bfloat16": of the networks, see `engine.in_bfloat16`
    seed: int = 0
    data: str = "mnist"
    start: Training | None = None  # a run whose final weights this one begins with (default: drawn)
    # of its weights; or "classifier" or "localisation", which may be another transformer's; or "teacher", for the part
    # of this model that is an evidence map
    start_with: str = "all"

    def __post_init__(self):
        for name, allowed in CHOICES.items():
            choose(name, getattr(self, name), allowed)
        for name, bounds in REAL.items():
            within(name, getattr(self, name), *bounds)
        for name, bounds in WHOLE.items():
            if name != "digits" or self.digits is not None:
                within(name, getattr(self, name), *bounds, whole=True)
        if not isinstance(self.stages, tuple) or not self.stages or not all(isinstance(s, Stage) for s in self.stages):
            raise ConfigurationError(f"stages={shown(self.stages)} must hold at least one stage, in a tuple.")
        if not isinstance(self.options, Mapping) or not all(map(_is_plain, self.options.values())):
            raise ConfigurationError(
                f"options={shown(self.options)} must map names to numbers, texts, truth values or tuples of them."
            )
        for option in self.options:
            choose(f"a name in options of {self.model!r}", option, models.defaults(self.model))
        if not isinstance(self.reset_optimiser, bool):
            raise ConfigurationError(f"reset_optimiser={shown(self.reset_optimiser)} must be True or False.")
        if self.model == "where" and self.localisation_rate == 0:
            raise ConfigurationError("localisation_rate=0 leaves a 'where' network nothing to learn.")
        if (self.model == "where") != (self.loss == "collicular"):
            raise ConfigurationError(
                f"loss={self.loss!r} does not fit model={self.model!r}: 'collicular' teaches 'where' alone."
            )
        if not isinstance(self.start, Training | None):
            raise ConfigurationError(f"start={shown(self.start)} must be a training or None.")
        if self.start is not None and not self._takes_over():
            raise ConfigurationError(f"start: a {self.start.model!r} cannot go on as a {self.model!r}.")
        self._check_perturbations()

    def _takes_over(self) -> bool:
        """Return whether the model can begin with what `start_with` says of the model of `start`."""
        if self.start_with == "teacher":
            return self.start.model == "evidence" and hasattr(models.MODELS[self.model], "teacher")
        if self.start_with != "localisation":
            return self.start.model == self.model
        return all(issubclass(models.MODELS[each.model], transformers.Transformer) for each in (self, self.start))

    def _check_perturbations(self) -> None:
        if self.n_perturbations % 2:
            raise ConfigurationError(f"n_perturbations={self.n_perturbations} must be even: they come in pairs.")
        for stage in self.stages:
            if not stage.perturbation_std:
                continue
            if not issubclass(models.MODELS[self.model], transformers.Window) or self.loss != "cross_entropy":
                raise ConfigurationError(
                    f"perturbation_std={stage.perturbation_std} is for windows trained by 'cross_entropy', not for "
                    f"model={self.model!r} with loss={self.loss!r}."
                )
            if getattr(stage.scene, "view", "") != "field":
                raise ConfigurationError(
                    f"perturbation_std={stage.perturbation_std} needs a whole field, not {stage.scene}."
                )

    def drawn_from(self, digits: int) -> int:
        """Return how many of `digits` training digits are ever shown."""
        return min(digits, self.digits or digits)

    def steps(self, digits: int) -> int:
        """Return the number of steps in an epoch, given `digits` training digits."""
        return max(1, round(self.drawn_from(digits) * self.fraction / self.batch))

    def images(self, digits: int) -> int:
        """Return the number of images that the run is trained on, without those of its `start`."""
        return sum(stage.epochs for stage in self.stages) * self.steps(digits) * self.batch


def _is_plain(option: object) -> bool:
    if isinstance(option, tuple | list):
        return all(map(_is_plain, option))
    if isinstance(option, float):
        return math.isfinite(option)
    return option is None or isinstance(option, bool | int | str | WhatWhere | Polo)


# ---- variations -----------------------------------------------------------------------------------------------------


def shortened(training: Training, images: int, digits: int, stages: int | None = None) -> Training:
    """Return the same run cut to about `images` images: one epoch per stage, evenly, on at most `stages` stages, in
    smaller batches where a stage has less than one; and so the run that it starts from.

    Args:
        digits: size of the training set. stages: how many to keep, spread from the first to the last (default all).
    """
    kept = training.stages
    if stages is not None and len(kept) > stages:
        kept = tuple(kept[round(i * (len(kept) - 1) / max(1, stages - 1))] for i in range(stages))
    each = images / len(kept)
    fraction, batch = min(1.0, each / training.drawn_from(digits)), min(training.batch, max(2, round(each)))
    start = training.start and shortened(training.start, images, digits, stages)
    kept = tuple(replace(stage, epochs=1) for stage in kept)
    return replace(training, stages=kept, fraction=fraction, batch=batch, start=start)


def seeded(training: Training, seed: int, data: str) -> Training:
    """Return the same training with another seed and other digits, and likewise the run that it starts from."""
    start = training.start and seeded(training.start, seed, data)
    return replace(training, seed=seed, data=data, start=start)
