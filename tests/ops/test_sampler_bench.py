"""What samplers let through, and that all of them are timed."""

import pytest

from labbook import sampler
from labbook.errors import ConfigurationError
from labbook.ops import sampler_bench


def test_only_the_filter_removes_what_a_wide_window_cannot_show():
    for frequency in (0.16, 0.23, 0.4):
        bare, separable, filtered = (sampler_bench.left(name, 1.0, frequency) for name in sampler.SAMPLERS)
        assert bare == pytest.approx(separable, abs=1e-3)
        assert filtered < 0.2 and bare > 3 * filtered
    assert all(sampler_bench.left(name, 1.0, 0.02) > 0.85 for name in sampler.SAMPLERS)


def test_a_narrow_window_shows_all_frequencies_alike():
    low, *others = (sampler_bench.left(name, 0.2, 0.3) for name in sampler.SAMPLERS)
    assert low > 0.4 and others == pytest.approx([low, low], abs=1e-3)


def test_every_sampler_is_timed():
    assert {*sampler_bench.seconds(rounds=1, batch=2)} == {*sampler.SAMPLERS}
    with pytest.raises(ConfigurationError, match=r"sampler='gird'.*Did you mean 'grid'"):
        sampler_bench.left("gird", 1.0, 0.1)
