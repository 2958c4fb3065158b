"""All networks by name, and how one is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from . import rng
from .classifiers import Downsampled, LeNet, TransformerOutput, TutorialNet, initialise
from .errors import choose
from .search.evidence import EvidenceMap
from .search.foveal import FovealEvidence
from .search.searcher import Searcher
from .transformers import ATN, STN28, STN128, ConvLogPolarSTN, DistilledATN, LogPolarSTN, OneWindow
from .where import WhereNet

MODELS = {
    "lenet": LeNet,
    "tutorial": TutorialNet,
    "downsampled": Downsampled,
    "stn28": STN28,
    "stn128": STN128,
    "atn": ATN,
    "taught_atn": DistilledATN,
    "one_window": OneWindow,
    "polo": LogPolarSTN,
    "conv_polo": ConvLogPolarSTN,
    "where": WhereNet,
    "searcher": Searcher,
    "evidence": EvidenceMap,
    "foveal": FovealEvidence,
}


def defaults(name: str) -> dict[str, object]:
    """Return the options of a model and their defaults, those of its base classes included."""
    kind = MODELS[choose("model", name, MODELS)]
    ours = kind.__mro__[: kind.__mro__.index(nn.Module)]
    named = (p for each in reversed(ours) for p in inspect.signature(each.__init__).parameters.values())
    return {p.name: p.default for p in named if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty}


def build(name: str, generator: torch.Generator | None = None, **options) -> nn.Module:
    """Return a model by name, its weights drawn from `generator` (a fixed one if None), on the CPU.

    Raises:
        ConfigurationError: an unknown name, option or option value.

    >>> build("stn28", theta="attention")(torch.zeros(5, 1, 28, 28)).theta.shape
    torch.Size([5, 2, 3])
    """
    known = defaults(name)
    for option in options:
        choose(f"option of {name}", option, known)
    with torch.random.fork_rng(devices=[]):  # PyTorch's layers draw weights of their own first
        model = MODELS[name](**options)
    initialise(model, generator or rng.generator("weights", 0), getattr(model, "kaiming", False))
    if hasattr(model, "reset_parameters"):
        model.reset_parameters()
    return model.to(memory_format=torch.channels_last)  # 1.6 times as fast on a CPU


# ---- arithmetic -----------------------------------------------------------------------------------------------------


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
