"""The numbers of `tensors.js` in a headless Chromium, held to PyTorch's within 1e-3."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labbook import stimuli
from labbook.view import tensors

SCRIPT = Path(tensors.__file__).with_suffix(".js").read_text("utf-8")


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page()
    page.add_script_tag(content=SCRIPT + "\nglobalThis.tensors = tensors;")
    return page


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def draw(generator, *shape):
    return torch.randn(*shape, generator=generator)


def run(page, script, **given):
    """Return what a script gives: `given` are its tensors (as `encode` writes them) and other values."""
    coded = {name: tensors.encode(value) if torch.is_tensor(value) else value for name, value in given.items()}
    tensors_of = [name for name, value in given.items() if torch.is_tensor(value)]
    decoded = "".join(f"const {name} = tensors.decode(given.{name});" for name in tensors_of)
    others = "".join(f"const {name} = given.{name};" for name in given if name not in tensors_of)
    return page.evaluate(f"async given => {{ {decoded}{others} return await (async () => {{ {script} }})(); }}", coded)


def values(page, expression, **given):
    """Return the tensor that an expression gives."""
    made = run(page, f"const made = {expression}; return {{shape: made.shape, data: [...made.data]}};", **given)
    return torch.tensor(made["data"]).view(made["shape"])


def close(found, expected, within=1e-3):
    torch.testing.assert_close(torch.as_tensor(found), expected.detach().float(), rtol=within, atol=within)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_a_tensor_arrives_as_it_was_sent(page, generator, dtype):
    tensor = draw(generator, 3, 4, 5)
    coded, packed = tensors.encode(tensor, dtype), tensors.encode(tensor, dtype, packed=True)
    for code in (coded, packed):
        made = run(page, "return [...(await tensors.unpack(code)).data];", code=code)
        close(torch.tensor(made).view(3, 4, 5), tensors.decode(code), 1e-6)
    error = (tensors.decode(coded) - tensor).abs().max()
    assert error <= {"float32": 0, "float16": 2e-3, "int8": tensor.abs().max() / 253}[dtype]


def test_what_cannot_be_sent_is_refused():
    with pytest.raises(ValueError, match="dtype='float8' must be"):
        tensors.encode(torch.zeros(1), "float8")
    with pytest.raises(ValueError, match="bits=9 must be from 2 to 8"):
        tensors.encode(torch.zeros(1), "int8", bits=9)
    with pytest.raises(ValueError, match="Sigmoid has no counterpart"):
        tensors.network([nn.Sigmoid()])


@pytest.mark.parametrize(
    ("stride", "padding", "kernel"), [(1, 0, (5, 5)), (2, 2, (6, 6)), (2, 1, (3, 4)), (3, 0, (1, 1))]
)
def test_convolution(page, generator, stride, padding, kernel):
    image = draw(generator, 1, 3, 17, 14).requires_grad_()
    weight, bias = draw(generator, 4, 3, *kernel), draw(generator, 4)
    expected = F.conv2d(image, weight, bias, stride, padding)
    given = {"image": image[0].detach(), "weight": weight, "bias": bias, "stride": stride, "padding": padding}
    close(values(page, "tensors.conv2d(image, weight, bias, stride, padding)", **given), expected[0])
    grad = draw(generator, *expected.shape)
    expected.backward(grad)
    made = "tensors.conv2dBackward(grad, weight, image.shape, stride, padding)"
    close(values(page, made, grad=grad[0], **given), image.grad[0])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("tensors.maxPool2d(x)", lambda x: F.max_pool2d(x, 2)),
        ("tensors.avgPool2d(x, 3)", lambda x: F.avg_pool2d(x, 3)),
        ("tensors.relu(x)", F.relu),
        ("tensors.resize(x, 5, 30)", lambda x: F.interpolate(x[None], (5, 30), mode="bilinear")[0]),
        ("tensors.pad(x, [1, 2, 3, 0])", lambda x: F.pad(x, (3, 0, 1, 2))),
        ("tensors.pad(x, [0, 0, 2, 3], 'wrap')", lambda x: F.pad(x, (2, 3, 0, 0), mode="circular")),
        ("tensors.groupNorm(x, w, w)", lambda x: F.group_norm(x[None], 1, torch.arange(3.0), torch.arange(3.0))[0]),
        ("tensors.tensor([3], tensors.softmax(x.data.slice(0, 3)))", lambda x: x.flatten()[:3].softmax(0)),
        (
            "tensors.matmul(tensors.tensor([3, 99], x.data), tensors.tensor([99, 3], x.data))",
            lambda x: x.reshape(3, 99) @ x.reshape(99, 3),
        ),
    ],
)
def test_other_layers(page, generator, expression, expected):
    x = draw(generator, 3, 9, 11)
    close(values(page, expression, x=x, w=torch.arange(3.0)), expected(x))


@pytest.mark.parametrize("padding", [0.0, 0.5])
def test_the_sampler_and_its_gradients(page, generator, padding):
    """A window that is turned, enlarged, partly outside the image; two channels."""
    image, label_gradient = draw(generator, 1, 2, 13, 16), draw(generator, 1, 2, 7, 9)
    theta = torch.tensor([[[0.6, -0.5, 0.3], [0.4, 0.9, -0.45]]], requires_grad=True)
    grid = F.affine_grid(theta, [1, 2, 7, 9], align_corners=False)
    grid.retain_grad()
    crop = F.grid_sample(image - padding, grid, align_corners=False) + padding
    crop.backward(label_gradient)
    given = {"image": image[0], "theta": theta.flatten().tolist(), "padding": padding, "grad": label_gradient[0]}
    made = "tensors.affineGrid(theta, 7, 9)"
    close(values(page, made, **given), grid[0])
    close(values(page, f"tensors.gridSample(image, {made}, padding)", **given), crop[0])
    back = f"tensors.gridSampleBackward(image, {made}, grad, padding)"
    close(values(page, back, **given), grid.grad[0])
    close(run(page, f"return [...tensors.affineGridBackward({back})];", **given), theta.grad.flatten())


class Network(nn.Sequential):
    """A LeNet's layers, with random weights."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 8, 5), nn.BatchNorm2d(8), nn.MaxPool2d(2), nn.ReLU(),
            nn.Conv2d(8, 6, 5, bias=False), nn.BatchNorm2d(6), nn.MaxPool2d(2), nn.ReLU(),
            nn.Flatten(), nn.Linear(96, 20), nn.ReLU(), nn.Linear(20, 10),
        )  # fmt: skip


def test_a_network_and_the_gradient_of_its_loss(page, generator):
    model = Network().eval()
    for norm in (model[1], model[5]):
        norm.running_mean.uniform_(-1, 1, generator=generator)
        norm.running_var.uniform_(0.5, 2, generator=generator)
    layers = tensors.network([layer for layer in model if not isinstance(layer, nn.Flatten)], "float32")
    image = draw(generator, 1, 1, 28, 28).requires_grad_()
    logits = model(image)
    loss = F.cross_entropy(logits, torch.tensor([3]))
    loss.backward()
    made = run(
        page,
        """
        const ready = await tensors.network(layers), made = tensors.forward(ready, image);
        const {loss, grad} = tensors.crossEntropy(made.at(-1), 3);
        return [[...made.at(-1).data], loss, [...tensors.backward(ready, made, grad).data]];
    """,
        layers=layers,
        image=image[0].detach(),
    )
    for found, expected in zip(made, (logits[0], loss, image.grad.flatten()), strict=True):
        close(found, expected)


@pytest.mark.parametrize(("h", "w"), [(8, 16), (28, 28), (5, 12), (1, 7)])
def test_fourier_transform_and_its_inverse(page, generator, h, w):
    re, im = draw(generator, h, w), draw(generator, h, w)
    expected = torch.view_as_real(torch.fft.fft2(torch.complex(re, im)))
    made, again = run(
        page,
        f"""
        const x = Float64Array.from(re.data), y = Float64Array.from(im.data);
        tensors.fft2(x, y, {h}, {w});
        const made = [[...x], [...y]];
        tensors.fft2(x, y, {h}, {w}, true);
        return [made, [[...x], [...y]]];
    """,
        re=re,
        im=im,
    )
    close(torch.tensor(made).view(2, h, w), expected.permute(2, 0, 1))
    close(torch.tensor(again).view(2, h, w), torch.stack((re, im)))


@pytest.mark.parametrize(("noise", "contrast"), [(0.75, 0.7), (0.75, 0.1), (0.0, 0.5)])
def test_a_visual_field(page, sets, generator, noise, contrast):
    ink, texture, offset = sets.test.images[:1], draw(generator, 1, 128, 128), torch.tensor([[-17, 30]])
    made = f"tensors.composeField(tensors.tensor([28, 28], ink.data), [-17, 30], {contrast}, texture, {noise})"
    found = values(page, made, ink=ink[0].float(), texture=texture[0])
    close(found, stimuli.compose_field(ink, offset, torch.tensor([contrast]), texture.clone(), noise)[0])


def test_a_system_of_equations(page, generator):
    root, b = draw(generator, 12, 12), draw(generator, 12)
    matrix = root @ root.T + torch.eye(12)
    made = run(
        page,
        """
        const row = k => matrix.data.subarray(12 * k, 12 * k + 12);
        const apply = x => Float64Array.from({length: 12}, (_, k) => tensors.dot(row(k), x));
        return [...tensors.conjugateGradient(apply, b.data, 50)];
    """,
        matrix=matrix,
        b=b,
    )
    close(made, torch.linalg.solve(matrix, b))


def test_random_numbers_are_uniform_normal_and_repeatable(page):
    script = "const r = tensors.random(7); return Array.from({length: 20000}, () => r[law]());"
    for law, mean, std in (("uniform", 0.5, 12**-0.5), ("normal", 0, 1)):
        made = np.array(run(page, script, law=law))
        assert abs(made.mean() - mean) < 0.02 and abs(made.std() - std) < 0.02
        assert json.dumps(run(page, script, law=law)) == json.dumps(made.tolist())
