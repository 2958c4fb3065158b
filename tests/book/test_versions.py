"""The least versions: one sentence names what is missing or too old."""

import importlib.metadata

import pytest

from labbook.book import parameters, versions
from labbook.errors import ConfigurationError


def test_every_dependency_names_its_least_version_and_is_here():
    assert all(line.count(">=") == 1 for line in versions.needed())
    versions.check()


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        ({"torch": "2.10.1+cu130"}, "torch 2.11 (here: 2.10.1+cu130)."),
        ({"torch": "2.11.0a0+git123", "torchvision": None}, ""),
        ({"torch": "2.9.0", "MotionClouds": None}, "torch 2.11 (here: 2.9.0), MotionClouds 20220927 (here: none)."),
    ],
)
def test_what_is_missing_or_too_old_is_named_in_one_sentence(monkeypatch, found, wrong):
    version = importlib.metadata.version

    def installed(name):
        if name in found and found[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found.get(name) or version(name)

    monkeypatch.setattr(importlib.metadata, "version", installed)
    if not wrong:
        return versions.check()
    with pytest.raises(ConfigurationError) as refused:
        parameters.check("week1_noisy_stn", {})
    assert str(refused.value) == f"labbook needs these packages, or newer ones: {wrong}"


def test_away_from_its_checkout_the_library_asks_for_what_its_metadata_names(monkeypatch):
    monkeypatch.setattr(versions, "__file__", "/a/b/c/d/e.py")
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["torch>=2.11", 'distributed; extra == "sweep"'])
    assert versions.needed() == ["torch>=2.11"]
