"""The visual field over a grid of settings."""

import pytest
import torch

from labbook import stimuli
from labbook.book import visual_field
from labbook.book.visual_field import Sweep
from labbook.errors import ConfigurationError

GRID = Sweep((0, 20, 40), (0.3, 0.7), (0.5, 1.0), 2, 6)


def test_the_grid_changes_one_thing_at_a_time(few):
    images, labels, offsets = GRID.pictures(few.test)
    assert images.shape == (12, 2, 128, 128) and labels == few.test.labels[:2].tolist()
    assert [GRID.place(i, j, k) for i in range(3) for j in range(2) for k in range(2)] == list(range(12))
    near, far = GRID.place(1, 0, 0), GRID.place(-1, 0, 0)
    distances = offsets.double().norm(dim=2)
    assert (distances[near] - 20).abs().max() < 2 and (distances[far] - 40).abs().max() < 2
    way = offsets.double() / distances.clamp_min(1)[..., None]
    assert (way[near] - way[far]).abs().max() < 0.1  # the same angles
    faint, bold = images[GRID.place(0, 0, 0)], images[GRID.place(0, 1, 0)]
    middle = (slice(None), slice(50, 78), slice(50, 78))
    assert bold[middle].std() > faint[middle].std()  # a digit is brighter at a higher contrast
    again = GRID.pictures(few.test)
    assert torch.equal(again[0], images) and torch.equal(again[2], offsets)


def test_a_system_is_evaluated_on_all_and_kept_for_what_is_shown(few):
    """Its predictions are correct at eccentricities beyond 30 px, and wrong elsewhere."""
    drawn = list(GRID.stimuli(few.test))
    calls = iter(drawn)

    def look(images):
        truth = next(calls)
        assert torch.equal(images, truth.images)
        right = truth.offsets.double().norm(dim=1) > 30
        answers = torch.where(right, truth.labels, (truth.labels + 1) % 10)
        return answers, stimuli.window(truth.offsets), torch.stack((torch.zeros_like(truth.offsets), truth.offsets), 1)

    seen = visual_field.evaluate(look, few.test, GRID)
    assert seen.correct.tolist() == [0] * 8 + [6] * 4
    _, labels, offsets = GRID.pictures(few.test)
    assert seen.predictions[-1].tolist() == labels and seen.predictions[0].tolist() != labels
    assert torch.equal(seen.fixations[:, :, 1], offsets) and seen.windows.shape == (12, 2, 2, 3)
    assert torch.allclose(stimuli.fixations(seen.windows[5], 128), offsets[5].float())


def test_a_grid_that_makes_no_sense_is_refused():
    with pytest.raises(ConfigurationError, match="eccentricities=51 must be a number from 0 to 50"):
        Sweep(eccentricities=(0, 51))
    with pytest.raises(ConfigurationError, match=r"noises=\(\) must rise"):
        Sweep(noises=())
