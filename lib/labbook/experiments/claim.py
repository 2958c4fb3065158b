"""What a claim of 2021 is about, and how it is decided: its own trainings, what is measured of their runs, and a rule.

A claim is about a network on a schedule with certain stimuli. `Claim.own` holds these as trainings; only runs of them
reach the rule, a pure function of the numbers measured (one per seed), which returns a verdict. Whatever else was
trained, a shortened schedule, another recipe, a stand-in, is pilot evidence: a sentence beside an open verdict.

Differences from 2021 that leave a run one of the claim's own schedule
    digits      55 000 training digits instead of 60 000, and accuracy on the 5 000 held out instead of the test digits
    draws       other random weights, orders, offsets and textures, of the same distributions
    precision   float32, or TF32 in the products of a GPU. TF32 keeps 10 bits of a factor and sums in float32; PyTorch
                convolved in it by default in 2021. On an unstable schedule it changes a run as another seed does.
bfloat16 is not among them: with 7 bits it also rounds the activations and gradients that decide whether a network
leaves chance at all. Nor are fewer epochs, fewer digits per epoch, another optimiser or another network.

Convention
    accuracies are proportions, 0 to 1; distances pixels; a number per seed is kept in `Seeds`; a stage, an epoch is
    counted from 0.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from ast import Constant, Expr, FunctionDef, arg, parse, unparse, walk
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean, variance
from textwrap import dedent
from types import CodeType
from typing import Any, Protocol

from ..config import Training, seeded
from ..errors import ConfigurationError
from ..identity.description import describe, plain

CONFIRMED, PARTLY, REFUTED, OPEN = VERDICTS = ("confirmed", "partly", "refuted", "open")
NO_CLAIM = "no claim"  # in place of a verdict, of a record that claims nothing
EVIDENCE = ("own schedule", "shortened", "pilot", "none")
SEEDS = 3  # that a verdict takes, unless its rule says why fewer do
LOOKED_FOR = 16  # seeds 0 to 15 are looked up in the store
PRECISIONS = ("float32", "tf32")  # that leave a run one of the claim's own schedule

Values = Sequence[float]  # one number per seed

CHANCE = 0.1
# Accuracy below which a network is lost, above which it has learnt. Networks that stay at chance have epochs of up to
# 16 % (measured in seven runs of ten epochs, attention transformer and one window).
LOST, FOUND = 0.2, 0.3
# By which a mean over seeds may be below the single run of 2021. Final accuracies spread over seeds by 0.4 (LeNet
# with zero-centred input), 3.3 (tutorial network) and 5.7 points (attention transformer).
TOLERANCE = 0.05
# Standard deviation over inputs of the window's centre, pixels of a 28x28 image. 2021 compared thetas printed to four
# decimals. Whole runs under Adam have 0.00 to 0.07, under SGD 0.29 and more.
SAME, VARIES = 0.025, 0.1
SAME_FIELD, VARIES_FIELD = 0.1, 0.5  # the same on 128x128 pixels
CONSTANT = 0.02  # a spread below this is a constant window, which no other seed's window can make vary


class Seeds(tuple):
    """One number per seed. As text, `format(seeds, "%")`: `94.2 % (93.9 to 94.5, 3 seeds)`; other formats are "px",
    "points", and "s", with a sign."""

    def __format__(self, spec: str) -> str:
        scale, digits, unit = {"%": (100, 1, " %"), "points": (100, 1, " points"), "px": (1, 2, " px")}.get(
            spec, (1, 2, "")
        )
        each = [f"{scale * value:+.{digits}f}" if spec == "s" else f"{scale * value:.{digits}f}" for value in self]
        if not each:
            return "not measured"
        if len(each) == 1:
            return f"{each[0]}{unit} (1 seed)"
        mean = f"{scale * fmean(self):+.{digits}f}" if spec == "s" else f"{scale * fmean(self):.{digits}f}"
        low, high = (f"{scale * of(self):.{digits}f}" for of in (min, max))
        return f"{mean}{unit} ({low} to {high}, {len(self)} seeds)"


class Listed(tuple):
    """Things that a fact is about; as text, one after the other."""

    def __format__(self, spec: str) -> str:
        each = [
            f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else value
            for value in self
        ]
        return " and ".join(each) if len(each) == 2 else ", ".join(each)


# ---- rules ----------------------------------------------------------------------------------------------------------


def vote(values: Sequence[float], low: float, high: float, seeds: int = SEEDS) -> str:
    """Return the verdict on "these are high", each seed judged by itself.

    Confirmed: every seed is at least `high`. Refuted: every seed is at most `low`. Partly: seeds on both sides. Open:
    fewer than `seeds`, or some between the two and no contradiction.
    """
    above, below = [value >= high for value in values], [value <= low for value in values]
    if len(values) < seeds:
        return OPEN
    if all(above):
        return CONFIRMED
    if all(below):
        return REFUTED
    return PARTLY if any(above) and any(below) else OPEN


def opposite(verdict: str) -> str:
    """Return the verdict on the contrary."""
    return {CONFIRMED: REFUTED, REFUTED: CONFIRMED}.get(verdict, verdict)


def both(*parts: str) -> str:
    """Return the verdict on a claim of several parts: theirs if they agree, partly if they do not; open if one is."""
    if OPEN in parts:
        return OPEN
    return parts[0] if len(set(parts)) == 1 else PARTLY


def learns(best: Sequence[float]) -> str:
    """Return the verdict on "it learns", from the best epoch of each seed: all above `FOUND`, or none above `LOST`."""
    return vote(best, LOST, FOUND)


def reaches(values: Sequence[float], stated: float, enough: int = SEEDS) -> str:
    """Return the verdict on "it works and reads so much".

    Confirmed: the mean over seeds is at most `TOLERANCE` below the number stated, and no seed failed. Refuted: every
    seed failed, that is, it is nearer to chance than to the number. Partly: what lies between. Open: too few seeds.

    Args:
        enough: seeds that confirm; 1 where the claim is that it can be done, of a training that takes long.
    """
    failed = (CHANCE + stated) / 2
    if len(values) >= enough and fmean(values) >= stated - TOLERANCE and min(values) > failed:
        return CONFIRMED
    if len(values) < SEEDS:
        return OPEN
    return REFUTED if max(values) <= failed else PARTLY


def same_window(spreads: Sequence[float], same: float = SAME, varies: float = VARIES, enough: int = SEEDS) -> str:
    """Return the verdict on "theta is the same for every input", from the spread over inputs of the window's centre.

    One seed is enough to confirm it where the window is constant (`CONSTANT`), `enough` to refute it.
    """
    if spreads and max(spreads) <= CONSTANT:
        return CONFIRMED
    if len(spreads) >= enough and min(spreads) >= varies:
        return REFUTED
    return opposite(vote(spreads, same, varies))


def noise_of(*samples: Sequence[float]) -> float:
    """Return two standard errors of a difference of means, from the spread over the seeds of each."""
    return 2 * sum(variance(each) / len(each) for each in samples) ** 0.5


def higher(ours: Sequence[float], theirs: Sequence[float], margin: float) -> str:
    """Return the verdict on "ours is higher": the difference of means must exceed `margin`, and two standard errors
    over seeds; refuted if it is so much lower; open otherwise, or with too few seeds of either."""
    if min(len(ours), len(theirs)) < SEEDS:
        return OPEN
    needed, gap = max(margin, noise_of(ours, theirs)), fmean(ours) - fmean(theirs)
    return CONFIRMED if gap >= needed else REFUTED if gap <= -needed else OPEN


def not_higher(ours: Sequence[float], theirs: Sequence[float], margin: float) -> str:
    """Return the verdict on "ours is no gain": confirmed if the difference of means plus two standard errors over
    seeds stays within `margin`; refuted if it exceeds `margin` and two standard errors; open otherwise."""
    if min(len(ours), len(theirs)) < SEEDS:
        return OPEN
    noise, gap = noise_of(ours, theirs), fmean(ours) - fmean(theirs)
    return REFUTED if gap > max(margin, noise) else CONFIRMED if gap + noise <= margin else OPEN


def holds(value: bool) -> str:
    """Return the verdict on a fact that can be counted or read in the code."""
    return CONFIRMED if value else REFUTED


def says_reaches(*stated: float, of: str = "", enough: int = SEEDS) -> str:
    """Return `reaches` in a sentence."""
    one = "; one seed is enough to confirm, since the claim is that it can be done" if enough == 1 else ""
    numbers = ", ".join(f"{100 * each:.4g}" for each in stated)
    return (
        f"Confirmed if the mean over seeds is at most {100 * TOLERANCE:g} points below 2021's {numbers} %{of} and no "
        "seed is nearer to chance than to it; refuted if all seeds are; partly otherwise"
        f"{one}"
    )


SAYS_LEARNS = f"the best epoch of every seed is above {100 * FOUND:g} %"
SAYS_FAILS = f"no epoch of any seed is above {100 * LOST:g} %"


# ---- what is measured of a run --------------------------------------------------------------------------------------


class Ran(Protocol):
    """What is asked of a finished run: configuration, and one record per epoch (see `training`)."""

    training: dict
    history: list[dict]


class Evaluations(Protocol):
    """What else can be asked of a stored run; raises LookupError where neither result nor weights are stored."""

    def accuracy(self, run: Ran, scene: object) -> float: ...

    def cells(self, run: Ran) -> Mapping[tuple[float, float], float]: ...

    def map(self, run: Ran, scene: object) -> Mapping[str, float]: ...


Quantity = Callable[[Any, Any], Any]  # of a run, asking for evaluations -> a number; None: this run does not count


def of_stage(run: Ran, stage: int) -> list[dict]:
    """Return the records of a stage; -1 is the last."""
    wanted = sorted({record["stage"] for record in run.history})[stage]
    return [record for record in run.history if record["stage"] == wanted]


def end(run: Ran, asked: Evaluations | None = None, stage: int = -1, epoch: int = -1) -> float:
    """The accuracy at the end of a stage, on its own stimuli; or after another of its epochs."""
    return of_stage(run, stage)[epoch]["accuracy"]


def end_at(run: Ran, asked: Evaluations | None = None, std: float = 0.0) -> float:
    """The accuracy at the end of the stage of a std, pixels, at contrast 70 %."""
    stages = enumerate(run.training["stages"])
    here = [
        k
        for k, stage in stages
        if stage["scene"].get("contrast") == [0.7, 0.7] and abs(stage["scene"].get("std", 40) - std) < 1e-6
    ]
    return end(run, stage=here[-1])


def best(run: Ran, asked: Evaluations | None = None, stage: int | None = None, epochs: int | None = None) -> float:
    """The accuracy of the best epoch of a stage (None: of all), of its first `epochs`."""
    records = run.history if stage is None else of_stage(run, stage)
    return max(record["accuracy"] for record in records[:epochs])


def mean_of(run: Ran, asked: Evaluations | None = None, stage: int = 0, epochs: int | None = None) -> float:
    """The accuracy, mean over the first `epochs` of a stage: the higher, the sooner it was learnt."""
    return fmean(record["accuracy"] for record in of_stage(run, stage)[:epochs])


def spread(run: Ran, asked: Evaluations | None = None, stage: int = -1) -> float:
    """The spread over inputs of the window's centre at the end of a stage, pixels: root mean square of both axes."""
    down, across = (of_stage(run, stage)[-1]["theta"]["spread"][k] for k in (2, 5))
    edge = 28 if run.training["stages"][-1]["scene"]["law"] == "Scene28" else 128
    return ((down**2 + across**2) / 2) ** 0.5 * edge / 2


def spread_learnt(run: Ran, asked: Evaluations | None = None, stage: int = -1) -> float:
    """The same, and 0 of a network that is at chance: its window serves nothing."""
    return spread(run, asked, stage) if end(run, asked, stage) >= LOST else 0.0


def spread_if_learnt(run: Ran, asked: Evaluations | None = None, stage: int = -1) -> float | None:
    """The same, and nothing of a network that is at chance: it is not trained, and does not count."""
    return spread(run, asked, stage) if end(run, asked, stage) >= LOST else None


def varying_stages(run: Ran, asked: Evaluations | None = None) -> int:
    """The number of stages at whose end the window varies, in a network above chance."""
    return sum(spread_learnt(run, asked, k) >= VARIES for k in range(len(run.training["stages"])))


def scale(run: Ran, asked: Evaluations | None = None) -> float:
    """The scale of the mean window at the end; below 0 it is upside down."""
    return run.history[-1]["theta"]["mean"][0]


def fall(run: Ran, asked: Evaluations | None = None, epochs: int | None = None) -> float:
    """The largest fall of the accuracy from one epoch to the next of a stage, in the first `epochs`; 0 if none."""
    pairs = zip(run.history[:epochs], run.history[1:epochs], strict=False)
    return max([0.0, *(a["accuracy"] - b["accuracy"] for a, b in pairs if a["stage"] == b["stage"])])


def late_fall(run: Ran, asked: Evaluations | None = None, stage: int = -1, last: int = 10) -> float:
    """The largest fall of the accuracy below an earlier epoch, within the last epochs of a stage."""
    values = [record["accuracy"] for record in of_stage(run, stage)]
    return max(max(values[:k]) - values[k] for k in range(max(1, len(values) - last), len(values)))


def overfitting(run: Ran, asked: Evaluations | None = None, stage: int = -1, epochs: int | None = None) -> float:
    """The fall of the accuracy from its best epoch to the last one of a stage while the training loss fell too; 0 if
    the loss rose: the training was lost, not overfitted."""
    records = of_stage(run, stage)[:epochs]
    top, last = max(records, key=lambda record: record["accuracy"]), records[-1]
    return top["accuracy"] - last["accuracy"] if last["loss"] < top["loss"] else 0.0


def accuracy(run: Ran, asked: Evaluations, scene: object) -> float:
    """The accuracy on test digits, on fixed stimuli of a scene."""
    return asked.accuracy(run, scene)


def map_of(run: Ran, asked: Evaluations, scene: object, what: str) -> float:
    """The "centre" or the "mean" of the accuracy map over all offsets, on test stimuli of a scene."""
    return asked.map(run, scene)[what]


def at_contrast(run: Ran, asked: Evaluations, contrast: float = 0.7) -> tuple[float, ...]:
    """The accuracies of the benchmark's nine distances at a contrast, from near to far."""
    return tuple(value for (c, _), value in sorted(asked.cells(run).items()) if c == contrast)


# ---- claims ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Instead:
    """A training that stands for a claim's own where that is not stored, and works against the claim: it can confirm
    the claim, never refute it. `why` is said beside the verdict."""

    training: Training
    why: str


@dataclass(frozen=True)
class Claim:
    """A claim: its rule, what that rule gets, and of which trainings.

    A claim with `own` trainings is an experiment, and so is one that says what it `needs` that is not built; one with
    `facts` is decided by counting or reading code; what is left claims nothing that could be wrong, and is a record.

    Args:
        rule: gets what is measured, by name; returns a verdict.
        says: the rule in a sentence. tell: what was measured, a format string.
        own: role -> the training of seed 0, or several of which each serves.
        measured: name -> (role, what to measure of each of its runs).
        facts: returns what is measured of the code. reading: what 2021 did not record, and how it is read here.
    """

    name: str
    rule: Callable[..., str] | None = None
    says: str = ""
    tell: str = ""
    own: Mapping[str, Training | Sequence[Training | Instead]] = field(default_factory=dict)
    measured: Mapping[str, tuple[str, Quantity]] = field(default_factory=dict)
    facts: Callable[[], Mapping[str, object]] | None = None
    reading: str = ""
    needs: str = ""

    @property
    def kind(self) -> str:
        """ "experiment", "fact" or "record"."""
        return "experiment" if self.own or self.needs else "fact" if self.facts else "record"

    def trainings(self, role: str) -> list[Training | Instead]:
        """Return the trainings that serve a role."""
        own = self.own[role]
        return [own] if isinstance(own, Training) else list(own)

    @property
    def lock(self) -> str:
        """16 hexadecimal digits that change with the rule: its code without comments and docstrings, that of the
        functions and constants it uses, what is measured, and the trainings that count."""
        texts = [] if self.rule is None else _texts(self.rule)
        for name, (role, quantity) in self.measured.items():
            texts += [name, role, *_texts(quantity)]
        for role in self.own:
            for each in self.trainings(role):
                training, why = (each.training, "instead") if isinstance(each, Instead) else (each, "")
                texts += [role, why, json.dumps(describe(training), sort_keys=True)]
        return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _learns(best: Sequence[float]) -> str:
    return learns(best)


def _fails(best: Sequence[float]) -> str:
    return opposite(learns(best))


def learning(
    name: str,
    run: Training,
    learnt: bool,
    tell: str = "best epoch",
    within: str = "",
    reading: str = "",
    quantity: Quantity = best,
) -> Claim:
    """Return a claim that a network learns, or that it fails, judged by the best epoch of each seed.

    Args:
        tell: what the number is of. within: which epochs, at the head of the rule in words.
    """
    yes, no = (SAYS_LEARNS, SAYS_FAILS) if learnt else (SAYS_FAILS, SAYS_LEARNS)
    says = f"{within + ': c' if within else 'C'}onfirmed if {yes}, refuted if {no}"
    rule = _learns if learnt else _fails
    return Claim(name, rule, says, f"{tell} {{best:%}}", {"run": run}, {"best": ("run", quantity)}, reading=reading)


@dataclass(frozen=True)
class Judgement:
    """What became of a claim.

    Args:
        verdict: one of `VERDICTS`, or `NO_CLAIM`. evidence: one of `EVIDENCE`. measured: in words. note: the rule, and
            what limits it. values: what the rule got, by name, one number per seed. pilot: a sentence on other
            trainings, of an open claim. runs: that were counted.
    """

    verdict: str
    evidence: str
    measured: str
    note: str
    values: Mapping[str, Seeds] = field(default_factory=dict)
    pilot: str = ""
    runs: Sequence = ()

    @property
    def seeds(self) -> list[int]:
        """The seeds of the runs that were counted."""
        return sorted({run.training.get("seed", 0) for run in self.runs})


def judge(
    claim: Claim,
    find: Callable[[Training], list],
    asked: Evaluations | None = None,
    pilot: str = "",
    shortened: bool = False,
) -> Judgement:
    """Return what the stored runs say of a claim.

    Args:
        find: returns the stored runs of a training, of all seeds. asked: evaluations of runs, for claims that need
            more than their histories. pilot: a sentence on other trainings, shown where the claim stays open;
            `shortened`: they are the claim's own schedule, cut.
    """
    if claim.kind == "record":
        return Judgement(NO_CLAIM, "none", "", claim.says)
    if claim.kind == "fact":
        found = claim.facts()
        measured = claim.tell.format(**found).replace("%", " %")
        return Judgement(claim.rule(**found), "own schedule", measured, claim.says)
    without = "shortened" if pilot and shortened else "pilot" if pilot else "none"
    if not claim.own:
        return Judgement(OPEN, without, "", claim.needs, pilot=pilot)
    runs, limits = _counted(claim, find)
    values = {
        name: Seeds(value for run in runs[role] if (value := _ask(quantity, run, asked)) is not None)
        for name, (role, quantity) in claim.measured.items()
    }
    note = ". ".join(filter(None, [claim.says, claim.reading, *limits]))
    if not all(values.values()):
        return Judgement(OPEN, without, "", f"{note}. Needs {_needs(claim)}", pilot=pilot)
    verdict = claim.rule(**values)
    if limits and verdict in (REFUTED, PARTLY):
        verdict = OPEN
    if verdict == OPEN:
        fewest = min(map(len, values.values()))
        few = f"{fewest} of {SEEDS} seeds so far" if fewest < SEEDS else "too close to call, or seeds cannot tell"
        note = f"{note}. Open: {few}"
    counted = tuple(run for several in runs.values() for run in several)
    measured = claim.tell.format(**values)
    return Judgement(verdict, "own schedule", measured, note, values, pilot if verdict == OPEN else "", counted)


def _counted(claim: Claim, find: Callable[[Training], list]) -> tuple[dict[str, list[Ran]], list[str]]:
    """Return role -> the runs that count, and what is to be said where a training stands for the claim's own."""
    runs, limits = {}, []
    for role in claim.own:
        runs[role] = _by_seed(find, [each for each in claim.trainings(role) if isinstance(each, Training)])
        for other in (each for each in claim.trainings(role) if isinstance(each, Instead)):
            if len(runs[role]) < min(SEEDS, len(found := _by_seed(find, [other.training]))):
                runs[role] = found
                limits.append(other.why)
    return runs, limits


def _by_seed(find: Callable[[Training], list], trainings: Sequence[Training]) -> list[Ran]:
    """Return the stored runs of several trainings, in either precision that serves, one per seed."""
    runs: dict[int, Ran] = {}
    for precision in PRECISIONS:
        for run in (run for training in trainings for run in find(in_precision(training, precision))):
            runs.setdefault(run.training.get("seed", 0), run)
    return [runs[seed] for seed in sorted(runs)]


def _ask(quantity: Quantity, run: Ran, asked: Evaluations | None) -> object:
    """Return what is measured of a run; None where it cannot be had."""
    try:
        return quantity(run, asked)
    except LookupError:
        return None


def _needs(claim: Claim) -> str:
    images = sum(
        total(each.training if isinstance(each, Instead) else each)
        for each in (claim.trainings(role)[0] for role in claim.own)
    )
    return f"{SEEDS} seeds of {images / 1e6:.2g} million training images each"


def total(training: Training, digits: int = 55_000) -> int:
    """Return the images of a training, with those of the runs that it starts from."""
    return training.images(digits) + (total(training.start, digits) if training.start else 0)


def in_precision(training: Training, precision: str) -> Training:
    """Return a training, and what it starts from, in another precision."""
    start = training.start and in_precision(training.start, precision)
    return replace(training, precision=precision, start=start)


def of_seeds(training: Training, count: int = SEEDS, data: str = "mnist") -> list[Training]:
    """Return a training with the seeds 0, 1, ... (and so the runs that it starts from)."""
    return [seeded(training, seed, data) for seed in range(count)]


# ---- rules that stay as they were -----------------------------------------------------------------------------------

LOCKS = Path(__file__).with_name("rules.json")


def locks() -> dict[str, dict]:
    """Return claim -> `lock` of its rule, and `changes`: what it was before, and why it changed after a result."""
    return json.loads(LOCKS.read_text("utf-8"))


def write_locks(claims: Mapping[str, Claim], decided: Mapping[str, str], why: str = "") -> list[str]:
    """Write down the rules as they are now; return the names of claims whose rule changed.

    Args:
        decided: claim -> the `lock` under which it was published with another verdict than open; where that rule is
            now another one, `why` is kept beside it, and the page has to say it.

    Raises:
        ConfigurationError: such a rule changed and no reason is given.
    """
    before = locks() if LOCKS.exists() else {}
    changed, after = [], {}
    for name, claim in claims.items():
        was = before.get(name, {"lock": claim.lock, "changes": []})
        changes = list(was["changes"])
        if was["lock"] != claim.lock:
            changed.append(name)
            if decided.get(name) == was["lock"]:
                if not why:
                    raise ConfigurationError(f"The rule of {name} changed after its result; say why.")
                changes.append({"from": was["lock"], "why": why})
        after[name] = {"lock": claim.lock, "changes": changes}
    LOCKS.write_text(f"{json.dumps(after, indent=1)}\n", "utf-8")
    return changed


def _texts(thing: object, seen: set[int] | None = None) -> list[str]:
    """Return the code of a function and of what it uses of this package: functions and plain constants."""
    seen = set() if seen is None else seen
    if isinstance(thing, partial):
        rest = [f"{key}={_plain(value)}" for key, value in sorted(thing.keywords.items())]
        return [*_texts(thing.func, seen), *map(_plain, thing.args), *rest]
    if id(thing) in seen:
        return []
    seen.add(id(thing))
    texts = [_code(thing)]
    for name in sorted(_names(thing.__code__)):
        value = thing.__globals__.get(name)
        if inspect.isfunction(value) and value.__module__.startswith(__package__):
            texts += _texts(value, seen)
        elif isinstance(value, str | int | float | tuple | dict | list):
            texts.append(f"{name}={_plain(value)}")
    return texts


def _plain(value: object) -> str:
    return json.dumps(plain(value), sort_keys=True, default=repr)


def _names(code: CodeType) -> set[str]:
    """Return the names that code uses, its inner functions included."""
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _code(function: Callable) -> str:
    """Return a function's code on one line, without its name, annotations, comments and docstring, and layout."""
    source = dedent(inspect.getsource(function))
    tree = parse(source).body[0]
    for node in walk(tree):
        if isinstance(node, arg):
            node.annotation = None
        elif isinstance(node, FunctionDef):
            node.returns, node.name = None, "rule"
    first = tree.body[0]
    if isinstance(first, Expr) and isinstance(first.value, Constant) and isinstance(first.value.value, str):
        tree.body = tree.body[1:]
    return unparse(tree)
