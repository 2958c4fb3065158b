"""The rules of the claims: each verdict that a rule can give, on invented numbers; and that a rule stays as it is."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from here import ROOT

from labbook import experiments
from labbook.errors import ConfigurationError
from labbook.experiments import claim as of
from labbook.experiments import measure, rule, week1, week2, week4, week8
from labbook.experiments.claim import Instead, Seeds, experiment, judge
from labbook.experiments.rule import CONFIRMED, OPEN, PARTLY, REFUTED
from labbook.identity.description import describe

CLAIMS = experiments.claims()
FEW = 2  # seeds, of which no rule decides


def seeds(*values):
    """Three seeds around each of some numbers; several numbers are several seeds as they are."""
    return [values[0]] * 3 if len(values) == 1 else list(values)


def by_stage(*values):
    return {f"end_{k}": seeds(value) if not isinstance(value, tuple) else value for k, value in enumerate(values)}


NOISY = (0.2, 0.5, 0.8)  # seeds whose spread hides a difference of ten points
MIXED = (0.1, 0.9, 0.9)  # one seed lost, two found
SAME = {CONFIRMED: {"spreads": seeds(0.01)}, PARTLY: {"spreads": (0.0, 0.5, 0.5)}, REFUTED: {"spreads": seeds(0.4)}}
LEARNS = {CONFIRMED: {"best": seeds(0.9)}, PARTLY: {"best": MIXED}, REFUTED: {"best": seeds(0.12)}}
FAILS = {CONFIRMED: LEARNS[REFUTED], PARTLY: LEARNS[PARTLY], REFUTED: LEARNS[CONFIRMED]}
STEADY, LOSES = {"falls": seeds(0.01), "bests": seeds(0.97)}, {"falls": seeds(0.4), "bests": seeds(0.97)}
SOME = {"falls": (0.01, 0.4, 0.01), "bests": seeds(0.97)}


def reach(*stated, names):
    """Examples of a rule that asks whether stages reach what was stated."""
    return {
        CONFIRMED: {name: seeds(value - 0.03) for name, value in zip(names, stated, strict=True)},
        PARTLY: {name: seeds(value - 0.1) for name, value in zip(names, stated, strict=True)},
        REFUTED: {name: seeds(0.11) for name in names},
    }


def against(ours, theirs, gap, partly=None):
    """Examples of a rule that compares two groups of seeds."""
    found = {
        CONFIRMED: {ours: seeds(0.5 + gap), theirs: seeds(0.5)},
        REFUTED: {ours: seeds(0.5 - gap), theirs: seeds(0.5)},
        OPEN: {ours: NOISY, theirs: (0.1, 0.4, 0.7)},
    }
    return found | ({PARTLY: partly} if partly else {})


def both_of(names, examples):
    return dict.fromkeys(names, examples)


def prefixed(examples, prefix):
    return {f"{prefix}{name}": values for name, values in examples.items()}


ENDS = [f"end_{k}" for k in range(9)]
SGD_BETTER = {"general": 0.5, "central": 0.96, "adam_general": 0.45, "adam_central": 0.92}
EXAMPLES = {
    "C1": FAILS,
    "C2": reach(week1.CENTRED, names=["last"]),
    "C3": LEARNS,
    "C4": reach(week1.GENERAL, week1.CENTRAL, names=["general", "central"]),
    "C5": reach(week1.MAP_CENTRE, week1.MAP_MEAN, names=["centre", "mean"]),
    **dict.fromkeys(("C6", "C8", "C9", "C11", "C15", "C18"), SAME),
    "C7": {
        CONFIRMED: {"at_0": seeds(0.0), "at_5": seeds(0.02)},
        PARTLY: {"at_0": seeds(0.0), "at_5": seeds(0.4)},
        REFUTED: {"at_0": seeds(0.3), "at_5": seeds(0.4)},
    },
    **both_of(
        ("C10", "C13"),
        {
            CONFIRMED: {"last": seeds(0.97), "spreads": seeds(0.3)},
            PARTLY: {"last": seeds(0.97), "spreads": seeds(0.0)},
            REFUTED: {"last": seeds(0.11), "spreads": seeds(0.0)},
        },
    ),
    "C14": {CONFIRMED: {"stages": [3, 0, 2]}, PARTLY: {"stages": [3, 3, 9]}, REFUTED: {"stages": [4, 16, 16]}},
    "C16": {
        CONFIRMED: {name: seeds(value) for name, value in SGD_BETTER.items()},
        PARTLY: {name: seeds(value) for name, value in (SGD_BETTER | {"general": 0.4}).items()},
        REFUTED: {name: seeds(value) for name, value in (SGD_BETTER | {"general": 0.4, "central": 0.9}).items()},
        OPEN: {name: seeds(value) for name, value in (SGD_BETTER | {"general": 0.455}).items()},
    },
    "C17": against("sgd", "adam", 0.04),
    "C84": reach(week2.VARIED_GENERAL, week2.VARIED_CENTRAL, names=["general", "central"]),
    "C19": {
        CONFIRMED: {name: seeds(value) for name, value in SGD_BETTER.items()},
        PARTLY: {name: seeds(value) for name, value in (SGD_BETTER | {"general": 0.47}).items()},
        REFUTED: {name: seeds(value) for name, value in (SGD_BETTER | {"general": 0.45, "central": 0.92}).items()},
        OPEN: {name: seeds(value) for name, value in SGD_BETTER.items()} | {"general": NOISY},
    },
    "C20": LEARNS,
    "C21": reach(0.9777, names=["last"]),
    "C22": reach(0.9733, names=["last"]),
    "C23": {
        CONFIRMED: {"falls": seeds(0.3)},
        PARTLY: {"falls": (0.3, 0.01, 0.01)},
        REFUTED: {"falls": seeds(0.01)},
        OPEN: {"falls": seeds(0.07)},
    },
    **dict.fromkeys(("C24", "C29", "C55", "C60", "C62", "C66", "C67", "C74"), FAILS),
    "C25": {CONFIRMED: LOSES, PARTLY: SOME, REFUTED: STEADY},
    "C26": {
        CONFIRMED: prefixed(LOSES, "low_") | prefixed(LOSES, "high_"),
        PARTLY: prefixed(LOSES, "low_") | prefixed(STEADY, "high_"),
        REFUTED: prefixed(STEADY, "low_") | prefixed(STEADY, "high_"),
    },
    "C27": {
        CONFIRMED: STEADY | {"spreads": seeds(0.0)},
        PARTLY: STEADY | {"spreads": seeds(3.0)},
        REFUTED: LOSES | {"spreads": seeds(3.0)},
    },
    "C30": {
        verdict: {
            name: values
            for way, example in zip(("kernels", "dropout", "adam", "low", "high"), ways, strict=True)
            for name, values in prefixed(example, f"{way}_").items()
        }
        for verdict, ways in {CONFIRMED: [LOSES] * 5, PARTLY: [LOSES] * 4 + [STEADY], REFUTED: [STEADY] * 5}.items()
    },
    "C31": LEARNS,
    "C32": {
        CONFIRMED: {"last": seeds(0.2)},
        PARTLY: {"last": MIXED},
        REFUTED: {"last": seeds(0.9)},
        OPEN: {"last": seeds(0.5)},
    },
    **both_of(
        ("C34", "C36"),
        {
            CONFIRMED: {"last": seeds(0.96), "spreads": seeds(0.0)},
            PARTLY: {"last": seeds(0.96), "spreads": seeds(5.0)},
            REFUTED: {"last": seeds(0.11), "spreads": seeds(5.0)},
            OPEN: {"last": seeds(0.96), "spreads": seeds(0.3)},
        },
    ),
    "C37": {
        CONFIRMED: {"last": seeds(0.11), "before": seeds(0.11), "spreads": seeds(0.0)},
        PARTLY: {"last": seeds(0.9), "before": seeds(0.11), "spreads": seeds(0.0)},
        REFUTED: {"last": seeds(0.9), "before": seeds(0.11), "spreads": seeds(4.0)},
    },
    "C38": {
        CONFIRMED: {"last": seeds(0.95), "spreads": seeds(2.0)},
        PARTLY: {"last": seeds(0.95), "spreads": seeds(0.0)},
        REFUTED: {"last": seeds(0.11), "spreads": seeds(0.0)},
    },
    "C39": reach(*week4.FIXED, names=ENDS[:8]),
    "C40": {
        CONFIRMED: {"last": seeds(0.9), "spreads": seeds(0.0)},
        PARTLY: {"last": seeds(0.9), "spreads": (0.0, 3.0, 3.0)},
        REFUTED: {"last": seeds(0.9), "spreads": seeds(3.0)},
    },
    "C42": {
        CONFIRMED: {"below": seeds(0.8), "far": seeds(0.9)},
        PARTLY: {"below": (0.8, 0.0, 0.0), "far": seeds(0.9)},
        REFUTED: {"below": seeds(0.02), "far": seeds(0.9)},
        OPEN: {"below": seeds(0.15), "far": seeds(0.9)},
    },
    "C44": against("gaussian", "fixed", 0.2),
    "C45": reach(*week4.ENDS[:9], names=ENDS),
    "C46": reach(*week4.ENDS[:3], names=ENDS[:3]),
    "C48": reach(*week4.ENDS[3:6], names=ENDS[3:6]),
    "C49": reach(*week4.ENDS[6:9], names=ENDS[6:9]),
    "C50": reach(*week4.CONTRASTS, names=["half", "third"]),
    "C52": {
        CONFIRMED: {"last": seeds(0.11)},
        PARTLY: {"last": MIXED},
        REFUTED: {"last": seeds(0.9)},
        OPEN: {"last": seeds(0.7)},
    },
    "C53": {
        verdict: {"before": seeds(0.84), "after": seeds(0.84 + gain)}
        for verdict, gain in {CONFIRMED: 0.008, PARTLY: 0.05, REFUTED: -0.002, OPEN: 0.001}.items()
    },
    "C54": {
        CONFIRMED: {"plain": seeds(0.3), "filtered": seeds(0.6)},
        PARTLY: {"plain": seeds(0.3), "filtered": seeds(0.3)},
        REFUTED: {"plain": seeds(0.8), "filtered": seeds(0.8)},
    },
    "C56": {
        CONFIRMED: {"longer": seeds(0.82), "before": seeds(0.84)},
        REFUTED: {"longer": seeds(0.9), "before": seeds(0.84)},
        OPEN: {"longer": NOISY, "before": seeds(0.5)},
    },
    "C57": {CONFIRMED: {"best": seeds(0.8)}, PARTLY: {"best": MIXED}, REFUTED: {"best": seeds(0.2)}},
    "C58": {
        CONFIRMED: {"last": seeds(0.9), "scales": seeds(-0.2)},
        PARTLY: {"last": seeds(0.9), "scales": (-0.2, 0.2, 0.2)},
        REFUTED: {"last": seeds(0.11), "scales": seeds(0.2)},
    },
    "C59": {CONFIRMED: {"falls": seeds(0.4)}, PARTLY: {"falls": (0.4, 0.0, 0.0)}, REFUTED: {"falls": seeds(0.05)}},
    "C61": {
        CONFIRMED: {"best": seeds(0.87), "beyond": seeds(0.2)},
        PARTLY: {"best": seeds(0.87), "beyond": seeds(0.0)},
        REFUTED: {"best": seeds(0.11), "beyond": seeds(0.0)},
    },
    **both_of(
        ("C63", "C68"),
        {
            CONFIRMED: {"fast": seeds(0.5), "slow": seeds(0.3), "beyond": seeds(0.1)},
            PARTLY: {"fast": seeds(0.5), "slow": seeds(0.3), "beyond": seeds(0.0)},
            REFUTED: {"fast": seeds(0.2), "slow": seeds(0.3), "beyond": seeds(0.0)},
            OPEN: {"fast": seeds(0.31), "slow": seeds(0.3), "beyond": seeds(0.1)},
        },
    ),
    "C65": {
        CONFIRMED: {"best": seeds(0.65), "falls": seeds(0.5)},
        PARTLY: {"best": seeds(0.65), "falls": seeds(0.02)},
        REFUTED: {"best": seeds(0.11), "falls": seeds(0.02)},
    },
    "C70": {CONFIRMED: {"last": seeds(0.11)}, PARTLY: {"last": MIXED}, REFUTED: {"last": seeds(0.6)}},
    "C71": {
        CONFIRMED: {"last": seeds(0.87), "scales": seeds(-0.14)},
        PARTLY: {"last": seeds(0.87), "scales": seeds(0.21)},
        REFUTED: {"last": seeds(0.11), "scales": seeds(0.21)},
    },
    "C75": reach(0.8551, 0.9202, names=["first", "second"]),
    "C76": {
        CONFIRMED: {"mid": seeds(0.96), "low": seeds(0.92), "slow": seeds(0.84)},
        PARTLY: {"mid": seeds(0.96), "low": seeds(0.89), "slow": seeds(0.95)},
        REFUTED: {"mid": seeds(0.11), "low": seeds(0.11), "slow": seeds(0.84)},
    },
    "C77": reach(0.9627, 0.8891, names=["clear", "low"]),
    "C81": {
        CONFIRMED: {"falls": seeds(0.3), "best": seeds(0.2)},
        PARTLY: {"falls": (0.3, 0.0, 0.0), "best": seeds(0.2)},
        REFUTED: {"falls": seeds(0.0), "best": seeds(0.2)},
    },
    "C83": {verdict: example | {"best": seeds(0.5)} for verdict, example in reach(0.3713, names=["last"]).items()},
    "C85": {
        CONFIRMED: {"near": seeds(0.8), "far": seeds(0.55)},
        PARTLY: {"near": seeds(0.8), "far": seeds(0.2)},
        REFUTED: {"near": seeds(0.2), "far": seeds(0.3)},
        OPEN: {"near": seeds(0.11), "far": seeds(0.11)},
    },
    "C86": reach(0.5387, 0.4509, names=["mid", "low"]),
    "C87": {
        CONFIRMED: {"more": seeds(0.5), "fewer": seeds(0.56)},
        REFUTED: {"more": seeds(0.6), "fewer": seeds(0.5)},
        OPEN: {"more": NOISY, "fewer": seeds(0.5)},
    },
    "C88": against("more", "fewer", 0.1),
    "R1": {
        PARTLY: {name: seeds(0.9 if name.startswith("stn") else 0.8) for name in CLAIMS["R1"].measured},
        REFUTED: {name: seeds(0.8 if name.startswith("stn") else 0.9) for name in CLAIMS["R1"].measured},
    },
}
# Claims that something can be done, of trainings that take long: one seed confirms them, three refute them.
ONE_CONFIRMS = {"C21", "C22", "C34", "C38", "C39", "C42", "C45", "C46", "C48", "C49", "C50", "C76", "C77"}
NO_PARTLY = {"C17", "C44", "C56", "C87", "C88"}  # of one part, and about means: between the two lies "open"


def given(name, example):
    return CLAIMS[name].rule(**{key: Seeds(values) for key, values in example.items()})


def test_every_experiment_has_examples():
    experiments_ = {name for name, claim in CLAIMS.items() if claim.own}
    assert set(EXAMPLES) == experiments_


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_rule_gives_every_verdict_on_invented_numbers(name):
    for verdict, example in EXAMPLES[name].items():
        assert set(example) == set(CLAIMS[name].measured), f"{name}: {verdict}"
        assert given(name, example) == verdict, f"{name}: {example}"
    wanted = {CONFIRMED, REFUTED} | ({PARTLY} if name not in NO_PARTLY else set())
    assert set(EXAMPLES[name]) >= wanted - ({CONFIRMED} if name == "R1" else set())


@pytest.mark.parametrize("name", EXAMPLES)
def test_too_few_seeds_leave_a_claim_open(name):
    for verdict, example in EXAMPLES[name].items():
        if name in ONE_CONFIRMS and (verdict == CONFIRMED or (name, verdict) == ("C76", PARTLY)):
            assert given(name, {key: values[:1] for key, values in example.items()}) == verdict
            continue
        few = {key: values[:FEW] for key, values in example.items()}
        constant = [values for key, values in few.items() if "spread" in key or key.startswith("at_")]
        if verdict in (CONFIRMED, PARTLY) and constant and max(map(max, constant)) <= rule.CONSTANT:
            continue  # a constant window needs one seed
        assert given(name, few) == OPEN, f"{name}: {verdict}"


def test_r1_would_be_confirmed_if_the_parameters_were_the_same(monkeypatch):
    better = EXAMPLES["R1"][PARTLY]
    monkeypatch.setattr(week8, "PARAMETERS", (1, 1))
    assert given("R1", better) == CONFIRMED


TENTHS = [0.01] * 3 + [0.001] * 3 + [0.0001] * 3
FACTS = {  # claim -> verdict -> invented facts
    "C12": {CONFIRMED: {"options": ("lr",)}, REFUTED: {"options": ("lr", "threshold")}},
    "C33": {CONFIRMED: {"before": 2, "after": 1}, REFUTED: {"before": 1, "after": 2}},
    "C51": {CONFIRMED: {"edge": 28}, REFUTED: {"edge": 29}},
    "C64": {CONFIRMED: {"parameters": (2, 1)}, REFUTED: {"parameters": (1, 2)}},
    "C78": {CONFIRMED: {"compression": 0.953}, REFUTED: {"compression": 0.94}},
    "C80": {
        CONFIRMED: {"parameters": 24_674, "outputs": 2, "fixed": True},
        REFUTED: {"parameters": 24_674, "outputs": 2, "fixed": False},
    },
    "C82": {CONFIRMED: {"error": 0.001}, REFUTED: {"error": 0.1}},
    "R2": {
        CONFIRMED: {"epochs": 160, "stds": range(16), "rates": [0.01]},
        REFUTED: {"epochs": 80, "stds": range(16), "rates": [0.01]},
    },
    "R3": {
        CONFIRMED: {"epochs": 110, "rates": TENTHS + [1e-5] * 2, "lowest_contrasts": [0.7] * 9 + [0.5, 0.3]},
        PARTLY: {"epochs": 110, "rates": TENTHS + [1e-3] * 2, "lowest_contrasts": [0.7] * 9 + [0.5, 0.3]},
        REFUTED: {"epochs": 100, "rates": [0.01] * 11, "lowest_contrasts": [0.7] * 11},
    },
    "R4": {
        CONFIRMED: {"rates": [2.0**-k for k in range(11)]},
        PARTLY: {"rates": [*(2.0**-k for k in range(9)), 0.1, 0.05]},
        REFUTED: {"rates": [0.01] * 11},
    },
    "R5": {
        CONFIRMED: {"polo": 0.953, "whatwhere": 0.824},
        PARTLY: {"polo": 0.9, "whatwhere": 0.824},
        REFUTED: {"polo": 0.1, "whatwhere": 0.2},
    },
    "R6": {CONFIRMED: {"layers": ((768, 32), (32, 2)), "others": 0}, REFUTED: {"layers": ((768, 2),), "others": 0}},
}


@pytest.mark.parametrize("name", [name for name, claim in CLAIMS.items() if claim.kind == "fact"])
def test_a_fact_can_come_out_either_way_and_is_counted(name):
    for verdict, facts in FACTS[name].items():
        assert CLAIMS[name].rule(**facts) == verdict
    found = judge(CLAIMS[name], lambda training: [])
    assert found.verdict in (CONFIRMED, PARTLY, REFUTED) and found.measured


# ---- what counts ----------------------------------------------------------------------------------------------------


def run_of(training, accuracies, seed=0, loss=None, spread=0.0):
    """A finished run of one stage."""
    theta = {"spread": [0, 0, spread / 14, 0, 0, spread / 14], "mean": [0.2, 0, 0, 0, 0.2, 0], "follow": [0, 0]}
    history = [
        {"stage": 0, "epoch": k, "accuracy": value, "loss": (loss or [1.0] * len(accuracies))[k], "theta": theta}
        for k, value in enumerate(accuracies)
    ]
    return SimpleNamespace(training=describe(training) | {"seed": seed}, history=history)


SIMPLE = CLAIMS["C3"]


def test_only_runs_of_a_claims_own_training_are_asked_for():
    asked = []
    found = judge(SIMPLE, lambda training: asked.append(training) or [], pilot="another network reads 90 %.")
    own = week1.OWN["STN-28, shift of 2 px"]
    assert asked == [own, replace(own, precision="tf32")]
    assert (found.verdict, found.evidence, found.seeds) == (OPEN, "pilot", [])
    assert found.pilot == "another network reads 90 %."
    assert "To decide it: 3 seeds, 0.82 million training images in all; about" in found.note
    assert judge(SIMPLE, lambda training: []).evidence == "none"
    assert judge(SIMPLE, lambda training: [], pilot="x.", shortened=True).evidence == "shortened"


def test_seeds_decide_together():
    runs = [run_of(SIMPLE.trainings("run")[0], [0.1, 0.8], seed) for seed in range(3)]
    one = judge(SIMPLE, lambda training: runs[:1], pilot="x.")
    assert (one.verdict, one.evidence) == (OPEN, "own schedule")
    assert "1 of 3 seeds so far. To decide it: 2 seeds, 0.55 million" in one.note
    assert (one.measured, one.pilot) == (
        "best epoch 80.0 % (1 seed)",
        "x.",
    )
    three = judge(SIMPLE, lambda training: runs if training.precision == "tf32" else runs[:1], pilot="x.")
    assert (three.verdict, three.seeds, three.pilot) == (CONFIRMED, [0, 1, 2], "")
    assert three.values == {"best": (0.8, 0.8, 0.8)}
    assert three.measured == "best epoch 80.0 % (seeds: 80.0, 80.0, 80.0)"
    worse = [*runs[:2], run_of(SIMPLE.trainings("run")[0], [0.1, 0.1], 2)]
    assert judge(SIMPLE, lambda training: worse).verdict == PARTLY


def test_a_training_that_works_against_the_claim_cannot_refute_it():
    own, other = week1.OWN["STN-28, Adam 0.005"], week1.OWN["STN-28, shift of 2 px"]
    claim = replace(SIMPLE, own={"run": (own, Instead(other, "it had fewer epochs"))})
    for accuracies, verdict in (([0.9], CONFIRMED), ([0.1], OPEN)):
        runs = [run_of(other, accuracies, seed) for seed in range(3)]
        found = judge(claim, lambda training, runs=runs: runs if training == other else [])
        assert found.verdict == verdict and "it had fewer epochs" in found.note
    own_runs = [run_of(own, [0.1], seed) for seed in range(3)]
    assert judge(claim, lambda training: own_runs if training == own else []).verdict == REFUTED


def test_runs_at_chance_are_not_trained_networks():
    claim = CLAIMS["C6"]
    training = claim.trainings("run")[0]
    runs = [run_of(training, [0.1], 0, spread=9.0), run_of(training, [0.9], 1, spread=0.0)]
    found = judge(claim, lambda _: runs)
    assert found.verdict == CONFIRMED and found.measured == "spread 0.00 px (1 seed)"


def test_what_is_measured_of_a_run():
    run = run_of(week1.OWN["STN-28, shift of 2 px"], [0.2, 0.9, 0.3, 0.8], loss=[2.0, 1.0, 1.5, 0.5], spread=2.0)
    assert (measure.end(run), measure.best(run), measure.best(run, epochs=1)) == (0.8, 0.9, 0.2)
    assert measure.fall(run) == pytest.approx(0.6) and measure.late_fall(run) == pytest.approx(0.6)
    assert measure.overfitting(run) == pytest.approx(0.1) and measure.overfitting(run, epochs=3) == 0.0
    assert measure.spread(run) == pytest.approx(2.0) and measure.mean_of(run, epochs=2) == pytest.approx(0.55)
    assert measure.varying_stages(run) == 1


def test_numbers_of_seeds_as_text():
    assert f"{Seeds([0.5]):%}" == "50.0 % (1 seed)" and f"{Seeds([]):%}" == "not measured"
    assert f"{Seeds([0.5, 0.6]):%}" == "55.0 % (seeds: 50.0, 60.0)"
    assert f"{Seeds([-0.2, 0.2]):s}" == "+0.00 (seeds: -0.20, +0.20)" and f"{Seeds([1.5]):px}" == "1.50 px (1 seed)"


def test_a_rule_says_what_confirms_and_what_refutes_it():
    low = rule.most("the last epoch", 0.5, 0.8, last=measure.end)
    both_sides = "the last epoch is at most 50 % in every seed, refuted if at least 80 % in every seed"
    assert rule.in_words([low]) == f"Confirmed if {both_sides}" and "partly if they differ" in rule.in_words([low] * 2)
    learn, fail = rule.learn(), rule.fail()
    assert (fail.yes, fail.no) == (learn.no, learn.yes)
    several = rule.in_words([low, learn])
    assert several.startswith(
        f"2 parts, partly if they differ: (1) confirmed if {both_sides}; (2) confirmed if the best"
    )


def test_what_would_decide_an_open_claim_counts_a_shared_start_once():
    note = judge(CLAIMS["C45"], lambda training: []).note
    assert (
        "To decide it: 3 seeds, of which one can confirm it, 15 million training images in all" in note
    )  # 3 x 90 epochs
    assert "To decide it: " in judge(CLAIMS["C79"], lambda training: []).note


# ---- what a GPU should train ----------------------------------------------------------------------------------------


def test_what_the_claims_need_are_whole_schedules_of_2021_starts_first():
    seen = []
    for training in experiments.needed().values():
        assert (training.data, training.fraction, training.precision) == ("mnist", 1, "float32")
        assert all(stage.scene.draws == "frozen" for stage in training.stages)
        assert training.start is None or training.start in seen
        seen.append(training)
    own = [claim.trainings(role)[0] for claim in CLAIMS.values() for role in claim.own]
    assert all(each in seen for each in own)


# ---- rules that stay ------------------------------------------------------------------------------------------------


def bar(values):
    """A rule of these tests."""
    return rule.vote(values, 0.2, 0.3)  # with a comment


def renamed(values: list[float]) -> str:
    return rule.vote(values, 0.2, 0.3)


def other_bar(values):
    return rule.vote(values, 0.2, 0.4)


def claim_of(compare, training=week1.OWN["STN-28, shift of 2 px"], quantity=measure.end, words=""):
    return experiment("C3", training, rule.rule(compare, words, words, words, values=quantity))


def test_a_lock_follows_code_constants_and_trainings_not_words(monkeypatch):
    lock = claim_of(bar).lock
    assert claim_of(renamed, words="other words").lock == lock
    training = replace(week1.OWN["STN-28, shift of 2 px"], batch=50)
    for other in (claim_of(other_bar), claim_of(bar, training), claim_of(bar, quantity=measure.best)):
        assert other.lock != lock
    before, bounds = (
        CLAIMS["C1"].lock,
        (experiment("C3", training, rule.reach(last=(measure.end, x))) for x in (0.8, 0.9)),
    )
    assert len({each.lock for each in bounds}) == 2
    monkeypatch.setattr(rule, "FOUND", 0.5)
    assert CLAIMS["C1"].lock != before


def test_a_rule_with_a_result_is_rewritten_only_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(of, "LOCKS", tmp_path / "rules.json")
    old, new = claim_of(bar), claim_of(other_bar)
    assert of.write_locks({"C3": old}, {}) == [] and of.write_locks({"C3": new}, {}) == ["C3"]
    assert of.locks() == {"C3": {"lock": new.lock, "was": [], "changes": []}}
    with pytest.raises(ConfigurationError, match="C3 changed after its result; say why"):
        of.write_locks({"C3": old}, {"C3": new.lock})
    of.write_locks({"C3": old}, {"C3": new.lock}, "the bar was a slip")
    assert of.locks()["C3"]["changes"] == [{"from": new.lock, "why": "the bar was a slip"}]


def test_every_rule_is_the_one_that_was_written_down():
    written = of.locks()
    assert list(written) == list(CLAIMS)
    changed = [name for name, claim in CLAIMS.items() if claim.lock != written[name]["lock"]]
    assert not changed, f"{changed}: say why with `python -m labbook.book.claims WHY`"


def test_a_rule_that_changed_after_its_result_says_so_on_the_page():
    written = of.locks()
    for record in json.loads((ROOT / "book" / "results" / "claims.json").read_text("utf-8")):
        was, now = record.get("rule"), written[record["id"]]
        changes = {each["from"]: each["why"] for each in now["changes"]}
        if was and record["verdict"] != OPEN:
            assert was in (now["lock"], *now["was"], *changes), f"{record['id']}: its rule changed, unsaid"
        for why in changes.values() if was in (now["lock"], *now["was"]) else ():
            assert why in record["note"], f"{record['id']}: the page must say that its rule changed: {why}"
