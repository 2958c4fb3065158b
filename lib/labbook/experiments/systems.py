"""The systems of the benchmark: how each was trained here, what it is tested on, and which row of 2021 it answers.

One table, so that the benchmark asks the store for exactly the runs that other chapters made. Seeds whose weights are
kept are tested on the random sample of test digits (see `benchmark`); of the others there are counts on the first test
digits. The What/Where model is two networks: see `what_where`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from torch import nn

from .. import classifiers, retina
from ..config import Training
from ..errors import ConfigurationError
from ..stimuli import EDGE, FIELD
from . import benchmark, beyond, recipes
from .pathways import what_training

FEWER = 1_000  # test digits, a prefix of the random sample, where a look takes long
SAMPLED = {0.75: benchmark.SAMPLE, 1.0: FEWER}  # noise -> test digits in each cell; the first is that of training
NOISES = tuple(SAMPLED)
FIXATIONS, FOVEA = 5, 44  # at most, and pixels along the edge, of the foveal searcher with an evidence map
WINDOW = EDGE**2  # pixels of a window
VIEWS = {
    "field": "fields",
    "oracle": "crops at the digit",
    "centre": "crops of the centre",
    "frame": "digits in 28x28 pixels",
}
PIXELS = FIELD**2  # of the whole field


class Trained(Protocol):
    """What is asked of a finished run."""

    configuration: Training
    history: list[dict]  # a record per epoch
    machine: dict
    images: int
    seconds: float


@dataclass(frozen=True)
class System:
    """A network that classifies a digit in a field."""

    training: Training  # of seed 0; the defaults of the chapter that publishes it
    chapter: str  # that tells of it
    row: str | None = None  # its name in `facts.benchmark`, if 2021 measured it
    retina: str | None = None  # through which it sees the field; None: every pixel
    fovea: int = EDGE  # pixels along the edge of what it encodes in full at each fixation
    n_seeds: int = 1
    kept: int = 1  # seeds whose weights are kept, the first; 0: none
    sampled: Mapping[float, int] = field(default_factory=lambda: SAMPLED)  # noise -> digits of the random sample
    first: int = 2000  # test digits on which other seeds were counted
    plotted: bool = False  # in the first figure; the tables have all

    @property
    def supervision(self) -> str:
        """What taught it."""
        return "class labels, positions" if "position" in self.training.loss else "class labels"

    @property
    def parts(self) -> list[Training]:
        """The trainings that made it, each going on from the one before."""
        parts = [self.training]
        while parts[0].start is not None:
            parts.insert(0, parts[0].start)
        return parts

    def coefficients(self, encodings: float = 1) -> float:
        """Return how many numbers it uses for an answer: pixels, or at each encoding features and a window."""
        return encodings * (retina.RETINAS[self.retina].n + self.fovea**2) if self.retina else PIXELS


def _polo(
    model: str, through: str, row: str | None, n_seeds: int = 2, kept: int = 1, plotted: bool = False, **options
) -> System:
    """Return a transformer of week 7, by the recipe that all of them share there."""
    training = recipes.polo(model, **options)
    return System(training, "week7_polo", row, through, n_seeds=n_seeds, kept=kept, plotted=plotted)


SYSTEMS: dict[str, System] = {
    "evidence map": System(beyond.main(), "beyond", n_seeds=3, kept=3, sampled={0.75: benchmark.SAMPLE}),
    "foveal searcher with evidence map": System(
        beyond.foveal(), "beyond", None, "whatwhere", FOVEA, 3, 3, {0.75: FEWER}, plotted=True
    ),
    "sliding-window searcher": System(recipes.searcher(), "beyond", n_seeds=3),
    "STN-128": System(recipes.stn128_led(), "week5_contrast", "STN_128x128", kept=0, first=300, plotted=True),
    "attention STN": System(recipes.attention(), "week6_attention", "ATN", n_seeds=3, first=1000, plotted=True),
    "log-polar STN, 768 features": _polo("polo", "polo768", "POLO_ATN_95%", plotted=True),
    "log-polar STN, 1 280 features": _polo(
        "polo", "polo1280", "POLO_ATN 1280 features (LOW-COMPRESSION notebook)", 1, 0, retina="polo1280"
    ),
    "log-polar STN, 2 560 features": _polo("polo", "polo2560", "POLO_ATN_85%", retina="polo2560"),
    "log-polar STN, 2 560 band-pass features": _polo("polo", "polo2560band", None, 1, 0, retina="polo2560band"),
    "convolutional log-polar STN": _polo("conv_polo", "polo2560band", "convPOLO_ATN_85%", wrap=True),
    "position-supervised log-polar STN": System(
        recipes.polo_by_gradient(loss="cross_entropy and position"), "week7_polo", None, "polo768"
    ),
}
WHAT = replace(what_training(0.75), precision="tf32")  # the What pathway alone, a run whose weights are kept


def what_where(saccades: int) -> tuple[int, str]:
    """Return how many numbers the What/Where model uses for an answer after so many saccades, and its row of 2021.

    The features of every field from which it jumped, and the pixels of the last window (study 8).

    Raises:
        ConfigurationError: no row of 2021 has as many saccades.
    """
    if saccades not in range(6):
        raise ConfigurationError(f"saccades={saccades!r} must be a whole number from 0 to 5.")
    return WINDOW + saccades * retina.RETINAS["whatwhere"].n, f"What/Where {saccades} saccades"


def title(saccades: int) -> str:
    """Return the name of the What/Where model after so many saccades."""
    return f"What/Where model, {saccades} saccade{'s' * (saccades != 1)}"


def views(runs: Sequence[Trained]) -> str:
    """Return what training images made a system, by view: whole fields, crops at the digit, crops of the centre.

    Args:
        runs: of all its parts, warm-ups too.
    """
    counts: dict[str, int] = {}
    for run in runs:
        stages = run.configuration.stages
        for record in run.history:
            view = VIEWS[getattr(stages[record["stage"]].scene, "view", "frame")]
            counts[view] = counts.get(view, 0) + record["images"]
    return ", ".join(f"{count:,} {view}" for view, count in sorted(counts.items(), reverse=True))


def cost(runs: Sequence[Trained], networks: Sequence[nn.Module], coefficients: float) -> dict[str, object]:
    """Return what a system cost, as `results.measured` takes it: parameters of its networks, input values per
    prediction, training images, seconds and device of all its parts."""
    return {
        "parameters": sum(map(classifiers.count, networks)),
        "coefficients": round(coefficients),
        "train_images": sum(run.images for run in runs),
        "train_seconds": sum(run.seconds for run in runs),
        "device": runs[-1].machine["device"],
    }
