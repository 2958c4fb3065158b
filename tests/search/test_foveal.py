"""The foveal searcher: its fovea agrees with the evidence map, its search examines and stops, labels alone teach it."""

import math
from dataclasses import replace

import pytest
import torch

from labbook import evaluation, models, retina, rng, stimuli, training
from labbook.book import searches
from labbook.curriculum import Stage
from labbook.errors import ConfigurationError
from labbook.experiments import beyond, curricula
from labbook.search import evidence, foveal
from labbook.stimuli import Scene128
from labbook.training import Training, train

SMALL = {"retina": "polo768", "width": 8, "what_width": 2, "fovea": 36}


@pytest.fixture(scope="module")
def model() -> foveal.FovealEvidence:
    """A searcher whose map and evidence differ from place to place."""
    model = models.build("foveal", **SMALL)
    for layer in (model.where.last, model.what.last):
        torch.nn.init.normal_(layer.weight, generator=rng.generator("last", layer.out_channels))
    return model.eval()


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(3, 1, 128, 128, generator=rng.generator("image"))


def teacher(sets) -> Training:
    return Training(
        "evidence", curricula.for_evidence_map(2), {"width": 2}, "adamw", batch=10, fraction=0.05, data=sets.name
    )


def tiny(sets, model: str = "foveal", **changes) -> Training:
    loss = {"foveal": "posterior of places", "taught_atn": "cross_entropy and evidence"}[model]
    options = SMALL if model == "foveal" else {"kernels": (2, 2, 2, 2), "evidence_width": 2}
    start = {"start": teacher(sets), "start_with": "teacher"}
    stages = (Stage(Scene128(), 2, 0.002),)
    return Training(
        model, stages, options, "adamw", loss=loss, batch=10, fraction=0.05, data=sets.name, **start | changes
    )


def test_the_fovea_sees_what_the_map_sees_there(model, image):
    """Nine places around a gaze have the evidence that the whole field's map has at them, also at its border."""
    whole = model.what(image).evidence
    gaze = model.grid[torch.tensor([5 * 26 + 6, 0, 675])]
    local = model.foveate(image, gaze)
    assert local.shape == (3, 10, 3, 3)
    torch.testing.assert_close(local[0], whole[0, :, 4:7, 5:8])
    torch.testing.assert_close(local[1, :, 1:, 1:], whole[1, :, :2, :2])
    torch.testing.assert_close(local[2, :, :-1, :-1], whole[2, :, -2:, -2:])


def test_a_search_adds_up_what_it_examined(model, image):
    trace = model.search(image, 4, sure=1e3)
    whole = model.what(image).evidence
    for row in range(3):
        near = (model.grid[:, None] - trace.fixations[row]).abs().amax(2).amin(1) <= 4  # places in any fovea
        torch.testing.assert_close(trace.evidence[row, -1], whole[row].flatten(1)[:, near].logsumexp(1))
    assert (trace.evidence.diff(dim=1) >= 0).all()  # more places, more evidence
    assert torch.equal(trace.made, torch.full((3,), 4))
    assert len({tuple(place) for place in trace.fixations[0].tolist()}) == 4  # never twice the same


def test_a_search_stops_when_it_is_sure(model, image):
    trace = model.search(image, 5, sure=-100)
    assert torch.equal(trace.made, torch.ones(3, dtype=torch.int64))
    assert torch.equal(trace.logits, trace.evidence[:, 0])


def test_a_place_is_scored_by_the_nearest_cell(model, image):
    gaze = torch.tensor([[0, 0], [20, -30], [50, 50]])
    scores, values = model.peripheral_scores(image, gaze), model.where(image, gaze)
    for row in range(3):
        nearest = torch.cdist((model.grid - gaze[row]).float(), model.where.grid.float()).argmin(1)
        torch.testing.assert_close(scores[row], values[row][nearest])


def test_the_loss_is_lowest_at_the_posterior():
    evidence_ = torch.randn(2, 10, 7, generator=rng.generator("evidence"))
    labels = torch.tensor([3, 8])
    right = torch.stack((evidence_[0, 3], evidence_[1, 8]))[:, None]
    output = foveal.FovealOutput(torch.zeros(2, 10), None, None, right.clone().requires_grad_(), evidence_)
    foveal.loss(output, labels).backward()
    torch.testing.assert_close(output.scores.grad, torch.zeros_like(right), atol=1e-6, rtol=0)


@pytest.mark.parametrize("model", ("foveal", "taught_atn"))
def test_no_position_reaches_the_training_and_the_teacher_stays(few, model, monkeypatch):
    taught = train(teacher(few), few).model.state_dict()
    one = train(tiny(few, model), few, weights=taught).model
    drawn = stimuli.draw
    monkeypatch.setattr(training, "draw", lambda *given: drawn(*given)._replace(offsets=torch.zeros(10, 2)))
    monkeypatch.setattr(
        evaluation, "theta_statistics", lambda theta, offsets: evaluation.ThetaStatistics((0,), (0,), (0,))
    )
    other = train(tiny(few, model), few, weights=taught).model.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.state_dict().items())
    kept = getattr(one, one.teacher).state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in taught.items())


def test_the_taught_window_is_pulled_to_the_place_of_the_label():
    scores = torch.zeros(1, 10, 676)
    scores[0, 7, 3] = scores[0, 2, 600] = 20.0
    place = evidence.given_label(scores, torch.tensor([7]))
    assert (place - evidence.places()[3]).norm() < 0.1


def test_only_an_evidence_map_can_be_the_teacher(few):
    with pytest.raises(ConfigurationError, match="cannot go on"):
        tiny(few, start=replace(teacher(few), model="lenet", options={}))
    with pytest.raises(ConfigurationError, match="fovea"):
        models.build("foveal", fovea=30)


def test_the_benchmark_counts_all_searches(few, model):
    counts = searches.of_foveal(model, few.test, 4, 3)
    assert {name: (len(rows), len(rows[0])) for name, rows in counts.items()} == {
        "right": (27, 3),
        "hit": (27, 3),
        "stopped": (27, len(foveal.SURE)),
        "made": (27, len(foveal.SURE)),
        "map": (27, 1),
    }
    assert all(row[-1] == 4 * 3 for row in counts["made"])  # never sure: all fixations
    assert [row[-1] for row in counts["stopped"]] == [row[-1] for row in counts["right"]]
    assert all(row == sorted(row) for row in counts["hit"])


@pytest.mark.parametrize("size", (64, 192))
def test_other_fields_have_the_same_retina_where_both_see(size):
    other, plain = beyond.periphery(size), retina.WhatWhere()
    assert other.field == size and other.n == plain.n + 288 * (other.rings - 10)
    outer = max(plain.radii[:7])
    nearest = min(other.radii, key=lambda radius: abs(math.log(radius / outer)))
    assert nearest == pytest.approx(outer, rel=0.2)
    at = other.radii.index(nearest), plain.radii.index(outer)
    product = other.frequencies[at[0]] * nearest, plain.frequencies[at[1]] * outer
    assert product[0] == pytest.approx(product[1])  # frequency x radius is one number


def test_a_searcher_of_a_small_field_sees_and_finds_what_its_map_does():
    small = models.build("foveal", **{**SMALL, "retina": retina.WhatWhere(field=64, rings=3, azimuths=8)}).eval()
    torch.nn.init.normal_(small.what.last.weight, generator=rng.generator("last"))
    image = torch.rand(2, 1, 64, 64, generator=rng.generator("image"))
    trace = small.search(image, 12, 1e9)
    assert small.grid.shape == (100, 2) and trace.fixations.abs().max() <= 18
    torch.testing.assert_close(trace.evidence[:, -1], small.what(image).logits, atol=0.7, rtol=0)  # nearly all examined
    assert small.train()(image).scores.shape == (2, 2, 100)
