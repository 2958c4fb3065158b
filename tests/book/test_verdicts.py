"""Verdicts on a page: what is looked up in the store, what a record says, and where a rule and a run came from."""

import json
import subprocess
from dataclasses import replace

import pytest

from labbook.book import verdicts
from labbook.book.checkout import root
from labbook.curriculum import growing
from labbook.errors import ConfigurationError
from labbook.experiments import claim as of
from labbook.experiments import claims, week1
from labbook.stimuli import Scene28
from labbook.training import Training

SMALL = Training("tutorial", growing([0], 2, 0.01, Scene28()), fraction=0.1, data="digits")
CLAIM = replace(claims()["C3"], own={"run": replace(SMALL, data="mnist")})


def test_a_page_judges_by_every_stored_seed_and_publishes_what_it_counted(chapter_store, shown):
    chapter_store().get_or_train(SMALL, seeds=[0, 3])
    store = chapter_store()
    verdicts.show(store, [CLAIM], {"C3": "another network reads <90 %."})
    (record,) = json.loads(dict([shown[1]])["claims"])
    assert tuple(record) == tuple(verdicts.RECORD)
    assert (record["id"], record["kind"], record["chapter"]) == ("C3", "experiment", "week1_noisy_stn")
    assert (record["verdict"], record["evidence"], record["seeds"]) == ("open", "own schedule", [0, 3])
    assert record["values"]["best"]["unit"] == "proportion" and len(record["values"]["best"]["seeds"]) == 2
    assert "2 of 3 seeds so far" in record["note"] and record["first"] is None
    assert len(store.runs.used) == 2
    assert "<em>pilot, not counted: another network reads &lt;90&nbsp;%.</em>" in shown[0].replace(" %", "&nbsp;%")


def test_nothing_stored_counts_where_nothing_is_reused(chapter_store, shown):
    chapter_store().get_or_train(SMALL, seeds=[0])
    for profile, runs in (("smoke", "reuse"), ("quick", "retrain")):
        assert verdicts.judge(chapter_store(profile, runs), [CLAIM])[0]["evidence"] == "none"


def test_the_full_profile_trains_what_a_claim_is_about(chapter_store, shown):
    chapter_store().get_or_train(SMALL, seeds=[0])
    (record,) = verdicts.judge(chapter_store("full"), [CLAIM])
    assert record["seeds"] == [0, 1]  # the page has two seeds, of which one was stored


def test_records_facts_and_unknown_pilots(chapter_store, shown):
    store = chapter_store("smoke")
    verdicts.show(store, [claims()["C28"], claims()["C12"]])
    assert [record["verdict"] for record in json.loads(dict([shown[1]])["claims"])] == ["no claim", "confirmed"]
    assert 'class="verdict verdict-no-claim">no claim<' in shown[0]
    with pytest.raises(ConfigurationError, match="There is no claim C99 on this page"):
        verdicts.judge(store, [], {"C99": "x"})


def test_a_number_whose_weights_are_not_stored_is_not_measured(chapter_store, shown, tmp_path):
    run = chapter_store().get_or_train(SMALL, seeds=[0])[0]
    (run.folder / "weights.safetensors").unlink()
    stored = verdicts.Stored(chapter_store())
    for ask in (lambda: stored.accuracy(run, Scene28()), lambda: stored.map(run, Scene28())):
        with pytest.raises(LookupError, match="only the metrics"):
            ask()


def test_history_tells_whether_a_rule_came_before_its_result(tmp_path, monkeypatch):
    def git(*words, when="2026-01-01T00:00:00Z"):
        env = {"GIT_COMMITTER_DATE": when, "GIT_AUTHOR_DATE": when, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        names = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", tmp_path, *names, *words], check=True, capture_output=True, env=env)

    def add(path, text, when):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
        git("add", "-A")
        git("commit", "-m", "x", when=when)

    git("init", "-b", "main")
    monkeypatch.setattr(of, "LOCKS", tmp_path / "rules.json")
    add("book/runs/0123456789abcdef/run.json", "{}", "2026-01-01T00:00:00Z")
    add("rules.json", json.dumps({"C3": {"lock": "a", "changes": []}}), "2026-01-02T00:00:00Z")
    add("rules.json", json.dumps({"C3": {"lock": "b", "changes": []}}), "2026-01-03T00:00:00Z")
    add("book/runs/fedcba9876543210/1/run.json", "{}", "2026-01-04T00:00:00Z")
    assert verdicts.introduced("C3", ["a", "b"], tmp_path).endswith(" 2026-01-02T00:00:00+00:00")
    assert verdicts.introduced("C3", ["b"], tmp_path).endswith(" 2026-01-03T00:00:00+00:00")
    assert verdicts.introduced("C3", ["c"], tmp_path) == ""
    assert verdicts.added_at("0123456789abcdef", tmp_path) == "2026-01-01T00:00:00+00:00"
    assert verdicts.added_at("fedcba9876543210", tmp_path) == "2026-01-04T00:00:00+00:00"


def test_without_history_nothing_is_said_of_it(tmp_path):
    assert verdicts.introduced("C3", ["a"], tmp_path) == verdicts.added_at("0", tmp_path) == ""


def test_the_rules_of_this_repository_are_committed():
    done = subprocess.run(["git", "-C", root(), "status"], capture_output=True, check=False)
    if done.returncode == 0:
        claim = week1.CLAIMS[0]
        assert verdicts.introduced(claim.name, [claim.lock], root())
