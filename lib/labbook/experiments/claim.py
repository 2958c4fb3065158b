"""What a claim of 2021 is about, and how it is decided: its own trainings, what is measured of their runs, and a rule.

A claim is about a network on a schedule with certain stimuli. `Claim.own` holds these as trainings; only runs of them
reach its rules (see `rule`), which make a verdict of the numbers measured. Whatever else was
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
from statistics import fmean
from textwrap import dedent
from types import CodeType

from ..config import Training, seeded
from ..errors import ConfigurationError
from ..identity.description import describe, plain
from . import DIGITS, card_seconds, core_seconds
from .measure import Evaluations, Quantity, Ran
from .rule import OPEN, PARTLY, REFUTED, SEEDS, Rule, both, in_words

NO_CLAIM = "no claim"  # in place of a verdict, of a record that claims nothing
EVIDENCE = ("own schedule", "shortened", "pilot", "none")
LOOKED_FOR = 16  # seeds 0 to 15 are looked up in the store
BETWEEN = "Open: what was measured lies between the bounds, or seeds differ too much; further seeds may decide it"
PRECISIONS = ("float32", "tf32")  # that leave a run one of the claim's own schedule


class Seeds(tuple):
    """One number per seed. As text, `format(seeds, "%")`: `94.2 % (seeds: 93.9, 94.2, 94.5)`; other formats are "px",
    "points", and "s", with a sign."""

    def __format__(self, spec: str) -> str:
        units = {"%": (100, ".1f", " %"), "points": (100, ".1f", " points"), "px": (1, ".2f", " px")}
        scale, form, unit = units.get(spec, (1, "+.2f" if spec == "s" else ".2f", ""))
        if not self:
            return "not measured"
        mean, *each = (format(scale * value, form) for value in (fmean(self), *self))
        seeds = f"seeds: {', '.join(each)}" if len(each) > 1 else "1 seed"
        return f"{mean}{unit} ({seeds})"


class Listed(tuple):
    """Things that a fact is about; as text, one after the other."""

    def __format__(self, spec: str) -> str:
        each = [
            f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else value
            for value in self
        ]
        return " and ".join(each) if len(each) == 2 else ", ".join(each)


@dataclass(frozen=True)
class Instead:
    """A training that stands for a claim's own where that is not stored, and works against the claim: it can confirm
    the claim, never refute it. `why` is said beside the verdict."""

    training: Training
    why: str


@dataclass(frozen=True)
class Claim:
    """A claim: its rules, and the trainings that they are about.

    A claim with `own` trainings is an experiment, and so is one that says what it `needs` that is not built; one with
    `facts` is decided by counting or reading code; what is left claims nothing that could be wrong, and is a record.

    Args:
        own: role -> the training of seed 0, or several of which each serves.
        rules: that decide it together. told: name -> (role, quantity), measured beside what the rules are about.
        tell: what was measured, a format string (default: that of the rules).
        facts: returns what is measured of the code. reading: what 2021 did not record, and how it is read here; of a
            record, what it is.
    """

    name: str
    own: Mapping[str, Training | Sequence[Training | Instead]] = field(default_factory=dict)
    rules: Sequence[Rule] = ()
    tell: str = ""
    told: Mapping[str, tuple[str, Quantity]] = field(default_factory=dict)
    facts: Callable[[], Mapping[str, object]] | None = None
    reading: str = ""
    needs: str = ""

    @property
    def kind(self) -> str:
        """ "experiment", "fact" or "record"."""
        return "experiment" if self.own or self.needs else "fact" if self.facts else "record"

    @property
    def measured(self) -> dict[str, tuple[str, Quantity]]:
        """What is measured of the runs: name -> (role, quantity)."""
        return {name: each for rule in self.rules for name, each in rule.measured.items()} | dict(self.told)

    @property
    def says(self) -> str:
        """The rules in words."""
        return in_words(self.rules)

    def rule(self, **values: object) -> str:
        """Return the verdict of all rules on numbers or facts by name."""
        return both(*(rule(**values) for rule in self.rules))

    def trainings(self, role: str) -> list[Training | Instead]:
        """Return the trainings that serve a role."""
        own = self.own[role]
        return [own] if isinstance(own, Training) else list(own)

    @property
    def lock(self) -> str:
        """16 hexadecimal digits that change with the rules: their bounds, the code without comments and docstrings of
        what compares and measures, with all functions and constants it uses, and the trainings that count."""
        texts = []
        for rule in self.rules:
            texts += [*rule.measured, _plain(rule.settings), str(rule.contrary), *_texts(rule.compare)]
        for name, (role, quantity) in self.measured.items():
            texts += [name, role, *_texts(quantity)]
        for role in self.own:
            for each in self.trainings(role):
                training, why = (each.training, "instead") if isinstance(each, Instead) else (each, "")
                texts += [role, why, json.dumps(describe(training), sort_keys=True)]
        return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def experiment(
    name: str,
    own: Training | Mapping[str, Training | Sequence[Training | Instead]],
    *rules: Rule,
    tell: str = "",
    reading: str = "",
    **told: Quantity,
) -> Claim:
    """Return a claim about trainings; one alone has the role "run", of which `told` is measured."""
    own = {"run": own} if isinstance(own, Training) else own
    tell = tell or ", ".join(rule.tell for rule in rules)
    return Claim(name, own, rules, tell, {key: ("run", each) for key, each in told.items()}, reading=reading)


def fact(name: str, facts: Callable[[], Mapping], tell: str, yes: str, compare: Callable[..., str]) -> Claim:
    """Return a claim that is decided by counting or reading code.

    Args:
        yes: in words, when it is confirmed. compare: the verdict on the facts by name.
    """
    return Claim(name, rules=[Rule(compare, yes)], tell=tell, facts=facts)


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
        return Judgement(NO_CLAIM, "none", "", claim.reading)
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
        return Judgement(OPEN, without, "", f"{note}. {_cost(claim, find, values)}", pilot=pilot)
    verdict = claim.rule(**values)
    if limits and verdict in (REFUTED, PARTLY):
        verdict = OPEN
    if verdict == OPEN:
        fewest = min(map(len, values.values()))
        between = "what was measured lies between the bounds, or seeds differ too much; more seeds may decide it"
        note += (
            f". {fewest} of {SEEDS} seeds so far. {_cost(claim, find, values)}"
            if fewest < SEEDS
            else f". Open: {between}"
        )
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


def _cost(claim: Claim, find: Callable[[Training], list], values: Mapping[str, Seeds]) -> str:
    """Return what is missing of `SEEDS` seeds of a claim's trainings, and what it would cost."""
    missing: dict[str, tuple[Training, int]] = {}
    for role in claim.own:
        part = claim.trainings(role)[0]
        count = SEEDS - min(len(values[name]) for name, (whose, _) in claim.measured.items() if whose == role)
        while part is not None and count > 0:
            missing[_plain(describe(part))] = part, count
            part = part.start
            count = SEEDS - len(_by_seed(find, [part])) if part else 0
    images = sum(count * part.images(DIGITS) for part, count in missing.values())
    card, core = (sum(count * of(part) for part, count in missing.values()) for of in (card_seconds, core_seconds))
    one = ", of which one can confirm it" * any(rule.settings.get("enough") == 1 for rule in claim.rules)
    seeds = max(count for _, count in missing.values())
    return (
        f"To decide it: {f'{seeds} seeds' if seeds > 1 else 'one more seed'}{one}, {images / 1e6:.2g} million training "
        f"images in all; about {core / 3600:.2g} hours of one CPU core or {card / 60:.2g} minutes of one H100"
    )


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
    """Return claim -> `lock` of its rule; `was`: locks of the same rule in other words, which gave the same verdicts;
    `changes`: what it was before, and why it changed after a result."""
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
        was = before.get(name, {"lock": claim.lock, "was": [], "changes": []})
        changes, words = list(was["changes"]), was["was"]
        if was["lock"] != claim.lock:
            changed.append(name)
            words = []
            if decided.get(name) in (was["lock"], *was["was"]):
                if not why:
                    raise ConfigurationError(f"The rule of {name} changed after its result; say why.")
                changes.append({"from": was["lock"], "why": why})
        after[name] = {"lock": claim.lock, "was": words, "changes": changes}
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
