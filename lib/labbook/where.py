"""The Where pathway: from log-polar features to the accuracy that the What pathway would have at each place.

A network receives the whole field through the retina of the What/Where model and predicts, for each of 240 collicular
cells, the accuracy of the What pathway if the eye moved there (study 1.6 and 2.5; Dauce, Albiges, Perrinet 2020). The
best cell is the next fixation. Its target is made from the digit's position, without its label.

Convention
    cell        a place of the colliculus, a log-polar map of the field: there is one for each azimuth and ring of the
                retina, and its receptive field is where the filters of that azimuth and ring have their energy
    offsets     int64 (B, 2), pixels from the centre of the field, (row, column)
    profile     accuracy of the What pathway against the digit's distance from the centre of its crop, 0, 1, ... pixels
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import retina as retinas
from .errors import ConfigurationError, within
from .stimuli import FIELD, MARGIN, Stimuli, crops, cut, fixations, window

REACH = 27  # of an accuracy map, pixels; beyond it the accuracy is FLOOR
FLOOR = 0.1
# fmt: off
WHAT_2020 = (  # profile of the What pathway that was published with the model of 2020
    0.845, 0.834, 0.822, 0.804, 0.78, 0.753, 0.721, 0.689, 0.656, 0.613, 0.569, 0.525, 0.483, 0.439, 0.394, 0.351,
    0.306, 0.262, 0.226, 0.2, 0.176, 0.158, 0.143, 0.133, 0.124, 0.12, 0.115, 0.114,
)
# fmt: on
HIT = 7.0  # pixels: a saccade that ends this close to the digit leaves the What pathway on its plateau (study 8)

# ---- colliculus -----------------------------------------------------------------------------------------------------


class Colliculus:
    """Receptive fields of the cells of a WhatWhere retina, and how they read out an accuracy map (study 2.5).

    `maps` (azimuths x rings, field^2): each row the energy of the cell's filters, a probability over the pixels.
    """

    def __init__(self, settings: retinas.WhatWhere, device: str = "cpu"):
        self.settings = settings
        rings = [retinas.whatwhere_filters(settings, i).square().sum((0, 2)) for i in range(settings.rings)]
        maps = torch.stack(rings, 1).flatten(2).flatten(0, 1)  # (azimuths x rings, field^2)
        self.maps = (maps / maps.sum(1, keepdim=True)).to(device, torch.float32)
        peak = maps.argmax(1)
        peak = torch.stack((peak // settings.field, peak % settings.field), 1) - settings.field // 2  # (n, 2)
        self.peaks = peak.clamp(-MARGIN, MARGIN).to(device)

    def __call__(self, fields: Tensor) -> Tensor:
        """Average fields (B, field, field) over each cell's map: (B, n)."""
        return fields.flatten(1) @ self.maps.T

    def target(self, accuracy: Tensor, offsets: Tensor, floor: float = 0.1) -> Tensor:
        """Return the accuracy (B, n), in (0, 1), to expect after a saccade to each cell.

        Args:
            accuracy: (k, k) of the What pathway against the digit's shift, no shift in the middle. 2021: 55 x 55.
            offsets: (B, 2) of the digit from the centre, pixels. floor: accuracy wherever the map does not reach.
        """
        return self(accuracy_field(accuracy, offsets, self.settings.field, floor))

    def offset(self, scores: Tensor) -> Tensor:
        """Return the next saccade, int64 (B, 2), pixels from the centre: to the peak of the best cell of (B, n)."""
        return self.peaks[scores.argmax(1)]


def accuracy_field(accuracy: Tensor, offsets: Tensor, size: int = FIELD, floor: float = 0.1) -> Tensor:
    """Lay an accuracy map (k, k) into fields (B, size, size) of `floor`, its middle k // 2 at size // 2 + offset."""
    k = len(accuracy)
    before = size - k // 2  # the padded map's middle is at `size`, of 2 size
    padded = F.pad(accuracy.to(torch.float32) - floor, (before, 2 * size - before - k) * 2)  # (2 size, 2 size)
    start = size // 2 - offsets.clamp(-size // 2, size // 2)  # (B, 2)
    return cut(padded.expand(len(offsets), -1, -1), start, size) + floor


@lru_cache(maxsize=4)
def colliculus(settings: retinas.WhatWhere | None = None, device: str = "cpu") -> Colliculus:
    """Return the one colliculus of these settings (None: the study's) on this device."""
    return Colliculus(settings or retinas.RETINAS["whatwhere"], device)


# ---- what to expect of a saccade ------------------------------------------------------------------------------------


def rings(accuracy: Tensor) -> tuple[list[int], list[float]]:
    """Return the rings of one pixel, by their radius of up to 27 pixels, in which an accuracy map (k, k) over -27 to 27
    pixels has values, and the mean of each."""
    axis = torch.linspace(-REACH, REACH, len(accuracy), dtype=torch.float64)
    ring = axis[:, None].hypot(axis).round().long().flatten()
    seen = [r for r in range(REACH + 1) if bool((ring == r).any())]
    return seen, [accuracy.flatten()[ring == r].double().mean().item() for r in seen]


def profile(accuracy: Tensor) -> tuple[float, ...]:
    """Return the means of an accuracy map (k, k) over its `rings`, 28 numbers to three decimals; a coarse map's missing
    rings are interpolated."""
    seen, means = rings(accuracy)
    return tuple(round(float(value), 3) for value in np.interp(range(REACH + 1), seen, means))


def round_map(profile: Sequence[float]) -> Tensor:
    """Return the accuracy map (55, 55) of a profile, at least `FLOOR` everywhere; between rings, linear."""
    values = torch.tensor(tuple(profile), dtype=torch.float32).clamp_min(FLOOR)
    axis = torch.arange(-REACH, REACH + 1, dtype=torch.float32)
    distance = axis[:, None].hypot(axis).clamp(max=len(values) - 1)
    below = distance.floor().long().clamp(max=len(values) - 2)
    return torch.lerp(values[below], values[below + 1], distance - below)


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def expected(settings: retinas.WhatWhere, profile: tuple[float, ...], device: str = "cpu") -> Tensor:
    """Return the collicular targets of all offsets at once, (101, 101, cells): what `Colliculus.target` gives for the
    map of this profile and the offset (row - 50, column - 50)."""
    size = 2 * FIELD  # room for a map that reaches beyond the field
    bump = F.pad(round_map(profile).to(device) - FLOOR, (0, size - 2 * REACH - 1) * 2)  # its middle at (27, 27)
    spectrum = torch.fft.rfft2(bump).conj()
    first = FIELD // 2 - REACH - MARGIN  # pixel of the bump's corner at the offset -50: negative, hence from the end
    places = torch.arange(first, first + 2 * MARGIN + 1, device=device) % size
    maps = colliculus(settings, device).maps.view(-1, FIELD, FIELD)  # each sums to 1
    table = [
        torch.fft.irfft2(torch.fft.rfft2(part, s=(size, size)) * spectrum)[:, places][:, :, places]
        for part in maps.split(24)
    ]  # correlation of each cell's map with the bump
    return (torch.cat(table).permute(1, 2, 0) + FLOOR).clamp(0, 1).contiguous()


# ---- the network ----------------------------------------------------------------------------------------------------


class WhereOutput(NamedTuple):
    """What a Where network returns: logits (B, cells) of the predicted accuracy at each cell; theta (B, 2, 3), the
    window at the best one; crop (B, 1, 28, 28), what it shows; expected (101, 101, cells), the targets of all offsets:
    the accuracy at each cell if the digit were at (row, column) + 50."""

    logits: Tensor
    theta: Tensor
    crop: Tensor
    expected: Tensor


class WhereNet(nn.Module):
    """The Where network: three dense layers on the features of the retina, 2 880-1 000-1 000-240; 4 122 240 parameters,
    4 000 more with batch normalisation (study 1.6).

    Args:
        accuracy: profile of the What pathway that it serves; () takes the map published with the model of 2020.
        retina: a name in `retina.RETINAS`, or settings.
        hidden: units of the two hidden layers.
        batch_norm: whether each hidden layer is followed by batch normalisation (momentum 0.5, as in parameter set A).
        dropout: share of the last hidden units that training leaves out. 2020 left them out in the test too, by
            mistake; here they are all there.
        standard: whether each feature is standardised over the batch while training, and with running statistics
            afterwards. 2020: raw features, of which the outermost ring is by far the largest.

    Raises:
        ConfigurationError: an accuracy outside [0, 1], a profile of one number, a retina without a colliculus,
            impossible sizes.
    """

    def __init__(
        self,
        accuracy: Sequence[float] = (),
        retina: str | retinas.WhatWhere = "whatwhere",
        hidden: Sequence[int] = (1000, 1000),
        batch_norm: bool = False,
        dropout: float = 0.0,
        standard: bool = False,
    ):
        super().__init__()
        retina = retinas.settings_of(retina)
        if not isinstance(retina, retinas.WhatWhere) or retina.field != FIELD:
            raise ConfigurationError(f"retina={retina!r} has no colliculus over the field; 'whatwhere' has.")
        for value in accuracy:
            within("accuracy", value, 0, 1)
        if len(accuracy) == 1:
            raise ConfigurationError(
                f"accuracy={accuracy!r} must hold a value for distances 0, 1, ... pixels: two at least."
            )
        if len(hidden) != 2:
            raise ConfigurationError(f"hidden={hidden!r} must hold the sizes of two layers.")
        first, second = (within("hidden", units, 1, 100_000, "units", whole=True) for units in hidden)
        self.settings = retina
        self.accuracy = tuple(accuracy) or WHAT_2020
        self.standard = nn.BatchNorm1d(retina.n, affine=False, momentum=0.01) if standard else nn.Identity()
        self.dense1 = nn.Linear(retina.n, first)
        self.dense2 = nn.Linear(first, second)
        self.last = nn.Linear(second, retina.azimuths * retina.rings)
        self.norm1, self.norm2 = (
            nn.BatchNorm1d(units, momentum=0.5) if batch_norm else nn.Identity() for units in (first, second)
        )
        self.dropout = nn.Dropout(within("dropout", dropout, 0, 0.99))

    def scores(self, image: Tensor) -> Tensor:
        """Return the logits (B, cells) of the accuracy to expect at each cell, for images (B, 1, 128, 128)."""
        x = self.standard(retinas.build(self.settings, image.device)(image))  # (B, 2880)
        x = self.norm1(F.relu(self.dense1(x)))  # (B, 1000)
        x = self.dropout(self.norm2(F.relu(self.dense2(x))))  # (B, 1000)
        return self.last(x)  # (B, 240)

    def forward(self, image: Tensor) -> WhereOutput:
        logits = self.scores(image)
        offsets = colliculus(self.settings, str(image.device)).offset(logits)  # (B, 2)
        table = expected(self.settings, self.accuracy, str(image.device))
        return WhereOutput(logits, window(offsets), crops(image, offsets), table)

    @staticmethod
    def correct(output: WhereOutput, stimuli: Stimuli) -> Tensor:
        """Return whether each saccade hits (B,): whether the window's centre is within 7 pixels of the digit's."""
        return (fixations(output.theta, FIELD) - stimuli.offsets).norm(dim=1) <= HIT


def collicular(output: WhereOutput, stimuli: Stimuli) -> Tensor:
    """Return the binary cross-entropy between predicted and expected accuracy, mean over cells (study 2.5)."""
    row, column = (stimuli.offsets + MARGIN).unbind(1)
    return F.binary_cross_entropy_with_logits(output.logits, output.expected[row, column])
