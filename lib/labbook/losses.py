"""Losses by name, each a function of a model's output and the stimuli of a batch; and which of them use positions.

Only "cross_entropy and position" and "collicular" use the digit's position; all others use the label alone. Windows in
stages with a `perturbation_std` are trained by `score_function.loss` instead.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .classifiers import TransformerOutput
from .search import evidence, foveal, searcher
from .search.distilled import DistilledOutput
from .stimuli import Stimuli, fixations
from .where import collicular


def cross_entropy(output: TransformerOutput, stimuli: Stimuli) -> Tensor:
    """Return the cross-entropy of the logits (B, 10) with the labels, in nats, mean over the batch."""
    return F.cross_entropy(output.logits, stimuli.labels)


def mean_squared(output: TransformerOutput, stimuli: Stimuli) -> Tensor:
    """Return the mean squared difference of the softmax and the one-hot label, over batch and classes."""
    return F.mse_loss(output.logits.softmax(1), F.one_hot(stimuli.labels, 10).to(torch.float32))


def distance(output: TransformerOutput, places: Tensor, edge: int) -> Tensor:
    """Return Huber's loss, in units of 10 pixels, of the window's centre from places (B, 2), mean over both axes; 0
    without a window."""
    if output.theta is None:
        return torch.zeros((), device=output.logits.device)
    return F.smooth_l1_loss(fixations(output.theta, edge) / 10, places / 10)


def with_position(output: TransformerOutput, stimuli: Stimuli) -> Tensor:
    """Return the cross-entropy plus the window's distance from the digit: position supervision."""
    return cross_entropy(output, stimuli) + distance(output, stimuli.offsets, stimuli.images.shape[-1])


def with_evidence(output: TransformerOutput | DistilledOutput, stimuli: Stimuli) -> Tensor:
    """Return the cross-entropy plus, in training mode, the window's distance from the place that an evidence map finds
    for the label."""
    if not isinstance(output, DistilledOutput):
        return cross_entropy(output, stimuli)
    edge = stimuli.images.shape[-1]
    place = evidence.given_label(output.evidence, stimuli.labels, edge)
    return cross_entropy(output, stimuli) + distance(output, place, edge)


LOSSES: dict[str, Callable[[TransformerOutput, Stimuli], Tensor]] = {
    "cross_entropy": cross_entropy,
    "mean_squared": mean_squared,
    "cross_entropy and position": with_position,
    "cross_entropy and evidence": with_evidence,
    "posterior of places": lambda output, stimuli: foveal.loss(output, stimuli.labels),
    "collicular": collicular,  # of a Where network, without labels
    "value of fixations": lambda output, stimuli: searcher.loss(output, stimuli.labels),
}
