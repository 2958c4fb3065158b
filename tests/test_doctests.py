"""The examples in the docstrings of the science run and give what they show."""

import doctest
import importlib
import pkgutil

import pytest

import labbook
from labbook import runtime, search

PARTS = labbook, runtime, search
NAMES = [
    module.name
    for part in PARTS
    for module in pkgutil.iter_modules(part.__path__, f"{part.__name__}.")
    if not module.ispkg and "__main__" not in module.name
]


@pytest.mark.parametrize("name", NAMES)
def test_examples(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0
