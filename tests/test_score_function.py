"""Glimpses: an estimate of where the error falls, from the label alone."""

import pytest
import torch
import torch.nn.functional as F

from labbook import classifiers, gradient_alignment, models, rng, score_function, transformers
from labbook.curriculum import Stage
from labbook.errors import ConfigurationError
from labbook.experiments import curricula
from labbook.stimuli import Scene28, Scene128, Stimuli, draw
from labbook.training import Training, train


def bright_spot(at: torch.Tensor) -> torch.Tensor:
    """Fields (B, 1, 128, 128) that are grey but for a blob of 5 pixels at offsets (B, 2), (row, column)."""
    axis = torch.arange(128) - 63.5
    far = (axis[:, None] - at[:, :1, None]).square() + (axis - at[:, 1:, None]).square()  # (B, 128, 128)
    return (0.5 + 0.5 * torch.exp(-far / 50))[:, None]


class Sees(torch.nn.Module):
    """Gives class 1 the more, the more light there is in its crop."""

    def forward(self, crop):
        light = (crop - 0.5).mean((1, 2, 3)) * 60
        return classifiers.TransformerOutput(F.pad(light[:, None], (1, 8)), None, crop)


def window() -> transformers.Window:
    model = models.build("one_window", padding=0.5)
    model.classifier = Sees()
    return model


def test_displacements_come_in_pairs_of_the_std_asked_for():
    drawn = score_function.displacements(2000, 8, 6.0, 128, rng.generator("pairs"))
    assert torch.equal(drawn[:, :4], -drawn[:, 4:])
    assert (drawn * 64).std().item() == pytest.approx(6, rel=0.03)
    with pytest.raises(ConfigurationError, match="n=7 must be even"):
        score_function.displacements(1, 7, 6.0, 128, rng.generator("pairs"))


@pytest.mark.parametrize("sampler", ["grid", "axes"])
def test_many_windows_at_once_see_what_each_sees_alone(sampler):
    model = models.build("one_window", padding=0.5, sampler=sampler)
    image = torch.rand(3, 1, 128, 128, generator=rng.generator("many"))
    theta = torch.tensor([[0.2, 0, 0.1], [0, 0.2, -0.3]]).repeat(3, 4, 1, 1)
    theta[..., 2] += torch.randn(3, 4, 2, generator=rng.generator("where"))  # also beyond the field
    at_once = score_function.sample_windows(model, image, theta)
    alone = torch.stack([model.sample(image, theta[:, k]) for k in range(4)], 1)
    assert at_once.shape == (3, 4, 1, 28, 28)
    assert torch.allclose(at_once, alone, atol=1e-5)


def test_the_slope_is_the_gradient_of_the_expected_error():
    """A quadratic error a |x - x0|^2 has the expected gradient 2 a (x - x0), which antithetic pairs estimate."""
    jitter, edge, a = 6.0, 128, 0.7
    aside = score_function.displacements(1, 40_000, jitter, edge, rng.generator("slope"))
    here, target = torch.tensor([0.3, -0.1]), torch.tensor([0.1, 0.2])
    error = a * (here + aside - target).square().sum(-1)
    assert torch.allclose(
        score_function.gradient_estimate(error, aside, jitter, edge)[0], 2 * a * (here - target), atol=0.02
    )
    flat = score_function.gradient_estimate(torch.ones(1, 40_000), aside, jitter, edge)
    assert flat.abs().max() < 1e-4  # what does not depend on the place cancels


def test_glimpses_pull_the_window_to_what_is_beside_it():
    """Beyond the window's edge, where the sampler's own gradient does not reach, the slope points to the blob."""
    directions = torch.tensor([[1.0, 0.0], [-1, 0], [0, 1], [0, -1]])
    offsets = (directions * 22).repeat(50, 1)
    stimuli = Stimuli(bright_spot(offsets), torch.ones(200, dtype=torch.int64), offsets.long(), torch.ones(200))
    model = window()
    theta = model.localise(stimuli.images).detach().requires_grad_()
    model.localise = lambda image: theta
    loss, seen = score_function.loss(model, stimuli, 8, 6.0, rng.generator("pull"))
    loss.backward()
    step = -theta.grad[:, :, 2].flip(1)  # (row, column)
    assert seen is theta
    assert ((step * offsets).sum(1) > 0).float().mean() > 0.9
    value, _ = score_function.loss(model, stimuli, 8, 6.0, rng.generator("pull"))
    assert value.item() == pytest.approx(loss.item())  # drawn from the generator alone


def test_far_from_the_window_only_glimpses_point():
    """The sampler's gradient is 0 where the window sees nothing of a disc; glimpses reach beyond its edge."""
    sides = torch.tensor([[1, 0], [0, -1], [0, 1]]).repeat(20, 1)
    cosines = {}
    for distance in (13, 22):  # on the window's edge; beyond it
        offsets = sides * distance
        disc = 0.5 + 0.5 * (bright_spot(offsets.float()) > 0.8)  # within 5 pixels
        stimuli = Stimuli(disc, torch.ones(60, dtype=torch.int64), offsets, torch.ones(60))
        cosines[distance] = gradient_alignment.at_centre(window(), stimuli, 16, 6.0, rng.generator("far"))
    assert (cosines[13] > 0).float().mean(1).min() > 0.9
    gradient, slope = cosines[22]
    assert not gradient.any() and (slope > 0).float().mean() > 0.9


def test_training_by_glimpses_is_repeatable_and_moves_the_localisation(sets):
    stages = (
        Stage(Scene128(view="centre", std=6), 1, 0.001),
        Stage(Scene128(std=5, contrast=(0.7, 0.7)), 1, 0.001, perturbation_std=6),
    )
    options = {"centre": True, "kaiming": True, "padding": 0.5, "kernels": (4, 4, 4)}
    config = Training(
        "atn", stages, options, optimiser="adamw", batch=10, fraction=0.02, data="digits", n_perturbations=4
    )
    one, other = (train(config, sets) for _ in range(2))
    start = models.build("atn", rng.generator("weights", 0), **options).state_dict()
    assert one.history[0]["theta"] is None  # the middle of the field goes to the classifier
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name])
        assert not torch.equal(value, start[name]), name


def test_the_middle_of_a_field_is_what_an_unmoved_window_sees(sets):

    whole, middle = (
        draw(sets.train, torch.arange(5), Scene128(std=6, view=view), rng.generator("middle")).images
        for view in ("field", "centre")
    )
    assert torch.equal(middle, whole[..., 50:78, 50:78])


def test_one_window_is_learnt_for_all_inputs():
    model = models.build("one_window", scale_start=0.25)
    assert classifiers.count(model) == 431_080 + 3
    seen = model(torch.rand(4, 1, 128, 128, generator=rng.generator("one")))
    assert (seen.theta == seen.theta[:1]).all() and seen.theta[0, 0, 0] == 0.25
    seen.logits.square().sum().backward()
    assert model.localisation.numbers.grad.abs().min() > 0


def test_a_limited_set_of_digits_is_all_that_is_shown(sets):
    stage = Stage(Scene28(std=0), 2, 0.01)
    config = Training("lenet", (stage,), digits=30, batch=10, data="digits")
    assert config.steps(len(sets.train)) == 3 and config.images(len(sets.train)) == 60
    few = sets.train[:30]
    alone = train(config, sets).model.state_dict()
    from dataclasses import replace

    same = train(Training("lenet", (stage,), batch=10, data="digits"), replace(sets, train=few)).model.state_dict()
    assert all(torch.equal(alone[name], same[name]) for name in alone)


def test_our_curriculum_starts_small_and_ends_wide():
    stages = curricula.for_attention(warm=2, stay=4, lr=0.001)
    assert [stage.scene.view for stage in stages] == ["centre"] + ["field"] * 11
    assert [stage.scene.std for stage in stages] == [6, 5, 10, 15, 20, 25, 30, 35, 40, 40, 40, 40]
    assert [stage.perturbation_std for stage in stages] == [0, *[6] * 9, 4, 2]
    rates = [stage.lr_at(epoch) for stage in stages[-3:] for epoch in (0, 3)]
    assert rates == pytest.approx([0.001, 0.001, 0.001, 0.001 / 3, 0.001 / 3, 0.00005])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "stn128"}, "for windows trained by 'cross_entropy', not for model='stn128'"),
        ({"loss": "cross_entropy and position"}, "not for model='atn' with loss='cross_entropy and position'"),
        ({"n_perturbations": 3}, "n_perturbations=3 must be even"),
        (
            {"stages": (Stage(Scene128(view="oracle"), 1, 0.1, perturbation_std=2),)},
            "perturbation_std=2 needs a whole field",
        ),
        ({"stages": (Stage(Scene28(), 1, 0.1, perturbation_std=2),)}, "perturbation_std=2 needs a whole field"),
        ({"digits": 0}, "digits=0 must be a whole number"),
    ],
)
def test_impossible_perturbations_are_refused_by_name(options, words):
    stages = (Stage(Scene128(), 1, 0.1, perturbation_std=2),)
    with pytest.raises(ConfigurationError, match=words):
        Training(**({"model": "atn", "stages": stages} | options))
