"""Draws: equal keys give equal draws, different keys independent ones; the global state is left alone."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from labbook import rng

keys = st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=20, unique=True)


def test_seeds_depend_on_every_part_of_the_key():
    seeds = [rng.seed_of(*key) for key in [("a", 0), ("a", 1), ("b", 0), ("a", 0, 0), ("a", "0"), ("a", 0.5)]]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert rng.seed_of("a", 0) == seeds[0]


def test_mix_is_splitmix64():
    """The first outputs of the reference implementation (Vigna 2015) for seed 0."""
    made = rng.mix(torch.arange(1, 4) * -7046029254386353131)
    assert [value % 2**64 for value in made.tolist()] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@given(keys)
def test_keyed_draws_do_not_depend_on_the_batch(numbers):
    key = torch.tensor(numbers)
    together = rng.complex_normal(key, 7)
    assert torch.equal(together.flip(0), rng.complex_normal(key.flip(0), 7))
    assert torch.equal(together[1:2], rng.complex_normal(key[1:2], 7))
    assert len({tuple(row) for row in torch.view_as_real(together).flatten(1).tolist()}) == len(numbers)


@given(st.integers(0, 10**6), st.integers(-28, 28), st.integers(-28, 28))
def test_keys_tell_columns_apart(index, down, right):
    one, two, three = (torch.tensor([value]) for value in (index, down, right))
    assert torch.equal(rng.hash_key(one, two, three), rng.hash_key(one, two, three))
    if down != right:
        assert not torch.equal(rng.hash_key(one, two, three), rng.hash_key(one, three, two))
    assert not torch.equal(rng.hash_key(one, two, three), rng.hash_key(one + 1, two, three))


def test_complex_normal_has_the_moments_of_its_law():
    n = 400_000
    z = torch.view_as_real(rng.complex_normal(torch.arange(400), n // 400)).double()
    assert z.isfinite().all()
    parts = z.reshape(-1, 2)
    assert parts.mean(0).abs().max() < 5 / n**0.5
    assert (parts.square().mean(0) - 1).abs().max() < 5 * (2 / n) ** 0.5
    assert (parts.pow(4).mean(0) - 3).abs().max() < 5 * (96 / n) ** 0.5
    assert parts.prod(1).mean().abs() < 5 / n**0.5
    neighbours = (z[:, 1:] * z[:, :-1]).mean((0, 1)), (z[1:] * z[:-1]).mean((0, 1))  # in counter, in key
    assert all(each.abs().max() < 6 / n**0.5 for each in neighbours)


def test_the_global_state_is_left_alone():
    before = torch.get_rng_state()
    torch.randn(3, generator=rng.generator("x", 1))
    rng.complex_normal(torch.arange(3), 4)
    assert torch.equal(before, torch.get_rng_state())
