"""Packs: what is written comes back, what is damaged is refused, and nothing in the book is lost."""

import json
import random
import zipfile

import pytest
import torch
from typer.testing import CliRunner

from labbook.book import checkout as book_checkout
from labbook.book import store
from labbook.config import Training
from labbook.curriculum import growing
from labbook.errors import ConfigurationError
from labbook.identity.description import name_of
from labbook.ops import cli, pack
from labbook.runtime import files
from labbook.training import train

NOISE = random.Random(2021)


def noise(n):
    return NOISE.randbytes(n)


def test_what_is_packed_comes_back_in_parts_below_the_limit(tmp_path):
    content = [("session.json", b"{}"), ("runs/a/run.json", b"x" * 10_000), ("runs/a/w.bin", noise(700_000))]
    content += [(f"runs/{k}/run.json", noise(30_000)) for k in range(40)] + [("empty", b"")]
    parts = pack.write(tmp_path / "out", content, limit=400_000, most=8)
    assert [path.name for path in parts] == [f"pack-{k}-of-{len(parts)}.zip" for k in range(1, len(parts) + 1)]
    assert len(parts) <= 6  # of 1.9 MB that cannot be compressed
    assert max(path.stat().st_size for path in parts) <= 400_000
    whole, missing = pack.read(parts)
    assert whole == dict(content) and missing == {}
    assert pack.read(parts[::-1])[0] == whole  # in any order


def test_the_most_valuable_comes_first_and_what_finds_no_room_is_told(tmp_path):
    content = [("a", noise(50_000)), ("b", noise(300_000)), ("c", noise(20_000))]
    [part] = pack.write(tmp_path / "out", content, limit=100_000, most=1)
    assert set(pack.read([part])[0]) == {"a", "c"}
    with zipfile.ZipFile(part) as archive:
        assert json.loads(archive.read("pack.json").partition(b"\n")[2])["left_out"] == ["b"]


def test_a_new_pack_takes_the_place_of_the_old_one(tmp_path):
    (tmp_path / "pack-1-of-9.txt").write_text("another file")
    first = pack.write(tmp_path, [("a", noise(250_000))], limit=100_000)
    second = pack.write(tmp_path, [("a", b"less")], limit=100_000)
    assert len(first) == 3 and [path.name for path in second] == ["pack-1-of-1.zip"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pack-1-of-1.zip", "pack-1-of-9.txt"]


def test_a_part_that_is_missing_is_named_and_the_rest_is_read(tmp_path):
    parts = pack.write(tmp_path, [("large", noise(250_000)), ("small", b"s")], limit=100_000)
    whole, missing = pack.read(parts[:1])
    assert missing == {"large": [2, 3]} and whole == {"small": b"s"}


def damaged(path, how):
    """Return a part with some damage."""
    content = bytearray(path.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    elif how == "a bit":
        content[200] ^= 1  # in the first piece, or in the list
    elif how == "text":
        content = bytearray(b"not a pack")
    elif how == "empty":
        content = bytearray()
    bad = path.with_name(f"bad {how}.zip")
    bad.write_bytes(bytes(content))
    return bad


@pytest.mark.parametrize("how", ["truncated", "a bit", "text", "empty"])
def test_damage_is_refused_in_one_sentence(tmp_path, how):
    [part] = pack.write(tmp_path, [("a", noise(5000))])
    bad = damaged(part, how)
    with pytest.raises(ConfigurationError) as refused:
        pack.read([bad])
    assert str(bad) in str(refused.value) and "\n" not in str(refused.value)


def test_every_flipped_bit_is_refused_or_harmless(tmp_path):
    content = {"a": noise(300), "runs/x/y": b"text"}
    [part] = pack.write(tmp_path, content.items())
    whole = part.read_bytes()
    bad, refused = tmp_path / "bad.zip", 0
    for _ in range(200):
        flipped = bytearray(whole)
        flipped[NOISE.randrange(len(whole))] ^= 1 << NOISE.randrange(8)
        bad.write_bytes(bytes(flipped))
        try:
            assert pack.read([bad])[0] == content  # a time stamp, say
        except ConfigurationError:
            refused += 1
    assert refused > 150


def rewritten(path, change):
    """Return a part whose list is changed, and sealed anew."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["pack.json"].partition(b"\n")[2])
    change(manifest)
    members["pack.json"] = files.seal(json.dumps(manifest).encode())
    bad = path.with_name("rewritten.zip")
    with zipfile.ZipFile(bad, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return bad


def outside(manifest):
    manifest["files"]["../a"] = manifest["files"].pop("a")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda manifest: manifest.update(schema=2), "has pack schema 2; this version reads 1"),
        (lambda manifest: manifest["files"]["a"].update(sha256="0" * 64), "a was altered"),
        (outside, "names a file outside of its own folder"),
        (lambda manifest: manifest.pop("files"), "is no pack, truncated or altered"),
        (lambda manifest: manifest["files"].update(b={"pieces": [[1, 5]], "sha256": "", "bytes": 5}), "truncated or"),
    ],
)
def test_foreign_lists_are_refused(tmp_path, change, said):
    [part] = pack.write(tmp_path, [("a", b"content")])
    with pytest.raises(ConfigurationError, match=said):
        pack.read([rewritten(part, change)])


def test_parts_of_two_packs_are_refused(tmp_path):
    one = pack.write(tmp_path / "one", [("a", b"1")])
    other = pack.write(tmp_path / "other", [("a", b"2")])
    with pytest.raises(ConfigurationError, match="belongs to another pack"):
        pack.read([*one, *other])


# ---- the way back ----------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(few, tmp_path):
    """A store with a run and an evaluation of it."""
    kept = store.Store(tmp_path / "nowhere", tmp_path / "runs")
    training = Training("lenet", growing([0.0], 1, 0.01), data="digits", digits=100)
    run = kept.get_or_train(training, few)
    kept.evaluate(run, "accuracy", lambda model: [1, 2], n=2)
    return kept, training


def packed(kept, tmp_path, change=lambda path, content: content):
    session = b'{"machine": {"device": "a card"}, "trained": {}}'
    content = [("session.json", session)]
    for path in sorted(path for path in kept.local.rglob("*") if path.is_file() and path.suffix != ".lock"):
        content.append((f"runs/{path.relative_to(kept.local).as_posix()}", change(path, path.read_bytes())))
    return pack.write(tmp_path / "pack", content)


def test_a_run_comes_into_the_book_and_is_found_there(trained, tmp_path):
    kept, training = trained
    said = []
    book, local = tmp_path / "book", tmp_path / "local"
    assert pack.bring(packed(kept, tmp_path), book, local, said.append) == [name_of(training)]
    there = store.Store(book / "runs", local)
    run = there.find(training)
    assert run.history == kept.find(training).history and there.load_result(run, "accuracy", n=2) == [1, 2]
    assert all(
        a.equal(b) for a, b in zip(run.model().parameters(), kept.find(training).model().parameters(), strict=True)
    )
    [record] = (book / "results" / "gpu").glob("*.json")
    assert json.loads(record.read_bytes())["machine"]["device"] == "a card"
    before = {path: path.read_bytes() for path in book.rglob("*") if path.is_file()}
    pack.bring(packed(kept, tmp_path), book, local, said.append)  # once more: nothing changes
    assert before == {path: path.read_bytes() for path in book.rglob("*") if path.is_file()}
    assert said[-1] == "1 of 1 runs brought in."


def test_large_weights_go_to_the_local_store_alone(trained, tmp_path, monkeypatch):
    kept, training = trained
    monkeypatch.setattr(store, "WEIGHTS_LIMIT", 1000)
    book, local = tmp_path / "book", tmp_path / "local"
    pack.bring(packed(kept, tmp_path), book, local, lambda line: None)
    assert not list(book.rglob("*.safetensors"))
    assert store.Store(book / "runs", local).find(training).model()
    assert store.Store(book / "runs", tmp_path / "empty").find(training).history


def test_a_run_that_is_there_with_other_weights_stays(trained, few, tmp_path, monkeypatch):
    kept, training = trained
    book, name = tmp_path / "book", name_of(training)
    pack.bring(packed(kept, tmp_path), book, tmp_path / "local", lambda line: None)
    before, said = store.read_run(book / "runs" / name), []
    other = store.Store(tmp_path / "nowhere", tmp_path / "other")
    monkeypatch.setattr(store, "train", lambda *given, **named: changed(train(*given, **named)))
    other.get_or_train(training, few)
    assert pack.bring(packed(other, tmp_path), book, tmp_path / "local", said.append) == []
    assert store.read_run(book / "runs" / name) == before
    assert f"{name} is here already with other weights, which stay." in said


def changed(outcome):
    """Change a bit of the weights, as another machine would."""
    with torch.no_grad():
        next(outcome.model.parameters()).add_(1e-3)
    return outcome


@pytest.mark.parametrize("part", ["run.json", "weights.safetensors", "accuracy-"])
def test_a_run_that_was_altered_before_it_was_packed_is_refused_and_nothing_comes(trained, tmp_path, part):
    def change(path, content):
        return content[:-1] + bytes([content[-1] ^ 1]) if path.name.startswith(part) else content

    parts = packed(trained[0], tmp_path, change)
    with pytest.raises(ConfigurationError):
        pack.bring(parts, tmp_path / "book", tmp_path / "local", lambda line: None)
    assert not (tmp_path / "book").exists()


def test_a_run_under_another_name_is_refused(trained, tmp_path):
    kept, training = trained
    (kept.local / name_of(training)).rename(kept.local / ("0" * 16))
    with pytest.raises(ConfigurationError, match="its configuration is that of"):
        pack.bring(packed(kept, tmp_path), tmp_path / "book", tmp_path / "local", lambda line: None)


def test_the_command_brings_a_pack_in(trained, tmp_path, monkeypatch):
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / book_checkout.TOC).touch()
    monkeypatch.setattr(book_checkout, "root", lambda: tmp_path / "checkout")
    parts = packed(trained[0], tmp_path)
    done = CliRunner().invoke(cli.app, ["import", *map(str, parts)])
    assert done.exit_code == 0 and "1 of 1 runs brought in." in done.output, done.output
    assert store.read_run(tmp_path / "checkout" / "book" / "runs" / name_of(trained[1]))
    missing = CliRunner().invoke(cli.app, ["import", str(tmp_path / "none.zip")])
    assert missing.exit_code == 2 and "none.zip cannot be read" in missing.stderr
