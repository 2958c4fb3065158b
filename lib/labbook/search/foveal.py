"""A foveal searcher: an evidence map computed only where a periphery expects the digit.

An evidence map (see `evidence`) computes the evidence s_c(p) for each digit c at all 676 places p of the field. Here
the same network is applied to a fovea of 44x44 pixels, 25 places at a time. Where to direct it is estimated from the
coefficients of a log-polar retina by a small *where* network, trained from the posterior of the evidence map over
places, given the label, and so from labels of fields alone:

    q(p) = p(p | image, label) = softmax over p of s_label(p),     loss = - sum over p of q(p) log softmax_p v(p)

Each fixation is the one whose fovea holds most of the posterior that is not yet examined; the prediction is the softmax
of the evidence summed over the places examined.

Convention
    places      as in `evidence`: (row, column), pixels from the centre of the field, n = 676 of them
    gaze        int64 (B, 2), the place that the eye is directed at, on which the retina is centred
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import stimuli
from ..errors import ConfigurationError, within
from ..filters import WhatWhere
from ..stimuli import EDGE, FIELD, GREY
from . import evidence
from .evidence import EvidenceMap
from .peripheries import LogPolarPeriphery, apart, best_made, of_each

SURE = (10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 1e9)  # log evidence at which searches that are compared stop; 1e9: never


class FovealOutput(NamedTuple):
    """What a foveal searcher returns in training mode: logits (B, 10), theta (B, 2, 3) and crop (B, 1, 28, 28) of its
    evidence map; scores (B, gazes, n), logits of the posterior over places as estimated from the periphery; evidence
    (B, 10, n), from which their targets are made."""

    logits: Tensor
    theta: Tensor
    crop: Tensor
    scores: Tensor
    evidence: Tensor


class FovealTrace(NamedTuple):
    """A search of s fixations: fixations (B, s, 2), pixels; expected (B, s), the posterior probability of the places
    in the fovea, as estimated before each; found (B, s), the log evidence for any digit in each fovea; evidence
    (B, s, 10), that of all places examined so far; made (B,), how many fixations were made until it stopped."""

    fixations: Tensor
    expected: Tensor
    found: Tensor
    evidence: Tensor
    made: Tensor

    @property
    def logits(self) -> Tensor:
        """The evidence (B, 10) when the search stopped."""
        return of_each(self.evidence, self.made - 1)

    @property
    def predicted(self) -> Tensor:
        """The digit (B,)."""
        return self.logits.argmax(1)

    @property
    def fixation(self) -> Tensor:
        """The fixation (B, 2) with the highest evidence of those made."""
        return of_each(self.fixations, best_made(self.found, self.made))

    def stopped(self, sure: float) -> FovealTrace:
        """Return the search that would have stopped when its evidence for any digit reached `sure`."""
        still = self.evidence.logsumexp(2) < sure  # (B, s): it goes on
        made = still.int().cumprod(1).sum(1) + 1
        return self._replace(made=made.clamp(max=self.evidence.shape[1]))


class FovealEvidence(nn.Module):
    """A log-polar where network and an evidence map in the fovea.

    In training mode the evidence map of the whole field gives the targets of the where network, for two gazes: the
    middle of the field, and near a place drawn from the posterior. The map's own weights stay as they are: they come
    from the run that the training starts from. In evaluation mode the network searches.

    Training draws from PyTorch's global generator, like dropout.

    Args:
        retina: a name in `retina.RETINAS` with one part, or settings of `retina.WhatWhere`, whose field is then that of
            the images. width: channels of the where network.
        what_width: of the evidence map, see `EvidenceMap`.
        fovea: edge of the evidence map's input at a fixation, pixels: 28, 36 or 44, hence 1, 9 or 25 places.
        saccades: at most, in evaluation. sure: log evidence for a digit in the fovea at which a search stops.
        near: standard deviation of the second gaze about the place drawn, pixels.
    """

    kaiming = True  # see `classifiers.initialise`
    draws = True  # in training mode, from the global generator
    teacher = "what"  # the part that a run of "evidence" may begin with

    def __init__(
        self,
        retina: str | WhatWhere = "whatwhere",
        width: int = 96,
        what_width: int = 16,
        fovea: int = 44,
        saccades: int = 5,
        sure: float = 15.0,
        near: float = 10.0,
    ):
        super().__init__()
        if fovea not in (28, 36, 44):
            raise ConfigurationError(f"fovea={fovea!r} must be 28, 36 or 44 pixels.")
        self.fovea = fovea
        self.saccades = within("saccades", saccades, 1, 100, whole=True)
        self.sure = within("sure", sure, -100, 1000)
        self.near = within("near", near, 0, FIELD, "pixels")
        self.where = LogPolarPeriphery(retina, width, partial(nn.BatchNorm1d, affine=False))
        self.margin, edge = self.where.margin, self.where.settings.field
        self.what = EvidenceMap(what_width)
        self.register_buffer("grid", evidence.places(edge).to(torch.int64), persistent=False)  # (n, 2)
        axis = torch.arange(-2 * self.margin, 2 * self.margin + 1)
        ways = torch.cartesian_prod(axis, axis).float()  # all displacements of a place from a gaze
        nearest = [torch.cdist(part, self.where.grid.float()).argmin(1) for part in ways.split(4096)]
        self.register_buffer("cells", torch.cat(nearest), persistent=False)  # the retina's cell nearest to each

    def reset_parameters(self) -> None:
        """Start with the same score for all places."""
        nn.init.zeros_(self.where.last.weight)
        self.what.reset_parameters()

    def train(self, mode: bool = True) -> FovealEvidence:
        """Set the mode of the where network; the evidence map is never in training mode."""
        super().train(mode)
        self.what.eval()
        return self

    def peripheral_scores(self, image: Tensor, gaze: Tensor) -> Tensor:
        """Return the scores (B, n) of the places of images (B, 1, h, h) from gazes (B, 2): each place has that of the
        nearest cell of the retina."""
        values = self.where(image, gaze)  # (B, cells)
        way = self.grid - gaze[:, None] + 2 * self.margin  # (B, n, 2)
        return values.gather(1, self.cells[way[..., 0] * (4 * self.margin + 1) + way[..., 1]])

    def forward(self, image: Tensor) -> FovealOutput | evidence.EvidenceOutput:
        if self.training:
            return self.forward_training(image)
        trace = self.search(image)
        place = trace.fixation
        return evidence.EvidenceOutput(
            trace.logits,
            stimuli.window(place, image.shape[-1]),
            stimuli.crops(image, place),
            trace.evidence[:, -1, :, None, None],
        )

    def forward_training(self, image: Tensor) -> FovealOutput:
        """Score the places from the middle and from near a place drawn from the evidence map's posterior."""
        with torch.no_grad():
            target = self.what(image)
            somewhere = target.evidence.logsumexp(1).flatten(1)  # (B, n)
            gumbel = -torch.empty_like(somewhere).exponential_().log()
            drawn = self.grid[(somewhere + gumbel).argmax(1)]  # (B, 2), from the posterior
            aside = drawn + self.near * torch.randn(len(image), 2, device=image.device)
            gaze = torch.cat((torch.zeros_like(aside), aside)).round().clamp(-self.margin, self.margin).to(torch.int64)
        both = torch.cat((image, image))  # in one batch: batch normalisation is the same for both gazes
        scores = self.peripheral_scores(both, gaze)
        return FovealOutput(*target[:3], torch.stack(scores.chunk(2), 1), target.evidence.flatten(2))

    def foveate(self, image: Tensor, gaze: Tensor) -> Tensor:
        """Return the evidence (B, 10, k, k) of the places in the fovea at gazes (B, 2), grey beyond the field."""
        padded = F.pad(image - GREY, ((self.fovea - EDGE) // 2,) * 4) + GREY
        fovea = stimuli.cut(padded[:, 0], gaze + self.margin, self.fovea)[:, None]
        return self.what(fovea.contiguous(memory_format=torch.channels_last)).evidence

    def search(self, image: Tensor, saccades: int | None = None, sure: float | None = None) -> FovealTrace:
        """Fixate place after place; see `FovealTrace`.

        The first gaze is the middle of the field. Each fixation is at the place whose fovea holds most of the posterior
        of places not yet examined. A place's score is the one from the gaze that was nearest to it.

        Args:
            saccades, sure: see the class (default: the searcher's own).
        """
        s = self.saccades if saccades is None else within("saccades", saccades, 1, 100, whole=True)
        sure = self.sure if sure is None else sure
        n, k, side = len(image), (self.fovea - EDGE) // 4 + 1, round(len(self.grid) ** 0.5)
        reach, wide = k // 2, side + 2 * (k // 2)  # of the fovea, places; side of the padded map
        gaze = self.grid.new_zeros(n, 2)
        posterior = self.peripheral_scores(image, gaze).log_softmax(1)  # (B, n)
        nearest = self.grid.float().norm(dim=1).expand(n, -1)  # distance of each place from the nearest gaze
        field = image.new_full((n, 10, wide * wide), float("-inf"))  # the evidence of the places examined
        inner = field[..., : side * side]  # without the places beyond the map
        fixations, expected, found, total = [], [], [], []
        span = torch.arange(k, device=image.device)
        for turn in range(s):
            open_ = posterior.exp() * inner[:, 0].isneginf()
            mass = F.avg_pool2d(open_.view(n, 1, side, side), k, 1, reach, divisor_override=1).flatten(1)
            most, at = mass.max(1)
            gaze = self.grid[at]
            local = self.foveate(image, gaze)  # (B, 10, k, k)
            rows, columns = at // side, at % side  # of the fovea's corner in the padded map
            index = ((rows[:, None] + span)[:, :, None] * wide + (columns[:, None] + span)[:, None]).flatten(1)
            field = field.scatter(2, index[:, None].expand(-1, 10, -1), local.flatten(2))
            inner = field.unflatten(2, (wide, wide))[..., reach : reach + side, reach : reach + side].flatten(2)
            fixations.append(gaze)
            expected.append(most)
            found.append(local.flatten(1).logsumexp(1))
            total.append(inner.logsumexp(2))
            if turn < s - 1:
                distance = apart(self.grid, gaze)
                fresh = self.peripheral_scores(image, gaze).log_softmax(1)
                posterior = torch.where(distance < nearest, fresh, posterior)
                nearest = torch.minimum(distance, nearest)
        fixations, expected, found, total = (torch.stack(each, 1) for each in (fixations, expected, found, total))
        return FovealTrace(fixations, expected, found, total, torch.full((n,), s, device=image.device)).stopped(sure)


def loss(output: FovealOutput, labels: Tensor) -> Tensor:
    """Return the cross-entropy between the posterior over places, given the label, and the periphery's estimate; mean
    over gazes, in nats. An output in evaluation mode has the cross-entropy of its label."""
    if not isinstance(output, FovealOutput):
        return F.cross_entropy(output.logits, labels)
    index = labels[:, None, None].expand(-1, 1, output.evidence.shape[2])
    target = output.evidence.gather(1, index).softmax(2)  # (B, 1, n)
    return -(target * output.scores.log_softmax(2)).sum(2).mean()
