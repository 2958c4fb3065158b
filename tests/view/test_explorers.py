"""Explorers in a headless Chromium: mouse, keys, light, dark, a phone's width, no scripts. No error, no request."""

import csv
import io
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch
from here import ROOT

from labbook.book import results
from labbook.book.store import Run
from labbook.book.visual_field import Sweep, SweepOutput
from labbook.errors import ConfigurationError
from labbook.evaluation import Predictions
from labbook.stimuli import Stimuli, window
from labbook.view import explorers
from labbook.view.explorers import Trace

# ---- what is explored: made up, but for 2021's benchmark


def make_run(seed, epochs, strength):
    stages = [{"scene": {"law": "Scene28", "std": std}, "epochs": epochs, "lr": 0.1} for std in (0, 3, 6)]
    history = []
    for k in range(3 * epochs):
        spread = strength * k / 20
        theta = {
            "mean": [1.0, 0, 0.01 * k, 0, 1, 0],
            "spread": [0, 0, spread, 0, 0, spread],
            "follow": [spread, spread],
        }
        place = {"stage": k // epochs, "epoch": k % epochs, "images": 100, "seconds": 1.0}
        history.append(place | {"accuracy": 0.2 + 0.1 * k, "theta": theta})
    training = {"version": 1, "model": "stn28", "stages": stages, "seed": seed}
    return Run(Path(f"run{seed}"), training, history, {}, "")


def explore_curriculum():
    groups = {"SGD": [make_run(0, 2, 1.0), make_run(1, 2, 0.8)], "Adam": [make_run(0, 1, 0.1), make_run(1, 1, 0.0)]}
    return explorers.curriculum(groups, "A caption.")


def explore_map():
    shifts = torch.cartesian_prod(*[torch.tensor([-9, 0, 9])] * 2).repeat_interleave(2, 0)
    labels = torch.tensor([7, 2]).repeat(9)
    images = torch.linspace(0, 1, 18 * 784).view(18, 1, 28, 28)
    stimuli = Stimuli(images, labels, shifts, torch.full((18,), 0.5))
    theta = torch.eye(2, 3).repeat(18, 1, 1)
    wrong = torch.full((18,), 3)
    predictions = {
        "STN": Predictions(labels, labels == labels, theta, shifts),
        "What": Predictions(wrong, wrong == labels, None, shifts),
    }
    maps = {"STN": torch.linspace(0, 1, 361).view(19, 19), "What": torch.full((19, 19), 0.25)}
    return explorers.accuracy_map(maps, 100, stimuli, predictions, "A caption.")


def explore_benchmark():
    return explorers.benchmark(results.stated(), ["ATN", "STN_128x128"], "A caption.")


def explore_traces():
    images = torch.linspace(0, 1, 2 * 32 * 32).view(2, 32, 32)
    one = [Trace([(0, 0), (4.2, -8)], [None, 7]), Trace([(0, 0), (1, 1)], [None, 3])]
    two = [Trace([(0, 0), (3, 3), (4, -8)], [1, 1, 7], ["start", "saccade", "saccade"]), Trace([(0, 0)], [2])]
    return explorers.traces(images, [7, 2], {"What/Where": one, "searcher": two}, 8, "A caption.")


GRID = Sweep((0, 20), (0.5,), (0.5, 0.75, 1.0), 2, 50)


def explore_field():
    """Two digits, 7 and 2; the first system looks at the digit and is right, the other at the centre and is wrong."""
    n = len(GRID.scenes)
    offsets = torch.tensor([[0, int(scene.radius)] for scene in GRID.scenes])[:, None].expand(n, 2, 2)
    images = torch.linspace(0, 1, n * 2 * 128 * 128).view(n, 2, 128, 128)
    right = torch.arange(n)
    path = torch.stack((torch.zeros_like(offsets), offsets), 2)
    near = SweepOutput(torch.tensor([[7, 2]]).expand(n, 2), windows(offsets), path, 50 - right)
    far = SweepOutput(torch.full((n, 2), 3), windows(torch.zeros_like(offsets)), torch.zeros(n, 2, 0, 2), right)
    return explorers.visual_field(GRID, (images, [7, 2], offsets), {"near": near, "far": far}, "A caption.")


def windows(offsets):
    return window(offsets.flatten(0, 1)).unflatten(0, offsets.shape[:2])


EXPLORERS = {
    "field": explore_field,
    "curriculum": explore_curriculum,
    "map": explore_map,
    "benchmark": explore_benchmark,
    "traces": explore_traces,
}


@pytest.fixture(scope="module")
def outputs():
    """The output of each explorer, made twice."""
    return {name: (explore().data, explore().data) for name, explore in EXPLORERS.items()}


def test_equal_results_are_equal_bytes_and_light(outputs):
    for first, second in outputs.values():
        assert first == second
        assert len(first.encode()) < 300_000


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ConfigurationError, match="no system 'ATM'"):
        explorers.benchmark(results.stated(), ["ATM"])
    with pytest.raises(ConfigurationError, match="no records"):
        explorers.benchmark([])
    with pytest.raises(ConfigurationError, match="2 fixations, 1 predictions"):
        Trace([(0, 0), (1, 1)], [3])
    with pytest.raises(ConfigurationError, match="2 scenes, 2 labels and 1 traces"):
        explorers.traces(torch.rand(2, 32, 32), [1, 2], {"one": [Trace([(0, 0)], [1])]})
    with pytest.raises(ConfigurationError, match="other stages"):
        other = make_run(0, 3, 1.0)
        other.training["stages"] = other.training["stages"][:2]
        explorers.curriculum({"SGD": [make_run(0, 2, 1.0)], "Adam": [other]})
    with pytest.raises(ConfigurationError, match=r"contrasts=\(0.7, 0.5\) must rise"):
        Sweep(contrasts=(0.7, 0.5))
    with pytest.raises(ConfigurationError, match="shown=4 must be a whole number from 1 to 3"):
        Sweep(counted=3)
    with pytest.raises(ConfigurationError, match=r"one has \(2, 2\) predictions; the grid has \(6, 2\)"):
        few = SweepOutput(*[torch.zeros(2, 2)] * 4)
        explorers.visual_field(GRID, (torch.zeros(6, 2, 128, 128), [7, 2], torch.zeros(6, 2, 2)), {"one": few})
    blind = make_run(0, 2, 1.0)
    blind.history[0]["theta"] = None
    with pytest.raises(ConfigurationError, match="no theta"):
        explorers.curriculum({"SGD": [blind]})


# ---- in the browser


@pytest.fixture
def shown(alone, outputs):
    """Open an explorer by its name."""

    def show(name, **options):
        page = alone(outputs[name][0], **options)
        if options.get("java_script_enabled", True):
            settle(page)
        return page

    return show


def settle(page):
    """Wait until what was asked for is drawn."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0))))")


def point(page, selector, right, down, click=False):
    """Move the mouse to a place within an element, given as shares of its width and height; click there."""
    element = page.locator(selector).first
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    place = box["x"] + right * box["width"], box["y"] + down * box["height"]
    (page.mouse.click if click else page.mouse.move)(*place)
    settle(page)


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)
    settle(page)


def test_the_field_follows_sliders_button_and_mouse(shown):
    page = shown("field")
    sliders = "[...document.querySelectorAll('output')].map(each => each.textContent)"
    assert page.evaluate(sliders) == ["20 px", "50 %", "0.75"]
    cards = ".explorer-row:not(.explorer-pair):not(.explorer-tools)"
    assert "nearclassified as 7 ✓46 of 50 such scenes classified correctly" in page.text_content(cards)
    assert "farclassified as 3 ✗4 of 50" in page.text_content(cards)
    page.focus("label:nth-of-type(3) input")
    press(page, "ArrowRight", "ArrowRight")  # the last stays the last
    assert page.evaluate(sliders) == ["20 px", "50 %", "1"] and "✓45 of 50" in page.text_content(cards)
    point(page, "label:nth-of-type(1) input", 0.01, 0.5, click=True)
    assert page.evaluate(sliders)[0] == "0 px" and "✓48 of 50" in page.text_content(cards)
    spoken = page.evaluate("document.querySelector('input[type=range]').getAttribute('aria-valuetext')")
    assert spoken == "0 px; the digit is 7: near 7 correct, far 3 wrong"
    page.focus("button")
    press(page, " ")
    assert "2 of 2" in page.text_content("button") and "classified as 2 ✓" in page.text_content(cards)
    assert page.text_content(".explorer-pair span") == "the scene: a 2"
    point(page, "button", 0.5, 0.5, click=True)
    assert "1 of 2" in page.text_content("button")
    pixel = (
        "(n => [...document.querySelectorAll('canvas')][n].getContext('2d').getImageData({}, {}, 1, 1).data.join())(0)"
    )
    size = page.evaluate("document.querySelector('canvas').width")
    edge = pixel.format(size // 2 - round(size * 14 / 128), size // 2)  # the left side of a window at the centre
    marked = page.evaluate(edge)
    point(page, ".explorer-tools input", 0.5, 0.5, click=True)
    assert page.evaluate(edge) != marked and "which digit?" in page.text_content(".explorer-pair span")
    assert "✓" not in page.text_content(cards)


def test_a_window_is_shown_as_the_classifier_sees_it(shown):
    """The middle of a crop has the grey of the scene there: the scenes' greys rise from setting to setting."""
    page = shown("field")
    page.focus("label input")
    press(page, "ArrowLeft")  # digit and both windows at the centre
    middle = "(({width: w}, pen) => pen.getImageData(w / 2, w / 2, 1, 1).data[0])(c, c.getContext('2d'))"
    whole, _, near, far = page.evaluate(f"[...document.querySelectorAll('canvas')].map(c => {middle})")
    assert 30 < whole < 120 and abs(near - whole) <= 6 and abs(far - whole) <= 6  # the tiles are lossy


def test_the_curriculum_moves_with_slider_and_mouse(shown):
    page = shown("curriculum")
    assert page.text_content("output") == "shift std 6 px, 100 % of training"
    numbers = page.text_content(".explorer-row")
    assert "3.50 px · 0.25 · 70.0 %" in numbers and "0.14 px · 0.01 · 40.0 %" in numbers
    page.focus("input[type=range]")
    press(page, "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft")
    assert page.text_content("output") == "shift std 0 px, 17 % of training"
    assert "0.00 px · 0.00 · 20.0 %" in page.text_content(".explorer-row") and "not begun" in page.text_content(
        ".explorer-row"
    )
    spoken = page.evaluate("document.querySelector('input[type=range]').getAttribute('aria-valuetext')")
    assert "SGD: 0.00 px, 0.00, 20.0 %; Adam: not begun" in spoken
    point(page, ".explorer-pointed", 0.5, 0.3)
    assert page.text_content("output").startswith("shift std 3 px, 50 %")
    point(page, "fieldset label:last-child input", 0.5, 0.5, click=True)
    assert page.evaluate("document.querySelectorAll('input[type=radio]')[1].checked")
    assert "1.12 px" in page.text_content(".explorer-row")  # the other seed's


def test_the_map_answers_mouse_arrows_and_sliders(shown):
    page = shown("map")
    assert page.text_content(".explorer-said") == "Digit at the centre: STN 50.0 %, What 25.0 % (100 stimuli)."
    assert (
        page.text_content(".explorer-row").count("STN: 7 ✓") == 1
        and page.text_content(".explorer-row").count("What: 3 ✗") == 2
    )
    page.focus(".explorer-pointed")
    press(page, "ArrowRight", "ArrowDown", "ArrowDown")
    assert page.text_content(".explorer-said").startswith("Digit 6 px down, 3 px right: STN 60.8 %")
    assert "the nearest that are kept" in page.text_content(".explorer-live > small")
    point(page, ".explorer-pointed image", 0.001, 0.001)
    assert page.text_content(".explorer-said").startswith("Digit 27 px up, 27 px left: STN 0.0 %")
    page.focus(".explorer-slider input")
    press(page, "ArrowRight")
    assert page.text_content(".explorer-said").startswith("Digit 27 px up, 24 px left")
    inked = "[...document.querySelectorAll('canvas')].every(c => c.getContext('2d').getImageData(0, 0, c.width, "
    assert page.evaluate(inked + "c.height).data.some(v => v > 0))")


def test_the_benchmark_tells_the_numbers_of_its_table_and_file(shown):
    page = shown("benchmark")
    page.focus(".explorer-pointed")
    press(page, "ArrowRight")
    told = page.text_content(".explorer-said")
    records = [each for each in results.stated() if each.system == "STN_128x128" and each.contrast == 0.7]
    assert told.startswith("STN_128x128, 2021, 8.9 px, contrast 70 %")
    assert f"{100 * records[1].accuracy:.1f} %" in told
    press(page, "ArrowDown")
    assert page.text_content(".explorer-said").startswith("ATN, 2021, 8.9 px")
    point(page, ".explorer-pointed", 0.99, 0.95)
    assert ", 40.0 px" in page.text_content(".explorer-said")
    assert page.text_content("tbody tr").startswith("STN_128x128")
    assert f"{100 * records[8].accuracy:.1f} (" in page.text_content("tbody tr td:last-child")
    point(page, "fieldset:nth-of-type(1) label:nth-of-type(3) input", 0.5, 0.5, click=True)  # contrast 30 %
    point(page, ".explorer-systems label:nth-of-type(1) input", 0.5, 0.5, click=True)  # without STN_128x128
    link = page.evaluate("document.querySelector('a[download]').href")
    rows = list(csv.DictReader(io.StringIO(unquote(link.partition(",")[2]))))
    low = [each for each in results.stated() if each.system == "ATN" and each.contrast == 0.3]
    assert [float(row["accuracy"]) for row in rows] == [each.accuracy for each in low]
    assert {row["system"] for row in rows} == {"ATN"} and list(rows[0]) == list(results.NAMES)
    point(page, "fieldset:nth-of-type(2) label:nth-of-type(3) input", 0.5, 0.5, click=True)  # against parameters
    assert "766 571" in page.text_content("tbody tr")
    point(page, ".explorer-systems label:nth-of-type(2) input", 0.5, 0.5, click=True)  # nothing is left
    assert page.evaluate("document.querySelectorAll('tbody tr').length") == 0


def test_the_traces_step_through_fixations_and_scenes(shown):
    page = shown("traces")
    assert "fixation 1 of 2, at the centre; no prediction yet" in page.text_content(".explorer-row")
    page.focus("label:nth-of-type(2) input")
    press(page, "ArrowRight", "ArrowRight", "ArrowRight")
    assert page.text_content("label:nth-of-type(2) output") == "3 of 3"
    assert "fixation 2 of 2, 4 px down, 8 px left; classified as 7 ✓" in page.text_content(".explorer-row")
    assert "fixation 3 of 3, 4 px down, 8 px left; classified as 7 ✓; saccade" in page.text_content(".explorer-row")
    page.focus("label input")
    press(page, "ArrowRight")
    assert page.text_content("label output") == "2 of 2, digit 2"
    assert "classified as 2 ✓" in page.text_content(".explorer-row")


@pytest.mark.parametrize("name", EXPLORERS)
def test_a_phone_in_the_dark_shows_all_without_scrolling_sideways(name, shown):
    page = shown(name, width=390, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("getComputedStyle(document.querySelector('.explorer-still')).display") == "none"
    assert page.evaluate("document.querySelector('.explorer-drawing svg, canvas').getBoundingClientRect().width") > 100
    dim = "Math.min(...getComputedStyle(document.querySelector('.explorer-live')).color.match(/\\d+/g).map(Number))"
    assert page.evaluate(dim) > 128  # light letters


def test_drawings_follow_the_width_of_the_page(shown):
    page = shown("curriculum", width=1000)
    width = "document.querySelector('.explorer-drawing svg').getBoundingClientRect().width"
    wide = page.evaluate(width)
    page.evaluate("document.body.style.cssText = 'width: 500px; display: table'")
    settle(page)
    assert 900 < wide < 1000 and page.evaluate(width) == 500


def test_without_scripts_and_on_paper_there_is_the_picture(shown):
    page = shown("map", java_script_enabled=False)
    visible = "getComputedStyle(document.querySelector('{}')).display !== 'none'"
    assert page.evaluate(visible.format(".explorer-still")) and not page.evaluate(visible.format(".explorer-live"))
    page = shown("map")
    page.emulate_media(media="print")
    assert page.evaluate(visible.format(".explorer-still")) and not page.evaluate(visible.format(".explorer-live"))


def test_the_explorers_of_the_book_begin(alone):
    from labbook.book import pages

    figure = re.compile(r'<figure class="plot explorer".*?</figure>', re.DOTALL)
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        htmls = [
            "".join(o.get("data", {}).get(kind, ""))
            for c in pages.read(path).cells
            for o in c.get("outputs", [])
            for kind in ("text/html", "application/papermill.record/text/html")  # the latter is shown by another page
        ]
        found = [each for text in htmls for each in figure.findall(text)]
        if not found:
            continue
        assert all(len(each.encode()) < explorers.LIMIT for each in found)
        page = alone("".join(found), width=390)
        settle(page)
        assert page.locator(".explorer-on").count() == len(found)
        page.close()
