"""Speed: stimuli and training steps per second on one core, against the pipeline of 2021 and against the machine.

The pipeline of 2021 is re-enacted one image at a time (see reenacted.py), as its data loader ran it: tensor to PIL
image to array, stimulus, and the tensor again.

The floor is the time that the indispensable operations of one stimulus would take at rates measured in the same run:
its bytes at the speed of a copy in cache, its random numbers, its share of a Fourier transform. For a training step it
is the multiplications of forward and backward pass at the speed of a large matrix product. Where the processor is fast
at it, the networks of the 128x128 field are measured in bfloat16 too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import benchmark
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from .. import digits, models, rng
from ..book import store
from ..stimuli import EDGE, FIELD, Scene28, Scene128, StimulusConfig, draw
from ..study2021 import pipeline
from ..training import keep_memory

BATCH = 100  # images per draw, that of training


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
    keep_memory()
    try:
        rows = [row for size in SIZES for row in _rows(size, rounds)]
    finally:
        torch.set_num_threads(threads)
        np.random.set_state(state)  # noqa: NPY002
    _show(rows)
    return rows


def _rows(size: Size, rounds: int) -> list[dict]:
    train = digits.load("digits").train  # bundled: the speed does not depend on what is drawn
    scene = size.scene
    stimuli = {
        "2021, image by image": (lambda: _of_2021(train, size), size.count),
        "frozen": (lambda: _draw(train, replace(scene, draws="frozen")), BATCH),
        "fresh, a texture per image": (lambda: _draw(train, scene), BATCH),
        "fresh, from the bank": (lambda: _draw(train, replace(scene, texture="bank")), BATCH),
    }
    arithmetics = ("float32", "bfloat16") if models.fast_in_bfloat16("cpu") else ("float32",)
    steps = {  # name -> model, arithmetic, images per step
        f"training {model}{'' if each == 'float32' else f', {each}'}": (model, each, batch)
        for model, batch in size.trained.items()
        for each in (arithmetics if scene.edge == FIELD else arithmetics[:1])
    }
    work = {name: (_training(model, each, train, scene, batch), batch) for name, (model, each, batch) in steps.items()}
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
        flops = operations(models.build(model), scene.edge)
        shares = {"stimuli": seconds["fresh, a texture per image"] / seconds[name]}
        floor = 1 / (flops * seconds[each])
        rows.append({"name": name, "ratio": None, "per_second": 1 / seconds[name], "floor": floor, **shares})
    return [{"edge": scene.edge, **row} for row in rows]


def interleaved(work: dict[str, tuple[Callable[[], object], float]], rounds: int) -> dict[str, float]:
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


def _training(
    name: str, arithmetic: str, train: digits.Digits, scene: StimulusConfig, batch: int
) -> Callable[[], object]:
    """Return a function that does one training step: fresh stimuli, forward, backward, SGD."""
    model = models.build(name)
    if arithmetic == "bfloat16":
        models.in_bfloat16(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    rows, generator = torch.arange(batch), rng.generator("bench")

    def step() -> None:
        stimuli = draw(train, rows, scene, generator)
        loss = torch.nn.functional.cross_entropy(model(stimuli.images).logits, stimuli.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def operations(model: torch.nn.Module, edge: int) -> float:
    """Return the multiplications and additions of the forward and backward pass of one image (1, edge, edge), by
    PyTorch's counter."""
    images = torch.zeros(2, 1, edge, edge)  # two: batch normalisation refuses one
    with torch.no_grad():
        model(images)  # once: a retina is made, which is not counted
    with FlopCounterMode(display=False) as counter:
        model(images).logits.sum().backward()
    return counter.get_total_flops() / 2


# ---- what a device would be asked for -------------------------------------------------------------------------------

# Operations whose result the host has to know, and those that make a tensor, on the host unless told a device.
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "unique_dim", "_unique2", "lift_fresh"}
FETCHING = {"tolist", "item", "numpy", "cpu", "cuda", "__bool__", "__int__", "__float__", "__index__"}
MAKING = {
    "arange",
    "empty",
    "eye",
    "full",
    "linspace",
    "ones",
    "rand",
    "randint",
    "randn",
    "randperm",
    "tensor",
    "zeros",
}


class Watch:
    """Tells, without a GPU, what the work done inside `with` would ask of one: `sent`, the number of operations, views
    excluded; `waits`, those that would make the host wait for it, or copy between the two.

    A wait is: a number or list read out of a tensor, a selection by a mask or by a Python list, data of the host, a
    tensor made without naming a device, a change of device. What PyTorch does within one operation is not seen.
    """

    def __enter__(self) -> Watch:
        self.sent, self.waits = 0, []
        self._modes = (_Calls(self), _Operations(self))
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)


class _Calls(TorchFunctionMode):
    """Sees what is called in Python."""

    def __init__(self, watch: Watch):
        super().__init__()
        self.watch = watch

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        moved = name == "to" and any(isinstance(each, (str, torch.device)) for each in (*args[1:], *kwargs.values()))
        made = name in MAKING and func is getattr(torch, name, None) and kwargs.get("device") is None
        if name in FETCHING or moved or made:
            self.watch.waits.append(name)
        return func(*args, **kwargs)


class _Operations(TorchDispatchMode):
    """Sees what is sent to the device."""

    def __init__(self, watch: Watch):
        super().__init__()
        self.watch = watch

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masks = name.startswith(("index", "_index")) and any(
            each.dtype in (torch.bool, torch.uint8)
            for indices in args[1:2]
            for each in (indices if isinstance(indices, (list, tuple)) else ())
            if each is not None
        )
        if name in WAITING or masks:
            self.watch.waits.append(name)
        self.watch.sent += not (func.is_view or name == "lift_fresh")
        return func(*args, **(kwargs or {}))


def clock(do: Callable[[], object], device: str, least: float = 0.3) -> float:
    """Return how often per second `do` can be done on a device: by PyTorch's timer, the median of blocks that take
    `least` seconds together, which waits for a GPU at the ends of each block.

    On a CPU with one thread the processor time of this thread counts: other work does not.
    """
    threads = torch.get_num_threads()
    alone = {"timer": time.thread_time} if torch.device(device).type == "cpu" and threads == 1 else {}
    timer = benchmark.Timer("do()", globals={"do": do}, num_threads=threads, **alone)
    return 1 / timer.blocked_autorange(min_run_time=least).median


def wait(device: str) -> None:
    """Wait until a device has done all that it was sent."""
    kind = torch.device(device).type
    if kind != "cpu":
        getattr(torch, kind).synchronize()


def matrix_rate(device: str) -> float:
    """Return the operations per second of a large product of float32 matrices on a device, as PyTorch is set."""
    edge = 1024 if torch.device(device).type == "cpu" else 8192
    square = torch.rand(edge, edge, generator=rng.generator("bench", device=device), device=device)
    product = torch.empty_like(square)
    return 2 * edge**3 * clock(lambda: torch.mm(square, square, out=product), device)


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
