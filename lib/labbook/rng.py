"""All randomness of the library: explicit generators, and draws that are a function of an index.

Convention: a *key* is any tuple of strings and numbers. Equal keys give equal draws, on every machine; nothing
here touches the global random state.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, the increment of SplitMix64, as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def seed_of(*key: str | int | float) -> int:
    """Return a 63-bit seed for a key (BLAKE2b of its repr)."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big") >> 1


def generator(*key: str | int | float, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a new generator on `device`, seeded by a key.

    >>> torch.equal(torch.randn(3, generator=generator("a", 1)), torch.randn(3, generator=generator("a", 1)))
    True
    """
    return torch.Generator(device=device).manual_seed(seed_of(*key))


def _shift_right(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)  # torch shifts int64 arithmetically; the mask makes it logical


def mix(x: Tensor) -> Tensor:
    """SplitMix64's output function, element-wise on int64 (wrapping arithmetic)."""
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def hash_key(*columns: Tensor) -> Tensor:
    """Fold integer columns, each (B,), into one int64 key per row, (B,)."""
    key = torch.zeros_like(columns[0], dtype=torch.int64)
    for column in columns:
        key = mix(key + _GOLDEN + column.to(torch.int64))
    return key


def complex_normal(key: Tensor, n: int) -> Tensor:
    """Return (B, n) standard complex Gaussian draws, E|z|^2 = 2, a pure function of the keys (B,).

    Counter-based (SplitMix64, then Box-Muller), so any subset of rows, in any order and batch, on any device,
    gives the same integers; only the last float operations depend on the device.
    """
    counter = torch.arange(1, n + 1, device=key.device, dtype=torch.int64) * _GOLDEN
    bits = mix(key[:, None] + counter)  # (B, n)
    high = (_shift_right(bits, 40) + 1).to(torch.float32) * 2.0**-24  # (0, 1]
    low = (bits & 0xFFFFFF).to(torch.float32) * 2.0**-24  # [0, 1)
    return torch.polar((-2 * high.log()).sqrt_(), low.mul_(2 * torch.pi))
