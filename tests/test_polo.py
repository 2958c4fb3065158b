"""Transformers behind a log-polar retina: architectures of the study, the conventions of their features, the report."""

import pytest
import torch

from labbook import classifiers, evaluation, models, retina, rng, score_function
from labbook.errors import ConfigurationError
from labbook.experiments import curricula
from labbook.stimuli import ECCENTRICITIES, Scene128, Stimuli
from labbook.study2021 import facts, schedules
from labbook.training import LOSSES, Training


def fields(n: int = 2) -> torch.Tensor:
    return torch.rand(n, 1, 128, 128, generator=rng.generator("polo"))


@pytest.mark.parametrize(
    ("name", "options", "localisation", "total"),
    [
        ("polo", {}, 24_674, 455_754),
        ("polo", {"retina": "polo1280"}, 41_058, 472_138),
        ("polo", {"retina": "polo2560"}, 82_018, 513_098),
        ("polo", {"retina": "polo2560band", "standard": True}, 82_018, 513_098),
        ("conv_polo", {}, 236_572, 667_652),
        ("conv_polo", {"wrap": True}, 236_572, 667_652),
    ],
)
def test_parameter_counts_are_those_of_the_study_and_the_first_window_is_central(name, options, localisation, total):
    model = models.build(name, **options).eval()
    assert (classifiers.count(model.localisation), classifiers.count(model)) == (localisation, total)
    with torch.no_grad():
        seen = model(fields())
    assert torch.allclose(seen.theta, torch.tensor([[0.2, 0, 0], [0, 0.2, 0]]).expand(2, 2, 3))
    assert seen.crop.shape == (2, 1, 28, 28)


def test_the_localisation_sees_the_features_of_its_retina_alone():
    model = models.build("polo", zero_start=False).eval()
    image, other = fields(1), fields(2)[1:]
    same = retina.build("polo768").invert(retina.build("polo768")(image))  # another image with (nearly) equal features
    with torch.no_grad():
        theta = [model(each).theta for each in (image, same, other)]
    assert (theta[0] - theta[1]).abs().max() < 0.02 * (theta[0] - theta[2]).abs().max()


def test_wrapped_convolutions_turn_with_the_field():
    """Rolling every ring by one cell of the coarsest pooling turns the last feature maps, unless zeros pad the seam."""
    image = torch.rand(1, 8, 8, 32, generator=rng.generator("rings"))
    for wrap in (True, False):
        localisation = models.build("conv_polo", wrap=wrap).localisation

        def maps(x, net=localisation):
            return net._layer(net.outer2, net._layer(net.outer1, x))

        with torch.no_grad():
            turned = torch.allclose(maps(image.roll(4, 3)), maps(image).roll(1, 3), atol=1e-6)
        assert turned is wrap


def test_standardised_features_have_mean_0_and_variance_1_over_a_batch():
    localisation = models.build("polo", standard=True).localisation.train()
    with torch.no_grad():
        features = localisation.features(fields(50))
    assert features.mean(0).abs().max() < 1e-3
    assert features.var(0, unbiased=False).median().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", ["polo", "conv_polo"])
def test_magnitudes_do_not_tell_a_field_from_its_negative(name):
    grey, options = fields(1) - 0.5, {"retina": "polo2560band"} if name == "polo" else {}
    for magnitudes in (True, False):
        localisation = models.build(name, magnitudes=magnitudes, **options).eval().localisation
        with torch.no_grad():
            same = torch.allclose(localisation.features(grey), localisation.features(-grey), atol=1e-4)
        assert same is magnitudes


def test_before_a_reconstruction_the_window_sees_what_the_retina_keeps():
    image, eye = fields(2), retina.build("polo768")
    again = eye.invert(eye(image))
    behind, free = (models.build("polo", reconstruction=each).eval() for each in (True, False))
    with torch.no_grad():
        seen, expected = behind(image), free(again)
        assert torch.allclose(seen.crop, expected.crop, atol=1e-5) and not torch.allclose(seen.crop, free(image).crop)
        assert torch.allclose(seen.logits, expected.logits, atol=1e-4)
    labels, generator = torch.tensor([3, 7]), [rng.generator("glimpses", k) for k in (0, 0)]
    offsets = torch.zeros(2, 2, dtype=torch.int64)
    losses = [
        score_function.loss(model, Stimuli(shown, labels, offsets, torch.ones(2)), 4, 6.0, each)[0].item()
        for model, shown, each in zip((behind, free), (image, again), generator, strict=True)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_impossible_options_are_refused():
    with pytest.raises(ConfigurationError, match=r"retina='polo786'.*Did you mean 'polo768'"):
        models.build("polo", retina="polo786")
    with pytest.raises(ConfigurationError, match="option of conv_polo='retina'"):
        models.build("conv_polo", retina="polo768")


def test_the_schedule_of_2021():
    stages = schedules.week7()
    assert sum(stage.epochs for stage in stages) == 110
    assert [stage.lr for stage in stages][:2] == [0.005, 0.0025] and stages[8].lr == pytest.approx(1.953125e-05)
    assert [(stage.lr, stage.scene.contrast) for stage in stages[9:]] == [(0.0005, (0.5, 0.7)), (0.00025, (0.3, 0.7))]


def test_our_schedule_begins_with_perfect_fixations_and_grows():
    stages = curricula.for_window(warm=3, stay=5, lr=0.01)
    assert (stages[0].scene.view, stages[0].epochs) == ("oracle", 3)
    assert [stage.scene.std for stage in stages[1:-1]] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert all(stage.scene.contrast == (0.7, 0.7) and stage.scene.view == "field" for stage in stages[1:-1])
    assert stages[-1].scene == Scene128() and stages[-1].lr_at(4) == pytest.approx(0.01 / 20)
    assert Training("polo", stages).images(55_000) == 16 * 55_000


def test_the_benchmark_of_2021():
    atn = facts.benchmark("ATN")
    assert len(atn) == 27 and atn[0.7, 40.0] == 0.9456 and atn[0.3, ECCENTRICITIES[0]] == 0.7122
    with pytest.raises(ConfigurationError, match=r"ATM.*Did you mean 'ATN'"):
        facts.benchmark("ATM")


def test_the_error_of_a_fixation_is_a_distance_in_pixels():
    theta = torch.tensor([[[0.2, 0, 30 / 64], [0, 0.2, -40 / 64]]]).repeat(2, 1, 1)  # 30 px right, 40 px up
    offsets = torch.tensor([[-40, 30], [0, 0]])  # (row, column)
    error = evaluation.fixation_error(evaluation.Predictions(torch.zeros(2), torch.zeros(2), theta, offsets))
    assert torch.allclose(error, torch.tensor([0.0, 50.0]), atol=1e-4)


def test_the_position_loss_teaches_where_and_is_silent_at_perfect_fixations():
    images, labels = fields(), torch.tensor([1, 2])
    theta = torch.tensor([[[0.2, 0, 20 / 64], [0, 0.2, -10 / 64]]]).repeat(2, 1, 1)
    seen = classifiers.TransformerOutput(torch.zeros(2, 10), theta, images)
    stimuli = Stimuli(images, labels, torch.tensor([[-10, 20], [10, 20]]), torch.ones(2))
    plain, told = (LOSSES[name](seen, stimuli) for name in ("cross_entropy", "cross_entropy and position"))
    assert (told - plain).item() == pytest.approx((2 - 0.5) / 4)  # one of four coordinates is 20 px away
    crops = Stimuli(images[..., :28, :28], labels, stimuli.offsets, torch.ones(2))
    assert LOSSES["cross_entropy and position"](seen._replace(theta=None), crops) == plain
