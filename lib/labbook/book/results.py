"""The benchmark as data: one record per system and cell, measured here or stated in 2021, in one file.

Convention: accuracies are proportions, 0 to 1; eccentricities pixels; an interval is 95 %. Numbers are rounded when a
record is made, so that equal results are equal bytes. A record without contrast and eccentricity is of the mean over
the 27 cells: the number of its system, which every page quotes.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import ConfigurationError, choose, within
from ..evaluation import wilson
from ..experiments.benchmark import Counted, Measured, chosen_cells
from ..runtime import files
from ..study2021 import facts as study

SOURCES = ("measured", "2021")
INTERVALS = ("digits and seeds", "digits", None)
SAMPLES = ("random", "first", None)
MAYBE = {"contrast": 1, "eccentricity": 64, "ceiling": 1, "localised": 1, "train_seconds": 1e9}  # at most; may be None
FIVE = ("accuracy", "low", "high", "ceiling", "localised")
DIGITS = dict.fromkeys(("contrast", "eccentricity", "noise"), 4) | dict.fromkeys(FIVE, 5) | {"train_seconds": 1}


@dataclass(frozen=True)
class Cell:
    """A system in one cell of the benchmark.

    Raises:
        ConfigurationError: a value outside the bounds that its field names.
    """

    system: str
    contrast: float | None  # 0 to 1; None: the mean over all cells
    eccentricity: float | None  # distance of the digit from the centre, pixels, 0 to 64; None: likewise
    noise: float  # amplitude of the texture, 0 to 1
    accuracy: float  # mean over seeds
    low: float  # bounds of the interval
    high: float
    n_stimuli: int  # of each seed
    n_seeds: int
    parameters: int  # trained ones; 0 for a system without any
    coefficients: int  # numbers looked at for one answer: pixels of the field, or log-polar coefficients and windows
    train_images: int  # seen by each seed
    train_seconds: float | None  # of each seed; None: not known
    device: str | None  # on which it was trained; None: not known
    source: str  # "measured", or "2021"
    interval: str | None = None  # what it is of: "digits and seeds", or "digits"
    sample: str | None = None  # of the test digits: "random", or "first" where no weights are kept
    ceiling: float | None = None  # accuracy with the window at the true position
    localised: float | None = None  # share of final windows within 8 pixels of the digit

    def __post_init__(self):
        for name, digits in DIGITS.items():
            if isinstance(value := getattr(self, name), int | float) and not isinstance(value, bool):
                object.__setattr__(self, name, round(float(value), digits))
        if not isinstance(self.system, str) or not self.system:
            raise ConfigurationError(f"system={self.system!r} must be a name.")
        for name, high in {"noise": 1, "low": 1, "high": 1, **MAYBE}.items():
            if name not in MAYBE or getattr(self, name) is not None:
                within(name, getattr(self, name), 0, high, "seconds" * (name == "train_seconds"))
        within("accuracy", self.accuracy, self.low, self.high)
        for name, low in {"n_stimuli": 1, "n_seeds": 1, "parameters": 0, "coefficients": 1, "train_images": 0}.items():
            within(name, getattr(self, name), low, 10**12, whole=True)
        if self.device is not None and not isinstance(self.device, str):
            raise ConfigurationError(f"device={self.device!r} must be a name or None.")
        for name, allowed in (("source", SOURCES), ("interval", INTERVALS), ("sample", SAMPLES)):
            choose(name, getattr(self, name), allowed)

    @property
    def key(self) -> tuple:
        """What no two records share."""
        return self.source, self.system, self.noise, self.contrast, self.eccentricity


NAMES = tuple(field.name for field in fields(Cell))


OPTIONAL = NAMES[NAMES.index("interval") :]  # left out of the file where they are None


def measured(system: str, found: Measured | Counted, **facts) -> list[Cell]:
    """Return the records of a system measured here: of each cell, and of their mean.

    Args:
        facts: the other fields of `Cell`: noise, parameters, coefficients, train_images, train_seconds, device.

    Raises:
        ConfigurationError: a value that `Cell` refuses.
    """
    sampled = isinstance(found, Measured)
    facts |= {
        "n_stimuli": found.n,
        "n_seeds": found.n_seeds,
        "source": "measured",
        "interval": INTERVALS[found.n_seeds == 1],
        "sample": SAMPLES[not sampled],
    }
    records = []
    for (contrast, eccentricity), estimate in {(None, None): found.accuracy(), **found.cells()}.items():
        chosen = chosen_cells(contrast, eccentricity)
        also = {}
        if sampled:
            also = {"ceiling": found.placed[:, chosen].mean(), "localised": found.near[:, chosen].mean()}
        records.append(
            Cell(
                system, contrast, eccentricity, accuracy=estimate[0], low=estimate[1], high=estimate[2], **also, **facts
            )
        )
    return records


def stated() -> list[Cell]:
    """Return the records of every system of 2021, with the Wilson intervals of their numbers of stimuli (study 4)."""
    return [
        Cell(
            system=system,
            contrast=contrast,
            eccentricity=eccentricity,
            accuracy=accuracy,
            low=(bounds := wilson(accuracy * facts["n_stimuli"], facts["n_stimuli"]))[0],
            high=bounds[1],
            n_seeds=1,
            train_seconds=None,
            device=None,
            source="2021",
            **facts,
        )
        for system, facts in study.systems().items()
        for (contrast, eccentricity), accuracy in study.benchmark(system).items()
    ]


def content(cells: Iterable[Cell]) -> bytes:
    """Return the file of these records, a line each: systems in the order given, cells by noise, contrast (from high
    to low) and eccentricity.

    Raises:
        ConfigurationError: two records of one cell.
    """
    cells = list(cells)
    keys = [cell.key for cell in cells]
    if twice := next((key for key, count in Counter(keys).items() if count > 1), None):
        raise ConfigurationError(
            f"the benchmark holds {twice[1]!r} ({twice[0]}) twice at noise {twice[2]}, contrast {twice[3]}."
        )
    place = {}
    for cell in cells:
        place.setdefault((cell.source, cell.system), len(place))
    cells.sort(
        key=lambda cell: (
            place[cell.source, cell.system],
            cell.noise,
            -math.inf if cell.contrast is None else -cell.contrast,
            cell.eccentricity or 0,
        )
    )
    lines = ",\n".join(json.dumps(_written(cell), ensure_ascii=False, allow_nan=False) for cell in cells)
    return f"[\n{lines}\n]\n".encode()


def _written(cell: Cell) -> dict:
    return {name: value for name, value in asdict(cell).items() if value is not None or name not in OPTIONAL}


def write(cells: Iterable[Cell], path: Path) -> None:
    """Write the records to a file, whole or not at all.

    Raises:
        ConfigurationError: see `content`; or the file cannot be written.
    """
    files.write(path, content(cells))


def read(path: Path) -> list[Cell]:
    """Return the records of a file.

    Raises:
        ConfigurationError: it is no list of records, or one lacks a field, has another one, or a value out of bounds;
            the sentence names the record.
    """
    try:
        stored = json.loads(path.read_text("utf-8"), parse_constant=_refuse)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as a benchmark: {error}.") from None
    if not isinstance(stored, list):
        raise ConfigurationError(f"{path} must hold a list of records, not {type(stored).__name__}.")
    cells = []
    for place, record in enumerate(stored):
        if not isinstance(record, dict) or set(record) | set(OPTIONAL) != set(NAMES):
            raise ConfigurationError(f"{path}, record {place}: its fields must be {', '.join(NAMES)}.")
        try:
            cells.append(Cell(**record))
        except ConfigurationError as refusal:
            raise ConfigurationError(f"{path}, record {place}: {refusal}") from None
    content(cells)  # refuses doubles
    return cells


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}")
