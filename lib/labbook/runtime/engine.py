"""How a device computes a training: precision and determinism, steps captured as CUDA graphs, several runs at once.

A step of a small network is some 250 kernels of a few microseconds each, and a GPU would wait for Python most of the
time. So the first steps of a stage run one operation after another, which also plans transforms and picks kernels;
then one step is captured as a CUDA graph, and each further one is a single launch. A captured step finds all that
changes between steps in tensors that stay in place: digits in the order of the epoch, the number of the step, the
learning rate, the sum of losses. Its random generators are given a seed before each launch, so that what is drawn is
the same function of seed, stage, epoch and step as without a graph.

Deterministic on a GPU: cuDNN picks among deterministic algorithms by rule, not by timing (`arithmetic`). The bilinear
sampler is deterministic in every training here, although PyTorch says that its backward pass is not: only the gradient
of the image is summed by atomic additions, and images need none, so PyTorch does not compute it. What remains: the
searcher tries places that may coincide, and `gather` adds up the gradients of equal places in any order.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..classifiers import TransformerOutput
from .layers import PLAIN, Form, computed_as

# Of products and convolutions; sums and weights are float32 in each. "tf32": on a GPU; "bfloat16": see `in_bfloat16`.
PRECISIONS = ("float32", "tf32", "bfloat16")
WARM = 3  # steps of a stage before one is captured
PIECE = 25  # steps that are sent to a GPU at once; two such pieces may be under way

FOLDED = Form("first", layout="contiguous")
FASTEST: dict[str, Form] = {  # model -> the form that trains it fastest on an H200; the others are plain
    "stn128": FOLDED,  # 14 400 images per second in TF32, plain 11 300
    "atn": FOLDED,
}


@dataclass(frozen=True)
class Engine:
    """What may change the speed of a training and the rounding of its sums, and nothing else: no part of what a run is.

    Args:
        capture: whether steps are captured on a GPU. form: of the convolutions; None takes the model's own on a GPU.
        deterministic: whether a GPU must give equal bits for equal runs. compiled: whether PyTorch compiles the
            networks first, which takes it a minute.
    """

    capture: bool = True
    form: Form | None = None
    deterministic: bool = True
    compiled: bool = False

    def form_of(self, model: str, device: torch.device | str) -> Form:
        """Return the form in which a model's convolutions are computed on a device."""
        if self.form is not None:
            return self.form
        return FASTEST.get(model, PLAIN) if is_gpu(device) else PLAIN


ENGINE = Engine()


def is_gpu(device: torch.device | str) -> bool:
    """Return whether a device is a GPU."""
    return torch.device(device).type == "cuda"


# ---- precision and determinism --------------------------------------------------------------------------------------


@contextmanager
def arithmetic(precision: str = "float32", form: Form = PLAIN, deterministic: bool = True) -> Iterator[None]:
    """Let a GPU multiply float32 numbers as they are, or in TF32 (10 bits of mantissa) if `precision` is "tf32", and
    with equal bits each time if it must be `deterministic`; as before afterwards. A CPU knows neither.

    "bfloat16" is up to the networks (`in_bfloat16`): what else they compute is float32.
    """
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = products.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is made on a GPU
    try:
        _set(precision == "tf32", precision == "tf32", deterministic, not deterministic)
        with computed_as(form):
            yield
    finally:
        _set(*before)


def _set(products_tf32: bool, cudnn_tf32: bool, deterministic: bool, benchmark: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = products_tf32
    torch.backends.cudnn.allow_tf32 = cudnn_tf32
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = benchmark


def in_bfloat16(model: nn.Module) -> None:
    """Let the networks of a model compute in bfloat16, from now on: of a transformer or searcher its localisation (or
    where) network and its classifier, else the whole.

    Weights stay float32, and so do images, windows, the sampler, and what the networks return: a place needs more than
    the 8 bits of a bfloat16. Whether it is faster depends on the device: see `fast_in_bfloat16`.
    """
    for network in _networks(model):
        network.forward = partial(_in_bfloat16, network.forward)


def _networks(model: nn.Module) -> list[nn.Module]:
    parts = ("localisation", "classifier", "where", "what")
    return [part for name, part in model.named_children() if name in parts] or [model]


def compiled(model: nn.Module) -> None:
    """Let PyTorch compile the networks of a model, as `in_bfloat16` names them, when they are first used."""
    for network in _networks(model):
        network.forward = torch.compile(network.forward, dynamic=False)


def fast_in_bfloat16(device: torch.device | str) -> bool:
    """Return whether a device multiplies faster in bfloat16 than in float32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities() if kind == "cpu" else {}
    return able.get("amx_bf16", False) or able.get("avx512_bf16", False)


def _in_bfloat16(
    forward: Callable[..., Tensor | TransformerOutput], image: Tensor, *given: Tensor
) -> Tensor | TransformerOutput:
    with torch.autocast(image.device.type, torch.bfloat16):
        found = forward(image, *given)
    return found.float() if isinstance(found, Tensor) else found._replace(logits=found.logits.float())


# ---- lanes ----------------------------------------------------------------------------------------------------------


class Lane:
    """Where the work of a run is queued: on a CPU it is done at once."""

    capable = False  # whether steps can be captured here

    def work(self):
        """Return a context in which work goes to this lane."""
        return nullcontext()

    def mark(self) -> None:
        """Note that a piece of work has been sent."""

    def ready(self) -> bool:
        """Return whether it is time for another piece."""
        return True

    def wait(self) -> None:
        """Wait until all that was sent is done."""


class Stream(Lane):
    """A stream of a GPU, with two pieces of work under way at most, so that what is asked next is not far off."""

    capable = True

    def __init__(self, device: torch.device | str):
        self.device = torch.device("cuda", torch.device(device).index or 0)
        self.stream = torch.cuda.Stream(self.device)
        self.sent: list[torch.cuda.Event] = []

    def work(self):
        return torch.cuda.stream(self.stream)

    def mark(self) -> None:
        event = torch.cuda.Event()
        event.record(self.stream)
        self.sent.append(event)

    def ready(self) -> bool:
        while self.sent and self.sent[0].query():
            self.sent.pop(0)
        return len(self.sent) < 2

    def wait(self) -> None:
        self.stream.synchronize()
        self.sent.clear()


def settle(device: torch.device | str) -> None:
    """Wait until a GPU has done all that was sent to any of its lanes."""
    if is_gpu(device) and torch.backends.cuda.is_built():
        torch.cuda.synchronize(device)


_shared: dict[str, Stream] = {}  # device -> the lane of all runs that draw from its one global generator


def lane(device: torch.device | str, draws: bool = False) -> Lane:
    """Return a lane on a device.

    Args:
        draws: whether the work draws from the device's global generator (dropout): such runs take turns.

    Raises:
        RuntimeError: a GPU without streams.
    """
    if not is_gpu(device):
        return Lane()
    if not torch.backends.cuda.is_built():
        raise RuntimeError("this PyTorch is built without CUDA")
    if not draws:
        return Stream(device)
    if str(device) not in _shared:
        _shared[str(device)] = Stream(device)
    return _shared[str(device)]


def in_turns(
    begin: Sequence[Callable[[], Any]],
    advance: Callable[[Any], object],
    stopped: tuple[type[Exception], ...],
    at_once: int | None = None,
    done: Callable[[int, object], None] | None = None,
) -> list:
    """Let runs, each in its `lane`, advance in turns; return for each its outcome, or what stopped it.

    Args:
        begin: makes each run. advance: does a piece of its work; returns its outcome after the last, else None.
        stopped: what ends one run and not the others. at_once, done: see `training.train_together`.
    """
    found, waiting, running = [None] * len(begin), list(range(len(begin))), {}

    def attempt(place: int, do: Callable[[], object]) -> None:
        try:
            result = do()
        except stopped as error:
            result = error
        if result is not None:
            found[place] = result
            running.pop(place, None)
            if done:
                done(place, result)

    while waiting or running:
        while waiting and len(running) < (at_once or len(begin)):
            place = waiting.pop(0)
            attempt(place, lambda place=place: running.update({place: begin[place]()}))
        turns = [(place, run) for place, run in running.items() if run.lane.ready()]
        for place, run in turns:
            attempt(place, lambda run=run: advance(run))
        if running and not turns:
            time.sleep(1e-4)
    return found


# ---- captured steps -------------------------------------------------------------------------------------------------


class Captured:
    """Work captured as a CUDA graph: each call does it again, and returns the tensors that it returned, filled anew.

    Args:
        work: sends its operations to the current stream, reads and writes tensors that stay, and waits for nothing.
        lane: where it is captured, and has run before. generators: those that it draws from, the global one aside.
    """

    def __init__(self, work: Callable[[], Tensor | None], lane: Stream, generators: Sequence[torch.Generator]):
        self.graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self.graph.register_generator_state(generator)
        torch.cuda.synchronize(lane.device)
        torch.cuda.empty_cache()
        with torch.cuda.stream(lane.stream):
            self.graph.capture_begin(capture_error_mode="thread_local")
            try:
                self.result = work()
            finally:
                self.graph.capture_end()

    def __call__(self) -> Tensor | None:
        self.graph.replay()
        return self.result


class Loop:
    """Does work again and again: one operation after another at first, then, where the device can, captured.

    Args:
        name: of what the work belongs to, for messages. draws: see `lane`. generators: name -> those
            that the work draws from; after a failed capture they are others.
        say: receives a line if steps cannot be captured, although the engine asks for it.
    """

    def __init__(
        self,
        name: str,
        device: torch.device | str,
        draws: bool,
        generators: dict[str, torch.Generator],
        engine: Engine,
        say: Callable[[str], None] | None,
    ):
        self.name, self.device, self.generators, self.say = name, device, generators, say
        self.lane, self.wanted = Lane(), engine.capture
        self.renew()
        if self.wanted:
            try:
                self.lane = lane(device, draws)
            except (RuntimeError, AttributeError) as error:
                self._give_up(error)

    def renew(self) -> None:
        """Discard what was captured: the work has other inputs from now on."""
        self.captured: Captured | None = None
        self.done = 0  # times, one operation after another

    def __call__(self, work: Callable[[], Tensor | None], used: Sequence[str]) -> Tensor | None:
        """Do the work (see `Captured`) once; `used`: names of the generators that it draws from."""
        if self.captured:
            return self.captured()
        result = work()
        self.done += 1
        if self.done == 1:
            self.lane.wait()  # tables were made, which other lanes will read too
        if self.wanted and self.lane.capable and self.done == WARM:
            try:
                self.captured = Captured(work, self.lane, [self.generators[name] for name in used])
            except Exception as error:  # whatever PyTorch or the driver says
                recover(self.device)
                self.generators.update({name: torch.Generator(self.device) for name in self.generators})
                self._give_up(error)
        return result

    def _give_up(self, error: Exception) -> None:
        """Go on without captured steps, and say why."""
        self.captured, self.wanted = None, False
        if self.say:
            reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
            self.say(f"Steps of {self.name} are not captured ({reason}): they run one by one.")


def recover(device: torch.device | str) -> None:
    """Bring a GPU back into order after a capture has failed: the global generator may still wait for its end."""
    with suppress(Exception):
        torch.cuda.synchronize(device)
    with suppress(Exception):
        default = torch.cuda.default_generators[torch.device(device).index or 0]
        default.graphsafe_set_state(torch.Generator(device).graphsafe_get_state())


# ---- optimisers -----------------------------------------------------------------------------------------------------

HOW = ("lr", "fused", "foreach", "capturable")  # what a group of an optimiser says of how it computes


def static(name: str) -> dict[str, object]:
    """Return the options by which an optimiser updates all weights in one kernel, and waits for nothing."""
    return {"fused": True} | ({} if name == "sgd" else {"capturable": True})


def align(parameters: Sequence[Tensor]) -> None:
    """Give each gradient the strides of its parameter, which such an optimiser asks for.

    They may differ in dimensions of length 1, where they mean nothing.
    """
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is None or gradient.stride() == parameter.stride():
            continue
        lengths = zip(parameter.shape, parameter.stride(), gradient.stride(), strict=True)
        if all(length == 1 or one == other for length, one, other in lengths):
            parameter.grad = gradient.as_strided(parameter.shape, parameter.stride())
        else:
            parameter.grad = torch.empty_like(parameter).copy_(gradient)


def seed_global(device: torch.device | str, seed: int) -> None:
    """Seed the generator that dropout on a device draws from."""
    if is_gpu(device) and torch.cuda.is_initialized():
        torch.cuda.default_generators[torch.device(device).index or 0].manual_seed(seed)
    else:
        torch.manual_seed(seed)


def draws(model: nn.Module) -> bool:
    """Return whether a model in training mode draws from the global generator."""
    for part in model.modules():
        rate = part.p if isinstance(part, nn.Dropout) else getattr(part, "dropout", 0)
        if getattr(part, "draws", False) or (isinstance(rate, float | int) and rate > 0):
            return True
    return False
