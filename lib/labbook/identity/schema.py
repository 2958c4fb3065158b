"""The frozen names and defaults of configurations, version 1: what a description that leaves a setting out means.

A training is stored under the hash of its `description`, which leaves out what is at its default *here*, whatever the
code's default is today. Nothing in this file may change, or stored trainings lose their names:

* a default changed in the code: nothing to do, descriptions then write the new value out;
* a field or option renamed in the code: map its key to the new attribute in `ATTRIBUTES`;
* a field or option added: add it here, with the value that stands for what trainings did before it existed;
* equal configurations train differently from now on: raise `VERSION`, and all names change.
"""

from __future__ import annotations

VERSION = 1
WRITTEN = ...  # no default: always part of a description

TRAINING = {
    "model": WRITTEN,
    "stages": WRITTEN,
    "options": {},  # of the model: see MODELS
    "optimiser": "sgd",
    "momentum": 0,
    "weight_decay": 0,
    "localisation_rate": 1,
    "average": 0,
    "renew_optimiser": True,
    "loss": "cross_entropy",
    "glimpses": 8,
    "batch": 100,
    "digits": None,
    "fraction": 1,
    "arithmetic": "float32",
    "seed": 0,
    "data": "mnist",
    "start": None,
    "start_with": "all",
}

STAGE = {
    "scene": WRITTEN,
    "epochs": WRITTEN,
    "lr": WRITTEN,
    "decay": 1,
    "decay_every": 1,
    "jitter": 0,
    "cosine": None,
}

_SCENE = {"contrast": [0.3, 0.7], "noise": 0.75, "draws": "fresh", "texture": "cloud"}
_POLAR = {"std": 40, "offset_max": 40, "radius": None, "view": "field"}
SCENES = {
    "Scene28": {**_SCENE, "std": 15, "offset_max": 25},
    "Scene128": {**_SCENE, **_POLAR},
    "Field": {**_SCENE, **_POLAR, "size": 128},
    "Cluttered": {**_SCENE, "std": 0, "offset_max": 0, "size": 60, "pieces": 4, "piece": 8},
}

PYRAMID = {
    "width": 32,
    "levels": 3,
    "base": 2,
    "rings": 2,
    "azimuths": 16,
    "orientations": 8,
    "r_min": 8,
    "r_max": 16,
    "low_pass": True,
    "b_theta": 0.2617993877991494,  # pi / 12
    "b_sf": float("inf"),
    "field": 128,
}
POLO = {"parts": [{}]}
WHATWHERE = {
    "orientations": 6,
    "azimuths": 24,
    "rings": 10,
    "phases": 2,
    "rho": 1.41,
    "reach": 0.8,
    "sf_max": 0.45,
    "sf_scale": 0.015,
    "b_sf": 0.4,
    "whitening": True,
    "field": 128,
}

_INNER, _OUTER = {"low_pass": False}, {"width": 64, "rings": 4, "azimuths": 32, "r_min": 16, "r_max": 32}
RETINAS = {  # what their names stand for
    "whatwhere": {},
    "polo768": {},
    "polo1280": {"parts": [{"levels": 5, "base": 2**0.5, "r_min": 8 * 2**0.5}]},
    "polo2560": {"parts": [{"levels": 2}, {**_OUTER, "levels": 2}]},
    "polo2560band": {"parts": [_INNER, {**_OUTER, **_INNER}]},
}

_TRANSFORMER = {"padding": 0, "zero_start": True, "centre": False, "kaiming": False, "sampler": "grid"}
_WINDOW = {"scale": "free", "scales": 1}
_LOCALISATION = {"kernels": [16, 32, 64, 128], "hidden": [32], "bias": True, "dropout": 0, "first": "pooled"}
MODELS = {
    "lenet": {"grey": 0},
    "tutorial": {},
    "downsampled": {"antialias": False, "kaiming": False},
    "stn28": {"theta": "affine", "classifier": "lenet", "bias": True, **_TRANSFORMER},
    "stn128": {
        **_LOCALISATION,
        "classifier_kernels": [20, 100],
        "classifier_hidden": 128,
        "classifier_grey": 0,
        **_TRANSFORMER,
    },
    "atn": {"scale_start": WRITTEN, **_WINDOW, **_LOCALISATION, **_TRANSFORMER},
    "taught_atn": {"scale_start": WRITTEN, "evidence_width": 16, **_WINDOW, **_LOCALISATION, **_TRANSFORMER},
    "one_window": {"scale_start": 0.2, **_WINDOW, **_TRANSFORMER},
    "polo": {
        "retina": "polo768",
        "scale_start": 0.2,
        "hidden": 32,
        "standard": False,
        "magnitudes": False,
        "reconstruction": False,
        **_TRANSFORMER,
    },
    "conv_polo": {
        "scale_start": 0.2,
        "hidden": 200,
        "standard": False,
        "wrap": False,
        "magnitudes": False,
        **_TRANSFORMER,
    },
    "where": {
        "accuracy": [],
        "retina": "whatwhere",
        "hidden": [1000, 1000],
        "batch_norm": False,
        "dropout": 0,
        "standard": False,
    },
    "searcher": {
        "periphery": "full",
        "stride": 4,
        "retina": "whatwhere",
        "width": 0,
        "tries": 6,
        "uniform": 0.5,
        "saccades": 1,
        "inhibition": 3,
        "learns": "tries",
    },
    "evidence": {"width": 16, "stride": 4, "pooling": "marginal", "blank": True},
    "foveal": {
        "retina": "whatwhere",
        "width": 96,
        "what_width": 16,
        "fovea": 44,
        "saccades": 5,
        "sure": 15,
        "near": 10,
    },
}

ATTRIBUTES = {  # key of a description -> attribute in the code, where they differ
    "arithmetic": "precision",
    "average": "ema_decay",
    "renew_optimiser": "reset_optimiser",
    "glimpses": "n_perturbations",
    "jitter": "perturbation_std",
}

NAMES = {  # of trainings from when options at their defaults were written out: hash of the description -> name
    "1e6bd76431620c13": "cabd2a4d05244f59",
}
