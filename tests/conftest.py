"""What the tests share: one thread, reproducible properties, digits without a network."""

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from here import ROOT

from labbook import digits
from labbook.book import checkout as book_checkout

pytest_plugins = ["browser"]

torch.set_num_threads(1)  # as in the trainings: two threads would compete with the processes that some tests start

hypothesis.settings.register_profile("lab-book", deadline=None, max_examples=25, derandomize=True, database=None)
hypothesis.settings.load_profile("lab-book")


@pytest.fixture(autouse=True)
def _numpy_state():
    state = np.random.get_state()  # noqa: NPY002 - the pipeline of 2021 seeds the global generator
    yield
    np.random.set_state(state)  # noqa: NPY002


@pytest.fixture(scope="session")
def sets() -> digits.DigitSets:
    """scikit-learn's digits: always there."""
    return digits.load("digits")


@pytest.fixture(scope="session")
def few(sets) -> digits.DigitSets:
    """A small set, for trainings of which only the mechanics matter."""
    return digits.DigitSets(sets.train[:400], sets.validation, sets.test, sets.name, sets.origin)


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """Where the real MNIST files are."""
    if not os.environ.get("LABBOOK_DATA"):
        pytest.skip("LABBOOK_DATA names no folder with MNIST")
    return Path(os.environ["LABBOOK_DATA"])


@pytest.fixture(scope="session")
def mnist(mnist_root) -> digits.DigitSets:
    return digits.load("mnist")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty checkout; kernels started from it find the library."""
    monkeypatch.setattr(book_checkout, "root", lambda: tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "lib"))
    monkeypatch.delenv("LABBOOK_PROFILE", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "_toc.yml").touch()
    return tmp_path
