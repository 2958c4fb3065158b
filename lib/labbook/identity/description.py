"""The name of a training: its configuration as plain data, the hash of that, and the way back.

A training is stored under the hash of its description: equal data, equal training. What is at the frozen defaults of
`schema` is left out, options of the model too. A default that changes in the code thus changes the description of what
relies on it, never the meaning of one that exists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields

from .. import fields as other_fields
from .. import filters, models, stimuli
from ..config import Training
from ..curriculum import Stage
from ..errors import ConfigurationError, choose, shown
from . import schema
from .schema import ATTRIBUTES, WRITTEN

SCHEMAS = {  # type of settings -> its name in descriptions, if it has one, and its frozen defaults
    Training: ("", schema.TRAINING),
    Stage: ("", schema.STAGE),
    stimuli.Scene28: ("Scene28", schema.SCENES["Scene28"]),
    stimuli.Scene128: ("Scene128", schema.SCENES["Scene128"]),
    other_fields.Field: ("Field", schema.SCENES["Field"]),
    other_fields.Cluttered: ("Cluttered", schema.SCENES["Cluttered"]),
    filters.WhatWhere: ("", schema.WHATWHERE),
    filters.Pyramid: ("", schema.PYRAMID),
    filters.Polo: ("", schema.POLO),
}


def describe(training: Training) -> dict:
    """Return a training as plain data that JSON keeps as it is: equal data, equal training."""
    return {**plain(training), "version": schema.VERSION}


def name_of(training: Training) -> str:
    """Return the name of a training, that of its folder in a store: the `digest` of its description."""
    name = digest(describe(training))
    return schema.NAMES.get(name, name)


def digest(data: object) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of plain data as canonical JSON."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def plain(value: object) -> object:
    """Return settings as plain data: what differs from the frozen defaults, stimuli with the name of their law.

    Whole numbers become integers: 15 and 15.0 are one value.

    Raises:
        LookupError: a field or option that the schema lacks.
    """
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) not in SCHEMAS:
        return value
    name, defaults = SCHEMAS[type(value)]
    values = {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Training):
        resolved = {**models.defaults(value.model), **value.options}
        values["options"] = _differing(plain(resolved), schema.MODELS.get(value.model, {}), f"model {value.model!r}")
    keys = {attribute: key for key, attribute in ATTRIBUTES.items()}
    kept = _differing({keys.get(key, key): each for key, each in values.items()}, defaults, type(value).__name__)
    return {"law": name, **kept} if name else kept


def _differing(values: Mapping, defaults: Mapping, owner: str) -> dict:
    """Return the values that are not at their frozen defaults."""
    if unknown := values.keys() - defaults.keys():
        raise LookupError(f"schema.py lacks {sorted(unknown)} of {owner}: add what stands for trainings without it.")
    return {key: value for key, value in values.items() if not _same(value, defaults[key])}


def _same(value: object, other: object) -> bool:
    return type(value) is type(other) and value == other  # True is not 1


def parse(description: dict) -> Training:
    """Return the training of a description: `describe(parse(description)) == description`, whatever the defaults of
    the code are.

    Raises:
        ConfigurationError: no description of this version; the sentence says what is wrong.
    """
    try:
        description = dict(description)
        if (version := description.pop("version", None)) != schema.VERSION:
            raise ConfigurationError(f"version={shown(version)} of a description is not {schema.VERSION}.")
        return _training(description)
    except ConfigurationError:
        raise
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise ConfigurationError(f"No description of a training: {shown(str(error))}.") from None


def _training(data: dict) -> Training:
    values = _complete(data, schema.TRAINING, "a training")
    model, options = choose("model", values["model"], schema.MODELS), values["options"]
    defaults, frozen = models.defaults(model), schema.MODELS[model]
    options = {
        key: _settings(value) if isinstance(value, dict) else value
        for key, value in _complete(options, frozen, f"model {model!r}").items()
        if key in options or not _same(plain(defaults.get(key)), frozen[key])
    }
    stages = tuple(_stage(each) for each in values["stages"])
    start = values["start"] and _training(values["start"])
    return Training(**{**values, "stages": stages, "options": options, "start": start})


def _stage(data: dict) -> Stage:
    values = _complete(data, schema.STAGE, "a stage")
    return Stage(**{**values, "scene": parse_scene(values["scene"])})


def parse_scene(data: dict) -> stimuli.StimulusConfig:
    """Return the scene of its plain data.

    Raises:
        ConfigurationError: an unknown law, a setting that is unknown or impossible.
    """
    law = choose("law", data.get("law"), schema.SCENES)
    [kind] = (kind for kind, (name, _) in SCHEMAS.items() if name == law)
    return kind(**_complete({key: value for key, value in data.items() if key != "law"}, schema.SCENES[law], law))


def _settings(data: dict) -> filters.WhatWhere | filters.Polo:
    """Return the settings of a retina."""
    if data.keys() <= schema.WHATWHERE.keys():
        return filters.WhatWhere(**_complete(data, schema.WHATWHERE, "a retina"))
    parts = _complete(data, schema.POLO, "a retina")["parts"]
    return filters.Polo(tuple(filters.Pyramid(**_complete(each, schema.PYRAMID, "a retina")) for each in parts))


def _complete(data: dict, defaults: Mapping, owner: str) -> dict:
    """Return the values of all attributes, lists as tuples.

    Raises:
        ConfigurationError: an unknown key, or one that is missing.
    """
    for key in data:
        choose(f"key of {owner}", key, defaults)
    values = {ATTRIBUTES.get(key, key): _tuples(value) for key, value in {**defaults, **data}.items()}
    if missing := [key for key, value in values.items() if value is WRITTEN]:
        raise ConfigurationError(f"{missing[0]} of {owner} is missing.")
    return values


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
