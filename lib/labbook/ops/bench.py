"""Speed: stimuli and training steps per second on one core, against the pipeline of 2021 and against the machine.

The pipeline of 2021 is re-enacted one image at a time (`study2021.pipeline`), as its data loader ran it: tensor to PIL
image to array, stimulus, and the tensor again.

The floor is the time that the indispensable operations of one stimulus would take at rates measured in the same run:
its bytes at the speed of a copy in cache, its random numbers, its share of a Fourier transform. For a training step it
is the multiplications of forward and backward pass at the speed of a large matrix product. Where the processor is fast
at it, the networks of the 128x128 field are measured in bfloat16 too.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .. import digits, models, rng
from ..book import store
from ..config import Training
from ..curriculum import Stage
from ..experiments.scaling import operations
from ..runtime import engine
from ..stimuli import EDGE, FIELD, Scene28, Scene128, StimulusConfig, draw
from ..study2021 import pipeline
from .timing import BATCH, clock, stepper


@dataclass(frozen=True)
class Size:
    """What is measured at one size of the image: `scene`; `old`, one stimulus of 2021 from (sample, index), and how
    many of them at once; `trained`, model -> images per step."""

    scene: StimulusConfig
    old: Callable[[np.ndarray, int], np.ndarray]
    count: int
    trained: dict[str, int]


SIZES = (
    Size(
        Scene28(),
        lambda sample, index: pipeline.stimulus28(sample, index, 15)[0],
        50,
        dict.fromkeys(("lenet", "stn28"), BATCH),
    ),
    Size(
        Scene128(),
        lambda sample, index: pipeline.stimulus128(sample, index, 40, (0.3, 0.7))[0],
        5,
        {"polo": BATCH, "atn": 10, "stn128": 10},
    ),
)


def main(rounds: int = 9) -> list[dict]:
    """Measure, print a table per size of the image and return their rows: name, edge (of the image, pixels),
    per_second, ratio (to 2021; None for training), floor (per second) and, for training, stimuli (their share of a
    step).

    Args:
        rounds: how often each is measured, in turn (A B C A B C ...); the median counts.
    """
    threads, state = torch.get_num_threads(), np.random.get_state()  # noqa: NPY002
    torch.set_num_threads(1)
    try:
        rows = [row for size in SIZES for row in _rows(size, rounds)]
    finally:
        torch.set_num_threads(threads)
        np.random.set_state(state)  # noqa: NPY002
    _show(rows)
    return rows


def _rows(size: Size, rounds: int) -> list[dict]:
    sets = digits.load("digits")  # bundled: the speed does not depend on what is drawn
    train, scene = sets.train, size.scene
    stimuli = {
        "2021, image by image": (lambda: _of_2021(train, size), size.count),
        "frozen": (lambda: _draw(train, replace(scene, draws="frozen")), BATCH),
        "fresh, a texture per image": (lambda: _draw(train, scene), BATCH),
        "fresh, from the bank": (lambda: _draw(train, replace(scene, texture="bank")), BATCH),
    }
    arithmetics = ("float32", "bfloat16") if engine.fast_in_bfloat16("cpu") else ("float32",)
    steps = {  # name -> model, arithmetic, images per step
        f"training {model}{'' if each == 'float32' else f', {each}'}": (model, each, batch)
        for model, batch in size.trained.items()
        for each in (arithmetics if scene.edge == FIELD else arithmetics[:1])
    }
    stages, data = (Stage(scene, 1, 0.01),), sets.name
    work = {
        name: (stepper(Training(model, stages, batch=batch, data=data, precision=each), sets), batch)
        for name, (model, each, batch) in steps.items()
    }
    seconds = interleaved({**stimuli, **work, **_primitives(scene.edge, arithmetics)}, rounds)
    pixels = scene.edge**2
    moved = (EDGE**2 + (4 + 4) * pixels) * seconds["byte"]  # digit and texture read, image written
    noise = pixels * seconds["normal"]
    floors = {
        "2021, image by image": moved + 2 * noise + seconds["transform"],  # a phase and an amplitude per coefficient
        "frozen": moved + 2 * noise + seconds["transform"],  # a complex coefficient per pixel
        "fresh, a texture per image": moved + noise + seconds["transform"] / 2,  # two textures per transform
        "fresh, from the bank": moved,
    }
    slow = seconds["2021, image by image"]
    rows = [
        {"name": name, "ratio": slow / seconds[name], "per_second": 1 / seconds[name], "floor": 1 / floors[name]}
        for name in stimuli
    ]
    for name, (model, each, _) in steps.items():
        flops = operations(models.build(model), scene.edge, training=True)
        shares = {"stimuli": seconds["fresh, a texture per image"] / seconds[name]}
        floor = 1 / (flops * seconds[each])
        rows.append({"name": name, "ratio": None, "per_second": 1 / seconds[name], "floor": floor, **shares})
    return [{"edge": scene.edge, **row} for row in rows]


def interleaved(work: dict[str, tuple[Callable[[], object], float]], rounds: int) -> dict[str, float]:
    """Return the median seconds per unit of each piece of work (a function, and how many units it does), in turn.

    A piece runs once before the clock starts (plans, caches), then for at least 40 ms in each round.
    """
    for do, _ in work.values():
        do()
    rates = [{name: clock(do, "cpu", 0.04) * units for name, (do, units) in work.items()} for _ in range(rounds)]
    return {name: 1 / statistics.median(each[name] for each in rates) for name in work}


def _primitives(edge: int, arithmetics: Sequence[str]) -> dict[str, tuple[Callable[[], object], float]]:
    """Return what the floors are made of: one byte copied, one normal number, one transform of edge x edge, and by
    arithmetic one operation of a matrix product."""
    source = torch.zeros(78_400)
    target = torch.empty_like(source)
    spectrum = torch.zeros(BATCH * EDGE // edge, edge, edge, dtype=torch.complex64)
    generator = rng.generator("bench")
    square = torch.rand(1024, 1024, generator=generator)
    squares = {each: square.to(getattr(torch, each)) for each in arithmetics}
    return {
        "byte": (lambda: target.copy_(source), 2 * 4 * source.numel()),  # read and written
        "normal": (lambda: target.normal_(generator=generator), target.numel()),
        "transform": (lambda: torch.fft.ifft2(spectrum), len(spectrum)),
        **{each: (lambda factor=factor: factor @ factor, 2 * 1024**3) for each, factor in squares.items()},
    }


def _of_2021(train: digits.Digits, size: Size) -> Tensor:
    made = []
    for index in range(size.count):
        sample = Image.fromarray(train.images[index].numpy())  # torchvision's MNIST hands out PIL images
        image = torch.from_numpy(size.old(np.array(sample), index))[None].to(torch.float32)
        made.append(image / 255 if size.scene.edge == EDGE else image)  # ToTensor
    return torch.stack(made)


def _draw(train: digits.Digits, scene: StimulusConfig) -> Tensor:
    return draw(train, torch.arange(BATCH), scene, rng.generator("bench")).images


# ---- the table ------------------------------------------------------------------------------------------------------


def _show(rows: list[dict]) -> None:
    machine = store.machine("cpu")
    print(f"Processor time of one thread ({machine['device']}, torch {machine['torch']}), {BATCH} stimuli at once.")
    for edge in dict.fromkeys(row["edge"] for row in rows):
        head = f"{edge}x{edge}"
        print(f"{head:<28}{'per second':>12}{'times 2021':>12}{'floor':>12}{'of floor':>10}{'stimuli':>10}")
        for row in (row for row in rows if row["edge"] == edge):
            ratio = f"{row['ratio']:.1f}" if row["ratio"] else ""
            share = f"{row['stimuli']:.1%}" if "stimuli" in row else ""
            print(
                f"{row['name']:<28}{row['per_second']:>12,.0f}{ratio:>12}{row['floor']:>12,.0f}"
                f"{row['per_second'] / row['floor']:>10.1%}{share:>10}"
            )
    print("floor: per second, if only the indispensable bytes, draws and operations took time, at rates measured here;")
    print("stimuli: the share of a training step that goes into them (fresh, a texture per image).")
