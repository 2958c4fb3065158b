"""Week 8: lower contrasts and other retinas for the log-polar transformer, and what the README of 2021 claimed.

cost        each retina: 6.1 million images of 128x128 pixels a seed; R1: 8.8 and 4.4 million of 28x28
score       45.1 % with 768 features, 41.6 % with 1 280, 53.5 % with 2 560 at contrasts from 30 to 70 % in 2021
command     papermill notebooks/week8_benchmark.ipynb out.ipynb
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from torch import nn

from .. import classifiers, models, retina
from ..config import Training
from ..curriculum import Stage
from ..stimuli import FIELD
from ..study2021 import facts
from ..study2021.schedules import week2 as week2_stages
from ..study2021.schedules import week5 as week5_stages
from ..study2021.schedules import week6 as week6_stages
from . import week2, week6, week7
from .claim import Listed, experiment, fact
from .measure import Quantity, Ran, end
from .pathways import what_training
from .rule import SEEDS, Rule, Values, both, gain, holds, no_gain, number, reach, rule
from .week2 import OWN as OF_WEEK2

POLO = week7.POLO
GAIN = 0.02  # accuracy at std 40 px and contrast 70 %; the last epochs of 2021 differ by 0.3 points
BETTER = week2.BETTER
WHAT_CENTRAL = 0.8389  # of the generic What pathway, at std 0 and noise 1.0 (study 3.4)
COMPRESSIONS = 0.95, 0.83  # R5


def trainings() -> dict[str, Training]:
    """Return the trainings of the week's claims by name, seed 0."""
    other = {
        n: replace(week7.WHOLE, options={"retina": name}) for n, name in (("1 280", "polo1280"), ("2 560", "polo2560"))
    }
    return {f"log-polar STN, {n} features": training for n, training in other.items()} | {
        "What pathway, noise 0.75": what_training(0.75)
    }


OWN = trainings()


def schedule(training: Training) -> tuple[str, float, int]:
    """Return what "the same training parameters" are about: optimiser, learning rate, epochs of a stage."""
    return training.optimiser, training.stages[0].lr, training.stages[0].epochs


PARAMETERS = tuple(schedule(each) for each in (OF_WEEK2["STN-28, SGD"], OWN["What pathway, noise 0.75"]))


def _same_parameters(**accuracies: Values) -> str:
    return holds(PARAMETERS[0] == PARAMETERS[1])


def _r2(epochs: int, stds: Values, rates: Values) -> str:
    return holds(epochs == 160 and list(stds) == list(range(16)) and set(rates) == {0.01})


def _r3(epochs: int, rates: Values, lowest_contrasts: Values) -> str:
    tenths = list(rates[:9]) == [0.01] * 3 + [0.001] * 3 + [0.0001] * 3
    return both(holds(epochs == 110 and tenths and max(lowest_contrasts[-2:]) < 0.7), holds(rates[-1] < rates[8]))


def _r4(rates: Values) -> str:
    halved = [abs(b - a / 2) < 1e-12 for a, b in pairwise(rates)]
    return both(holds(all(halved[:8])), holds(all(halved)))


def _r5(polo: float, whatwhere: float) -> str:
    ours, theirs = COMPRESSIONS
    return both(holds(round(polo, 2) == ours), holds(abs(whatwhere - theirs) < 0.01), holds(polo > whatwhere))


def _r6(layers: Sequence[tuple[int, int]], others: int) -> str:
    return holds(len(layers) == 2 and not others)


def schedule_facts(schedule: Callable[[], Sequence[Stage]], *names: str) -> dict[str, object]:
    """Return facts of a schedule by name: its epochs, and of each stage the rate, the std and the lowest contrast."""
    stages = schedule()
    found = {
        "epochs": sum(stage.epochs for stage in stages),
        "rates": Listed(float(stage.lr) for stage in stages),
        "stds": tuple(stage.scene.std for stage in stages),
        "lowest_contrasts": tuple(stage.scene.contrast[0] for stage in stages),
    }
    return {name: found[name] for name in names}


def _compressions() -> dict[str, float]:
    return {"polo": retina.RETINAS["polo768"].compression, "whatwhere": retina.RETINAS["whatwhere"].compression}


def dense_layers() -> dict[str, object]:
    """Return the sizes of the dense layers of the localisation, and the number of parameters that are in none."""
    network = models.build("polo").localisation
    dense = [each for each in network.modules() if isinstance(each, nn.Linear)]
    inside = sum(classifiers.count(each) for each in dense)
    return {
        "layers": Listed(f"{each.in_features}-{each.out_features}" for each in dense),
        "others": classifiers.count(network) - inside,
    }


def _retinas(features: str) -> tuple[dict[str, Training], dict[str, tuple]]:
    """Return the trainings of a retina of more features and of that of 768, and their accuracies at std 40 px."""
    own = {"more": OWN[f"log-polar STN, {features} features"], "fewer": week7.WHOLE}
    return own, {role: (role, week7.FAR) for role in own}


def _above(words: str, quantity: Quantity) -> Rule:
    name = f"{words}".split()[0]
    return gain(
        f"the transformer's {words} accuracy is above that of What",
        BETTER,
        **{f"stn_{name}": ("stn", quantity), f"what_{name}": ("what", quantity)},
    )


MORE, MOST = _retinas("1 280"), _retinas("2 560")
TELL_RETINAS = "{more:%} with more, {fewer:%} with 768 features, at std 40 px"
RETINAS = (  # judged by the chapter of week 7
    experiment(
        "C86",
        week7.WHOLE,
        reach(
            SEEDS, " (contrasts from 50 and from 30 %, each)", mid=(partial(end, stage=9), POLO[9]), low=(end, POLO[10])
        ),
    ),
    experiment("C87", MORE[0], no_gain("1 280 features are above 768", GAIN, **MORE[1]), tell=TELL_RETINAS),
    experiment("C88", MOST[0], gain("2 560 features are above 768", GAIN, **MOST[1]), tell=TELL_RETINAS),
)
README = (
    experiment(
        "R1",
        {"stn": OF_WEEK2["STN-28, SGD"], "what": OWN["What pathway, noise 0.75"]},
        _above("central", week2.varied_central),
        _above("general", week2.varied_general),
        rule(_same_parameters, "both were trained with the same optimiser, rate and epochs", "they were not"),
        tell="central {stn_central:%} against {what_central:%}, general {stn_general:%} against {what_general:%}; SGD "
        "0.01, ten epochs a std against Adam 0.005, five",
    ),
    fact(
        "R2",
        partial(schedule_facts, week2_stages, "epochs", "stds", "rates"),
        "{epochs} epochs",
        "the logs have 160 epochs, std 0 to 15 px and a rate of 0.01",
        _r2,
    ),
    fact(
        "R3",
        partial(schedule_facts, week5_stages, "epochs", "rates", "lowest_contrasts"),
        "{epochs} epochs, rates {rates}",
        "110 epochs, a tenth of the rate after every 30 of the first 90, contrasts that vary in the last 20; and the "
        "rate of these lower still",
        _r3,
    ),
    fact(
        "R4",
        partial(schedule_facts, week6_stages, "rates"),
        "rates {rates}",
        "halved over the nine stds; and halved throughout",
        _r4,
    ),
    fact(
        "R5",
        _compressions,
        "{polo:.1%} and {whatwhere:.1%}",
        f"{number(COMPRESSIONS[0])} to the percent; within a point of {number(COMPRESSIONS[1])}; and the first larger",
        _r5,
    ),
    fact("R6", dense_layers, "{layers}", "there are two dense layers and nothing else", _r6),
)
CLAIMS = (*RETINAS, *README)


# ---- how reproducible 2021 was --------------------------------------------------------------------------------------

REPEATED = {  # whole schedules of 2021, and the series of its single run of each
    "STN-28, SGD": (OF_WEEK2["STN-28, SGD"], "stn28_sgd"),
    "STN-28, Adam": (OF_WEEK2["STN-28, Adam 0.005"], "stn28_adam_5e3"),
    "What pathway, noise 0.75 (2020: 1)": (OWN["What pathway, noise 0.75"], "what"),
    "attention STN": (week6.OWN["attention STN"], "atn"),
    "log-polar STN": (week7.WHOLE, "polo"),
}


@dataclass(frozen=True)
class Repeated:
    """A schedule of 2021 that was run several times: names of its stages, stds in pixels and contrasts where they are
    lower; the accuracy at the end of each stage, of every run (runs, stages) and of the single run of 2021 (stages)."""

    stages: tuple[str, ...]
    runs: tuple[tuple[float, ...], ...]
    stated: tuple[float, ...]

    @property
    def inside(self) -> int:
        """In how many stages the run of 2021 is within the range of the runs."""
        return sum(min(ours) <= theirs <= max(ours) for *ours, theirs in zip(*self.runs, self.stated, strict=True))

    @property
    def widest(self) -> float:
        """The largest difference between two runs at the end of a stage."""
        return max(max(ours) - min(ours) for ours in zip(*self.runs, strict=True))


def repeated(find: Callable[[Training], Sequence[Ran]], least: int = 2) -> dict[str, Repeated]:
    """Return the schedules of 2021 of which at least so many whole runs are stored.

    Args:
        find: returns the stored runs of a training, of all seeds.
    """
    found = {}
    for name, (training, series) in REPEATED.items():
        if len(runs := find(training)) >= least:
            ends = tuple(tuple(end(run, stage=k) for k in range(len(training.stages))) for run in runs)
            found[name] = Repeated(tuple(map(_label, training.stages)), ends, facts.ends(series))
    return found


def _label(stage: Stage) -> str:
    low, high = stage.scene.contrast
    return f"{stage.scene.std:.2g}" + (f"\n{100 * low:.0f} %" if stage.scene.edge == FIELD and low < high else "")
