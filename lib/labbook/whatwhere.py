"""The What/Where model: a What pathway that names what is in the fovea, a Where pathway that moves it (study 1.6).

The eye starts at the centre. The Where network reads the whole field through the retina and says how often the What
pathway would be right at each collicular cell; the eye jumps to the best one; the field is laid around the new fixation
and read again. After each fixation, the 28x28 pixels around it are named.

Convention
    fixations   int64 (..., 2), pixels from the centre of the field, (row, column), within +-50 along each axis
    looks       saccades + 1: the first is the central one, of "0 saccades"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import evaluation
from . import retina as retinas
from .classifiers import device_of
from .digits import Digits
from .errors import within
from .evaluation import Proportion
from .stimuli import MARGIN, Scene128, crops
from .where import HIT

SACCADES = 5  # at most, in the benchmark of 2020


class Scanpath(NamedTuple):
    """What an eye did, look by look: fixations (looks, B, 2); posterior (looks, B, 10) of the What pathway at each;
    expected (looks - 1, B), the accuracy that the Where pathway predicts, from each fixation but the last, for the next
    one."""

    fixations: Tensor
    posterior: Tensor
    expected: Tensor

    def n_looks(self, stop: bool = False) -> Tensor:
        """Return how many looks each eye (B,) took: all, or with `stop` as many as it needs.

        An eye that may stop does so when its answer is at least as probable, by the What pathway's own account, as the
        Where pathway predicts for the next fixation: nothing better is to be expected elsewhere (study 2.5).
        """
        if not stop:
            return torch.full_like(self.fixations[0, :, 0], len(self.fixations))
        content = self.posterior[:-1].amax(2) >= self.expected  # (looks - 1, B)
        ends = torch.ones_like(self.fixations[:1, :, 0], dtype=torch.bool)  # the last look ends it
        return torch.cat((content, ends)).int().argmax(0) + 1

    def predicted(self, looks: Tensor | int) -> Tensor:
        """Return the digit named (B,) at the last of `looks` (B,), or of as many for all."""
        looks = torch.as_tensor(looks, device=self.posterior.device).expand(self.posterior.shape[1])
        return self.posterior.argmax(2).gather(0, looks[None] - 1)[0]


@torch.inference_mode()
def scan(where: nn.Module, images: Tensor, saccades: int = 1) -> tuple[Tensor, Tensor]:
    """Move the eye over fields (B, 1, 128, 128).

    Args:
        where: `scores(images)` gives logits (B, cells) of the collicular cells of its `settings`.

    Returns:
        Fixations (saccades + 1, B, 2), and the accuracy (saccades, B) that was expected of each but the first.
    """
    within("saccades", saccades, 0, 100, whole=True)
    was_training = where.training
    where.eval()  # dropout off, which the test of 2020 forgot
    colliculus = retinas.colliculus(where.settings, str(images.device))
    fixation = torch.zeros(len(images), 2, dtype=torch.int64, device=images.device)
    fixations, expected = [fixation], []
    for k in range(saccades):
        logits = where.scores(images if k == 0 else retinas.recentred(images, fixation))  # (B, cells)
        expected.append(logits.amax(1).sigmoid())
        fixation = (fixation + colliculus.offset(logits)).clamp(-MARGIN, MARGIN)
        fixations.append(fixation)
    where.train(was_training)
    nothing = torch.zeros(0, len(images), device=images.device)
    return torch.stack(fixations), torch.stack(expected) if expected else nothing


@torch.inference_mode()
def classify(what: nn.Module, images: Tensor, fixations: Tensor) -> Tensor:
    """Return the posterior (looks, B, 10) of a What pathway for what fixations (looks, B, 2) show."""
    what.eval()
    return torch.stack([what(crops(images, each)).logits.softmax(1) for each in fixations])


def trace(what: nn.Module, where: nn.Module, images: Tensor, saccades: int = SACCADES) -> Scanpath:
    """Return what the eye of a What/Where model does with fields (B, 1, 128, 128), on the CPU."""
    images = images.to(device_of(where))
    fixations, expected = scan(where, images, saccades)
    return Scanpath(*(each.cpu() for each in (fixations, classify(what, images, fixations), expected)))


# ---- in numbers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SaccadeCounts:
    """A What/Where model on a set of stimuli: right answers after 0, 1, ... saccades; fixations within 7 px of the
    digit after each; right answers of the eye that may stop, and the saccades that it made in all; of `n` stimuli."""

    right: tuple[int, ...]
    hits: tuple[int, ...]
    stopped: int
    made: int
    n: int

    def accuracy(self, saccades: int) -> Proportion:
        """The accuracy after so many saccades."""
        return Proportion(self.right[saccades], self.n)


def measure(
    whats: Mapping[str, nn.Module],
    where: nn.Module,
    digits: Digits,
    scene: Scene128,
    n: int,
    saccades: int = SACCADES,
    seed: int = 0,
) -> dict[str, SaccadeCounts]:
    """Measure one Where pathway with several What pathways, which see the same fixations: by name of the What."""
    totals = {key: torch.zeros(2 * saccades + 4, dtype=torch.int64) for key in whats}
    for stimuli in evaluation.stream(digits, scene, n, seed):
        for part in evaluation.batches(stimuli, device_of(where)):
            fixations, expected = scan(where, part.images, saccades)
            hits = ((fixations - part.offsets).double().norm(dim=2) <= HIT).sum(1).cpu()
            for key, what in whats.items():
                seen = Scanpath(fixations, classify(what, part.images, fixations), expected)
                right = (seen.posterior.argmax(2) == part.labels).sum(1).cpu()
                looks = seen.n_looks(stop=True)
                stopped = (seen.predicted(looks) == part.labels).sum().cpu()
                totals[key] += torch.cat((right, hits, torch.stack((stopped, (looks - 1).sum().cpu()))))
    return {key: _saccades(total.tolist(), n) for key, total in totals.items()}


def _saccades(total: list[int], n: int) -> SaccadeCounts:
    looks = len(total) // 2 - 1
    return SaccadeCounts(tuple(total[:looks]), tuple(total[looks : 2 * looks]), *total[2 * looks :], n)
