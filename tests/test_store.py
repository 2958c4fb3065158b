"""The store: runs are found by content, trained once, whole or absent, and never silently altered."""

import errno
import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_training import one, processes

from labbook import digits, files
from labbook.book import store as runs
from labbook.book.store import Run, Store
from labbook.config import describe, digest, name_of
from labbook.errors import ConfigurationError
from labbook.stimuli import Scene28, Scene128
from labbook.training import Training, train

SMALL = one("tutorial")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "published", tmp_path / "local")


@pytest.fixture
def trained(monkeypatch) -> list[Training]:
    """The configurations that were really trained."""
    seen = []
    monkeypatch.setattr(
        runs, "train", lambda config, *given, **options: seen.append(config) or train(config, *given, **options)
    )
    return seen


def leave_nothing(*given, **options):
    pytest.fail("something was computed")


def content(run: runs.Run, name: str = "run.json") -> bytes:
    return (run.folder / name).read_bytes()


# ---- found again -----------------------------------------------------------------------------------------------------


def test_a_run_is_trained_once_and_found_again(store, few, trained):
    assert store.find(SMALL) is None
    first = store.obtain(SMALL, few)
    again = Store(store.published, store.local)
    second = again.obtain(replace(SMALL, momentum=0, seed=0), few)  # equal content, another object
    assert trained == [SMALL] and first == second == again.find(SMALL)
    assert first.training == SMALL.describe() and first.id == name_of(SMALL)
    assert [record["epoch"] for record in first.history] == [0] and first.images == 20
    assert {"device", "python", "torch"} <= set(first.machine)
    assert store.find(replace(SMALL, seed=1)) is None
    assert sorted(os.listdir(first.folder)) == ["run.json", "weights.safetensors"]


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_is_found_anywhere_and_trained_where_it_is_fast(store, few, trained, monkeypatch, fast):
    monkeypatch.setattr(runs.models, "fast_in_bfloat16", lambda device: fast)
    rough, suited = replace(SMALL, precision="bfloat16"), replace(SMALL, precision="bfloat16" if fast else "float32")
    onwards = replace(rough, start=rough)
    run = store.obtain(onwards, few)
    assert trained == [suited, replace(suited, start=suited)] and run.training == trained[-1].describe()
    assert Store(store.published, store.local).obtain(onwards, few) == run and len(trained) == 2
    monkeypatch.setattr(runs.models, "fast_in_bfloat16", lambda device: True)
    found = store.obtain(rough, few)  # elsewhere
    monkeypatch.setattr(runs.models, "fast_in_bfloat16", lambda device: fast)
    assert store.obtain(rough, few) == found
    store.obtain(replace(onwards, seed=1), few)  # goes on from what is stored, whatever its precision
    assert trained[-1] == replace(suited, start=rough, seed=1)


def test_a_run_that_goes_on_trains_its_start_first_and_once(store, few, trained):
    onwards = replace(one("tutorial", lr=1e-9), start=SMALL)
    run = store.obtain(onwards, few)
    assert trained == [SMALL, onwards] and list(store.used) == [store.find(SMALL).id, run.id]
    begun, gone_on = (dict(each.model().named_parameters()) for each in (store.find(SMALL), run))
    assert all(torch.allclose(begun[name], gone_on[name], atol=1e-6) for name in begun)
    Store(store.published, store.local).obtain(onwards, few)
    assert len(trained) == 2
    anew = Store(store.published, store.local, reuse=False)
    anew.obtain(SMALL, few), anew.obtain(onwards, few), anew.obtain(onwards, few)
    assert trained[2:] == [SMALL, onwards]


def test_the_model_comes_back_as_it_was_trained(store, few):
    outcome = train(SMALL, few)
    model = store.model(store.obtain(SMALL, few))
    theirs = outcome.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())
    image = few.test.images[:3, None] / 255
    assert not model.training and torch.equal(model(image).logits, outcome.model(image).logits)


def test_options_of_the_model_come_back(store, few):
    config = one("stn28", options={"classifier": "tutorial", "bias": False, "padding": 0.5})
    model = store.model(store.obtain(config, few))
    assert model.padding == 0.5 and model.localisation.dense2.bias is None


def test_the_first_stored_candidate_wins(store, few, trained):
    long, middle, short = (replace(SMALL, seed=seed) for seed in range(3))
    assert store.obtain([long, middle, short], few).training == short.describe()  # the last is trained
    assert trained == [short]
    Store(store.published, store.local).obtain(middle, few)
    assert store.obtain([long, middle, short], few).training == middle.describe()
    assert trained == [short, middle]


def test_retraining_ignores_what_is_stored(store, few, trained):
    run = store.obtain(SMALL, few)
    store.evaluate(run, "answer", lambda model: 42)
    anew = Store(store.published, store.local, reuse=False)
    assert anew.obtain(SMALL, few).weights_sha256 == run.weights_sha256 and len(trained) == 2
    assert anew.evaluate(run, "answer", lambda model: 43) == 43
    assert store.evaluate(run, "answer", leave_nothing) == 43


def test_the_published_run_comes_first(store, few, trained):
    run = store.obtain(SMALL, few)
    assert not list(store.local.glob("*.checkpoint"))  # kept until the run was stored, and no longer
    runs.publish(store.manifest(), store.local, store.published)
    assert store.find(SMALL).folder == store.local / run.id  # it alone has the weights
    store.model(run)
    runs.publish(store.manifest(), store.local, store.published)
    assert store.find(SMALL).folder == store.published / run.id
    elsewhere = Store(store.published, store.local.with_name("empty"))
    assert elsewhere.obtain(SMALL, few).history == run.history and len(trained) == 1


def test_stages_are_summed_up(store, few):
    run = store.obtain(replace(SMALL, stages=(replace(SMALL.stages[0], epochs=2), SMALL.stages[0])), few)
    assert [(record["stage"], record["epoch"]) for record in run.last_of_stages()] == [(0, 1), (1, 0)]
    assert run.images == 60 and run.seconds == pytest.approx(sum(record["seconds"] for record in run.history))


def test_a_run_is_measured_in_pixels_of_its_own_field():
    mean = [-0.5, 0, 0.3, 0, -0.5, 0.4]
    far = {"accuracy": 0.5, "theta": {"mean": mean, "spread": [0, 0, 0.3, 0, 0, 0.4], "follow": [0.2, 0.4]}}
    near = {"accuracy": 0.9, "theta": {"spread": [0, 0, 0.1, 0, 0, 0.1], "follow": [1.0, 0.0]}}

    def run(model, scene):
        return Run(Path("run"), describe(one(model, scene)), [near, far], {}, "")

    small, large = run("stn28", Scene28()), run("stn128", Scene128())
    assert small.measure("spread") == pytest.approx(0.125**0.5 * 14)
    assert large.measure("spread") == pytest.approx(0.125**0.5 * 64)
    assert large.measure("spread", near) == pytest.approx(6.4)
    assert large.measure("displacement") == pytest.approx(0.5 * 64)
    assert large.measure("scale") == small.measure("scale") == -0.5
    assert small.measure("follow") == pytest.approx(0.3) and small.measure("accuracy") == 0.5


def test_a_fall_is_between_epochs_of_one_stage():
    course = ((0, 0.5), (0, 0.9), (1, 0.3), (1, 0.2), (1, 0.6))  # what the next stage costs is no fall
    run = Run(Path("run"), {}, [{"stage": stage, "accuracy": accuracy} for stage, accuracy in course], {}, "")
    assert run.fall == pytest.approx(0.1)
    assert [record["accuracy"] for record in run.around_the_fall()] == [0.3, 0.2]


def test_identities_are_those_of_the_content():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(digest({})) == 16


# ---- evaluations -----------------------------------------------------------------------------------------------------


def test_an_evaluation_is_computed_once_per_settings(store, few):
    run = store.obtain(SMALL, few)
    counts = []

    def compute(model):
        assert not model.training
        counts.append(1)
        return {"accuracy": 0.5, "n": len(counts)}

    assert store.evaluate(run, "central", compute, n=10, std=0) == {"accuracy": 0.5, "n": 1}
    assert store.evaluate(run, "central", leave_nothing, std=0, n=10) == {"accuracy": 0.5, "n": 1}
    assert store.evaluate(run, "central", compute, n=20, std=0)["n"] == 2
    assert store.evaluate(run, "general", compute, n=10, std=0)["n"] == 3
    other = store.obtain(replace(SMALL, seed=1), few)
    assert store.evaluate(other, "central", compute, n=10, std=0)["n"] == 4
    path = next(run.folder.glob("general-*.json"))
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.9"))
    with pytest.raises(ConfigurationError, match=f"{path} is foreign, truncated or altered"):
        store.evaluate(run, "general", leave_nothing, n=10, std=0)


# ---- altered ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spoil", [lambda c: c[:-1], lambda c: c.replace(b'"epoch": 0', b'"epoch": 9'), lambda c: b""])
def test_an_altered_record_is_refused_by_name(store, few, spoil):
    run = store.obtain(SMALL, few)
    path = run.folder / "run.json"
    path.write_bytes(spoil(path.read_bytes()))
    for look in (store.find, lambda config: store.obtain(config, few)):
        with pytest.raises(ConfigurationError, match=f"{path} is foreign, truncated or altered: expected SHA-256"):
            look(SMALL)


@pytest.mark.parametrize("spoil", [lambda c: c[:-1], lambda c: c[:-1] + bytes([c[-1] ^ 1]), lambda c: b""])
def test_altered_weights_are_refused_by_name(store, few, spoil):
    run = store.obtain(SMALL, few)
    path = run.folder / "weights.safetensors"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(
        ConfigurationError, match=f"{path} is truncated or altered: expected SHA-256 {run.weights_sha256}"
    ):
        store.model(run)
    path.unlink()
    with pytest.raises(ConfigurationError, match=f"{path} does not exist: of this run only the metrics are kept"):
        store.model(run)


# ---- published -------------------------------------------------------------------------------------------------------


def test_what_is_needed_is_published(store, few):
    shown, counted = store.obtain(SMALL, few), store.obtain(replace(SMALL, seed=1), few)
    unused = Store(store.published, store.local).obtain(replace(SMALL, seed=2), few)
    store.model(shown)
    store.evaluate(counted, "central", lambda model: 0.5)
    manifest = json.loads(json.dumps(store.manifest()))
    assert manifest == [{"id": shown.id, "weights": True}, {"id": counted.id, "weights": False}]
    runs.publish(manifest, store.local, store.published)
    assert sorted(os.listdir(store.published)) == sorted([shown.id, counted.id]) and unused.folder.exists()
    assert sorted(os.listdir(store.published / shown.id)) == ["run.json", "weights.safetensors"]
    names = os.listdir(store.published / counted.id)
    assert "weights.safetensors" not in names and len(names) == 2
    reader = Store(store.published, store.local.with_name("none"))
    assert reader.evaluate(reader.obtain(replace(SMALL, seed=1), few), "central", leave_nothing) == 0.5
    assert reader.model(reader.obtain(SMALL, few)) is not None
    assert not reader.local.exists()


def test_heavy_weights_are_not_published(store, few, monkeypatch):
    run = store.obtain(SMALL, few)
    store.model(run)
    monkeypatch.setattr(runs, "WEIGHTS_LIMIT", 1000)
    with pytest.raises(ConfigurationError, match=r"weights.safetensors has \d+ bytes; at most 1000 are published"):
        runs.publish(store.manifest(), store.local, store.published)
    assert Store(store.published, store.local.with_name("none")).find(SMALL) is None
    monkeypatch.undo()
    assert runs.WEIGHTS_LIMIT == 5_000_000


# ---- whole or absent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["weights.safetensors", "run.json"])
def test_a_full_disk_leaves_no_partial_run(store, few, monkeypatch, file):
    kept = store.obtain(replace(SMALL, seed=1), few)
    before = content(kept)
    replacing = os.replace

    def full(source, target):
        if os.path.basename(target) == file:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replacing(source, target)

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(
        ConfigurationError, match=f"Cannot write .*{file}: No space left on device; nothing was changed"
    ):
        store.obtain(SMALL, few)
    monkeypatch.undo()
    assert store.find(SMALL) is None and content(kept) == before
    assert not [path for path in store.local.rglob("*") if path.suffix == ".part" or path.name == "run.json"][1:]
    assert store.obtain(SMALL, few) == store.find(SMALL)


def test_a_disk_full_at_the_very_end_loses_no_training(store, few, monkeypatch):
    """The last checkpoint stays until run.json is written."""
    monkeypatch.setattr(runs, "train", lambda *given, **options: train(*given, **{**options, "every": 0}))
    config = one("tutorial", epochs=3)

    def full(path, content, write=files.write):
        if path.name == "weights.safetensors":
            raise ConfigurationError("full")
        write(path, content)

    monkeypatch.setattr(runs.files, "write", full)
    with pytest.raises(ConfigurationError, match="full"):
        store.obtain(config, few)
    assert list(store.local.glob("*.checkpoint"))


@pytest.mark.parametrize("broken", ["a file", "a full disk"])
def test_a_store_that_cannot_be_written_is_one_sentence(tmp_path, few, monkeypatch, broken):
    local = tmp_path / "local"
    if broken == "a file":
        local.write_text("in the way")
    else:

        def full(*given, **options):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(runs.Path, "mkdir", full)
    with pytest.raises(ConfigurationError, match="local"):
        Store(tmp_path / "published", local).obtain(SMALL, few)


# ---- several processes -----------------------------------------------------------------------------------------------


def _obtain(folder, number: int, gate) -> None:
    torch.set_num_threads(1)
    parts = [digits.Digits(*part) for part in torch.load(folder / "digits", weights_only=True)]
    store = Store(folder / "published", folder / "local", say=(folder / f"said-{number}").write_text)
    gate.wait()
    run = store.obtain(SMALL, digits.DigitSets(*parts, "digits", ""))
    store.model(run)
    (folder / f"got-{number}").write_text(f"{run.id} {run.weights_sha256}")


def test_processes_that_want_the_same_run_train_it_once(few, tmp_path):
    parts = (few.train, few.validation, few.test)
    torch.save([(part.images, part.labels, part.first) for part in parts], tmp_path / "digits")
    gate = multiprocessing.get_context("forkserver").Barrier(3)
    started = [processes().Process(target=_obtain, args=(tmp_path, number, gate)) for number in range(3)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0, 0]
    got = {(tmp_path / f"got-{number}").read_text() for number in range(3)}
    assert len(got) == 1 and name_of(SMALL) in got.pop()
    assert len(list(tmp_path.glob("said-*"))) == 1  # one of them trained


def test_a_killed_writer_leaves_no_run(few, tmp_path):
    """Weights without a record, as a kill between the two writes leaves them, are not a run."""
    store = Store(tmp_path / "published", tmp_path / "local")
    folder = store.local / name_of(SMALL)
    files.write(folder / "weights.safetensors", b"half a run")
    assert store.find(SMALL) is None
    run = store.obtain(SMALL, few)
    assert store.model(run) is not None


def test_a_run_tells_its_best_epoch_and_its_largest_fall(tmp_path):
    ends = [(0, 0.2), (0, 0.6), (0, 0.5), (1, 0.1), (1, 0.3)]
    history = [{"stage": stage, "accuracy": accuracy} for stage, accuracy in ends]
    run = runs.Run(tmp_path, {}, history, {}, "")
    assert run.best == 0.6
    assert run.fall == pytest.approx(0.1)  # not the 0.4 from one stage to the next, which is another task
    assert replace(run, history=history[:2]).fall == 0
