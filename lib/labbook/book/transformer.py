"""The primer on spatial transformers: its explorer, its diagram and its figures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import HTML
from matplotlib.figure import Figure
from torch import Tensor, nn

from .. import rng, sampler, stimuli, textures
from ..stimuli import EDGE, FIELD
from . import explorers, tensors
from .figures import BLUE, GREEN, INK, ORANGE, SKY, styled

NOISE = 0.75  # amplitude of the background
GREY = 0.5


@dataclass(frozen=True)
class Scene:
    """A visual field of the primer: a digit (0 to 9), its offset (row, column) in pixels, its contrast, its texture."""

    digit: int
    offset: tuple[int, int]
    contrast: float
    texture: Tensor  # (128, 128), whole numbers 0 to 255

    @property
    def image(self) -> Tensor:
        """The field (1, 1, 128, 128) in [0, 1]."""
        ink = tensors.ten_digits()[self.digit][None]
        ground = self.texture - self.texture.mean()
        return stimuli.compose_field(
            ink, torch.tensor([self.offset]), torch.tensor([self.contrast]), ground[None].clone(), NOISE
        )


def scene(digit: int, offset: tuple[int, int], contrast: float, seed: int = 0) -> Scene:
    """Return a scene whose texture is drawn from a seed."""
    (texture,) = textures.fields(1, FIELD, rng.generator("primer", seed))
    low, high = texture.min(), texture.max()
    return Scene(digit, offset, contrast, ((texture - low) / (high - low) * 255).round())


def theta_of(x: float, y: float, scale: float, angle: float) -> Tensor:
    """Return theta (1, 2, 3) of a window whose middle is (x, y) pixels from the field's, `scale` widths of the field
    wide and turned clockwise by `angle` degrees."""
    c, s = scale * math.cos(math.radians(angle)), scale * math.sin(math.radians(angle))
    return torch.tensor([[[c, -s, 2 * x / FIELD], [s, c, 2 * y / FIELD]]])


@dataclass(frozen=True)
class Look:
    """What follows from a window: crop (28, 28), probabilities (10,), loss in nats, and its gradient (2, 3) with
    respect to theta."""

    crop: Tensor
    probabilities: Tensor
    loss: float
    gradient: Tensor

    @property
    def pull(self) -> Tensor:
        """The negative gradient (2,) with respect to the window's middle (x, y), in nats per pixel."""
        return -self.gradient[:, 2] * 2 / FIELD


def look(classifier: nn.Module, scene: Scene, theta: Tensor, padding: float = GREY) -> Look:
    """Return what a classifier (B, 1, 28, 28) -> logits makes of a scene through a window theta (1, 2, 3)."""
    theta = theta.clone().requires_grad_()
    crop = sampler.sample(scene.image, theta, EDGE, padding)
    logits = classifier(crop).logits
    loss = F.cross_entropy(logits, torch.tensor([scene.digit]))
    (gradient,) = torch.autograd.grad(loss, theta)
    return Look(crop[0, 0].detach(), logits[0].softmax(0).detach(), loss.item(), gradient[0])


def explorer(classifier: nn.Module, scene: Scene, window: dict[str, float], caption: str = "") -> HTML:
    """Return the explorer of a window on a scene.

    Args:
        classifier: a trained `LeNet`. window: where it starts: `theta_of`'s arguments.
    """
    data = {
        "network": tensors.lenet(classifier),
        "digits": tensors.encode(tensors.ten_digits(), "uint8", packed=True),
        "texture": tensors.encode(scene.texture, "uint8", packed=True),
        "noise": NOISE,
        "start": {
            "digit": scene.digit,
            "offset": list(scene.offset),
            "contrast": scene.contrast,
            "window": window,
        },
    }
    on_digit = {"x": scene.offset[1], "y": scene.offset[0], "scale": EDGE / FIELD, "angle": 0}
    beside = {**on_digit, "x": on_digit["x"] + 10, "y": on_digit["y"] + 4}
    windows = {"from afar": window, "10 px beside the digit": beside, "on the digit": on_digit}
    looks = {name: look(classifier, scene, theta_of(**each)) for name, each in windows.items()}
    alt = f"A window of 28 × 28 samples on a noisy field with a {scene.digit}, at three places. " + " ".join(
        f"{name.capitalize()}, the classifier gives the label {100 * each.probabilities[scene.digit]:.0f} %."
        for name, each in looks.items()
    )
    still = _still(scene, {name: theta_of(**each) for name, each in windows.items()}, looks)
    return explorers.made("transformer", data, still, alt, caption, ("tensors.js", "transformer.js"))


@styled
def _still(scene: Scene, thetas: dict[str, Tensor], looks: dict[str, Look]) -> Figure:
    figure, axes = plt.subplots(
        3, len(thetas), figsize=(8.4, 5.6), height_ratios=(3, 1.1, 0.9), width_ratios=[1] * len(thetas)
    )
    base = F.affine_grid(torch.eye(2, 3)[None], [1, 1, EDGE, EDGE], align_corners=False)[0]  # (28, 28, 2)
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    for (name, theta), column in zip(thetas.items(), axes.T, strict=True):
        found = looks[name]
        plane, crop, bars = column
        plane.imshow(scene.image[0, 0].numpy(), vmin=0, vmax=1, extent=(-1, 1, 1, -1), cmap="gray")
        grid = base @ theta[0, :, :2].T + theta[0, :, 2]
        plane.scatter(*grid.flatten(0, 1).T, s=0.4, color="#ffd9a8", linewidths=0)
        outline = square @ theta[0, :, :2].numpy().T + theta[0, :, 2].numpy()
        plane.plot(*outline.T, color="white", lw=3)
        plane.plot(*outline.T, color=ORANGE, lw=1.6)
        pull = found.pull.numpy()
        size = np.hypot(*pull)
        step = pull / max(size, 1e-9) * min(34, 14 * size) * 2 / FIELD
        plane.annotate(
            "",
            theta[0, :, 2].numpy() + step,
            theta[0, :, 2].numpy(),
            arrowprops={"arrowstyle": "->", "color": SKY, "lw": 2, "shrinkA": 0, "shrinkB": 0},
        )
        plane.set_title(name, fontsize=10, loc="center")
        crop.imshow(found.crop.numpy(), vmin=0, vmax=1, cmap="gray")
        colours = [GREEN if k == scene.digit else INK for k in range(10)]
        bars.bar(range(10), found.probabilities.numpy(), color=colours)
        bars.set(xticks=range(10), yticks=(), ylim=(0, 1))
        bars.grid(False)
        for axis in (plane, crop):
            axis.axis("off")
    return figure


__all__ = ["BLUE", "Look", "Scene", "explorer", "look", "scene", "theta_of"]
