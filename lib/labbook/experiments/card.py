"""What a lent GPU is worth: the trainings of all chapters, in an order in which a cut-off leaves the most.

First STN-128's schedule of 2021, in its parts, and what 2021 tried after it; then the attention transformer, the
log-polar transformers, STN-28 and the What/Where model; then what other claims need; then further seeds. The chapter
`beyond` and the shared `budgets` rank their own trainings on the same scale. Small networks train several seeds
together, which costs a GPU less than one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from .. import experiments
from ..config import Training, seeded, shortened
from ..errors import ConfigurationError, nearest
from ..identity.description import name_of
from . import beyond, budgets, pathways, week2, week3, week4, week5, week6, week7, week8
from .whole import SCHEDULES

SEVERAL = 0.4  # what each of several seeds together takes of one alone
LARGE = ("stn128", "atn")  # that fill a GPU alone
SEEDS = 3  # that most verdicts take

FIRST: tuple[tuple[dict[str, Training], str, int, float], ...] = (  # names, name, seeds together, worth
    (week4.OWN, "STN-128, three stds", 1, 99),
    (week4.OWN, "STN-128, six stds", 1, 98),
    (week4.OWN, "STN-128, nine stds", 1, 97),
    (week6.OWN, "STN-128, lower contrasts at 0.001", 1, 96),
    (week5.OWN, "STN-128, lower contrasts at 0.00001", 1, 94),
    (week4.OWN, "then contrasts of 50 and 30 %", 1, 93),
    (week5.OWN, "STN-128, ten epochs more", 1, 92),
    (week3.OWN, "STN-128, first network, centred", 1, 91),
    (week4.OWN, "more kernels, radius 4.4 px", 1, 90.5),
    (week4.OWN, "STN-128, radius 4.4 px", 1, 89.5),
    (week5.OWN, "STN-128, sixty epochs", 1, 89),
    (week6.OWN, "attention STN", 1, 87),
    (week6.OWN, "two convolutions, 0.005", 3, 86),
    (week6.OWN, "three convolutions, 0.01", 3, 84),
    (week6.OWN, "two convolutions, decay", 3, 83),
    (week6.OWN, "attention STN, scale from 0.25", 3, 81),
    (week7.OWN, "log-polar STN", 5, 79),
    (week2.OWN, "STN-28, SGD", 5, 78),
    (week2.OWN, "STN-28, Adam 0.005", 5, 77),
    (week2.OWN, "STN-28, Adam 0.001", 5, 76),
    (week2.OWN, "STN-28, SGD, contrast 70 %", 5, 74),
    ({"convolutional log-polar STN": SCHEDULES["conv_polo"].training}, "convolutional log-polar STN", 1, 73),
    (week8.OWN, "What pathway, noise 0.75", 5, 72),
    ({"What pathway, noise 1": pathways.what_training(1.0)}, "What pathway, noise 1", 5, 71),
    ({"Where pathway": SCHEDULES["where"].training}, "Where pathway", 1, 69),
)
LIGHT, CLAIMS, AGAIN = 75, 50, 30  # worth of what other claims need, of small networks and large; of further seeds


@dataclass(frozen=True)
class CardTraining:
    """Trainings that a GPU does together or one after the other."""

    name: str
    trainings: tuple[Training, ...]
    minutes: float  # that one data-centre GPU should take
    worth: float = 50.0  # the highest is trained first

    @property
    def large(self) -> bool:
        """Whether one of these networks fills a GPU."""
        return self.trainings[0].model in LARGE

    @property
    def starts(self) -> tuple[Training, ...]:
        """The trainings that these go on from, and that are not among them."""
        return tuple(each.start for each in self.trainings if each.start and each.start not in self.trainings)


def card_trainings() -> list[CardTraining]:
    """Return all trainings that are worth a GPU, the most valuable first, each once.

    Raises:
        ConfigurationError: two entries have one name.
    """
    plan = [(name, names[name], seeds, worth) for names, name, seeds, worth in FIRST]
    first = {name_of(seeded(training, 0, "mnist")) for _, training, *_ in plan}
    for k, (name, training) in enumerate(experiments.needed().items()):
        large = training.model in LARGE
        if name_of(training) not in first:
            plan.append((name, training, 1 if large else SEEDS, (CLAIMS if large else LIGHT) - k / 100))
    lines = [(name, _seeds(training, range(seeds)), worth) for name, training, seeds, worth in plan]
    lines += beyond.card_trainings() + budgets.card_trainings()
    lines += [
        (f"{name}, seed {seed}", _seeds(training, [seed]), AGAIN - 10 * seed + worth / 10)
        for name, training, seeds, worth in plan
        for seed in range(seeds, SEEDS)
    ]
    entries, planned = [], set()
    for name, trainings, worth in sorted(lines, key=lambda line: -line[2]):
        new = tuple(each for each in trainings if name_of(each) not in planned)
        planned |= {name_of(each) for each in new}
        if new:
            entries.append(CardTraining(name, new, minutes(new), worth))
    names = [entry.name for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"Two trainings for a GPU are called {twice[0]!r}.")
    return entries


def _seeds(training: Training, seeds: Iterable[int]) -> tuple[Training, ...]:
    return tuple(seeded(training, seed, "mnist") for seed in seeds)


def alike(trainings: Sequence[Training]) -> bool:
    """Return whether trainings are one but for their seeds, so that they can be trained together."""
    return len({name_of(seeded(each, 0, each.data)) for each in trainings}) == 1


def minutes(trainings: Sequence[Training]) -> float:
    """Return about how long one data-centre GPU takes for trainings, without those that they go on from."""
    seconds = sum(map(experiments.card_seconds, trainings))
    together = len(trainings) > 1 and trainings[0].model not in LARGE and alike(trainings)
    return seconds / 60 * (SEVERAL if together else 1)


def chosen(entries: Sequence[CardTraining], words: Iterable[str] = ()) -> list[CardTraining]:
    """Return the entries that words name, by the beginning of names, in small letters or not, and those that they go
    on from; no word means all.

    Raises:
        ConfigurationError: a word names none.
    """
    asked = set()
    for word in words:
        fits = {entry.name for entry in entries if entry.name.lower().startswith(word.lower()) and word}
        same = {name for name in fits if name.lower() == word.lower()}
        if not fits:
            known = [entry.name for entry in entries]
            raise ConfigurationError(f"only={word!r} names no training of `labbook gpu --list`.{nearest(word, known)}")
        asked |= same or fits
    if not asked:
        return list(entries)
    while True:
        starts = [start for entry in entries if entry.name in asked for start in entry.starts]
        more = {entry.name for entry in entries if any(each in starts for each in entry.trainings)} - asked
        if not more:
            return [entry for entry in entries if entry.name in asked]
        asked |= more


def adapted(entry: CardTraining, change: Callable[[Training], Training]) -> CardTraining:
    """Return an entry whose trainings, and those that they go on from, are changed: other digits, a share, a
    precision."""

    def through(training: Training) -> Training:
        start = None if training.start is None else through(training.start)
        return replace(change(training), start=start)

    return replace(entry, trainings=tuple(through(each) for each in entry.trainings))


def cut(training: Training, share: float, digits: int) -> Training:
    """Return a training cut to about a share of its images: each epoch shows so much less of `digits` training digits.

    Where that would be less than one batch, there is one epoch per stage (`config.shortened`).
    """
    if share == 1:
        return training
    if training.drawn_from(digits) * share >= training.batch:
        return replace(training, fraction=share)
    return shortened(training, max(1, round(share * training.images(digits))), digits)
