"""Digits: their provenance, every byte checked, and what happens without MNIST."""

import errno
import gzip
import hashlib
import os
import struct
import tracemalloc
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from here import ROOT

from labbook import digits
from labbook.errors import ConfigurationError
from labbook.runtime import mnist as files

NAMES = list(files.SHA256)


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A small MNIST: its folder MNIST/raw, with its own table of checksums, 4 of 10 training digits held out."""
    random = np.random.default_rng(0)
    contents = {}
    for part, n in (("train", 10), ("t10k", 6)):
        contents[f"{part}-images-idx3-ubyte"] = idx(random.integers(0, 256, (n, 28, 28)))
        contents[f"{part}-labels-idx1-ubyte"] = idx(random.integers(0, 10, n))
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in contents.items():
        (raw / f"{name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(files, "SHA256", {n: hashlib.sha256(c).hexdigest() for n, c in contents.items()})
    monkeypatch.setattr(digits, "HELD_OUT", 4)
    monkeypatch.setenv("LABBOOK_DATA", str(tmp_path))
    return SimpleNamespace(raw=raw, contents=contents)


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No folder named, an empty cache, no network."""

    def refuse(*given, **options):
        raise urllib.error.URLError("no route to host")

    monkeypatch.delenv("LABBOOK_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "_torchvision_datasets", lambda: SimpleNamespace(MNIST=refuse))


# ---- MNIST -----------------------------------------------------------------------------------------------------------


def test_mnist_is_cut_into_three(fake):
    sets = digits.load("mnist")
    assert (len(sets.train), len(sets.validation), len(sets.test)) == (6, 4, 6)
    assert (sets.train.first, sets.validation.first, sets.test.first) == (0, 6, 0)
    images = np.frombuffer(fake.contents["train-images-idx3-ubyte"][16:], np.uint8).reshape(10, 28, 28)
    labels = np.frombuffer(fake.contents["t10k-labels-idx1-ubyte"][8:], np.uint8)
    assert np.array_equal(torch.cat([sets.train.images, sets.validation.images]).numpy(), images)
    assert np.array_equal(sets.test.labels.numpy(), labels)
    assert sets.train.images.dtype == torch.uint8 and sets.train.labels.dtype == torch.int64
    assert sets.name == "mnist"
    assert digits.load("auto").name == "mnist"


def test_plain_files_are_read_too(fake):
    packed = digits.load("mnist")
    for name, content in fake.contents.items():
        (fake.raw / f"{name}.gz").unlink()
        (fake.raw / name).write_bytes(content)
    assert torch.equal(packed.test.images, digits.load("mnist").test.images)


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_file_is_named_with_both_checksums(fake, name):
    path = fake.raw / f"{name}.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ConfigurationError) as refused:
        digits.load("auto")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert all(word in str(refused.value) for word in (str(path), files.SHA256[name], found))


@pytest.mark.parametrize("place", [0, 12, 200, -6, -1])
def test_a_flipped_bit_is_found(fake, place):
    path = fake.raw / f"{NAMES[0]}.gz"
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="truncated or altered") as refused:
        digits.load("mnist")
    assert str(path) in str(refused.value) and files.SHA256[NAMES[0]] in str(refused.value)


def test_altered_content_is_found_though_the_archive_is_whole(fake):
    path = fake.raw / f"{NAMES[0]}.gz"
    content = fake.contents[NAMES[0]][:-1] + b"\0\0"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ConfigurationError) as refused:
        digits.load("mnist")
    expected, found = files.SHA256[NAMES[0]], hashlib.sha256(content).hexdigest()
    assert f"expected SHA-256 {expected}, found {found}" in str(refused.value) and str(path) in str(refused.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(fake, name):
    (fake.raw / f"{name}.gz").unlink()
    with pytest.raises(ConfigurationError, match=f"lacks {name}"):
        digits.load("auto")


def test_without_mnist_auto_falls_back_and_mnist_does_not(offline):
    with pytest.raises(ConfigurationError, match=r"data='mnist' finds no MNIST: .*LABBOOK_DATA"):
        digits.load("mnist")
    sets = digits.load("auto")
    assert sets.name == "digits" and "failed (<urlopen error no route to host>)" in sets.why
    assert digits.load("digits").why == ""  # they were asked for


def test_the_cache_of_an_earlier_download_serves_offline(fake, offline, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    root = tmp_path / "elsewhere" / "lab-book"
    root.mkdir(parents=True)
    (tmp_path / "MNIST").rename(root / "MNIST")
    assert digits.load("auto").name == "mnist"


@pytest.mark.parametrize(("wrong", "cure"), [("nowhere", ""), ("MNIST", "Name"), ("MNIST/raw", "Name")])
def test_a_wrong_folder_is_named_and_the_right_one_where_it_is_near(fake, monkeypatch, wrong, cure):
    root = fake.raw.parents[1]
    monkeypatch.setenv("LABBOOK_DATA", str(root / wrong))
    cure = cure and rf" Name '{root}', which holds it\."
    for data in ("mnist", "auto"):
        with pytest.raises(
            ConfigurationError, match=rf"LABBOOK_DATA='{root / wrong}' holds no folder MNIST/raw\.{cure}$"
        ):
            digits.load(data)


def test_a_file_that_expands_to_gigabytes_is_not_expanded(fake, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 100_000)
    (fake.raw / f"{NAMES[0]}.gz").write_bytes(gzip.compress(bytes(10**8)))
    tracemalloc.start()
    with pytest.raises(ConfigurationError, match="truncated or altered"):
        digits.load("mnist")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_a_file_that_cannot_be_read_is_one_sentence(fake, monkeypatch):
    def denied(*given):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(files.gzip, "open", denied)
    with pytest.raises(ConfigurationError, match=rf"Cannot read {fake.raw}.*: Permission denied\."):
        digits.load("mnist")


@pytest.fixture
def server(fake, offline, tmp_path, monkeypatch):
    """A network that has the small MNIST: fills the cache with what it lacks, as torchvision does."""

    def download(root, download):
        for name, content in contents.items():
            if not (Path(root) / "MNIST" / "raw" / name).exists():
                (Path(root) / "MNIST" / "raw" / name).write_bytes(content)

    contents = dict(fake.contents)
    monkeypatch.setattr(files, "_torchvision_datasets", lambda: SimpleNamespace(MNIST=download))
    return contents


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_broken_cache_is_downloaded_again(server, suffix):
    assert digits.load("auto").name == "mnist"
    path = files.cache() / f"{NAMES[0]}{suffix}"
    path.write_bytes(server[NAMES[0]][:50])
    assert digits.load("auto").name == digits.load("mnist").name == "mnist"


def test_a_download_that_is_altered_is_named_and_not_taken_for_the_other_digits(server):
    server[NAMES[1]] = b"a login page"
    sets = digits.load("auto")
    assert sets.name == "digits" and NAMES[1] in sets.why
    with pytest.raises(ConfigurationError, match=f"what was downloaded is not MNIST: .*{NAMES[1]} has another"):
        digits.load("mnist")


def test_torchvision_downloads_mnist_on_any_build_of_torch():
    assert files._torchvision_datasets().MNIST.resources[0][0] == f"{NAMES[0]}.gz"


# ---- the test digits alone -------------------------------------------------------------------------------------------


@pytest.fixture
def tests_alone(fake, tmp_path, monkeypatch):
    """A folder with the test files of the small MNIST."""
    raw = tmp_path / "book" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in NAMES[2:]:
        (raw / f"{name}.gz").write_bytes((fake.raw / f"{name}.gz").read_bytes())
    monkeypatch.setattr(digits, "TRAINING_DIGITS", 10)
    return tmp_path / "book"


def test_test_digits_serve_without_the_others(tests_alone, offline):
    for data in ("auto", "mnist"):
        sets = digits.load(data, tests_alone).to("cpu")
        assert (sets.name, len(sets.train), len(sets.validation), len(sets.test)) == ("mnist", 6, 4, 6)
        assert sets.test.images.shape == (6, 28, 28)
    for look in (lambda: sets.train[:2], lambda: sets.validation.images, lambda: sets.sha256):
        with pytest.raises(ConfigurationError, match=r"A new training needs MNIST: its download into .* failed"):
            look()
    assert digits.load("digits", tests_alone).name == "digits"


def test_the_others_are_got_when_they_are_needed(fake, tests_alone, server, monkeypatch):
    sets = digits.load("auto", tests_alone)
    assert not files.cache().exists()
    monkeypatch.setenv("LABBOOK_DATA", str(fake.raw.parents[1]))
    whole = digits.load("mnist", tests_alone)
    monkeypatch.delenv("LABBOOK_DATA")
    assert torch.equal(sets.train.images, whole.train.images)
    assert torch.equal(sets.validation[1:].labels, whole.validation[1:].labels)
    assert (sets.validation.first, sets.origin, sets.sha256) == (whole.validation.first, whole.origin, whole.sha256)


def test_the_test_digits_of_the_book_are_those_of_mnist(monkeypatch, tmp_path):
    monkeypatch.delenv("LABBOOK_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    sets = digits.load("mnist", ROOT / "book" / "digits")
    assert len(sets.test) == 10_000 and sets.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert (len(sets.train), len(sets.validation)) == (55_000, 5_000)


def test_an_unknown_source_is_refused():
    with pytest.raises(
        ConfigurationError, match=r"data='mnits' is not one of auto, mnist, digits. Did you mean 'mnist'\?"
    ):
        digits.load("mnits")


def test_real_mnist(mnist):
    assert (len(mnist.train), len(mnist.validation), len(mnist.test)) == (55_000, 5_000, 10_000)
    assert mnist.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert (mnist.test.labels == 1).double().mean().item() == pytest.approx(0.1135)  # the accuracy of a constant answer


# ---- scikit-learn's digits -------------------------------------------------------------------------------------------


def test_bundled_digits(sets):
    parts = (sets.train, sets.validation, sets.test)
    assert [len(part) for part in parts] == [1200, 200, 397]
    for part in parts:
        assert part.images.dtype == torch.uint8 and part.images.shape[1:] == (28, 28)
        assert part.labels.dtype == torch.int64 and part.labels.unique().tolist() == list(range(10))
        assert (part.images.flatten(1).amax(1) == 255).all()
    together = torch.cat([part.images for part in parts]).flatten(1)
    assert len(together.unique(dim=0)) > 0.99 * len(together)  # disjoint parts: no digit twice
    assert sets.validation.first == 1200 and sets.test.first == 1400


def test_bundled_digits_are_centred(sets):
    """By mass, to a pixel: the 20x20 box moves by whole pixels, and stays inside."""
    weight = sets.train.images.double() / sets.train.images.double().sum((1, 2), keepdim=True)
    axis = torch.arange(28.0, dtype=torch.float64) - 13.5
    for sums in (weight.sum(1), weight.sum(2)):
        assert ((sums * axis).sum(1)).abs().max() < 1


def test_parts_are_contiguous(sets):
    part = sets.train[10:20]
    assert torch.equal(part.images, sets.train.images[10:20]) and part.first == 10 and len(part) == 10
    assert part[2:].first == 12 and sets.test[-5:].first == 1400 + 392
    with pytest.raises(ConfigurationError, match="step 1, not 2"):
        sets.train[::2]


def test_moving_keeps_everything(mnist):
    moved = mnist.to("cpu")
    assert moved.origin == mnist.origin and moved.validation.first == 55_000 and moved.test[3:].part == 1
