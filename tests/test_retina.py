"""Retinas: the study's filters and tables, folding, symmetries, the colliculus and the inverse."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from labbook import filters as logpolar
from labbook import retina, rng, stimuli, textures, where
from labbook.errors import ConfigurationError
from labbook.filters import Pyramid, polo_filters, whitening

EIGHT = retina.WhatWhere(azimuths=8)  # the study's, with a third of its azimuths: two seconds to build instead of six
EVERY = ["polo768", "polo1280", "polo2560", "polo2560band", EIGHT]
SMALL = retina.WhatWhere(azimuths=8, rings=5, field=64, reach=0.6)  # quick to build
CENTRE = (torch.arange(128) - 64.0)[:, None].hypot(torch.arange(128) - 64.0)  # distance from the centre, pixels


@pytest.fixture(scope="module")
def scene(sets) -> torch.Tensor:
    """Scenes (40, 1, 128, 128) with a digit near the centre."""
    return stimuli.draw(sets.test, torch.arange(40), stimuli.Scene128(std=20.0), rng.generator("retina")).images


@pytest.fixture(scope="module")
def small_scene(scene) -> torch.Tensor:
    return F.avg_pool2d(scene, 2)


def error(one: torch.Tensor, other: torch.Tensor) -> float:
    """Root mean squared difference of features, relative to their standard deviation over scenes."""
    return float((one - other).square().mean().sqrt() / one.std(0).mean())


def turned(images: torch.Tensor, angle: float = 0.0, scale: float = 1.0) -> torch.Tensor:
    """Rotate from down towards right and enlarge, about pixel (n // 2, n // 2); grey outside."""
    n = images.shape[-1]
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    grid = F.affine_grid(torch.tensor([[[cos, -sin, 0], [sin, cos, 0.0]]]), [1, 1, n, n], align_corners=False)
    at = 1 / n  # pixel n // 2 in units of half the edge
    shift = torch.tensor([at - cos * at + sin * at, at - sin * at - cos * at])
    return F.grid_sample(images - 0.5, (grid + shift).expand(len(images), -1, -1, -1), align_corners=False) + 0.5


def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack((one.flatten(), other.flatten())))[0, 1])


def blobs(n: int, edge: int = 128) -> torch.Tensor:
    """Smooth images (n, 1, edge, edge), grey towards their border."""
    z = F.avg_pool2d(textures.draw(n, 2 * edge, rng.generator("blobs"))[:, None], 2)
    axis = torch.arange(edge) - edge / 2
    return 0.5 + (z - 0.5) * torch.exp(-4 * (axis[:, None].hypot(axis) / (edge / 2)) ** 4)


# ---- the study's tables ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layout", "n", "compression"),
    [
        ("polo768", [(8, 6, 16)], 768, 95.3),
        ("polo1280", [(8, 10, 16)], 1280, 92.2),
        ("polo2560", [(8, 4, 16), (8, 8, 32)], 2560, 84.4),
        ("polo2560band", [(8, 4, 16), (8, 8, 32)], 2560, 84.4),
        ("whatwhere", [(6, 24, 10, 2)], 2880, 82.4),
    ],
)
def test_features_and_compression_are_those_of_the_study(name, layout, n, compression):
    settings = retina.RETINAS[name]
    assert (settings.layout, settings.n, round(100 * settings.compression, 1)) == (layout, n, compression)


@pytest.mark.parametrize("which", EVERY)
def test_features_have_the_layout_of_their_settings(which, scene):
    r = retina.build(which)
    features = r(scene)
    assert features.shape == (40, r.n) and features.dtype == torch.float32
    parts = r.unflatten(features)
    assert [tuple(part.shape[1:]) for part in parts] == r.settings.layout
    assert torch.equal(torch.cat([part.flatten(1) for part in parts], 1), features)


def test_rings_of_the_whatwhere_retina():
    settings = retina.RETINAS["whatwhere"]
    radii = [2.33, 3.29, 4.64, 6.54, 9.21, 12.99, 18.32, 25.83, 36.42, 51.35]
    frequencies = [0.450, 0.413, 0.293, 0.208, 0.147, 0.1045, 0.0741, 0.0526, 0.0373, 0.0264]
    assert settings.radii == pytest.approx(radii, abs=0.006)
    assert settings.frequencies == pytest.approx(frequencies, abs=6e-4)


def test_rings_of_the_pyramids():
    radii = {
        "polo768": [[8, 11.3, 16, 22.6, 32, 45.3]],
        "polo1280": [[11.3, 13.3, 16, 18.7, 22.6, 26.5, 32, 37.5, 45.3, 53.0]],
        "polo2560": [[8, 11.3, 16, 22.6], [16, 19.0, 22.6, 26.9, 32, 38.1, 45.3, 53.8]],
    }
    for name, parts in radii.items():
        for part, expected in zip(retina.RETINAS[name].parts, parts, strict=True):
            assert part.radii == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize(
    ("name", "part", "frequencies", "low"),
    [
        ("polo768", 0, [0.3607, 0.2550], -0.279),
        ("polo1280", 0, [0.3607, 0.2550], None),
        ("polo2560", 1, [0.1803, 0.1516, 0.1275, 0.1072], -0.256),
    ],
)
def test_filters_of_the_pyramids(name, part, frequencies, low):
    pyramid = retina.RETINAS[name].parts[part]
    assert pyramid.ring_frequencies == pytest.approx(frequencies, abs=6e-5)
    filters = polo_filters(pyramid)
    width = pyramid.width
    assert filters.shape == (8, pyramid.rings, pyramid.azimuths, width, width)
    assert filters.amax((-2, -1)) == pytest.approx(torch.ones(filters.shape[:3]))  # even filters peak at their centre
    if low is not None:
        assert float(filters.min()) == pytest.approx(low, abs=6e-4)
    peak = filters.sum(0).flatten(2).argmax(2)  # (rings, azimuths)
    where = torch.stack((peak // width, peak % width), -1).float() - width // 2
    assert where.norm(dim=-1).sub(torch.tensor(pyramid.ring_radii)[:, None]).abs().max() < 0.8


def test_a_finite_bandwidth_brings_the_nominal_frequency_back():
    filters = polo_filters(replace(Pyramid(), b_sf=0.6))
    assert float(filters.min()) == pytest.approx(-0.893, abs=1e-3)  # study 2.3: -0.89


def test_a_filter_of_the_whatwhere_retina_has_its_place_frequency_and_phase():
    settings = retina.WhatWhere(azimuths=1)
    filters = retina.whatwhere_filters(settings, 6)  # (6, 1, 2, 128, 128)
    assert filters.shape == (6, 1, 2, 128, 128) and filters.abs().amax((-2, -1)).sub(1).abs().max() < 1e-12
    even, odd = filters[0, 0]
    row = 64 + settings.radii[6]
    assert abs(int(even.argmax()) // 128 - row) <= 0.6 and int(even.argmax()) % 128 == 64
    power = torch.fft.fft2(even).abs().square() * logpolar._Grid(128).radius  # the 1 / f of the band taken out, once
    down = torch.fft.fftfreq(128)[int(power.argmax()) // 128].abs()
    assert float(down) == pytest.approx(settings.frequencies[6], rel=0.2)
    assert abs(float((even * odd).sum())) < 0.02 * float(even.norm() * odd.norm())  # quadrature


def test_whitening_flattens_its_own_spectrum_and_keeps_no_mean():
    gain = whitening(128)
    assert float(gain.mean()) == pytest.approx(1)
    f = logpolar._Grid(128).radius
    low = (f > 0.01) & (f < 0.15)
    assert float((gain / f**1.4)[low].std() / (gain / f**1.4)[low].mean()) < 0.01
    assert retina.whiten(torch.full((1, 128, 128), 0.7)).abs().max() < 1e-6


# ---- folded ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY[:-1])
def test_folded_pyramids_equal_their_steps(name, scene):
    r = retina.build(name)
    steps = r.steps(scene[:20].double())
    assert error(steps, r(scene[:20])) < 1e-4
    assert error(steps, torch.addmm(r.offset, scene[:20].flatten(1), r.matrix.T)) < 1e-4


def test_the_folded_whatwhere_retina_equals_its_steps_but_for_the_clip(scene):
    r = retina.build(EIGHT)
    fold = r(scene[:20])
    assert error(r.steps(scene[:20]), fold) < 2e-3
    cut = (retina.whiten(scene[:20]) + retina.GREY).clamp(0, 1)  # as in 2021
    clipped = retina.build(replace(EIGHT, whitening=False)).steps(cut)
    assert 1e-3 < error(clipped, fold) < 0.05
    assert correlation(clipped - clipped.mean(0), fold - fold.mean(0)) > 0.999


@pytest.mark.parametrize("settings", [SMALL, replace(SMALL, whitening=False), replace(SMALL, phases=1)])
def test_both_forms_agree(settings, small_scene):
    cores, matrix = (retina.build(settings, form=form) for form in ("cores", "matrix"))
    steps = cores.steps(small_scene.double())
    assert error(steps, cores(small_scene)) < 2e-3
    assert error(matrix(small_scene), cores(small_scene)) < 1e-5
    assert torch.allclose(cores.matrix[17], matrix.matrix[17], atol=1e-6)


def test_folding_loses_what_it_is_allowed_to():
    kernels = torch.stack([retina.whatwhere_filters(SMALL, i).flatten(0, 2) for i in (1, 4)]).flatten(0, 1)
    for tolerance in (1e-1, 1e-2, 1e-3, 0.0):
        rows, columns, core = retina.fold(kernels, tolerance)
        lost = (rows.T @ core @ columns - kernels).norm() / kernels.norm()
        assert lost <= math.sqrt(2) * tolerance + 1e-7


@pytest.mark.parametrize("which", EVERY)
def test_features_are_linear_about_the_offset(which, scene):
    r = retina.build(which)
    a, b = scene[:4], scene[4:8]
    assert torch.allclose(r(0.3 * a + 0.7 * b), 0.3 * r(a) + 0.7 * r(b), atol=2e-4)
    assert torch.allclose(r(torch.zeros_like(a)), r.offset.expand(4, -1), atol=1e-5)


def test_the_low_pass_level_alone_sees_the_mean():
    brighter = {name: retina.build(name)(torch.ones(1, 1, 128, 128))[0].abs() for name in ("polo768", "polo2560band")}
    levels = brighter["polo768"].view(8, 3, 2, 16).amax((0, 2, 3))
    assert levels[2] > 1 and levels[:2].max() < 1e-3
    assert brighter["polo2560band"].max() < 1e-2


def test_crops_of_a_level_smaller_than_the_crop_are_padded():
    pyramid = retina.RETINAS["polo1280"].parts[0]
    assert pyramid.sizes == [128, 90, 63, 44, 31]
    levels = retina.crops(torch.ones(1, 1, 128, 128), pyramid)  # (1, 5, 32, 32)
    assert levels.shape == (1, 5, 32, 32)
    assert levels[0, 4, 0].abs().max() == 0 and levels[0, 4, 1:, 1:].min() > 0.999


def test_a_retina_is_built_once():
    assert retina.build("polo768") is retina.build(retina.Polo(), "cpu", "cores")


# ---- symmetries -----------------------------------------------------------------------------------------------------


def test_a_turn_by_one_azimuth_moves_the_whatwhere_features_along():
    r, images = retina.build(EIGHT), blobs(8)
    before, after = (r.unflatten(r(x) - r.offset)[0] for x in (images, turned(images, math.pi / 4)))
    for ring in range(2, 9):  # (B, 6, 8, 2); finer rings feel the interpolation, the last one the border
        assert correlation(before[:, :, :, ring].roll(1, 2), after[:, :, :, ring]) > 0.98
        assert correlation(before[:, :, :, ring].roll(-1, 2), after[:, :, :, ring]) < 0.9


def test_a_turn_by_one_azimuth_moves_the_pyramid_features_along():
    r, images = retina.build("polo2560band"), blobs(8)
    before, after = (r.unflatten(r(x)) for x in (images, turned(images, math.pi / 8)))
    outer = {"roll": 2, "rows": slice(4, 8)}  # 32 azimuths; the finest level feels the interpolation
    inner = {"roll": 1, "rows": slice(2, 4)}
    for part, how in zip((0, 1), (inner, outer), strict=True):
        one, other = before[part][:, :, how["rows"]], after[part][:, :, how["rows"]]
        assert correlation(one.roll(how["roll"], 3), other) > 0.8
        assert correlation(one.roll(-how["roll"], 3), other) < 0.5


def test_an_enlarged_scene_moves_the_whatwhere_features_outwards():
    """By two rings, which lie at the same azimuths; the filters are self-similar from the third ring on."""
    r, images = retina.build(replace(retina.RETINAS["whatwhere"], whitening=False, azimuths=4)), blobs(8)
    before, after = (r.unflatten(r(x))[0] for x in (images, turned(images, scale=1.41**2)))
    for ring in range(2, 6):
        same = correlation(before[:, :, :, ring], after[:, :, :, ring + 2])
        assert same > 0.97 and same > correlation(before[:, :, :, ring], after[:, :, :, ring]) + 0.1


# ---- geometry -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", EVERY)
def test_cells_lie_where_their_kernels_have_their_energy(which):
    r = retina.build(which)
    cells, features = retina.cells(r.settings), torch.arange(r.n)[None]
    if which is EIGHT:
        first = r.unflatten(features)[0][0, 0, :, :, 0].flatten()  # one feature per cell, (azimuth, ring)
    else:
        first = torch.cat([part[0, 0].flatten() for part in r.unflatten(features)])
    assert all(len(column) == len(first) for column in cells)
    axis = torch.arange(128.0)
    for cell in (0, 5, len(first) // 2, len(first) - 1):
        energy, (row, column) = r.matrix[int(first[cell])].view(128, 128).square(), cells.centres[cell]
        away = (axis[:, None] - row).hypot(axis - column)
        assert energy[away < 3 * cells.sigma[cell] + 2].sum() > 0.55 * energy.sum()


def test_nothing_is_centred_within_the_first_ring():
    cells = retina.cells(retina.RETINAS["polo768"])
    assert float(cells.radius.min()) == 8 and (cells.centres - 64).norm(dim=1).min() > 7.9
    assert cells.centres.view(3, 2, 16, 2).mean((1, 2)) == pytest.approx(
        torch.tensor([64.0, 64.5, 65.5])[:, None].expand(3, 2), abs=1e-4
    )
    assert torch.allclose(cells.sigma.view(3, 32)[1] / cells.sigma.view(3, 32)[0], torch.tensor(2.0))


# ---- colliculus -----------------------------------------------------------------------------------------------------


def test_each_collicular_map_is_a_probability_around_its_cell():
    colliculus, cells = where.colliculus(), retina.cells(retina.RETINAS["whatwhere"])
    assert colliculus.maps.shape == (240, 128 * 128)
    assert torch.allclose(colliculus.maps.sum(1), torch.ones(240), atol=1e-4) and colliculus.maps.min() >= 0
    assert colliculus.peaks.shape == (240, 2) and colliculus.peaks.abs().max() <= stimuli.MARGIN
    away = (colliculus.peaks + 64 - cells.centres).norm(dim=1)
    inside = (cells.centres - 64).abs().amax(1) < stimuli.MARGIN
    assert (away < 1 + 0.5 * cells.sigma)[inside].all() and not inside.all()  # the others are clamped


def accuracy_map() -> torch.Tensor:
    axis = torch.arange(55) - 27.0
    return 0.1 + 0.8 * torch.exp(-0.5 * (axis[:, None].hypot(axis) / 6) ** 2)


def test_an_accuracy_map_is_laid_around_the_digit():
    accuracy = torch.rand(55, 55, generator=rng.generator("map"))
    still, moved, far = where.accuracy_field(accuracy, torch.tensor([[0, 0], [10, -20], [50, 50]]))
    assert torch.allclose(still[37:92, 37:92], accuracy, atol=1e-6)
    assert torch.allclose(moved[47:102, 17:72], accuracy, atol=1e-6)
    assert torch.allclose(far[87:, 87:], accuracy[:41, :41], atol=1e-6)
    still[37:92, 37:92] = 0.1
    assert (still - 0.1).abs().max() < 1e-6


def test_targets_are_accuracies_and_their_readout_finds_the_digit():
    colliculus = where.colliculus()
    offsets = torch.randint(-34, 35, (300, 2), generator=rng.generator("offsets"))
    offsets = offsets[offsets.float().norm(dim=1) <= 40]
    target = colliculus.target(accuracy_map(), offsets)
    assert target.shape == (len(offsets), 240)
    assert target.min() > 0.1 - 1e-5 and target.max() < 0.9
    found = colliculus.offset(target)
    assert found.dtype == torch.int64
    away, eccentricity = (found - offsets).float().norm(dim=1), offsets.float().norm(dim=1)
    assert (away <= 3 + 0.25 * eccentricity).all(), (away / (3 + 0.25 * eccentricity)).max()
    assert away.mean() < 5


# ---- inverse --------------------------------------------------------------------------------------------------------


def misfit(images: torch.Tensor, shown: torch.Tensor, low: float, high: float) -> float:
    """Squared error of what is shown between two eccentricities, relative to that of a grey image."""
    zone = (low <= CENTRE) & (high > CENTRE)
    return float((shown - images)[:, 0, zone].square().sum() / (images - 0.5)[:, 0, zone].square().sum())


@pytest.mark.parametrize("name", ["polo768", "polo1280"])
def test_the_inverse_keeps_the_centre_better_than_the_periphery(name, scene):
    r = retina.build(name)
    shown = r.invert(r(scene))
    assert shown.shape == scene.shape and shown.dtype == torch.float32
    middle, periphery = misfit(scene, shown, 8, 16), misfit(scene, shown, 32, 63)
    assert middle < 0.5 and middle < 0.7 * periphery < 0.7
    assert error(r(scene), r(shown)) < 0.02  # it has the same features: nothing more could be shown


def test_the_inverse_of_a_small_whatwhere_retina(small_scene):
    r = retina.build(SMALL)
    shown = r.invert(r(small_scene))
    assert (shown - small_scene).square().mean() < 0.8 * (small_scene - 0.5).square().mean()
    grey = torch.full((1, 1, 64, 64), 0.5)
    assert torch.allclose(r.invert(r(grey)), grey, atol=1e-4)


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "wrong", "sentence"),
    [
        (retina.WhatWhere, {"azimuths": 0}, "azimuths=0 "),
        (retina.WhatWhere, {"azimuths": 2.5}, "azimuths=2.5 "),
        (retina.WhatWhere, {"phases": 3}, "phases=3 "),
        (retina.WhatWhere, {"rho": 1.0}, "rho=1.0 "),
        (retina.WhatWhere, {"sf_max": 0.6}, "sf_max=0.6 "),
        (retina.WhatWhere, {"b_sf": math.nan}, "b_sf=nan "),
        (retina.WhatWhere, {"field": 4}, "field=4 "),
        (Pyramid, {"r_min": 16.0, "r_max": 8.0}, "r_min=16.0 must be below r_max=8.0"),
        (Pyramid, {"r_max": 17.0}, "r_max=17.0 "),
        (Pyramid, {"width": 256}, "width=256 must not exceed the field, 128"),
        (Pyramid, {"levels": 1, "low_pass": False}, "levels=1 "),
        (Pyramid, {"levels": 6}, "levels=6: level 5 "),
        (retina.Polo, {"parts": ()}, "parts=()"),
        (retina.Polo, {"parts": (Pyramid(), Pyramid(field=64))}, "one and the same field"),
    ],
)
def test_impossible_settings_are_refused_by_name(settings, wrong, sentence):
    with pytest.raises(ConfigurationError) as caught:
        settings(**wrong)
    assert str(caught.value).startswith(sentence) or sentence in str(caught.value)


def test_unknown_names_and_wrong_images_are_refused():
    with pytest.raises(ConfigurationError, match=r"retina='polo786'.*Did you mean 'polo768'"):
        retina.build("polo786")
    with pytest.raises(ConfigurationError, match="form='dense'"):
        retina.build("polo768", form="dense")
    for call in (retina.build("polo768"), retina.build("polo768").steps):
        with pytest.raises(ConfigurationError, match=r"images of shape \(2, 1, 64, 64\).*128, 128"):
            call(torch.zeros(2, 1, 64, 64))


@pytest.mark.parametrize("form", ["cores", "matrix"])
def test_features_are_differentiable_even_if_first_built_for_inference(form, small_scene):
    retina._built.cache_clear()
    with torch.inference_mode():
        r = retina.build(SMALL, form=form)
        r(small_scene)
    image = small_scene[:1].clone().requires_grad_()
    r(image)[0, 17].backward()
    assert torch.allclose(image.grad[0, 0], r.matrix[17].view_as(image[0, 0]), atol=1e-5)
