"""The configuration of a training: everything that its result depends on.

What a configuration is stored under, and how it is written as plain data, is up to `identity`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import torch

from . import models, transformers
from .curriculum import Stage
from .errors import ConfigurationError, check, choose, shown
from .filters import Polo, WhatWhere
from .losses import LOSSES
from .runtime.engine import PRECISIONS

OPTIMISERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@dataclass(frozen=True)
class Training:
    """Everything that a training run depends on; only two of the losses use positions, see `losses`.

    Raises:
        ConfigurationError: a value outside what its field declares; fields that do not fit each other.
    """

    model: str  # a name in models.MODELS
    stages: tuple[Stage, ...]
    options: Mapping[str, object] = field(default_factory=dict)  # of the model
    optimiser: str = "sgd"  # a name in OPTIMISERS; PyTorch's defaults but for the fields below
    momentum: Annotated[float, 0, 0.9999] = 0.0  # sgd only
    weight_decay: Annotated[float, 0, 10] = 0.0
    localisation_rate: Annotated[float, 0, 1000] = 1.0  # learning rate relative to the classifier's; 0 saves its part
    ema_decay: Annotated[float, 0, 0.999999] = 0.0  # per step, of a moving average of the weights, which then counts
    reset_optimiser: bool = True  # forget the optimiser's state at the start of each stage, like 2021
    loss: str = "cross_entropy"  # a name in losses.LOSSES
    n_perturbations: Annotated[int, 2, 64] = 8  # per image, even, in stages with a perturbation_std
    batch: Annotated[int, 1, 100_000] = 100  # images per step
    digits: Annotated[int, 1, 1_000_000] | None = None  # the first so many training digits alone; None: all
    fraction: Annotated[float, 1e-6, 1] = 1.0  # share of the training digits that an epoch shows, another one each time
    precision: str = "float32"  # a name in engine.PRECISIONS
    seed: Annotated[int, -(2**63), 2**63] = 0
    data: Literal["mnist", "digits"] = "mnist"
    start: Training | None = None  # a run whose final weights this one begins with (default: drawn)
    # of its weights; "classifier" and "localisation" may be another transformer's; "teacher": an evidence map's, for
    # the part of this model that is one
    start_with: Literal["all", "classifier", "localisation", "teacher"] = "all"

    def __post_init__(self):
        check(self)
        choose("model", self.model, models.MODELS)
        choose("optimiser", self.optimiser, OPTIMISERS)
        choose("loss", self.loss, LOSSES)
        choose("precision", self.precision, PRECISIONS)
        if not isinstance(self.stages, tuple) or not self.stages or not all(isinstance(s, Stage) for s in self.stages):
            raise ConfigurationError(f"stages={shown(self.stages)} must hold at least one stage, in a tuple.")
        if not isinstance(self.options, Mapping) or not all(map(_is_plain, self.options.values())):
            raise ConfigurationError(
                f"options={shown(self.options)} must map names to numbers, texts, truth values or tuples of them."
            )
        for option in self.options:
            choose(f"a name in options of {self.model!r}", option, models.defaults(self.model))
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
