"""Rules: what makes a verdict of numbers measured, one per seed, and says in words how.

    reach(last=(end, 0.9777))                         the mean over seeds is near 97.77 %, and no seed failed
    same()                                            the window is the same for every input
    gain("SGD is above Adam", 0.01, sgd=..., adam=...)    a difference that seeds do not explain

Every rule has two sides, each with a margin larger than the spread over seeds and epochs that was measured. Between the
two a claim is partly confirmed where seeds contradict each other, else open.

Convention
    accuracies are proportions, 0 to 1; distances pixels; a quantity alone is measured of the role "run".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, variance

from scipy.stats import t as student

from .measure import LOST, VARIES, Quantity, best, fall, late_fall, spread_if_learnt, spread_learnt

CONFIRMED, PARTLY, REFUTED, OPEN = VERDICTS = ("confirmed", "partly", "refuted", "open")
SEEDS = 3  # that a verdict takes, unless its rule says why fewer do
ONE = 1  # seed that confirms that something can be done, of a training that takes long; three are needed to refute it

Values = Sequence[float]  # one number per seed
Measured = Quantity | tuple[str, Quantity]  # a quantity, of the role "run" unless another is named

CHANCE = 0.1
FOUND = 0.3  # accuracy above which a network has learnt; below `LOST` it is lost
# By which a mean over seeds may be below the single run of 2021. Final accuracies spread over seeds by 0.4 (LeNet
# with zero-centred input), 3.3 (tutorial network) and 5.7 points (attention transformer).
TOLERANCE = 0.05
# Standard deviation over inputs of the window's centre, pixels of a 28x28 image. 2021 compared thetas printed to four
# decimals. Whole runs under Adam have 0.00 to 0.07, under SGD 0.29 and more: see `VARIES`.
SAME = 0.025
SAME_FIELD, VARIES_FIELD = 0.1, 0.5  # the same on 128x128 pixels
CONSTANT = 0.02  # a spread below this is a constant window, which no other seed's window can make vary
# Fall of the accuracy from one epoch to the next of a stage. 2021: at most 3 points in steady stages, at falling rates;
# 19 to 66 in stages that it called unstable.
STEADY, UNSTABLE = 0.1, 0.15
BEYOND = "by more than seeds explain (95 % interval, Welch)"
LATE = 0.05  # fall below an earlier epoch within the last ten, of a steady training (2021: 0.4 points, ab62dc6)


# ---- verdicts on numbers --------------------------------------------------------------------------------------------


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
    """Return the verdict on "it works, with the accuracy stated".

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
    """Return half of the 95 % interval of a difference of means over seeds, of unequal variances (Welch 1947)."""
    errors = [variance(each) / len(each) for each in samples]
    if not sum(errors):
        return 0.0
    freedom = sum(errors) ** 2 / sum(error**2 / (len(each) - 1) for error, each in zip(errors, samples, strict=True))
    return float(student.ppf(0.975, freedom)) * sum(errors) ** 0.5


def higher(ours: Sequence[float], theirs: Sequence[float], margin: float) -> str:
    """Return the verdict on "ours is higher": the difference of means must exceed `margin` and `noise_of` the seeds;
    refuted if it is so much lower; open otherwise, or with too few seeds of either."""
    if min(len(ours), len(theirs)) < SEEDS:
        return OPEN
    needed, gap = max(margin, noise_of(ours, theirs)), fmean(ours) - fmean(theirs)
    return CONFIRMED if gap >= needed else REFUTED if gap <= -needed else OPEN


def not_higher(ours: Sequence[float], theirs: Sequence[float], margin: float) -> str:
    """Return the verdict on "ours is no gain": confirmed if the difference of means plus `noise_of` the seeds stays
    within `margin`; refuted if it exceeds both; open otherwise."""
    if min(len(ours), len(theirs)) < SEEDS:
        return OPEN
    noise, gap = noise_of(ours, theirs), fmean(ours) - fmean(theirs)
    return REFUTED if gap > max(margin, noise) else CONFIRMED if gap + noise <= margin else OPEN


def holds(value: bool) -> str:
    """Return the verdict on a fact that can be counted or read in the code."""
    return CONFIRMED if value else REFUTED


def works(falls: Values, bests: Values) -> str:
    """Return the verdict on "it works": every seed learns and ends steadily, or none does."""
    return vote([float(top >= FOUND and late <= LATE) for late, top in zip(falls, bests, strict=True)], 0.0, 1.0)


def each_reaches(*several: Values, stated: Sequence[float], enough: int) -> str:
    """Return `both` of the verdicts of `reaches` on several accuracies."""
    return both(*(reaches(values, number, enough) for values, number in zip(several, stated, strict=True)))


# ---- rules ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """A rule, or one of several that decide a claim together.

    Args:
        compare: the verdict on what is measured, in order. yes, no: in words, when it is confirmed and when refuted.
        measured: name -> (role, quantity). tell: what was measured, a format string. settings: bounds of `compare`.
        contrary: of the opposite claim. also: what else there is to say of it.
    """

    compare: Callable[..., str]
    yes: str
    no: str = ""
    measured: Mapping[str, tuple[str, Quantity]] = field(default_factory=dict)
    tell: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    contrary: bool = False
    also: str = ""

    def __call__(self, **values: Values) -> str:
        """Return the verdict on numbers by name, of which those measured count; on facts, of which all do."""
        if not self.measured:
            return self.compare(**values)
        verdict = self.compare(*(values[name] for name in self.measured), **self.settings)
        return opposite(verdict) if self.contrary else verdict


def contrary(rule: Rule) -> Rule:
    """Return the rule of the opposite claim."""
    return replace(rule, yes=rule.no, no=rule.yes, contrary=not rule.contrary)


def in_words(rules: Sequence[Rule]) -> str:
    """Return what rules say together."""
    each = list(dict.fromkeys(f"{rule.yes}{f', refuted if {rule.no}' * bool(rule.no)}" for rule in rules))
    also = "".join(dict.fromkeys(f"; {rule.also}" for rule in rules if rule.also))
    if len(each) == 1:
        return (
            f"{f'Each of {len(rules)}, partly if they differ: c' if len(rules) > 1 else 'C'}onfirmed if {each[0]}{also}"
        )
    parts = "; ".join(f"({k}) confirmed if {words}" for k, words in enumerate(each, 1))
    return f"{len(each)} parts, partly if they differ: {parts}{also}"


def _measured(named: Mapping[str, Measured]) -> dict[str, tuple[str, Quantity]]:
    return {name: each if isinstance(each, tuple) else ("run", each) for name, each in named.items()}


def number(value: float, unit: str = "%") -> str:
    """Return a bound with its unit; proportions in percent or points."""
    if unit in ("%", "points"):
        return f"{100 * value:.4g} {'point' if unit == 'points' and value == 0.01 else unit}"
    return f"{value:g} {unit}".strip()


def rule(compare: Callable[..., str], yes: str, no: str, tell: str = "", /, **measured: Measured) -> Rule:
    """Return a rule of its own, by a function that compares."""
    return Rule(compare, yes, no, _measured(measured), tell)


def reach(enough: int = SEEDS, where: str = "", /, **stated: tuple[Measured, float]) -> Rule:
    """Return `reaches` of each of several accuracies.

    Args:
        where: what they are of, in words. stated: name -> (what is measured, what 2021 stated).
    """
    numbers = [value for _, value in stated.values()]
    return Rule(
        each_reaches,
        f"the mean over seeds is at most {number(TOLERANCE, 'points')} below 2021's "
        f"{', '.join(f'{100 * value:.4g}' for value in numbers)} %{where} and no seed is nearer to chance than to it",
        "all seeds are, partly otherwise",
        _measured({name: each for name, (each, _) in stated.items()}),
        ", ".join(f"{{{name}:%}}" for name in stated),
        {"stated": numbers, "enough": enough},
        also="one seed is enough to confirm, since the claim is that it can be done" if enough == 1 else "",
    )


def learn(what: str = "best epoch", /, **measured: Measured) -> Rule:
    """Return `learns` of an accuracy, by default that of the best epoch."""
    [name] = measured = measured or {"best": best}
    sides = f"the {what} of every seed is above {number(FOUND)}", f"the {what} of no seed is above {number(LOST)}"
    return Rule(learns, *sides, _measured(measured), f"{what} {{{name}:%}}")


def fail(what: str = "best epoch", /, **measured: Measured) -> Rule:
    """Return the contrary of `learn`."""
    return contrary(learn(what, **measured))


def least(what: str, low: float, high: float, unit: str = "%", /, **measured: Measured) -> Rule:
    """Return `vote` on "it is high": confirmed where every seed is at least `high`, refuted where at most `low`."""
    [name] = measured
    tell = f"{what.removeprefix('the ')} {{{name}:{unit if unit in ('%', 'points', 'px') else 's'}}}"
    sides = f"{what} is at least {number(high, unit)} in every seed", f"at most {number(low, unit)} in every seed"
    return Rule(vote, *sides, _measured(measured), tell, {"low": low, "high": high})


def most(what: str, low: float, high: float, unit: str = "%", /, **measured: Measured) -> Rule:
    """Return `vote` on "it is low": confirmed where every seed is at most `low`, refuted where at least `high`."""
    sides = f"{what} is at most {number(low, unit)} in every seed", f"at least {number(high, unit)} in every seed"
    rule = contrary(least(what, low, high, unit, **measured))
    return replace(rule, yes=sides[0], no=sides[1])


def same(enough: int = SEEDS, bounds: tuple[float, float] = (SAME, VARIES), /, **measured: Measured) -> Rule:
    """Return `same_window` of a window's spread, by default that of a network above chance."""
    [name] = measured = _measured(measured or {"spreads": spread_learnt})
    low, high = bounds
    notes = {spread_if_learnt: "networks at chance do not count", spread_learnt: "a network at chance counts as 0"}
    return Rule(
        same_window,
        f"the spread of the window's centre over inputs is at most {low:g} px in every seed (in one, {CONSTANT:g} px)",
        f"the spread is at least {high:g} px in {'every' if enough > 1 else 'one'} seed",
        measured,
        f"spread {{{name}:px}}",
        {"same": low, "varies": high, "enough": enough},
        also=notes.get(measured[name][1], ""),
    )


def same_on_field(enough: int = SEEDS, /, **measured: Measured) -> Rule:
    """Return `same` with the bounds of a field of 128x128 pixels."""
    return same(enough, (SAME_FIELD, VARIES_FIELD), **measured)


def gain(words: str, margin: float, /, **measured: Measured) -> Rule:
    """Return `higher` of the first of two accuracies."""
    yes = f"{words} by {number(margin, 'points')} and {BEYOND}"
    return Rule(higher, yes, "it is below by as much", _measured(measured), _against(measured), {"margin": margin})


def no_gain(words: str, margin: float, /, **measured: Measured) -> Rule:
    """Return `not_higher` of the first of two accuracies."""
    yes = f"{words} by at most {number(margin, 'points')}, the 95 % interval over seeds included"
    return Rule(not_higher, yes, "by more", _measured(measured), _against(measured), {"margin": margin})


def _against(measured: Mapping) -> str:
    return " against ".join(f"{{{name}:%}}" for name in measured)


def work(prefix: str = "", role: str = "run") -> Rule:
    """Return `works` of a training."""
    return Rule(
        works,
        f"every seed has an epoch above {number(FOUND)} and falls by at most {number(LATE, 'points')} below an earlier "
        "epoch within the last ten",
        "in every seed no epoch is above that or the accuracy falls by more",
        {f"{prefix}falls": (role, late_fall), f"{prefix}bests": (role, best)},
        f"best {{{prefix}bests:%}}, largest late fall {{{prefix}falls:points}}",
    )


def unstable(quantity: Quantity = fall) -> Rule:
    """Return the rule of a training whose accuracy falls from one epoch to the next."""
    return least("the largest fall from one epoch to the next", STEADY, UNSTABLE, "points", falls=quantity)
