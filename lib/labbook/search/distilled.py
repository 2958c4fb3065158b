"""Distillation: an attention transformer whose localisation network is trained from an evidence map (see `losses`)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..classifiers import TransformerOutput
from ..transformers import ATN
from .evidence import EvidenceMap


class DistilledOutput(NamedTuple):
    """A `TransformerOutput` with the evidence (B, 10, n) of the map, in training mode."""

    logits: Tensor
    theta: Tensor
    crop: Tensor
    evidence: Tensor


class DistilledATN(ATN):
    """An attention transformer and, in training mode, the evidence map that supervises its localisation network. The
    map comes from the run that the training starts from, stays as it is, and has no part in evaluation.

    Args:
        evidence_width: of the map, see `EvidenceMap`. options: of `ATN`.
    """

    teacher = "taught_by"  # the part that a run of "evidence" may begin with

    def __init__(self, evidence_width: int = 16, **options):
        super().__init__(**options)
        self.taught_by = EvidenceMap(evidence_width)

    def train(self, mode: bool = True) -> DistilledATN:
        """Set the mode of the transformer; the evidence map is never in training mode."""
        super().train(mode)
        self.taught_by.eval()
        return self

    def forward(self, image: Tensor) -> TransformerOutput | DistilledOutput:
        output = super().forward(image)
        if not self.training:
            return output
        with torch.no_grad():
            return DistilledOutput(*output, self.taught_by(image).evidence.flatten(2))
