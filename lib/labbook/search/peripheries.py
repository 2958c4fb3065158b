"""Where networks of searchers: from a field and a gaze to one value for each place of a map of fixations.

What a value means is up to who trains it: `searcher` takes it for the logit of the probability of a correct
classification at the place, `foveal` for the unnormalised log posterior of the digit's place.

Convention
    places      int64, pixels, (row, column) = (down, right) from the centre of the field, at most 50 on 128x128 pixels:
                the offset of a digit that a window of 28x28 pixels around the place would show at its centre
    gaze        int64 (B, 2), the place that the eye is directed at
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import retina as retinas
from ..errors import ConfigurationError, choose, within
from ..stimuli import EDGE, GREY, MARGIN


class FullResolutionPeriphery(nn.Module):
    """Four convolutions and a 1x1 on every pixel, over a regular grid of places; 26 969 parameters.

    Each place has a receptive field of 40x40 pixels; the weights are the same everywhere, whatever the gaze.

    Args:
        stride: distance of neighbouring places, pixels: 4 (26x26 places) or 8 (13x13). width: channels, 1 to 512.

    Example:
        >>> FullResolutionPeriphery()(torch.rand(2, 1, 128, 128), torch.zeros(2, 2, dtype=torch.int64)).shape
        torch.Size([2, 676])
    """

    moves = False  # the map depends on the gaze
    reach = 8.0  # pixels around the best place within which places are averaged, to fixate between them

    def __init__(self, stride: int = 4, width: int = 24):
        super().__init__()
        choose("stride", stride, (4, 8))
        within("width", width, 1, 512, whole=True)
        sizes = ((1, 8, 6, 2, 2), (8, width, 6, 2, 2), (width, width, 5, 1, 0), (width, width, 3, stride // 4, 0))
        layers = []
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
        """Return the values (B, n) at the places of images (B, 1, 128, 128)."""
        return self.last(self.layers(images - GREY)).flatten(1)


class RunningStandardisation(nn.BatchNorm1d):
    """Standardise features (B, n) by their mean and variance over all that training has shown so far.

    Unlike in batch normalisation a batch is not its own measure: first and later gazes are at different scenes. The
    average over all batches is brought up to date in one of two ways, by where the features are: the same in exact
    arithmetic, different in rounding, so that neither can replace the other in published runs.
    """

    def __init__(self, n: int):
        super().__init__(n, affine=False, momentum=None)
        self.batches: int | None = None  # `num_batches_tracked`, without reading a tensor at each step

    def _load_from_state_dict(self, *given) -> None:
        super()._load_from_state_dict(*given)
        self.batches = None

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            self.num_batches_tracked.add_(1)
            (self._update_on_gpu if features.is_cuda else self._update)(features.detach())
        return F.batch_norm(features, self.running_mean, self.running_var, eps=self.eps)

    def _update(self, features: Tensor) -> None:
        """Take a batch into the average: PyTorch's own, which needs the number of batches on the CPU."""
        self.batches = int(self.num_batches_tracked) if self.batches is None else self.batches + 1
        F.batch_norm(features, self.running_mean, self.running_var, training=True, momentum=1 / self.batches)

    def _update_on_gpu(self, features: Tensor) -> None:
        """The same with a number of batches that stays on the GPU, so that the step can be captured."""
        variance, mean = torch.var_mean(features, 0)
        share = 1 / self.num_batches_tracked
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class LogPolarPeriphery(nn.Module):
    """Three convolutions around the circle of azimuths of a log-polar retina; the places are the centres of its cells.

    Rings are channels: a scene turned about the gaze gives the same map, turned. Odd and even filters of a cell are
    joined by their energy, which does not depend on phase.

    Args:
        retina: a name in `retina.RETINAS`, of one part, or settings of `retina.WhatWhere`. width: channels, 1 to 1024.
        standardise: number of features -> the layer that standardises them.
    """

    moves = True
    reach = 0.0  # its places are not evenly spread; a second fixation localises better

    def __init__(
        self,
        retina: str | retinas.WhatWhere = "whatwhere",
        width: int = 96,
        standardise: Callable[[int], nn.Module] = RunningStandardisation,
    ):
        super().__init__()
        self.settings = retinas.settings_of(retina)
        self.margin = (self.settings.field - EDGE) // 2  # places go no further
        within("width", width, 1, 1024, whole=True)
        if len(self.settings.layout) > 1:
            raise ConfigurationError(
                f"retina={retina!r} has {len(self.settings.layout)} parts; this network takes one."
            )
        shape = self.settings.layout[0]
        self.whatwhere = isinstance(self.settings, retinas.WhatWhere)
        orientations, azimuths, rings, phases = shape if self.whatwhere else (shape[0], shape[2], shape[1], 1)
        self.standard = standardise(self.settings.n)
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
        """Return the values (B, n) at the places of images (B, 1, h, h), the retina centred on the gaze."""
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


# ---- what searches share --------------------------------------------------------------------------------------------


def of_each(values: Tensor, which: Tensor) -> Tensor:
    """Return `values[b, which[b]]` (B, ...) for each b, of values (B, n, ...)."""
    return values[torch.arange(len(which), device=which.device), which]


def apart(places: Tensor, gaze: Tensor) -> Tensor:
    """Return the distance (B, n), pixels, of places (B, n, 2) or (n, 2) from gazes (B, 2)."""
    return (places - gaze[:, None]).float().norm(dim=2)


def best_made(scores: Tensor, made: Tensor) -> Tensor:
    """Return which of the first `made` (B,) fixations has the highest of scores (B, s)."""
    open_ = torch.arange(scores.shape[1], device=made.device) < made[:, None]
    return scores.where(open_, float("-inf")).argmax(1)
