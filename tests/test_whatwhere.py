"""The What/Where model: what the Where network is taught, how the eye moves, what is counted."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from here import ROOT
from torch import nn

from labbook import classifiers, curriculum, evaluation, models, retina, rng, training, whatwhere, where
from labbook.book import searches
from labbook.book import store as runs
from labbook.book.declarations import CHAPTERS
from labbook.classifiers import TransformerOutput
from labbook.errors import ConfigurationError
from labbook.experiments import pathways, systems
from labbook.stimuli import Scene128
from labbook.study2021 import facts

SMALL = retina.WhatWhere(azimuths=12, orientations=2)  # quick to build
PROFILE = where.WHAT_2020
BARE = Scene128(noise=0.0, contrast=(0.7, 0.7))  # a digit on grey: its place can be read off the image


@pytest.fixture(scope="module")
def table() -> torch.Tensor:
    return where.expected(SMALL, PROFILE)


class Seeing(nn.Module):
    """A perfect Where pathway: it finds the digit on grey, and scores cells by what is to be expected there."""

    settings = SMALL

    def __init__(self, table):
        super().__init__()
        self.table = table

    def scores(self, image):
        ink = torch.where(image[:, 0] > 0.75, image[:, 0], 0)  # outside the disc it is 0.5
        axis = torch.arange(128.0) - 63.5
        mass = ink.sum((1, 2)).clamp_min(1e-6)
        offset = torch.stack(((ink.sum(2) @ axis) / mass, (ink.sum(1) @ axis) / mass), 1).round().long().clamp(-50, 50)
        return torch.logit(self.table[offset[:, 0] + 50, offset[:, 1] + 50])


class Stubborn(nn.Module):
    """A Where pathway that always wants to go on in the direction of one cell."""

    settings = SMALL

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def scores(self, image):
        return torch.eye(SMALL.azimuths * SMALL.rings)[self.cell].expand(len(image), -1)


class Naming(nn.Module):
    """A What pathway that says 3 with a probability that grows with the ink in its crop."""

    def forward(self, image):
        logits = torch.zeros(len(image), 10)
        logits[:, 3] = 1 + image.mean((1, 2, 3))
        return TransformerOutput(logits, None, image)


# ---- what the Where network is taught -------------------------------------------------------------------------------


def test_the_table_of_targets_is_what_the_colliculus_says_of_each_offset(table):
    offsets = torch.tensor([[0, 0], [30, -20], [-50, 50], [3, 40], [50, -50]])
    target = where.colliculus(SMALL).target(where.round_map(PROFILE), offsets)
    assert torch.allclose(table[offsets[:, 0] + 50, offsets[:, 1] + 50], target, atol=1e-5)
    assert table.shape == (101, 101, 120) and 0.0999 <= table.min() < table.max() < 1


def test_the_target_is_highest_at_the_cell_of_the_digit(table):
    """From 4 px outwards no cell further from the digit than the distance between cells is preferred."""
    peaks = where.colliculus(SMALL).peaks
    for radius in (0, 4, 9, 18, 30, 40):
        for angle in torch.arange(0, 6.28, 0.4):
            offset = torch.stack((angle.cos(), angle.sin())).mul(radius).long()
            chosen = peaks[table[offset[0] + 50, offset[1] + 50].argmax()]
            nearest = (peaks - offset).double().norm(dim=1).min()
            assert (chosen - offset).double().norm() <= nearest + max(2.5, 0.15 * radius)


def test_profiles_and_maps_agree():
    again = where.profile(where.round_map(PROFILE))
    assert again == pytest.approx([max(value, 0.1) for value in PROFILE], abs=0.01)
    assert len(PROFILE) == 28 and PROFILE[0] == pytest.approx(0.8447, abs=1e-3)
    coarse = where.profile(facts.accuracy_map("what")[::9, ::9])  # rings that are missing are interpolated
    assert len(coarse) == 28 and coarse[9] == pytest.approx(PROFILE[9], abs=0.06)


def test_parameter_counts_are_those_of_the_study():
    assert classifiers.count(models.build("where")) == 4_122_240
    assert classifiers.count(models.build("where", batch_norm=True)) == 4_126_240
    assert classifiers.count(models.build("where", standard=True)) == 4_122_240


def test_dropout_is_off_in_evaluation_and_on_in_training():
    network = models.build("where", retina=SMALL, dropout=0.5).train()
    images = torch.rand(4, 1, 128, 128, generator=rng.generator("where"))
    with torch.no_grad():
        one, other = network.scores(images), network.scores(images)
        assert not torch.equal(one, other)
        fixations = [whatwhere.scan(network, images, 2)[0] for _ in range(2)]
    assert torch.equal(*fixations) and network.training


def test_the_collicular_loss_teaches_where(few):
    stage = curriculum.Stage(Scene128(noise=0.3, contrast=(0.7, 0.7)), 3, 1e-3)
    options = {"retina": SMALL, "hidden": (64, 64), "standard": True, "accuracy": PROFILE}
    learner = training.Training("where", (stage,), options, optimiser="adam", loss="collicular", data="digits")
    outcome = training.train(learner, few)
    first, *_, last = outcome.history
    assert last["loss"] < first["loss"] - 0.02
    answers = evaluation.predictions(outcome.model, few.test, Scene128(radius=20.0), 50)  # right: within 7 px
    hits = evaluation.fixation_error(answers) <= where.HIT
    assert torch.equal(answers.correct, hits) and answers.predicted.max() < 120
    start = models.build("where", rng.generator("weights", 0), **options).state_dict()
    end = outcome.model.state_dict()
    assert not any(torch.equal(start[name], end[name]) for name in start if name.startswith(("dense", "last")))


def test_impossible_where_networks_are_refused():
    for options, message in [
        ({"accuracy": (0.9, 1.2)}, "accuracy=1.2"),
        ({"accuracy": (0.9,)}, "two at least"),
        ({"hidden": (1000,)}, "two layers"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"retina": "polo768"}, "has no colliculus"),
        ({"retina": "whatwher"}, "Did you mean 'whatwhere'"),
        ({"retina": replace(SMALL, field=64)}, "has no colliculus"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            models.build("where", **options)
    stages = curriculum.growing([5], 1, 0.01, Scene128())
    for model, loss in (("where", "cross_entropy"), ("lenet", "collicular")):
        with pytest.raises(ConfigurationError, match="'collicular' teaches 'where' alone"):
            training.Training(model, stages, loss=loss)
    with pytest.raises(ConfigurationError, match=r"parameters='papers'.*Did you mean 'paper'"):
        pathways.where_training_of_2020(PROFILE, "papers")


def test_the_two_sets_of_parameters_are_not_mixed():
    ours = [pathways.where_training_of_2020(PROFILE, each) for each in ("2020-07", "paper")]
    assert [(each.stages[0].scene.noise, each.stages[0].lr, each.stages[0].epochs) for each in ours] == [
        (0.75, 5e-3, 60),
        (1.0, 1e-4, 60),
    ]
    networks = [models.build("where", **each.options) for each in ours]
    assert [isinstance(each.norm1, nn.BatchNorm1d) for each in networks] == [True, False]
    assert [each.dropout.p for each in networks] == [0.0, 0.5]
    faint = pathways.where_training_of_2020(PROFILE, "paper", 0.3).stages[0].scene
    assert faint.contrast == (0.3, 0.3) and faint.offset_max == 40 and faint.draws == "frozen"


# ---- how the eye moves ----------------------------------------------------------------------------------------------


def test_a_perfect_where_brings_the_digit_to_the_centre(sets, table):
    perfect = Seeing(table)
    for radius in (10.0, 20.0, 35.0):
        stimuli = evaluation.fixed_stimuli(sets.test, replace(BARE, radius=radius), 40)
        fixations, expected = whatwhere.scan(perfect, stimuli.images, 3)
        error = (fixations - stimuli.offsets).double().norm(dim=2)  # (4, 40)
        assert error[0].median() > 0.9 * radius
        assert error[1].median() < max(4, 0.2 * radius)  # one saccade: as exactly as cells are laid
        assert error[3].median() <= 3  # digits are not centred on their mass, cells lie 2 px from the centre
        assert expected[2].mean() > expected[0].mean()  # the nearer, the better what can be expected


def test_fixations_stay_in_the_field():
    images = torch.rand(2, 1, 128, 128, generator=rng.generator("clamp"))
    outermost = int(where.colliculus(SMALL).peaks[:, 0].argmax())
    fixations, _ = whatwhere.scan(Stubborn(outermost), images, 6)
    assert fixations[1, 0, 0] > 30 and fixations.abs().max() == 50
    assert torch.equal(fixations[5], fixations[6])  # at the edge, nowhere to go
    assert whatwhere.classify(Naming(), images, fixations).shape == (7, 2, 10)


def test_a_moved_eye_sees_the_field_around_its_fixation():
    images = torch.rand(2, 1, 128, 128, generator=rng.generator("moved"))
    seen = retina.recentred(images, torch.tensor([[10, -20], [-50, 50]]))
    assert seen[0, 0, 64, 64] == images[0, 0, 74, 44] and seen[1, 0, 70, 10] == images[1, 0, 20, 60]
    assert (seen[0, 0, -10:] == 0.5).all() and (seen[0, 0, :, :20] == 0.5).all() and (seen[1, 0, :50] == 0.5).all()
    assert torch.equal(retina.recentred(images, torch.zeros(2, 2, dtype=torch.int64)), images)


def test_an_eye_that_may_stop_stops_when_nothing_better_is_expected():
    confidence = torch.tensor([[0.9, 0.2], [0.3, 0.5], [0.8, 0.3]])  # (looks, eyes)
    posterior = torch.zeros(3, 2, 10)
    posterior[..., 7] = confidence
    posterior[1, :, 2] = 0.6
    trace = whatwhere.Scanpath(torch.zeros(3, 2, 2, dtype=torch.int64), posterior, torch.full((2, 2), 0.7))
    assert trace.needed().tolist() == [1, 3]
    assert trace.predicted(trace.needed()).tolist() == [7, 7]
    assert trace.predicted(torch.tensor([2, 3])).tolist() == [2, 7]


# ---- what is counted ------------------------------------------------------------------------------------------------


def test_counts_are_those_of_the_traces(sets, table):
    scene = replace(BARE, radius=20.0)
    one, two = Naming(), models.build("lenet")
    found = searches.of_what_where({"three": one, "lenet": two}, Seeing(table), sets.test, scene, 130, saccades=2)
    stimuli = evaluation.fixed_stimuli(sets.test, scene, 130)
    trace = whatwhere.trace(two, Seeing(table), stimuli.images, 2)
    assert list(found["lenet"].right) == (trace.posterior.argmax(2) == stimuli.labels).sum(1).tolist()
    assert found["three"].right == (int((stimuli.labels == 3).sum()),) * 3
    assert found["three"].hits == found["lenet"].hits and found["lenet"].hits[0] == 0 < found["lenet"].hits[2]
    assert found["lenet"].made == int((trace.needed() - 1).sum())
    assert found["lenet"].accuracy(1).n == 130


# ---- the systems ----------------------------------------------------------------------------------------------------


def test_the_systems_are_the_runs_that_the_chapters_published():
    store = runs.Store(ROOT / "book" / "runs", Path("nowhere"))
    for name, system in systems.SYSTEMS.items():
        assert store.find(system.training), name
        assert system.kept <= system.n_seeds
        assert system.row is None or len(facts.benchmark(system.row)) == 27


def test_numbers_used_are_those_of_an_encoding_times_encodings():
    assert systems.SYSTEMS["attention STN"].coefficients(3) == 128**2
    assert systems.SYSTEMS["log-polar STN, 768 features"].coefficients() == 768 + 28**2
    assert systems.SYSTEMS["foveal searcher with evidence map"].coefficients(2.5) == 2.5 * (2_880 + 44**2)


def test_the_training_images_of_a_searcher_are_told_by_view():
    store = runs.Store(ROOT / "book" / "runs", Path("nowhere"))
    parts = [store.find(each) for each in systems.SYSTEMS["sliding-window searcher"].parts]
    assert systems.views(parts) == "176,000 fields, 220,000 digits in 28x28 pixels"
    assert systems.cost(parts, [], 1)["train_images"] == 396_000


def test_the_benchmark_takes_no_more_seeds_than_the_chapters_train():
    for name, system in systems.SYSTEMS.items():
        declared = CHAPTERS[system.chapter].model_fields
        seeds = "n_seeds_polar" if name == "foveal searcher" else "n_seeds"
        assert 1 <= system.n_seeds <= declared[seeds].default, name


def test_what_the_model_looks_at_grows_with_its_saccades():
    assert [systems.what_where(k)[0] for k in (0, 1, 5)] == [784, 3664, 15184]
    assert facts.benchmark(systems.what_where(1)[1])[0.7, 40.0] == 0.62
    with pytest.raises(ConfigurationError, match="saccades=6"):
        systems.what_where(6)


def test_the_default_profile_is_that_of_the_published_map():
    assert where.profile(facts.accuracy_map("what")) == where.WHAT_2020
