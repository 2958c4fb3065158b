"""The systems of the benchmark side by side, as a figure and a table: accuracies with their errors, and costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from .. import evaluation, whatwhere, where
from ..book import evaluations, report, verdicts
from ..book.chapter_store import ChapterStore
from ..book.evaluations import Evaluation
from ..book.store import Run
from ..config import Training
from ..evaluation import CONTRASTS
from ..experiments import bootstrap, budgets, scaling, systems
from ..experiments.benchmark import CELLS, Counted, Errors, Measured
from ..experiments.bootstrap import Estimate
from ..runtime.machine import processor
from ..stimuli import ECCENTRICITIES, FIELD, Scene128
from ..study2021 import facts
from . import figures

LIMITS = "ceiling", "errors of localisation + classification"  # columns, see `_limits`
Tables = Mapping[float, Mapping[str, Measured | Counted]]  # noise -> name of a system -> what was measured


def measured(
    store: ChapterStore, name: str, noise: float = 0.75, runs: Sequence[Run] | None = None
) -> Measured | Counted:
    """Return the accuracy of a system of the benchmark: on every page the same, see `experiments.systems`.

    Args:
        name: in `systems.SYSTEMS`. noise: amplitude of the background, one that it is tested at.
        runs: of its seeds, where a chapter has trained them by other parameters.
    """
    system, seed = systems.SYSTEMS[name], store.settings.seeds[0]
    runs = runs or store.get_or_train(system.training, range(seed, seed + system.n_seeds))
    sampled = [
        store.evaluate(evaluations.digitwise, run, noise=noise, n=system.sampled[noise]) for run in runs[: system.kept]
    ]
    if sampled and len(runs) <= system.kept:
        return Measured(sampled)
    scene = Scene128(noise=noise)
    base, *others = (store.evaluate(evaluations.benchmark, run, scene=scene, n=system.first) for run in runs)
    if not sampled:
        return Counted(base, correlation(store))
    return Measured(sampled, [[each[cell].value - base[cell].value for cell in CELLS] for each in others])


def kept(evaluation: Evaluation, *runs: Run) -> bool:
    """Return whether an evaluation of the last of these runs can be shown: results of it are kept, or all weights."""
    results = (folder.glob(f"{evaluation.name}-*.json") for folder in runs[-1].folders)
    return any(map(any, results)) or all(run.weights.exists() for run in runs)


def correlation(store: ChapterStore) -> float:
    """Return the correlation between cells of the benchmark over digits, that of the attention STN."""
    return bootstrap.correlation(measured(store, "attention STN").right)


def accuracies(tables: Tables, reference: str) -> None:
    """Display accuracies at both noise levels, ceilings, errors and differences from a reference.

    Args:
        tables: the first noise is that of the training, by which systems are ranked.
    """
    usual, noisy = tables
    found = ranked(tables[usual])
    rows = {
        name: (
            {f"noise {noise:g}": table[name].accuracy() for noise, table in tables.items() if name in table},
            _ceiling(each),
            each.errors(),
        )
        for name, each in found.items()
    }
    figures.show(
        figures.systems(rows),
        alt="Accuracy of each system at both noise levels, its ceiling, its localisation and classification errors: "
        + "; ".join(f"{name} {report.proportion(each.accuracy())}" for name, each in found.items()),
        caption=f"Left: mean accuracy over the 27 cells with 95 % intervals, and ceilings at noise {usual:g}. Right: "
        f"misclassified stimuli at noise {usual:g}, of the seeds that are known digit by digit, whose mean may differ "
        "from that of all; of the What/Where model only counts are known, which leave some errors open.",
    )
    report.table(
        (
            "system",
            f"noise {usual:g}",
            f"noise {noisy:g}",
            *LIMITS,
            f"from {reference}",
            "test digits",
            "seeds",
        ),
        [
            (
                name,
                *(report.proportion(table[name].accuracy()) if name in table else "" for table in tables.values()),
                *_limits(each),
                "" if name == reference else report.points(each.minus(found[reference])),
                " and ".join(f"{n:,}" for n in dict.fromkeys(t[name].n for t in tables.values() if name in t))
                + " first" * isinstance(each, Counted),
                each.n_seeds,
            )
            for name, each in found.items()
        ],
        "Mean accuracy over the 27 cells with 95 % intervals: of digits and seeds, of digits alone where there is one "
        f"seed. Systems were trained at noise {usual:g}, of which their ceilings and errors are. First: the first test "
        "digits, not the random sample.",
    )


def _limits(found: Measured | Counted) -> tuple[str, str]:
    """Return a system's ceiling and errors as text; "" where they are not known."""
    ceiling = _ceiling(found)
    return "" if ceiling is None else report.percent(ceiling), _told(found.errors())


def _told(errors: Errors | None) -> str:
    """Return errors as text, as bounds where counts leave them open."""
    if errors is None:
        return ""
    localisation, undecided, classification = (100 * each for each in errors)
    if not undecided:
        return f"{localisation:.1f} + {classification:.1f} %"
    return f"at most {undecided:.1f}, at least {classification:.1f} %"


def thresholds(found: Mapping[str, Measured | Counted], noise: float, level: float = 0.75, rows: int = 6) -> None:
    """Display the contrast that an accuracy asks for nearest to the centre and furthest from it, of the most accurate
    systems that are known digit by digit; outside of the contrasts of the benchmark, on which side."""
    ends = ECCENTRICITIES[0], ECCENTRICITIES[-1]
    lowest, highest = min(CONTRASTS), max(CONTRASTS)

    def told(contrast: Estimate) -> str:
        if contrast.high < lowest:
            return f"below {100 * lowest:.0f} %"
        if contrast.low > highest or contrast.value > 1:
            return f"above {100 * highest:.0f} %"
        return f"{100 * contrast.value:.0f} % ({100 * contrast.low:.0f} to {100 * min(contrast.high, 1):.0f})"

    sampled = [name for name, each in ranked(found).items() if isinstance(each, Measured)][:rows]
    fits = {name: found[name].thresholds(level) for name in sampled}
    report.table(
        ("system", *(f"at {radius:.1f} px" for radius in ends)),
        [(name, *(told(each[radius]) for radius in ends)) for name, each in fits.items()],
        f"Contrast for an accuracy of {100 * level:.0f} % at noise {noise:g} by joint Weibull fits, 95 % intervals "
        "of digits and seeds; below or above where the whole interval is outside of the contrasts tested.",
    )


class AtBudget(NamedTuple):
    """A system at a shared budget: its outcomes, and the training images of all its parts."""

    found: Measured | Counted
    images: int


def at_budget(store: ChapterStore, name: str, budget: int, own: Measured | Counted) -> AtBudget | None:
    """Return how accurate a system is at a shared budget, with the seeds that are stored; None: not trained.

    Args:
        own: of its training in `systems`.
    """
    for training in budgets.candidates(name, budget):
        runs, images = _at_hand(store, training), budgets.images(training)
        if runs and training == systems.SYSTEMS[name].training:
            return AtBudget(own, images)
        if runs := [run for run in runs if kept(evaluations.digitwise, run)]:
            return AtBudget(Measured(store.evaluate(evaluations.digitwise, runs, n=systems.FEWER)), images)
    return None


def what_where_at_budget(store: ChapterStore, budget: int) -> dict[int, AtBudget]:
    """Return the What/Where model at a shared budget after several numbers of saccades; {}: not trained."""
    first, second = budgets.what_where(budget)
    found = []
    for what in (run for run in _at_hand(store, first) if kept(evaluations.accuracy_map, run)):
        seen = store.evaluate(evaluations.accuracy_map, what, scene=first.stages[-1].scene, **budgets.MAP)
        found += [
            store.evaluate(evaluations.digitwise_saccades, each, what=what, n=systems.FEWER)
            for each in _at_hand(store, second(where.profile(seen)), [what.configuration.seed])
            if kept(evaluations.digitwise_saccades, what, each)
        ]
    after = evaluations.digitwise_saccades.settings({"what": None})["after"]
    return {k: AtBudget(Measured(runs), budget) for k, runs in zip(after, zip(*found, strict=True), strict=False)}


def _at_hand(store: ChapterStore, training: Training, seeds: Sequence[int] | None = None) -> list[Run]:
    """Return the runs of a training: all in the profile "full", elsewhere those that are stored."""
    if store.settings.profile == "full":
        return store.get_or_train(training, seeds)
    return [run for run in verdicts.Stored(store).find(training) if seeds is None or run.configuration.seed in seeds]


def shared_budgets(store: ChapterStore, found: Mapping[str, Measured | Counted]) -> dict[int, dict[str, AtBudget]]:
    """Display every system at the shared budgets: a figure beside 2021 after its own schedule, and a table for each
    budget with differences from the What/Where model of the same budget. Return them by budget and name.

    Args:
        found: by its training in `systems`, at the noise of the training.
    """
    model = systems.title(whatwhere.SACCADES)
    at: dict[int, dict[str, AtBudget]] = {}
    for budget in budgets.BUDGETS:
        each = {name: at_budget(store, name, budget, found[name]) for name in budgets.trainings()}
        each |= {systems.title(k): gaze for k, gaze in what_where_at_budget(store, budget).items() if k}
        at[budget] = {name: one for name, one in each.items() if one}
    best = {name: each for at_one in at.values() for name, each in at_one.items()}  # at the largest budget
    if best:
        _draw_budgets(at, list(ranked({name: each.found for name, each in best.items()})))
    for budget, each in at.items():
        missing = [name for name in (*budgets.trainings(), model) if name not in each]
        report.table(
            ("system", "accuracy", f"from {model}", *LIMITS, "seeds", "budget used", "test digits"),
            [
                (
                    name,
                    report.proportion(one.accuracy()),
                    "" if name == model or model not in each else report.points(one.minus(each[model].found)),
                    *_limits(one),
                    one.n_seeds,
                    f"{100 * each[name].images / budget:.0f} %",
                    f"{one.n:,}" + " first" * isinstance(one, Counted),
                )
                for name, one in ranked({name: one.found for name, one in each.items()}).items()
            ],
            f"{budget:,} training images: mean accuracy over the 27 cells with 95 % intervals, of digits and seeds, of "
            f"digits alone where there is one seed; differences are paired over the digits that both were shown. Test "
            "digits: those at the beginning of the random sample, or where it says first, of the test set. Where less "
            f"than {100 * budgets.NEARLY:.0f} % of the budget was used, the row is that of the first table."
            + f" Not trained: {', '.join(missing)}."
            * bool(missing),
        )
    return at


def _draw_budgets(at: Mapping[int, Mapping[str, AtBudget]], names: Sequence[str]) -> None:
    """Display systems at the budgets beside 2021 after its own schedule."""
    labels = {budget: f"{budget:,} training images" for budget in at}
    rows, stated, least = {}, {}, next(iter(at))
    for name in names:
        accuracies = {labels[budget]: each[name].found.accuracy() for budget, each in at.items() if name in each}
        rows[name] = accuracies, None, at[least][name].found.errors() if name in at[least] else None
        row = systems.SYSTEMS[name].row if name in systems.SYSTEMS else None
        stated[name] = row and evaluation.mean_accuracy(facts.benchmark(row))
    images = sorted({facts.systems()[each.row]["train_images"] for each in systems.SYSTEMS.values() if each.row})
    figures.show(
        figures.systems(rows, stated),
        alt="Accuracy of each system at the shared budgets: "
        + "; ".join(
            f"{name} {', '.join(f'{report.percent(value.value)} at {label}' for label, value in each.items())}"
            for name, (each, *_) in rows.items()
        ),
        caption=f"Left: mean accuracy over the 27 cells with 95 % intervals at each shared budget; diamonds: the "
        f"single run of 2021 after its own schedule of {images[0] / 1e6:.1f} to {images[-1] / 1e6:.1f} million images, "
        f"as stated (the What/Where model had another noise). Right: misclassified stimuli at {labels[least]}.",
    )


def ranked(table: Mapping[str, Measured | Counted]) -> dict[str, Measured | Counted]:
    """Return systems from the most to the least accurate."""
    return dict(sorted(table.items(), key=lambda each: -each[1].accuracy().value))


def _ceiling(table: Measured | Counted) -> float | None:
    ceiling = table.ceiling()
    return ceiling and ceiling.value


@dataclass(frozen=True)
class Made:
    """How a system was made: the runs of all its parts, its networks, its input values per prediction, and what taught
    it; `times`: how often each network is used for an answer, if not once."""

    runs: Sequence[Run]
    networks: Sequence[nn.Module]
    coefficients: float
    supervision: str
    times: Sequence[int] = (1,)

    @property
    def operations(self) -> float:
        """Multiplications and additions for one answer; a search makes all its fixations."""
        edges = [28 if type(each).__name__ == "LeNet" else FIELD for each in self.networks]
        each = map(scaling.operations, self.networks, edges)
        return sum(times * count for times, count in zip(self.times, each, strict=True))

    @property
    def cost(self) -> dict[str, object]:
        """What it cost, as `results.measured` takes it."""
        return systems.cost(self.runs, self.networks, self.coefficients)


def costs(
    found: Mapping[str, Measured | Counted], made: Mapping[str, Made], seconds: Callable[[str], float], unit: float
) -> None:
    """Display what systems use for an answer, and how they were made.

    Args:
        found: at the noise of the training. seconds: name -> seconds per field. unit: those of LeNet on its window.
    """
    found = ranked(found)
    figures.show(
        figures.costs(
            {name: (made[name].cost["coefficients"], each.accuracy()) for name, each in found.items()},
            ("input values per prediction", "accuracy (%)"),
        ),
        alt="Accuracy against the input values per prediction: "
        + "; ".join(f"{name} {made[name].cost['coefficients']:,}" for name in found),
        caption="Mean accuracy over the 27 cells, with 95 % intervals, against the input values per prediction: all "
        "pixels of the field, or log-polar coefficients and pixels of the fovea times the mean number of encodings.",
    )
    report.table(
        (
            "system",
            "supervision",
            "training images",
            "input values",
            "parameters",
            "million operations",
            "speed",
        ),
        [
            (
                name,
                made[name].supervision,
                f'<span class="wide">{systems.views(made[name].runs)}</span>',
                f"{made[name].cost['coefficients']:,}",
                f"{made[name].cost['parameters']:,}",
                f"{made[name].operations / 1e6:,.0f}",
                f"1/{seconds(name) / unit:.1f}",
            )
            for name in found
        ],
        "Training images: of all parts, warm-ups included. Operations: multiplications and additions for one answer; a "
        f"search makes all its fixations. Speed: fields per second on one thread as a share of LeNet's {1 / unit:,.0f} "
        f"windows ({processor()}), measured side by side, with trained networks where weights are kept.",
    )
