"""What a chapter computes with: its runs and their evaluations, as far as its profile allows.

    store = ChapterStore(settings)
    (run,) = store.get_or_train(training, seeds=[0])
    cells = store.evaluate(evaluations.benchmark, run, n=2000)

A profile decides what may be computed now. "full": everything, whole. "quick": whole schedules and maps where the store
has them, shortened ones otherwise. "smoke": a few steps, from nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .. import digits
from ..classifiers import TransformerOutput
from ..config import Training, seeded, shortened
from ..evaluation import Proportion
from ..identity.description import plain
from ..stimuli import FIELD, Stimuli, StimulusConfig
from . import checkout, evaluations
from .evaluations import Evaluation
from .parameters import Common
from .store import Run, Store, same

QUICK_IMAGES, SMOKE_IMAGES = 40_000, 400  # training images of a shortened run
# Cost of an image, in images of 28x28: shortened runs are shorter by this factor.
HEAVY = {"stn128": 50, "atn": 20, "searcher": 8}


class ChapterStore:
    """The runs of a chapter, and what is measured of them.

    Trainings and evaluations compute on the chapter's device, from digits on the CPU, so that stimuli are the same on
    every machine; all that is returned is on the CPU.

    Args:
        settings: the checked parameters. runs: where runs are kept (default: the published ones, and the chapter's).
    """

    def __init__(self, settings: Common, runs: Store | None = None):
        self.settings = settings
        reuse = settings.runs == "reuse" and settings.profile != "smoke"
        self.sets = digits.load(settings.data, checkout.root() / "book" / "digits" if reuse else None)
        precision = getattr(settings, "precision", "auto")  # of a chapter that trains
        self.runs = runs or Store(checkout.root() / "book" / "runs", settings.folder, reuse, print, precision=precision)
        self.shortened: set[str] = set()  # ids of runs on a schedule shorter than the chapter asks for

    def get_or_train(
        self, training: Training | Mapping[str, Training], seeds: Sequence[int] | None = None, quick: int | None = None
    ) -> list[Run] | dict[str, list[Run]]:
        """Return one run per seed (default: the chapter's), the longest that the profile and the store allow; of
        trainings by name, their runs by name.

        Args:
            quick: training images of a shortened run in the profile "quick" (default `QUICK_IMAGES`); what is shorter
                anyway is trained whole.
        """
        if isinstance(training, Mapping):
            return {name: self.get_or_train(each, seeds, quick) for name, each in training.items()}
        n, cost = len(self.sets.train), HEAVY.get(training.model, 1)
        least = 20 if training.stages[-1].scene.edge == FIELD else 1  # of the cost in smoke
        limit = quick or QUICK_IMAGES // cost
        every = [seeded(training, seed, self.sets.name) for seed in (self.settings.seeds if seeds is None else seeds)]
        wanted = [
            {
                "full": [whole],
                "quick": [whole] if whole.images(n) <= limit else [whole, shortened(whole, limit, n)],
                "smoke": [shortened(whole, SMOKE_IMAGES // max(cost, least), n, stages=2)],
            }[self.settings.profile]
            for whole in every
        ]
        obtained = self.runs.get_or_train_many(wanted, self.sets, self.settings.torch_device)
        for run, whole in zip(obtained, every, strict=True):
            if run.images < whole.images(n):
                self.shortened.add(run.id)
        return obtained

    def first(self, training: Training | Mapping[str, Training], quick: int | None = None) -> Run | dict[str, Run]:
        """Return the run of the first seed alone, see `get_or_train`; of trainings by name, their runs by name."""
        if isinstance(training, Mapping):
            return {name: self.first(each, quick) for name, each in training.items()}
        return self.get_or_train(training, self.settings.seeds[:1], quick)[0]

    def model(self, run: Run) -> nn.Module:
        """Return a run's trained model on the CPU; its weights are published with the page."""
        return self.runs.model(run)

    def output(self, run: Run, stimuli: Stimuli) -> TransformerOutput:
        """Return what the network of a run does with stimuli."""
        with torch.inference_mode():
            return self.model(run)(stimuli.images)

    def evaluate(self, evaluation: Evaluation, run: Any, raw: bool = False, **settings: Any) -> Any:
        """Return an evaluation of a run, stored or computed now; of several runs, or of runs by name, as many.

        Args:
            raw: as plain data, as it is stored. settings: see the evaluation. At most as many test digits, `n`, are
                taken as there are, in "smoke" a few. Where a setting is a run, or several, it is one of the result.
        """
        if isinstance(run, Mapping):
            return {name: self.evaluate(evaluation, each, raw, **settings) for name, each in run.items()}
        if isinstance(run, list | tuple):
            return [self.evaluate(evaluation, each, raw, **settings) for each in run]
        settings, test = evaluation.settings(settings), self.sets.test
        if "n" in settings:
            n = len(test) if settings["n"] is None else min(settings["n"], len(test))
            settings["n"] = evaluation.smoke if self.settings.profile == "smoke" else n
        several = {name: value if isinstance(value, list | tuple) else [value] for name, value in settings.items()}
        others = [each for value in several.values() for each in value if isinstance(each, Run)]

        def measure(model: nn.Module) -> object:
            return evaluation.measure(model, test, **{name: self._loaded(value) for name, value in settings.items()})

        return self.runs.evaluate(
            run,
            evaluation.name,
            measure,
            self.settings.torch_device,
            others,
            same if raw else lambda kept: evaluation.read(kept, test, **settings),
            **{name: _kept(value) for name, value in settings.items()},
        )

    def _loaded(self, value: Any) -> Any:
        """Return a setting with the models of its runs."""
        if isinstance(value, list | tuple) and value and isinstance(value[0], Run):
            return [self._loaded(each) for each in value]
        return value.model(self.settings.torch_device) if isinstance(value, Run) else value

    def general_and_central(self, run: Run, scene: StimulusConfig) -> list[Proportion]:
        """Return the general and the central accuracy of a run: of digits shifted by std 15 px, and unshifted."""
        return [self.evaluate(evaluations.accuracy, run, scene=replace(scene, std=std)) for std in (15.0, 0.0)]

    def accuracy_map(self, run: Run, scene: StimulusConfig, n: int = 500) -> Tensor:
        """Return the accuracy map of a run on the test digits: 55x55 with `n` stimuli per position, coarser if the
        profile asks for it and the store has no better one."""
        ladder = {"full": [(n, 1)], "quick": [(n, 1), (min(n, 100), 3)], "smoke": [(8, 9)]}[self.settings.profile]
        *finer, last = [{"scene": scene, "n": min(count, len(self.sets.test)), "step": step} for count, step in ladder]
        for settings in finer:
            stored = {name: _kept(value) for name, value in settings.items()}
            if self.runs.load_result(run, evaluations.accuracy_map.name, **stored) is not None:
                return self.evaluate(evaluations.accuracy_map, run, **settings)
        return self.evaluate(evaluations.accuracy_map, run, **last)


def _kept(value: Any) -> Any:
    """Return a setting as it is stored: runs by their ids, configurations as plain data."""
    if isinstance(value, list | tuple):
        return [_kept(each) for each in value]
    if isinstance(value, Run):
        return value.id
    if is_dataclass(value):
        described = plain(value)
        return asdict(value) if described is value else described
    return value
