"""The explorer of stimuli: its numbers are PyTorch's; sliders, staircase and touch; 100 ms a frame."""

import re
from pathlib import Path

import pytest
import torch

from labbook import stimuli
from labbook.stimuli import EDGE, FIELD
from labbook.view import task, tensors

READY = "made"  # property of the explorer, once it can be used: see `opened`
BOOK = Path(task.__file__).parent


@pytest.fixture(scope="module")
def output():
    return task.explorer(task.Setting(), "A caption.").data


def made(page):
    """Return the stimulus that is shown: its settings, offset, image and texture (size, size)."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found = page.evaluate("""(() => {
        const {image, texture, ...rest} = document.querySelector(".explorer").made;
        return {...rest, image: [...image.data], texture: [...texture.data]};
    })()""")
    for name in ("image", "texture"):
        found[name] = torch.tensor(found[name]).view(found["size"], found["size"])
    return found


@pytest.mark.parametrize("size", [EDGE, FIELD])
@pytest.mark.parametrize(("contrast", "noise", "std"), [(0.7, 0.75, 5), (0.3, 0.5, 12), (0.9, 0.0, 0)])
def test_a_stimulus_is_composed_as_by_the_library(opened, size, contrast, noise, std):
    page = opened()
    change = f"{{size: {size}, contrast: {contrast}, noise: {noise}, std: {std}, digit: 7}}"
    page.evaluate(f"document.querySelector('.explorer').show({change})")
    found = made(page)
    ink, offset = tensors.ten_digits()[7][None], torch.tensor([found["offset"]])
    texture = found["texture"][None]
    if size == EDGE:
        texture = 0.5 + 0.5 * texture / texture.abs().max()
        expected = stimuli.compose(stimuli.shift(ink, offset), torch.tensor([contrast]), texture, noise)
        within = 1 / 255 + 1e-6  # both round to 8 bits, downwards
    else:
        expected = stimuli.compose_field(ink, offset, torch.tensor([contrast]), texture.clone(), noise)
        within = 1e-3
    torch.testing.assert_close(found["image"], expected[0, 0], rtol=0, atol=within)
    assert (found["image"] - expected[0, 0]).abs().mean() < 1e-3


def test_textures_have_the_spectrum_of_the_library(browser):
    """Power averaged over 40 textures follows the envelope, as in PyTorch, ring by ring."""
    page = browser.new_page()
    page.add_script_tag(content=(BOOK / "tensors.js").read_text("utf-8") + "\nglobalThis.tensors = tensors;")
    drawn = page.evaluate("""(() => {
        const draws = tensors.random(1), amplitudes = tensors.spectrum(64, 0.1, 0.1);
        return Array.from({length: 40}, () => [...tensors.cloud(64, draws, amplitudes).data]);
    })()""")
    page.close()
    f = torch.fft.fftfreq(64)
    ring = (f[:, None].hypot(f) * 64).round().long().clamp(max=20)

    def radial(images):
        power = torch.fft.fft2(images).abs().square().mean(0)
        return torch.stack([power[ring == k].mean() for k in range(3, 20)])

    here = radial(torch.tensor(drawn).view(-1, 64, 64))
    generator = torch.Generator().manual_seed(0)
    there = radial(task.textures.fields(40, 64, generator))
    assert ((here / here.sum()) / (there / there.sum()) - 1).abs().max() < 0.35


@pytest.mark.parametrize(("size", "std", "limit"), [(EDGE, 15, 25), (FIELD, 40, 40)])
def test_offsets_are_distributed_as_by_the_library(browser, size, std, limit):
    page = browser.new_page()
    script = "const explorers = {};\n" + "\n".join((BOOK / f).read_text("utf-8") for f in ("tensors.js", "task.js"))
    page.add_script_tag(content=script + "\nObject.assign(globalThis, {tensors, task});")
    found = page.evaluate(f"""(() => {{
        const draws = tensors.random(3);
        return Array.from({{length: 4000}}, () =>
            task.offsets[{size}]([draws.normal(), draws.normal(), draws.uniform()], {std}, {limit}));
    }})()""")
    page.close()
    here = torch.tensor(found).double()
    scene = stimuli.Scene28(std=std) if size == EDGE else stimuli.Scene128(std=std)
    there = scene.fresh(4000, torch.Generator().manual_seed(0)).double()
    assert here.mean(0).abs().max() < 1.5
    assert (here.std(0) / there.std(0) - 1).abs().max() < 0.06
    assert abs(here.norm(dim=1).mean() / there.norm(dim=1).mean() - 1) < 0.04
    assert (here == here.round()).all() and here.abs().max() <= limit


def test_sliders_keys_and_touch_change_one_thing_at_a_time(opened):
    page = opened()
    before = made(page)
    page.get_by_role("slider", name="contrast").fill("40")
    after = made(page)
    assert after["contrast"] == 0.4 and (after["texture"] == before["texture"]).all()
    assert after["offset"] == before["offset"]
    page.get_by_role("slider", name="std of places").focus()
    page.keyboard.press("Home")
    assert made(page)["offset"] == [0, 0]
    page.get_by_label("28 × 28").check()
    assert made(page)["image"].shape == (28, 28)
    page.get_by_role("button", name="Draw another stimulus").click()
    assert made(page)["seed"] == before["seed"] + 1
    phone = opened(width=390, has_touch=True)
    phone.get_by_role("button", name="Draw another stimulus").tap()
    assert made(phone)["seed"] == before["seed"] + 1
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_staircase_finds_where_three_in_four_answers_are_correct(opened):
    """A reader who is always right above 40 % and guesses 0 below hovers around 40 %."""
    page = opened()
    page.get_by_role("button", name="Measure your own threshold").click()
    for _ in range(task.STAIRCASE["trials"]):
        shown = made(page)
        answer = shown["digit"] if shown["contrast"] > 0.4 else (shown["digit"] + 1) % 10
        page.locator(".task-answers button").nth(answer).click()
    assert 0.33 < page.evaluate("document.querySelector('.explorer').threshold") < 0.55
    assert "Your threshold: about" in page.locator(".explorer-said").inner_text()
    assert made(page)["contrast"] == task.Setting().contrast and page.locator(".task-answers").is_hidden()


def test_a_frame_is_drawn_within_100_ms_on_a_processor_of_a_phone(opened, frame_time):
    act = "(input, k) => { input.value = 30 + k; input.dispatchEvent(new Event('input')); }"
    assert frame_time(opened(), ".explorer-slider:nth-of-type(4) input", act) < 100


def test_without_scripts_a_picture_and_its_description_remain(opened, output):
    page = opened(java_script_enabled=False)
    assert page.locator("img.explorer-still").is_visible() and not page.locator(".explorer-live").is_visible()
    assert re.search(r'alt="Stimuli of both kinds', output)
    assert len(output.encode()) < 300_000


def test_figures_of_the_page_agree_with_the_distributions():
    assert task.at_limit(40) == pytest.approx(0.317, abs=1e-3)
    assert 0.2 < task.blank(15) < 0.3
    assert task.brighter(FIELD, 0.7, 0.75) > task.brighter(FIELD, 0.3, 0.75) > task.brighter(EDGE, 0.3, 0.75)
