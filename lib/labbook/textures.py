"""MotionClouds textures: the package's envelope, synthesised in batches on the device.

A texture is filtered noise: random Fourier coefficients times a log-Gabor envelope, the real part of the inverse
transform, stretched so that one extreme touches 0 or 1 (study, section 2.0; Sanz Leon et al. 2012).

Convention: textures are float32 (B, size, size) in [0, 1], mean 0.5, periodic at the borders. Frequencies in
cycles per pixel; spectra in FFT order (zero frequency first).
"""

from __future__ import annotations

from functools import lru_cache

import MotionClouds
import numpy as np
import torch
from torch import Tensor

from . import rng
from .errors import choose

SF_0 = B_SF = 0.1  # preferred spatial frequency and bandwidth of the study, cycles per pixel


@lru_cache(maxsize=16)
def envelope(size: int, sf_0: float = SF_0, b_sf: float = B_SF, device: str = "cpu") -> Tensor:
    """Return MotionClouds' amplitude envelope (size, size) of a static, isotropic texture; zero frequency removed."""
    grids = MotionClouds.get_grids(size, size, 1)
    full = MotionClouds.envelope_gabor(*grids, sf_0=sf_0, B_sf=b_sf, B_theta=np.inf, V_X=0.0, V_Y=0.0, B_V=0.0)
    spectrum = np.fft.ifftshift(full[:, :, 0])
    spectrum[0, 0] = 0.0
    return torch.from_numpy(spectrum).to(device, torch.float32)


def rectify(z: Tensor) -> Tensor:
    """Stretch each field (B, h, w) about its mean to 0.5 +- 0.5, in place (MotionClouds' `rectif`, Michelson)."""
    z -= z.mean((-2, -1), keepdim=True)
    low, high = torch.aminmax(z.flatten(1), dim=1)
    return z.mul_((0.5 / torch.maximum(-low, high))[:, None, None]).add_(0.5)


def from_draws(coefficients: Tensor, spectrum: Tensor) -> Tensor:
    """Return the textures (B, n, n) of given complex coefficients (B, n, n), FFT order; one texture per transform."""
    return rectify(torch.fft.ifft2(coefficients * spectrum).real.contiguous())


def fields(n: int, size: int, generator: torch.Generator, law: str = "normal") -> Tensor:
    """Draw `n` filtered noises (n, size, size) on the generator's device: textures before they are stretched, mean 0.

    Real and imaginary part of one transform are two textures: uncorrelated, since the envelope is symmetric.

    Args:
        law: "normal" (default): complex Gaussian coefficients. Their marginal standard deviation after stretching is
            0.3 % below the package's at 28x28 and equal within error at 128x128; 1.4 times as fast as the other.
            "phase": the package's own law, a uniform phase times a real Gaussian amplitude.
    """
    spectrum = envelope(size, device=str(generator.device))
    half = (n + 1) // 2
    if choose("law", law, ("normal", "phase")) == "normal":
        parts = torch.randn(half, size, size, 2, generator=generator, device=generator.device)
        coefficients = torch.view_as_complex(parts)
    else:
        phase = torch.rand(half, size, size, generator=generator, device=generator.device) * (2 * torch.pi)
        amplitude = torch.randn(half, size, size, generator=generator, device=generator.device)
        coefficients = torch.polar(amplitude.abs(), phase)  # the sign of the amplitude is lost in a uniform phase
    z = torch.fft.ifft2(coefficients.mul_(spectrum))
    return torch.view_as_real(z).movedim(-1, 0).reshape(2 * half, size, size)[:n]


def draw(n: int, size: int, generator: torch.Generator, law: str = "normal") -> Tensor:
    """Draw `n` textures (n, size, size) on the generator's device; `law` as in `fields`."""
    return rectify(fields(n, size, generator, law))


def keyed(keys: Tensor, size: int) -> Tensor:
    """Return one texture per int64 key (B,): the same key gives the same texture, whatever the batch.

    Costs about twice as much as `draw`: the coefficients are hashed, and each transform gives one texture.
    """
    coefficients = rng.complex_normal(keys, size * size).view(-1, size, size)
    return from_draws(coefficients, envelope(size, device=str(keys.device)))


class Bank:
    """A fixed set of textures, of which each draw shows one rolled by a random number of pixels and maybe mirrored.

    Cheaper than `draw`, at the price of `count` distinct amplitude spectra (phases differ by the roll only).

    Args:
        size: edge in pixels. count: number of textures. device: where they stay.
    """

    def __init__(self, size: int, count: int = 4096, device: torch.device | str = "cpu"):
        self.size = size
        textures = draw(count, size, rng.generator("bank", size, count, device=device))
        self.padded = torch.nn.functional.pad(textures[:, None], (0, size - 1, 0, size - 1), mode="circular")[:, 0]

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return `n` textures (n, size, size), new tensors."""
        device = generator.device
        choice = torch.randint(len(self.padded), (n,), generator=generator, device=device)
        top, left, mirror = torch.randint(self.size, (3, n), generator=generator, device=device)
        if device.type == "cpu" and self.size > 64:
            return self._slices(choice, top, left, mirror % 2 == 1)
        return self._gathered(choice, top, left, mirror % 2 == 1)

    def _gathered(self, choice: Tensor, top: Tensor, left: Tensor, mirror: Tensor) -> Tensor:
        axis = torch.arange(self.size, device=choice.device)
        columns = torch.where(mirror[:, None], self.size - 1 - axis, axis) + left[:, None]  # (n, size)
        rows = axis + top[:, None]  # (n, size)
        width = self.padded.shape[-1]
        index = (choice * width * width)[:, None, None] + rows[:, :, None] * width + columns[:, None, :]
        return self.padded.view(-1)[index]

    def _slices(self, choice: Tensor, top: Tensor, left: Tensor, mirror: Tensor) -> Tensor:
        """The same as `_gathered`; forty times as fast for large textures on a CPU."""
        size = self.size
        places = zip(choice.tolist(), top.tolist(), left.tolist(), strict=True)
        textures = torch.stack([self.padded[k, i : i + size, j : j + size] for k, i, j in places])
        textures[mirror] = textures[mirror].flip(-1)
        return textures


@lru_cache(maxsize=4)
def bank(size: int, device: str = "cpu") -> Bank:
    """Return the one bank of this size on this device: 4 096 small textures, or 512 of 128x128 pixels (133 MB)."""
    return Bank(size, 4096 if size <= 64 else 512, device)
