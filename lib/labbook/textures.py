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


def fields(n: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw `n` filtered noises (n, size, size) on the generator's device: textures before they are stretched, mean 0.

    Coefficients are complex Gaussian (the package's: a uniform phase times a Gaussian amplitude), which leaves the
    standard deviation after stretching 0.3 % below the package's at 28x28, and equal within error at 128x128. Real and
    imaginary part of one transform are two textures: uncorrelated, since the envelope is symmetric.
    """
    half = (n + 1) // 2
    parts = torch.randn(half, size, size, 2, generator=generator, device=generator.device)
    z = torch.fft.ifft2(torch.view_as_complex(parts).mul_(envelope(size, device=str(generator.device))))
    return torch.view_as_real(z).movedim(-1, 0).reshape(2 * half, size, size)[:n]


def draw(n: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw `n` textures (n, size, size) on the generator's device.

    >>> textures = draw(3, 28, rng.generator("an example"))
    >>> textures.shape, round(textures.mean().item(), 3)
    (torch.Size([3, 28, 28]), 0.5)
    """
    return rectify(fields(n, size, generator))


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
        device, size = generator.device, self.size
        choice = torch.randint(len(self.padded), (n,), generator=generator, device=device)
        top, left, mirror = torch.randint(size, (3, n), generator=generator, device=device)
        mirrored = mirror % 2 == 1
        if device.type == "cpu" and size > 64:  # copies of whole rows: indexing large squares takes twice the time
            places = zip(choice.tolist(), top.tolist(), left.tolist(), strict=True)
            rolled = torch.stack([self.padded[k, i : i + size, j : j + size] for k, i, j in places])
            rolled[mirrored] = rolled[mirrored].flip(-1)
            return rolled
        rolled = self.padded.unfold(1, size, 1).unfold(2, size, 1)[choice, top, left]
        return torch.where(mirrored[:, None, None], rolled.flip(-1), rolled)


@lru_cache(maxsize=4)
def bank(size: int, device: str = "cpu") -> Bank:
    """Return the one bank of this size on this device: 4 096 small textures, or 512 of 128x128 pixels (133 MB)."""
    return Bank(size, 4096 if size <= 64 else 512, device)
