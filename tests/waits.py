"""What work would ask of a GPU, told without one: how much is sent to it, and what waits for it."""

from __future__ import annotations

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

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
