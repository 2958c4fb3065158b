"""A searcher: a *where* network predicts where classification would succeed, a *what* network classifies what is there.

The where network receives the whole field through a periphery (see `peripheries`) and predicts, for each place of a map
of fixations, the probability with which the what network would classify the digit correctly there. It is trained on
sampled fixations: at a few places of each image the what network classifies the crop, and the probability that it gives
to the label is the target. No gradient has to find the digit, and only labels are used.

A map of accuracies as the goal is the idea of the What/Where model (Dauce, Albiges & Perrinet 2020), which was trained
from positions; here the map is learned from the classifier's own successes. Places and gazes: see `peripheries`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import sampler
from ..classifiers import LeNet, TransformerOutput
from ..errors import choose, within
from ..stimuli import EDGE, FIELD, GREY, crops, window
from .peripheries import FullResolutionPeriphery, LogPolarPeriphery, apart, best_made, of_each

PERIPHERIES = {"full": FullResolutionPeriphery, "log-polar": LogPolarPeriphery}
HERE = 5.0  # pixels: places no further from the gaze are where the eye is


class SearcherOutput(NamedTuple):
    """What a searcher returns in training mode: a `TransformerOutput` at the fixation that trains the what network, and
    the sampled fixations: values (B, k), logits, predicted for k of them; sampled_logits (B, k, 10) of the what network
    at these, without a gradient."""

    logits: Tensor
    theta: Tensor
    crop: Tensor
    values: Tensor
    sampled_logits: Tensor


class SearchTrace(NamedTuple):
    """A search of s saccades: fixations (B, s, 2), pixels; expected (B, s), the probability of a correct classification
    that the where network predicted for each; posteriors (B, s, 10) of the what network at each; confidence (B, s), see
    `Searcher.search`; made (B,), the saccades made until it stopped, 1 to s; what comes after them is 0."""

    fixations: Tensor
    expected: Tensor
    posteriors: Tensor
    confidence: Tensor
    made: Tensor

    @property
    def best(self) -> Tensor:
        """Which fixation (B,) decides: of those made the one of the highest confidence."""
        return best_made(self.confidence, self.made)

    @property
    def posterior(self) -> Tensor:
        """The what network's posterior (B, 10) at the fixation that decides."""
        return of_each(self.posteriors, self.best)

    @property
    def fixation(self) -> Tensor:
        """The fixation (B, 2) that decides."""
        return of_each(self.fixations, self.best)

    @property
    def predicted(self) -> Tensor:
        """The digit predicted (B,)."""
        return self.posterior.argmax(1)

    def cut(self, saccades: int) -> SearchTrace:
        """Return the search that would have been allowed fewer saccades: its first `saccades` are the same."""
        return SearchTrace(*(each[:, :saccades] for each in self[:4]), self.made.clamp(max=saccades))


def loss(output: TransformerOutput | SearcherOutput, labels: Tensor) -> Tensor:
    """Return the cross-entropy of the logits and, in training mode, of the values with the probabilities that the what
    network gives to the label at the sampled fixations; in nats.

    The first is weighted by the probability predicted for its fixation, 0 below one half: labels say nothing about
    places without a digit.
    """
    if not isinstance(output, SearcherOutput):
        return F.cross_entropy(output.logits, labels)
    n = output.sampled_logits.shape[1]
    correct = output.sampled_logits.softmax(2).gather(2, labels[:, None, None].expand(-1, n, 1))[..., 0]  # (B, k)
    where = F.binary_cross_entropy_with_logits(output.values, correct)
    predicted = output.values[:, 0].detach().sigmoid()  # (B,), for the fixation that `logits` are of
    weight = torch.where(predicted > 0.5, predicted, 0.0)
    return where + (weight * F.cross_entropy(output.logits, labels, reduction="none")).mean()


def foveal_crops(images: Tensor, places: Tensor) -> Tensor:
    """Return the crops (B k, 1, 28, 28) around places (B, k, 2) of images (B, 1, 128, 128)."""
    return torch.stack([crops(images, at) for at in places.unbind(1)], 1).flatten(0, 1)


class Searcher(nn.Module):
    """A where and a what network: 458 049 parameters with the full-resolution periphery.

    In training mode it samples `tries` fixations of each image and returns `SearcherOutput`; in evaluation mode it
    searches, with at most `saccades` saccades, and returns `TransformerOutput` at the fixation that decides. A batch of
    28x28 images goes to the what network alone, so that training may begin with digits that need no search.

    Training draws from PyTorch's global generator, like dropout.

    Args:
        periphery: "full" or "log-polar". stride: of the first. retina: of the second. width: of either; 0: its own.
        tries: fixations sampled per image and gaze in training: the best place of the map, the others by its softmax.
        uniform: share of the others that are drawn uniformly instead.
        saccades: at most, in evaluation.
        inhibition: radius of the inhibition of return, pixels; at least the periphery's reach.
        learns: "tries", or "sampler", the control: a spatial transformer whose window is at the mean place of the
            softmax of the map, so that the label's gradient passes through the sampler.
    """

    kaiming = True  # see `classifiers.initialise`
    draws = True  # in training mode, from the global generator

    def __init__(
        self,
        periphery: str = "full",
        stride: int = 4,
        retina: str = "whatwhere",
        width: int = 0,
        tries: int = 6,
        uniform: float = 0.5,
        saccades: int = 1,
        inhibition: float = 3.0,
        learns: str = "tries",
    ):
        super().__init__()
        choose("periphery", periphery, PERIPHERIES)
        self.tries = within("tries", tries, 2, 100, whole=True)
        self.uniform = within("uniform", uniform, 0, 1)
        self.saccades = within("saccades", saccades, 1, 100, whole=True)
        self.inhibition = within("inhibition", inhibition, 0, 2 * FIELD, "pixels")
        self.learns = choose("learns", learns, ("tries", "sampler"))
        options = {"width": width} if width else {}
        first = {"stride": stride} if periphery == "full" else {"retina": retina}
        self.where = PERIPHERIES[periphery](**first, **options)
        self.what = LeNet(GREY)  # its input has a mean near 0

    def reset_parameters(self) -> None:
        """Let the where network predict the chance level, one in ten, everywhere."""
        nn.init.zeros_(self.where.last.weight)
        nn.init.constant_(self.where.last.bias, -math.log(9))

    def forward(self, image: Tensor) -> TransformerOutput | SearcherOutput:
        if image.shape[-1] == EDGE:
            return self.what(image)
        if self.learns == "sampler":
            return self.forward_sampler(image)
        if self.training:
            return self.forward_training(image)
        trace = self.search(image)
        return TransformerOutput(trace.posterior.log(), window(trace.fixation), crops(image, trace.fixation))

    # ---- training ----

    def forward_training(self, image: Tensor) -> SearcherOutput:
        """Sample fixations seen from the centre of the field and, if the map depends on the gaze, from the best one."""
        gaze = torch.zeros(len(image), 2, dtype=torch.int64, device=image.device)
        parts = []
        for _ in range(1 + self.where.moves):
            values = self.where(image, gaze)  # (B, n)
            sampled = self._sample_places(values.detach())  # (B, k)
            places = self.where.places(gaze)
            gaze = self._next_fixation(values.detach().sigmoid(), places)  # (B, 2)
            parts.append((values.gather(1, sampled), places.gather(1, sampled[..., None].expand(-1, -1, 2))))
        values, places = (torch.cat(each, 1) for each in zip(*reversed(parts), strict=True))  # the last gaze first
        with torch.no_grad():
            logits = self.what(foveal_crops(image, places)).logits.unflatten(0, (len(image), -1))  # (B, k, 10)
        crop = crops(image, gaze)
        return SearcherOutput(self.what(crop).logits, window(gaze), crop, values, logits)

    def forward_sampler(self, image: Tensor) -> TransformerOutput:
        """Sample the window at the mean place of the map, as a spatial transformer does."""
        gaze = torch.zeros(len(image), 2, dtype=torch.int64, device=image.device)
        share = self.where(image, gaze).softmax(1)  # (B, n)
        theta = window((share[..., None] * self.where.places(gaze)).sum(1))
        crop = sampler.sample(image, theta, EDGE, padding=GREY)
        return TransformerOutput(self.what(crop).logits, theta, crop)

    def _sample_places(self, values: Tensor) -> Tensor:
        """Return which places (B, tries) of maps (B, n) to sample: the best, some by softmax, some uniformly."""
        uniform = round(self.uniform * (self.tries - 1))
        parts = [values.argmax(1, keepdim=True)]
        if uniform < self.tries - 1:
            parts.append(torch.multinomial(values.softmax(1), self.tries - 1 - uniform, replacement=True))
        if uniform:
            parts.append(torch.randint(values.shape[1], (len(values), uniform), device=values.device))
        return torch.cat(parts, 1)

    def _next_fixation(self, values: Tensor, places: Tensor) -> Tensor:
        """Return the next fixation (B, 2), given probabilities (B, n): their centre of gravity within the periphery's
        reach of the best place, to the pixel."""
        best = of_each(places, values.argmax(1))  # (B, 2)
        if self.where.reach == 0:
            return best
        weight = values * (apart(places, best) <= self.where.reach)  # (B, n)
        centre = (weight[..., None] * places).sum(1) / weight.sum(1, keepdim=True).clamp_min(1e-12)
        return centre.round().to(torch.int64)

    # ---- search ----

    def search(self, image: Tensor, saccades: int | None = None) -> SearchTrace:
        """Search images (B, 1, 128, 128) by saccades; see `SearchTrace`.

        The eye starts at the centre of the field. It moves to the best place of its map, the what network classifies
        the crop, and the map is computed again from there. Of the predictions for places near each other, those count
        that were made from the nearest fixation. The confidence of a fixation is the what network's highest posterior
        times the probability that the where network predicts for the place when the eye is there. The search stops when
        a fixation has a confidence as high as the prediction for any place that is left.

        Args:
            saccades: at most, 1 to 100 (default: the searcher's own).
        """
        s = self.saccades if saccades is None else within("saccades", saccades, 1, 100, whole=True)
        n = len(image)
        gazes = torch.zeros(n, s + 1, 2, dtype=torch.int64, device=image.device)  # the centre, then the fixations
        values, places = self.where(image, gazes[:, 0]).sigmoid(), self.where.places(gazes[:, 0])  # (B, all places)
        expected, posteriors = values.new_zeros(n, s), values.new_zeros(n, s, 10)
        confidence, made = torch.zeros_like(expected), torch.full((n,), s, device=image.device)
        going = torch.arange(n, device=image.device)  # the searches that have not stopped
        for k in range(s):
            gaze, predicted = self._next_fixation(values, places), values.amax(1)
            gazes[going, k + 1], expected[going, k] = gaze, predicted
            posteriors[going, k] = self.what(crops(image[going], gaze)).logits.softmax(1)
            if self.where.moves:
                fresh, around = self.where(image[going], gaze).sigmoid(), self.where.places(gaze)
                predicted = fresh.masked_fill(apart(around, gaze) > HERE, 0.0).amax(1)
            confidence[going, k] = posteriors[going, k].amax(1) * predicted
            if k == s - 1:
                break
            if self.where.moves:
                values, places = torch.cat((values, fresh), 1), torch.cat((places, around), 1)
                values = values.masked_fill(~_nearest(places, gazes[going, : k + 2]), 0.0)
            for old in gazes[going, 1 : k + 2].unbind(1):  # inhibition of return
                values = values.masked_fill(apart(places, old) <= max(self.inhibition, self.where.reach), 0.0)
            stops = confidence[going, : k + 1].amax(1) >= values.amax(1)
            made[going[stops]] = k + 1
            going, values, places = (each[~stops] for each in (going, values, places))
            if not len(going):
                break
        return SearchTrace(gazes[:, 1:], expected, posteriors, confidence, made)


def _nearest(places: Tensor, gazes: Tensor) -> Tensor:
    """Return which places (B, g n, 2), n for each of g gazes (B, g, 2) in order, have no other gaze nearer (B, g n)."""
    distance = torch.stack([apart(places, gaze) for gaze in gazes.unbind(1)], 2)  # (B, g n, g)
    own = torch.arange(gazes.shape[1], device=places.device).repeat_interleave(places.shape[1] // gazes.shape[1])
    return distance.argmin(2) == own
