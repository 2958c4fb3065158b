"""The trainings of this book: those that chapters get from `experiments`, at their defaults, are the published ones;
and what week 3 measures."""

import json

import pytest
import torch
from here import ROOT
from torch import nn

from labbook import evaluation, models
from labbook.book.store import Store
from labbook.config import seeded
from labbook.experiments import week2, week3, week4, week5, week6, week7
from labbook.stimuli import Scene128

OURS = {
    "week2_adam_vs_sgd": [*week2.trials().values(), week2.through_shifts("sgd", 0.01, 0.125)],
    "week4_curriculum": [*week4.curricula().values(), *week4.changes().values()],
    "week5_contrast": [*week5.ours().values(), *week5.downsampled().values()],
    "week6_attention": [
        *(each for group in week6.stand_ins().values() for each in group.values()),
        *week6.gradients(0.02).values(),
        *week6.classifiers_alone().values(),
    ],
    "week7_polo": [*week7.ours().values()],
}


@pytest.mark.parametrize("chapter", OURS)
def test_the_trainings_of_a_chapter_are_published(chapter, tmp_path):
    runs = json.loads((ROOT / "book" / "results" / f"{chapter}.json").read_text("utf-8"))["runs"]
    store, used = Store(ROOT / "book" / "runs", tmp_path, True), {run["id"] for run in runs}
    for training in OURS[chapter]:
        run = store.find(seeded(training, 0, "mnist"))
        assert run is not None and run.id in used, training


def test_the_last_map_has_the_size_and_the_receptive_field_of_the_equations():
    assert week3.last_map([nn.Conv2d(1, 8, 7), nn.Conv2d(8, 10, 5)]) == "10 @ 28 × 28, 18 px"


def test_a_window_of_the_whole_field_changes_no_accuracy(few):
    model, scene = models.build("stn128").eval(), Scene128(std=0.0)  # its first theta is the identity
    before = evaluation.accuracy(model, few.test, scene, 10).value
    assert week3.enlarged(model, few.test, scene, (1.0, 0.5), 10)[0] == before
    assert model.localise(torch.zeros(1, 1, 128, 128)).tolist() == [[[0.5, 0, 0], [0, 0.5, 0]]]
