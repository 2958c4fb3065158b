"""Any input at all: a setting is accepted and works, or is refused by its name; what is hostile does nothing."""

import json
import os
from dataclasses import fields, replace
from pathlib import Path

import nbformat
import pytest
import torch
from chapters import write_chapter
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from typer.testing import CliRunner

from labbook import curriculum, models, retina, rng
from labbook.book import checkout as book_checkout
from labbook.book import execution, pages, parameters, store
from labbook.book.declarations import CHAPTERS
from labbook.curriculum import Stage
from labbook.errors import ConfigurationError
from labbook.filters import Pyramid
from labbook.identity.description import describe
from labbook.ops import cli
from labbook.runtime import files
from labbook.stimuli import Scene28, Scene128, draw
from labbook.training import Training

NUMBERS = st.integers(-2, 40) | st.integers() | st.floats() | st.floats(0, 1)
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["", "\0", "sgd", "mnist", "lenet", "__import__('os')", "frozen", "é" * 9]
)
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS | st.binary(max_size=3) | st.complex_numbers()
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(TEXTS, inner, max_size=2)
        | st.sets(st.integers(), max_size=2)
    ),
    max_leaves=4,
)
FIRST = Stage(Scene28(), 1, 0.01)
SETTINGS = [
    Scene28(),
    Scene128(),
    FIRST,
    Training("stn28", (FIRST,)),
    retina.WhatWhere(),
    Pyramid(),
    retina.Polo(),
]


# ---- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("good", SETTINGS, ids=lambda each: type(each).__name__)
@settings(max_examples=50)
@given(data=st.data())
def test_any_value_of_any_field_is_accepted_or_refused_by_name(good, data):
    name = data.draw(st.sampled_from([field.name for field in fields(good)]))
    value = data.draw(ANYTHING)
    try:
        made = replace(good, **{name: value})
    except ConfigurationError as refusal:
        assert name in str(refusal) and "\n" not in str(refusal) and len(str(refusal)) < 1000
    else:
        hash(json.dumps(describe(made), allow_nan=False)) if isinstance(made, Training) else repr(made)


@pytest.mark.parametrize(
    "value", [10**5000, -(10**5000), [10**5000], "9" * 5000], ids=["huge", "tiny", "listed", "text"]
)
def test_what_cannot_be_shown_is_refused_all_the_same(value):
    for good in SETTINGS[:-1]:
        name = next(each.name for each in fields(good) if each.type.startswith(("int", "float", "Annotated")))
        with pytest.raises(ConfigurationError, match=f"{name}=.{{,300}} must be"):
            replace(good, **{name: value})
    for declaration, name in ((parameters.Common, "seed"), (parameters.Common, "runs"), (CHAPTERS["beyond"], "images")):
        with pytest.raises(ConfigurationError, match=rf"^{name}=.{{,300}} must be"):
            parameters.read(declaration, {name: value})


drawn = st.fixed_dictionaries(
    {},
    optional={
        "std": st.floats(0, 1000),
        "contrast": st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(lambda pair: tuple(sorted(pair))),
        "noise": st.floats(0, 1),
        "offset_max": st.integers(0, 25),
        "draws": st.sampled_from(["fresh", "frozen"]),
    },
)


@settings(max_examples=15)
@given(drawn, st.sampled_from([Scene28, Scene128]), st.integers(0, 9))
def test_every_valid_scene_can_be_drawn(few, law, kind, seed):
    stimuli = draw(few.train, torch.arange(3), kind(**law), rng.generator("stimuli", seed))
    assert stimuli.images.isfinite().all() and stimuli.images.min() >= 0 and stimuli.images.max() <= 1
    assert stimuli.offsets.abs().max() <= kind(**law).offset_max


@settings(max_examples=10)
@given(
    st.builds(
        dict,
        rings=st.integers(1, 3),
        azimuths=st.integers(1, 8),
        orientations=st.integers(1, 4),
        b_theta=st.floats(0.05, 10),
        low_pass=st.booleans(),
        base=st.floats(1.3, 3),
    ),
    st.sampled_from([16, 32]),
)
def test_every_valid_pyramid_sees(given_settings, field):
    try:
        made = Pyramid(width=8, levels=2, r_min=1, r_max=4, field=field, **given_settings)
    except ConfigurationError as refusal:
        assert any(name in str(refusal) for name in ("levels", "width"))  # of these, nothing else is impossible
        return
    seen = retina.build(retina.Polo((made,)))(
        torch.rand(2, 1, field, field, generator=torch.Generator().manual_seed(0))
    )
    assert seen.shape == (2, made.n) and seen.isfinite().all()


@given(st.lists(st.floats(0, 1000), max_size=4), st.integers(1, 20), st.floats(1e-9, 100), st.floats(1e-6, 1))
def test_every_valid_curriculum_has_its_stages_and_rates(stds, epochs, lr, decay):
    if not stds:
        with pytest.raises(ConfigurationError, match="stds"):
            curriculum.growing(stds, epochs, lr)
        return
    stages = curriculum.growing(stds, epochs, lr, decay=decay)
    assert [stage.scene.std for stage in stages] == stds
    assert all(0 < stage.lr_at(epoch) <= lr for stage in stages for epoch in (0, 1))


@given(st.sampled_from(sorted(models.MODELS)), TEXTS, ANYTHING)
def test_any_option_of_a_model_is_refused_by_name(model, option, value):
    with pytest.raises(ConfigurationError) as refused:
        models.build(model, None, **{option or "-": value})
    assert f"option of {model}" in str(refused.value)


# ---- the command line ------------------------------------------------------------------------------------------------

# fmt: off
WORDS = [
    "run", "sweep", "drift", "build", "claims", "data", "-p", "--parameter", "--profile", "--seed", "--out",
    "--publish", "--workers", "--scheduler", "--data", "week1", "week1_a", "week", "seed=1", "seed=0..2",
    "noise=2", "=", "--", "-", "profile=smoke", "stds=[0,", "stds=[0,9]", "nothing=1", "--help", "0", "-1", "1e99",
    "tcp://nowhere", "\0", "é",
]
# fmt: on


@settings(max_examples=30)
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=6))
@example(["sweep", "week1", "--scheduler", ""])
@example(["run", "week1", "-p", "seed=" + "9" * 5000])
@example(["drift", "week1"])
def test_any_words_are_understood_or_refused_without_a_traceback(a_checkout, words):
    with pytest.MonkeyPatch.context() as patch:  # what passes every check ends there
        patch.setattr(book_checkout, "root", lambda: a_checkout)
        patch.setattr(cli, "_render", lambda *given: None)
        for work in (
            "labbook.book.execution.execute",
            "labbook.ops.sweep.run",
            "labbook.digits.load",
            "labbook.ops.bench.main",
        ):
            patch.setattr(work, _stopped)
        patch.chdir(a_checkout)
        done = CliRunner().invoke(cli.app, words)
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert done.exit_code in (0, 1, 2) and "Traceback" not in done.output
    if done.stderr.startswith("Refused: "):
        assert done.exit_code == 2 and done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def a_checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout")
    write_chapter(folder, "week1_a")
    return folder


def _stopped(*given, **options):
    raise execution.Failed("stopped")


# ---- hostile values --------------------------------------------------------------------------------------------------

HOSTILE = [
    "__import__('os').mkdir('sprung')",
    "'); __import__('os').mkdir('sprung'); ('",
    '"""\nimport os; os.mkdir("sprung")\n"""',
    "{{ config }} {__import__('os')} $(mkdir sprung) `mkdir sprung`; mkdir sprung",
    "\\'\\\"\n!mkdir sprung\n%mkdir sprung\n",
    "\u202e\ud7ff\U0001f600",
]


def test_hostile_values_of_parameters_stay_values(checkout):
    """papermill writes values into a cell as source; each of them must come back as the value it was."""
    path = write_chapter(checkout, "week1_a", "import json; print(json.dumps(words))", check="pass")
    notebook = execution.execute(path, {"words": HOSTILE}, checkout / "out.ipynb")
    assert json.loads(notebook.cells[-1].outputs[0].text) == HOSTILE
    assert not list(checkout.rglob("sprung"))


def test_hostile_metadata_of_a_notebook_do_nothing(checkout):
    path = write_chapter(checkout, "week1_a", "print('fine')")
    notebook = nbformat.read(path, 4)
    trap = f"{os.sys.executable} -c \"import os; os.mkdir('sprung')\""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"name": "../../evil", "display_name": trap, "language": "bash", "argv": ["mkdir", "sprung"]},
            "language_info": {"name": "bash", "version": trap},
            "papermill": {"parameters": {"seed": trap}, "output_path": "/sprung", "input_path": trap},
            "jupytext": {"text_representation": trap},
            "widgets": {"application/vnd.jupyter.widget-state+json": trap},
        }
    )
    notebook.cells[-1].metadata.update({"execution": {"x": trap}, "tags": ["raises-exception", "skip"], "mystnb": trap})
    nbformat.write(notebook, path)
    made = execution.execute(path, {}, checkout / "out.ipynb")
    assert made.cells[-1].outputs[0].text == "fine\n"
    assert set(made.metadata) == {"kernelspec", "language_info"} and made.metadata.kernelspec.name == "python3"
    assert not list(checkout.rglob("sprung")) and not Path("/sprung").exists()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"cells": 3, "metadata": {}}', '{"metadata": []}', "\ufffd", "null"]
)
def test_what_is_no_notebook_is_refused_by_name(tmp_path, content):
    path = tmp_path / "page.ipynb"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=f"{path} cannot be read as a notebook"):
        pages.read(path).cells[0]


class _Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_weights_that_are_a_pickle_are_not_executed(tmp_path):
    """Even where the record vouches for them."""
    folder = tmp_path / "name" / "0123456789abcdef"
    torch.save(_Trap(tmp_path / "sprung"), weights := tmp_path / "weights")
    files.write(folder / "weights.safetensors", weights.read_bytes())
    run = store.Run(folder, describe(Training("tutorial", (FIRST,))), [], {}, files.digest(weights.read_bytes()))
    with pytest.raises(ConfigurationError, match=r"weights\.safetensors"):
        run.model()
    files.write(folder / "weights.safetensors", other := save({"x": torch.zeros(1)}))
    with pytest.raises(ConfigurationError, match=r"weights\.safetensors"):
        replace(run, weights_sha256=files.digest(other)).model()
    assert not (tmp_path / "sprung").exists()
