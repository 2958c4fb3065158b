"""The store: runs are found by content, trained once, whole or absent, and never silently altered."""

import errno
import json
import multiprocessing
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from trainings import one, processes

from labbook import digits
from labbook.book import store as runs
from labbook.book.store import Run, Store
from labbook.errors import ConfigurationError
from labbook.identity.description import describe, digest, name_of
from labbook.runtime import files
from labbook.stimuli import Scene28, Scene128
from labbook.training import Paused, Training, train

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
    first = store.get_or_train(SMALL, few)
    again = Store(store.published, store.local)
    second = again.get_or_train(replace(SMALL, momentum=0, seed=0), few)  # equal content, another object
    assert trained == [SMALL] and first == second == again.find(SMALL)
    assert first.training == describe(SMALL) and first.id == name_of(SMALL)
    assert [record["epoch"] for record in first.history] == [0] and first.images == 20
    assert {"device", "python", "torch"} <= set(first.machine)
    assert store.find(replace(SMALL, seed=1)) is None
    assert {"threads", "processor", "deterministic"} <= set(first.machine)
    assert first.data == {"name": "digits", "sha256": few.sha256}
    assert sorted(os.listdir(first.folder)) == ["run.json", "weights.safetensors"]
    assert first.folder == store.local / first.id / first.weights_sha256[:16]
    assert not list(store.local.glob("*.holder"))


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_is_found_anywhere_and_trained_where_it_is_fast(store, few, trained, monkeypatch, fast):
    monkeypatch.setattr(runs.engine, "fast_in_bfloat16", lambda device: fast)
    rough, suited = replace(SMALL, precision="bfloat16"), replace(SMALL, precision="bfloat16" if fast else "float32")
    onwards = replace(rough, start=rough)
    run = store.get_or_train(onwards, few)
    assert trained == [suited, replace(suited, start=suited)] and run.training == describe(trained[-1])
    assert Store(store.published, store.local).get_or_train(onwards, few) == run and len(trained) == 2
    monkeypatch.setattr(runs.engine, "fast_in_bfloat16", lambda device: True)
    found = store.get_or_train(rough, few)  # elsewhere
    monkeypatch.setattr(runs.engine, "fast_in_bfloat16", lambda device: fast)
    assert store.get_or_train(rough, few) == found
    store.get_or_train(replace(onwards, seed=1), few)  # goes on from what is stored, whatever its precision
    assert trained[-1] == replace(suited, start=rough, seed=1)


def test_a_run_that_goes_on_trains_its_start_first_and_once(store, few, trained):
    onwards = replace(one("tutorial", lr=1e-9), start=SMALL)
    run = store.get_or_train(onwards, few)
    assert trained == [SMALL, onwards] and list(store.used) == [store.find(SMALL).id, run.id]
    begun, gone_on = (dict(each.model().named_parameters()) for each in (store.find(SMALL), run))
    assert all(torch.allclose(begun[name], gone_on[name], atol=1e-6) for name in begun)
    start = files.sealed(run.folder / "run.json")["start"]
    assert start == {"run": store.find(SMALL).id, "weights_sha256": store.find(SMALL).weights_sha256}
    Store(store.published, store.local).get_or_train(onwards, few)
    assert len(trained) == 2
    anew = Store(store.published, store.local, reuse=False)
    anew.get_or_train(SMALL, few), anew.get_or_train(onwards, few), anew.get_or_train(onwards, few)
    assert trained[2:] == [SMALL, onwards]


def test_the_model_comes_back_as_it_was_trained(store, few):
    outcome = train(SMALL, few)
    model = store.model(store.get_or_train(SMALL, few))
    theirs = outcome.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())
    image = few.test.images[:3, None] / 255
    assert not model.training and torch.equal(model(image).logits, outcome.model(image).logits)


def test_options_of_the_model_come_back(store, few):
    config = one("stn28", options={"classifier": "tutorial", "bias": False, "padding": 0.5})
    model = store.model(store.get_or_train(config, few))
    assert model.padding == 0.5 and model.localisation.dense2.bias is None


def test_the_first_stored_candidate_wins(store, few, trained):
    long, middle, short = (replace(SMALL, seed=seed) for seed in range(3))
    assert store.get_or_train([long, middle, short], few).training == describe(short)  # the last is trained
    assert trained == [short]
    Store(store.published, store.local).get_or_train(middle, few)
    assert store.get_or_train([long, middle, short], few).training == describe(middle)
    assert trained == [short, middle]


def test_retraining_ignores_what_is_stored(store, few, trained):
    run = store.get_or_train(SMALL, few)
    store.evaluate(run, "answer", lambda model: 42)
    anew = Store(store.published, store.local, reuse=False)
    assert anew.get_or_train(SMALL, few).weights_sha256 == run.weights_sha256 and len(trained) == 2
    assert anew.evaluate(run, "answer", lambda model: 43) == 43
    assert store.evaluate(run, "answer", leave_nothing) == 43


def test_the_published_run_comes_first(store, few, trained):
    run = store.get_or_train(SMALL, few)
    assert not list(store.local.glob("*.checkpoint"))  # kept until the run was stored, and no longer
    runs.publish(store.manifest(), store.local, store.published)
    published = store.published / run.id / run.folder.name
    found = store.find(SMALL)
    assert found.folder == published and found.weights == run.weights  # the local folder alone has the weights
    store.model(run)
    runs.publish(store.manifest(), store.local, store.published)
    assert store.find(SMALL).weights == published / "weights.safetensors"
    elsewhere = Store(store.published, store.local.with_name("empty"))
    assert elsewhere.get_or_train(SMALL, few).history == run.history and len(trained) == 1


def test_stages_are_summed_up(store, few):
    run = store.get_or_train(replace(SMALL, stages=(replace(SMALL.stages[0], epochs=2), SMALL.stages[0])), few)
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


def test_identities_are_those_of_the_content():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(digest({})) == 16


# ---- evaluations -----------------------------------------------------------------------------------------------------


def test_an_evaluation_is_computed_once_per_settings(store, few):
    run = store.get_or_train(SMALL, few)
    counts = []

    def compute(model):
        assert not model.training
        counts.append(1)
        return {"accuracy": 0.5, "n": len(counts)}

    assert store.evaluate(run, "central", compute, n=10, std=0) == {"accuracy": 0.5, "n": 1}
    assert store.evaluate(run, "central", leave_nothing, std=0, n=10) == {"accuracy": 0.5, "n": 1}
    assert store.evaluate(run, "central", compute, n=20, std=0)["n"] == 2
    assert store.evaluate(run, "general", compute, n=10, std=0)["n"] == 3
    other = store.get_or_train(replace(SMALL, seed=1), few)
    assert store.evaluate(other, "central", compute, n=10, std=0)["n"] == 4
    path = next(run.folder.glob("general-*.json"))
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.9"))
    with pytest.raises(ConfigurationError, match=f"{path} is foreign, truncated or altered"):
        store.evaluate(run, "general", leave_nothing, n=10, std=0)


# ---- altered ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spoil", [lambda c: c[:-1], lambda c: c.replace(b'"epoch": 0', b'"epoch": 9'), lambda c: b""])
def test_an_altered_record_is_refused_by_name(store, few, spoil):
    run = store.get_or_train(SMALL, few)
    path = run.folder / "run.json"
    path.write_bytes(spoil(path.read_bytes()))
    for look in (store.find, lambda config: store.get_or_train(config, few)):
        with pytest.raises(ConfigurationError, match=f"{path} is foreign, truncated or altered: expected SHA-256"):
            look(SMALL)


@pytest.mark.parametrize("spoil", [lambda c: c[:-1], lambda c: c[:-1] + bytes([c[-1] ^ 1]), lambda c: b""])
def test_altered_weights_are_refused_by_name(store, few, spoil):
    run = store.get_or_train(SMALL, few)
    path = run.folder / "weights.safetensors"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(
        ConfigurationError, match=f"{path} is truncated or altered: expected SHA-256 {run.weights_sha256}"
    ):
        store.model(run)
    path.unlink()
    with pytest.raises(ConfigurationError, match=f"{path} does not exist: of this run only the metrics are kept"):
        store.model(run)


def _sealed(path: Path, change) -> None:
    """Change what a sealed file says, and seal it again."""
    record = json.loads(files.unseal(path.read_bytes(), path))
    path.write_bytes(files.seal(change if isinstance(change, bytes) else json.dumps(change(record)).encode()))


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("run.json", b"not JSON", "holds no JSON"),
        ("run.json", b"[" * 10**5, "holds no JSON"),
        ("run.json", b"[]", "lacks 'training'"),
        ("run.json", b"7", "lacks 'training'"),
        ("run.json", lambda r: r | {"history": {}}, "lacks 'history', or has it in another form"),
        ("run.json", lambda r: r | {"history": []}, "its history does not fit its configuration"),
        ("run.json", lambda r: r | {"history": [7]}, "its history does not fit its configuration"),
        ("run.json", lambda r: r | {"history": [r["history"][0] | {"images": "20"}]}, "its history does not fit"),
        ("run.json", lambda r: r | {"training": r["training"] | {"seed": 1}}, "its configuration is that of"),
        ("run.json", lambda r: r | {"training": r["training"] | {"sead": 1}}, "sead.* Did you mean 'seed'"),
        ("run.json", lambda r: r | {"weights_sha256": "f" * 64}, "its weights are those of generation ffff"),
        ("run.json", lambda r: r | {"data": {"name": "mnist"}}, "its digits are not those of data='digits'"),
        ("current.json", b"{}", "lacks 'generation'"),
        ("current.json", lambda r: {"generation": "../../x"}, "no generation is named"),
        ("current.json", lambda r: {"generation": "0" * 16}, "points to 0000000000000000, where there is no run.json"),
        ("central-*.json", lambda r: r | {"result": 1} and {**r, "settings": {"n": 11}}, "its name and settings are"),
        ("central-*.json", lambda r: {**r, "evaluation": "general"}, "its name and settings are those of general-"),
        ("central-*.json", lambda r: {**r, "run": "0" * 16}, "it is of the run 0000"),
        ("central-*.json", lambda r: {**r, "weights_sha256": "0" * 64}, "it is of the weights 0000"),
        ("central-*.json", lambda r: {k: v for k, v in r.items() if k != "result"}, "it has no result"),
        ("central-*.json", lambda r: {**r, "version": "1"}, "lacks 'version'"),
    ],
)
def test_a_sealed_file_that_says_something_else_is_one_sentence(store, few, file, change, words):
    run = store.get_or_train(SMALL, few)
    store.evaluate(run, "central", lambda model: 0.5, n=10)
    (path,) = (run.folder.parent if file == "current.json" else run.folder).glob(file)
    _sealed(path, change)
    with pytest.raises(ConfigurationError, match=words) as refused:
        store.evaluate(store.find(SMALL), "central", leave_nothing, n=10)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_a_run_copied_into_the_folder_of_another_is_refused(store, few):
    one, other = (store.get_or_train(replace(SMALL, seed=seed), few) for seed in (0, 1))
    shutil.copytree(other.folder.parent, one.folder.parent, dirs_exist_ok=True)
    with pytest.raises(ConfigurationError, match=f"its configuration is that of {other.id}"):
        store.find(SMALL)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_that_cannot_be_read_is_one_sentence(store, few):
    run = store.get_or_train(SMALL, few)
    (run.folder / "run.json").chmod(0)
    with pytest.raises(ConfigurationError, match=r"Cannot read .*run\.json: Permission denied"):
        store.find(SMALL)


# ---- generations -----------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing catches it."""


def _other_bits(config, *given, **options):
    """Train, with bits that no other training has."""
    outcome = train(config, *given, **options)
    with torch.no_grad():
        next(outcome.model.parameters()).view(-1)[0] = int.from_bytes(os.urandom(2), "big")
    return outcome


def _dying_after(monkeypatch, writes: int) -> None:
    """Let the process die before its next write but so many."""
    left = iter(range(writes))
    replacing = os.replace

    def write(source, target):
        if next(left, None) is None:
            raise Killed
        replacing(source, target)

    monkeypatch.setattr(files.os, "replace", write)


def _read_all(store: Store, few) -> tuple[str, object]:
    """Everything that is known of the run, with the weights that it is of: whole, or the test fails."""
    run = Store(store.published, store.local).find(SMALL)
    first = next(run.model().parameters()).view(-1)[0].item()
    return run.weights_sha256, Store(store.published, store.local).load_result(run, "first") in (first, None)


@pytest.mark.parametrize("root", ["local", "published"])
def test_a_kill_between_any_two_writes_leaves_the_old_or_the_new(store, few, monkeypatch, root):
    """Retraining, evaluating and publishing with bits that differ each time."""
    monkeypatch.setattr(runs, "train", _other_bits)

    def work(reuse: bool) -> None:
        anew = Store(store.published, store.local, reuse)
        run = anew.get_or_train(SMALL, few)
        anew.model(run)
        anew.evaluate(run, "first", lambda model: next(model.parameters()).view(-1)[0].item())
        runs.publish(anew.manifest(), anew.local, anew.published)

    work(True)
    reader = store if root == "local" else Store(store.published, store.local.with_name("none"))
    seen = [_read_all(reader, few)]
    for writes in range(20):
        with monkeypatch.context() as context:
            _dying_after(context, writes)
            try:
                work(False)
                died = False
            except Killed:
                died = True
        seen.append(_read_all(reader, few))
        if not died:
            break
    assert not died and writes >= 8 and all(good for _, good in seen)
    assert len({sha for sha, _ in seen}) >= 2
    assert os.listdir(store.published / name_of(SMALL)) and len(list(store.published.glob("*/*/run.json"))) == 1


def test_an_evaluation_is_of_the_weights_that_it_was_computed_from(store, few, monkeypatch):
    monkeypatch.setattr(runs, "train", _other_bits)
    old = store.get_or_train(SMALL, few)
    store.evaluate(old, "first", lambda model: 1)
    Store(store.published, store.local, reuse=False).get_or_train(SMALL, few)
    again = Store(store.published, store.local)
    new = again.find(SMALL)
    assert new.weights_sha256 != old.weights_sha256 and again.load_result(new, "first") is None
    assert again.load_result(old, "first") == 1 and old.model() is not None  # whoever holds the old one goes on with it


def test_an_evaluation_is_of_the_weights_of_all_its_runs(store, few, monkeypatch):
    where, what = store.get_or_train(SMALL, few), store.get_or_train(replace(SMALL, seed=1), few)
    assert store.evaluate(where, "saccades", lambda model: 1, others=[what], what=what.id) == 1
    assert store.evaluate(where, "saccades", leave_nothing, others=[what], what=what.id) == 1
    monkeypatch.setattr(runs, "train", _other_bits)
    anew = Store(store.published, store.local, reuse=False).get_or_train(replace(SMALL, seed=1), few)
    assert store.load_result(where, "saccades", others=[anew], what=what.id) is None
    assert store.evaluate(where, "saccades", lambda model: 2, others=[anew], what=what.id) == 2


def test_a_run_that_is_there_is_not_replaced_by_equal_bits(store, few, monkeypatch):
    first = store.get_or_train(SMALL, few)
    before = content(first)
    monkeypatch.setattr(runs, "machine", lambda device: {"device": "another"})
    again = Store(store.published, store.local, reuse=False).get_or_train(SMALL, few)
    assert content(first) == before and again == first


@pytest.mark.parametrize("entry", [{"id": "../../etc", "generation": "0" * 16, "weights": True}, {"id": "0" * 16}])
def test_a_manifest_that_names_no_run_is_refused(store, entry):
    with pytest.raises(ConfigurationError, match="names no run of this store"):
        runs.publish([entry], store.local, store.published)
    assert not store.published.exists()


# ---- published -------------------------------------------------------------------------------------------------------


def test_what_is_needed_is_published(store, few):
    shown, counted = store.get_or_train(SMALL, few), store.get_or_train(replace(SMALL, seed=1), few)
    unused = Store(store.published, store.local).get_or_train(replace(SMALL, seed=2), few)
    store.model(shown)
    store.evaluate(counted, "central", lambda model: 0.5)
    manifest = json.loads(json.dumps(store.manifest()))
    assert manifest == [
        {"id": shown.id, "generation": shown.folder.name, "weights": True},
        {"id": counted.id, "generation": counted.folder.name, "weights": False},
    ]
    runs.publish(manifest, store.local, store.published)
    assert sorted(os.listdir(store.published)) == sorted([shown.id, counted.id]) and unused.folder.exists()
    assert sorted(os.listdir(store.published / shown.id)) == sorted(["current.json", shown.folder.name])
    assert sorted(os.listdir(store.published / shown.id / shown.folder.name)) == ["run.json", "weights.safetensors"]
    names = os.listdir(store.published / counted.id / counted.folder.name)
    assert "weights.safetensors" not in names and len(names) == 2
    reader = Store(store.published, store.local.with_name("none"))
    assert reader.evaluate(reader.get_or_train(replace(SMALL, seed=1), few), "central", leave_nothing) == 0.5
    assert reader.model(reader.get_or_train(SMALL, few)) is not None
    assert not reader.local.exists()


def test_heavy_weights_are_not_published(store, few, monkeypatch):
    run = store.get_or_train(SMALL, few)
    store.model(run)
    monkeypatch.setattr(runs, "WEIGHTS_LIMIT", 1000)
    with pytest.raises(ConfigurationError, match=r"weights.safetensors has \d+ bytes; at most 1000 are published"):
        runs.publish(store.manifest(), store.local, store.published)
    assert Store(store.published, store.local.with_name("none")).find(SMALL) is None
    monkeypatch.undo()
    assert runs.WEIGHTS_LIMIT == 5_000_000


# ---- whole or absent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["weights.safetensors", "run.json", "current.json"])
def test_a_full_disk_leaves_no_partial_run(store, few, monkeypatch, file):
    kept = store.get_or_train(replace(SMALL, seed=1), few)
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
        store.get_or_train(SMALL, few)
    monkeypatch.undo()
    assert store.find(SMALL) is None and content(kept) == before
    assert not [path for path in store.local.rglob("*") if path.suffix == ".part" or path.name == "current.json"][1:]
    assert store.get_or_train(SMALL, few) == store.find(SMALL)


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
        store.get_or_train(config, few)
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
        Store(tmp_path / "published", local).get_or_train(SMALL, few)


# ---- several processes -----------------------------------------------------------------------------------------------


def _obtain(folder, number: int, gate) -> None:
    torch.set_num_threads(1)
    parts = [digits.Digits(*part) for part in torch.load(folder / "digits", weights_only=True)]
    store = Store(folder / "published", folder / "local", say=(folder / f"said-{number}").write_text)
    gate.wait()
    run = store.get_or_train(SMALL, digits.DigitSets(*parts, "digits", ""))
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
    said = [path.read_text() for path in tmp_path.glob("said-*")]
    assert sum(line.startswith("stage 1/1") for line in said) == 1  # one of them trained
    assert sum(line.startswith("Waiting for") for line in said) == len(said) - 1


def _obtain_other_bits(folder, number: int, gate, reuse: bool) -> None:
    torch.set_num_threads(1)
    parts = [digits.Digits(*part) for part in torch.load(folder / "digits", weights_only=True)]
    sets = digits.DigitSets(*parts, "digits", "")
    runs.train = _other_bits
    store = Store(folder / "published", folder / "local", reuse)
    gate.wait()
    run = store.get_or_train(SMALL, sets)
    first = next(run.model().parameters()).view(-1)[0].item()
    assert store.evaluate(run, "first", lambda model: next(model.parameters()).view(-1)[0].item()) == first
    gate.wait()
    assert next(run.model().parameters()).view(-1)[0].item() == first  # whatever the others did meanwhile
    (folder / f"got-{number}").write_text(run.weights_sha256)


@pytest.mark.parametrize("reuse", [True, False])
def test_who_comes_second_takes_the_first_ones_result(few, tmp_path, reuse):
    """As on a card, where each process would end in other bits."""
    parts = (few.train, few.validation, few.test)
    torch.save([(part.images, part.labels, part.first) for part in parts], tmp_path / "digits")
    gate = multiprocessing.get_context("forkserver").Barrier(2)
    started = [
        processes().Process(target=_obtain_other_bits, args=(tmp_path, number, gate, reuse)) for number in (0, 1)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0]
    got = {(tmp_path / f"got-{number}").read_text() for number in (0, 1)}
    assert got == {Store(tmp_path / "published", tmp_path / "local").find(SMALL).weights_sha256}


def _hold(folder, gate) -> None:
    with Store(folder / "published", folder / "local")._lock(name_of(SMALL)):
        gate.wait()
        time.sleep(60)


def test_waiting_says_for_whom_and_ends_when_the_holder_is_gone(few, tmp_path):
    gate = multiprocessing.get_context("forkserver").Barrier(2)
    holder = processes().Process(target=_hold, args=(tmp_path, gate))
    holder.start()
    gate.wait()
    said = []

    def say(line):
        said.append(line)
        holder.kill()

    run = Store(tmp_path / "published", tmp_path / "local", say=say).get_or_train(SMALL, few)
    holder.join()
    assert run.weights.exists()
    assert re.fullmatch(
        rf"Waiting for {run.id}, which is being trained by process {holder.pid} on .*, since .* UTC\.", said[0]
    )


def test_waiting_ends_when_the_time_is_up(few, tmp_path):
    gate = multiprocessing.get_context("forkserver").Barrier(2)
    holder = processes().Process(target=_hold, args=(tmp_path, gate))
    holder.start()
    gate.wait()
    store = Store(tmp_path / "published", tmp_path / "local", until=time.monotonic() + 0.2)
    with pytest.raises(Paused, match=f"waiting for {name_of(SMALL)}, .* by process {holder.pid} on"):
        store.get_or_train(SMALL, few)
    holder.kill()
    holder.join()


def test_several_are_trained_in_one_call(store, few, trained):
    onwards = replace(one("tutorial", lr=1e-9), start=SMALL)
    wanted = [replace(SMALL, seed=2), onwards, replace(SMALL, seed=1), replace(SMALL, seed=2)]
    found = store.get_or_train_many(wanted, few)
    assert [run.training for run in found] == [describe(each) for each in wanted]
    assert trained[0] == SMALL and len(trained) == 4 and found[0] == found[3]
    assert store.get_or_train_many(wanted, few) == found and len(trained) == 4


def test_a_killed_writer_leaves_no_run(few, tmp_path):
    """Weights without a record, as a kill between the two writes leaves them, are not a run."""
    store = Store(tmp_path / "published", tmp_path / "local")
    folder = store.local / name_of(SMALL) / "0123456789abcdef"
    files.write(folder / "weights.safetensors", b"half a run")
    assert store.find(SMALL) is None
    run = store.get_or_train(SMALL, few)
    assert store.model(run) is not None


def test_a_run_tells_its_best_epoch_and_its_largest_fall(tmp_path):
    ends = [(0, 0.2), (0, 0.6), (0, 0.5), (1, 0.1), (1, 0.3)]
    history = [{"stage": stage, "accuracy": accuracy} for stage, accuracy in ends]
    run = runs.Run(tmp_path, {}, history, {}, "")
    assert run.best == 0.6
    assert run.fall == pytest.approx(0.1)  # not the 0.4 from one stage to the next, which is another task
    assert replace(run, history=history[:2]).fall == 0


def test_several_are_trained_together_on_a_gpu_and_one_that_is_cut_off_does_not_cost_the_others(
    store, few, monkeypatch
):
    wanted = [replace(SMALL, seed=seed) for seed in range(3)]
    alone = [Store(store.published, store.local / "alone").get_or_train(each, few) for each in wanted]
    together, seen = runs.train_together, []

    def watched(trainings, *given, **options):
        seen.append(len(trainings))
        return together(trainings, *given, **options)

    monkeypatch.setattr(runs, "is_gpu", lambda device: True)
    monkeypatch.setattr(runs, "train_together", watched)
    found = store.get_or_train_many(wanted, few)
    assert [run.weights_sha256 for run in found] == [run.weights_sha256 for run in alone] and seen == [3]

    def cut(trainings, *given, done, **options):
        outcomes = together(trainings[:1], *given[:2], done=done, **{**options, "weights": None})
        return [*outcomes, Paused("somewhere")]

    monkeypatch.setattr(runs, "train_together", cut)
    late = Store(store.published, store.local / "late")
    with pytest.raises(Paused):
        late.get_or_train_many(wanted[:2], few)
    assert late.find(wanted[0]) and not late.find(wanted[1])
