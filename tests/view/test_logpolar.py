"""The explorer of log-polar retinas: its numbers are PyTorch's; mouse, touch and keys; 100 ms a frame."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from labbook import retina as retinas
from labbook import textures
from labbook.view import logpolar, tensors

READY = "ready"  # property of the explorer, once it can be used: see `opened`
SCENE = logpolar.View()
BOOK = Path(logpolar.__file__).parent


@pytest.fixture(scope="module")
def output():
    return logpolar.explorer(SCENE, caption="A caption.").data


def settled(page):
    """Return the numbers behind the page, once its inverse has converged."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.wait_for_function("document.querySelector('.explorer').numbers().settled", timeout=60_000)
    return page.evaluate("document.querySelector('.explorer').numbers()")


# ---- numbers


@pytest.mark.parametrize("name", logpolar.NAMES)
def test_features_and_inverse_are_those_of_pytorch(browser, name):
    page = browser.new_page()
    script = "const explorers = {};\n" + "\n".join((BOOK / f).read_text("utf-8") for f in ("tensors.js", "logpolar.js"))
    page.add_script_tag(content=script + "\nObject.assign(globalThis, {tensors, logpolar});")
    images = torch.cat([SCENE.image, replace(SCENE, offset=(20, -5), noise=0.75, seed=9).image])
    found = page.evaluate(
        """async ([data, coded]) => {
            const retina = await logpolar.retina(data), images = tensors.decode(coded), made = [];
            for (let k = 0; k < retina.steps; k++) retina.prepare(k);
            for (let k = 0; k < images.shape[0]; k++) {
                const scene = images.data.slice(16384 * k, 16384 * (k + 1));
                const features = retina.forward(scene), solver = retina.inverse(features);
                for (let step = 0; step < 60; step++) solver.step();
                made.push([[...features], [...solver.scene()]]);
            }
            return made;
        }""",
        [logpolar.data(name), tensors.encode(images[:, 0] - retinas.GREY)],
    )
    features, scenes = (torch.tensor(each) for each in zip(*found, strict=True))
    expected = logpolar.respond(name, images)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-3 * float(expected.abs().max()))
    kept = (logpolar.keep(name, images) - retinas.GREY).flatten(1)
    assert (scenes - kept).square().mean().sqrt() < 1e-3  # of the grey scale
    page.close()


@pytest.mark.parametrize("name", logpolar.NAMES)
def test_the_explorers_inverse_is_near_the_librarys(name):
    """It damps more: singular values below 3 % of the largest, of filters of unit norm."""
    eye = retinas.build(name)
    library = eye.invert(eye(SCENE.image))[0, 0] - retinas.GREY
    ours = logpolar.keep(name, SCENE.image)[0] - retinas.GREY
    assert torch.corrcoef(torch.stack((library.flatten(), ours.flatten())))[0, 1] > 0.85


def test_a_channel_holds_features_that_differ_by_a_rotation():
    for name in logpolar.NAMES:
        index, n = logpolar.channels(name), retinas.RETINAS[name].n
        assert sorted(index.flatten().tolist()) == list(range(n))
    turn = retinas.RETINAS["whatwhere"].azimuths // 4  # a quarter turn is exact on the pixels
    image = SCENE.image
    image[0, 0, 0] = image[0, 0, :, 0] = retinas.GREY  # pixels without a partner about pixel (64, 64)
    turned = torch.full_like(image, retinas.GREY)
    turned[0, 0, 1:, 1:] = image[0, 0, 1:, 1:].rot90(1)  # down goes to the right
    index = logpolar.channels("whatwhere")
    plain, rotated = (logpolar.respond("whatwhere", each)[0][index] for each in (image, turned))
    torch.testing.assert_close(rotated, plain.roll(turn, 1), rtol=0, atol=2e-3 * float(plain.abs().max()))


def test_turning_and_enlarging_a_scene_shifts_its_map():
    made = logpolar.moved("whatwhere", logpolar.bare(4, (4, 12)), columns=4, rings=2)
    assert made.turned[1] > 0.98 > 0.5 > made.turned[0]
    assert made.enlarged[1] > 0.7 > 0.5 > made.enlarged[0]


def test_the_textures_spectrum_is_that_of_the_library(browser):
    page = browser.new_page()
    page.add_script_tag(content=(BOOK / "tensors.js").read_text("utf-8") + "\nObject.assign(globalThis, {tensors});")
    for size, preferred, width in ((28, 0.1, 0.1), (128, 0.05, 0.2)):
        found = page.evaluate(f"[...tensors.spectrum({size}, {preferred}, {width}).data]")
        expected = textures.envelope(size, preferred, width)
        torch.testing.assert_close(torch.tensor(found).view(size, size), expected, rtol=1e-3, atol=1e-3)
    page.close()


# ---- the page


def test_the_page_computes_what_the_gaze_sees(opened):
    page = opened()
    for gaze in ((0, 0), (-30, 20)):
        page.evaluate(f"document.querySelector('.explorer').go({gaze[0]}, {gaze[1]})")
        found = settled(page)
        scene = torch.tensor(found["scene"]).view(1, 1, 128, 128) + retinas.GREY
        expected = logpolar.respond("whatwhere", scene)[0]
        torch.testing.assert_close(
            torch.tensor(found["features"]), expected, rtol=0, atol=1e-3 * float(expected.abs().max())
        )
        kept = (logpolar.keep("whatwhere", scene)[0] - retinas.GREY).flatten()
        assert (torch.tensor(found["kept"]) - kept).square().mean().sqrt() < 5e-3
    assert scene[0, 0, :30].sub(retinas.GREY).abs().max() == 0  # beyond the edge of the field lies grey


def test_mouse_keys_and_touch_move_the_gaze(opened):
    page = opened()
    said = page.locator(".explorer-said")
    assert "eccentricity 24 px" in said.inner_text()
    canvas = page.locator("canvas").first
    box = canvas.bounding_box()
    place = [box["x"] + box["width"] * (64 + 24) / 128, box["y"] + box["height"] * (64 - 6) / 128]
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(*place, steps=3)
    page.mouse.up()
    settled(page)
    assert re.search(r"eccentricity [01] px", said.inner_text())
    canvas.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    settled(page)
    assert re.search(r"eccentricity (9|10|11) px", said.inner_text())
    page.get_by_role("button", name="look at the digit").click()
    settled(page)
    assert re.search(r"eccentricity [01] px", said.inner_text())
    phone = opened(width=390, has_touch=True)
    box = phone.locator("canvas").first.bounding_box()
    phone.touchscreen.tap(box["x"] + box["width"] * (64 + 24) / 128, box["y"] + box["height"] * (64 - 6) / 128)
    settled(phone)
    assert re.search(r"eccentricity [012] px", phone.locator(".explorer-said").inner_text())
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_cell_tells_where_it_looks_and_the_retina_can_be_chosen(opened):
    page = opened()
    page.locator(".logpolar-map").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    settled(page)
    assert "18.3 px and 0°, preferred period 13.5 px" in page.locator(".explorer-key").inner_text()
    page.get_by_label("768").check()
    page.wait_for_function("document.querySelector('.explorer').ready === 'polo768'")
    assert len(settled(page)["features"]) == 768


def test_turn_and_contrast_follow_their_sliders(opened):
    page = opened()
    before = settled(page)["features"]
    page.get_by_label("turn the scene").fill("90")
    after = settled(page)["features"]
    index = logpolar.channels("whatwhere")
    plain, turned = (torch.tensor(each)[index] for each in (before, after))
    assert torch.corrcoef(torch.stack((plain.roll(6, 1).flatten(), turned.flatten())))[0, 1] > 0.99
    page.get_by_role("button", name="upright again").click()
    page.get_by_label("contrast").fill("10")
    assert max(map(abs, settled(page)["features"])) != pytest.approx(max(map(abs, before)), rel=0.05)


def test_a_frame_is_drawn_within_100_ms_on_a_processor_of_a_phone(opened, frame_time):
    assert frame_time(opened(), ".explorer", "(root, k) => root.go(k % 9, 2 * k % 7)") < 100


def test_without_scripts_a_picture_and_its_description_remain(opened, output):
    page = opened(java_script_enabled=False)
    assert page.locator("img.explorer-still").is_visible() and not page.locator(".explorer-live").is_visible()
    assert re.search(r'alt="A \d on a texture at three eccentricities[^"]*at the fixation', output)
    assert len(output.encode()) < 700_000
