"""Training: it learns, it is a function of its configuration, and no kill, broken file or divergence spoils it."""

import io
import json
import os
import pickle
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from trainings import CLEAR, KILLED, one, processes, same, to_the_end, weights

from labbook import curriculum, digits, evaluation, models, rng, stimuli, training
from labbook.config import Training, seeded, shortened
from labbook.curriculum import Stage
from labbook.errors import ConfigurationError
from labbook.identity.description import describe
from labbook.runtime import cached, checkpoint, files, machine
from labbook.stimuli import Scene28, Scene128
from labbook.training import Diverged, train


def timeless(history: list[dict]) -> list[dict]:
    """The history without its times, as plain data."""
    return json.loads(json.dumps([{**record, "seconds": 0} for record in history]))


# ---- learning --------------------------------------------------------------------------------------------------------


def test_it_learns(sets):
    """A thousand digits without shift, two epochs: far above chance (0.1), and the loss falls."""
    outcome = train(one(epochs=2, lr=0.002, optimiser="adam", fraction=1), sets)
    losses = [record["loss"] for record in outcome.history]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.5 * losses[0]
    assert outcome.history[-1]["accuracy"] > 0.7
    assert not outcome.model.training


def test_a_record_says_what_happened(few):
    stages = (Stage(CLEAR, 2, 0.1, decay=0.5), Stage(replace(CLEAR, std=5), 1, 0.01))
    said = []
    outcome = train(
        one("stn28", fraction=0.2) and replace(one("stn28", fraction=0.2), stages=stages), few, say=said.append
    )
    history = outcome.history
    assert [(record["stage"], record["epoch"], record["lr"]) for record in history] == [
        (0, 0, 0.1),
        (0, 1, 0.05),
        (1, 0, 0.01),
    ]
    for record in history:
        assert record["images"] == 80 and record["seconds"] >= 0
        assert 0 <= record["accuracy"] <= 1 and 0 <= record["fixed_accuracy"] <= 1
        assert set(record["theta"]) == {"mean", "spread", "follow"} and len(record["theta"]["spread"]) == 6
    assert json.loads(json.dumps(history, allow_nan=False))  # plain data
    assert len(said) == 2 and said[0].startswith("stage 1/2, std 0 px: loss ") and "theta spread" in said[1]
    assert train(one(), few).history[0]["theta"] is None


@pytest.mark.parametrize("optimiser", training.OPTIMISERS)
@pytest.mark.parametrize("loss", ["cross_entropy", "mean_squared", "cross_entropy and position"])
def test_every_optimiser_and_loss_moves_every_weight(few, optimiser, loss):
    start = models.build("lenet", rng.generator("weights", 0)).state_dict()
    end = weights(train(one(optimiser=optimiser, loss=loss), few))
    assert not any(torch.equal(start[name], end[name]) for name in start)
    assert all(value.isfinite().all() for value in end.values())


def test_the_learning_rate_decays_between_epochs(few):
    """A second epoch at a millionth of the rate leaves the weights where the first one put them."""
    stage = Stage(CLEAR, 1, 0.1)
    first, second, undecayed = (
        weights(train(replace(one(), stages=(each,)), few))
        for each in (stage, replace(stage, epochs=2, decay=1e-6), replace(stage, epochs=2))
    )
    assert max((first[name] - second[name]).abs().max() for name in first) < 1e-6
    assert max((first[name] - undecayed[name]).abs().max() for name in first) > 1e-4


@pytest.mark.parametrize("arithmetic", ["float32", "bfloat16"])
def test_averaged_weights_are_those_of_the_formula_and_are_kept(few, arithmetic):
    """Three steps: the average begins with the first step's weights; the weights that are trained are as without it."""
    config = one("stn28", options={"zero_start": False}, fraction=0.25, precision=arithmetic)
    steps, plain = [], training._Run(config, few, "cpu", None)
    plain.open()
    while plain.step < 3:
        plain._step()
        steps.append({name: value.clone() for name, value in plain.model.state_dict().items()})
    outcome = train(replace(config, ema_decay=0.75, fraction=0.15), few)
    for name, value in outcome.model.state_dict().items():
        expected = 0.75 * (0.75 * steps[0][name] + 0.25 * steps[1][name]) + 0.25 * steps[2][name]
        assert torch.allclose(value, expected, atol=1e-6) and not torch.equal(value, steps[2][name]), name
    (record,) = outcome.history
    accuracy = evaluation.accuracy(outcome.model, few.validation, CLEAR, 25).value
    assert record["fixed_accuracy"] == accuracy and 0 <= record["last_weights"] <= 1


def test_an_average_that_forgets_at_once_is_the_last_weights(few):
    config = one("lenet", fraction=0.25)
    plain, averaged = (train(replace(config, ema_decay=ema_decay), few) for ema_decay in (0.0, 1e-9))
    assert all(torch.allclose(weights(plain)[name], value, atol=1e-6) for name, value in weights(averaged).items())
    (record,) = averaged.history
    assert record["last_weights"] == record["fixed_accuracy"] == plain.history[0]["fixed_accuracy"]
    assert "last_weights" not in plain.history[0]


def test_the_localisation_has_its_own_rate(few):
    start = models.build("stn28", rng.generator("weights", 0), zero_start=False).state_dict()
    options = {"options": {"zero_start": False}}
    for rate in (0.0, 0.1, 1.0):
        end = weights(train(one("stn28", localisation_rate=rate, **options), few))
        moved = {name: (end[name] - start[name]).abs().max().item() for name in start}
        where = [value for name, value in moved.items() if name.startswith("localisation.")]
        assert min(value for name, value in moved.items() if name.startswith("classifier.")) > 0
        assert max(where) == 0 if rate == 0 else max(where) > 0
        if rate == 0.1:
            tenth = moved["localisation.dense2.bias"]
    assert moved["localisation.dense2.bias"] == pytest.approx(10 * tenth, rel=0.01)  # one step of SGD


def test_a_localisation_at_rate_0_costs_nothing(few):
    run = training._Run(one("stn28", localisation_rate=0.0), few, "cpu", None)
    assert [p.requires_grad for p in run.model.localisation.parameters()] == [False] * 8
    with pytest.raises(ConfigurationError, match="localisation_rate=0 leaves a 'where' network nothing to learn"):
        one("where", Scene128(), localisation_rate=0.0, loss="collicular")


@pytest.mark.parametrize("model", ["lenet", "stn28", "atn", "searcher"])
def test_networks_in_bfloat16_take_nearly_the_same_step(few, model):
    """Only the networks do: what they pass on, their weights and their images are float32, and the step is the same to
    a fifth, mostly to a tenth."""
    scene = CLEAR if model in ("lenet", "stn28") else Scene128(std=4)
    loss = {"loss": "value of fixations"} if model == "searcher" else {}
    exact = one(model, scene, lr=0.1, batch=10, **loss)
    start = models.build(model, rng.generator("weights", 0)).state_dict()
    end, rough = (train(replace(exact, precision=each), few).model for each in ("float32", "bfloat16"))
    assert {value.dtype for value in rough.state_dict().values()} <= {torch.float32, torch.int64}
    step, difference = (
        sum((a[name] - b[name]).square().sum() for name in start if a[name].is_floating_point()).sqrt().item()
        for a, b in ((end.state_dict(), start), (rough.state_dict(), end.state_dict()))
    )
    assert 0 < difference < step / 5
    seen = rough(torch.rand(2, 1, scene.edge, scene.edge, generator=rng.generator("a test")))
    assert seen.logits.dtype == seen.crop.dtype == torch.float32
    assert seen.theta is None or seen.theta.dtype == torch.float32


def test_the_optimiser_s_state_is_renewed_with_each_stage(few):
    """The first step of a new Adam moves each weight by the learning rate, whatever came before."""
    stage = Stage(CLEAR, 5, 0.001)
    before = weights(train(replace(one("tutorial", optimiser="adam"), stages=(stage,)), few))
    for renew in (True, False):
        config = replace(
            one("tutorial", optimiser="adam", reset_optimiser=renew), stages=(stage, replace(stage, epochs=1))
        )
        after = weights(train(config, few))
        step = (after["dense2.bias"] - before["dense2.bias"]).abs() / 0.001  # every answer has a gradient
        assert (step.min() > 0.98 and step.max() < 1.001) == renew


# ---- determinism -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draws, arithmetic", [("fresh", "float32"), ("frozen", "float32"), ("fresh", "bfloat16")])
def test_equal_seeds_give_equal_bits(few, draws, arithmetic):
    scene, options = replace(CLEAR, std=3, draws=draws), {"classifier": "tutorial"}
    config = one("stn28", scene, options=options, fraction=0.2, precision=arithmetic)
    before = torch.get_rng_state()
    first, second = (train(config, few) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())  # the global state is left alone
    torch.manual_seed(99)  # and not listened to
    third = train(config, few)
    torch.set_rng_state(before)
    assert same(weights(first), weights(second)) and same(weights(first), weights(third))
    assert timeless(first.history) == timeless(second.history) == timeless(third.history)
    assert not same(weights(first), weights(train(replace(config, seed=1), few)))


def test_fresh_stimuli_change_from_epoch_to_epoch_and_frozen_ones_do_not(few, monkeypatch):
    shown, loss = [], training.LOSSES["cross_entropy"]
    monkeypatch.setitem(
        training.LOSSES, "cross_entropy", lambda seen, stimuli: shown.append(stimuli) or loss(seen, stimuli)
    )
    tiny = digits.DigitSets(few.train[:20], few.validation, few.test, few.name, few.origin)
    for draws in ("fresh", "frozen"):
        shown.clear()
        train(one(scene=replace(CLEAR, draws=draws), epochs=2, fraction=1), tiny)
        one_epoch, next_epoch = (stimuli.images[stimuli.images.flatten(1).sum(1).argsort()] for stimuli in shown)
        assert torch.allclose(one_epoch, next_epoch) == (draws == "frozen")


def test_frozen_stimuli_that_come_again_are_drawn_once_where_there_is_room(few, monkeypatch):
    drawn, draw = [], stimuli.draw
    for module in (training, stimuli):
        monkeypatch.setattr(module, "draw", lambda *given: drawn.append(len(given[1])) or draw(*given))
    stages = curriculum.growing([0, 4], 3, 0.01, Scene28(draws="frozen"))
    again = Training("lenet", stages, data="digits", batch=20, fraction=1, digits=100)
    outcomes = {}
    for room in (10**9, 10**5):
        for module in (training, cached):
            monkeypatch.setattr(module, "free_memory", lambda device, room=room: room)
        drawn.clear()
        outcomes[room] = train(again, few)
        assert sum(n for n in drawn if n in (20, 100)) == (200 if room == 10**9 else 600)
    with_room, without = outcomes.values()
    assert same(weights(with_room), weights(without))
    assert timeless(with_room.history) == timeless(without.history)
    drawn.clear()
    for module in (training, cached):
        monkeypatch.setattr(module, "free_memory", lambda device: 10**9)
    train(replace(again, fraction=0.6, stages=stages[:1]), few)  # each digit 1.8 times
    assert drawn.count(20) == 9 and 100 not in drawn


def test_the_test_digits_are_not_touched(few):
    without = digits.DigitSets(few.train, few.validation, None, few.name, few.origin)
    without = replace(without, test=few.test[:1])
    assert timeless(train(one(), few).history) == timeless(train(one(), without).history)


# ---- killed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KILLED)
def test_a_killed_run_resumes_to_the_same_bits(few, tmp_path, name):
    """Killed five times at random moments, of training as of writing, each time some checkpoints after its start."""
    moments = random.Random(name)
    checkpoint, places = tmp_path / "checkpoint", []
    parts = (few.train, few.validation, few.test)
    torch.save([(part.images, part.labels, part.first) for part in parts], tmp_path / "digits")
    for _ in range(5):
        process = processes().Process(target=to_the_end, args=(name, tmp_path))
        process.start()
        _await_checkpoints(checkpoint, moments.randint(1, 3), process)
        time.sleep(moments.uniform(0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before it was killed"
        state = torch.load(io.BytesIO(files.unseal(checkpoint.read_bytes(), checkpoint)), weights_only=True)
        places.append(state["position"])
    assert places == sorted(places) and len({tuple(place) for place in places}) == 5  # each went on from the last
    process = processes().Process(target=to_the_end, args=(name, tmp_path))
    process.start()
    process.join()
    assert process.exitcode == 0
    resumed, history = torch.load(tmp_path / "outcome", weights_only=True)
    whole = train(KILLED[name], few)
    assert same(weights(whole), resumed)
    assert timeless(whole.history) == timeless(json.loads(history))


def _await_checkpoints(path: Path, count: int, process) -> None:
    """Return after the file was replaced `count` times."""
    last = path.stat().st_ino if path.exists() else None
    deadline = time.monotonic() + 60
    while count and process.is_alive() and time.monotonic() < deadline:
        try:
            now = path.stat().st_mtime_ns, path.stat().st_ino
        except FileNotFoundError:
            now = None
        if now and now != last:
            count, last = count - (last is None or isinstance(last, tuple)), now
        time.sleep(0.002)


# ---- checkpoints -----------------------------------------------------------------------------------------------------


class _Stop(Exception):
    pass


def _checkpoint(config: Training, sets: digits.DigitSets, path: Path, steps: int = 3) -> bytes:
    """Leave a run's checkpoint after some steps, and return it."""
    run = training._Run(config, sets, "cpu", path)

    def save_and_stop():
        training._Run.save(run)
        if run.step == steps:
            raise _Stop

    run.save = save_and_stop
    with torch.random.fork_rng(), pytest.raises(_Stop):
        while run.advance(every=0):
            pass
    return path.read_bytes()


CHECKED = one("tutorial", optimiser="adam", epochs=2, fraction=0.5)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda content: content[: len(content) // 2], "foreign, truncated or altered: expected SHA-256"),
        (lambda content: b"", "foreign, truncated or altered"),
        (lambda content: content[:500] + bytes([content[500] ^ 1]) + content[501:], "foreign, truncated or altered"),
        (lambda content: content.partition(b"\n")[2], "foreign, truncated or altered"),  # a plain torch file
        (lambda content: files.seal(b"something else"), "no checkpoint of this library"),
    ],
)
def test_a_broken_checkpoint_is_refused_by_name(few, tmp_path, spoil, words):
    path = tmp_path / "some.checkpoint"
    path.write_bytes(spoil(_checkpoint(CHECKED, few, path)))
    with pytest.raises(ConfigurationError, match=words) as refused:
        train(CHECKED, few, checkpoint=path)
    assert str(path) in str(refused.value) and path.exists()


@pytest.mark.parametrize("change", [{"seed": 1}, {"model": "stn28"}])
def test_a_checkpoint_of_another_configuration_is_refused(few, tmp_path, change):
    path = tmp_path / "some.checkpoint"
    _checkpoint(CHECKED, few, path)
    with pytest.raises(ConfigurationError, match=f"{path} belongs to another configuration"):
        train(replace(CHECKED, **change), few, checkpoint=path)
    train(CHECKED, few, checkpoint=path)  # and is left for its own


def test_a_checkpoint_of_another_format_is_refused(few, tmp_path, monkeypatch):
    path = tmp_path / "some.checkpoint"
    monkeypatch.setattr(checkpoint, "FORMAT", 0)
    _checkpoint(CHECKED, few, path)
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match=rf"{path} has checkpoint format 0; this version reads 1\."):
        train(CHECKED, few, checkpoint=path)


def _change(path: Path, **state) -> None:
    """Change what a checkpoint says, and seal it again."""
    saved = torch.load(io.BytesIO(files.unseal(path.read_bytes(), path)), weights_only=True)
    torch.save({**saved, **state}, content := io.BytesIO())
    path.write_bytes(files.seal(content.getvalue()))


@pytest.mark.parametrize(
    "state",
    [
        {"position": [0, 0, 10**9]},
        {"position": [0, 2, 0]},
        {"position": [1, 0, 0]},
        {"position": [0, 1, 0]},  # an epoch of which there is no record
        {"position": [0, 0]},
        {"history": "no"},
        {"model": {}},
        {"optimiser": {}},
        {"loss": 1},
        {"machines": "[{}]"},
    ],
    ids=str,
)
def test_a_checkpoint_that_says_something_else_is_one_sentence(few, tmp_path, state):
    path = tmp_path / "some.checkpoint"
    _checkpoint(CHECKED, few, path)
    _change(path, **state)
    with pytest.raises(ConfigurationError, match=f"{path} holds no state of this training") as refused:
        train(CHECKED, few, checkpoint=path)
    assert "\n" not in str(refused.value)


def test_a_training_keeps_the_number_of_threads_that_it_began_with(few, tmp_path, monkeypatch):
    config, path, threads = one("stn28", fraction=0.5, epochs=2), tmp_path / "some.checkpoint", []
    whole = train(config, few)
    _checkpoint(config, few, path)
    step = training._Run._step
    monkeypatch.setattr(
        training._Run, "_step", lambda self, *given: threads.append(torch.get_num_threads()) or step(self, *given)
    )
    torch.set_num_threads(2)
    try:
        resumed = train(config, few, checkpoint=path)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert set(threads) == {1} and same(weights(whole), weights(resumed))
    assert resumed.machines == whole.machines and whole.machines[0]["threads"] == 1


def test_a_training_that_goes_on_elsewhere_says_so(few, tmp_path, monkeypatch):
    path, said = tmp_path / "some.checkpoint", []
    _checkpoint(CHECKED, few, path)
    here = machine.machine("cpu")
    monkeypatch.setattr(checkpoint, "machine", lambda device: {**here, "torch": "another"})
    outcome = train(CHECKED, few, checkpoint=path, say=said.append)
    assert [each["torch"] for each in outcome.machines] == [here["torch"], "another"]
    assert said[:1] == [
        f"Continued on another machine (torch {here['torch']}, now another): the bits differ from those of a training "
        "that was not."
    ]


class _Trap:
    """What a hostile pickle does: run something when it is read."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("write", [lambda trap, file: pickle.dump(trap, file, protocol=2), torch.save])
def test_no_pickle_is_executed(few, tmp_path, write, sealed):
    file = io.BytesIO()
    write(_Trap(tmp_path / "sprung"), file)
    content = file.getvalue()
    path = tmp_path / "some.checkpoint"
    path.write_bytes(files.seal(content) if sealed else content)
    with pytest.raises(ConfigurationError, match=f"{path} is "):
        train(CHECKED, few, checkpoint=path)
    assert not (tmp_path / "sprung").exists()


def test_a_full_disk_stops_the_run_and_keeps_the_last_checkpoint(few, tmp_path, monkeypatch):
    path = tmp_path / "some.checkpoint"
    whole = train(CHECKED, few)
    before = _checkpoint(CHECKED, few, path)

    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(ConfigurationError, match=f"Cannot write {path}: No space left on device"):
        train(CHECKED, few, checkpoint=path, every=0)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert same(weights(whole), weights(train(CHECKED, few, checkpoint=path, every=0)))


# ---- divergence ------------------------------------------------------------------------------------------------------


def test_divergence_is_stopped_with_its_circumstances(few, tmp_path):
    """Weight decay times the learning rate beyond 2 doubles the weights at every step, and more."""
    path = tmp_path / "some.checkpoint"
    stages = (Stage(CLEAR, 1, 0.01), Stage(replace(CLEAR, std=7), 1, 50.0))
    config = replace(one("tutorial", weight_decay=10.0, fraction=1), stages=stages)
    with pytest.raises(Diverged) as stopped:
        train(config, few, checkpoint=path, every=0)
    said = str(stopped.value)
    for words in ("NaN or infinity in", "stage 1", "std=7", "epoch 0", "step ", "learning rate 50", str(path)):
        assert words in said
    run = training._Run(config, few, "cpu", path)
    run.load()  # the last good one
    assert run.stage == 1 and all(p.isfinite().all() for p in run.model.parameters())
    with pytest.raises(Diverged, match="last good checkpoint: none was written"):
        train(config, few)


@pytest.mark.parametrize("where", ["loss", "theta", "weights"])
def test_the_guard_sees_loss_theta_and_weights(few, where):
    run = training._Run(one("stn28"), few, "cpu", None)
    theta = torch.zeros(2, 2, 3)
    run._guard(theta)
    if where == "weights":
        next(run.model.parameters()).data[0] = torch.inf
    else:
        (run.loss if where == "loss" else theta).fill_(torch.nan)
    with pytest.raises(Diverged, match=f"NaN or infinity in {where} at stage 0"):
        run._guard(theta)


def test_steps_and_images_are_counted(few):
    config = one(fraction=0.33, epochs=2)
    assert config.steps(400) == round(400 * 0.33 / 20) and config.images(400) == 2 * config.steps(400) * 20
    assert sum(record["images"] for record in train(config, few).history) == config.images(400)
    assert one(fraction=1e-6).steps(400) == 1


# ---- going on --------------------------------------------------------------------------------------------------------


def test_a_run_goes_on_from_the_weights_it_is_given(few):
    begun = train(one("tutorial"), few)
    still = replace(one("tutorial", lr=1e-9), start=one("tutorial"))  # a rate that moves no float32 weight
    outcome = train(still, few, weights=begun.model.state_dict())
    here, there = weights(outcome), weights(begun)
    assert all(torch.allclose(here[name], there[name], atol=1e-6) for name in here)
    for config, given_weights in ((still, None), (one("tutorial"), begun.model.state_dict())):
        with pytest.raises(ConfigurationError, match="if and only if the training has a start"):
            train(config, few, weights=given_weights)


def test_what_a_run_starts_from_is_part_of_its_content():
    fine = replace(one("tutorial"), start=one("tutorial", lr=0.1))
    assert describe(fine) != describe(one("tutorial"))
    assert describe(fine)["start"]["stages"][0]["lr"] == 0.1
    other = seeded(fine, 7, "mnist")
    assert (other.seed, other.start.seed, other.start.data) == (7, 7, "mnist")
    assert shortened(replace(fine, start=one("tutorial", epochs=9)), 20, 400).start.stages[0].epochs == 1
    with pytest.raises(ConfigurationError, match="a 'lenet' cannot go on as a 'tutorial'"):
        replace(one("tutorial"), start=one("lenet"))
    for model, other in (("lenet", "atn"), ("atn", "lenet"), ("lenet", "lenet")):
        with pytest.raises(ConfigurationError, match=f"a '{other}' cannot go on as a '{model}'"):
            replace(one(model), start=one(other), start_with="localisation")
    with pytest.raises(ConfigurationError, match="start_with='some'"):
        replace(fine, start_with="some")


def test_a_run_may_take_over_the_classifier_alone(few):
    first = one("stn28", options={"classifier": "tutorial"})
    begun = weights(train(first, few))
    config = replace(first, stages=one(lr=1e-9).stages, start=first, start_with="classifier")
    drawn = models.build("stn28", rng.generator("weights", 0), classifier="tutorial").state_dict()
    taken = weights(train(config, few, weights=begun))
    for name, value in taken.items():
        kept = drawn if name.startswith("localisation.") else begun
        assert torch.allclose(value, kept[name], atol=1e-6)
    assert not same(begun, {**begun, **{name: drawn[name] for name in drawn if name.startswith("localisation.")}})
    with pytest.raises(ConfigurationError, match="with other options has other weights"):
        train(replace(config, options={}), few, weights=begun)


@pytest.mark.parametrize("scale", ["free", "fixed"])
def test_an_affine_window_takes_over_where_an_attention_transformer_looks(few, scale):
    small = {"kernels": (4, 4, 4), "hidden": (8,), "zero_start": False}
    scene = Scene128(std=10)
    first = one("atn", scene, options={**small, "scale": scale})
    begun = train(first, few)
    options = {**small, "classifier_kernels": (2, 2), "classifier_hidden": 8}
    config = replace(
        first, model="stn128", options=options, start=first, start_with="localisation", localisation_rate=0.0
    )
    taken = train(config, few, weights=begun.model.state_dict())
    images = evaluation.fixed_stimuli(few.test, scene, 5).images
    assert begun.model(images).theta.std(0)[0, 2] > 1e-4
    assert torch.allclose(taken.model(images).theta, begun.model(images).theta, atol=1e-6)
    with pytest.raises(ConfigurationError, match="same settings, or one that is linear"):
        positive = replace(first, options={**small, "scale": "positive"})
        train(replace(config, start=positive), few, weights=begun.model.state_dict())
