"""The primer's explorer of a spatial transformer: its numbers are PyTorch's; mouse, touch and keys; 100 ms a frame."""

import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from labbook import classifiers, models, rng, stimuli
from labbook.errors import ConfigurationError
from labbook.view import tensors, transformer

READY = "seen"  # property of the explorer, once it can be used: see `opened`
WINDOW = {"x": 18, "y": -20, "scale": 0.3, "angle": 20}
SCENE = (7, (14, -26), 0.7)  # digit, offset, contrast
KEY = "(plane, k) => plane.dispatchEvent(new KeyboardEvent('keydown', {key: k % 2 ? 'ArrowLeft' : 'ArrowRight'}))"


@pytest.fixture(scope="module")
def model():
    """An attention transformer with random weights: what is held is the arithmetic."""
    model = models.build("atn", zero_start=False, centre=True, scale_start=0.3, padding=0.5)
    return classifiers.initialise(model, rng.generator("weights", 3), kaiming=True).eval()


@pytest.fixture(scope="module")
def sent(model):
    """The same transformer with the weights that the page has."""
    sent = copy.deepcopy(model)
    for layer in sent.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            layer.weight.data = tensors.decode(tensors.encode(layer.weight, "int8"))
    return sent


@pytest.fixture(scope="module")
def output(model):
    return transformer.explorer(model, transformer.scene(*SCENE), WINDOW, "A caption.").data


def seen(page):
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate("""(() => {
        const {theta, crop, probabilities, loss, gradient} = document.querySelector(".explorer").seen;
        return {theta, crop: [...crop.data], probabilities: [...probabilities], loss, gradient: [...gradient]};
    })()""")


@pytest.mark.parametrize("padding", [0.5, 0.0])
def test_the_numbers_in_the_page_are_those_of_pytorch(opened, sent, padding):
    page = opened()
    if not padding:
        page.get_by_label("black").check()
    for y in (WINDOW["y"], -62):  # the second leaves the field
        if y != WINDOW["y"]:
            page.get_by_label("down").fill(str(y))
        found = seen(page)
        theta = transformer.theta_of(**(WINDOW | {"y": y}))
        expected = transformer.look(sent.classifier, transformer.scene(*SCENE), theta, padding)
        for name, value in {
            "theta": theta.flatten(),
            "crop": expected.crop.flatten(),
            "probabilities": expected.probabilities,
            "loss": torch.tensor(expected.loss),
            "gradient": expected.gradient.flatten(),
        }.items():
            torch.testing.assert_close(torch.tensor(found[name]), value, rtol=1e-3, atol=1e-3)


def test_the_network_chooses_in_the_page_as_in_pytorch(opened, sent):
    page = opened()
    before = seen(page)["theta"]
    page.get_by_text("Let the network choose").click()
    page.wait_for_function("theta => document.querySelector('.explorer').seen.theta[1] !== theta[1]", arg=before)
    expected = sent(transformer.scene(*SCENE).image).theta[0]
    limits = torch.tensor([[0.05, -10, -1], [-10, 0.05, -1]]), torch.tensor([[1.25, 10, 1], [10, 1.25, 1]])
    expected = torch.clamp(expected, *limits)  # what the window can show
    torch.testing.assert_close(torch.tensor(seen(page)["theta"]), expected.flatten(), rtol=1e-3, atol=1e-3)


def test_mouse_keys_and_touch_move_resize_and_turn_the_window(opened):
    page = opened()
    plane = page.locator(".transformer-plane")
    box = plane.bounding_box()

    def place(theta, u=0.0, v=0.0):  # of a point of the window, on the screen
        a, b, tx, c, d, ty = theta
        unit = box["width"] / 2 / 1.16
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        return middle[0] + (a * u + b * v + tx) * unit, middle[1] + (c * u + d * v + ty) * unit

    def drag(start, right, down):
        page.mouse.move(*start)
        page.mouse.down()
        page.mouse.move(start[0] + right, start[1] + down, steps=4)
        page.mouse.up()
        return seen(page)["theta"]

    before = seen(page)["theta"]
    after = drag(place(before), 40, 30)
    assert after[2] - before[2] == pytest.approx(40 / (box["width"] / 2 / 1.16), abs=0.02) and after[0] == before[0]
    larger = drag(place(after, 1, 1), 20, 40)
    assert larger[0] > 1.1 * after[0] and larger[2] == pytest.approx(after[2])
    plane.focus()
    for key in ("ArrowLeft", "-", "."):
        page.keyboard.press(key)
    typed = seen(page)["theta"]
    assert typed[2] == pytest.approx(larger[2] - 1 / 64) and typed[3] != larger[3]
    phone = opened(390, has_touch=True, is_mobile=True)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    box = phone.locator(".transformer-plane").bounding_box()
    phone.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.8)
    assert seen(phone)["theta"][2] == pytest.approx(0, abs=0.02) and seen(phone)["theta"][5] > 0.5


def test_the_gradient_is_followed_downhill_and_a_scene_can_be_changed(opened):
    page = opened()
    first = seen(page)
    page.get_by_text("Follow the gradient").click()
    page.get_by_text("Stop").wait_for(state="detached")
    assert seen(page)["loss"] < first["loss"]
    page.get_by_text("Another scene").click()
    assert seen(page)["crop"] != first["crop"]
    page.get_by_text("Put it on the digit").click()
    assert page.locator(".explorer-said").first.text_content().startswith("classified as")


def test_a_frame_is_drawn_within_100_ms_on_a_processor_of_a_phone(opened, frame_time):
    page = opened(390, has_touch=True, device_scale_factor=3)
    assert frame_time(page, ".transformer-plane", KEY) < 100


def test_without_scripts_a_picture_and_its_description_remain(opened, output):
    page = opened(java_script_enabled=False)
    assert page.locator("img.explorer-still").is_visible() and not page.locator(".explorer-live").is_visible()
    assert re.search(r'alt="A window of 28 × 28 samples[^"]*On it ', output)
    assert len(output.encode()) < 1_400_000


def test_the_layers_of_a_network_are_those_that_it_computes():
    model = models.build("atn")
    found = transformer.layers(model.localisation, transformer.scene(*SCENE).image)
    assert [layer.shape for layer in found] == [(16, 61, 61), (32, 28, 28), (64, 12, 12), (128, 4, 4), (32,), (3,)]
    assert [layer.name for layer in found] == ["conv 7 × 7", *["conv 5 × 5"] * 3, "dense", "dense"]


def test_a_window_on_the_digit_has_the_loss_of_the_crop(model):
    classifier = model.classifier
    generator = rng.generator("primer", 0)
    scenes = transformer.batch(20, 0.7, 30.0, generator)
    found = transformer.slope(classifier, scenes, scenes.offsets.float())
    logits = classifier(stimuli.crops(scenes.images, scenes.offsets)).logits
    expected = torch.nn.functional.cross_entropy(logits, scenes.labels, reduction="none")
    torch.testing.assert_close(found.loss, expected.detach(), rtol=1e-3, atol=1e-4)
    afar = transformer.from_afar(classifier, scenes, (4.0, 20.0), 2, generator)
    assert [each.before.n for each in afar.values()] == [20, 20] and afar[4.0].towards.n <= 20


def test_a_last_layer_of_zeros_passes_no_gradient_on():
    scenes = transformer.batch(4, 0.7, 30.0, rng.generator("primer", 0))
    zero, drawn = (transformer.start(scenes, zero_start) for zero_start in (True, False))
    *before, last = zero.gradients.values()
    assert before == [0] * 5 and last > 0 and zero.spread == 0
    assert all(drawn.gradients.values()) and drawn.spread > 0


def test_pairs_differ_in_one_setting_alone():
    published = transformer.published()
    (slow, fast), *_ = transformer.pairs(published, "localisation_rate")
    assert slow.configuration.localisation_rate < fast.configuration.localisation_rate
    assert replace(slow.configuration, localisation_rate=1.0) == replace(fast.configuration, localisation_rate=1.0)
    with pytest.raises(ConfigurationError, match="No published run of 'lenet128' has weights"):
        transformer.trained(published, "lenet128")


def test_the_ten_digits_are_one_of_each_label():
    ten = tensors.ten_digits()
    assert ten.shape == (10, 28, 28) and ten.dtype == torch.uint8 and ten.flatten(1).amax(1).min() > 200
    assert Path(tensors.__file__).with_name("ten_digits.json").stat().st_size < 4000
