"""Configurations: each has one name, which a changed default changes, and which published trainings keep."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from here import ROOT
from hypothesis import given
from hypothesis import strategies as st

from labbook import evaluation, models, retina
from labbook.config import Training
from labbook.curriculum import Stage
from labbook.errors import ConfigurationError
from labbook.filters import Pyramid
from labbook.identity import schema
from labbook.identity.description import SCHEMAS, describe, digest, name_of, parse, parse_scene, plain
from labbook.stimuli import Scene28, Scene128

PUBLISHED = sorted(path.parent for path in (ROOT / "book" / "runs").glob("*/current.json"))
STAGES = (Stage(Scene28(), 1, 0.01),)
PLAIN = Training("stn28", STAGES)


def unsealed(path: Path) -> dict:
    return json.loads(path.read_bytes().partition(b"\n")[2])


# ---- published -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_a_published_training_and_its_evaluations_keep_their_names(folder):
    generation = folder / unsealed(folder / "current.json")["generation"]
    recorded = unsealed(generation / "run.json")["training"]
    training = parse(recorded)
    assert name_of(training) == folder.name and describe(training) == recorded
    for path in generation.glob("*-*.json"):
        record = unsealed(path)
        name = f"{record['evaluation']}-{digest({**record['settings'], 'version': evaluation.VERSION})}.json"
        assert path.name == name
        if scene := record["settings"].get("scene"):
            assert plain(parse_scene(scene)) == scene


def test_there_are_published_trainings_to_test():
    assert len(PUBLISHED) >= 141


# ---- defaults --------------------------------------------------------------------------------------------------------

OTHERS = {  # another value for a default that is not a number or a truth value
    "options": {"padding": 0.5},
    "optimiser": "adam",
    "loss": "mean_squared",
    "digits": 7,
    "precision": "tf32",
    "data": "digits",
    "start": PLAIN,
    "start_with": "classifier",
    "contrast": (0.4, 0.4),
    "draws": "frozen",
    "texture": "bank",
    "radius": 3.0,
    "view": "oracle",
    "parts": (Pyramid(levels=4),),
    "b_sf": 0.3,
    "accuracy": (0.5, 0.2),
    "n_perturbations": 6,
    "saccades": 2,
    "phases": 1,
    "rho": 1.3,
    "base": 1.5,
    "r_max": 12.0,
    "cosine": (0.0, 0.5),
}


def other(name: str, value: object) -> object:
    if name in OTHERS:
        return OTHERS[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + " of another kind"
    if isinstance(value, tuple):
        return (*value, 3)
    return value + 1 if isinstance(value, int) else value / 2 or 0.5


def named(kind: type) -> list[str]:
    """The parameters of a class's __init__ that have a default, in order."""
    code, defaults = kind.__init__.__code__, kind.__init__.__defaults__ or ()
    return list(code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount])


def with_default(monkeypatch, kind: type, name: str) -> object:
    """Change a default of the code; return the old one."""
    values = list(kind.__init__.__defaults__)
    at = named(kind).index(name)
    old, values[at] = values[at], other(name, values[at])
    monkeypatch.setattr(kind.__init__, "__defaults__", tuple(values))
    return old


SETTINGS = {
    Training: lambda: Training("stn28", STAGES),
    Stage: lambda: Training("atn", (Stage(Scene128(), 1, 0.01),)),
    Scene28: lambda: Training("stn28", (Stage(Scene28(), 1, 0.01),)),
    Scene128: lambda: Training("stn128", (Stage(Scene128(), 1, 0.01),)),
    retina.WhatWhere: lambda: Training("where", STAGES, {"retina": retina.WhatWhere()}, loss="collicular"),
    Pyramid: lambda: Training("polo", STAGES, {"retina": retina.Polo((Pyramid(), Pyramid()))}),
    retina.Polo: lambda: Training("polo", STAGES, {"retina": retina.Polo()}),
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, id=f"{kind.__name__}-{name}")
        for kind in SETTINGS
        for name in named(kind)
        if name != "options"  # see below
    ],
)
def test_a_changed_default_changes_the_name(monkeypatch, kind, name):
    before = describe(SETTINGS[kind]())
    with_default(monkeypatch, kind, name)
    after = describe(SETTINGS[kind]())
    assert before != after
    assert describe(parse(before)) == before and describe(parse(after)) == after


@pytest.mark.parametrize(
    ("model", "option"), [(model, option) for model in models.MODELS for option in models.defaults(model)]
)
def test_a_changed_default_of_an_option_changes_the_name(monkeypatch, model, option):
    new = Training(model, STAGES, loss="collicular" if model == "where" else "cross_entropy")
    before, resolved = describe(new), models.defaults(model)
    kind = next(each for each in models.MODELS[model].__mro__ if option in named(each))
    with_default(monkeypatch, kind, option)
    after = describe(new)
    assert before != after and models.defaults(model) != resolved
    assert describe(parse(before)) == before and describe(parse(after)) == after
    assert plain({**models.defaults(model), **parse(before).options}) == plain(resolved)  # it means what it meant


def test_the_schema_has_every_setting():
    for kind, (_, defaults) in SCHEMAS.items():
        assert {schema.ATTRIBUTES.get(key, key) for key in defaults} == {each.name for each in fields(kind)}
    assert {model: set(models.defaults(model)) for model in models.MODELS} == {
        model: set(defaults) for model, defaults in schema.MODELS.items()
    }
    assert {name: plain(each) for name, each in retina.RETINAS.items()} == schema.RETINAS


def test_a_setting_without_an_entry_in_the_schema_has_no_description(monkeypatch):
    monkeypatch.delitem(schema.STAGE, "decay")
    with pytest.raises(LookupError, match=r"schema.py lacks \['decay'\] of Stage"):
        describe(PLAIN)
    monkeypatch.undo()
    monkeypatch.delitem(schema.MODELS["stn28"], "bias")
    with pytest.raises(LookupError, match=r"schema.py lacks \['bias'\] of model 'stn28'"):
        describe(PLAIN)


# ---- descriptions ----------------------------------------------------------------------------------------------------


def test_the_precision_is_part_of_the_name():
    each = {name: name_of(replace(PLAIN, precision=name)) for name in ("float32", "tf32", "bfloat16")}
    assert len(set(each.values())) == 3 and each["float32"] == name_of(PLAIN)
    assert describe(replace(PLAIN, precision="tf32"))["arithmetic"] == "tf32"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(version=2), r"version=2 of a description is not 1\."),
        (lambda d: d.pop("version"), "version=None"),
        (lambda d: d.update(modle="lenet"), "key of a training='modle' is not one of .* Did you mean 'model'"),
        (lambda d: d.update(model="lenett"), "model='lenett'"),
        (lambda d: d.update(options={"bais": True}), "key of model 'stn28'='bais'.*'bias'"),
        (lambda d: d.update(stages=[]), "stages"),
        (lambda d: d.update(stages=7), "No description of a training"),
        (lambda d: d.update(stages=[{}]), "No description of a training|scene of a stage is missing"),
        (lambda d: d["stages"][0].pop("lr"), "lr of a stage is missing"),
        (lambda d: d["stages"][0]["scene"].pop("law"), "law=None"),
        (lambda d: d["stages"][0]["scene"].update(std="wide"), "std='wide' must be a number"),
        (lambda d: d.update(seed="0"), "seed='0' must be a whole number"),
        (lambda d: d.update(start=[1]), "."),
        (lambda d: d.update(options=[1]), "."),
    ],
)
def test_what_is_no_description_is_one_sentence(change, words):
    wrong = describe(PLAIN)
    change(wrong)
    with pytest.raises(ConfigurationError, match=words) as refused:
        parse(wrong)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("wrong", [None, 3, "stn28", [], ["version"], {}, {"version": 1}])
def test_what_is_no_mapping_is_one_sentence(wrong):
    with pytest.raises(ConfigurationError):
        parse(wrong)


def test_a_description_is_canonical():
    one_way = Training("stn28", (Stage(Scene28(std=15), 2, 1),), options={"padding": 0.5, "bias": True})
    other = Training(
        "stn28",
        (Stage(Scene28(std=15.0, noise=0.75), 2, 1.0, decay=1.0),),
        options={"bias": True, "padding": 0.5},
        seed=0,
        optimiser="sgd",
    )
    assert describe(one_way) == describe(other)
    assert json.dumps(describe(one_way), sort_keys=True) == json.dumps(describe(other), sort_keys=True)
    assert describe(one_way) == {
        "model": "stn28",
        "options": {"padding": 0.5},  # bias is True anyway
        "stages": [{"scene": {"law": "Scene28"}, "epochs": 2, "lr": 1}],
        "version": schema.VERSION,
    }


@given(st.floats(0, 30), st.sampled_from(["fresh", "frozen"]), st.integers(1, 9), st.floats(1e-6, 1), st.integers(0, 9))
def test_a_description_survives_json(std, draws, epochs, lr, seed):
    config = Training("lenet", (Stage(Scene28(std=std, draws=draws), epochs, lr),), seed=seed)
    assert json.loads(json.dumps(describe(config))) == describe(config)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "tutorial"},
        {"options": {"padding": 0.5}},
        {"optimiser": "adam"},
        {"momentum": 0.9},
        {"weight_decay": 0.1},
        {"ema_decay": 0.9},
        {"localisation_rate": 0.1},
        {"reset_optimiser": False},
        {"loss": "mean_squared"},
        {"batch": 50},
        {"fraction": 0.5},
        {"seed": 1},
        {"data": "digits"},
        {"stages": (Stage(Scene28(), 2, 0.01),)},
        {"stages": (Stage(Scene28(), 1, 0.02),)},
        {"stages": (Stage(Scene28(), 1, 0.01, decay=0.5),)},
        {"stages": (Stage(Scene28(), 1, 0.01, decay_every=2),)},
        {"stages": (Stage(Scene28(std=1), 1, 0.01),)},
        {"stages": (Stage(Scene28(contrast=(0.3, 0.3)), 1, 0.01),)},
        {"stages": (Stage(Scene28(noise=1), 1, 0.01),)},
        {"stages": (Stage(Scene28(offset_max=10), 1, 0.01),)},
        {"stages": (Stage(Scene28(draws="frozen"), 1, 0.01),)},
        {"stages": (Stage(Scene28(texture="bank"), 1, 0.01),)},
        {"stages": (Stage(Scene28(), 1, 0.01),) * 2},
    ],
)
def test_every_setting_is_part_of_the_description(change):
    config = Training("stn28", (Stage(Scene28(), 1, 0.01),))
    assert describe(replace(config, **change)) != describe(config)
