"""A pretend GPU, for machines without one: it refuses what a real one refuses.

With this folder on PYTHONPATH every Python process, kernels included, has one card: this one if there is no other.
Tensors on it lie in the main memory and are computed by the CPU, but say that they are on cuda:0; an operation between
the two devices, NumPy on a tensor of the card, or a generator of the other device is an error, as on a real card. What
depends on the card itself does not show: speed, precision, determinism, streams, memory.

    PYTHONPATH=tests/pretend_card papermill notebooks/week1_noisy_stn.ipynb out.ipynb -p profile smoke -p device cuda
"""

from functools import cache

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

CARD = torch.device("cuda", 0)
COPIES = {"copy_", "_to_copy"}  # operations on tensors of both devices
INDEXING = {"index", "index_put_", "_index_put_impl_", "_unsafe_index"}  # the indices may be the CPU's
JOINING = {"cat", "stack"}  # where a number of the CPU does not pass as a constant
READING = {"_local_scalar_dense", "equal", "is_same_size"}  # their results belong to the CPU
ANSWERS = {  # of torch.cuda
    "_lazy_init": None,
    "current_device": 0,
    "device_count": 1,
    "empty_cache": None,
    "get_device_name": "pretend GPU",
    "is_available": True,
    "is_bf16_supported": True,
    "manual_seed_all": None,
    "mem_get_info": (8 << 30, 16 << 30),
    "synchronize": None,
}


class OnCard(torch.Tensor):
    """A tensor of the card, around one of the CPU. PyTorch's own code takes it for one on "meta", which needs no
    driver."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner):
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "layout": inner.layout}
        tensor = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, dtype=inner.dtype, device="meta", dispatch_device=True, **layout
        )
        tensor.inner = inner
        return tensor

    device = property(lambda self: CARD)
    is_cuda = property(lambda self: True)

    def __getitem__(self, index):
        """Index by a list too, which PyTorch would make a tensor on "meta", without values."""
        return super().__getitem__(torch.tensor(index) if isinstance(index, list) else index)

    def __repr__(self):
        return f"OnCard({self.inner})"

    def __format__(self, spec):
        return format(self.inner, spec)

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return run(operation, args, kwargs or {})


class PretendCard(TorchDispatchMode):
    """Sees every operation, those that make tensors too."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return run(operation, args, kwargs or {})


@cache
def facts(operation):
    """Return the name of an operation, and whether it changes its first argument."""
    return operation.overloadpacket.__name__, operation._schema.is_mutable


def run(operation, args, kwargs):
    """Do on the CPU what a real card would do, and refuse the rest."""
    name, in_place = facts(operation)
    if name == "device" and isinstance(args[0], OnCard):
        return torch.device("meta")
    card, host = [], []

    def to_cpu(x):
        """Return the CPU's tensor of one of the card, anything else as it is, and sort what is seen."""
        if isinstance(x, OnCard):
            card.append(x)
            return x.inner
        if isinstance(x, torch.Tensor):
            host.append(x)
        return type(x)(map(to_cpu, x)) if type(x) in (list, tuple) else x

    arguments, options = [to_cpu(x) for x in args], {key: to_cpu(x) for key, x in kwargs.items()}
    if card and host and name not in COPIES:
        refuse_mixed(name, in_place, args, host)
    to_card = bool(card)
    if options.get("device") is not None:
        to_card = options["device"].type in ("cuda", "meta")
        options["device"] = torch.device("cpu")
    result = operation(*arguments, **options)
    if not to_card or name in READING:
        return result
    known = {id(each.inner): each for each in card}  # an operation in place returns what it was given

    def returned(x):
        if isinstance(x, torch.Tensor):
            return known[id(x)] if id(x) in known else OnCard(x)
        return type(x)(map(returned, x)) if type(x) in (list, tuple) else x

    return returned(result)


def refuse_mixed(name, in_place, args, host):
    """Refuse an operation on tensors of the card and of the CPU, unless these are constants or indices."""
    on_host = isinstance(args[0], torch.Tensor) and not isinstance(args[0], OnCard)
    if name in INDEXING and not on_host:
        return
    if name in JOINING or (in_place and on_host) or any(each.dim() for each in host):
        raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got cuda:0 and cpu")


# ---- what does not pass through an operation ------------------------------------------------------------------------


def to_cpu(x):
    """Return the CPU's tensor of one of the card, and anything else as it is."""
    return x.inner if isinstance(x, OnCard) else x


def numbered(call):
    """Name the card by its number, for which PyTorch would ask a driver."""

    def named(x):
        return CARD if isinstance(x, (str, torch.device)) and torch.device(x).type == "cuda" else x

    return lambda *args, **kwargs: call(*map(named, args), **{key: named(value) for key, value in kwargs.items()})


def moved(call):
    """Make a tensor of given data on the CPU, then move it."""

    def make(*args, device=None, **kwargs):
        return call(*args, **kwargs) if device is None else call(*args, **kwargs).to(device)

    return make


def drawn(call):
    """Draw from a generator of the device that the draws are for."""

    def draw(*args, generator=None, device="cpu", **kwargs):
        wanted, found = (torch.device(each).type for each in (device or "cpu", getattr(generator, "device", device)))
        if generator is not None and wanted != found:
            raise RuntimeError(f"Expected a '{wanted}' device type for generator but found '{found}'")
        return call(*args, generator=generator, device=device, **kwargs)

    return draw


def refused(call):
    """Read the memory of a tensor, unless it is on the card."""

    def reading(self, *args, **kwargs):
        if isinstance(self, OnCard):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
        return call(self, *args, **kwargs)

    return reading


class Generator(torch.Generator):
    """A generator that knows on which device it may be used."""

    def __new__(cls, device="cpu"):
        generator = super().__new__(cls, "cpu")
        generator.card = torch.device(device).type == "cuda"
        return generator

    device = property(lambda self: CARD if self.card else torch.device("cpu"))


def inference_mode(mode=True):
    """Switch gradients off: inference tensors cannot be wrapped."""
    return torch.no_grad()(mode) if callable(mode) else torch.no_grad() if mode else torch.enable_grad()


if not torch.cuda.is_available():
    save, load, tolist = torch.save, torch.load, torch.Tensor.tolist
    torch.save = lambda state, *args, **kwargs: save(tree_map(to_cpu, state), *args, **kwargs)
    torch.load = lambda *args, map_location="cpu", **kwargs: tree_map(
        lambda x: x.to(map_location) if isinstance(x, torch.Tensor) else x, load(*args, map_location="cpu", **kwargs)
    )
    torch.Generator, torch.inference_mode = Generator, inference_mode
    torch.accelerator.current_accelerator = lambda *_, **__: None  # a build with CUDA would ask a driver
    torch.tensor, torch.as_tensor = moved(torch.tensor), moved(torch.as_tensor)
    torch.Tensor.to, torch._C._nn._parse_to = numbered(torch.Tensor.to), numbered(torch._C._nn._parse_to)
    torch.Tensor.numpy, torch.Tensor.__array__ = refused(torch.Tensor.numpy), refused(torch.Tensor.__array__)
    torch.Tensor.cuda = lambda self, *args, **kwargs: self.to(CARD)
    torch.Tensor.tolist = lambda self: tolist(to_cpu(self))
    torch.Tensor.new_tensor = lambda self, data, dtype=None, device=None: torch.tensor(
        data, dtype=dtype or self.dtype, device=device or self.device
    )
    for name in ("rand", "randint", "randn", "randperm"):
        setattr(torch, name, drawn(getattr(torch, name)))
    for name, value in ANSWERS.items():
        setattr(torch.cuda, name, lambda *args, value=value, **kwargs: value)
    PretendCard().__enter__()
