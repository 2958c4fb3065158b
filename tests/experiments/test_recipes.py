"""Recipes: what each part takes over from the one before, and that the parts fit together."""

from dataclasses import replace

import pytest
import torch

from labbook import models, stimuli
from labbook.config import seeded, shortened
from labbook.curriculum import Stage
from labbook.experiments import recipes
from labbook.training import train


def test_the_parts_of_stn128_go_on_from_each_other():
    parts = recipes.stn128()
    assert tuple(parts) == recipes.PARTS
    still, near, far, faint = parts.values()
    assert still.start is None and [each.start for each in (near, far, faint)] == [still, near, far]
    assert [each.start_with for each in (near, far, faint)] == ["classifier", "all", "all"]
    assert [each.ema_decay for each in parts.values()] == [0.995, 0, 0, 0.995]
    stds = [[stage.scene.std for stage in each.stages] for each in (near, far, faint)]
    assert [*stds[0], *stds[1]] == list(stimuli.ECCENTRICITIES) and stds[2] == [40]
    assert {stage.scene.contrast for stage in (*near.stages, *far.stages)} == {(0.7, 0.7)}
    assert {stage.scene.std for stage in still.stages} == {0} and faint.stages[0].scene.contrast == (0.3, 0.7)
    longer = recipes.stn128(noisy=32)
    assert longer["still"].images(55_000) == still.images(55_000) + 16 * 5504


def test_what_goes_on_slowly_is_plain_sgd():
    faint = recipes.stn128()["faint"]
    slow = recipes.slowly(faint, [Stage(stimuli.Scene128(), 1, 1e-5)])
    assert (slow.start, slow.start_with, slow.options) == (faint, "all", faint.options)
    assert (slow.optimiser, slow.weight_decay, slow.ema_decay, slow.localisation_rate) == ("sgd", 0, 0, 1)


@pytest.mark.parametrize("name", ["more kernels", "foveated"])
def test_another_localisation_may_follow_the_same_classifier(few, name):
    """Trained for a few images: the classifier's weights are those of the start but for a step of its own."""
    options = recipes.of_localisation(recipes.STEPPING_STONES[name])
    near = recipes.near_centre(recipes.stn128()["still"], 1e-9, options=options)
    assert near.options["classifier_grey"] == 0.5 and near.options["kernels"] == options["kernels"]
    near = replace(shortened(seeded(near, 0, "digits"), 4, len(few.train)), precision="float32")
    start = models.build("stn128", **near.start.options).state_dict()
    end = train(near, few, weights=start).model.state_dict()
    shapes = [{key: value.shape for key, value in state.items()} for state in (start, end)]
    assert shapes[0] != shapes[1]
    for key, value in start.items():
        if key.startswith("classifier."):
            assert torch.allclose(value, end[key], atol=1e-6), key
