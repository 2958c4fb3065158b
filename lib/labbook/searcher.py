"""A foveal searcher: a *where* network says where naming would succeed, a *what* network names what lies there.

The where network sees the whole field through a cheap periphery and predicts, for each place of a map of fixations, the
probability with which the what network would name the digit if it looked there. It learns that from tries: at a few
fixations of each image the what network answers, and the probability that it gave to the right label is the target. No
gradient has to find the digit, and nobody says where it is: what is known is the label.

The idea of a map of accuracies as the goal is that of the What/Where model (Dauce, Albiges & Perrinet 2020), which knew
positions; here the map is learned from the classifier's own successes.

Convention
    places      int64, pixels, (row, column) = (down, right) from the middle of the field, at most `MARGIN`: the offset
                of a digit that a window of 28x28 pixels around the place would show in its middle
    values      logits of the probability of naming the digit at a place
    gaze        (B, 2) the place that the eye is directed at; retinas are centred on it
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import classifiers, evaluation, sampler
from . import retina as retinas
from .classifiers import LeNet, TransformerOutput
from .digits import Digits
from .errors import ConfigurationError, choose, within
from .evaluation import Proportion
from .retina import GREY
from .stimuli import EDGE, FIELD, MARGIN, crops, window


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
        seen = torch.arange(self.confidence.shape[1], device=self.confidence.device) < self.made[:, None]
        return self.confidence.where(seen, -1.0).argmax(1)

    @property
    def posterior(self) -> Tensor:
        """The what network's posterior (B, 10) at the fixation that decides."""
        return self.posteriors[torch.arange(len(self.made), device=self.made.device), self.best]

    @property
    def fixation(self) -> Tensor:
        """The fixation (B, 2) that decides."""
        return self.fixations[torch.arange(len(self.made), device=self.made.device), self.best]

    @property
    def predicted(self) -> Tensor:
        """The digit predicted (B,)."""
        return self.posterior.argmax(1)

    def cut(self, saccades: int) -> SearchTrace:
        """Return the search that would have been allowed fewer saccades: its first `saccades` are the same."""
        return SearchTrace(*(each[:, :saccades] for each in self[:4]), self.made.clamp(max=saccades))


def loss(seen: TransformerOutput | SearcherOutput, labels: Tensor) -> Tensor:
    """Return the cross-entropy of the logits and, in training mode, of the values with the probabilities that the what
    network gives to the label at the sampled fixations.

    The first counts as much as the where network promises for its fixation, and not at all below one half: labels say
    nothing about places without a digit. The images and the labels are all that is known.
    """
    if not isinstance(seen, SearcherOutput):
        return F.cross_entropy(seen.logits, labels)
    n = seen.sampled_logits.shape[1]
    correct = seen.sampled_logits.softmax(2).gather(2, labels[:, None, None].expand(-1, n, 1))[..., 0]  # (B, k)
    where = F.binary_cross_entropy_with_logits(seen.values, correct)
    promise = seen.values[:, 0].detach().sigmoid()  # (B,), for the fixation that `logits` are of
    trust = torch.where(promise > 0.5, promise, 0.0)
    return where + (trust * F.cross_entropy(seen.logits, labels, reduction="none")).mean()


HERE = 5.0  # pixels: places no further from the gaze are where the eye is


# ---- looking --------------------------------------------------------------------------------------------------------


def foveal_crops(images: Tensor, places: Tensor) -> Tensor:
    """Return what the fovea sees, (B k, 1, 28, 28), at places (B, k, 2) of images (B, 1, 128, 128)."""
    return torch.stack([crops(images, at) for at in places.unbind(1)], 1).flatten(0, 1)


# ---- peripheries ----------------------------------------------------------------------------------------------------


class FullResolutionPeriphery(nn.Module):
    """A where network on every pixel: four convolutions and a 1x1, over a grid of fixations; 26 969 parameters.

    Each place of the map sees the 40x40 pixels around it; the network is the same everywhere.

    Args:
        stride: distance of neighbouring fixations, pixels: 4 (26x26 fixations) or 8 (13x13). width: channels.
    """

    moves = False  # it sees the same wherever the eye is directed
    reach = 8.0  # pixels around the highest place whose promises tell where between the places to look

    def __init__(self, stride: int = 4, width: int = 24):
        super().__init__()
        choose("stride", stride, (4, 8))
        within("width", width, 1, 512, whole=True)
        layers, sizes = (
            [],
            ((1, 8, 6, 2, 2), (8, width, 6, 2, 2), (width, width, 5, 1, 0), (width, width, 3, stride // 4, 0)),
        )
        for inner, outer, kernel, step, padding in sizes:
            conv = nn.Conv2d(inner, outer, kernel, step, padding, bias=False)
            layers += [conv, nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)  # (B, width, 26, 26)
        self.last = nn.Conv2d(width, 1, 1)
        axis = torch.arange(-MARGIN, MARGIN + 1, stride)
        self.register_buffer("grid", torch.cartesian_prod(axis, axis), persistent=False)  # (n, 2)

    def places(self, gaze: Tensor) -> Tensor:
        """Return the places (B, n, 2) of the map, row by row."""
        return self.grid.expand(len(gaze), -1, -1)

    def forward(self, images: Tensor, gaze: Tensor) -> Tensor:
        return self.last(self.layers(images - GREY)).flatten(1)  # (B, n)


class RunningStandardisation(nn.BatchNorm1d):
    """Features (B, n) standardised by the mean and variance of all that training has shown so far.

    Unlike in batch normalisation a batch is not its own measure: first and later glances see different scenes.
    """

    def __init__(self, n: int):
        super().__init__(n, affine=False, momentum=None)
        self.batches: int | None = None  # `num_batches_tracked`, known to a CPU without looking

    def _load_from_state_dict(self, *given) -> None:
        super()._load_from_state_dict(*given)
        self.batches = None

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            self.num_batches_tracked.add_(1)
            (self._follow_on_gpu if features.is_cuda else self._follow)(features.detach())
        return F.batch_norm(features, self.running_mean, self.running_var, eps=self.eps)

    def _follow(self, features: Tensor) -> None:
        """Take a batch into the mean and variance over all; it has its share of them."""
        self.batches = int(self.num_batches_tracked) if self.batches is None else self.batches + 1
        F.batch_norm(features, self.running_mean, self.running_var, training=True, momentum=1 / self.batches)

    def _follow_on_gpu(self, features: Tensor) -> None:
        """The same, with a share that only the GPU knows: the step may be captured."""
        variance, mean = torch.var_mean(features, 0)
        share = 1 / self.num_batches_tracked
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class LogPolarPeriphery(nn.Module):
    """A where network on the coefficients of a log-polar retina, over its collicular map: the centres of the cells.

    Rings are channels, and the convolutions run around the circle of azimuths: a scene turned about the fixation gives
    the same map, turned. Odd and even filters of a cell are joined by their energy, which knows no phase.

    Args:
        retina: a name in `retina.RETINAS` with one part, or settings of `retina.WhatWhere`. width: channels.
    """

    moves = True
    reach = 0.0  # its places are not evenly spread; a second glance aims better

    def __init__(self, retina: str | retinas.WhatWhere = "whatwhere", width: int = 96):
        super().__init__()
        named = not isinstance(retina, retinas.WhatWhere)
        self.settings = retinas.RETINAS[choose("retina", retina, retinas.RETINAS)] if named else retina
        self.margin = (self.settings.field - EDGE) // 2  # places go no further
        within("width", width, 1, 1024, whole=True)
        if len(self.settings.layout) > 1:
            raise ConfigurationError(
                f"retina={retina!r} has {len(self.settings.layout)} parts; this network takes one."
            )
        shape = self.settings.layout[0]
        self.whatwhere = isinstance(self.settings, retinas.WhatWhere)
        orientations, azimuths, rings, phases = shape if self.whatwhere else (shape[0], shape[2], shape[1], 1)
        self.standard = RunningStandardisation(self.settings.n)
        around = {"kernel_size": 5, "padding": 2, "padding_mode": "circular", "bias": False}
        self.conv1 = nn.Conv1d(orientations * rings * (phases + 1), width, **around)
        self.conv2, self.conv3 = nn.Conv1d(width, width, **around), nn.Conv1d(width, width, **around)
        self.norm1, self.norm2, self.norm3 = (nn.GroupNorm(1, width) for _ in range(3))
        self.last = nn.Conv1d(width, rings, 1)
        cells = retinas.cells(self.settings).centres - self.settings.field / 2  # (n, 2)
        cells = cells.view(azimuths, rings, 2) if self.whatwhere else cells.view(rings, azimuths, 2).transpose(0, 1)
        self.register_buffer("grid", cells.flatten(0, 1).round().to(torch.int64), persistent=False)  # (azimuth, ring)

    def places(self, gaze: Tensor) -> Tensor:
        """Return the places (B, n, 2) of the map around the gaze, clamped to where digits can be."""
        return (gaze[:, None] + self.grid).clamp(-self.margin, self.margin)

    def forward(self, images: Tensor, gaze: Tensor) -> Tensor:
        retina = retinas.build(self.settings, images.device)
        (x,) = retina.unflatten(self.standard(retina(retinas.recentred(images, gaze))))
        if self.whatwhere:  # (B, orientations, azimuths, rings, phases)
            x = torch.cat((x, x.square().sum(4, keepdim=True).add(0.1).log()), 4).permute(0, 1, 3, 4, 2)
        else:  # (B, orientations, rings, azimuths)
            x = torch.stack((x, x.abs().add(0.1).log()), 3)
        x = x.flatten(1, 3)  # (B, orientations x rings x (phases + 1), azimuths)
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2), (self.conv3, self.norm3)):
            x = F.relu(norm(conv(x)))  # (B, width, azimuths)
        return self.last(x).transpose(1, 2).flatten(1)  # (B, azimuths x rings)


PERIPHERIES = {"full": FullResolutionPeriphery, "log-polar": LogPolarPeriphery}


# ---- the searcher ---------------------------------------------------------------------------------------------------


class Searcher(nn.Module):
    """Where and what: 458 049 parameters with the full-resolution periphery.

    In training mode it samples `tries` fixations of each image and returns `SearcherOutput`; in evaluation mode it
    searches, with at most `saccades` saccades, and returns `TransformerOutput` at the fixation that decides. A batch of
    28x28 images goes to the what network alone, so that training may begin with digits that need no search.

    Training draws from PyTorch's global generator, like dropout.

    Args:
        periphery: "full" or "log-polar". stride: of the first. retina: of the second. width: of either; 0: its own.
        tries: fixations per image and glance while it learns: one where the map is highest, the others half from the
            softmax of the map.
        uniform: share of the others that are drawn evenly instead.
        saccades: at most, in evaluation.
        inhibition: places no further than this from a fixation made are not looked at again, pixels; at least the
            periphery's reach.
        learns: "tries", or "sampler", the control: a spatial transformer that looks at the mean place of the softmax of
            the map, through a window that passes the label's gradient on.
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
        self.what = LeNet(GREY)  # sees a mean near 0

    def forward(self, image: Tensor) -> TransformerOutput | SearcherOutput:
        if image.shape[-1] == EDGE:
            return self.what(image)
        if self.learns == "sampler":
            return self._transform(image)
        if self.training:
            return self.forward_training(image)
        trace = self.search(image)
        at = trace.fixation
        return TransformerOutput(trace.posterior.log(), window(at), foveal_crops(image, at[:, None]))

    def reset_parameters(self) -> None:
        """Let the where network promise chance, one in ten, everywhere."""
        nn.init.zeros_(self.where.last.weight)
        nn.init.constant_(self.where.last.bias, -math.log(9))

    # ---- learning ----

    def forward_training(self, image: Tensor) -> SearcherOutput:
        """Try fixations, those of the second glance, if the periphery moves, around one of the first."""
        gaze = torch.zeros(len(image), 2, dtype=torch.int64, device=image.device)
        parts = []
        for _ in range(1 + self.where.moves):
            values = self.where(image, gaze)  # (B, n)
            tried = self._sample_places(values.detach())  # (B, k)
            everywhere = self.where.places(gaze)
            gaze = self._next_fixation(values.detach().sigmoid(), everywhere)  # (B, 2)
            parts.append((values.gather(1, tried), everywhere.gather(1, tried[..., None].expand(-1, -1, 2))))
        values, places = (torch.cat(each, 1) for each in zip(*reversed(parts), strict=True))  # the last glance first
        with torch.no_grad():
            answers = self.what(foveal_crops(image, places)).logits.unflatten(0, (len(image), -1))  # (B, k, 10)
        crop = foveal_crops(image, gaze[:, None])
        return SearcherOutput(self.what(crop).logits, window(gaze), crop, values, answers)

    def _transform(self, image: Tensor) -> TransformerOutput:
        """Look at the mean place of the map, as a spatial transformer does."""
        gaze = torch.zeros(len(image), 2, dtype=torch.int64, device=image.device)
        share = self.where(image, gaze).softmax(1)  # (B, n)
        theta = window((share[..., None] * self.where.places(gaze)).sum(1))
        crop = sampler.sample(image, theta, EDGE, padding=GREY)
        return TransformerOutput(self.what(crop).logits, theta, crop)

    def _sample_places(self, values: Tensor) -> Tensor:
        """Return which places (B, k) of maps (B, n) to try: the highest, some by softmax, some evenly."""
        even = round(self.uniform * (self.tries - 1))
        best = values.argmax(1, keepdim=True)
        parts = [best]
        if even < self.tries - 1:
            parts.append(torch.multinomial(values.softmax(1), self.tries - 1 - even, replacement=True))
        if even:
            parts.append(torch.randint(values.shape[1], (len(values), even), device=values.device))
        return torch.cat(parts, 1)

    def _next_fixation(self, values: Tensor, places: Tensor) -> Tensor:
        """Return where to look (B, 2), given promised probabilities (B, n): the centre of gravity of the promises
        within the periphery's reach of the highest, to the pixel."""
        best = places[torch.arange(len(values), device=values.device), values.argmax(1)]  # (B, 2)
        if self.where.reach == 0:
            return best
        weight = values * (_apart(places, best) <= self.where.reach)  # (B, n)
        centre = (weight[..., None] * places).sum(1) / weight.sum(1, keepdim=True).clamp_min(1e-12)
        return centre.round().to(torch.int64)

    # ---- searching ----

    def search(self, image: Tensor, saccades: int | None = None) -> SearchTrace:
        """Look from place to place; see `SearchTrace`.

        The eye starts in the middle of the field. It goes to the best place of its map, the what network answers, and
        the periphery is looked at again from there. A promise counts if it was made from the nearest fixation so far:
        what was seen from afar is remembered until it is seen better. A fixation is worth the probability of the what
        network's answer times what the where network promises for the place when the eye is there. The search stops
        when a fixation is worth as much as any other place promises.

        Args:
            saccades: at most (default: the searcher's own).
        """
        s = self.saccades if saccades is None else within("saccades", saccades, 1, 100, whole=True)
        n = len(image)
        gazes = torch.zeros(n, s + 1, 2, dtype=torch.int64, device=image.device)  # the middle, then the fixations
        values, places = self.where(image, gazes[:, 0]).sigmoid(), self.where.places(gazes[:, 0])  # (B, all places)
        promised, answers = values.new_zeros(n, s), values.new_zeros(n, s, 10)
        worth, made = torch.zeros_like(promised), torch.full((n,), s, device=image.device)
        going = torch.arange(n, device=image.device)  # the searches that have not stopped
        for k in range(s):
            gaze, promise = self._next_fixation(values, places), values.amax(1)
            gazes[going, k + 1], promised[going, k] = gaze, promise
            answers[going, k] = self.what(foveal_crops(image[going], gaze[:, None])).logits.softmax(1)
            if self.where.moves:
                fresh, around = self.where(image[going], gaze).sigmoid(), self.where.places(gaze)
                promise = fresh.masked_fill(_apart(around, gaze) > HERE, 0.0).amax(1)
            worth[going, k] = answers[going, k].amax(1) * promise
            if k == s - 1:
                break
            if self.where.moves:
                values, places = torch.cat((values, fresh), 1), torch.cat((places, around), 1)
                values = values.masked_fill(~_nearest(places, gazes[going, : k + 2]), 0.0)
            for old in gazes[going, 1 : k + 2].unbind(1):
                values = values.masked_fill(_apart(places, old) <= max(self.inhibition, self.where.reach), 0.0)
            stays = worth[going, : k + 1].amax(1) >= values.amax(1)
            made[going[stays]] = k + 1
            going, values, places = (each[~stays] for each in (going, values, places))
            if not len(going):
                break
        return SearchTrace(gazes[:, 1:], promised, answers, worth, made)


def _apart(places: Tensor, gaze: Tensor) -> Tensor:
    """Return how far places (B, n, 2) are from gazes (B, 2), pixels (B, n)."""
    return (places - gaze[:, None]).float().norm(dim=2)


def _nearest(places: Tensor, gazes: Tensor) -> Tensor:
    """Return which places (B, g n, 2), n for each of g gazes (B, g, 2) in order, have no other gaze nearer (B, g n)."""
    apart = torch.stack([_apart(places, gaze) for gaze in gazes.unbind(1)], 2)  # (B, g n, g)
    own = torch.arange(gazes.shape[1], device=places.device).repeat_interleave(places.shape[1] // gazes.shape[1])
    return apart.argmin(2) == own


# ---- the benchmark --------------------------------------------------------------------------------------------------

NEAR = 8  # pixels: a window no further from the digit's middle shows nearly all of its ink


class Benchmark(NamedTuple):
    """A searcher in the cells of the benchmark, (contrast, radius) -> proportion of the same stimuli.

    right: right answers with at most 1, 2, ... saccades; perfect: with perfect fixations; of one saccade: astray, the
    fixations further than `NEAR` from the digit, and lost, those of them with a wrong answer. made: mean number of
    saccades where all are allowed.
    """

    right: list[dict[tuple[float, float], Proportion]]
    perfect: dict[tuple[float, float], Proportion]
    astray: dict[tuple[float, float], Proportion]
    lost: dict[tuple[float, float], Proportion]
    made: dict[tuple[float, float], float]

    @classmethod
    def read(cls, counts: dict, n: int) -> Benchmark:
        """Return what `benchmark` counted."""

        def table(row: list[int]) -> dict[tuple[float, float], Proportion]:
            return {cell: Proportion(count, n) for cell, count in zip(evaluation.cells(), row, strict=True)}

        made = dict(zip(evaluation.cells(), (count / n for count in counts["made"]), strict=True))
        one = (table(counts[name]) for name in ("perfect", "astray", "lost"))
        return cls([table(row) for row in counts["right"]], *one, made)


@torch.inference_mode()
def benchmark(model: Searcher, digits: Digits, n: int, saccades: int) -> dict[str, list]:
    """Count in every cell of the benchmark, plain data: see `Benchmark`. All of a row are of the same stimuli."""
    counts = {"right": [[] for _ in range(saccades)], "perfect": [], "astray": [], "lost": [], "made": []}
    for scene in evaluation.cells().values():
        right, others = torch.zeros(saccades, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)
        for stimuli in evaluation.stream(digits, scene, n):
            for images, labels, offsets, _ in evaluation.batches(stimuli, classifiers.device_of(model)):
                trace = model.search(images, saccades)
                named = [trace.cut(s).predicted == labels for s in range(1, saccades + 1)]
                perfect = model.what(crops(images, offsets)).logits.argmax(1) == labels
                astray = (trace.fixations[:, 0] - offsets).float().norm(dim=1) > NEAR
                right += torch.stack([each.sum() for each in named]).cpu()
                others += torch.stack((perfect.sum(), astray.sum(), (astray & ~named[0]).sum(), trace.made.sum())).cpu()
        for row, count in zip(counts["right"], right.tolist(), strict=True):
            row.append(count)
        for name, count in zip(("perfect", "astray", "lost", "made"), others.tolist(), strict=True):
            counts[name].append(count)
    return counts
