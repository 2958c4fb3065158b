"""A pretend CUDA graph for the CPU: work recorded once, operation by operation, and done again on the same memory.

What a real graph bakes in is baked in here: every number that came from Python, and which tensors are read and written.
What it cannot do is refused: to read a tensor from Python.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from labbook.runtime import engine

READING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "lift_fresh"}


class Lane(engine.Lane):
    """A lane on the CPU where steps can be captured."""

    capable = True


class Recorded(TorchDispatchMode):
    """Stands for `engine.Captured`. A real capture executes nothing, so all that the work changed is put back."""

    def __init__(self, work, lane, generators):
        super().__init__()
        self.done = []
        run = work.__self__
        kept = [run.loss, run.at, *run.model.state_dict().values()]
        kept += [x for x in tree_leaves(list(run.optimiser.state.values())) if isinstance(x, torch.Tensor)]
        kept += run.averaged.state_dict().values() if run.averaged else []
        before = [x.clone() for x in kept]
        with self:
            self.result = work()
        with torch.no_grad():
            for x, old in zip(kept, before, strict=True):
                x.copy_(old)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in READING:
            raise RuntimeError(f"{name} cannot be captured")
        found = tree_map(still, (args, kwargs or {}))
        out = func(*args, **(kwargs or {}))
        if torch.Tag.inplace_view in func.tags:  # nothing in memory changes
            return out
        given = {x.untyped_storage()._cdata for x in tensors((args, kwargs))}
        if func._schema.is_mutable or not any(x.untyped_storage()._cdata in given for x in tensors(out)):
            self.done.append((func, *found, tree_map(still, out)))  # views stay what they are: the memory is the same
        return out

    @torch.no_grad()
    def __call__(self):
        for func, args, kwargs, out in self.done:
            again = func(*args, **kwargs)
            for old, new in zip(tensors(out), tensors(again), strict=True):
                if old is not new:
                    old.copy_(new)
        return self.result


def still(x):
    """Return a tensor of the same memory whose shape nobody changes."""
    return x.detach() if isinstance(x, torch.Tensor) else x


def tensors(tree):
    return [x for x in tree_leaves(tree) if isinstance(x, torch.Tensor)]
