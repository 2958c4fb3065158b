"""Week 4: the transformer on the 128x128 field, from a constant transformation to a curriculum over eccentricity.

cost        the 90 epochs: 5.0 million images of 128x128 pixels a seed; the trials before them 0.4 to 2.2 million
score       97.8 % at std 40 px and contrast 70 % in 2021
command     papermill notebooks/week4_curriculum.ipynb out.ipynb

2021 kept no code of the first trials (C24 to C30, C36, C37). They are read as that week's network, digits at the
centre, SGD at 0.01 and 25 epochs as in week 3, with the one change that the claim names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from statistics import fmean

from .. import classifiers, models
from ..config import Training
from ..curriculum import Stage, decaying, growing
from ..stimuli import ECCENTRICITIES, Scene128
from ..study2021 import facts
from ..study2021.schedules import week5
from . import recipes, week3
from .claim import (
    FOUND,
    SAME_FIELD,
    SAYS_FAILS,
    SAYS_LEARNS,
    SEEDS,
    VARIES_FIELD,
    Claim,
    Values,
    at_contrast,
    best,
    both,
    end,
    end_at,
    higher,
    holds,
    late_fall,
    learning,
    learns,
    opposite,
    reaches,
    same_window,
    says_reaches,
    spread,
    spread_learnt,
    vote,
)
from .recipes import STEPPING_STONES
from .week3 import CLEAR, ONE, centred

NO_CODE = "no code is left; read as week 3's training of 25 epochs, digits at the centre, with this one change"
# Fall below an earlier epoch, within the last ten. 2021: 0.4 points at the end of a steady training (ab62dc6), 29 where
# the accuracy "drops" (4a04311).
STEADY, DROPS = 0.05, 0.1
FAINT_LOSS = 0.35, 0.6  # C32: accuracy at 22.2 px below which "nothing works", above which it does (2021: 20 %)
BIASED, EVEN = 0.2, 0.1  # C42: how far the worst distance is below 40 px (2021: 80 points)
PLAINLY = 0.5  # C42: a difference that seeds do not explain; whole curricula differ by 3 points between distances
GAIN = 0.03  # C44: mean over nine distances; three points count as the same elsewhere in the book
ALIKE = 0.05  # C37: accuracies that count as the same
OTHER_RATES = (0.001, 0.05)  # C26: one below, one above 0.01
ENDS = facts.ends("stn128")  # 2021, nine stds at contrast 70 %, then two ranges of contrasts
MORE_KERNELS, FINAL = facts.ends("stn128_more_kernels")[0], facts.ends("stn128_final_radius")[0]
FIXED = facts.ends("stn128_fixed_radii")
CONTRASTS = facts.ends("stn128_fixed_contrasts")


def at_radius(radius: float, epochs: int, lr: float) -> Stage:
    """Return a stage of digits at a fixed distance."""
    return Stage(replace(CLEAR, radius=radius), epochs, lr)


NEAR, OUTER = ECCENTRICITIES[0], ECCENTRICITIES[1:]
OF_KERNELS = Training("stn128", (at_radius(NEAR, 20, 0.01),), options=STEPPING_STONES["more kernels"])  # C34
OF_FINAL = Training("stn128", (at_radius(NEAR, 20, 0.01),))  # C38
STAGES = week5(draws="frozen")  # nine stds, then two ranges of contrasts


def goes_on(start: Training, stages: Sequence[Stage]) -> Training:
    """Return the training that continues another one, with a new optimiser in each stage."""
    return replace(start, stages=tuple(stages), start=start)


# The 90 epochs in three parts, each of which continues the one before, as in 2021: three stds each.
THIRDS = [Training("stn128", STAGES[:3])]
THIRDS += [goes_on(THIRDS[0], STAGES[3:6])]
THIRDS += [goes_on(THIRDS[1], STAGES[6:9])]
AFTER_90 = THIRDS[2]
WHOLE = Training("stn128", STAGES)  # the same in one piece, and then the lower contrasts of week 6


def trainings() -> dict[str, Training]:
    """Return the trainings of the week's claims by name, seed 0."""
    adam = {"optimiser": "adam"}
    near = (at_radius(NEAR, 20, 0.005),)
    return {
        "STN-128, three stds": THIRDS[0],
        "STN-128, six stds": THIRDS[1],
        "STN-128, nine stds": THIRDS[2],
        "then contrasts of 50 and 30 %": goes_on(
            AFTER_90, [Stage(Scene128(contrast=(c, c), draws="frozen"), 10, 1e-5) for c in (0.5, 0.3)]
        ),
        "STN-128, radius 4.4 px": OF_FINAL,
        "then one epoch at each radius": goes_on(OF_FINAL, [at_radius(radius, 1, 0.001) for radius in OUTER]),
        "then three epochs at four radii": goes_on(OF_FINAL, [at_radius(radius, 3, 0.01) for radius in OUTER[:4]]),
        "more kernels, radius 4.4 px": OF_KERNELS,
        "then five epochs at each radius": goes_on(OF_KERNELS, [at_radius(radius, 5, 0.01) for radius in OUTER]),
        "more kernels, centred": centred("more kernels", 25),
        "dropout, centred": centred("dropout", 25),
        "first network, Adam 0.005, centred": centred("first", 25, 0.005, **adam),
        **{f"first network, SGD {rate:g}, centred": centred("first", 25, rate) for rate in OTHER_RATES},
        "first network, std 40 px": Training("stn128", growing([40], 25, 0.01, CLEAR), STEPPING_STONES["first"]),
        "STN-128, Adam 0.005, radius 4.4 px": Training("stn128", near, **adam),
        "more kernels, Adam 0.005, radius 4.4 px": Training("stn128", near, STEPPING_STONES["more kernels"], **adam),
    }


CENTRED, NEAR_CENTRE, GAUSSIAN, RADII = (
    "centred digits",
    "near the centre only",
    "Gaussian curriculum",
    "one radius at a time",
)
NONE, FAST = "no curriculum", "no curriculum, fast localisation"
AFTER_CENTRED, STEPPED, LOWERED = "centred digits, then all", "stepped learning rate", "lower contrasts"


def curricula(noisy: int = 16, share: float = 0.1, lr: float = 3e-4) -> dict[str, Training]:
    """Return the curricula that this book compares, by name, at one budget but for the parts that they begin with.

    "centred digits" and "near the centre only" are these parts. A learning rate that falls in steps and fixed lower
    contrasts (C50) go on from other parts.

    Args:
        noisy, share: see `recipes.stn128`. lr: its `lr_moving`.
    """
    parts = recipes.stn128(noisy, share, lr_moving=lr)
    centre, near, far = (parts[name] for name in ("still", "near", "far"))
    outer = ECCENTRICITIES[3:]
    steps = zip(outer, 3 * [lr / 10] + 3 * [lr / 100], strict=True)
    later, rate = len(near.stages) + len(far.stages), centre.stages[-1].lr
    quiet = tuple(replace(stage, scene=replace(stage.scene, std=recipes.CLEAR.std)) for stage in centre.stages[:-1])
    slow = replace(centre, stages=(*quiet, decaying(recipes.CLEAR, noisy + later, rate)))
    return {
        CENTRED: centre,
        NEAR_CENTRE: near,
        GAUSSIAN: far,
        RADII: recipes.going_on(near, (Stage(replace(recipes.CLEAR, radius=radius), 1, lr) for radius in outer)),
        NONE: slow,
        FAST: replace(slow, localisation_rate=lr / rate),
        AFTER_CENTRED: replace(near, stages=(Stage(recipes.CLEAR, later, lr),)),
        STEPPED: recipes.going_on(near, (Stage(replace(recipes.CLEAR, std=std), 1, rate) for std, rate in steps)),
        LOWERED: recipes.slowly(far, [Stage(Scene128(contrast=(c, c)), 1, 1e-5) for c in (0.5, 0.3)]),
    }


def changes(noisy: int = 16, noisy_weak: int = 2, share: float = 0.1, lr: float = 3e-4) -> dict[str, Training]:
    """Return trainings near the centre with one change each, from the classifier of "centred digits" (or from a less
    accurate one) and a new localisation network.

    Args:
        noisy, share, lr: see `curricula`. noisy_weak: `noisy` of the less accurate classifier.
    """
    centre = recipes.stn128(noisy, share, lr_moving=lr)["still"]
    uncentred = replace(recipes.stn128_centred(8, share, lr), precision=centre.precision)  # zero is black, as in 2021
    sgd = {"optimiser": "sgd", "weight_decay": 0.0}
    networks = ("one dense layer less", "more kernels", "dropout", "foveated")
    return {
        **{f"SGD {rate:g}": recipes.near_centre(centre, rate, **sgd) for rate in (0.0001, 0.001, 0.01, 0.1)},
        **{each: recipes.near_centre(centre, lr, recipes.of_localisation(STEPPING_STONES[each])) for each in networks},
        "less accurate classifier": recipes.stn128(noisy_weak, share, lr_moving=lr)["near"],
        "uncentred input": recipes.near_centre(uncentred, lr),
    }


OWN = trainings()


def works(fall: float, best: float) -> bool:
    """Whether a training learns and stays steady."""
    return best >= FOUND and fall <= STEADY


def worked(falls: Values, bests: Values) -> str:
    """Return the verdict on "this change helps": every seed learns and is steady, or none is."""
    return vote([1.0 if works(*each) else 0.0 for each in zip(falls, bests, strict=True)], 0.0, 1.0)


def field_same(spreads: Values) -> str:
    return same_window(spreads, SAME_FIELD, VARIES_FIELD)


def _c23(falls: Values) -> str:
    return vote(falls, STEADY, DROPS)


def _c25(falls: Values, bests: Values) -> str:
    return opposite(worked(falls, bests))


def _c26(low_falls: Values, low_bests: Values, high_falls: Values, high_bests: Values) -> str:
    return both(opposite(worked(low_falls, low_bests)), opposite(worked(high_falls, high_bests)))


def _c27(falls: Values, bests: Values, spreads: Values) -> str:
    return both(worked(falls, bests), field_same(spreads))


def _c30(**tried: Values) -> str:
    names = sorted({name.rpartition("_")[0] for name in tried})
    verdicts = [opposite(worked(tried[f"{name}_falls"], tried[f"{name}_bests"])) for name in names]
    return both(*verdicts)


def _c32(last: Values) -> str:
    return opposite(vote(last, *FAINT_LOSS))


def _c34(last: Values, spreads: Values) -> str:
    return both(reaches(last, MORE_KERNELS, ONE), field_same(spreads))


def _c36(last: Values, spreads: Values) -> str:
    return both(learns(last), field_same(spreads))


def _c37(last: Values, before: Values, spreads: Values) -> str:
    gaps = [abs(a - b) for a, b in zip(sorted(last), sorted(before), strict=False)]
    return both(opposite(vote(gaps, ALIKE, 2 * ALIKE)), field_same(spreads))


def _c38(last: Values, spreads: Values) -> str:
    return both(reaches(last, FINAL, ONE), opposite(same_window(spreads, SAME_FIELD, VARIES_FIELD, ONE)))


def _c39(**ends: Values) -> str:
    return both(*(reaches(ends[f"end_{k}"], FIXED[k], ONE) for k in range(len(FIXED))))


def _c40(last: Values, spreads: Values) -> str:
    fails, same = opposite(learns(last)), field_same(spreads)
    return "confirmed" if "confirmed" in (fails, same) else both(fails, same)


def _c42(below: Values, far: Values) -> str:
    return vote(below, EVEN, BIASED, ONE if min(below) >= PLAINLY else SEEDS)


def _c44(gaussian: Values, fixed: Values) -> str:
    return higher(gaussian, fixed, GAIN)


def reach(ends: Mapping[str, Sequence[float]], stages: Sequence[int]) -> str:
    """Return the verdict on "these stages end where those of 2021 did"."""
    return both(*(reaches(ends[f"end_{k}"], ENDS[k], ONE) for k in stages))


def _c45(**ends: Values) -> str:
    return reach(ends, range(9))


def _c46(**ends: Values) -> str:
    return reach(ends, range(3))


def _c48(**ends: Values) -> str:
    return reach(ends, range(3, 6))


def _c49(**ends: Values) -> str:
    return reach(ends, range(6, 9))


def _c50(half: Values, third: Values) -> str:
    return both(reaches(half, CONTRASTS[0], ONE), reaches(third, CONTRASTS[1], ONE))


def _c33(before: int, after: int) -> str:
    return holds(after < before)


def parameters() -> dict[str, int]:
    """Return the parameters of the network of week 3 and of that with a dense layer less and other kernels."""
    count = {
        name: classifiers.count(models.build("stn128", **STEPPING_STONES[name])) for name in ("first", "more kernels")
    }
    return {"before": count["first"], "after": count["more kernels"]}


def _c51(edge: int) -> str:
    return holds(edge == 28)


def interpolated() -> dict[str, int]:
    """Return the edge of a field after the interpolation."""
    import torch

    return {"edge": classifiers.Downsampled()(torch.zeros(1, 1, 128, 128)).crop.shape[-1]}


def mean_at_70(run, asked) -> float:
    """The accuracy at contrast 70 %, mean over nine distances."""
    return fmean(at_contrast(run, asked))


def farthest(run, asked) -> float:
    """The accuracy at contrast 70 % and 40 px."""
    return at_contrast(run, asked)[-1]


def below_farthest(run, asked) -> float:
    """How far the worst of nine distances is below 40 px, at contrast 70 %."""
    cells = at_contrast(run, asked)
    return cells[-1] - min(cells)


SAYS_SAME = (
    f"theta is the same where the window's centre spreads over inputs by at most {SAME_FIELD:g} px in every seed, "
    f"different where by {VARIES_FIELD:g} px in every seed"
)
SAYS_WORKS = (
    f"it works where every seed has an epoch above {100 * FOUND:g} % and falls by at most {100 * STEADY:g} points "
    "below an earlier epoch within the last ten"
)


def _steadiness(role: str, prefix: str = "") -> dict[str, tuple]:
    return {f"{prefix}falls": (role, late_fall), f"{prefix}bests": (role, best)}


def _stages(name: str, rule, thirds: Sequence[int]) -> Claim:
    """Return a claim about the ends of the three stds of some thirds of the 90 epochs."""
    stages = [k for third in thirds for k in range(3 * third, 3 * third + 3)]
    own = {f"third {third}": (THIRDS[third], WHOLE) for third in thirds}
    measured = {f"end_{k}": (f"third {k // 3}", partial(end_at, std=ECCENTRICITIES[k])) for k in stages}
    tell = ", ".join(f"{{end_{k}:%}}" for k in stages)
    return Claim(name, rule, says_reaches(*(ENDS[k] for k in stages), of=" (each)", enough=ONE), tell, own, measured)


CLAIMS = (
    Claim(
        "C23",
        _c23,
        f"Confirmed if the accuracy falls by {100 * DROPS:g} points below an earlier epoch within the last ten, in "
        f"every seed; refuted if by at most {100 * STEADY:g} points in every seed",
        "largest late fall {falls:points}",
        {"run": week3.OWN["STN-128, first network, centred"]},
        {"falls": ("run", late_fall)},
    ),
    learning(
        "C24",
        OWN["first network, Adam 0.005, centred"],
        False,
        "best of 25 epochs",
        reading=NO_CODE + "; Adam at the 0.005 of the other notebooks",
    ),
    Claim(
        "C25",
        _c25,
        f"Confirmed if it does not work, refuted if it does: {SAYS_WORKS}",
        "best {bests:%}, largest late fall {falls:points}",
        {"run": OWN["more kernels, centred"]},
        _steadiness("run"),
        reading=NO_CODE,
    ),
    Claim(
        "C26",
        _c26,
        f"For each of two rates, {OTHER_RATES[0]:g} and {OTHER_RATES[1]:g}: confirmed if it does not work, refuted if "
        f"it does: {SAYS_WORKS}",
        "best {low_bests:%} and {high_bests:%}, largest late fall {low_falls:points} and {high_falls:points}",
        {"low": OWN["first network, SGD 0.001, centred"], "high": OWN["first network, SGD 0.05, centred"]},
        _steadiness("low", "low_") | _steadiness("high", "high_"),
        reading=NO_CODE,
    ),
    Claim(
        "C27",
        _c27,
        f"Two parts: {SAYS_WORKS}; {SAYS_SAME}",
        "best {bests:%}, largest late fall {falls:points}, spread {spreads:px}",
        {"run": OWN["dropout, centred"]},
        _steadiness("run") | {"spreads": ("run", spread_learnt)},
        reading=NO_CODE,
    ),
    Claim("C28", says="a network that was written, not an experiment; it is built and tested here"),
    learning(
        "C29",
        OWN["first network, std 40 px"],
        False,
        "best of 25 epochs",
        reading="no code is left; read as week 3's training with digits at std 40 px from the first epoch",
    ),
    Claim(
        "C30",
        _c30,
        f"For each change of C24 to C27: confirmed if it does not work, refuted if it does: {SAYS_WORKS}",
        "best of kernels {kernels_bests:%}, dropout {dropout_bests:%}, Adam {adam_bests:%}, rates {low_bests:%} and "
        "{high_bests:%}",
        {
            "kernels": OWN["more kernels, centred"],
            "dropout": OWN["dropout, centred"],
            "adam": OWN["first network, Adam 0.005, centred"],
            "low": OWN["first network, SGD 0.001, centred"],
            "high": OWN["first network, SGD 0.05, centred"],
        },
        dict(
            chain.from_iterable(
                _steadiness(role, f"{role}_").items() for role in ("kernels", "dropout", "adam", "low", "high")
            )
        ),
        reading=NO_CODE,
    ),
    Claim(
        "C31",
        learns,
        f"Confirmed if {SAYS_LEARNS}, refuted if {SAYS_FAILS}",
        "best epoch {best:%}",
        {"run": week3.OWN["STN-128, one dense layer less, centred"]},
        {"best": ("run", best)},
    ),
    Claim(
        "C32",
        _c32,
        f"Confirmed if accuracy at 22.2 px is at most {100 * FAINT_LOSS[0]:g} % in every seed after three epochs at "
        f"each of four radii, refuted if at least {100 * FAINT_LOSS[1]:g} % in every seed",
        "{last:%} at 22.2 px",
        {"run": OWN["then three epochs at four radii"]},
        {"last": ("run", end)},
        reading="the run of 2021 that is left had a stale optimiser, which trained nothing; here the optimiser trains",
    ),
    Claim(
        "C33",
        _c33,
        "Confirmed if the network has fewer parameters",
        "{after:,} instead of {before:,} parameters",
        facts=parameters,
    ),
    Claim(
        "C34",
        _c34,
        f"Two parts: {says_reaches(MORE_KERNELS, enough=ONE)}; {SAYS_SAME}",
        "{last:%}, spread {spreads:px}",
        {"run": OWN["more kernels, radius 4.4 px"]},
        {"last": ("run", end), "spreads": ("run", spread)},
        reading="the learning rate is that of the code, 0.01; the lab-book says 0.1",
    ),
    Claim("C35", says="a layer that was written and never trained; it is built and tested here"),
    Claim(
        "C36",
        _c36,
        f"Two parts: it classifies, {SAYS_LEARNS} at the end; {SAYS_SAME}",
        "{last:%} at 40 px, spread {spreads:px}",
        {"run": OWN["then five epochs at each radius"]},
        {"last": ("run", end), "spreads": ("run", spread)},
        reading="the network of C34, which goes on as in C40",
    ),
    Claim(
        "C37",
        _c37,
        f"Two parts: accuracies with and without the two convolutions within {100 * ALIKE:g} points, refuted beyond "
        f"{200 * ALIKE:g}; {SAYS_SAME}, a network at chance counts as 0",
        "{last:%} without, {before:%} with them, spread {spreads:px}",
        {"run": OWN["STN-128, Adam 0.005, radius 4.4 px"], "before": OWN["more kernels, Adam 0.005, radius 4.4 px"]},
        {"last": ("run", end), "before": ("before", end), "spreads": ("run", spread_learnt)},
        reading="no code is left; read as C34 and C38 under Adam at 0.005",
    ),
    Claim(
        "C38",
        _c38,
        f"Two parts: {says_reaches(FINAL, enough=ONE)}; {SAYS_SAME}",
        "{last:%}, spread {spreads:px}",
        {"run": OWN["STN-128, radius 4.4 px"]},
        {"last": ("run", end), "spreads": ("run", spread)},
        reading="the learning rate is that of the code, 0.01; the lab-book says 0.1",
    ),
    Claim(
        "C39",
        _c39,
        says_reaches(*FIXED, of=" (at each radius, where it is trained)", enough=ONE),
        "{end_0:%} at 8.9 px, {end_7:%} at 40 px",
        {"run": OWN["then one epoch at each radius"]},
        {f"end_{k}": ("run", partial(end, stage=k)) for k in range(len(FIXED))},
    ),
    Claim(
        "C40",
        _c40,
        f"Confirmed if it fails ({SAYS_FAILS} at the end) or ends at one theta, refuted if neither: {SAYS_SAME}",
        "{last:%} at 40 px, spread {spreads:px}",
        {"run": OWN["then five epochs at each radius"]},
        {"last": ("run", end), "spreads": ("run", spread)},
    ),
    Claim("C41", says="an idea of that week"),
    Claim(
        "C42",
        _c42,
        f"Confirmed if the worst of nine distances is {100 * BIASED:g} points below 40 px in every seed, refuted if "
        f"at most {100 * EVEN:g} in every seed; one seed is enough from {100 * PLAINLY:g} points on",
        "{far:%} at 40 px, the worst distance {below:points} below",
        {"run": OWN["then one epoch at each radius"]},
        {"below": ("run", below_farthest), "far": ("run", farthest)},
    ),
    Claim("C43", says="an idea of that week"),
    Claim(
        "C44",
        _c44,
        f"Confirmed if the mean over nine distances is {100 * GAIN:g} points and two standard errors over seeds above "
        "that after fixed radii, refuted if as much below; the two have the schedules of 2021, of different lengths",
        "{gaussian:%} against {fixed:%}",
        {"gaussian": AFTER_90, "fixed": OWN["then one epoch at each radius"]},
        {"gaussian": ("gaussian", mean_at_70), "fixed": ("fixed", mean_at_70)},
    ),
    _stages("C45", _c45, range(3)),
    _stages("C46", _c46, [0]),
    Claim("C47", says="a check and a file saved, of the run of C46"),
    _stages("C48", _c48, [1]),
    _stages("C49", _c49, [2]),
    Claim(
        "C50",
        _c50,
        says_reaches(*CONTRASTS, of=" (contrasts of 50 and 30 %, each)", enough=ONE),
        "{half:%} and {third:%}",
        {"run": OWN["then contrasts of 50 and 30 %"]},
        {"half": ("run", partial(end, stage=0)), "third": ("run", partial(end, stage=1))},
    ),
    Claim(
        "C51",
        _c51,
        "Confirmed if the field comes out at 28x28 pixels",
        "{edge}x{edge} pixels",
        facts=interpolated,
    ),
)
