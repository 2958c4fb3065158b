"""Speed: stimuli and training steps per second on one core, against the pipeline of 2021 and against the machine.

The pipeline of 2021 is re-enacted from the study (2.0, 2.1), one image at a time, as its data loader ran it: tensor to
PIL image to array, NumPy's global generator seeded with the index, shift, contrast, then a MotionClouds texture for
which grids and envelope are computed anew for every image, composition, and the tensor again. The tests hold the
batched code to this same re-enactment.

The floor is the time that the indispensable operations of one stimulus would take at rates measured in the same run:
its bytes at the speed of a copy in cache, its random numbers, its share of a Fourier transform. For a training step it
is the multiplications of forward and backward pass at the speed of a large matrix product.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import MotionClouds
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from . import chance, digits, models, runs, scenes

BATCH = 100  # images per draw, that of training
PIXELS = scenes.EDGE**2


# ---- 2021, re-enacted -----------------------------------------------------------------------------------------------


def texture_of_2021(size: int, seed: int) -> np.ndarray:
    """Return a texture (size, size), float64 in [0, 1], made by the MotionClouds package alone (study 2.0)."""
    grids = MotionClouds.get_grids(size, size, 1)
    envelope = MotionClouds.envelope_gabor(*grids, sf_0=0.1, B_sf=0.1, B_theta=np.inf, V_X=0.0, V_Y=0.0, B_V=0.0)
    return MotionClouds.rectif(MotionClouds.random_cloud(envelope, seed=seed)).reshape(size, size)


def stimulus_of_2021(
    sample: Image.Image | np.ndarray,
    index: int,
    std: float,
    contrast: float | None = None,
    noise: float = 0.75,
    offset_max: int = 25,
    texture_of: Callable[[int, int], np.ndarray] = texture_of_2021,
) -> tuple[np.ndarray, tuple[int, int], float | None]:
    """Make one stimulus as in 2021 (study 2.1). Seeds NumPy's global generator, as the original did.

    Args:
        sample: a digit (28, 28). std: of the shift, pixels. contrast: None draws U(0.3, 0.7). texture_of: size, seed ->
            texture.

    Returns:
        Image uint8 (28, 28); shift (down, right); contrast, None for a blank image without one given.
    """
    np.random.seed(index)  # noqa: NPY002
    down, right = (int(np.clip(np.random.randn() * std, -offset_max, offset_max)) for _ in range(2))  # noqa: NPY002
    image = _translated(np.array(sample), down, right).astype(float)
    if image.min() != image.max():
        if contrast is None:
            contrast = np.random.uniform(0.3, 0.7)  # noqa: NPY002
        image = (image - image.min()) / (image.max() - image.min())
        image = ((image * 2 - 1) * contrast + 1) / 2
    else:
        image = np.zeros_like(image)
    seed = hash(tuple(image.flatten())) % (2**31 - 1)
    ground = (texture_of(len(image), seed) - 0.5) * noise + 0.5
    image[image <= 0.5] = -np.inf
    image = np.clip(np.maximum(image, ground), 0, 1)
    return (image * 255).astype(np.uint8), (down, right), contrast


def _translated(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move an image (n, n) by less than n pixels within its frame; the rest is 0."""
    n = len(image)
    moved = np.zeros_like(image)
    moved[max(0, down) : n + min(0, down), max(0, right) : n + min(0, right)] = image[
        max(0, -down) : n - max(0, down), max(0, -right) : n - max(0, right)
    ]
    return moved


# ---- measurements ---------------------------------------------------------------------------------------------------


def main(rounds: int = 9) -> list[dict]:
    """Measure, print a table and return its rows: name, per_second, ratio (to 2021; None for training), floor
    (per second) and, for training, stimuli (their share of a step).

    Args:
        rounds: how often each is measured, in turn (A B C A B C ...); the median counts.
    """
    threads, state = torch.get_num_threads(), np.random.get_state()  # noqa: NPY002
    torch.set_num_threads(1)
    try:
        rows = _rows(rounds)
    finally:
        torch.set_num_threads(threads)
        np.random.set_state(state)  # noqa: NPY002
    _show(rows)
    return rows


def _rows(rounds: int) -> list[dict]:
    sets = digits.load("digits")  # bundled: the speed does not depend on what is drawn
    train = sets.train
    stimuli = {
        "2021, image by image": (lambda: _of_2021(train), 50),
        "frozen": (lambda: _draw(train, scenes.Scene28(draws="frozen")), BATCH),
        "fresh, a texture per image": (lambda: _draw(train, scenes.Scene28()), BATCH),
        "fresh, from the bank": (lambda: _draw(train, scenes.Scene28(texture="bank")), BATCH),
    }
    steps = {f"training {name}": (_training(name, train), BATCH) for name in ("lenet", "stn28")}
    seconds = _interleaved({**stimuli, **steps, **_primitives()}, rounds)
    moved = (1 + 4 + 4) * PIXELS * seconds["byte"]  # digit and texture read, image written
    noise = PIXELS * seconds["normal"]
    floors = {
        "2021, image by image": moved + 2 * noise + seconds["transform"],  # a phase and an amplitude per coefficient
        "frozen": moved + 2 * noise + seconds["transform"],  # a complex coefficient per pixel
        "fresh, a texture per image": moved + noise + seconds["transform"] / 2,  # two textures per transform
        "fresh, from the bank": moved,
    }
    slow = seconds["2021, image by image"]
    rows = [
        {"name": name, "per_second": 1 / seconds[name], "ratio": slow / seconds[name], "floor": 1 / floors[name]}
        for name in stimuli
    ]
    for name in steps:
        rows.append(
            {
                "name": name,
                "per_second": 1 / seconds[name],
                "ratio": None,
                "floor": 1 / (_operations(name.split()[-1]) * seconds["operation"]),
                "stimuli": seconds["fresh, a texture per image"] / seconds[name],
            }
        )
    return rows


def _interleaved(work: dict[str, tuple[Callable[[], object], float]], rounds: int) -> dict[str, float]:
    """Return the median seconds per unit of each piece of work (a function, and how many units it does), in turn.

    A piece runs once before the clock starts (plans, caches), then for at least 40 ms in each round. The clock counts
    the processor time of this thread, which does all the work, so that other programs disturb it less.
    """
    for do, _ in work.values():
        do()
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, (do, units) in work.items():
            times, began = 0, time.thread_time()
            while (spent := time.thread_time() - began) < 0.04:
                do()
                times += 1
            seconds[name].append(spent / times / units)
    return {name: statistics.median(each) for name, each in seconds.items()}


def _primitives() -> dict[str, tuple[Callable[[], object], float]]:
    """Return what the floors are made of: one byte copied, one normal number, one 28x28 transform, one addition or
    multiplication."""
    source = torch.zeros(BATCH, PIXELS)
    target = torch.empty_like(source)
    spectrum = torch.zeros(BATCH, scenes.EDGE, scenes.EDGE, dtype=torch.complex64)
    generator = chance.generator("bench")
    square = torch.rand(1024, 1024, generator=generator)
    product = torch.empty_like(square)
    return {
        "byte": (lambda: target.copy_(source), 2 * 4 * source.numel()),  # read and written
        "normal": (lambda: target.normal_(generator=generator), target.numel()),
        "transform": (lambda: torch.fft.ifft2(spectrum), BATCH),
        "operation": (lambda: torch.mm(square, square, out=product), 2 * 1024**3),
    }


def _of_2021(train: digits.Digits) -> Tensor:
    made = []
    for index in range(50):
        sample = Image.fromarray(train.images[index].numpy())  # torchvision's MNIST hands out PIL images
        image, _, _ = stimulus_of_2021(sample, index, std=15)
        made.append(torch.from_numpy(image)[None].to(torch.float32).div(255))  # ToTensor
    return torch.stack(made)


def _draw(train: digits.Digits, scene: scenes.Scene28) -> Tensor:
    return scenes.draw(train, torch.arange(BATCH), scene, chance.generator("bench")).images


def _training(name: str, train: digits.Digits) -> Callable[[], object]:
    """Return a function that does one training step: fresh stimuli, forward, backward, SGD."""
    model = models.build(name)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    rows, generator = torch.arange(BATCH), chance.generator("bench")

    def step() -> None:
        stimuli = scenes.draw(train, rows, scenes.Scene28(), generator)
        loss = torch.nn.functional.cross_entropy(model(stimuli.images).logits, stimuli.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def _operations(name: str) -> float:
    """Return the multiplications and additions of one image's forward and backward pass (PyTorch's counter)."""
    model = models.build(name)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 1, scenes.EDGE, scenes.EDGE)).logits.sum().backward()
    return counter.get_total_flops()


def _show(rows: list[dict]) -> None:
    machine = runs.machine("cpu")
    print(f"28x28, {BATCH} at once, processor time of one thread ({machine['device']}, torch {machine['torch']}).")
    print(f"{'':<28}{'per second':>12}{'times 2021':>12}{'floor':>12}{'of floor':>10}{'stimuli':>10}")
    for row in rows:
        ratio = f"{row['ratio']:.1f}" if row["ratio"] else ""
        share = f"{row['stimuli']:.1%}" if "stimuli" in row else ""
        print(
            f"{row['name']:<28}{row['per_second']:>12,.0f}{ratio:>12}{row['floor']:>12,.0f}"
            f"{row['per_second'] / row['floor']:>10.1%}{share:>10}"
        )
    print("floor: per second, if only the indispensable bytes, draws and operations took time, at rates measured here;")
    print("stimuli: the share of a training step that goes into them (fresh, a texture per image).")
