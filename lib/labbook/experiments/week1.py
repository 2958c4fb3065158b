"""Week 1: a noisy digit, centred and shifted, and the first transformer trained on a shift that grows.

cost        C1, C2: 1.1 million images of 28x28 pixels a seed; C3: 0.3 million; C4, C5: 4.4 million
score       C2: 94 % at the centre; C4: 45.3 % general (std 15 px), 92.5 % central (std 0) in 2021
command     papermill notebooks/week1_noisy_stn.ipynb out.ipynb
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..config import Training
from ..curriculum import growing
from ..stimuli import Scene28
from ..study2021 import facts
from .claim import experiment
from .measure import accuracy, end, map_of
from .rule import SEEDS, fail, learn, reach

BOLD = Scene28(contrast=(0.7, 0.7), draws="frozen")  # contrast 70 %; offsets and contrasts as 2021 drew them
TUTORIAL = {"classifier": "tutorial"}
CENTRED = 0.9375  # 2021, after 20 epochs at std 0 (547f69e)
GENERAL, CENTRAL = 0.4534, 0.9249  # 2021 (336929d); a second run had 44.74 and 92.58 %
_MAP = facts.accuracy_map("stn28_adam_5e3")
MAP_CENTRE, MAP_MEAN = round(_MAP[27, 27].item(), 4), round(_MAP[::3, ::3].mean().item(), 4)  # every third offset


def trainings(
    scene: Scene28 = BOLD, std: float = 15, epochs: int = 20, lr: float = 0.01, share: float = 1.0
) -> dict[str, Training]:
    """Return the trainings of the week's claims by name, seed 0.

    Args:
        scene: its contrast and noise. std: of the shifted digits, pixels. epochs, lr: of the tutorial's network under
            SGD. share: of the training digits in an epoch of the growing shift.
    """
    return {
        "tutorial network, shifted": Training("stn28", growing([std], epochs, lr, scene), options=TUTORIAL),
        "tutorial network, centred": Training("stn28", growing([0], epochs, lr, scene), options=TUTORIAL),
        "STN-28, shift of 2 px": Training("stn28", growing([2], 5, lr, scene)),
        "STN-28, Adam 0.005": Training("stn28", growing(range(16), 5, 0.005, scene), optimiser="adam", fraction=share),
    }


def control(scene: Scene28 = BOLD, std: float = 15) -> Training:
    """Return a training that 2021 did not have: LeNet and Adam, shifted from the start."""
    return Training("stn28", growing([std], 5, 0.001, scene), optimiser="adam")


OWN = trainings()
general, central = (partial(accuracy, scene=replace(BOLD, std=std)) for std in (15.0, 0.0))
map_centre, map_mean = (partial(map_of, scene=BOLD, what=what) for what in ("centre", "mean"))


CLAIMS = (
    experiment("C1", OWN["tutorial network, shifted"], fail()),
    experiment("C2", OWN["tutorial network, centred"], reach(last=(end, CENTRED)), tell="{last:%} at the end"),
    experiment(
        "C3",
        OWN["STN-28, shift of 2 px"],
        learn(),
        reading="2021 interrupted this run and kept no number; five epochs here",
    ),
    experiment(
        "C4",
        OWN["STN-28, Adam 0.005"],
        reach(SEEDS, " (general and central, each)", general=(general, GENERAL), central=(central, CENTRAL)),
        tell="general {general:%}, central {central:%}",
    ),
    experiment(
        "C5",
        OWN["STN-28, Adam 0.005"],
        reach(SEEDS, " (centre and mean of the map, each)", centre=(map_centre, MAP_CENTRE), mean=(map_mean, MAP_MEAN)),
        tell="{centre:%} at the centre, {mean:%} on average",
    ),
)
