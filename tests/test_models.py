"""Models: architectures of the study, theta and sampler conventions, reproducible weights."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labbook import classifiers, models, rng, sampler, stimuli
from labbook.errors import ConfigurationError

IDENTITY = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
STNS = [{}, {"theta": "attention"}, {"classifier": "tutorial"}, {"bias": False}, {"padding": 0.5}]


def images(n: int = 8) -> torch.Tensor:
    return torch.rand(n, 1, 28, 28, generator=rng.generator("images"))


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("lenet", {}, 431_080),
        ("tutorial", {}, 21_840),
        ("stn28", {}, 436_600),
        ("stn28", {"classifier": "tutorial"}, 21_840 + 5_520),
        ("stn28", {"theta": "attention"}, 436_600 - 3 * 33),
        ("stn28", {"bias": False}, 436_600 - (8 + 10 + 32 + 6)),
    ],
)
def test_parameter_counts_are_those_of_the_study(name, options, parameters):
    assert classifiers.count(models.build(name, **options)) == parameters


def test_parts_have_the_counts_of_the_study():
    model = models.build("stn28")
    assert classifiers.count(model.localisation) == 5_520
    parts = [model.localisation.conv1, model.localisation.conv2, model.localisation.dense1, model.localisation.dense2]
    assert [classifiers.count(part) for part in parts] == [400, 2_010, 2_912, 198]
    assert [classifiers.count(part) for part in model.classifier.children()] == [520, 25_050, 400_500, 5_010]


# ---- sampler ---------------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_the_identity_returns_the_image(edge, padding):
    image = torch.rand(2, 1, edge, edge, generator=rng.generator("identity", edge))
    seen = sampler.sample(image, IDENTITY.expand(2, 2, 3), edge, padding)
    assert torch.allclose(seen, image, atol=1e-5)


@given(st.integers(-14, 14), st.integers(-14, 14), st.integers(0, 1199))
def test_a_window_moved_by_d_undoes_a_shift_by_d(sets, down, right, index):
    """A digit moved by d pixels is re-centred by a translation of +2 d / 28, x first; what had left stays away."""
    image = sets.train.images[index : index + 1]
    offsets = torch.tensor([[down, right]])
    moved = stimuli.shift(image, offsets)
    theta = torch.tensor([[[1.0, 0, 2 * right / 28], [0, 1, 2 * down / 28]]])
    seen = sampler.sample(moved[:, None].float(), theta, 28)
    assert torch.allclose(seen[:, 0], stimuli.shift(moved, -offsets).float(), atol=0.05)  # of 255


def test_scale_zooms_about_the_centre():
    image = torch.zeros(1, 1, 28, 28)
    image[..., 7:21, 7:21] = 1  # the inner half
    seen = sampler.sample(image, IDENTITY[None] * 0.5, 28)
    assert torch.allclose(seen[..., 1:-1, 1:-1], torch.ones(26, 26))  # the outermost pixels mix with what is around
    assert torch.allclose(seen[..., 0, 1:-1], torch.full((26,), 0.75))  # at a quarter pixel outside


def test_a_rotation_is_a_rotation():
    """Theta maps output to input in (x, y): a quarter turn shows the input's top row in a column."""
    image = images(1)
    turned = sampler.sample(image, torch.tensor([[[0.0, -1, 0], [1, 0, 0]]]), 28)
    assert torch.allclose(turned, image.rot90(1, (2, 3)), atol=1e-5)


@pytest.mark.parametrize("padding", [0.0, 0.5, 1.0])
def test_outside_the_image_the_sampler_sees_the_padding(padding):
    away = torch.tensor([[[1.0, 0, 3], [0, 1, 0]]])
    assert torch.allclose(sampler.sample(images(1), away, 28, padding), torch.full((1, 1, 28, 28), padding))
    half = sampler.sample(images(1), torch.tensor([[[1.0, 0, 1], [0, 1, 0]]]), 28, padding)
    assert torch.allclose(half[..., 14:], torch.full((1, 1, 28, 14), padding), atol=1e-5)
    assert torch.allclose(half[..., :14], images(1)[..., 14:], atol=1e-5)


# ---- transformer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", STNS)
def test_training_starts_at_the_identity_for_every_input(options):
    model = models.build("stn28", rng.generator("start"), **options).eval()
    given = images()
    seen = model(given)
    assert torch.equal(seen.theta, IDENTITY.expand(8, 2, 3))
    assert torch.allclose(seen.crop, given, atol=1e-5)
    assert torch.allclose(seen.logits, model.classifier(given).logits, atol=1e-3)


def test_without_a_zero_start_theta_depends_on_the_input():
    theta = models.build("stn28", zero_start=False)(images()).theta
    assert theta.std(0).min() > 0
    assert (theta.mean(0) - IDENTITY).abs().max() < 1


def test_attention_has_one_scale_and_no_rotation():
    theta = models.build("stn28", theta="attention", zero_start=False)(images()).theta
    assert torch.equal(theta[:, 0, 0], theta[:, 1, 1])
    assert not theta[:, 0, 1].any() and not theta[:, 1, 0].any()
    assert (theta[:, 0, 0].std() > 0) and (theta[:, :, 2].std(0) > 0).all()


@pytest.mark.parametrize(("name", "options"), [("lenet", {}), ("tutorial", {}), *(("stn28", each) for each in STNS)])
def test_intermediates_are_named(name, options):
    given = images()
    seen = models.build(name, **options).eval()(given)
    assert seen.logits.shape == (8, 10) and seen.crop.shape == (8, 1, 28, 28)
    assert seen._fields == ("logits", "theta", "crop")
    if name == "stn28":
        assert seen.theta.shape == (8, 2, 3)
    else:
        assert seen.theta is None and torch.equal(seen.crop, given)


@pytest.mark.parametrize("options", STNS)
def test_the_gradient_reaches_the_localisation(options):
    """From the start only its last layer (zero weights pass nothing on); from a random one, all of it."""
    labels = torch.arange(8)
    for zero_start in (True, False):
        model = models.build("stn28", zero_start=zero_start, **options)
        torch.nn.functional.cross_entropy(model(images()).logits, labels).backward()
        reached = {name.split(".")[0] for name, p in model.localisation.named_parameters() if p.grad.any()}
        assert reached == ({"dense2"} if zero_start else {"conv1", "conv2", "dense1", "dense2"})


def test_the_what_pathway_can_see_grey_as_0():
    model, aside = models.build("lenet"), models.build("lenet", grey=0.5)
    seen, moved = model(images() - 0.5), aside(images())
    assert torch.equal(seen.logits, moved.logits) and torch.equal(moved.crop, images())


def test_dropout_is_for_training_only():
    model = models.build("tutorial")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert not torch.equal(model(images()).logits, model(images()).logits)
    model.eval()
    assert torch.equal(model(images()).logits, model(images()).logits)


# ---- build -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet", "tutorial", "stn28"])
def test_weights_are_a_function_of_the_seed(name):
    one, same, other = (models.build(name, rng.generator("weights", seed)).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not any(torch.equal(one[key], other[key]) for key in one if "localisation.dense2" not in key)


@pytest.mark.parametrize("name", models.MODELS)
def test_nothing_but_the_seed_draws_weights(name):
    with torch.random.fork_rng(devices=[]):
        one, other = (torch.manual_seed(state) and models.build(name).state_dict() for state in (1, 2))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_weights_follow_pytorch_s_default_law():
    layer = models.build("lenet").dense1
    bound = 1 / 800**0.5
    for part in (layer.weight, layer.bias):
        assert part.abs().max() <= bound
        assert part.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


@pytest.mark.parametrize("name", models.MODELS)
def test_building_leaves_the_global_state_alone(name):
    before = torch.get_rng_state()
    models.build(name)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("lenett", {}, "model='lenett' is not one of lenet, tutorial, .*Did you mean 'lenet'"),
        ("stn28", {"theta": "afine"}, "theta='afine'.*Did you mean 'affine'"),
        ("stn28", {"classifier": "lenet5"}, "classifier='lenet5'.*Did you mean 'lenet'"),
        ("stn28", {"padding": 2}, "padding=2 must be a number from 0 to 1"),
    ],
)
def test_unknown_names_and_values_are_refused(name, options, words):
    with pytest.raises(ConfigurationError, match=words):
        models.build(name, **options)


def test_the_first_gradient_of_theta_hangs_on_rounding_where_samples_fall_on_pixels(sets, monkeypatch):
    """Why a step of the 28x28 transformer differs between devices: the identity window, not the stimuli."""
    drawn = stimuli.draw(sets.train, torch.arange(10), stimuli.Scene28(draws="frozen"))

    def gradients(moved: float, nudge: float = 0.0, level: float = 0.0) -> dict[str, torch.Tensor]:
        model = models.build("stn28")
        with torch.no_grad():
            model.localisation.last.bias.add_(moved * torch.linspace(1, 2, 6))
        images = drawn.images.clone()
        images[0, 0, 14, 14] += level
        with monkeypatch.context() as patch:
            grid = sampler.F.affine_grid
            patch.setattr(sampler.F, "affine_grid", lambda *given, **more: grid(*given, **more) + nudge)
            torch.nn.functional.cross_entropy(model(images).logits, drawn.labels).backward()
        return {name: each.grad for name, each in model.named_parameters()}

    def apart(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], part: str) -> float:
        names = [name for name in a if name.startswith(part)]
        size = sum(a[name].square().sum() for name in names)
        return (sum((a[name] - b[name]).square().sum() for name in names) / size).sqrt().item()

    on, off = gradients(0.0), gradients(0.01)  # 1e-7 of half an edge is a millionth of a pixel
    assert apart(on, gradients(0.0, nudge=1e-7), "localisation") > 0.1
    assert apart(on, gradients(0.0, nudge=1e-7), "classifier") < 1e-4
    assert apart(off, gradients(0.01, nudge=1e-7), "localisation") < 1e-4
    assert apart(on, gradients(0.0, level=1 / 255), "classifier") > 1e-4  # what one grey level of one pixel does
