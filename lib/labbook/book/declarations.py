"""The parameters of every chapter: type, range, unit, meaning and default, each declared once.

What is changed here reaches the check, the sweep and the page by itself, and the parameters cells by
`python -m labbook.book.parameters`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from ..errors import ConfigurationError
from .parameters import Common, Trains, choice, number


def n_runs(default: int, meaning: str) -> Any:
    """Declare a number of seeds."""
    return number(default, 1, 100, meaning)


def n_epochs(default: int, meaning: str) -> Any:
    """Declare a number of epochs."""
    return number(default, 1, 1000, meaning)


def fraction(default: float, meaning: str) -> Any:
    """Declare a share of the training digits, or of an epoch."""
    return number(default, 0.001, 1, meaning)


def learning_rate(default: float, meaning: str) -> Any:
    """Declare a learning rate."""
    return number(default, 1e-6, 10, meaning)


def n_stimuli(default: int, meaning: str, low: int = 20) -> Any:
    """Declare a number of test stimuli."""
    return number(default, low, 10_000, meaning)


CELLS = "test digits in each of the 27 cells of the benchmark"


class Primer(Common):
    """Of a chapter that trains nothing and has digits of its own."""

    seed: int = number(0, 0, 2**31 - 1, "of textures and offsets")
    n_seeds: int = n_runs(1, "without effect here")
    runs: Literal["reuse", "retrain"] = choice("reuse", "without effect here")
    data: Literal["auto", "mnist", "digits"] = choice("auto", "without effect here")


class LogPolar(Primer):
    chapter = "primer_logpolar"


class Task(Primer):
    chapter = "primer_task"


class Transformers(Primer):
    chapter = "primer_transformers"
    n_scenes: int = n_stimuli(100, "stimuli in each measurement")


class Week1(Trains):
    chapter = "week1_noisy_stn"
    n_seeds: int = n_runs(3, "runs of the two main experiments, with seeds seed, seed + 1, ...")
    std: float = number(15.0, 0, 1000, "standard deviation of the shift in the hard task", "pixels")
    contrast: float = number(0.7, 0.05, 1, "contrast of the digit")
    noise: float = number(0.75, 0, 1, "amplitude of the background")
    lr: float = learning_rate(0.01, "learning rate of SGD")
    epochs: int = n_epochs(20, "epochs of the two main experiments")
    curriculum_share: float = fraction(1.0, "share of each epoch that the growing curriculum shows (2021: 1)")
    map_stimuli: int = n_stimuli(300, "stimuli per position of the accuracy map (2021: 10000)", 1)


class Week2(Trains):
    chapter = "week2_adam_vs_sgd"
    n_seeds: int = n_runs(3, "runs of each optimiser in the comparison, with seeds seed, seed + 1, ...")
    stds: list[float] = number(list(range(16)), 0, 1000, "shift std of the stages", "px")
    contrast_low: float = number(0.3, 0.05, 1, "contrast is uniform from here ...")
    contrast_high: float = number(0.7, 0.05, 1, "... to here")
    noise: float = number(0.75, 0, 1, "amplitude of the background")
    lr_sgd: float = learning_rate(0.01, "learning rate of SGD")
    lr_adam: float = learning_rate(0.005, "learning rate of Adam in 2021")
    lr_default: float = learning_rate(0.001, "Adam's own default")
    comparison_share: float = fraction(0.125, "share of each epoch in the comparison of optimisers (2021: 1)")
    lucky: int = n_runs(3, "seeds of the What pathway's first stage at noise 1.0")
    trial_share: float = fraction(1.0, "share of each epoch in the trials of 20 epochs at a single shift (2021: 1)")
    same_theta: float = number(0.5, 0, 28, "std of the centre below which windows count as equal", "pixels")
    map_stimuli: int = n_stimuli(300, "stimuli per position of the accuracy maps (2021: 10000)", 1)

    @model_validator(mode="after")
    def _in_order(self) -> Week2:
        if self.contrast_low > self.contrast_high:
            raise ConfigurationError(
                f"contrast_low={self.contrast_low} must not exceed contrast_high={self.contrast_high}."
            )
        return self


class Week3(Trains):
    chapter = "week3_growing"
    n_seeds: int = n_runs(1, "runs of every network, with seeds seed, seed + 1, ...")
    epochs: int = n_epochs(8, "of our recipe, on digits at the centre")
    share: float = fraction(0.04, "share of the training digits in each of our epochs, final network")
    share_stones: float = fraction(0.02, "the same for the two networks on the way to it")
    lr: float = learning_rate(0.0003, "learning rate of AdamW")
    noisy: int = n_epochs(16, "epochs at full noise of the final network with zero-centred input")
    share_noisy: float = fraction(0.1, "share of the training digits in each of its epochs")
    lr_noisy: float = learning_rate(0.001, "learning rate of AdamW in these epochs")
    more: int = n_epochs(20, "further epochs at full noise, the learning rate high once more")
    rate_more: float = number(0.3, 0, 100, "their learning rate of the localisation, relative (before: 0.03)")
    average: float = number(0.995, 0, 0.999999, "decay per step of the average of its weights (0: none)")
    share_sgd: float = fraction(0.005, "share of each epoch in the 25 epochs of SGD (2021: 1)")
    share_bias: float = fraction(0.125, "share of each epoch in the trial without biases, as in week 2 (2021: 1)")


class Week4(Trains):
    chapter = "week4_curriculum"
    n_seeds: int = n_runs(1, "runs of the curriculum, with seeds seed, seed + 1, ...")
    noisy: int = n_epochs(16, "epochs at full noise on digits at the centre")
    noisy_weak: int = n_epochs(2, "the same for a classifier that has learnt less")
    share: float = fraction(0.1, "share of the training digits in each of our epochs")
    lr: float = learning_rate(0.0003, "learning rate of AdamW once the digits move")
    test_stimuli: int = n_stimuli(300, "test digits at each eccentricity (2021: 10000)")
    same_theta: float = number(1.0, 0, 128, "std of the centre below which windows count as equal", "pixels")
    follows: float = number(0.5, 0, 1, "correlation with the digit's position from which the window tracks it")


class Week5(Trains):
    chapter = "week5_contrast"
    n_seeds: int = n_runs(1, "runs of the curriculum, with seeds seed, seed + 1, ...")
    noisy: int = n_epochs(16, "epochs at full noise at the centre, and again at all contrasts")
    share: float = fraction(0.1, "share of the training digits in each of these epochs")
    lr: float = learning_rate(0.0003, "learning rate of AdamW once the digits move")
    epochs: int = n_epochs(8, "of the two short trainings on digits at the centre")
    share_short: float = fraction(0.04, "share of the training digits in each of their epochs")
    led: int = n_epochs(24, "epochs at full noise of the network with week 6's localisation")
    share_led: float = fraction(0.1, "share of the training digits in each of its epochs")
    lr_led: float = learning_rate(0.001, "learning rate of AdamW in these epochs")
    share_small: float = fraction(0.25, "share of the digits in each of the 8 epochs on downsampled stimuli")
    test_stimuli: int = n_stimuli(300, f"{CELLS} (2021: 10000)")
    level: float = number(0.75, 0.2, 0.95, "accuracy that defines the threshold of contrast")


class Week6(Trains):
    chapter = "week6_attention"
    n_seeds: int = n_runs(3, "runs of the attention transformer, with seeds seed, seed + 1, ...")
    scale_start: float = number(0.2, 0, 10, "width of the first window (2021: 0, 0.25, 1, at last 0.2)", "widths")
    warm: int = number(20, 1, 100, "epochs of the classifier on the centre of the field, before the window moves")
    stay: int = n_epochs(8, "epochs at the widest shift and all contrasts, three times")
    share: float = fraction(0.1, "share of the training digits in each of our epochs")
    lr: float = learning_rate(0.001, "learning rate of AdamW")
    localisation_rate: float = number(0.3, 0, 100, "learning rate of the localisation, relative")
    share_trial: float = fraction(0.02, "share of the training digits in each epoch of the short trials")
    coins: int = n_runs(2, "seeds of the windows whose scale starts at 0")
    follows: float = number(0.9, 0, 1, "correlation with the digit's position from which the window tracks it")
    learnt: float = number(0.2, 0, 1, "accuracy of an epoch from which a training counts as above chance")
    sudden: float = number(0.2, 0, 1, "fall of the accuracy from an epoch to the next that counts as sudden")


class Week7(Trains):
    chapter = "week7_polo"
    n_seeds: int = n_runs(2, "runs of each network by our recipe; the controls have one")
    warm: int = number(6, 1, 100, "epochs of the classifier on the centre of the field, before the window moves")
    stay: int = n_epochs(3, "epochs at the widest shift and all contrasts, three times")
    stay_longer: int = n_epochs(24, "the same for the longer training of 768 features")
    share: float = fraction(0.1, "share of the training digits in each of our epochs")
    lr: float = learning_rate(0.001, "learning rate of AdamW")
    localisation_rate: float = number(0.3, 0, 100, "learning rate of the localisation, relative")
    share_trial: float = fraction(1.0, "share of each epoch in the trial at the learning rate 0.01 (2021: 1)")
    share_2021: float = fraction(1.0, "share of each epoch in the whole schedule of 2021 (2021: 1)")
    test_stimuli: int = n_stimuli(2000, f"{CELLS} (2021: 10000)")
    beginnings: int = n_runs(4, "seeds of the first stage of 2021")
    follows: float = number(0.5, 0, 1, "correlation with the digit's position from which the window tracks it")


class Week8(Trains):
    chapter = "week8_benchmark"
    n_seeds: int = n_runs(3, "runs of each training that a claim is about")
    epochs: int = n_epochs(12, "of the Where network, fresh stimuli (2020: 60, frozen)")
    lr: float = learning_rate(0.001, "of the Where network at the start; falls to a twentieth")
    map_stimuli: int = n_stimuli(300, "stimuli per position of the What pathway's maps (2020: 10000)", 1)
    test_stimuli: int = n_stimuli(2000, "test digits of the What/Where model in each cell (2020: 1000)")
    traced: int = number(60, 10, 1000, "stimuli of which the scan path is kept")
    rounds: int = number(5, 1, 100, "how often the speed of each system is measured (the median counts)")


class Beyond(Trains):
    chapter = "beyond"
    n_seeds: int = n_runs(3, "runs of the evidence map and of the sliding-window searcher")
    n_seeds_polar: int = n_runs(3, "runs of the two foveal searchers")
    images: Literal[16_500, 49_500, 154_000, 550_000, 990_000] = choice(550_000, "training fields of the map")
    width: int = number(23, 1, 512, "channels of its first layer; 23 gives 96 082 parameters")
    saccades: int = number(5, 1, 100, "at most")
    test_stimuli: int = n_stimuli(2000, f"{CELLS} (2021: 10000)")
    n_details: int = n_stimuli(200, "the same, of the numbers of fixations and of the analysis of errors")


class BeyondScaling(Trains):
    chapter = "beyond_scaling"
    test_stimuli: int = n_stimuli(2000, f"{CELLS} (2021: 10000)")
    n_details: int = n_stimuli(200, "the same, of the runs of which many are compared")
    test_fields: int = n_stimuli(2000, "test fields of each size")
    test_clutter: int = n_stimuli(10_000, "test images with clutter")
    largest_field: Literal[64, 128, 192, 256] = choice(256, "edge of the largest fields, pixels")
    largest_clutter: Literal[60, 100] = choice(60, "edge of the largest images with clutter, pixels")


CHAPTERS = {
    each.chapter: each
    for each in (
        LogPolar,
        Task,
        Transformers,
        Week1,
        Week2,
        Week3,
        Week4,
        Week5,
        Week6,
        Week7,
        Week8,
        Beyond,
        BeyondScaling,
    )
}
