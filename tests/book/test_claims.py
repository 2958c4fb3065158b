"""The ledger of claims, and the one file into which the chapters' records are collected."""

import json

import nbformat
import pytest
from chapters import written_pages

from labbook.book import claims, outcome
from labbook.errors import ConfigurationError
from labbook.runtime import files

EVERY = [*(f"C{number}" for number in range(1, 89)), *(f"R{number}" for number in range(1, 7))]


def judgement(name, **changes):
    known = claims.claims().get(name, {"week": 1, "claim": "", "setting": "", "stated": ""})
    given = {"measured": "90 %", "verdict": "confirmed", "seeds": [0], "chapter": "week1_a", "note": "above 80 %"}
    given |= {"evidence": "own schedule", "first": True, "since": "abc 2026-11-27T13:03:05+00:00"}
    return claims.DEFAULTS | {"id": name, **known} | given | changes


def publish(book, name, *records):
    """Write an executed chapter that glued these records, as myst_nb stores them."""
    kept = {"application/papermill.record/text/plain": repr(json.dumps(records))}
    output = nbformat.v4.new_output("display_data", kept, metadata={"scrapbook": {"name": "claims"}})
    cell = nbformat.v4.new_code_cell("page.verdicts()", id="verdicts", outputs=[output])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbformat.write(notebook, book / f"{name}.ipynb")
    outcome.write(notebook, name, book)


def test_the_ledger_holds_claims_of_the_study_in_their_order_and_weeks():
    known = claims.claims()
    assert list(claims.WEEKS) == EVERY
    assert list(known) == [name for name in EVERY if name in known]
    weeks = [(1, "C1", "C5"), (2, "C6", "C17"), (3, "C18", "C22"), (4, "C23", "C51"), (5, "C52", "C56")]
    for week, first, last in [*weeks, (6, "C57", "C77"), (7, "C78", "C85"), (8, "C86", "C88"), (8, "R1", "R6")]:
        named = EVERY[EVERY.index(first) : EVERY.index(last) + 1]
        assert {claims.WEEKS[name] for name in named} == {week}
    for name, claim in known.items():
        assert claim["week"] == claims.WEEKS[name]
        assert claim["claim"] and claim["setting"] and claim["stated"]
        assert set(claim) <= {"week", "chapter", "claim", "setting", "stated"}


def test_every_claim_has_one_record_whoever_judged_it(tmp_path):
    publish(tmp_path, "week7_b", judgement("C78", verdict="refuted", chapter="week7_b"))
    publish(tmp_path, "week1_a", judgement("C2"), judgement("C1", kind="fact"))
    (tmp_path / "notes.md").write_text("no notebook")
    records = claims.collect(tmp_path)
    assert [record["id"] for record in records] == EVERY
    assert all(tuple(record) == tuple(claims.DEFAULTS) for record in records)
    by_id = {record["id"]: record for record in records}
    assert by_id["C1"]["kind"] == "fact"
    assert by_id["C78"] == judgement("C78", verdict="refuted", chapter="week7_b", kind="experiment")
    left = [record for record in records if record["id"] not in ("C1", "C2", "C78")]
    assert {record["verdict"] for record in left} == {"open"} and all(record["note"] for record in left)
    assert by_id["R5"]["chapter"] == "week8_benchmark" and "not published yet" in by_id["R5"]["note"]


def test_the_file_is_the_same_at_every_writing(tmp_path):
    publish(tmp_path, "week1_a", judgement("C2", measured="94 % – “noisy”"))
    first = claims.write(tmp_path).read_bytes()
    assert claims.write(tmp_path).read_bytes() == first == claims.content(tmp_path)
    assert json.loads(first) == claims.collect(tmp_path)
    assert "94 % – “noisy”" in first.decode()
    assert first.count(b"\n") == len(EVERY) + 2  # a line per claim, so that a change reads as one


def test_contradictions_are_refused(tmp_path):
    publish(tmp_path, "week1_a", judgement("C2"))
    publish(tmp_path, "week2_b", judgement("C2", chapter="week2_b"))
    with pytest.raises(ConfigurationError, match="C2 is judged twice, by week1_a and by week2_b"):
        claims.collect(tmp_path)
    publish(tmp_path, "week2_b", judgement("C99"))
    with pytest.raises(ConfigurationError, match="week2_b judges 'C99'; claims are C1 to C88"):
        claims.write(tmp_path)
    (tmp_path / "results" / "week2_b.json").write_text('{"claims": [')
    with pytest.raises(ConfigurationError, match=r"week2_b\.json is no outcome of a chapter"):
        claims.write(tmp_path)
    assert not (tmp_path / "results" / "claims.json").exists()


def test_the_cost_of_a_thousand_executions_follows_from_that_of_one(tmp_path):
    rows = [{"cpu_seconds": "20", "peak_mb": "600.0"}, {"cpu_seconds": "40", "peak_mb": "700.4"}]
    said = written_pages().cost(rows, [600, 60, 330])
    assert "took 30 seconds of one core and at most 700 MB" in said
    assert "from 1.0 to 10 minutes of one core, half of them less than 5.5 minutes" in said
    assert said.splitlines()[-1] == "| hours | 50.0 | 6.2 | 1.0 |"  # 1000 (30 + 330) s = 100 h of one core
    path = tmp_path / "run.json"
    path.write_bytes(files.seal(json.dumps({"history": [{"seconds": 1.5}, {"seconds": 2}]}).encode()))
    assert written_pages().seconds(path) == 3.5


def test_the_page_counts_links_and_leaves_no_markup_loose(tmp_path):
    page = written_pages()
    publish(
        tmp_path, "week1_a", judgement("C1", measured="a|b <i> $x$ *y*", seeds=[0, 1]), judgement("C2", first=False)
    )
    records = claims.collect(tmp_path)
    counted = page.counts(records).splitlines()
    assert counted[4].replace(" ", "") == "|together|2|0|0|92|94|"
    assert "there are 0 records of the lab-book that claim nothing" in counted[6]
    assert "rest on 1 to 2 seeds of their own schedule" in counted[6] and "1 of 2 were committed" in counted[6]
    assert counted[-1].replace(" ", "") == "|none|92|"
    weeks = page.weeks(records)
    assert weeks.count("]{.claim-id #") == 94 and weeks.count("### Week") == 8
    row = next(line for line in weeks.splitlines() if "[C1]" in line)
    assert r"a\|b \<i\> \$x\$ \*y\*" in row
    assert "[week 1](week1_a.ipynb)<br>own schedule, 2 seeds" in row
    assert "</summary>above 80 %. Rule of 2026-11-27, before the runs that decided.</details>" in row
    assert "(week1_a.ipynb)" not in next(line for line in weeks.splitlines() if "[C3]" in line)


def test_a_pilot_and_a_record_are_told_apart_from_evidence(tmp_path):
    page = written_pages()
    piloted = judgement("C1", verdict="open", evidence="pilot", pilot="a net <b> reads 90 %.", seeds=[], measured="")
    publish(
        tmp_path, "week1_a", piloted, judgement("C28", verdict="no claim", kind="record", evidence="none", note="x")
    )
    records = claims.collect(tmp_path)
    assert "there are 1 records of the lab-book that claim nothing" in page.counts(records)
    rows = {
        name: next(line for line in page.weeks(records).splitlines() if f"[{name}]" in line) for name in ("C1", "C28")
    }
    assert r"Pilot, not counted: a net \<b\> reads 90 %." in rows["C1"] and "<br>pilot" in rows["C1"]
    assert 'class="verdict verdict-no-claim">no claim</span> |' in rows["C28"]


def test_what_would_decide_an_open_claim_stands_beside_its_folded_rule():
    page, record = written_pages(), {"since": "", "first": None}
    record["note"] = "Confirmed if a. 1 of 3 seeds so far. To decide it: 2 seeds, 13 hours"
    assert page.undecided(record) == "To decide it: 2 seeds, 13 hours."
    assert "so far.</details>" in page.rule(record) and "13 hours" not in page.rule(record)
    assert not page.undecided(record | {"note": "Confirmed if a"})
