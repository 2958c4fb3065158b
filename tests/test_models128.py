"""Transformers of the visual field: architectures of the study, samplers, curricula and the benchmark's cells."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from labbook import classifiers, digits, evaluation, models, rng, training
from labbook.curriculum import Stage
from labbook.errors import ConfigurationError
from labbook.experiments.recipes import STEPPING_STONES
from labbook.localisation import Foveated
from labbook.sampler import SAMPLERS, Attention, _axis, sample, sample_axes
from labbook.stimuli import ECCENTRICITIES, Scene128
from labbook.study2021 import schedules
from labbook.training import Training, train

IDENTITY = torch.tensor([[1.0, 0, 0], [0, 1, 0]])


def fields(n: int = 3) -> torch.Tensor:
    return torch.rand(n, 1, 128, 128, generator=rng.generator("fields"))


def windows(*numbers: tuple[float, float, float, float]) -> torch.Tensor:
    """Return theta (B, 2, 3) of (sx, sy, tx, ty) each."""
    return torch.tensor([[[sx, 0, tx], [0, sy, ty]] for sx, sy, tx, ty in numbers], dtype=torch.float32)


# ---- architectures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "localisation", "classifier"),
    [
        ("stn128", {}, 335_590, 10_816_838),
        ("stn128", {"bias": False}, 335_590 - (16 + 32 + 64 + 128 + 32 + 6), 10_816_838),
        ("stn128", STEPPING_STONES["first"], 400 + 2_010 + 4_016 + 147_520 + 2_080 + 198, 1_131_260),
        ("stn128", STEPPING_STONES["one dense layer less"], 400 + 2_010 + 4_016 + 73_760 + 198, 1_131_260),
        ("stn128", STEPPING_STONES["more kernels"], 800 + 12_832 + 51_264 + 294_944 + 198, 531_968),
        ("stn128", STEPPING_STONES["translated cluttered"], 1_600 + 51_264 + 1_722_400 + 198, 10_816_838),
        ("stn128", STEPPING_STONES["foveated"], 832 + 25_632 + 25_632 + 198, 10_816_838),
        ("atn", {}, 335_491, 431_080),
        ("atn", {"scales": 2}, 335_524, 431_080),
        ("atn", {"scale": "fixed"}, 335_458, 431_080),
        ("atn", {"kernels": [32, 64]}, 1_600 + 51_264 + 50_176 * 32 + 32 + 99, 431_080),
        ("atn", {"kernels": (16, 32, 64)}, 800 + 12_832 + 51_264 + 9_216 * 32 + 32 + 99, 431_080),
    ],
)
def test_parameter_counts_are_those_of_the_study(name, options, localisation, classifier):
    model = models.build(name, **options)
    assert classifiers.count(model.localisation) == localisation
    assert classifiers.count(model.classifier) == classifier
    assert classifiers.count(model) == localisation + classifier


def test_the_totals_of_the_study():
    totals = {"stn128": 11_152_428, "atn": 766_571, "downsampled": 431_080}
    assert {name: classifiers.count(models.build(name)) for name in totals} == totals
    classifier = models.build("stn128").classifier
    parts = [*classifier.convs, classifier.dense1, classifier.dense2]
    assert [classifiers.count(part) for part in parts] == [520, 50_100, 10_764_928, 1_290]


@pytest.mark.parametrize("options", [{}, *STEPPING_STONES.values(), {"padding": 0.5, "centre": True}])
def test_stn128_starts_at_the_identity_for_every_input(options):
    model = models.build("stn128", **options).eval()
    given = fields(2)
    with torch.no_grad():
        seen = model(given)
    assert torch.equal(seen.theta, IDENTITY.expand(2, 2, 3))
    assert seen.logits.shape == (2, 10)
    assert torch.allclose(seen.crop, given, atol=1e-4)


@pytest.mark.parametrize("start", [0, 0.2, 0.25, 1])
@pytest.mark.parametrize("scale", ["free", "positive", "fixed"])
@pytest.mark.parametrize("scales", [1, 2])
def test_atn_starts_with_the_window_asked_for(start, scale, scales):
    if (start, scale) == (0, "positive"):
        with pytest.raises(ConfigurationError, match="scale_start=0 must be above 0 with scale='positive'"):
            models.build("atn", scale_start=start, scale=scale)
        return
    seen = models.build("atn", scale_start=start, scale=scale, scales=scales)(fields(2))
    assert torch.allclose(seen.theta, windows((start, start, 0, 0)).expand(2, 2, 3), atol=1e-6)
    assert seen.crop.shape == (2, 1, 28, 28)
    if start == 0:  # every output pixel sees the centre
        assert (seen.crop - seen.crop[:, :, :1, :1]).abs().max() < 1e-6


def test_the_laws_of_the_scale():
    numbers = torch.tensor([[-2.0, 0.5, -0.5, 0.25]])
    free = Attention(0.2, scales=2).matrix(numbers)
    assert torch.equal(free, windows((-2, 0.5, -0.5, 0.25)))
    positive = Attention(0.2, "positive", 2).matrix(numbers)
    assert (positive[0, 0, 0] > 0) and torch.equal(positive[..., 2], free[..., 2])
    fixed = Attention(0.3, "fixed").matrix(numbers[:, 2:])
    assert torch.allclose(fixed, windows((0.3, 0.3, -0.5, 0.25)))
    one = Attention(0.2).matrix(numbers[:, :3])
    assert torch.equal(one, windows((-2, -2, 0.5, -0.5)))


def test_atn_takes_small_images_for_perfect_fixations():
    model = models.build("atn")
    crop = torch.rand(2, 1, 28, 28, generator=rng.generator("crop"))
    seen = model(crop)
    assert seen.theta is None and torch.equal(seen.logits, model.classifier(crop).logits)


def test_the_foveated_layer_sees_four_concentric_windows():
    """A change outside a window leaves the channels of its scale as they are."""
    layer = Foveated(2)
    image = fields(1)
    with torch.no_grad():
        before = layer(image)
        for k, margin in enumerate((0, 16, 32, 48)):
            changed = torch.ones(1, 1, 128, 128)
            changed[..., margin : 128 - margin, margin : 128 - margin] = image[
                ..., margin : 128 - margin, margin : 128 - margin
            ]
            same = [torch.equal(a, b) for a, b in zip(before.split(2, 1), layer(changed).split(2, 1), strict=True)]
            assert same == [i >= k for i in range(4)]
    assert before.shape == (1, 8, 28, 28)


def test_centring_subtracts_grey_from_what_the_localisation_sees():
    plain, centred = (models.build("atn", zero_start=False, centre=centre) for centre in (False, True))
    image = fields(2)
    assert torch.allclose(centred(image).theta, plain(image - 0.5).theta, atol=1e-6)
    assert not torch.allclose(centred(image).theta, plain(image).theta)


def test_dropout_is_there_in_training_alone():
    model = models.build("atn", dropout=0.5, zero_start=False)
    image = fields(1)
    assert not torch.equal(model(image).theta, model(image).theta)
    model.eval()
    assert torch.equal(model(image).theta, model(image).theta)


def test_the_kaiming_start_keeps_the_variance():
    model = models.build("atn", kaiming=True)
    for conv in (*model.localisation.convs, model.classifier.conv2):
        fan_in = conv.weight[0].numel()
        assert conv.weight.var().item() == pytest.approx(2 / fan_in, rel=0.15) and not conv.bias.any()
    assert torch.allclose(model(fields(1)).theta, windows((0.2, 0.2, 0, 0)))  # the window's start is kept


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("atn", {"scale": "postive"}, "scale='postive'.*Did you mean 'positive'"),
        ("atn", {"scales": 3}, "scales=3 is not one of 1, 2"),
        ("atn", {"scale_start": 11}, "scale_start=11 must"),
        ("atn", {"sampler": "gird"}, "sampler='gird'.*Did you mean 'grid'"),
        ("atn", {"kernels": ()}, r"kernels=\(\) must hold"),
        ("atn", {"kernels": (8, 0)}, "kernels=0 must"),
        ("atn", {"kernels": (8,) * 6}, "6 convolutions leave no pixel"),
        ("stn128", {"first": "fovated"}, "first='fovated'.*Did you mean 'foveated'"),
        ("stn128", {"dropout": 1}, "dropout=1 must"),
        ("stn128", {"hidden": [32.5]}, "hidden=32.5 must be a whole number"),
        ("stn128", {"padding": 2}, "padding=2 must"),
    ],
)
def test_impossible_options_are_refused_by_name(name, options, words):
    with pytest.raises(ConfigurationError, match=words):
        models.build(name, **options)


# ---- samplers --------------------------------------------------------------------------------------------------------

number = st.floats(-1.5, 1.5, width=32)


@settings(max_examples=40)
@given(number, number, number, number, st.sampled_from([0.0, 0.5]), st.sampled_from([1, 7, 28, 128]))
def test_two_small_matrices_see_what_the_grid_sees(sx, sy, tx, ty, padding, edge):
    """Values and gradients; also beyond the image, with mirrored windows, and with none at all (scale 0)."""
    image = fields(1)[..., :100].double()  # not square
    theta = windows((sx, sy, tx, ty)).double()
    out, slopes = [], []
    for sampler in (sample, sample_axes):
        given = theta.clone().requires_grad_()
        out.append(sampler(image, given, edge, padding))
        out[-1].cos().sum().backward()
        slopes.append(given.grad[:, [0, 1, 0, 1], [0, 1, 2, 2]])
    assert torch.allclose(*out, atol=1e-9)
    at = [
        ((s * (2 * torch.arange(edge) + 1 - edge) / edge + t + 1) * n - 1) / 2
        for s, t, n in ((sx, tx, 100), (sy, ty, 128))
    ]
    if all(((each - each.round()).abs() > 1e-6).all() for each in at):  # on a pixel, bilinear has two slopes
        assert torch.allclose(*slopes, rtol=1e-6, atol=1e-6)


def test_gradients_of_both_filters():
    image = torch.rand(2, 1, 12, 12, generator=rng.generator("gradients"), dtype=torch.float64, requires_grad=True)
    theta = windows((0.83, -0.71, 0.113, -0.21), (1.31, 0.9, -0.4, 0.37)).double().requires_grad_()
    for antialias in (False, True):
        assert torch.autograd.gradcheck(lambda i, t, a=antialias: sample_axes(i, t, 5, 0.5, a), (image, theta))


def test_the_filter_is_the_interpolation_s_own():
    """Over the whole image: PyTorch's antialiased interpolation, but for the border, where that one renormalises."""
    image = fields(2)
    seen = sample_axes(image, IDENTITY.expand(2, 2, 3), 28, antialias=True)
    theirs = F.interpolate(image, (28, 28), mode="bilinear", align_corners=False, antialias=True)
    assert torch.allclose(seen[..., 1:-1, 1:-1], theirs[..., 1:-1, 1:-1], atol=1e-5)
    assert torch.allclose(classifiers.Downsampled(True)(image).crop, theirs)
    coarse = F.interpolate(image, (28, 28), mode="bilinear", align_corners=False)
    assert torch.allclose(classifiers.Downsampled()(image).crop, coarse)


@given(number, number, number)
def test_the_filter_weighs_one_in_all(s, tx, ty):
    """A field of grey on grey stays grey, wherever and however wide the window."""
    seen = sample_axes(torch.full((1, 1, 64, 64), 0.5), windows((s, s, tx, ty)), 9, 0.5, antialias=True)
    assert torch.allclose(seen, torch.full_like(seen, 0.5), atol=1e-6)
    mass = _axis(torch.tensor([s]) / 4, torch.tensor([tx]) / 4, 9, 64, True).sum(-1)
    assert torch.allclose(mass, torch.ones(1, 9), atol=1e-4)  # the window lies within the image


@given(st.floats(-0.21, 0.21), number)
def test_the_filter_changes_nothing_where_nothing_is_skipped(s, tx):
    image, theta = fields(1), windows((s, s, tx, 0))
    sharp, filtered = (sample_axes(image, theta, 28, 0, antialias) for antialias in (False, True))
    assert torch.allclose(sharp, filtered, atol=1e-5)


def test_the_filter_removes_what_28_pixels_cannot_show():
    """Gratings above the Nyquist frequency of a step of 4.57 pixels, 0.109 cycles per pixel: contrast that is left."""
    x = torch.arange(128.0)
    for frequency in (0.16, 0.2, 0.23, 0.3, 0.4):
        image = torch.cos(2 * torch.pi * frequency * x + 0.3).expand(1, 1, 128, 128)
        left = [
            sample_axes(image, IDENTITY[None], 28, 0, antialias)[..., 4:-4, 4:-4].std() / image.std()
            for antialias in (False, True)
        ]
        assert left[1] < 0.2 and left[0] > 4 * left[1]
    slow = torch.cos(2 * torch.pi * 0.01 * x).expand(1, 1, 128, 128)
    kept = sample_axes(slow, IDENTITY[None], 28, 0, True)[..., 4:-4, 4:-4]
    assert (kept - sample(slow, IDENTITY[None], 28)[..., 4:-4, 4:-4]).abs().max() < 0.05


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_is_deterministic_in_a_model(sampler):
    def gradients():
        model = models.build("atn", sampler=sampler, padding=0.5)
        model(fields(2)).logits.square().sum().backward()
        return [parameter.grad for parameter in model.parameters()]

    pairs = list(zip(gradients(), gradients(), strict=True))
    assert all(torch.equal(one, other) for one, other in pairs)
    last = models.build("atn", sampler=sampler)
    last(fields(2)).logits.sum().backward()
    assert last.localisation.last.bias.grad.abs().min() > 0


# ---- curricula -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "rates", "low"),
    [
        (schedules.week5, [0.01] * 3 + [0.001] * 3 + [0.0001] * 3, [0.001, 0.001]),
        (
            schedules.week6,
            [0.01, 0.005, 0.0025, 0.00125, 0.000625, 0.0003125, 0.00015625, 7.8125e-05, 3.90625e-05],
            [0.001, 0.0005],
        ),
    ],
)
def test_the_schedules_of_the_field_are_those_of_2021(make, rates, low):
    stages = make(draws="frozen")
    assert [stage.lr_at(epoch) for stage in stages for epoch in (0, 9)] == [
        rate for rate in (*rates, *low) for _ in range(2)
    ]
    assert sum(stage.epochs for stage in stages) == 110
    assert [stage.scene.std for stage in stages] == [*ECCENTRICITIES, 40, 40]
    assert [round(std, 3) for std in ECCENTRICITIES[:3]] == [4.444, 8.889, 13.333]
    assert [stage.scene.contrast for stage in stages] == [(0.7, 0.7)] * 9 + [(0.5, 0.7), (0.3, 0.7)]
    assert {(s.scene.noise, s.scene.offset_max, s.scene.draws, s.scene.radius) for s in stages} == {
        (0.75, 40, "frozen", None)
    }
    assert {stage.epochs for stage in make(epochs=2)} == {2}


# ---- training and evaluation -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(sets) -> digits.DigitSets:
    return digits.DigitSets(sets.train[:40], sets.validation[:12], sets.test[:12], sets.name, sets.origin)


def test_atn_trains_from_perfect_fixations_to_the_field(tiny):
    near = Scene128(std=4.4, contrast=(0.7, 0.7))
    stages = (
        Stage(Scene128(std=4.4, contrast=(0.7, 0.7), view="oracle"), 1, 0.01),
        Stage(near, 1, 0.01),
        Stage(Scene128(draws="frozen"), 1, 0.001),
    )
    config = Training("atn", stages, {"centre": True, "padding": 0.5}, batch=20, fraction=0.5, data="digits")
    outcome = train(config, tiny)
    assert [record["theta"] is None for record in outcome.history] == [True, False, False]
    assert all(len(record["theta"]["spread"]) == 6 for record in outcome.history[1:])
    start = models.build("atn", rng.generator("weights", 0), centre=True, padding=0.5).state_dict()
    alone = train(training.replace(config, stages=stages[:1]), tiny).model.state_dict()
    for name in start:  # a fixation that is given teaches the classifier alone
        assert torch.equal(start[name], alone[name]) == name.startswith("localisation."), name


def test_stn128_trains(tiny):
    config = Training("stn128", (Stage(Scene128(texture="bank"), 1, 0.01),), batch=4, fraction=0.1, data="digits")
    start = models.build("stn128", rng.generator("weights", 0)).state_dict()
    end = train(config, tiny).model.state_dict()
    moved = {name: not torch.equal(start[name], end[name]) for name in start}
    assert all(on for name, on in moved.items() if not name.startswith("localisation.") or ".last." in name)


class Bright(torch.nn.Module):
    """Answers 1 where the scene's centre window is brighter than grey on average, else 0; and looks at the centre."""

    def forward(self, image):
        middle = image[..., 50:78, 50:78].mean((1, 2, 3)) > 0.5
        return classifiers.TransformerOutput(
            F.one_hot(middle.long(), 10).float(), IDENTITY.expand(len(image), 2, 3), image
        )


def test_the_benchmark_has_27_cells_that_share_their_draws(tiny):
    cells = evaluation.cells()
    assert list(cells) == list(itertools.product((0.7, 0.5, 0.3), ECCENTRICITIES))
    assert all(scene.contrast == (c, c) and scene.radius == r for (c, r), scene in cells.items())
    measured = evaluation.benchmark(Bright(), tiny.test, n=10)
    assert list(measured) == list(cells) and {proportion.n for proportion in measured.values()} == {10}
    one, other = (evaluation.fixed_stimuli(tiny.test, cells[0.7, ECCENTRICITIES[k]], 10) for k in (0, 8))
    assert one.offsets.sign().mul(other.offsets.sign()).min() >= 0  # the same directions
    free = torch.ones(128, 128, dtype=torch.bool)
    free[10:118, 10:118] = False
    ring = [stimuli.images[:, 0, free] for stimuli in (one, other)]
    assert min(torch.corrcoef(torch.stack((a, b)))[0, 1] for a, b in zip(*ring, strict=True)) > 0.999  # textures too


@pytest.mark.parametrize("draws", ["fresh", "frozen"])
def test_streamed_answers_are_those_of_all_stimuli_at_once(sets, draws):
    scene = Scene128(draws=draws, std=10)
    small = digits.Digits(sets.train.images[:510], sets.train.labels[:510])
    stimuli = evaluation.fixed_stimuli(small, scene)
    at_once = evaluation.predict(Bright(), stimuli)
    streamed = evaluation.predictions(Bright(), small, scene)
    for name in ("predicted", "correct", "theta", "offsets"):
        assert torch.equal(getattr(at_once, name), getattr(streamed, name))
    assert torch.equal(streamed.offsets, stimuli.offsets)
    assert evaluation.accuracy(Bright(), small, scene) == at_once.accuracy


def test_accuracy_maps_of_the_field(tiny):
    """`Bright` reads the centre: it answers otherwise where the digit has left it."""

    class Lit(torch.nn.Module):
        def forward(self, image):
            lit = (image[..., 50:78, 50:78] > 0.9).flatten(1).any(1)
            return classifiers.TransformerOutput(F.one_hot(lit.long(), 10).float(), None, image)

    ones = digits.Digits(tiny.test.images, torch.ones_like(tiny.test.labels))
    made = evaluation.accuracy_map(Lit(), ones, Scene128(noise=0, contrast=(0.7, 0.7)), n=12, axis=[-40, 0, 40])
    assert made.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
