"""Forms of convolutions: the same function and the same gradients as the plain one, to rounding."""

import pytest
import torch
from torch import nn

from labbook import models, rng
from labbook.errors import ConfigurationError
from labbook.runtime import layers
from labbook.runtime.layers import Form

FORMS = [
    Form("first"),
    Form("all"),
    Form(layout="contiguous"),
    Form("first", "contiguous"),
    Form("all", "contiguous"),
]
MODELS = {"lenet": 28, "stn28": 28, "atn": 128, "stn128": 128}


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_every_form_is_the_plain_function_with_its_gradients(form, bias):
    """One channel and three, odd and even kernels, and a height that pooling does not divide."""
    for channels, kernel, edge in ((1, 5, 28), (1, 7, 25), (3, 5, 29), (1, 4, 27)):
        convs = nn.ModuleList((nn.Conv2d(channels, 6, kernel, bias=bias), nn.Conv2d(6, 10, 3, bias=bias)))
        images = torch.rand(3, channels, edge, edge, requires_grad=True)
        wanted = [*convs.parameters(), images]
        plain = layers.features(convs, images)
        direction = torch.randn_like(plain)
        with layers.computed_as(form):
            other = layers.features(layers.laid_out(convs, form), images)
            others = torch.autograd.grad(other, wanted, direction)
        assert other.shape == plain.shape and torch.allclose(other, plain, atol=1e-5)
        for one, gradient in zip(others, torch.autograd.grad(plain, wanted, direction), strict=True):
            assert torch.allclose(one, gradient, atol=1e-4 * gradient.abs().max().item())


@pytest.mark.parametrize("model", MODELS)
def test_every_form_is_the_plain_network(model):
    edge = MODELS[model]
    network = (
        models.build(model, rng.generator("weights", 1), zero_start=False) if model != "lenet" else models.build(model)
    )
    images = torch.rand(2, 1, edge, edge)
    with torch.no_grad():
        plain = network(images).logits
        for form in FORMS:
            with layers.computed_as(form):
                assert torch.allclose(layers.laid_out(network, form)(images).logits, plain, atol=1e-5), form
        assert torch.equal(layers.laid_out(network, layers.PLAIN)(images).logits, plain)


def test_the_form_is_left_as_it_was():
    with pytest.raises(KeyError), layers.computed_as(Form("first")):
        raise KeyError
    assert layers._form == layers.PLAIN


@pytest.mark.parametrize(
    ("given", "words"),
    [({"folded": "fold"}, "folded='fold'"), ({"layout": "x"}, "layout='x'")],
)
def test_impossible_forms_are_refused(given, words):
    with pytest.raises(ConfigurationError, match=words):
        Form(**given)
