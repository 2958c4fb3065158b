"""The trainings of the chapter `beyond`: evidence maps, and what they teach.

Cost    the main recipe: 550 000 fields of 128x128 pixels, 30 minutes of two CPU cores, half a minute of an H200;
        everything in `card_trainings`: about 12 million fields
Score   see the chapter
Run     PYTHONPATH=lib python -m labbook run beyond, or on a GPU `card_trainings`, in order

All are AdamW (but for the factorial experiment), on fields with digits at std 40 pixels from the first step, fresh
stimuli, class labels alone: neither crops nor positions. The learning rate falls along half a cosine wave. An epoch is
a twentieth of the training digits or more, so that learning curves are fine and evaluations cheap.
"""

from __future__ import annotations

from .. import curriculum
from ..training import Training
from . import recipes

EPOCH = 2_750  # images: a twentieth of MNIST's training digits
BUDGETS = (15_000, 50_000, 154_000, 500_000, 1_000_000)  # images, of the learning curves
WIDTHS = (4, 8, 12, 16, 23, 32)  # 3 191 to 184 939 parameters
MAIN = {"images": 550_000, "width": 23, "batch": 100}
SEEDS = 3


def evidence_map(
    images: int = 154_000, width: int = 16, lr: float = 0.002, clear: float = 0.15, batch: int = 50, **options
) -> Training:
    """Return the training of an evidence map.

    Args:
        images: about so many; from 28 epochs of `EPOCH` images on, 56 epochs. clear: share of them at contrast 70 %.
        width, options: of the model, see `evidence.EvidenceMap`.
    """
    epochs = max(2, min(56, round(images / EPOCH)))
    if width != 16:
        options["width"] = width
    return Training(
        "evidence",
        curriculum.clear_then_faint(epochs, lr, clear),
        options,
        batch=batch,
        fraction=images / epochs / 55_000,
        **recipes.ADAMW,
    )
