"""The What/Where model: a What pathway classifies the crop at the fixation, a Where pathway moves it (study 1.6).

The eye starts at the centre. The Where network receives the whole field through the retina and predicts the accuracy of
the What pathway at each collicular cell; the eye moves to the best one; the field is laid around the new fixation, and
so on. At each fixation the What pathway classifies the 28x28 pixels around it.

Convention
    fixations   int64 (..., 2), pixels from the centre of the field, (row, column), within +-50 along each axis
    k           saccades + 1 fixations: the first is the central one, before any saccade
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import retina as retinas
from .classifiers import device_of
from .errors import within
from .stimuli import MARGIN, crops
from .where import colliculus

SACCADES = 5  # at most, in the benchmark of 2020


class Scanpath(NamedTuple):
    """What the model did: fixations (k, B, 2); posterior (k, B, 10) of the What pathway at each; expected (k - 1, B),
    the accuracy that the Where pathway predicted of each but the first."""

    fixations: Tensor
    posterior: Tensor
    expected: Tensor

    def needed(self) -> Tensor:
        """Return how many fixations (B,), 1 to k, a model makes that may stop.

        It stops where the What pathway's highest posterior is at least the accuracy that the Where pathway predicts of
        the next fixation: nothing better is to be expected elsewhere (study 2.5).
        """
        enough = self.posterior[:-1].amax(2) >= self.expected  # (k - 1, B)
        last = torch.ones_like(self.fixations[:1, :, 0], dtype=torch.bool)
        return torch.cat((enough, last)).int().argmax(0) + 1

    def predicted(self, n: Tensor) -> Tensor:
        """Return the digit (B,) predicted at the last of the first `n` (B,) fixations."""
        return self.posterior.argmax(2).gather(0, n[None] - 1)[0]


@torch.inference_mode()
def scan(where: nn.Module, images: Tensor, saccades: int = 1) -> tuple[Tensor, Tensor]:
    """Move the eye over fields (B, 1, 128, 128).

    Args:
        where: `scores(images)` gives logits (B, cells) of the collicular cells of its `settings`. saccades: 0 to 100.

    Returns:
        Fixations (saccades + 1, B, 2), and the accuracy (saccades, B) that was predicted of each but the first.
    """
    within("saccades", saccades, 0, 100, whole=True)
    was_training = where.training
    where.eval()  # dropout off, which the test of 2020 forgot
    cells = colliculus(where.settings, str(images.device))
    fixations = torch.zeros(saccades + 1, len(images), 2, dtype=torch.int64, device=images.device)
    expected = torch.zeros(saccades, len(images), device=images.device)
    for k in range(saccades):
        logits = where.scores(images if k == 0 else retinas.recentred(images, fixations[k]))  # (B, cells)
        expected[k] = logits.amax(1).sigmoid()
        fixations[k + 1] = (fixations[k] + cells.offset(logits)).clamp(-MARGIN, MARGIN)
    where.train(was_training)
    return fixations, expected


@torch.inference_mode()
def classify(what: nn.Module, images: Tensor, fixations: Tensor) -> Tensor:
    """Return the posterior (k, B, 10) of a What pathway at fixations (k, B, 2) of images (B, 1, 128, 128)."""
    what.eval()
    return torch.stack([what(crops(images, each)).logits.softmax(1) for each in fixations])


def trace(what: nn.Module, where: nn.Module, images: Tensor, saccades: int = SACCADES) -> Scanpath:
    """Return the scan path of a What/Where model over fields (B, 1, 128, 128), on the CPU."""
    images = images.to(device_of(where))
    fixations, expected = scan(where, images, saccades)
    return Scanpath(*(each.cpu() for each in (fixations, classify(what, images, fixations), expected)))
