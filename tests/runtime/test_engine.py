"""How trainings are computed: captured steps, several runs at once, precision, determinism."""

import time
from dataclasses import replace

import pytest
import torch
from recorded import Lane, Recorded
from torch.utils._python_dispatch import TorchDispatchMode

from labbook import digits, models, rng, training
from labbook.config import Training
from labbook.curriculum import Stage
from labbook.errors import ConfigurationError
from labbook.experiments import recipes
from labbook.ops.timing import stepper
from labbook.runtime import cached, engine, layers
from labbook.runtime.engine import Engine
from labbook.search.peripheries import RunningStandardisation
from labbook.stimuli import Scene28, Scene128
from labbook.training import Diverged, Outcome, Paused, train, train_together

NEAR = Scene28(std=3)
FIELD = Scene128(std=5)
SMALL = {"kernels": (4, 4, 4), "hidden": (8,), "zero_start": False}
TWO = (Stage(NEAR, 2, 0.01, decay=0.5), Stage(replace(NEAR, std=5), 1, 0.01))
FROZEN = (Stage(replace(NEAR, draws="frozen"), 2, 0.01), Stage(replace(NEAR, std=5, draws="frozen"), 2, 0.01))

TRAININGS = {
    "SGD, fresh": Training("lenet", TWO),
    "SGD, momentum that stays, averaged": Training("lenet", TWO, momentum=0.9, ema_decay=0.9, reset_optimiser=False),
    "Adam, frozen": Training("stn28", FROZEN, optimiser="adam", options={"zero_start": False}),
    "AdamW, dropout, from the bank": Training(
        "tutorial", (Stage(replace(NEAR, texture="bank"), 2, 0.001),), optimiser="adamw", weight_decay=0.1
    ),
    "two rates": Training("stn28", TWO, localisation_rate=0.1, options={"zero_start": False}),
    "no rate": Training("stn28", TWO, localisation_rate=0.0, ema_decay=0.5),
    "bfloat16": Training("stn28", TWO, precision="bfloat16"),
    "score function": Training(
        "atn", (Stage(FIELD, 2, 0.01, perturbation_std=4.0),), options=SMALL, optimiser="adamw", batch=4, fraction=0.06
    ),
    "log-polar": Training("polo", (Stage(FIELD, 2, 0.01),), options={"standard": True}, batch=5, fraction=0.08),
    "Where": Training(
        "where", (Stage(FIELD, 2, 0.001),), options={"batch_norm": True, "dropout": 0.5}, optimiser="adam",
        loss="collicular", batch=5, fraction=0.08,
    ),
    "evidence map": Training("evidence", (Stage(FIELD, 2, 0.001),), optimiser="adamw", batch=4, fraction=0.06),
    "searcher": replace(recipes.searcher(), stages=(Stage(FIELD, 2, 0.001),), batch=4, fraction=0.06),
    "foveal searcher": replace(
        recipes.searcher(periphery="log-polar", retina="polo768"),
        stages=(Stage(FIELD, 2, 0.001),), batch=4, fraction=0.06,
    ),
}  # fmt: skip


def made(name: str) -> Training:
    """A training with at least seven steps in an epoch."""
    found = replace(TRAININGS[name], data="digits", start=None)
    return replace(found, batch=10, fraction=0.7) if found.batch > 10 else found


@pytest.fixture(scope="module")
def tiny(sets):
    return digits.DigitSets(sets.train[:100], sets.validation[:50], sets.test, sets.name, sets.origin)


@pytest.fixture
def recorded(monkeypatch):
    """The CPU as a device where steps are captured, after a pretence."""
    captured = []
    monkeypatch.setattr(engine, "lane", lambda device, draws: Lane())
    monkeypatch.setattr(RunningStandardisation, "_update", RunningStandardisation._update_on_gpu)
    monkeypatch.setattr(engine, "Captured", lambda *given: captured.append(Recorded(*given)) or captured[-1])
    return captured


def weights(outcome: Outcome) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in outcome.model.state_dict().items()}


def equal(one, other) -> bool:
    one, other = weights(one), weights(other)
    return all(torch.equal(one[name], other[name]) for name in one)


def close(config: Training, one: Outcome, other: Outcome) -> bool:
    """Whether the weights of two outcomes are apart by less than a hundredth of the way that both went."""
    start = models.build(config.model, rng.generator("weights", config.seed), **config.options).state_dict()
    ways = ({name: value.double() - start[name] for name, value in weights(each).items()} for each in (one, other))
    one, other = (torch.cat([x.flatten() for x in way.values()]) for way in ways)
    return ((one - other).norm() / one.norm()).item() < 0.01


def timeless(outcome: Outcome) -> list[dict]:
    return [{**record, "seconds": 0} for record in outcome.history]


# ---- captured steps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAININGS)
def test_captured_steps_are_those_done_one_by_one(tiny, name, recorded):
    """To the bit, if the optimiser is the same; and to rounding those of a CPU left alone."""
    captured = train(made(name), tiny)
    stages = len(made(name).stages)
    assert len(recorded) == stages  # one for each
    one_by_one = train(made(name), tiny, engine=Engine(capture=False))
    assert len(recorded) == stages
    assert close(made(name), captured, one_by_one)
    losses = ([record["loss"] for record in each.history] for each in (captured, one_by_one))
    assert all(a == pytest.approx(b, rel=1e-3) for a, b in zip(*losses, strict=True))
    assert len({record["loss"] for record in captured.history}) == len(captured.history)  # each epoch is another one
    engine.WARM, before = 10**9, engine.WARM
    try:
        assert equal(captured, train(made(name), tiny)) and len(recorded) == stages
    finally:
        engine.WARM = before


@pytest.mark.parametrize("name", ["SGD, momentum that stays, averaged", "AdamW, dropout, from the bank"])
@pytest.mark.parametrize("first", ["captured", "one by one"])
def test_a_checkpoint_goes_on_captured_or_not(tiny, tmp_path, monkeypatch, name, first):
    """A run broken off in the middle of its second epoch, and taken up by the other kind of loop."""
    whole, saves = train(made(name), tiny), []
    monkeypatch.setattr(RunningStandardisation, "_update", RunningStandardisation._update_on_gpu)

    def loop(captured: bool) -> None:
        monkeypatch.setattr(engine, "lane", lambda device, draws: Lane() if captured else engine.Lane())
        monkeypatch.setattr(engine, "Captured", Recorded)

    loop(first == "captured")
    config, path = made(name), tmp_path / "checkpoint"
    run = training._Run(config, tiny, "cpu", path)
    save = run.save
    run.save = lambda: (save(), saves.append(None))
    with torch.random.fork_rng():
        while (run.epoch, run.step) < (1, 5):
            with run.at_work():
                if run.opened != (run.stage, run.epoch):
                    run.open()
                run._step()
                if run.step == run.steps:
                    run._record()
    run.save()
    loop(first != "captured")
    assert close(config, whole, train(config, tiny, checkpoint=path))
    assert path.exists() and saves


def test_a_capture_that_fails_is_told_and_the_run_goes_on(tiny, monkeypatch):
    said, config = [], made("Adam, frozen")
    whole = train(config, tiny)
    monkeypatch.setattr(engine, "lane", lambda device, draws: Lane())

    def fail(*given):
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    monkeypatch.setattr(engine, "Captured", fail)
    assert close(config, whole, train(config, tiny, say=said.append))
    told = [line for line in said if "captured" in line]
    assert told == [
        "Steps of stn28 are not captured (operation not permitted when stream is capturing): they run one by one."
    ]


def test_what_a_step_reads_from_python_cannot_be_captured(tiny, recorded, monkeypatch):
    loss = training.LOSSES["cross_entropy"]
    monkeypatch.setitem(training.LOSSES, "cross_entropy", lambda *given: loss(*given) * float(loss(*given) > 0))
    said = []
    train(made("SGD, fresh"), tiny, say=said.append)
    assert not recorded and "_local_scalar_dense cannot be captured" in said[0]


@pytest.mark.parametrize("optimiser", training.OPTIMISERS)
def test_optimisers_in_place_take_the_plain_steps(optimiser):
    """Learning rates in a tensor, all weights in one kernel."""
    found = []
    for static in (False, True):
        torch.manual_seed(0)
        layer = torch.nn.Conv2d(1, 3, 3).to(memory_format=torch.channels_last)
        images = torch.rand(5, 1, 8, 8)
        options = engine.static(optimiser) if static else {}
        optimise = training.OPTIMISERS[optimiser](layer.parameters(), lr=1.0, **options)
        for rate in (0.1, 0.03, 0.03):
            for group in optimise.param_groups:
                group["lr"] = torch.tensor(rate) if static else rate
            optimise.zero_grad()
            layer(images).square().mean().backward()
            if static:
                layer.weight.grad = layer.weight.grad.as_strided((3, 1, 3, 3), (9, 9, 3, 1))
                engine.align(list(layer.parameters()))
                assert layer.weight.grad.stride() == layer.weight.stride()
            optimise.step()
        found.append(layer.weight.detach().clone())
    assert torch.allclose(*found, atol=1e-6)


def test_gradients_of_another_layout_are_copied():
    weight = torch.zeros(2, 3, 2, 2, requires_grad=True)
    gradient = torch.rand(2, 3, 2, 2).to(memory_format=torch.channels_last)
    weight.grad = gradient
    engine.align([weight])
    assert weight.grad.stride() == weight.stride() and torch.equal(weight.grad, gradient)


def test_which_networks_draw():
    assert not any(engine.draws(models.build(name)) for name in ("lenet", "stn28", "stn128", "atn", "polo", "where"))
    assert engine.draws(models.build("tutorial")) and engine.draws(models.build("searcher"))
    assert engine.draws(models.build("where", dropout=0.5)) and engine.draws(models.build("stn128", dropout=0.5))
    assert engine.draws(models.build("stn28", classifier="tutorial"))


# ---- several at once -------------------------------------------------------------------------------------------------


def test_trainings_together_give_what_each_gives_alone(tiny):
    configs = [made(name) for name in ("SGD, fresh", "Adam, frozen", "AdamW, dropout, from the bank")]
    configs.append(replace(configs[2], seed=1))
    said, ended = [], []
    for at_once in (None, 2):
        found = train_together(
            configs, tiny, say=said.append, at_once=at_once, done=lambda place, result: ended.append((place, result))
        )
        for config, outcome in zip(configs, found, strict=True):
            alone = train(config, tiny)
            assert equal(alone, outcome) and timeless(alone) == timeless(outcome)
        assert sorted(place for place, _ in ended) == [0, 1, 2, 3]
        assert all(found[place] is result for place, result in ended)
        ended.clear()
    assert any(line.startswith("tutorial, seed 1: stage 1/1") for line in said)


def test_one_that_fails_leaves_the_others(tiny, tmp_path):
    good, bad = made("SGD, fresh"), replace(made("SGD, fresh"), stages=(Stage(NEAR, 2, 90.0),), weight_decay=10.0)
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"something else")
    checkpoints = [None, None, foreign, None]
    found = train_together([bad, good, good, replace(good, start=good)], tiny, checkpoints=checkpoints)
    assert [type(each) for each in found] == [Diverged, Outcome, ConfigurationError, ConfigurationError]
    assert equal(found[1], train(good, tiny))


def test_together_they_pause_and_go_on(tiny, tmp_path):
    configs = [made(name) for name in ("SGD, fresh", "Adam, frozen")]
    paths = [tmp_path / "one", tmp_path / "two"]
    pauses = 0
    while True:
        found = train_together(configs, tiny, checkpoints=paths, until=time.monotonic() + 0.05)
        if not any(isinstance(each, Paused) for each in found):
            break
        pauses += 1
        assert pauses < 200
    assert pauses and all(equal(train(config, tiny), each) for config, each in zip(configs, found, strict=True))


def test_equal_stimuli_are_drawn_once_for_all(tiny, monkeypatch):
    drawn, kind = [], cached.CachedStimuli
    monkeypatch.setattr(cached, "CachedStimuli", lambda *given: drawn.append(given[1]) or kind(*given))
    frozen = replace(made("Adam, frozen"), fraction=1)
    found = train_together([frozen, replace(frozen, seed=1), replace(frozen, optimiser="sgd")], tiny)
    assert drawn == [stage.scene for stage in FROZEN] and all(isinstance(each, Outcome) for each in found)
    assert not cached._in_use  # and is let go


def test_stimuli_without_room_are_drawn_and_it_is_said(tiny, monkeypatch):
    frozen, said = replace(made("Adam, frozen"), fraction=1), []
    whole = train(frozen, tiny)
    monkeypatch.setattr(cached, "free_memory", lambda device: 3e5)
    assert equal(whole, train(frozen, tiny, say=said.append))
    assert said[0] == "0.00031 GB of stimuli do not fit (0.0001 GB): each is drawn anew."


# ---- precision and determinism ---------------------------------------------------------------------------------------


def switches() -> list[bool]:
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    return [products.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark]


def test_precision_is_set_and_put_back():
    before = switches()
    with engine.arithmetic("float32", layers.Form("first")):
        assert switches() == [False, False, True, False] and layers._form == layers.Form("first")
        with engine.arithmetic("tf32", deterministic=False):
            assert switches() == [True, True, False, True]
        with engine.arithmetic("bfloat16"):
            assert switches() == [False, False, True, False]
    assert switches() == before and layers._form == layers.PLAIN


def test_a_training_runs_in_its_own_precision(tiny, monkeypatch):
    seen, loss = [], training.LOSSES["cross_entropy"]
    monkeypatch.setitem(
        training.LOSSES, "cross_entropy", lambda *given: seen.append(tuple(switches()[:3])) or loss(*given)
    )
    configs = [replace(made("SGD, fresh"), precision=each) for each in ("float32", "tf32")]
    exact, rough = train_together(configs, tiny)
    assert set(seen) == {(False, False, True), (True, True, True)}
    assert equal(exact, rough)  # on a CPU


@pytest.mark.parametrize("name", ["Adam, frozen", "score function", "log-polar"])
def test_the_sampler_sums_no_gradient_of_images(tiny, name):
    """The gradient of the image is what PyTorch sums in any order on a GPU; it is not asked for."""
    asked = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func.overloadpacket.__name__ == "grid_sampler_2d_backward":
                asked.append(tuple((kwargs or {}).get("output_mask", args[-1])))
            return func(*args, **(kwargs or {}))

    step = stepper(made(name), tiny)
    with Watch():
        step()
    assert asked and set(asked) == {(False, True)}
