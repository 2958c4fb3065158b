"""The examples in the docstrings of the science run and give what they show."""

import doctest
import importlib
import pkgutil

import pytest

import labbook

NAMES = [module.name for module in pkgutil.iter_modules(labbook.__path__) if not module.ispkg and module.name[0] != "_"]


@pytest.mark.parametrize("name", NAMES)
def test_examples(name):
    module = importlib.import_module(f"labbook.{name}")
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0
