"""Stimuli: those of 2021 where they are frozen, the same law where they are fresh."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labbook import rng, stimuli
from labbook import textures as clouds
from labbook.digits import Digits
from labbook.errors import ConfigurationError
from labbook.stimuli import Scene28
from labbook.study2021 import pipeline

FROZEN = Scene28(draws="frozen")
BLANK = 127 / 255  # grey 0.5 in 8 bits, downwards


def rows(n: int) -> torch.Tensor:
    return torch.arange(n)


def no_texture(size: int, seed: int) -> np.ndarray:
    return np.full((size, size), 0.5)


# ---- frozen: 2021 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", [FROZEN, replace(FROZEN, std=5.0, noise=1.0), replace(FROZEN, contrast=(0.5, 0.5))])
def test_frozen_stimuli_are_those_of_2021(sets, scene):
    """Offset, contrast and image of every index, given the same texture: one grey level at most, in few pixels.

    2021 computed in float64; where a value lies within rounding of a grey level, float32 may fall below it.
    """
    mine = stimuli.draw(sets.train, rows(150), scene)
    grey = (mine.images[:, 0] * 255).round()
    keys = rng.hash_key(rows(150), *mine.offsets.T)
    shifted = stimuli.shift(sets.train.images[:150], mine.offsets)
    textures = clouds.keyed(torch.where(shifted.flatten(1).amax(1) > 0, keys, 0), 28).double().numpy()
    fixed = scene.contrast[0] if scene.contrast[0] == scene.contrast[1] else None
    differing = 0
    for index in range(150):
        image, offsets, contrast = pipeline.stimulus28(
            sets.train.images[index].numpy(),
            index,
            scene.std,
            fixed,
            scene.noise,
            texture_of=lambda size, seed, index=index: textures[index],
        )
        assert tuple(mine.offsets[index].tolist()) == offsets
        if shifted[index].any():
            assert mine.contrast[index].item() == pytest.approx(contrast, abs=1e-6)
        difference = (grey[index] - torch.from_numpy(image)).abs()
        assert difference.max() <= 1
        differing += int(difference.sum())
    assert differing / (150 * 784) < 0.005


def test_contrast_given_with_the_shift_is_the_first_draw_of_2021(sets):
    """In the accuracy maps of 2021 nothing was drawn before the contrast."""
    mine = stimuli.draw(sets.train, rows(20), FROZEN, offsets=torch.zeros(20, 2, dtype=torch.int64))
    theirs = [0.3 + 0.4 * np.random.RandomState(index).random_sample() for index in range(20)]
    assert mine.contrast.tolist() == pytest.approx(theirs, abs=1e-6)


def test_blank_fraction_at_std_15_on_mnist(mnist):
    """Study 2.1: 24.6 % of the test stimuli of 2021 show no digit; 5.1 % at std 10."""
    for std, expected in ((15, 0.246), (10, 0.051)):
        scene = replace(FROZEN, std=std, noise=0)
        parts = [stimuli.draw(mnist.test, part, scene).images for part in rows(len(mnist.test)).split(1000)]
        blank = (torch.cat(parts).flatten(1).amax(1) - BLANK).abs() < 1e-4
        assert blank.double().mean().item() == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("draws", ["fresh", "frozen"])
def test_blank_fraction_is_that_of_the_law(sets, draws):
    """The share of images without a digit, against the probability of the shifts that lose all ink."""
    n, std = 1200, 15.0
    axis = torch.arange(-25, 26)
    low = torch.where(axis > 0, axis, axis - 1).double()  # int() truncates: k stands for [k, k + 1), 0 for (-1, 1)
    high = torch.where(axis < 0, axis, axis + 1).double()
    low[0], high[-1] = -torch.inf, torch.inf  # clipped
    mass = torch.special.ndtr(high / std) - torch.special.ndtr(low / std)
    assert mass.sum().item() == pytest.approx(1, abs=1e-9)
    ink = (sets.train.images[:n] > 0).double()
    expected = 0.0
    for i, down in enumerate(axis.tolist()):
        kept = ink[:, max(0, -down) : 28 - max(0, down)].amax(1)  # (n, 28), columns that still show ink
        for j, right in enumerate(axis.tolist()):
            gone = kept[:, max(0, -right) : 28 - max(0, right)].amax(1) == 0
            expected += (mass[i] * mass[j] * gone.double().mean()).item()
    scene = Scene28(std=std, noise=0, draws=draws)
    images = stimuli.draw(sets.train, rows(n), scene, rng.generator("blank")).images
    blank = (images.flatten(1).amax(1) - BLANK).abs() < 1e-4
    assert blank.double().mean().item() == pytest.approx(expected, abs=4 * (expected * (1 - expected) / n) ** 0.5)


def test_blank_frozen_images_are_one_image(sets):
    mine = stimuli.draw(sets.train, rows(400), FROZEN)
    blank = stimuli.shift(sets.train.images[:400], mine.offsets).flatten(1).amax(1) == 0
    assert blank.sum() > 50
    assert len(mine.images[blank].unique(dim=0)) == 1
    assert len(mine.images[~blank].unique(dim=0)) == (~blank).sum()


@given(st.permutations(range(30)), st.integers(1, 30))
def test_frozen_is_frozen(sets, order, cut):
    """Whatever the batch, its order, and the generator."""
    some = torch.tensor(order)[:cut]
    whole = stimuli.draw(sets.train, rows(30), FROZEN)
    part = stimuli.draw(sets.train, some, FROZEN, rng.generator(cut))
    assert ((whole.images[some] - part.images).abs() * 255).round().max() <= 1
    assert ((whole.images[some] - part.images).abs() > 1e-6).double().mean() < 1e-3
    assert torch.equal(whole.offsets[some], part.offsets) and torch.equal(whole.contrast[some], part.contrast)


def test_a_slice_keeps_its_frozen_stimuli(sets):
    whole = stimuli.draw(sets.train, torch.arange(100, 140), FROZEN)
    part = stimuli.draw(sets.train[100:140], rows(40), FROZEN)
    deeper = stimuli.draw(sets.train[50:500][50:90], rows(40), FROZEN)
    for each in (part, deeper):
        assert all(torch.equal(a, b) for a, b in zip(whole, each, strict=True))


def test_frozen_directions_stay_while_the_std_grows(sets):
    """Study, oddity 1: a wider stage shows the same directions, further out."""
    near, far = (stimuli.draw(sets.train, rows(200), replace(FROZEN, std=std)).offsets for std in (4.0, 8.0))
    assert (near * far >= 0).all() and (far.abs() >= near.abs()).all()


# ---- fresh -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("texture", ["cloud", "bank"])
def test_fresh_is_fresh_and_reproducible(sets, texture):
    scene = Scene28(texture=texture)
    one, two, other = (rng.generator("fresh", key) for key in (0, 0, 1))
    first, same, different = (stimuli.draw(sets.train, rows(50), scene, each) for each in (one, two, other))
    again = stimuli.draw(sets.train, rows(50), scene, one)
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    for drawn in (again, different):
        assert (drawn.images != first.images).flatten(1).any(1).all()
        assert (drawn.offsets != first.offsets).any(1).double().mean() > 0.9
        assert torch.equal(drawn.labels, first.labels)


@pytest.mark.parametrize("texture", ["cloud", "bank"])
def test_fresh_stimuli_have_the_statistics_of_2021(sets, texture):
    """Mean, spread, quantiles and offsets over images, within five standard errors of the difference.

    Here every image of 2021 has its own texture (all its blank images shared one).
    """
    theirs = [
        pipeline.stimulus28(
            sets.train.images[i].numpy(), 10_000 + i, 15, texture_of=lambda size, _, i=i: pipeline.texture(size, i)
        )
        for i in range(500)
    ]
    images = torch.from_numpy(np.stack([image for image, _, _ in theirs])).double() / 255
    offsets = torch.tensor([offsets for _, offsets, _ in theirs]).double()
    fresh = stimuli.draw(sets.train, rows(1200), Scene28(texture=texture), rng.generator("statistics"))

    def measure(images, offsets):
        flat = images.flatten(1).double()
        levels = torch.quantile(flat, torch.tensor([0.1, 0.5, 0.9, 0.99], dtype=torch.float64), dim=1).T
        return torch.cat([flat.mean(1, True), flat.std(1, keepdim=True), levels, offsets, offsets.square()], 1)

    one, other = measure(fresh.images, fresh.offsets.double()), measure(images, offsets)
    error = (one.var(0) / len(one) + other.var(0) / len(other)).sqrt()
    assert ((one.mean(0) - other.mean(0)) / error).abs().max() < 5


@pytest.mark.parametrize("std", [0.9, 3.0, 15.0, 400.0])
def test_shifts_are_truncated_towards_zero_and_clipped(sets, std):
    scene = Scene28(std=std, offset_max=20)
    drawn = stimuli.draw(sets.train, rows(300), scene, rng.generator("offsets", std)).offsets
    normal = torch.randn(300, 2, generator=rng.generator("offsets", std))
    expected = [[int(min(max(value, -20), 20)) for value in pair] for pair in (normal * std).tolist()]
    assert drawn.tolist() == expected
    assert drawn.dtype == torch.int64 and drawn.abs().max() <= 20
    if std > 100:
        assert (drawn.abs() == 20).double().mean() > 0.9


@given(st.floats(0.05, 0.95), st.floats(0, 1), st.integers(0, 500))
def test_contrast_lies_in_its_range(sets, low, width, seed):
    high = min(1.0, low + width)
    drawn = stimuli.draw(sets.train, rows(50), Scene28(contrast=(low, high)), rng.generator(seed)).contrast
    assert drawn.dtype == torch.float32
    assert drawn.min() >= low - 1e-6 and drawn.max() <= high + 1e-6
    if high - low > 0.1:
        assert drawn.std() > (high - low) / 6


# ---- composition -----------------------------------------------------------------------------------------------------


@given(st.floats(0.01, 1), st.integers(-6, 6), st.integers(-6, 6), st.integers(0, 1199))
def test_contrast_asked_is_contrast_measured(sets, contrast, down, right, index):
    """Without noise the digit's peak is 0.5 + c / 2, cut to 8 bits, wherever the digit lies."""
    scene = Scene28(contrast=(contrast, contrast), noise=0)
    at = torch.tensor([[down, right]])
    stimulus = stimuli.draw(sets.train, torch.tensor([index]), scene, rng.generator("contrast"), at)
    peak, ground = stimulus.images.max().item(), stimulus.images.min().item()
    assert 0.5 + contrast / 2 - 1 / 255 - 1e-5 < peak < 0.5 + contrast / 2 + 1e-5
    assert ground == pytest.approx(BLANK, abs=1e-6)
    assert stimulus.contrast.item() == pytest.approx(contrast, abs=1e-6) and stimulus.offsets.tolist() == at.tolist()


def test_a_cut_digit_is_stretched_again():
    """Study, oddity 6: the extremes are those of what is left."""
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 14, 4], image[0, 14, 20] = 100, 255
    left = stimuli.compose(stimuli.shift(image, torch.tensor([[0, 10]])), torch.tensor([0.7]), _grey(1), 0.0)
    assert left.max().item() == pytest.approx(0.85, abs=1 / 255)


def test_pixels_up_to_half_intensity_are_transparent():
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 0, :4] = torch.tensor([255, 128, 127, 60], dtype=torch.uint8)
    texture = torch.full((1, 28, 28), 0.1)
    made = stimuli.compose(image, torch.tensor([0.6]), texture, 1.0)[0, 0, 0, :5]
    assert made[0] == pytest.approx(0.8, abs=1 / 255) and made[1] == pytest.approx(0.5, abs=1.5 / 255)
    assert made[2:].tolist() == pytest.approx([25 / 255] * 3)  # the ground, 0.1, downwards


def test_bright_noise_covers_the_digit():
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 0, 0] = 255
    made = stimuli.compose(image, torch.tensor([0.3]), torch.ones(1, 28, 28), 1.0)
    assert (made == 1).all()


def test_images_have_eight_bits_cut_downwards(sets):
    images = stimuli.draw(sets.train, rows(40), Scene28(), rng.generator("bits")).images
    assert images.dtype == torch.float32 and images.shape == (40, 1, 28, 28)
    levels = images * 255
    assert (levels - levels.round()).abs().max() < 1e-4 and levels.min() >= 0 and levels.max() <= 255
    for value in (0.25, 0.5, 0.75):
        made = stimuli.compose(torch.zeros(1, 28, 28, dtype=torch.uint8), torch.tensor([0.5]), _grey(1, value), 1.0)
        assert (made * 255).round().unique().tolist() == [int(value * 255)]


@given(st.floats(0, 1))
def test_the_ground_spans_half_the_noise_either_side(noise):
    texture = torch.linspace(0, 1, 784).view(1, 28, 28)
    made = stimuli.compose(torch.zeros(1, 28, 28, dtype=torch.uint8), torch.tensor([0.5]), texture, noise)
    assert made.min().item() == pytest.approx(0.5 - noise / 2, abs=1.01 / 255)
    assert made.max().item() == pytest.approx(0.5 + noise / 2, abs=1.01 / 255)


def test_composition_leaves_its_inputs_alone(sets):
    ink, texture = sets.train.images[:5].clone(), torch.rand(5, 28, 28, generator=rng.generator(0))
    before = ink.clone(), texture.clone()
    stimuli.compose(ink, torch.full((5,), 0.5), texture, 0.75)
    assert torch.equal(ink, before[0]) and torch.equal(texture, before[1])


def _grey(n: int, value: float = 0.5) -> torch.Tensor:
    return torch.full((n, 28, 28), value)


# ---- shift -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(-27, 27), st.integers(-27, 27)), min_size=1, max_size=8))
def test_shift_is_that_of_2021(sets, offsets):
    moved = stimuli.shift(sets.train.images[: len(offsets)], torch.tensor(offsets))
    for image, after, (down, right) in zip(sets.train.images, moved, offsets, strict=False):
        assert np.array_equal(after.numpy(), pipeline._translated(image.numpy(), down, right))


@given(st.integers(28, 1000), st.sampled_from([-1, 1]), st.integers(-1000, 1000))
def test_a_far_shift_leaves_nothing(sets, far, sign, other):
    for offsets in ([[sign * far, other]], [[other, sign * far]]):
        assert not stimuli.shift(sets.train.images[:1], torch.tensor(offsets)).any()


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"std": -1}, "std=-1 must be a number from 0"),
        ({"std": float("nan")}, "std=nan"),
        ({"std": "15"}, "std='15'"),
        ({"contrast": (0.0, 0.7)}, "contrast=0.0"),
        ({"contrast": (0.3, 1.2)}, "contrast=1.2"),
        ({"contrast": (0.7, 0.3)}, r"contrast=\(0.7, 0.3\) must run from low to high"),
        ({"noise": 1.5}, "noise=1.5 must be a number from 0 to 1"),
        ({"offset_max": 29}, "offset_max=29 must be a number from 0 to 28 pixels"),
        ({"draws": "frozn"}, "draws='frozn'.*Did you mean 'frozen'"),
        ({"texture": "clouds"}, "texture='clouds'.*Did you mean 'cloud'"),
        ({"draws": "frozen", "texture": "bank"}, "texture='bank' needs draws='fresh'"),
    ],
)
def test_impossible_scenes_are_refused_by_name(options, words):
    with pytest.raises(ConfigurationError, match=words):
        Scene28(**options)


def test_fresh_stimuli_need_a_generator(sets):
    with pytest.raises(ConfigurationError, match="need a generator"):
        stimuli.draw(sets.train, rows(2), Scene28())


def test_labels_and_shapes_follow_the_rows(sets):
    some = torch.tensor([7, 3, 3, 90])
    drawn = stimuli.draw(sets.train, some, Scene28(), rng.generator(0))
    assert torch.equal(drawn.labels, sets.train.labels[some])
    assert drawn.offsets.shape == (4, 2) and drawn.contrast.shape == (4,)
    one = Digits(sets.train.images[:1], sets.train.labels[:1])
    assert stimuli.draw(one, rows(1), FROZEN).images.shape == (1, 1, 28, 28)
