"""The visual field: stimuli of 2021 where they are frozen, the same law where they are fresh, oracle crops."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from labbook import rng, stimuli
from labbook import textures as clouds
from labbook.config import Training
from labbook.curriculum import Stage
from labbook.errors import ConfigurationError
from labbook.identity.description import name_of, plain
from labbook.stimuli import ECCENTRICITIES, Scene28, Scene128
from labbook.study2021 import pipeline

FROZEN = Scene128(draws="frozen")
CAPPED = (0, 0, 0.003, 0.025, 0.072, 0.134, 0.199, 0.261, 0.317)  # share at 40 pixels, by std (study 2.2)


def rows(n: int) -> torch.Tensor:
    return torch.arange(n)


def inside() -> torch.Tensor:
    return stimuli.disc() == 1


# ---- frozen: 2021 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scene",
    [
        FROZEN,
        replace(FROZEN, std=8.0, noise=1.0, contrast=(0.7, 0.7)),
        replace(FROZEN, radius=ECCENTRICITIES[3]),
        replace(FROZEN, contrast=(0.3, 0.3), noise=0.0, offset_max=20.0),
    ],
)
def test_frozen_stimuli_are_those_of_2021(sets, scene):
    """Offset, contrast and image of every index, given the same texture."""
    n = 25
    mine = stimuli.draw(sets.train, rows(n), scene)
    textures = clouds.keyed(rng.hash_key(rows(n), *mine.offsets.T), 128).double().numpy()
    for index in range(n):
        image, offsets, contrast = pipeline.stimulus128(
            sets.train.images[index].numpy(),
            index,
            scene.std,
            scene.contrast,
            scene.radius,
            scene.noise,
            scene.offset_max,
            texture_of=lambda size, seed, index=index: textures[index],
        )
        assert tuple(mine.offsets[index].tolist()) == offsets
        assert mine.contrast[index] == pytest.approx(contrast, abs=1e-6)
        assert np.abs(mine.images[index, 0].numpy() - image).max() < 1e-5


@pytest.mark.parametrize("scene", [FROZEN, replace(FROZEN, radius=40.0)])
def test_frozen_offsets_are_numpy_s_for_every_index(sets, scene):
    random = np.random.RandomState()
    for index, offsets in enumerate(stimuli.draw(sets.train, rows(1000), replace(scene, view="oracle")).offsets):
        random.seed(index)
        angle = 2 * np.pi * random.rand()
        radius = min(abs(random.randn()) * 40, 40) if scene.radius is None else 40
        assert offsets.tolist() == [int(radius * np.cos(angle)), int(radius * np.sin(angle))]


def test_distances_have_the_statistics_of_the_study():
    normal = stimuli.draws_of_2021(10_000, "unu")[:, 1]  # the test indices
    for std, share in zip(ECCENTRICITIES, CAPPED, strict=True):
        error = (share * (1 - share) / 10_000) ** 0.5
        assert (normal.abs() * std >= 40).double().mean().item() == pytest.approx(share, abs=3 * error + 0.0005)
    assert (normal.abs() * 40).median().item() == pytest.approx(27, abs=0.5)


def test_a_frozen_stimulus_does_not_depend_on_its_batch(sets):
    many = stimuli.draw(sets.train, rows(60), FROZEN)  # more than one block
    again = stimuli.draw(sets.train, torch.tensor([59, 3, 30]), FROZEN)
    assert torch.allclose(many.images[[59, 3, 30]], again.images, atol=1e-6)
    assert torch.equal(many.offsets[[59, 3, 30]], again.offsets)
    part = sets.train[20:40]
    assert torch.allclose(many.images[25:28], stimuli.draw(part, torch.tensor([5, 6, 7]), FROZEN).images, atol=1e-6)


@pytest.mark.parametrize("scene", [FROZEN, Scene128(std=9, view="oracle", draws="frozen"), Scene28(draws="frozen")])
def test_cached_stimuli_are_all_that_are_frozen_every_frozen_stimulus(sets, scene, monkeypatch):
    monkeypatch.setattr(stimuli, "BLOCK", 4)  # it is painted in two pages
    cached, asked = stimuli.CachedStimuli(sets.train[10:75], scene), torch.tensor([64, 0, 31, 31])
    for kept, drawn in zip(cached(asked), stimuli.draw(sets.train, asked + 10, scene), strict=True):
        assert torch.allclose(kept.double(), drawn.double(), atol=1e-6)


# ---- fresh -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("texture", ["cloud", "bank"])
def test_fresh_stimuli_are_new_each_time_and_reproducible(sets, texture):
    scene = Scene128(texture=texture)
    one, two = (rng.generator("again") for _ in range(2))
    first = stimuli.draw(sets.train, rows(105), scene, one)  # more than one block, an odd rest
    assert first.images.shape == (105, 1, 128, 128) and first.images.dtype == torch.float32
    assert torch.equal(first.images, stimuli.draw(sets.train, rows(105), scene, two).images)
    second = stimuli.draw(sets.train, rows(105), scene, one)
    assert not torch.equal(first.offsets, second.offsets)
    assert (first.images - second.images).abs().flatten(1).amax(1).min() > 0.1


@pytest.mark.parametrize("texture", ["cloud", "bank"])
def test_fields_are_stretched_and_grey_outside_the_disc(sets, texture):
    images = stimuli.draw(sets.train, rows(40), Scene128(texture=texture), rng.generator(1)).images[:, 0]
    assert (images[:, ~inside()] == 0.5).all()
    assert images.amin() >= 0 and images.amax() <= 1
    high, low = images[:, inside()].amax(1), images[:, inside()].amin(1)  # an extreme may lie outside the disc
    assert high.median() > 0.999999 and high.amin() > 0.75 and low.median() < 0.000001 and low.amax() < 0.25
    grid = np.linspace(-1, 1, 128)
    assert np.array_equal(inside().numpy(), grid[:, None] ** 2 + grid**2 < 1)


def test_fresh_distances_and_angles_have_the_law_of_2021():
    """Quantiles of 20 000 fresh draws against NumPy's 20 000, within five standard errors."""
    n = 20_000
    theirs = Scene128().frozen(torch.arange(n), n, False)[0].double()
    mine = Scene128().fresh(n, rng.generator("law")).double()
    for one, other in ((theirs.norm(dim=1), mine.norm(dim=1)), (theirs[:, 0], mine[:, 0]), (theirs[:, 1], mine[:, 1])):
        for value in (-30, -10, -1, 0, 1, 5, 10, 20, 30, 38, 39.5):
            p, q = (one <= value).double().mean(), (other <= value).double().mean()
            assert abs(p - q) < 5 * (2 * (p * (1 - p)).clamp_min(1 / n) / n) ** 0.5
    assert theirs.abs().amax() <= 40 and mine.norm(dim=1).amax() <= 40


def test_a_given_radius_is_the_distance_of_every_digit():
    for radius in (0.0, *ECCENTRICITIES, 50.0):
        distance = Scene128(radius=radius).fresh(500, rng.generator("r")).double().norm(dim=1)
        assert distance.amax() <= radius + 1e-5 and (distance > radius - 2**0.5).all()  # truncated along both axes


def test_offsets_can_be_given(sets):
    offsets = torch.tensor([[50, -50], [0, 0], [-50, 50]])
    scene = Scene128(contrast=(0.7, 0.7), noise=0)
    drawn = stimuli.draw(sets.train, rows(3), scene, rng.generator(0), offsets)
    assert torch.equal(drawn.offsets, offsets)
    for image, digit, (down, right) in zip(drawn.images[:, 0], sets.train.images, offsets.tolist(), strict=False):
        field = torch.zeros(128, 128)
        field[50 + down : 78 + down, 50 + right : 78 + right] = digit / digit.max()
        expected = ((field - 0.5).clamp_min(0) * 2 - 0.5) * stimuli.disc() + 0.5
        assert torch.allclose(image, expected, atol=1e-6)
    with pytest.raises(ConfigurationError, match="An offset of 51 pixels leaves the field; 50 is the most"):
        stimuli.draw(sets.train, rows(1), scene, rng.generator(0), torch.tensor([[0, -51]]))


# ---- composition -----------------------------------------------------------------------------------------------------


def unstretched(digit: torch.Tensor, contrast: float, noise: float, n: int):
    """Compose `n` fields, and undo the final stretch of each from the pixels that no digit covers.

    Returns:
        Digits (n, 28, 28); fields and textures there and back in units of grey, about 0.5, (n, 28, 28) each.
    """
    texture = clouds.draw(n, 128, rng.generator("unstretched")) - 0.5
    zero = torch.zeros(n, 2, dtype=torch.int64)
    ink = digit[:n]
    image = stimuli.compose_field(ink, zero, torch.full((n,), contrast), texture.clone(), noise)[:, 0].double()
    ground = texture.double() * noise
    free = inside().clone()
    free[50:78, 50:78] = False
    x, y = ground[:, free], image[:, free]
    slope = ((x - x.mean(1, True)) * y).mean(1) / x.var(1, correction=0)
    start = y.mean(1) - slope * x.mean(1)
    level = (image - start[:, None, None]) / slope[:, None, None]
    return ink, level[:, 50:78, 50:78], ground[:, 50:78, 50:78]


@pytest.mark.parametrize("contrast", [0.3, 0.5, 0.7])
def test_the_contrast_asked_for_is_the_contrast_measured(sets, contrast):
    ink, level, ground = unstretched(sets.train.images, contrast, 0.75, 60)
    brightest = ink == ink.flatten(1).amax(1)[:, None, None]
    shown = brightest & (ground < contrast / 2 - 0.01)
    assert shown.sum() > 1000
    assert (2 * level[shown] - contrast).abs().max() < 1e-4
    transparent = 2 * ink.int() <= ink.flatten(1).amax(1)[:, None, None].int()
    assert (level - ground)[transparent].abs().max() < 1e-4


@pytest.mark.parametrize(
    ("noise", "shares"), [(0.75, {0.3: 0.86, 0.5: 0.93, 0.7: 0.95}), (1.0, {0.3: 0.81, 0.5: 0.90, 0.7: 0.94})]
)
def test_as_much_ink_is_visible_as_in_the_study(mnist, noise, shares):
    """Share of the pixels above half of the maximum that are brighter than the texture behind them (study 2.1)."""
    for contrast, share in shares.items():
        ink, level, ground = unstretched(mnist.test.images, contrast, noise, 400)
        dark = ink > 127
        assert ((level - ground)[dark] > 1e-5).double().mean().item() == pytest.approx(share, abs=0.012)


def test_composition_is_blind_to_the_texture_s_unit(sets):
    texture = clouds.fields(6, 128, rng.generator("unit"))
    given = (sets.train.images[:6], torch.tensor([[3, -7]]).expand(6, 2), torch.full((6,), 0.5))
    one = stimuli.compose_field(*given, texture.clone(), 0.75)
    assert torch.allclose(one, stimuli.compose_field(*given, texture * 1000, 0.75), atol=1e-5)
    kept = texture.clone()
    made = Scene128().render(*given, clouds.rectify(texture.clone()))
    assert torch.allclose(one, made, atol=1e-5) and torch.equal(kept, texture)


# ---- oracle ----------------------------------------------------------------------------------------------------------


def test_an_oracle_sees_the_digit_s_window(sets):
    whole = stimuli.draw(sets.train, rows(30), FROZEN)
    cut = whole._replace(images=stimuli.crops(whole.images, whole.offsets))
    assert cut.images.shape == (30, 1, 28, 28)
    for image, crop, (down, right) in zip(whole.images, cut.images, whole.offsets.tolist(), strict=True):
        assert torch.equal(image[:, 50 + down : 78 + down, 50 + right : 78 + right], crop)
    direct = stimuli.draw(sets.train, rows(30), replace(FROZEN, view="oracle"))
    assert torch.allclose(direct.images, cut.images, atol=1e-6) and torch.equal(direct.offsets, whole.offsets)
    clear = stimuli.draw(sets.train, rows(30), Scene128(noise=0, contrast=(0.7, 0.7), view="oracle"), rng.generator(0))
    ink = sets.train.images[:30] / sets.train.images[:30].flatten(1).amax(1)[:, None, None]
    assert (clear.images[:, 0] - (2 * ink - 1).clamp_min(0)).abs().amax() < 1e-5


# ---- configuration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"offset_max": 51}, "offset_max=51 must be a number from 0 to 50 pixels"),
        ({"radius": 51}, "radius=51 must be a number from 0 to 50 pixels"),
        ({"view": "orcale"}, "view='orcale'.*Did you mean 'oracle'"),
    ],
)
def test_impossible_scenes_are_refused_by_name(options, words):
    with pytest.raises(ConfigurationError, match=words):
        Scene128(**options)


def test_scenes_are_described_by_law_and_by_what_they_change():
    assert plain(Scene128()) == {"law": "Scene128"}
    assert plain(Scene128(radius=40.0, view="oracle")) == {"law": "Scene128", "radius": 40, "view": "oracle"}
    assert plain(Scene28(std=3)) == {"law": "Scene28", "std": 3}
    described = [
        name_of(Training("lenet", (Stage(scene, 1, 0.01),)))
        for scene in (Scene28(), Scene128(), Scene128(radius=4.0), Scene128(view="oracle"), Scene128(offset_max=30))
    ]
    assert len(set(described)) == 5
    assert json.loads(json.dumps(plain(Scene128(contrast=(0.5, 0.7)))))["contrast"] == [0.5, 0.7]
