"""The systems of the benchmark: how each was trained here, and which row of 2021 it answers.

One table, so that the benchmark asks the store for exactly the runs that other chapters made. A system of one network
needs one entry in `SYSTEMS`; it is measured by `Page.benchmark`. The What/Where model is two networks and its eye
moves: see whatwhere.py and `Page.saccades`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import retina
from ..config import Training
from ..errors import ConfigurationError
from ..stimuli import EDGE, FIELD
from . import beyond, recipes

FIXATIONS, FOVEA = 5, 44  # at most, and pixels along the edge, of the foveal searcher with an evidence map
WINDOW = EDGE**2  # pixels of the window that is named at last
PIXELS = FIELD**2  # of the whole field


@dataclass(frozen=True)
class System:
    """A network that answers at one look."""

    training: Training  # of seed 0; the defaults of the chapter that publishes it
    coefficients: int  # numbers that it looks at for one answer: pixels of the field, or features and a window
    row: str | None = None  # its name in `facts.benchmark`, if 2021 measured it
    chapter: str = ""  # that tells of it
    plotted: bool = True  # in the figure of the benchmark; the tables have all
    n_seeds: int = 3  # that the benchmark takes, no more than the chapter trains
    noises: tuple[float, ...] = (0.75, 1.0)  # of the background, at which it is tested
    tested: int = 10_000  # test digits in each cell at most: fewer where a look takes long

    @property
    def told(self) -> bool:
        """Whether it was told where the digit is while it learnt, beside what it is."""
        return "position" in self.training.loss

    @property
    def parts(self) -> list[Training]:
        """The trainings that made it, each going on from the one before."""
        parts = [self.training]
        while parts[0].start is not None:
            parts.insert(0, parts[0].start)
        return parts


def _polo(model: str, kept: str, row: str | None, seeds: int = 1, plotted: bool = False, **options) -> System:
    """Return a transformer of week 7, by the recipe that all of them share there."""
    coefficients = retina.RETINAS[kept].n + WINDOW
    return System(recipes.polo(model, **options), coefficients, row, "week7_polo", plotted, seeds)


SYSTEMS: dict[str, System] = {
    "evidence map": System(beyond.main(), PIXELS, None, "beyond", noises=(0.75,)),
    "foveal searcher with evidence map": System(
        beyond.foveal(), FIXATIONS * (retina.RETINAS["whatwhere"].n + FOVEA**2), None, "beyond", noises=(0.75,)
    ),
    "sliding-window searcher": System(recipes.searcher(), PIXELS, None, "beyond", plotted=False),
    "foveal searcher": System(
        recipes.searcher(**recipes.LOG_POLAR),
        recipes.LOG_POLAR["saccades"] * (retina.RETINAS["whatwhere"].n + WINDOW),
        None,
        "beyond",
        plotted=False,
        n_seeds=1,
    ),
    "STN-128": System(recipes.stn128_led(), PIXELS, "STN_128x128", "week5_contrast", n_seeds=1, tested=300),
    "attention STN": System(recipes.attention(), PIXELS, "ATN", "week6_attention", tested=1000),
    "log-polar STN, 768 features": _polo("polo", "polo768", "POLO_ATN_95%", 2, True),
    "log-polar STN, 1 280 features": _polo(
        "polo", "polo1280", "POLO_ATN 1280 features (LOW-COMPRESSION notebook)", retina="polo1280"
    ),
    "log-polar STN, 2 560 features": _polo("polo", "polo2560", "POLO_ATN_85%", 2, retina="polo2560"),
    "log-polar STN, 2 560 band-pass features": _polo("polo", "polo2560band", None, retina="polo2560band"),
    "convolutional log-polar STN": _polo("conv_polo", "polo2560band", "convPOLO_ATN_85%", 2, wrap=True),
    "position-supervised log-polar STN": System(
        recipes.polo_by_gradient(loss="cross_entropy and position"),
        retina.RETINAS["polo768"].n + WINDOW,
        None,
        "week7_polo",
        plotted=False,
        n_seeds=1,
    ),
}


def what_where(saccades: int) -> tuple[int, str]:
    """Return what the What/Where model looks at for an answer after so many saccades, and its row of 2021.

    The features of every field from which it jumped, and the pixels of the last window (study 8).

    Raises:
        ConfigurationError: no row of 2021 has as many saccades.
    """
    if saccades not in range(6):
        raise ConfigurationError(f"saccades={saccades!r} must be a whole number from 0 to 5.")
    return WINDOW + saccades * retina.RETINAS["whatwhere"].n, f"What/Where {saccades} saccades"
