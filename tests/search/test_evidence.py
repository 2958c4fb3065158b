"""The evidence map: places, pooling and gradient are what the derivation says; labels alone teach it."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from labbook import classifiers, evaluation, models, rng, stimuli, training
from labbook.book import searches
from labbook.curriculum import Stage
from labbook.errors import ConfigurationError
from labbook.experiments import curricula
from labbook.search import evidence
from labbook.search.evidence import POOLINGS
from labbook.stimuli import Scene128
from labbook.training import Training, train


def build(**options) -> evidence.EvidenceMap:
    """A small map whose outputs differ from place to place."""
    model = models.build("evidence", **{"width": 4, **options})
    torch.nn.init.normal_(model.last.weight, generator=rng.generator("last"))
    return model.eval()


def tiny(sets, **changes) -> Training:
    base = Training(
        "evidence", curricula.for_evidence_map(2), {"width": 4}, "adamw", batch=10, fraction=0.05, data=sets.name
    )
    return replace(base, reset_optimiser=False, **changes)


# ---- places ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", (2, 4, 8))
@pytest.mark.parametrize("edge", (28, 60, 128))
def test_each_place_sees_the_28x28_pixels_around_it(stride, edge):
    """The gradient of one place's evidence is confined to its window, and reaches the window's corners' neighbours."""
    image = torch.rand(1, 1, edge, edge, generator=rng.generator("image")).requires_grad_()
    found = build(stride=stride)(image).evidence
    places = evidence.places(edge, stride)
    assert found[0, 0].numel() == len(places)
    which = len(places) // 2
    found.flatten(2)[0, :, which].sum().backward()
    seen = (image.grad[0, 0] != 0).nonzero()
    top = places[which] + (edge - 28) / 2
    assert (seen.amin(0) >= top).all() and (seen.amax(0) < top + 28).all()


def test_a_moved_scene_moves_the_evidence():
    image = torch.rand(1, 1, 128, 128, generator=rng.generator("image"))
    model = build()
    still, moved = model(image).evidence, model(image.roll((8, -4), (2, 3))).evidence
    torch.testing.assert_close(moved[..., 2:, :-1], still[..., :-2, 1:], atol=1e-4, rtol=1e-4)


def test_theta_is_the_window_at_the_highest_evidence():
    image = torch.rand(5, 1, 128, 128, generator=rng.generator("image"))
    seen = build()(image)
    best = evidence.places()[seen.evidence.logsumexp(1).flatten(1).argmax(1)]
    fixations = stimuli.fixations(seen.theta, 128)
    assert ((fixations - best).norm(dim=1) <= evidence.NEAR).all()
    assert torch.equal(seen.crop, stimuli.crops(image, fixations.round().long()))


# ---- pooling --------------------------------------------------------------------------------------------------------


def test_the_logits_are_the_marginal_likelihood():
    """Softmax of the logits: the posterior over labels, places summed over."""
    seen = build()(torch.rand(3, 1, 128, 128, generator=rng.generator("image")))
    joint = seen.evidence.double().flatten(1).softmax(1).view(3, 10, -1)  # p(digit, place | image)
    torch.testing.assert_close(seen.logits.double().softmax(1), joint.sum(2), atol=1e-5, rtol=1e-4)


def test_the_gradient_is_the_difference_of_two_posteriors():
    scores = torch.randn(4, 10, 5, 5, generator=rng.generator("scores"), dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0, 3, 3, 9])
    F.cross_entropy(POOLINGS["marginal"](scores, None), labels, reduction="sum").backward()
    with torch.no_grad():
        joint = scores.flatten(1).softmax(1).view_as(scores)
        given_label = scores[torch.arange(4), labels].flatten(1).softmax(1).view(4, 5, 5)
        expected = joint.clone()
        expected[torch.arange(4), labels] -= given_label
    torch.testing.assert_close(scores.grad, expected)


@given(st.sampled_from(sorted(POOLINGS)), st.booleans(), st.sampled_from((2, 4, 8)))
def test_every_variant_has_ten_logits_and_a_gradient_everywhere(pooling, blank, stride):
    model = models.build("evidence", width=2, pooling=pooling, blank=blank, stride=stride).train()
    seen = model(torch.rand(4, 1, 64, 64, generator=rng.generator("image")))
    assert seen.logits.shape == (4, 10) and torch.isfinite(seen.theta).all()
    F.cross_entropy(seen.logits, torch.arange(4)).backward()
    assert torch.isfinite(model.last.weight.grad).all() and model.last.weight.grad.any()


def test_mean_and_max_are_the_limits_of_the_marginal():
    scores = torch.randn(2, 10, 6, 6, generator=rng.generator("scores"))
    for pooling, gain in (("max", 1e3), ("mean", 1e-3)):
        soft = (POOLINGS["marginal"](scores * gain, None) - (0 if gain > 1 else math.log(36))) / gain
        torch.testing.assert_close(soft, POOLINGS[pooling](scores, None), atol=2e-2, rtol=0)


def test_it_starts_with_little_evidence():
    with torch.no_grad():
        seen = models.build("evidence").train()(torch.rand(4, 1, 128, 128, generator=rng.generator("image")))
    assert 0.05 < seen.evidence.std() < 1.5
    assert F.cross_entropy(seen.logits, torch.arange(4)) == pytest.approx(math.log(10), abs=0.3)


def test_the_default_has_46907_parameters():
    assert classifiers.count(models.build("evidence")) == 46_907
    assert classifiers.count(models.build("evidence", width=23)) < 100_000


@pytest.mark.parametrize(
    "options", ({"stride": 3}, {"width": 0}, {"pooling": "median"}, {"edge": 128}), ids=lambda each: str(each)
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigurationError):
        models.build("evidence", **options)


# ---- what limits it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", (2, 4, 8))
def test_the_ceiling_is_the_evidence_around_the_digit(stride):
    seen = build(stride=stride)(torch.rand(3, 1, 128, 128, generator=rng.generator("image")))
    grid = evidence.places(128, stride)
    offsets = grid[torch.tensor([0, len(grid) // 2, len(grid) - 1])]
    told = evidence.at_true_place(seen, offsets, stride=stride)
    for row in range(3):
        near = (grid - offsets[row]).abs().amax(1) <= evidence.REACH
        torch.testing.assert_close(told[row], seen.evidence[row].flatten(1)[:, near].logsumexp(1))


def test_the_benchmark_counts_maps_alone_and_together(few):
    maps = [build(), models.build("evidence", rng.generator("other"), width=4).eval()]
    counts = searches.of_evidence(maps, few.test, 5)
    assert all(len(row) == 27 for row in (*counts["right"], *(counts[name] for name in counts if name != "right")))
    assert all(0 <= lost <= astray <= 5 for lost, astray in zip(counts["lost"], counts["astray"], strict=True))
    alone = searches.of_evidence(maps[:1], few.test, 5)
    assert alone["together"] == alone["right"][0] == counts["right"][0]
    first = evaluation.benchmark(maps[0], few.test, 5)
    assert counts["right"][0] == [each.correct for each in first.values()]


# ---- learning -------------------------------------------------------------------------------------------------------


def test_no_position_reaches_the_training(few, monkeypatch):
    """The same weights to the bit, whatever is written where the stimuli tell their positions."""
    drawn = stimuli.draw

    def scrambled(*given):
        scene = drawn(*given)
        return scene._replace(offsets=torch.zeros_like(scene.offsets))

    one = train(tiny(few), few).model.state_dict()
    monkeypatch.setattr(training, "draw", scrambled)
    other = train(tiny(few), few).model.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_to_find_and_classify(sets):
    """Large contrast, a small field: far above chance after a few hundred steps, with the window on the digit."""
    scene = Scene128(std=20, contrast=(1.0, 1.0), noise=0.2)
    training = tiny(sets, stages=(Stage(scene, 4, 0.005, cosine=(0.0, 1.0)),), fraction=1.0, batch=20)
    model = train(training, sets).model
    answers = evaluation.predictions(model, sets.test, scene, 200)
    assert answers.accuracy.value > 0.4
    assert evaluation.fixation_error(answers).median() < 10
