"""The searcher: it learns from labels alone, looks where it says, sees itself centred, and stops when it should."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from labbook import classifiers, digits, evaluation, gradient_alignment, models, retina, rng, stimuli, training
from labbook.book import searches
from labbook.curriculum import Stage
from labbook.errors import ConfigurationError
from labbook.experiments import curricula
from labbook.search import peripheries, searcher
from labbook.stimuli import MARGIN, Scene28, Scene128, Stimuli, crops, disc, fixations
from labbook.training import Training, train

PERIPHERIES = {"full": {"width": 4}, "log-polar": {"retina": "polo768", "width": 8}}  # small ones

inside = st.integers(-MARGIN, MARGIN)


@pytest.fixture(scope="module")
def handful(sets) -> digits.DigitSets:
    """So few digits that a training takes a blink."""
    return replace(sets, train=sets.train[:400], validation=sets.validation[:20])


def tiny(periphery: str = "full", **changes) -> Training:
    """Eight steps of ten images, two on digits without a field."""
    stages = curricula.for_searcher(1, 3, 0.002)
    options = {"periphery": periphery, **PERIPHERIES[periphery]}
    base = Training(
        "searcher", stages, options, "adamw", loss="value of fixations", batch=10, fraction=0.05, data="digits"
    )
    return replace(base, reset_optimiser=False, **changes)


def weights(outcome) -> dict:
    return {name: value.clone() for name, value in outcome.model.state_dict().items()}


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def fields(sets, n: int = 4, **scene) -> Stimuli:
    return evaluation.fixed_stimuli(sets.test, Scene128(**scene), n)


def build(periphery: str, **options) -> searcher.Searcher:
    return models.build("searcher", periphery=periphery, **PERIPHERIES[periphery], **options)


# ---- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("periphery", PERIPHERIES)
def test_no_position_reaches_the_training(handful, periphery, monkeypatch):
    """The same weights to the bit, whatever is written where the stimuli tell their positions."""
    honest = weights(train(tiny(periphery), handful))

    def lying(digits, rows, scene, generator=None, offsets=None):
        drawn = stimuli.draw(digits, rows, scene, generator, offsets)
        return drawn._replace(offsets=torch.full_like(drawn.offsets, 7), contrast=torch.zeros_like(drawn.contrast))

    monkeypatch.setattr(training, "draw", lying)
    assert same(honest, weights(train(tiny(periphery), handful)))


def test_the_labels_reach_it(handful, monkeypatch):
    """The counterpart of the test above: with other labels, other weights."""
    honest = weights(train(tiny(), handful))

    def lying(*given):
        drawn = stimuli.draw(*given)
        return drawn._replace(labels=(drawn.labels + 1) % 10)

    monkeypatch.setattr(training, "draw", lying)
    other = weights(train(tiny(), handful))
    assert not torch.equal(honest["what.dense2.weight"], other["what.dense2.weight"])
    assert not torch.equal(honest["where.last.weight"], other["where.last.weight"])


def test_a_run_broken_off_resumes_to_the_same_bits(handful, tmp_path, monkeypatch):
    """Of what is standardised by all that was shown, too."""
    periphery = "log-polar"
    whole = weights(train(tiny(periphery), handful))
    step, taken = training._Run._step, []

    def breaking(run, *given):
        if len(taken) == 5:
            raise KeyboardInterrupt
        taken.append(None)
        return step(run, *given)

    monkeypatch.setattr(training._Run, "_step", breaking)
    with pytest.raises(KeyboardInterrupt):
        train(tiny(periphery), handful, checkpoint=tmp_path / "state", every=0)
    monkeypatch.setattr(training._Run, "_step", step)
    assert same(whole, weights(train(tiny(periphery), handful, checkpoint=tmp_path / "state")))


def test_the_where_network_learns_what_the_what_network_does(sets):
    """On a map whose promises are all wrong, a few steps bring them towards the what network's own success."""
    torch.manual_seed(0)
    model = build("full").train()
    nn.init.constant_(model.where.last.bias, 2.0)
    stimuli = fields(sets, 12)
    optimiser = torch.optim.Adam(model.where.parameters(), 0.1)
    gaps = []
    for _ in range(14):
        seen = model(stimuli.images)
        right = seen.sampled_logits.softmax(2)[torch.arange(12), :, stimuli.labels]
        gaps.append((seen.values.sigmoid() - right).abs().mean().item())
        optimiser.zero_grad()
        searcher.loss(seen, stimuli.labels).backward()
        optimiser.step()
    assert gaps[0] > 0.7 and gaps[-1] < 0.2


def test_where_and_what_teach_each_other_through_no_gradient(sets):
    """The values' loss moves the where network alone, the answer's loss the what network alone."""
    model = build("full").train()
    stimuli = fields(sets)
    seen = model(stimuli.images)
    assert not seen.sampled_logits.requires_grad
    seen.values.sum().backward()
    assert all(p.grad is None for p in model.what.parameters())
    model.zero_grad()
    model(stimuli.images).logits.sum().backward()
    assert all(p.grad is None for p in model.where.parameters())


def test_an_answer_counts_as_much_as_its_fixation_is_trusted():
    logits, labels = torch.zeros(2, 10), torch.tensor([3, 4])
    answers = torch.zeros(2, 1, 10)

    def loss(value: float) -> float:
        values = torch.full((2, 1), value)
        seen = searcher.SearcherOutput(logits, torch.zeros(2, 2, 3), torch.zeros(2, 1, 28, 28), values, answers)
        where = nn.functional.binary_cross_entropy_with_logits(values, torch.full((2, 1), 0.1))
        return (searcher.loss(seen, labels) - where).item()

    assert loss(1.0) == pytest.approx(torch.tensor(1.0).sigmoid().item() * math.log(10), rel=1e-5)
    assert loss(-0.1) == pytest.approx(0, abs=1e-6)


def test_tries_are_the_best_place_then_the_map_then_anywhere():
    model = build("full", tries=6, uniform=0.6)
    values = torch.full((200, 676), -9.0)
    values[:, 5] = 9
    tried = model._sample_places(values)
    assert tried.shape == (200, 6)
    assert (tried[:, :3] == 5).all()  # the best, and two of the softmax
    assert (tried[:, 3:] == 5).float().mean() < 0.02 and tried[:, 3:].unique().numel() > 250
    assert (build("full", uniform=0.0)._sample_places(values) == 5).all()


# ---- looking ---------------------------------------------------------------------------------------------------------


@given(inside, inside)
def test_the_fovea_at_the_digit_shows_it_in_its_middle(down, right):
    image = torch.zeros(1, 1, 128, 128)
    image[0, 0, 63 + down : 65 + down, 63 + right : 65 + right] = 1
    crop = searcher.foveal_crops(image, torch.tensor([[[down, right]]]))
    assert crop.shape == (1, 1, 28, 28)
    assert crop[0, 0, 13:15, 13:15].sum() == 4 == crop.sum()


def test_the_fovea_keeps_images_and_places_in_order():
    images = torch.arange(3.0)[:, None, None, None].expand(3, 1, 128, 128)
    crops = searcher.foveal_crops(images, torch.zeros(3, 2, 2, dtype=torch.int64))
    assert crops.mean((1, 2, 3)).tolist() == [0, 0, 1, 1, 2, 2]


@given(inside, inside)
def test_re_encoding_at_the_digit_centres_it(down, right):
    """The digit comes to the middle, what was beyond the field is grey, and the fovea sees the same as before."""
    image = torch.rand(1, 1, 128, 128, generator=rng.generator("field"))
    gaze = torch.tensor([[down, right]])
    again = retina.recentred(image, gaze)
    middle = torch.zeros(1, 1, 2, dtype=torch.int64)
    assert torch.equal(searcher.foveal_crops(again, middle), searcher.foveal_crops(image, gaze[:, None]))
    if down > 0:
        assert (again[..., 128 - down :, :] == 0.5).all()
    if right < 0:
        assert (again[..., :-right] == 0.5).all()


# ---- peripheries -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [4, 8])
def test_places_of_the_grid_are_where_its_network_looks(stride):
    """Only the 40x40 pixels around a place change its value, and they do so evenly to all sides."""
    where = models.build("searcher", stride=stride).where.eval()
    gaze = torch.zeros(1, 2, dtype=torch.int64)
    images = torch.full((1, 1, 128, 128), 0.5, requires_grad=True)
    places = where.places(gaze)[0]
    cell = len(places) // 2
    nn.init.constant_(where.last.weight, 1.0)
    for layer in where.layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 0.1)
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.constant_(layer.bias, 1.0)
    where(images, gaze)[0, cell].backward()
    rows = images.grad[0, 0].abs().sum(1).nonzero()[:, 0]
    assert rows[-1] - rows[0] + 1 == 40
    assert (rows[0] + rows[-1]) / 2 - 63.5 == places[cell, 0]


def test_a_turned_scene_turns_the_log_polar_map():
    """A quarter turn is four of the sixteen azimuths of 768 coefficients."""
    where = build("log-polar").where.eval()
    nn.init.normal_(where.last.weight, generator=rng.generator("last"))
    image = disc() * torch.rand(1, 1, 128, 128, generator=rng.generator("field"))
    middle = torch.zeros(1, 2, dtype=torch.int64)
    # the retina is centred on pixel 64, so turn the 127x127 pixels around it
    inner = image.clone()
    inner[..., 0, :] = inner[..., :, 0] = 0.5
    turned = inner.clone()
    turned[..., 1:, 1:] = inner[..., 1:, 1:].rot90(1, (-2, -1))
    maps = [where(each, middle).view(16, -1) for each in (inner, turned)]
    best = min(range(16), key=lambda k: (maps[0].roll(k, 0) - maps[1]).abs().sum().item())
    assert best in (4, 12)


def test_log_polar_places_follow_the_gaze_and_stay_in_the_field():
    where = build("log-polar").where
    gaze = torch.tensor([[0, 0], [30, -45]])
    places = where.places(gaze)
    assert places.shape == (2, 96, 2) and places.abs().max() <= MARGIN
    assert torch.equal(places[1], (where.grid + gaze[1]).clamp(-MARGIN, MARGIN))
    centres = retina.cells(where.settings).centres
    assert {tuple(row) for row in where.grid.tolist()} == {tuple(row) for row in (centres - 64).round().int().tolist()}


def test_features_are_standardised_by_all_that_was_seen():
    standard = peripheries.RunningStandardisation(3)
    batches = torch.randn(4, 50, 3, generator=rng.generator("features")) * torch.tensor([1, 9, 0.1]) + 5
    for batch in batches:
        standard(batch)
    seen = batches.flatten(0, 1)
    mean, var = seen.mean(0), torch.stack([batch.var(0) for batch in batches]).mean(0)
    expected = (seen - mean) / var.sqrt()
    assert torch.allclose(standard.eval()(seen), expected, atol=1e-2)
    assert torch.equal(standard(seen[:1]), standard(seen)[:1])


# ---- searching -------------------------------------------------------------------------------------------------------


class Promises(nn.Module):
    """A where network with given values at three places."""

    moves, reach = False, 0.0

    def __init__(self, *values: float):
        super().__init__()
        self.values = torch.tensor(values).logit()

    def places(self, gaze):
        return torch.tensor([[0, 0], [0, 20], [20, 0]]).expand(len(gaze), -1, -1)

    def forward(self, images, gaze):
        return self.values.expand(len(images), -1)


class Bright(nn.Module):
    """A what network that answers the digit 5, as surely as its crop is bright."""

    def forward(self, crop):
        sure = crop.mean((1, 2, 3)).clamp(0.1, 0.999)
        posterior = ((1 - sure) / 9)[:, None].repeat(1, 10)
        posterior[:, 5] = sure
        return classifiers.TransformerOutput(posterior.log(), None, crop)


def search(image, saccades, *promises) -> searcher.SearchTrace:
    model = build("full")
    model.where, model.what = Promises(*promises), Bright()
    return model.search(image, saccades)


def test_it_stops_when_a_fixation_is_worth_what_any_other_place_promises():
    dark, bright = torch.full((1, 1, 128, 128), 0.3), torch.full((1, 1, 128, 128), 0.7)
    trace = search(torch.cat((dark, bright)), 3, 0.9, 0.5, 0.4)
    assert trace.made.tolist() == [3, 1]
    assert trace.fixations[0].tolist() == [[0, 0], [0, 20], [20, 0]]
    assert trace.expected[0].tolist() == pytest.approx([0.9, 0.5, 0.4])
    assert trace.expected[1].tolist() == pytest.approx([0.9, 0, 0])  # what was not looked at stays empty
    assert trace.confidence[0].tolist() == pytest.approx([0.3 * 0.9, 0.3 * 0.5, 0.3 * 0.4])


def test_it_answers_from_the_fixation_of_the_highest_worth():
    image = torch.full((1, 1, 128, 128), 0.2)
    image[..., 70:, 50:78] = 0.6  # below the middle: at (20, 0)
    trace = search(image, 3, 0.9, 0.5, 0.6)
    assert trace.fixations[0, : trace.made[0]].tolist()[trace.best[0]] == [20, 0]


class Forgetful(Promises):
    """A where network that sees two places, from wherever it looks, and promises for them what it is given."""

    moves = True

    def __init__(self, first: tuple[float, float], later: tuple[float, float]):
        super().__init__(*first)
        self.later = torch.tensor(later).logit()

    def places(self, gaze):
        return torch.tensor([[0, 40], [40, 0]]).expand(len(gaze), -1, -1)

    def forward(self, images, gaze):
        return torch.where(gaze.any(1, keepdim=True), self.later, self.values)


def test_a_promise_made_from_afar_holds_until_the_place_is_seen_from_nearer():
    model = build("full", inhibition=1.0)
    model.what = Bright()
    dark = torch.full((1, 1, 128, 128), 0.2)
    # From (0, 40) the other place is further away than from the middle: the first promise for it, 0.8, still counts.
    model.where = Forgetful((0.9, 0.8), (0.1, 0.3))
    trace = model.search(dark, 2)
    assert trace.fixations[0].tolist() == [[0, 40], [40, 0]]
    assert trace.expected[0].tolist() == pytest.approx([0.9, 0.8])
    assert trace.confidence[0].tolist() == pytest.approx([0.2 * 0.1, 0.2 * 0.3])  # promised when the eye is there


def test_the_nearest_gaze_is_believed():
    gazes = torch.tensor([[[0, 0], [0, 40]]])
    places = torch.tensor([[[0, 10], [0, 30], [0, 10], [0, 30]]])  # two seen from each
    assert searcher._nearest(places, gazes).tolist() == [[True, False, False, True]]


def test_a_search_allowed_less_begins_the_same(sets):
    model = build("log-polar", saccades=4).eval()
    images = fields(sets, 8).images
    with torch.inference_mode():
        whole = model.search(images)
        for s in (1, 2, 3):
            short, cut = model.search(images, s), whole.cut(s)
            for one, other in zip(short, cut, strict=True):
                assert torch.equal(one, other)
            assert torch.equal(short.predicted, cut.predicted)


def test_the_benchmark_counts_what_evaluation_counts(sets):
    """One pass gives what the benchmark gives for each number of saccades and for perfect fixations."""
    model = build("full").eval()
    nn.init.normal_(model.where.last.weight, generator=rng.generator("last"))
    counts = searches.of_searcher(model, sets.test, 3, 2)

    def correct(view: str = "field") -> list[int]:
        return [each.correct for each in evaluation.benchmark(model, sets.test, 3, Scene128(view=view)).values()]

    for s in (2, 1):
        model.saccades = s
        assert counts["right"][s - 1] == correct()
    assert counts["perfect"] == correct("oracle")
    for k, scene in enumerate(evaluation.cells().values()):
        found = evaluation.predictions(model, sets.test, scene, 3)
        astray = evaluation.fixation_error(found) > searches.NEAR
        assert counts["astray"][k] == int(astray.sum()) and 3 <= counts["made"][k] <= 6
        assert counts["lost"][k] == int((astray & ~found.correct).sum())


@pytest.mark.parametrize("periphery", PERIPHERIES)
def test_in_evaluation_it_searches_and_draws_nothing(sets, periphery):
    model = build(periphery, saccades=3).eval()
    stimuli = fields(sets, 6)
    state = torch.get_rng_state()
    with torch.inference_mode():
        seen, trace = model(stimuli.images), model.search(stimuli.images)
    assert torch.equal(torch.get_rng_state(), state)
    assert seen.logits.shape == (6, 10) and seen.theta.shape == (6, 2, 3) and seen.crop.shape == (6, 1, 28, 28)
    assert trace.fixations.shape == (6, 3, 2) and trace.posteriors.shape == (6, 3, 10)
    rows = torch.arange(6)
    assert torch.equal(fixations(seen.theta, 128).round().long(), trace.fixations[rows, trace.best])
    assert torch.allclose(seen.logits.exp().sum(1), torch.ones(6), atol=1e-5)
    assert torch.equal(seen.crop, crops(stimuli.images, trace.fixations[rows, trace.best]))


def test_searches_do_not_depend_on_their_batch(sets):
    model = build("log-polar", saccades=4).eval()
    images = fields(sets, 8).images
    with torch.inference_mode():
        together, alone = model.search(images), [model.search(each[None]) for each in images]
    assert torch.equal(together.fixations, torch.cat([each.fixations for each in alone]))
    assert torch.equal(together.made, torch.cat([each.made for each in alone]))


def test_28x28_images_go_to_the_what_network(sets):
    model = build("full").eval()
    crops = torch.rand(3, 1, 28, 28, generator=rng.generator("crops"))
    assert torch.equal(model(crops).logits, model.what(crops).logits)


def test_the_warm_up_has_no_field():
    first, *others = curricula.for_searcher()
    assert isinstance(first.scene, Scene28)
    assert all(isinstance(stage, Stage) and isinstance(stage.scene, Scene128) for stage in others)
    assert {stage.scene.view for stage in others} == {"field"}


# ---- the gradient ----------------------------------------------------------------------------------------------------


def test_a_window_beside_a_blob_is_pulled_towards_it(sets):
    """A what network that is right as far as its crop is bright pulls a window to what is bright, if it sees it."""

    class Light(nn.Module):
        def forward(self, crop):
            light = crop.mean((1, 2, 3)) * 20
            return classifiers.TransformerOutput(
                nn.functional.one_hot(torch.zeros(len(crop), dtype=torch.int64), 10) * light[:, None], None, crop
            )

    images = torch.zeros(5, 1, 128, 128)
    axis = torch.arange(128.0) - 63.5
    images[:] = torch.exp(-(axis[:, None] ** 2 + axis**2) / 50)
    offsets = torch.zeros(5, 2, dtype=torch.int64)
    stimuli = Stimuli(images, torch.zeros(5, dtype=torch.int64), offsets, torch.ones(5))
    near = gradient_alignment.at_distance(Light(), stimuli, 10.0, rng.generator("direction"))
    assert (near.alignment > 0.9).all() and (near.norm > 0).all()
    far = gradient_alignment.at_distance(Light(), stimuli, 40.0, rng.generator("direction"))
    assert (far.norm < 1e-3 * near.norm).all()


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"periphery": "log polar"}, "log-polar"),
        ({"stride": 5}, "stride=5"),
        ({"tries": 1}, "tries=1"),
        ({"uniform": 1.5}, "uniform=1.5"),
        ({"saccades": 0}, "saccades=0"),
        ({"inhibition": -1.0}, "inhibition=-1.0"),
        ({"width": 513}, "width=513"),
        ({"periphery": "log-polar", "retina": "polo"}, "polo768"),
        ({"periphery": "log-polar", "retina": "polo2560"}, "2 parts"),
        ({"fixations": 3}, "fixations"),
    ],
)
def test_what_is_refused_is_named(options, word):
    with pytest.raises(ConfigurationError, match=word):
        models.build("searcher", **options)


def test_a_search_refuses_no_saccade():
    with pytest.raises(ConfigurationError, match="saccades=0"):
        build("full").search(torch.zeros(1, 1, 128, 128), 0)
