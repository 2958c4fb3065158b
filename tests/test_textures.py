"""Textures: the package's, for the same draws exactly, for free draws statistically."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labbook import rng
from labbook import textures as clouds
from labbook.study2021 import pipeline

COUNT = {28: 600, 128: 100}  # textures per sample
STD = {28: 0.163, 128: 0.126}  # of the package's textures, mean over textures (study 2.0)


@cache
def package(size: int) -> torch.Tensor:
    """Textures of the MotionClouds package."""
    return torch.from_numpy(np.stack([pipeline.texture(size, 1000 + seed) for seed in range(COUNT[size])]))


@cache
def ours(source: str, size: int) -> torch.Tensor:
    n, generator = COUNT[size], rng.generator("test clouds", source, size)
    if source == "cloud":
        return clouds.draw(n, size, generator)
    if source == "keyed":
        return clouds.keyed(torch.arange(n), size)
    return clouds.Bank(size, 2 * n).draw(n, generator)


def statistics(textures: torch.Tensor) -> torch.Tensor:
    """Standard deviation, quantiles, and radial power spectrum (up to 0.5 cycles per pixel) of each texture."""
    z = textures.double()
    size = z.shape[-1]
    quantiles = torch.quantile(z.flatten(1), torch.linspace(0.02, 0.98, 13, dtype=torch.float64), dim=1).T
    power = torch.fft.fft2(z - 0.5).abs().square().flatten(1) / size**4
    f = torch.fft.fftfreq(size)
    ring = (f[:, None].hypot(f) * 28).round().long().flatten()
    radial = torch.zeros(len(z), 15, dtype=torch.float64).index_add_(1, ring.clamp(max=14), power)
    return torch.cat([z.std((1, 2))[:, None], quantiles, radial[:, 1:14]], 1)


@settings(max_examples=8)
@given(seed=st.integers(0, 2**31 - 1))
@pytest.mark.parametrize("size", [28, 128])
def test_the_same_draws_give_the_package_s_texture(size, seed):
    random = np.random.RandomState(seed)  # as in MotionClouds.random_cloud
    phase = 2 * np.pi * random.rand(size, size)
    coefficients = np.fft.ifftshift(np.exp(1j * phase) * random.randn(size, size))
    mine = clouds.from_draws(torch.from_numpy(coefficients).to(torch.complex64)[None], clouds.envelope(size))[0]
    assert np.abs(mine.numpy() - pipeline.texture(size, seed)).max() < 1e-5


@pytest.mark.parametrize("size", [28, 128])
@pytest.mark.parametrize("source", ["cloud", "keyed", "bank"])
def test_free_draws_agree_with_the_package(source, size):
    """Every statistic's mean over textures, within five standard errors of the difference; sampled once, from fixed
    seeds."""
    mine, theirs = statistics(ours(source, size)), statistics(package(size))
    error = (mine.var(0) / len(mine) + theirs.var(0) / len(theirs)).sqrt()
    deviation = (mine.mean(0) - theirs.mean(0)) / error
    assert deviation.abs().max() < 5, deviation
    assert mine[:, 0].mean() == pytest.approx(STD[size], abs=0.003)


@pytest.mark.parametrize("source", ["cloud", "keyed", "bank"])
def test_textures_are_stretched_to_touch_an_end(source):
    z = ours(source, 28)
    assert z.dtype == torch.float32 and z.shape == (COUNT[28], 28, 28)
    assert z.amin() >= -1e-6 and z.amax() <= 1 + 1e-6
    reach = torch.maximum(z.amax((1, 2)) - 0.5, 0.5 - z.amin((1, 2)))
    assert (reach - 0.5).abs().max() < 1e-6
    assert (z.mean((1, 2)) - 0.5).abs().max() < 1e-6


def test_the_two_textures_of_one_transform_are_uncorrelated():
    """Their cross-correlation vanishes at every lag (784 lags: six standard errors)."""
    n = 2000
    z = clouds.draw(n, 28, rng.generator("pairs")).double() - 0.5
    one, other = torch.fft.fft2(z[: n // 2]), torch.fft.fft2(z[n // 2 :])
    lags = torch.fft.ifft2(one * other.conj()).real  # (n / 2, 28, 28)
    assert (lags.mean(0).abs() / (lags.std(0) / (n / 2) ** 0.5)).max() < 6


def test_an_odd_number_of_textures():
    assert clouds.draw(5, 28, rng.generator(0)).shape == (5, 28, 28)
    assert clouds.draw(1, 28, rng.generator(0)).shape == (1, 28, 28)


@given(st.permutations(range(8)), st.integers(1, 8))
def test_a_keyed_texture_does_not_depend_on_its_batch(order, cut):
    keys = rng.hash_key(torch.arange(8))
    rows = torch.tensor(order)[:cut]
    assert torch.allclose(clouds.keyed(keys, 28)[rows], clouds.keyed(keys[rows], 28), atol=1e-6)


def test_different_keys_give_unrelated_textures():
    z = ours("keyed", 28).flatten(1)
    between = torch.corrcoef(z).fill_diagonal_(0)
    assert between.abs().max() < 0.95 and between.mean().abs() < 0.01


@pytest.mark.parametrize("size", [28, 66])  # on a CPU small and large squares are copied in two ways
def test_bank_textures_are_rolled_or_mirrored_members(size):
    bank = clouds.Bank(size, 6)
    members = bank.padded[:, :size, :size]
    seen = set()
    for texture in bank.draw(120, rng.generator("bank test")):
        found = [
            (member, mirrored)
            for member in range(6)
            for mirrored in (False, True)
            if _is_rolled(texture.flip(1) if mirrored else texture, members[member])
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) == 12  # each member, both ways


def _is_rolled(texture: torch.Tensor, member: torch.Tensor) -> bool:
    row, column = divmod(int(member.argmax()), len(member))
    at = divmod(int(texture.argmax()), len(member))
    return torch.equal(texture, member.roll((at[0] - row, at[1] - column), (0, 1)))


def test_drawing_is_reproducible_and_new_each_time():
    one, two = (rng.generator("again") for _ in range(2))
    first = clouds.draw(4, 28, one)
    assert torch.equal(first, clouds.draw(4, 28, two))
    assert not torch.equal(first, clouds.draw(4, 28, one))
    bank = clouds.Bank(28, 4)
    before = bank.padded.clone()
    bank.draw(3, one).zero_()  # new tensors: the bank stays as it is
    assert torch.equal(before, bank.padded)
