"""The primer on spatial transformers: its explorer, its diagram, its measurements and their figures.

Convention
    place       (N, 2), the middle of a window that is turned nowhere, (row, column) in pixels from the field's middle,
                as the offset of a digit; such a window samples each pixel once (28 of 128)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import HTML
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from torch import Tensor, nn

from .. import models, rng, sampler, stimuli, textures
from ..book.checkout import root
from ..book.store import Run, read_evaluation, read_run
from ..classifiers import count
from ..errors import ConfigurationError
from ..evaluation import Proportion
from ..stimuli import EDGE, FIELD
from ..transformers import ATN, Transformer
from . import explorers, tensors
from .figures import AMBER, BLUE, COLUMN, GREEN, INK, ORANGE, SKY, described, styled

NOISE = 0.75  # amplitude of the background
GREY = 0.5
SAMPLES = "#ffd9a8"  # colour of grid points
ARROW = (14, 34)  # pixels of an arrow per nat and pixel, and at most; as in the explorer
STRIDE = 3.0  # pixels of a step downhill, at most; as in the explorer
HALF = 3.75  # inches: width of a figure of which two fit side by side
CORNERS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])


# ---- scenes and windows ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """A visual field: a digit (0 to 9), its offset (row, column) in pixels, its contrast, its texture."""

    digit: int
    offset: tuple[int, int]
    contrast: float
    texture: Tensor  # (128, 128), whole numbers 0 to 255

    @property
    def image(self) -> Tensor:
        """The field (1, 1, 128, 128) in [0, 1]."""
        ink = tensors.ten_digits()[self.digit][None]
        ground = (self.texture - self.texture.mean())[None]
        return stimuli.compose_field(ink, torch.tensor([self.offset]), torch.tensor([self.contrast]), ground, NOISE)


def scene(digit: int, offset: tuple[int, int], contrast: float, seed: int = 0) -> Example:
    """Return a scene whose texture is drawn from a seed."""
    (texture,) = textures.fields(1, FIELD, rng.generator("primer", seed))
    low, high = texture.min(), texture.max()
    return Example(digit, offset, contrast, ((texture - low) / (high - low) * 255).round())


def theta_of(x: float = 0, y: float = 0, scale: float = EDGE / FIELD, angle: float = 0) -> Tensor:
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


def look(classifier: nn.Module, scene: Example, theta: Tensor, padding: float = GREY) -> Look:
    """Return what a classifier (B, 1, 28, 28) -> logits makes of a scene through a window theta (1, 2, 3)."""
    theta = theta.clone().requires_grad_()
    crop = sampler.sample(scene.image, theta, EDGE, padding)
    logits = classifier(crop).logits
    loss = F.cross_entropy(logits, torch.tensor([scene.digit]))
    (gradient,) = torch.autograd.grad(loss, theta)
    return Look(crop[0, 0].detach(), logits[0].softmax(0).detach(), loss.item(), gradient[0])


# ---- the explorer ---------------------------------------------------------------------------------------------------


def explorer(model: ATN, scene: Example, window: dict[str, float], caption: str = "") -> HTML:
    """Return the explorer of a window on a scene.

    Args:
        model: whose networks are run in the page. window: where it starts, arguments of `theta_of`.
    """
    classifier, localisation, pool, relu = model.classifier, model.localisation, nn.MaxPool2d(2), nn.ReLU()
    modules = [each for conv in localisation.convs for each in (conv, pool, relu)]
    modules += [each for dense in localisation.dense for each in (dense, relu)]
    grey = {"kind": "subtract", "value": GREY if model.centre else 0.0}
    data = {
        "classifier": tensors.lenet(classifier),
        "localisation": [grey, *tensors.network([*modules, localisation.last])],
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
    right, down = scene.offset[1], scene.offset[0]
    windows = {
        "far from the digit": theta_of(**window),
        "12 pixels beside it": theta_of(right + 11, down - 5),
        "on it": theta_of(right, down),
    }
    looks = {name: look(classifier, scene, theta) for name, theta in windows.items()}
    alt = f"A window of 28 × 28 samples on a noisy field with a {scene.digit}, at three places. " + " ".join(
        f"{name.capitalize()} the label has a probability of {100 * each.probabilities[scene.digit]:.0f} %."
        for name, each in looks.items()
    )
    return explorers.made(
        "transformer", data, _still(scene, windows, looks), alt, caption, ("tensors.js", "transformer.js")
    )


def _window(axis: plt.Axes, scene: Example, theta: Tensor, samples: bool = True) -> None:
    """Draw a scene in [-1, 1], with a window and its grid."""
    axis.imshow(scene.image[0, 0].numpy(), vmin=0, vmax=1, extent=(-1, 1, 1, -1))
    if samples:
        grid = F.affine_grid(theta, [1, 1, EDGE, EDGE], align_corners=False)
        axis.scatter(*grid.flatten(0, 2).T.numpy(), s=0.5, color=SAMPLES, linewidths=0)
    outline = CORNERS @ theta[0, :, :2].numpy().T + theta[0, :, 2].numpy()
    axis.plot(*outline.T, color="white", lw=3.2)
    axis.plot(*outline.T, color=ORANGE, lw=1.8)
    axis.set(xlim=(-1, 1), ylim=(1, -1))
    axis.axis("off")


@styled
def _still(scene: Example, windows: Mapping[str, Tensor], looks: Mapping[str, Look]) -> Figure:
    figure, axes = plt.subplots(3, len(windows), figsize=(8.4, 5.4), height_ratios=(3, 1.3, 0.9))
    for (name, theta), (plane, crop, bars) in zip(windows.items(), axes.T, strict=True):
        found = looks[name]
        _window(plane, scene, theta)
        size = found.pull.norm().item()
        step = found.pull / max(size, 1e-9) * min(ARROW[1], ARROW[0] * size) * 2 / FIELD
        start = theta[0, :, 2]
        style = {"arrowstyle": "->", "color": SKY, "lw": 2, "shrinkA": 0, "shrinkB": 0}
        plane.annotate("", (start + step).tolist(), start.tolist(), arrowprops=style)
        plane.set_title(name, fontsize=10, loc="center")
        crop.imshow(found.crop.numpy(), vmin=0, vmax=1)
        crop.axis("off")
        colours = [GREEN if k == scene.digit else INK for k in range(10)]
        bars.bar(range(10), found.probabilities.numpy(), color=colours)
        bars.set(xticks=range(10), yticks=(), ylim=(0, 1))
        bars.grid(False)
    return figure


@styled
def windowed(scene: Example, windows: Mapping[str, Tensor]) -> Figure:
    """Show windows on a scene, and below each what is read through it."""
    figure, axes = plt.subplots(2, len(windows), figsize=(HALF, 4.1))
    for (name, theta), (plane, crop) in zip(windows.items(), axes.T, strict=True):
        _window(plane, scene, theta)
        plane.set_title(name, fontsize=10, loc="center")
        crop.imshow(sampler.sample(scene.image, theta, EDGE, GREY)[0, 0].numpy(), vmin=0, vmax=1)
        crop.axis("off")
    return figure


# ---- the architecture -----------------------------------------------------------------------------------------------


class Layer(NamedTuple):
    """A layer's name, and the shape of what it gives, without the batch."""

    name: str
    shape: tuple[int, ...]


def layers(part: nn.Module, image: Tensor) -> list[Layer]:
    """Return the convolutions (their output pooled, as these networks do), standardised features and dense layers of a
    network, in order of use."""
    found, hooks = [], []

    def note(module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            kernel = module.kernel_size[0]
            channels, height, width = output.shape[1:]
            found.append(Layer(f"conv {kernel} × {kernel}", (channels, height // 2, width // 2)))
        else:
            name = "dense" if isinstance(module, nn.Linear) else "log-polar features"
            found.append(Layer(name, tuple(output.shape[1:])))

    for module in part.modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm1d, nn.Linear)):
            hooks.append(module.register_forward_hook(note))
    with torch.inference_mode():
        part(image)
    for hook in hooks:
        hook.remove()
    return found


def architecture(model: Transformer, scene: Example) -> Figure:
    """Draw a transformer and what it does with a scene, see `diagram`."""
    return diagram(model, scene.image)


@styled
def diagram(model: Transformer, image: Tensor) -> Figure:
    """Draw a transformer and what it does with an image (1, 1, h, w): every size is read from the model."""
    with torch.inference_mode():
        found = model(image)
    theta, crop = found.theta, found.crop
    told: list[str] = []  # the layers of both networks
    figure, axis = plt.subplots(figsize=(COLUMN, 4.9))
    axis.set(xlim=(0, 64), ylim=(0, 56), aspect="equal")
    axis.axis("off")
    upper, lower, between = 42.5, 10.2, 28.6  # heights of the two networks, and of theta's way from one to the other

    def arrow(*points: tuple[float, float], colour: str = INK) -> None:
        """Draw a line through points, with a head at the last."""
        *way, last = points
        axis.plot(*zip(*points, strict=True), color=colour, lw=1.5, solid_joinstyle="round")
        style = {"arrowstyle": "-|>", "mutation_scale": 11, "lw": 0, "color": colour, "shrinkA": 0, "shrinkB": 0}
        axis.add_patch(FancyArrowPatch(way[-1], last, **style))

    def stack(part: nn.Module, given: Tensor, x: float, y: float, colour: str, title: str) -> float:
        """Draw a network's layers, the first at `x`; return the middle of the last."""
        shapes = layers(part, given)
        step = (61 - x) / max(1, len(shapes) - 1)
        axis.text(x - 3, y + 12, f"{title}\n{count(part):,} parameters", fontsize=9, va="center", linespacing=1.3)
        for layer in shapes:
            size = layer.shape[1] if len(layer.shape) == 3 else 0
            high = 1.4 * math.sqrt(size) if size else 3 + 1.8 * math.log10(layer.shape[0])
            wide = 0.55 * math.log2(layer.shape[0]) if size else 1.2
            axis.add_patch(Rectangle((x - wide / 2, y - high / 2), wide, high, fc=colour, alpha=0.75, lw=0))
            label = f"{layer.shape[0]} @\n{size} × {size}" if size else f"{layer.shape[0]}"
            axis.text(x, y - 6.2, label, ha="center", va="top", fontsize=7.5)
            axis.text(x, y + 6.1, layer.name.replace(" ", "\n", 1), ha="center", va="bottom", fontsize=7.5)
            x += step
        told.append(", ".join(f"{layer.name} to {' × '.join(map(str, layer.shape))}" for layer in shapes))
        return x - step

    def picture(pixels: Tensor, x: float, y: float, size: float, title: str) -> None:
        box = (x - size / 2, x + size / 2, y - size / 2, y + size / 2)
        axis.imshow(pixels.numpy(), extent=box, vmin=0, vmax=1, zorder=2)
        axis.text(x, box[2] - 0.7, title, ha="center", va="top", fontsize=8)

    picture(image[0, 0], 9.5, upper + 1.5, 19, f"image, {image.shape[-2]} × {image.shape[-1]}")
    outline = CORNERS @ theta[0, :, :2].numpy().T + theta[0, :, 2].numpy()
    axis.plot(9.5 * (1 + outline[:, 0]), upper + 1.5 - 9.5 * outline[:, 1], color=ORANGE, lw=1.8, zorder=3)
    arrow((19.6, upper), (23.4, upper))
    end = stack(model.localisation, image, 26.5, upper, BLUE, "localisation network")
    a, b, x, c, d, y = (f"{each:.2f}".replace("-", "−") for each in theta.flatten().tolist())
    axis.text(45.5, between, f"{a}   {b}   {x}\n{c}   {d}   {y}", fontsize=9, color=ORANGE, ha="center", va="center")
    axis.text(36, between, "θ =", fontsize=12, color=ORANGE, ha="right", va="center")
    arrow((end, upper - 9.2), (end, between), (54.5, between), colour=ORANGE)
    arrow((31, between), (14, between), (14, lower + 5.6), colour=ORANGE)
    arrow((5, upper - 11.2), (5, lower + 5.6))
    axis.add_patch(Rectangle((2, lower - 5), 15, 10, fc=ORANGE, alpha=0.16, lw=0))
    axis.text(9.5, lower, "grid and\nsampler", ha="center", va="center", fontsize=9)
    arrow((17.4, lower), (20.6, lower))
    picture(crop[0, 0], 26.5, lower, 10.5, f"crop, {crop.shape[-2]} × {crop.shape[-1]}")
    arrow((32.2, lower), (35.6, lower))
    stack(model.classifier, crop, 40, lower, GREEN, "classifier")
    sizes = (f"{each.shape[-2]} × {each.shape[-1]}" for each in (image, crop))
    text = "A spatial transformer. An image of {} goes to a localisation network ({}), whose output is theta; grid and "
    text += "sampler give a crop of {} to a classifier ({})."
    return described(figure, text.format(next(sizes), told[0], next(sizes), told[1]))


# ---- what the gradient of a label says ------------------------------------------------------------------------------


class Batch(NamedTuple):
    """Scenes: images (N, 1, 128, 128), labels (N,), offsets (N, 2)."""

    images: Tensor
    labels: Tensor
    offsets: Tensor


def batch(n: int, contrast: float, radius: float, generator: torch.Generator) -> Batch:
    """Draw scenes of the ten digits, each `radius` pixels from the middle of its field."""
    labels = torch.arange(n) % 10
    offsets = stimuli.Scene128(radius=radius).fresh(n, generator)
    ground = textures.fields(n, FIELD, generator)
    images = stimuli.compose_field(tensors.ten_digits()[labels], offsets, torch.full((n,), contrast), ground, NOISE)
    return Batch(images, labels, offsets)


class Slope(NamedTuple):
    """Of windows at N places: the loss (N,) in nats, its gradient (N, 2) in nats per pixel, and the number of digits
    that are classified correctly."""

    loss: Tensor
    gradient: Tensor
    correct: int


def slope(classifier: nn.Module, scenes: Batch, places: Tensor, padding: float = GREY) -> Slope:
    """Return how the loss of windows at places (N, 2) changes with them."""
    places = places.clone().requires_grad_()
    crops = sampler.sample(scenes.images, stimuli.window(places), EDGE, padding)
    logits = classifier(crops).logits
    loss = F.cross_entropy(logits, scenes.labels, reduction="none")
    (gradient,) = torch.autograd.grad(loss.sum(), places)
    return Slope(loss.detach(), gradient, int((logits.argmax(1) == scenes.labels).sum()))


class Afar(NamedTuple):
    """Windows at one distance from the digit: how many gradients point at it (cosine above 0, of those that are not 0),
    and how many windows classify the digit correctly, before and after they followed their gradients."""

    towards: Proportion
    before: Proportion
    after: Proportion


def from_afar(
    classifier: nn.Module, scenes: Batch, distances: Sequence[float], steps: int, generator: torch.Generator
) -> dict[float, Afar]:
    """Return what gradients say by distance: each window follows its own for some steps of at most 3 pixels."""
    found, n = {}, len(scenes.labels)
    for distance in distances:
        angle = torch.rand(n, generator=generator) * (2 * torch.pi)
        places = scenes.offsets + distance * torch.stack((angle.cos(), angle.sin()), 1)
        first = here = slope(classifier, scenes, places)
        points = first.gradient.norm(dim=1) > 1e-6
        cosine = F.cosine_similarity(-first.gradient, scenes.offsets - places, dim=1)[points]
        for _ in range(steps):
            places = places - here.gradient * (STRIDE / here.gradient.norm(dim=1, keepdim=True).clamp_min(STRIDE))
            here = slope(classifier, scenes, places)
        towards = Proportion(int((cosine > 0).sum()), len(cosine))
        found[distance] = Afar(towards, Proportion(first.correct, n), Proportion(here.correct, n))
    return found


class Slopes(NamedTuple):
    """Windows all over a scene: places (N, 2), what `slope` says of them, and the way (N, 2) to the digit."""

    places: Tensor
    found: Slope
    way: Tensor


def sweep(classifier: nn.Module, scene: Example, step: int, reach: int = 48) -> Slopes:
    """Return windows `step` pixels apart, up to `reach` pixels from the middle of a scene in each direction."""
    along = torch.arange(-reach, reach + 1, step).float()
    places = torch.cartesian_prod(along, along)
    offsets = torch.tensor([scene.offset]).expand(len(places), 2)
    labels = torch.full((len(places),), scene.digit)
    batch = Batch(scene.image.expand(len(places), -1, -1, -1), labels, offsets)
    return Slopes(places, slope(classifier, batch, places), offsets - places)


@styled
def downhill(classifier: nn.Module, scene: Example, step: int = 8) -> Figure:
    """Draw where the loss falls, for windows all over a scene, blue where that is towards the digit."""
    places, found, way = sweep(classifier, scene, step)
    size = found.gradient.norm(dim=1, keepdim=True)
    flat = size[:, 0] < 0.01
    moves = -found.gradient / size.clamp_min(1e-9) * (3.5 + 2 * torch.log1p(size)).clamp_max(1.1 * step)
    colours = np.where(F.cosine_similarity(moves, way, dim=1) > 0, SKY, AMBER)[~flat]
    figure, axis = plt.subplots(figsize=(HALF, 3.9))
    half = FIELD / 2
    axis.imshow(scene.image[0, 0].numpy(), vmin=0, vmax=1, extent=(-half, half, half, -half))
    head = {"headlength": 3.4, "headaxislength": 3.1, "headwidth": 3.4, "edgecolor": "black", "linewidth": 0.7}
    at, by = places[~flat].flip(1).T.numpy(), moves[~flat].flip(1).T.numpy()
    axis.quiver(*at, *by, color=colours, angles="xy", scale_units="xy", scale=1, width=0.0095, **head)
    axis.scatter(*places[flat].flip(1).T.numpy(), s=9, color="white", edgecolors="black", linewidths=0.8, zorder=3)
    axis.set_title("downhill: blue towards the digit,\nyellow away; white: no gradient", fontsize=9, loc="center")
    axis.axis("off")
    axis.set(xlim=(-half, half), ylim=(half, -half))
    return figure


@styled
def landscape(classifier: nn.Module, scene: Example, step: int = 3) -> Figure:
    """Draw the loss of windows all over a scene."""
    places, found, _ = sweep(classifier, scene, step)
    edge, half = places.max().item() + step / 2, FIELD / 2
    figure, axis = plt.subplots(figsize=(HALF, 3.9))
    loss = found.loss.view(math.isqrt(len(places)), -1).numpy()
    shown = axis.imshow(loss, extent=(-edge, edge, edge, -edge), cmap="cividis", vmin=0, vmax=6)
    axis.plot(scene.offset[1], scene.offset[0], "x", color="white", ms=8, mew=2.2)
    axis.set_title("loss of a window centred here\n(nats); × the digit", fontsize=9, loc="center")
    figure.colorbar(shown, ax=axis, location="bottom", shrink=0.7, aspect=30, extend="max")
    axis.axis("off")
    axis.set(xlim=(-half, half), ylim=(half, -half))
    return figure


def _curve(axis: plt.Axes, found: Mapping[float, Afar], name: str, colour: str, dash: str | tuple = "-") -> None:
    distances, values = list(found), [getattr(each, name) for each in found.values()]
    low, high = zip(*(each.interval for each in values), strict=True)
    axis.fill_between(distances, 100 * np.array(low), 100 * np.array(high), color=colour, alpha=0.16, lw=0)
    axis.plot(distances, [100 * each.value for each in values], color=colour, ls=dash, marker="o", ms=3.2)
    axis.set(ylim=(0, 103))


@styled
def directions(found: Mapping[float, Afar]) -> Figure:
    """Draw how many gradients point at the digit against the window's distance from it, with 95 % intervals."""
    figure, axis = plt.subplots(figsize=(HALF, 3.0))
    _curve(axis, found, "towards", BLUE)
    axis.axhline(50, color=INK, lw=1, ls=(0, (2, 3)))
    axis.text(1, 0.02, "dotted: a random direction", transform=axis.transAxes, ha="right", va="bottom", fontsize=8)
    axis.set(xlabel="window to digit (px)", ylabel="gradients towards the digit (%)")
    return figure


@styled
def descents(found: Mapping[float, Afar]) -> Figure:
    """Draw how many windows classify the digit before and after they followed their gradients, by distance."""
    figure, axis = plt.subplots(figsize=(HALF, 3.0))
    _curve(axis, found, "after", GREEN)
    _curve(axis, found, "before", INK, (0, (5, 2)))
    place = {"transform": axis.transAxes, "fontsize": 9}
    axis.text(1, 0.94, "after following\nthe gradient", color=GREEN, ha="right", va="top", **place)
    axis.text(0.03, 0.05, "at the start", color=INK, va="bottom", **place)
    axis.set(xlabel="window to digit at the start (px)", ylabel="classified correctly (%)")
    return figure


# ---- what an edge does ----------------------------------------------------------------------------------------------


def at_the_edge(classifier: nn.Module, scenes: Batch, columns: Sequence[float]) -> dict[str, list[float]]:
    """Return the mean size of the gradient, in nats per pixel, for windows so many pixels right of the middle, with
    black and with grey outside the image."""
    found: dict[str, list[float]] = {"black": [], "grey": []}
    for column in columns:
        places = torch.tensor([[0.0, column]]).expand(len(scenes.labels), 2)
        for (_, sizes), padding in zip(found.items(), (0.0, GREY), strict=True):
            sizes.append(slope(classifier, scenes, places, padding).gradient.norm(dim=1).mean().item())
    return found


@styled
def edge(columns: Sequence[float], found: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the size of the gradient against the window's place, by what lies outside the image."""
    figure, axis = plt.subplots(figsize=(COLUMN, 3.0))
    for (name, sizes), colour in zip(found.items(), (ORANGE, BLUE), strict=True):
        axis.plot(columns, sizes, color=colour, marker="o", ms=3.5)
        axis.text(columns[-1] + 0.7, sizes[-1], name, color=colour, va="center", fontsize=9)
    out = FIELD / 2 - EDGE / 2
    axis.axvline(out, color=INK, lw=1, ls=(0, (2, 3)))
    place = {"transform": axis.get_xaxis_transform(), "ha": "right", "va": "top", "fontsize": 8}
    axis.text(out - 0.6, 1, "the window\nleaves the image →", **place)
    axis.set(xlabel="window right of the middle (px)", ylabel="gradient (nats per px)")
    axis.set_ylim(bottom=0)
    axis.set_xlim(right=columns[-1] + 5)
    return figure


# ---- what published trainings say -----------------------------------------------------------------------------------


def published() -> list[Run]:
    """Return every published run."""
    folders = sorted((root() / "book" / "runs").iterdir())
    return [run for run in map(read_run, folders) if run is not None]


def trained(runs: Sequence[Run], model: str) -> Run:
    """Return the first run of a model whose weights are published.

    Raises:
        ConfigurationError: there is none.
    """
    found = next((run for run in runs if run.configuration.model == model and run.weights.exists()), None)
    if found is None:
        raise ConfigurationError(f"No published run of {model!r} has weights.")
    return found


def pairs(runs: Sequence[Run], setting: str) -> list[tuple[Run, Run]]:
    """Return the runs of which two differ in one setting of the training alone, by its value."""
    described = [asdict(run.configuration) for run in runs]
    found = []
    for j, (one, first) in enumerate(zip(runs, described, strict=True)):
        for other, second in zip(runs[:j], described[:j], strict=True):
            if [name for name in first if first[name] != second[name]] == [setting]:
                found.append(tuple(sorted((one, other), key=lambda run: getattr(run.configuration, setting))))
    return found


@styled
def course(runs: Mapping[str, Run], quantity: str, label: str, unit: float = 1) -> Figure:
    """Draw a quantity of `Run.measure`, times `unit`, after every epoch of runs by name."""
    figure, axis = plt.subplots(figsize=(HALF, 3.0))
    for (name, run), colour in zip(runs.items(), (BLUE, ORANGE), strict=False):
        values = [unit * run.measure(quantity, record) for record in run.history]
        axis.plot(range(1, len(values) + 1), values, color=colour)
        above = {"xytext": (0, 6), "textcoords": "offset points", "ha": "right", "fontsize": 9}
        axis.annotate(name, (len(values), values[-1]), color=colour, **above)
    axis.set(xlabel="epoch", ylabel=label)
    axis.margins(y=0.15)
    axis.set_ylim(bottom=0)
    return figure


class Units(NamedTuple):
    """A run, the share of its last hidden localisation units that are active (above 0 for some test stimulus), and the
    standard deviation of its window's middle over inputs, in pixels."""

    run: Run
    active: float
    spread: float


def active_units(runs: Sequence[Run], model: str) -> dict[str, list[Units]]:
    """Return what is published of the active units of a model, by optimiser and learning rate."""
    found: dict[str, list[Units]] = {}
    for run in runs:
        described = run.configuration
        stored = sorted(run.folder.glob("alive-*.json"))
        if described.model == model and stored:
            name = {"sgd": "SGD", "adam": "Adam"}.get(described.optimiser, described.optimiser)
            group = found.setdefault(f"{name}, learning rate {described.stages[-1].lr:g}", [])
            group.append(Units(run, read_evaluation(stored[0])["result"], run.measure("spread")))
    return dict(sorted(found.items()))


@styled
def units(groups: Mapping[str, Sequence[Units]]) -> Figure:
    """Draw how far windows move against the share of active hidden units, see `active_units`."""
    figure, axis = plt.subplots(figsize=(COLUMN, 3.2))
    for (name, points), colour, marker in zip(groups.items(), (ORANGE, AMBER, BLUE), "sDo", strict=False):
        _, share, spread = zip(*points, strict=True)
        axis.plot([100 * each for each in share], spread, marker, color=colour, ms=6.5, mew=0, alpha=0.85, label=name)
    dead = sum(each.active == 0 for points in groups.values() for each in points)
    axis.annotate(f"{dead} runs without an active unit", (2, 0), (8, 5), textcoords="offset points", fontsize=9)
    axis.set_yscale("symlog", linthresh=0.1)
    axis.set(xlabel="active hidden units (%)", ylabel="standard deviation of\nthe window's middle (px)", xlim=(-4, 100))
    axis.set_yticks([0, 0.1, 1, 10], ["0", "0.1", "1", "10"])
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2, fontsize=8.5)
    counts = "; ".join(
        f"{name} {sum(not each.active for each in points)} of {len(points)}" for name, points in groups.items()
    )
    text = "Standard deviation of the window's centre against the share of active hidden units, a mark per run."
    return described(figure, f"{text} Runs without an active unit: {counts}.")


# ---- what the first step does ---------------------------------------------------------------------------------------


class Start(NamedTuple):
    """A transformer before its first step: how large the gradient of the loss is with respect to the weights of each
    layer of its localisation network, and the standard deviation of its window's middle over inputs, in pixels."""

    gradients: dict[str, float]
    spread: float


def start(scenes: Batch, zero_start: bool) -> Start:
    """Return the start of a new attention transformer (`ATN`) on scenes."""
    model = models.build("atn", rng.generator("weights", 0), zero_start=zero_start, centre=True, padding=GREY)
    found = model(scenes.images)
    F.cross_entropy(found.logits, scenes.labels).backward()
    weighted = [layer for layer in model.localisation.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    names = [f"{'convolution' if isinstance(layer, nn.Conv2d) else 'dense'} {k}" for k, layer in enumerate(weighted, 1)]
    sizes = {name: layer.weight.grad.norm().item() for name, layer in zip(names, weighted, strict=True)}
    return Start(sizes, (found.theta[:, :, 2].std(0).square().mean().sqrt() * FIELD / 2).item())
