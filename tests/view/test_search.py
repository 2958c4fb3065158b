"""The explorer of visual search: its numbers are PyTorch's; mouse, touch and keys; 100 ms a frame."""

import re

import pytest
import torch
from here import ROOT

from labbook import rng, stimuli, textures
from labbook.book.store import Store
from labbook.experiments import beyond, scaling
from labbook.experiments.bootstrap import Estimate
from labbook.view import search, tensors

READY = "numbers"  # property of the explorer, once it can be used: see `opened`
START = search.SearchStart()
PUBLISHED = ROOT / "book" / "runs"


@pytest.fixture(scope="module")
def model():
    """The published foveal searcher."""
    run = Store(PUBLISHED, PUBLISHED).find(beyond.foveal())
    return run.model().eval()


@pytest.fixture(scope="module")
def sent(model):
    """The same with the weights that the page has."""
    return search.rounded(model)


@pytest.fixture(scope="module")
def output(model):
    return search.explorer(model, START, "A caption.").data


def settled(page):
    page.wait_for_function("document.querySelector('.explorer').numbers().settled", timeout=60_000)
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate("document.querySelector('.explorer').numbers()")


def test_the_map_and_the_fixations_are_those_of_pytorch(opened, sent):
    page = opened()
    for change in ("{}", "{contrast: 0.3, offset: [30, -20], seed: 9, digit: 7}", "{contrast: 0.2, seed: 3}"):
        page.evaluate(f"document.querySelector('.explorer').show({change})")
        image = torch.tensor(settled(page)["image"]).view(1, 1, 128, 128)
        while True:
            page.locator("button").first.click()
            page.wait_for_function("document.querySelector('.explorer').numbers().fixations.length", timeout=60_000)
            found = settled(page)
            if found["stopped"]:
                break
        with torch.inference_mode():
            values = sent.what(image).evidence[0].flatten()
            trace = sent.search(image)
        torch.testing.assert_close(torch.tensor(found["evidence"]), values, rtol=1e-3, atol=1e-3)
        n = len(found["fixations"])
        assert n == int(trace.made) and found["fixations"] == trace.fixations[0, :n].tolist()
        torch.testing.assert_close(torch.tensor(found["expected"]), trace.expected[0, :n], rtol=0, atol=2e-3)
        torch.testing.assert_close(torch.tensor(found["total"]), trace.evidence[0, :n], rtol=1e-3, atol=1e-3)


def test_eight_bits_change_less_than_one_answer_in_a_hundred(model):
    """Of the ten digits, 30 fields each, at the contrasts and eccentricities of the benchmark."""
    n, generator = 300, rng.generator("search", 1)
    contrast = 0.3 + 0.4 * torch.rand(n, generator=generator)
    offsets = stimuli.Scene128().fresh(n, generator)
    ground = textures.fields(n, stimuli.FIELD, generator)
    fields = stimuli.compose_field(tensors.ten_digits().repeat(n // 10, 1, 1), offsets, contrast, ground, 0.75)
    assert search.changed(model.what, fields) < n // 100


def test_mouse_touch_and_keys_move_the_digit_and_read_the_map(opened):
    page = opened()
    before = settled(page)
    scene, plane = page.locator("canvas").all()
    box = scene.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2, steps=3)
    page.mouse.up()
    moved = settled(page)
    assert moved["offset"] == [0, -32] and moved["image"] != before["image"] and moved["evidence"] != before["evidence"]
    scene.focus()
    page.keyboard.press("ArrowDown")
    assert settled(page)["offset"] == [2, -32]
    plane.focus()
    page.keyboard.press("ArrowRight")
    place = page.locator(".explorer-key", has_text=re.compile("The place .* log evidence for any digit"))
    place.wait_for(timeout=10_000)  # it is drawn with the next frame
    phone = opened(390, has_touch=True, is_mobile=True)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    box = phone.locator("canvas").first.bounding_box()
    phone.touchscreen.tap(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
    assert settled(phone)["offset"] == [0, 32]


def test_evidence_leaves_the_digit_when_its_contrast_vanishes(opened):
    page = opened()
    settled(page)
    assert "has left the digit" not in page.locator(".explorer-said").inner_text()
    page.get_by_role("slider", name="contrast").fill("10")
    settled(page)
    assert "has left the digit" in page.locator(".explorer-said").inner_text()


def test_a_frame_is_drawn_within_100_ms_on_a_processor_of_a_phone(opened, frame_time):
    page = opened(390, has_touch=True, device_scale_factor=3)
    settled(page)
    key = "(scene, k) => scene.dispatchEvent(new KeyboardEvent('keydown', {key: k % 2 ? 'ArrowLeft' : 'ArrowRight'}))"
    assert frame_time(page, "canvas", key) < 100
    settled(page)  # the map follows


def test_without_scripts_a_picture_and_its_description_remain(opened, output):
    page = opened(java_script_enabled=False)
    assert page.locator("img.explorer-still").is_visible() and not page.locator(".explorer-live").is_visible()
    assert re.search(r'alt="A \d in a noisy field at three contrasts;[^"]*at contrast 30 %', output)
    assert len(output.encode()) < 700_000


def test_the_errors_shown_are_errors(model):
    generator = rng.generator("search", 2)
    ink, labels = tensors.ten_digits().repeat(6, 1, 1), torch.arange(10).repeat(6)
    offsets = stimuli.Scene128().fresh(60, generator)
    faint = torch.full((60,), 0.2)
    images = stimuli.compose_field(ink, offsets, faint, textures.fields(60, stimuli.FIELD, generator), 0.75)
    pool = stimuli.Stimuli(images, labels, offsets, faint)
    found = search.misclassified(model.what, pool)
    assert (found.found.logits.argmax(1) != labels).sum() == len(found.which) > 0
    titles = [axis.get_title().split(", as ") for axis in search.errors(found, pool, 2).axes if axis.get_title()]
    assert titles and all(label != predicted for label, predicted in titles)


def test_laws_are_drawn_with_their_exponents():
    points = {"training images": {10_000: [0.2], 40_000: [0.1], 160_000: [0.04, 0.06]}}
    figure = search.laws(points, {name: beyond.error_law(each) for name, each in points.items()})
    assert "exponent −0.50" in [axis.get_title() for axis in figure.axes]


def test_a_factorial_experiment_is_drawn_with_all_cells_and_effects():
    cells = {levels: 0.9 if "evidence map" in levels else 0.1 for levels, _ in beyond.cells_of_factorial()}
    effects = scaling.main_effects(cells, beyond.FACTORS)
    left, right = search.factorial(cells, effects).axes
    drawn = [sorted(set(line.get_xdata())) for line in left.lines[:2]]
    assert drawn == [[10.0], [90.0]] and len(left.get_yticks()) == 8
    assert len(right.get_yticks()) == len(effects)


def test_costs_of_larger_fields_are_drawn_with_their_laws():
    costs = {64: 1.0, 128: 4.0, 256: 16.0}
    accuracies = {name: {edge: Estimate(0.9, 0.88, 0.92) for edge in costs} for name in ("map", "search")}
    law = scaling.power_law(list(costs), list(costs.values()))
    figure = search.sizes(accuracies, {"operations": {"map": costs, "search": costs}}, {("operations", "map"): law})
    first, second = figure.axes
    assert [float(line.get_xdata()[0]) for line in first.lines[::2]] == [64, 128, 256, 64, 128, 256]
    line = second.lines[1]
    assert list(line.get_ydata()) == pytest.approx([1.0, 4.0, 16.0])
