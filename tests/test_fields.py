"""Other fields: they mean the same at every size, and clutter is what the literature says."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labbook import evaluation, models, rng, stimuli
from labbook.errors import ConfigurationError
from labbook.fields import Cluttered, Field
from labbook.identity.description import parse_scene, plain
from labbook.stimuli import Scene128

LAWS = (Field.sized(64), Field.sized(192, draws="frozen"), Cluttered(), Cluttered(size=100, pieces=8))


def draw(sets, law, n: int = 20):
    return stimuli.draw(sets.test, torch.arange(n), law, rng.generator("fields"))


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_images_have_their_size_and_the_digit_is_where_it_is_said_to_be(sets, law):
    drawn = draw(sets, law)
    assert drawn.images.shape == (20, 1, law.size, law.size)
    assert drawn.images.amin() >= 0 and drawn.images.amax() <= 1
    assert drawn.offsets.abs().max() <= law.reach
    ink = sets.test.images[:20].float().flatten(1)
    seen = stimuli.crops(drawn.images, drawn.offsets).flatten(1)
    together = torch.corrcoef(torch.cat((ink, seen)))[:20, 20:]
    assert together.diagonal().min() > 0.2 and together.diagonal().mean() > together.mean() + 0.2


def test_a_field_of_128_pixels_is_that_of_the_study_but_for_its_extremes(sets):
    """The mean ratio of contrast to the texture's standard deviation is the same at all sizes."""
    plain = draw(sets, Scene128(contrast=(0.5, 0.5)), 200)
    same = draw(sets, Field(contrast=(0.5, 0.5)), 200)
    assert torch.equal(plain.offsets, same.offsets)
    inside = stimuli.disc() > 0
    difference = (plain.images - same.images)[:, 0][:, inside].abs().mean()
    assert 0 < difference < 0.02


@pytest.mark.parametrize("size", (64, 128, 256))
def test_digit_and_texture_keep_their_ratio_at_every_size(sets, size):
    law = Field.sized(size, contrast=(0.5, 0.5))
    assert law.std / law.reach == 0.8
    images, offsets = draw(sets, law, 100)[0], draw(sets, law, 100).offsets
    peak = stimuli.crops(images, offsets).flatten(1).amax(1) - images.flatten(1).median(1).values
    texture = images[:, 0][:, stimuli.disc("cpu", size) > 0].std(1)
    assert (peak / texture).median() == pytest.approx(0.25 / (0.75 / 2 / Field.extreme) * 1.05, rel=0.12)


def test_clutter_is_pieces_of_other_digits_added_and_clipped(sets):
    clear, full = draw(sets, Cluttered(pieces=0)), draw(sets, Cluttered(size=60, pieces=16, piece=6))
    inked = (clear.images > 0).flatten(1).sum(1)
    assert torch.equal(inked, (sets.test.images[:20] > 0).flatten(1).sum(1))
    assert (full.images > 0).sum() > 1.3 * (clear.images > 0).sum() and full.images.amax() == 1


@given(st.integers(0, 2**31), st.sampled_from([28, 8, 3]))
def test_positions_are_uniform_and_pieces_stay_inside(seed, piece):
    law = Cluttered(size=40, pieces=3, piece=piece)
    offsets = law.fresh(200, rng.generator(seed))
    assert offsets.min() == -law.reach and offsets.max() == law.reach


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_a_law_is_described_and_an_evidence_map_sees_it(sets, law):
    assert parse_scene(plain(law)) == law
    answers = evaluation.predictions(models.build("evidence", width=2), sets.test, law, 10)
    assert answers.theta.shape == (10, 2, 3)


@pytest.mark.parametrize(
    "make",
    (
        lambda: Field(size=129),
        lambda: Field(size=64),  # its default std reaches farther
        lambda: Cluttered(draws="frozen"),
        lambda: Cluttered(piece=29),
        lambda: Cluttered(size=20),
    ),
)
def test_impossible_fields_are_refused(make):
    with pytest.raises(ConfigurationError):
        make()
