"""Searches counted in every cell of the benchmark, on the same `n` stimuli: plain data, one entry per cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .. import evaluation, whatwhere
from ..classifiers import device_of
from ..digits import Digits
from ..evaluation import Proportion
from ..search import evidence
from ..search.evidence import EvidenceMap
from ..search.foveal import SURE, FovealEvidence
from ..search.peripheries import apart
from ..search.searcher import Searcher
from ..stimuli import Scene128, Stimuli, crops
from ..where import HIT

NEAR = 8.0  # pixels: a window no further from the digit's centre shows nearly all of its ink


@torch.inference_mode()
def of_evidence(models: Sequence[EvidenceMap], digits: Digits, n: int) -> dict[str, list]:
    """Return the counts of evidence maps.

    Returns:
        right: for each map, its correct predictions in each cell; together: those of all maps, whose log posteriors are
        added; of the first map: told, correct predictions `at_true_place`; astray, fields in which its place is not
        `near_digit`, and lost, the wrong predictions of these.
    """

    def count(batch):
        outputs = [model.eval()(batch.images) for model in models]
        correct = [output.logits.argmax(1) == batch.labels for output in outputs]
        told = evidence.at_true_place(outputs[0], batch.offsets, stride=models[0].stride)  # (B, 10)
        astray = ~evidence.near_digit(outputs[0], batch.offsets)
        return {
            "right": torch.stack(correct, 1),
            "together": sum(output.logits.log_softmax(1) for output in outputs).argmax(1) == batch.labels,
            "told": told.argmax(1) == batch.labels,
            "astray": astray,
            "lost": astray & ~correct[0],
        }

    counts = _in_cells(count, digits, n, device_of(models[0]))
    return {**counts, "right": [list(row) for row in zip(*counts["right"], strict=True)]}


@torch.inference_mode()
def of_foveal(model: FovealEvidence, digits: Digits, n: int, saccades: int = 5) -> dict[str, list]:
    """Return the counts of a foveal searcher.

    Returns:
        right, correct predictions after exactly 1, 2, ... fixations; hit, fields in which one of them was within `NEAR`
        pixels of the digit; for each of `SURE` stopped, the correct predictions, and made, the fixations, of searches
        that stop there; map, correct predictions of the evidence map on the whole field.
    """
    model.eval()

    def count(batch):
        trace, labels = model.search(batch.images, saccades, SURE[-1]), batch.labels
        searches = [trace.stopped(sure) for sure in SURE]
        return {
            "right": trace.evidence.argmax(2) == labels[:, None],
            "hit": apart(trace.fixations, batch.offsets).cummin(1).values <= NEAR,
            "stopped": torch.stack([each.predicted == labels for each in searches], 1),
            "made": torch.stack([each.made for each in searches], 1),
            "map": (model.what(batch.images).logits.argmax(1) == labels)[:, None],
        }

    return _in_cells(count, digits, n, device_of(model))


@torch.inference_mode()
def of_searcher(model: Searcher, digits: Digits, n: int, saccades: int) -> dict[str, list]:
    """Return the counts of a searcher.

    Returns:
        right: for at most 1, 2, ... saccades, the correct predictions in each cell; perfect: those of the what network
        at the digit; of one saccade: astray, fixations further than `NEAR` from the digit, and lost, the wrong
        predictions of these; made: saccades made where all are allowed.
    """

    def count(batch):
        trace = model.search(batch.images, saccades)
        correct = [trace.cut(s).predicted == batch.labels for s in range(1, saccades + 1)]
        perfect = model.what(crops(batch.images, batch.offsets)).logits.argmax(1) == batch.labels
        astray = (trace.fixations[:, 0] - batch.offsets).float().norm(dim=1) > NEAR
        lost = astray & ~correct[0]
        return {
            "right": torch.stack(correct, 1),
            "perfect": perfect,
            "astray": astray,
            "lost": lost,
            "made": trace.made,
        }

    counts = _in_cells(count, digits, n, device_of(model))
    return {**counts, "right": [list(row) for row in zip(*counts["right"], strict=True)]}


@dataclass(frozen=True)
class SaccadeCounts:
    """A What/Where model on `n` stimuli: right, the correct predictions after 0, 1, ... saccades; hits, fixations
    within 7 pixels of the digit after each; stopped, the correct predictions of the model that may stop, and made, the
    saccades that it made in all. Stored evaluations have these names."""

    right: tuple[int, ...]
    hits: tuple[int, ...]
    stopped: int
    made: int
    n: int

    def accuracy(self, saccades: int) -> Proportion:
        """Return the accuracy after so many saccades."""
        return Proportion(self.right[saccades], self.n)


def of_what_where(
    whats: Mapping[str, nn.Module],
    where: nn.Module,
    digits: Digits,
    scene: Scene128,
    n: int,
    saccades: int = whatwhere.SACCADES,
    seed: int = 0,
) -> dict[str, SaccadeCounts]:
    """Return the counts, in one scene, of a Where pathway with several What pathways at the same fixations.

    Args:
        whats: name -> What pathway; the result has the same names.
    """

    def of_batch(batch):
        fixations, expected = whatwhere.scan(where, batch.images, saccades)
        counts = {"hits": ((fixations - batch.offsets).double().norm(dim=2) <= HIT).T}  # (B, k)
        for name, what in whats.items():
            path = whatwhere.Scanpath(fixations, whatwhere.classify(what, batch.images, fixations), expected)
            counts[f"right {name}"] = (path.posterior.argmax(2) == batch.labels).T
            counts[f"stopped {name}"] = path.predicted(path.needed()) == batch.labels
            counts[f"made {name}"] = path.needed() - 1
        return counts

    total = evaluation.count(of_batch, digits, scene, n, device_of(where), seed)
    hits = tuple(total["hits"])
    return {
        name: SaccadeCounts(tuple(total[f"right {name}"]), hits, total[f"stopped {name}"], total[f"made {name}"], n)
        for name in whats
    }


def _in_cells(
    of_batch: Callable[[Stimuli], Mapping[str, Tensor]], digits: Digits, n: int, device: torch.device | str
) -> dict[str, list]:
    """Return `evaluation.count` in each of `evaluation.cells`, in their order: name -> one entry per cell."""
    found = [evaluation.count(of_batch, digits, scene, n, device) for scene in evaluation.cells().values()]
    return {name: [each[name] for each in found] for name in found[0]}
