"""Parameters: one declaration of each makes the cell, the check and its sentences."""

import os
import warnings
from pathlib import Path

import nbformat
import pytest
from chapters import write_chapter
from hypothesis import given
from hypothesis import strategies as st

from labbook.book import checkout as book_checkout
from labbook.book import parameters
from labbook.book.declarations import CHAPTERS
from labbook.errors import ConfigurationError

WEEK2 = CHAPTERS["week2_adam_vs_sgd"]
DEFAULTS = {name: field.default for name, field in WEEK2.model_fields.items()}


@pytest.mark.parametrize("path", book_checkout.chapters(), ids=lambda path: path.stem)
def test_the_parameters_cell_of_every_chapter_is_what_is_declared(path):
    cells = {tag: c.source for c in nbformat.read(path, 4).cells for tag in c.metadata.get("tags", [])}
    declaration = parameters.declared(path.stem)
    assert cells["parameters"] == parameters.cell(declaration), "run python -m labbook.book.parameters"
    assert max(map(len, cells["parameters"].splitlines())) <= 120
    assert parameters.of(path) is declaration
    namespace: dict = {}
    exec(cells["parameters"], namespace)
    exec(cells["check"], namespace)  # every default is allowed
    assert namespace["settings"].chapter == path.stem


def test_good_parameters_come_back_in_canonical_form(monkeypatch):
    monkeypatch.setenv("LABBOOK_PROFILE", "smoke")
    namespace = {**DEFAULTS, "noise": 1, "seed": 4, "_private": 1, "In": [""], "parameters": parameters}
    settings = parameters.check(WEEK2.chapter, namespace)
    assert (settings.profile, settings.seeds, settings.torch_device) == ("smoke", (4, 5, 6), "cpu")
    assert repr(settings.noise) == repr(namespace["noise"]) == "1.0" and namespace["profile"] == "smoke"
    namespace["mine"] = 3
    assert parameters.check(WEEK2.chapter, namespace) == settings  # run again by hand, with a variable of the notebook
    assert parameters.read(WEEK2, {"profile": "full"}).profile == "full"
    assert parameters.read(WEEK2, {"out": "somewhere"}).folder == Path("somewhere/runs")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"profile": "quik"}, "profile='quik' must be auto, smoke, quick or full. Did you mean 'quick'?"),
        ({"seed": -1}, "seed=-1 must be a whole number from 0 to 2147483647."),
        ({"seed": True}, "seed=True must be"),
        ({"seed": 3.0}, "seed=3.0 must be"),
        ({"seed": "three"}, "seed='three' must be"),
        ({"n_seeds": 0}, "n_seeds=0 must be a whole number from 1 to 100."),
        ({"device": "gpu"}, "device='gpu' must be auto, cpu, cuda or cuda:N."),
        ({"device": "mps"}, "device='mps' cannot run this library: stimuli need float64, which MPS lacks; use 'cpu'."),
        ({"device": None}, "device=None must be"),
        ({"device": "cuda:99"}, "device='cuda:99' asks for what is not here"),
        ({"precision": "fp32"}, "must be auto, float32, tf32 or bfloat16. Did you mean"),
        ({"precision": "tf32"}, "precision='tf32' is not what device 'cpu' computes fast; use 'float32'."),
        ({"out": 3}, "out=3 must be the path of a folder."),
        ({"out": __file__}, "must be the path of a folder."),
        ({"out": "\0"}, "must be the path of a folder."),
        ({"noise": float("nan")}, "noise=nan must be a number from 0 to 1."),
        ({"noise": float("inf")}, "noise=inf must be"),
        ({"noise": 10**400}, "must be a number from 0 to 1."),
        ({"noise": None}, "noise=None must be"),
        ({"same_theta": 29}, "same_theta=29 must be a number from 0 to 28 pixels."),
        ({"stds": []}, "stds=[] must be a list of numbers from 0 to 1000 px."),
        ({"stds": [0, 1001]}, "stds[1]=1001.0 must be a number from 0 to 1000 px."),
        ({"stds": "[0 15]"}, "stds[0]='[0 15]' must be a number"),
        ({"contrast_low": 0.9}, "contrast_low=0.9 must not exceed contrast_high=0.7."),
        ({"contrast_hgh": 0.3}, "week2_adam_vs_sgd has no parameter 'contrast_hgh'; it has profile, seed"),
    ],
)
def test_wrong_parameters_are_refused_in_one_sentence(given, words):
    for refuse in (lambda: parameters.read(WEEK2, given), lambda: parameters.check(WEEK2.chapter, DEFAULTS | given)):
        with pytest.raises(ConfigurationError) as refused:
            refuse()
        assert words in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [  # YAML reads 1e-2 as a text; papermill writes tuples, NumPy numbers and what `-r` gives as texts
        ("noise", "7e-1", 0.7),
        ("seed", "3", 3),
        ("stds", "(0, 15)", [0, 15]),
        ("stds", ["0", "1e0"], [0, 1]),
        ("stds", 7, [7]),
        ("out", "~/x", os.path.expanduser("~/x")),
    ],
)
def test_numbers_and_lists_may_come_as_texts(name, written, meant):
    value = getattr(parameters.read(WEEK2, {name: written}), name)
    assert (value, type(value)) == (meant, type(meant))


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.floats(0, 30), max_size=3)


@given(st.sampled_from(sorted(DEFAULTS)), VALUES)
def test_any_value_of_any_parameter_is_canonical_or_refused_by_name(name, value):
    try:
        settings = parameters.read(WEEK2, {name: value})
    except ConfigurationError as refusal:
        assert str(refusal).startswith(name) and "\n" not in str(refusal)
    else:
        assert parameters.read(WEEK2, settings.model_dump()) == settings


def test_unknown_missing_and_environment(monkeypatch, checkout):
    with pytest.raises(ConfigurationError, match=r"has no parameter 'nois'.* Did you mean 'noise'"):
        parameters.check(WEEK2.chapter, DEFAULTS | {"nois": 0.3})
    with pytest.raises(ConfigurationError, match="needs the parameter 'noise'"):
        parameters.check(WEEK2.chapter, {name: value for name, value in DEFAULTS.items() if name != "noise"})
    monkeypatch.setenv("LABBOOK_PROFILE", "fast")
    with pytest.raises(ConfigurationError, match="LABBOOK_PROFILE='fast' must be"):
        parameters.read(WEEK2, {})
    (checkout / "_toc.yml").unlink()
    with pytest.raises(ConfigurationError, match=r"needs a checkout of the lab-book, and .* is in none; start it"):
        parameters.check(WEEK2.chapter, {})


def test_overrides_are_read_by_the_declared_types(checkout):
    path = write_chapter(checkout, "copy_of_week2")
    pairs = ["seed=3", "noise=1e-1", "runs=retrain", "stds=0, 5", "out=a=b"]
    values = {"seed": 3, "noise": 0.1, "runs": "retrain", "stds": [0, 5], "out": "a=b"}
    assert parameters.overrides(path, pairs) == values
    assert parameters.overrides(path, ["stds=7"]) == {"stds": [7]}
    for pairs, words in [
        (["sed=3"], "has no parameter 'sed'.*Did you mean 'seed'"),
        (["seed"], "no '='"),
        (["seed=1", "seed=2"], "twice"),
        (["seed=abc"], "seed='abc' must be"),
    ]:
        with pytest.raises(ConfigurationError, match=words):
            parameters.overrides(path, pairs)


def test_a_notebook_that_names_no_chapter_is_refused(checkout):
    with pytest.raises(ConfigurationError, match=r"x\.ipynb has no cell tagged 'check' that reads settings = "):
        parameters.of(write_chapter(checkout, "x", check="pass"))
    with pytest.raises(ConfigurationError, match="week9 declares no parameters"):
        parameters.of(write_chapter(checkout, "x", check="parameters.check('week9', globals())"))


def test_a_gpu_that_cannot_be_used_is_refused_in_one_sentence(monkeypatch):
    torch = pytest.importorskip("torch")

    def busy(*size, device):
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nmore of it")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", busy)
    with pytest.raises(ConfigurationError) as refused:
        parameters.device("auto")
    sentence = "device='cuda' cannot be used: CUDA error: all CUDA-capable devices are busy or unavailable; use 'cpu'."
    assert str(refused.value) == sentence


def test_a_gpu_that_is_not_there_is_refused_with_what_the_driver_says(monkeypatch):
    torch = pytest.importorskip("torch")

    def available():
        warnings.warn("The NVIDIA driver on your system is too old.\nmore of it", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", available)
    with pytest.raises(ConfigurationError, match=r"finds 0 GPUs \(The NVIDIA driver on your system is too old\); use"):
        parameters.device("cuda")
