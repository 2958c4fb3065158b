"""The configuration of a training: its fields, its description as plain data, and the way back.

A training is stored under the hash of its description: equal data, equal training. What is at the frozen defaults of
`schema` is left out, options of the model too. A default that changes in the code thus changes the description of what
relies on it, never the meaning of one that exists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from . import fields as other_fields
from . import models, retina, schema, stimuli, transformers
from .curriculum import Stage
from .errors import ConfigurationError, choose, shown, within
from .schema import ATTRIBUTES, CHOICES, WRITTEN

REAL = {  # field -> least and greatest value
    "momentum": (0, 0.9999),
    "weight_decay": (0, 10),
    "localisation_rate": (0, 1000),
    "ema_decay": (0, 0.999999),
    "fraction": (1e-6, 1),
}
WHOLE = {"n_perturbations": (2, 64), "batch": (1, 100_000), "digits": (1, 1_000_000), "seed": (-(2**63), 2**63)}


@dataclass(frozen=True)
class Training:
    """Everything that a training run depends on; only two of the losses use positions, see `losses`.

    Raises:
        ConfigurationError: a value that is none of the choices in `schema.CHOICES`, or outside `REAL` or `WHOLE`;
            fields that do not fit each other.
    """

    model: str  # a name in models.MODELS
    stages: tuple[Stage, ...]
    options: Mapping[str, object] = field(default_factory=dict)  # of the model
    optimiser: str = "sgd"  # "adam" or "adamw"; PyTorch's defaults but for the fields below
    momentum: float = 0.0  # sgd only
    weight_decay: float = 0.0
    localisation_rate: float = 1.0  # learning rate of the localisation relative to the classifier's; 0 saves its part
    ema_decay: float = 0.0  # per step, of an exponential moving average of the weights, which then counts; 0: none
    reset_optimiser: bool = True  # forget the optimiser's state at the start of each stage, like 2021
    loss: str = "cross_entropy"  # or another name in losses.LOSSES
    n_perturbations: int = 8  # per image, even, in stages with a perturbation_std
    batch: int = 100  # images per step
    digits: int | None = None  # the first so many training digits alone; None: all
    fraction: float = 1.0  # share of the training digits that an epoch shows, another one each time
    precision: str = "float32"  # "tf32": of products on a GPU; "bfloat16": of the networks, see `models.in_bfloat16`
    seed: int = 0
    data: str = "mnist"
    start: Training | None = None  # a run whose final weights this one begins with (default: drawn)
    # of its weights; or "classifier" or "localisation", which may be another transformer's; or "teacher", for the part
    # of this model that is an evidence map
    start_with: str = "all"

    def __post_init__(self):
        choose("model", self.model, models.MODELS)
        for key in CHOICES:
            name = ATTRIBUTES.get(key, key)
            choose(name, getattr(self, name), CHOICES[key])
        for name, bounds in REAL.items():
            within(name, getattr(self, name), *bounds)
        for name, bounds in WHOLE.items():
            if name != "digits" or self.digits is not None:
                within(name, getattr(self, name), *bounds, whole=True)
        if not isinstance(self.stages, tuple) or not self.stages or not all(isinstance(s, Stage) for s in self.stages):
            raise ConfigurationError(f"stages={shown(self.stages)} must hold at least one stage, in a tuple.")
        if not isinstance(self.options, Mapping) or not _is_plain(self.options):
            raise ConfigurationError(
                f"options={shown(self.options)} must map names to numbers, texts, truth values or tuples of them."
            )
        for option in self.options:
            choose(f"a name in options of {self.model!r}", option, models.defaults(self.model))
        if not isinstance(self.reset_optimiser, bool):
            raise ConfigurationError(f"reset_optimiser={shown(self.reset_optimiser)} must be True or False.")
        if self.model == "where" and self.localisation_rate == 0:
            raise ConfigurationError("localisation_rate=0 leaves a 'where' network nothing to learn.")
        if (self.model == "where") != (self.loss == "collicular"):
            raise ConfigurationError(
                f"loss={self.loss!r} does not fit model={self.model!r}: 'collicular' teaches 'where' alone."
            )
        if not isinstance(self.start, Training | None):
            raise ConfigurationError(f"start={shown(self.start)} must be a training or None.")
        if self.start is not None and not self._takes_over():
            raise ConfigurationError(f"start: a {self.start.model!r} cannot go on as a {self.model!r}.")
        self._check_perturbations()

    def _takes_over(self) -> bool:
        """Return whether the model can begin with what `start_with` says of the model of `start`."""
        if self.start_with == "teacher":
            return self.start.model == "evidence" and hasattr(models.MODELS[self.model], "teacher")
        if self.start_with != "localisation":
            return self.start.model == self.model
        return all(issubclass(models.MODELS[each.model], transformers.Transformer) for each in (self, self.start))

    def _check_perturbations(self) -> None:
        if self.n_perturbations % 2:
            raise ConfigurationError(f"n_perturbations={self.n_perturbations} must be even: they come in pairs.")
        for stage in self.stages:
            if not stage.perturbation_std:
                continue
            if not issubclass(models.MODELS[self.model], transformers.Window) or self.loss != "cross_entropy":
                raise ConfigurationError(
                    f"perturbation_std={stage.perturbation_std} is for windows trained by 'cross_entropy', not for "
                    f"model={self.model!r} with loss={self.loss!r}."
                )
            if getattr(stage.scene, "view", "") != "field":
                raise ConfigurationError(
                    f"perturbation_std={stage.perturbation_std} needs a whole field, not {stage.scene}."
                )

    def describe(self) -> dict:
        """Return `describe` of it."""
        return describe(self)

    def drawn_from(self, digits: int) -> int:
        """Return how many of `digits` training digits are ever shown."""
        return min(digits, self.digits or digits)

    def steps(self, digits: int) -> int:
        """Return the number of steps in an epoch, given `digits` training digits."""
        return max(1, round(self.drawn_from(digits) * self.fraction / self.batch))

    def images(self, digits: int) -> int:
        """Return the number of images that the run sees, without those of its `start`."""
        return sum(stage.epochs for stage in self.stages) * self.steps(digits) * self.batch


def _is_plain(options: Mapping) -> bool:
    try:
        json.dumps(plain(options), allow_nan=False)
    except (TypeError, ValueError):
        return False
    return all(isinstance(name, str) for name in options)


# ---- as plain data --------------------------------------------------------------------------------------------------

SCHEMAS = {  # type of settings -> its name in descriptions, if it has one, and its frozen defaults
    Training: ("", schema.TRAINING),
    Stage: ("", schema.STAGE),
    stimuli.Scene28: ("Scene28", schema.SCENES["Scene28"]),
    stimuli.Scene128: ("Scene128", schema.SCENES["Scene128"]),
    other_fields.Field: ("Field", schema.SCENES["Field"]),
    other_fields.Cluttered: ("Cluttered", schema.SCENES["Cluttered"]),
    retina.WhatWhere: ("", schema.WHATWHERE),
    retina.Pyramid: ("", schema.PYRAMID),
    retina.Polo: ("", schema.POLO),
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


def _settings(data: dict) -> retina.WhatWhere | retina.Polo:
    """Return the settings of a retina."""
    if data.keys() <= schema.WHATWHERE.keys():
        return retina.WhatWhere(**_complete(data, schema.WHATWHERE, "a retina"))
    parts = _complete(data, schema.POLO, "a retina")["parts"]
    return retina.Polo(tuple(retina.Pyramid(**_complete(each, schema.PYRAMID, "a retina")) for each in parts))


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


# ---- variations -----------------------------------------------------------------------------------------------------


def shortened(training: Training, images: int, digits: int, stages: int | None = None) -> Training:
    """Return the same run cut to about `images` images: one epoch per stage, evenly, on at most `stages` stages, in
    smaller batches where a stage has less than one; and so the run that it starts from.

    Args:
        digits: size of the training set. stages: how many to keep, spread from the first to the last (default all).
    """
    kept = training.stages
    if stages is not None and len(kept) > stages:
        kept = tuple(kept[round(i * (len(kept) - 1) / max(1, stages - 1))] for i in range(stages))
    each = images / len(kept)
    fraction, batch = min(1.0, each / training.drawn_from(digits)), min(training.batch, max(2, round(each)))
    start = training.start and shortened(training.start, images, digits, stages)
    kept = tuple(replace(stage, epochs=1) for stage in kept)
    return replace(training, stages=kept, fraction=fraction, batch=batch, start=start)


def seeded(training: Training, seed: int, data: str) -> Training:
    """Return the same training with another seed and other digits, and likewise the run that it starts from."""
    start = training.start and seeded(training.start, seed, data)
    return replace(training, seed=seed, data=data, start=start)
