"""The explorer of log-polar coordinates: its map, its hand, and readers who prefer reduced motion."""

import pytest
import torch

from labbook.view import logpolar, unroll

IMAGE = logpolar.View(offset=(4, 14)).image


@pytest.fixture(scope="module")
def output():
    return unroll.explorer(IMAGE, caption="A caption.").data


def state(page):
    return page.evaluate("document.querySelector('.explorer').state()")


def test_turning_shifts_columns_and_enlarging_shifts_rows():
    plain = logpolar.bare(4, (4, 14))
    whole, columns, rows = unroll.unrolled(plain), 40, 24

    def alike(a, b):
        return torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1]

    turn, factor = columns * 2 * torch.pi / 240, (unroll.RADII[1] / unroll.RADII[0]) ** (rows / 120)
    turned, larger = (unroll.unrolled(logpolar.turned(plain, *by)) for by in ((turn,), (0.0, factor)))
    assert alike(whole.roll(columns, 1), turned) > 0.95 > 0.3 > alike(whole, turned)
    assert alike(whole[rows:], larger[:-rows]) > 0.9 > 0.6 > alike(whole, larger)


def test_the_hand_turns_when_asked_and_stops_at_the_end(output, alone):
    page = alone(output)
    page.wait_for_function("document.querySelector('.explorer').state")
    assert state(page)["hand"] == 360 and not state(page)["moving"]
    page.click("button")
    page.wait_for_function("(hand => hand > 20 && hand < 350)(document.querySelector('.explorer').state().hand)")
    page.click("button")
    assert not state(page)["moving"]
    page.click("button")
    page.wait_for_function("document.querySelector('.explorer').state().hand === 360", timeout=15_000)
    assert not state(page)["moving"]


def test_with_reduced_motion_the_hand_jumps(output, alone):
    page = alone(output, 390, reduced_motion="reduce")
    for hand in (30, 60):
        page.click("button")
        assert state(page)["hand"] == hand and not state(page)["moving"]


def test_a_point_of_the_scene_is_marked_at_its_eccentricity_and_azimuth(output, alone):
    page = alone(output)
    box = page.locator("canvas").first.bounding_box()
    unit = box["width"] / 128
    page.mouse.move(box["x"] + (64.5 + 20) * unit, box["y"] + 64.5 * unit)  # 20 px to the right
    r, azimuth = state(page)["point"]
    assert abs(r - 20) < 1 and abs(azimuth - 90) < 3
