"""Pages written from `book/results/` when the book is rendered: claims, the cost of a sweep, faults tried, the drift
and the changes of results; and on the first page a link to the PDF, if there is one.

Nothing of the library is imported, so the book renders without torch.
"""

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

from docutils import nodes
from sphinx.util import logging

COUNTS, TABLES = "% count of verdicts", "% claims by week"
EXAMPLE, COST = "% example of a sweep", "% cost of a sweep"
FAULTS = "% faults tried"
CHANGES, PDF = "% changes of results", "% the book as one file"
LONG = 160  # letters of a text that changed
DRIFT = "% drift of the chapters"
RUNS, WORKERS = 1000, (2, 16, 100)
VERDICTS = ("confirmed", "refuted", "partly", "open")
KINDS = {
    "experiment": "experiments, decided by trained networks",
    "fact": "facts, counted or read in code",
}
RECORDS = "records of the lab-book that claim nothing"
EVIDENCE = {  # of an open experiment
    "own schedule": "of its own schedule, but not enough, or too close",
    "shortened": "of its own schedule, shortened: a pilot",
    "pilot": "of other trainings: a pilot",
    "none": "none",
}
FILTER = """<div class="claims-filter" role="group" aria-label="Show claims by verdict" hidden></div>
<script>
(() => {
  const group = document.currentScript.previousElementSibling;
  const article = group.closest("article");
  const rows = () => [...article.querySelectorAll("tbody tr")].filter(row => row.querySelector(".claim-id"));
  const verdict = row => row.querySelector(".verdict").textContent;
  document.addEventListener("DOMContentLoaded", () => {
    for (const word of ["all", "confirmed", "refuted", "partly", "open", "no claim"]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `${word} ${rows().filter(row => word === "all" || verdict(row) === word).length}`;
      button.setAttribute("aria-pressed", word === "all");
      button.addEventListener("click", () => {
        for (const each of group.children) each.setAttribute("aria-pressed", each === button);
        for (const row of rows()) row.hidden = word !== "all" && verdict(row) !== word;
        for (const section of article.querySelectorAll("section section")) {
          const inside = rows().filter(row => section.contains(row));
          section.hidden = inside.length > 0 && inside.every(row => row.hidden);
        }
      });
      group.append(button);
    }
    group.hidden = false;
  });
})();
</script>

"""


def result(app, name):
    """The text of a file in book/results/, on which the page then depends."""
    path = Path(app.srcdir, "book", "results", name)
    app.env.note_dependency(str(path))
    return path.read_bytes().decode("utf-8")


def write_claims(app, docname, source):
    """Replace the marks on the page of claims by the count of verdicts and by a table for every week."""
    if TABLES not in source[0]:
        return
    records = json.loads(result(app, "claims.json"))
    source[0] = source[0].replace(COUNTS, counts(records)).replace(TABLES, FILTER + weeks(records))


def claim(name, raw, text, line, inliner, options=None, content=()):
    """A role: a claim's number, which leads to its record."""
    return [nodes.reference(raw, text, refuri=f"claims.html#{text.lower()}", internal=True)], []


def counts(records):
    """How often each verdict was given, a row per kind of claim; and what there is of the open experiments."""
    rows = []
    for kind, words in KINDS.items():
        given = [record["verdict"] for record in records if record["kind"] == kind]
        rows.append([words, *(given.count(verdict) for verdict in VERDICTS), len(given)])
    rows.append(["together", *(sum(row[k] for row in rows) for k in range(1, len(VERDICTS) + 2))])
    nothing = sum(record["kind"] == "record" for record in records)
    decided = [record for record in records if record["kind"] == "experiment" and record["verdict"] != "open"]
    seeds = sorted(len(record["seeds"]) for record in decided)
    said = f"Beside these there are {nothing} {RECORDS}."
    if seeds:
        said += f" The decided experiments rest on {seeds[0]} to {seeds[-1]} seeds of their own schedule."
        before = sum(record["first"] is True for record in decided)
        said += f" Of their rules, {before} of {len(decided)} were committed before the runs that decided."
    left = [each["evidence"] for each in records if (each["kind"], each["verdict"]) == ("experiment", "open")]
    left = table(
        ["evidence of open experiments", "claims"], [[say, left.count(kind)] for kind, say in EVIDENCE.items()]
    )
    return "\n\n".join([table(["claims that are", *map(badge, VERDICTS), "all"], rows), said, left])


def weeks(records):
    """A section for every week."""
    parts = []
    for week in sorted({record["week"] for record in records}):
        rows = [
            [
                f"[{record['id']}]{{.claim-id #{record['id'].lower()}}}",  # pages link to it
                f"{text(record['claim'])}<br>*{text(record['setting'])}*" if record["claim"] else "",
                text(record["stated"]),
                "<br>".join(filter(None, [text(record["measured"]), pilot(record), undecided(record)])) + rule(record),
                badge(record["verdict"]) + evidence(record),
            ]
            for record in records
            if record["week"] == week
        ]
        head = ["", "claim", "stated in 2021", "measured here, and the rule", "verdict, evidence"]
        parts += [f"### Week {week}", table(head, rows)]
    return "\n\n".join(parts)


def evidence(record):
    """The evidence of a verdict: a link to the chapter that judged a claim, what ran, and how many seeds."""
    if not record["chapter"] or record["kind"] == "record":
        return ""
    seeds = f", {len(record['seeds'])} seed{'s' * (len(record['seeds']) > 1)}" if record["seeds"] else ""
    ran = f"<br>{record['evidence']}{seeds}" if record["kind"] == "experiment" and record["evidence"] != "none" else ""
    return f"<br>[{chapter(record['chapter'])}]({record['chapter']}.ipynb){ran}"


def pilot(record):
    """What other trainings say of an open claim, which is not counted."""
    kind = "Shortened schedule" if record["evidence"] == "shortened" else "Pilot"
    return f"{kind}, not counted: {text(record['pilot'])}" if record["pilot"] else ""


TO_DECIDE = "To decide it: "  # in the note of an open claim


def undecided(record):
    """What would decide an open claim, and what that costs."""
    _, mark, cost = record["note"].partition(TO_DECIDE)
    return f"{mark}{text(cost)}." if mark else ""


def rule(record):
    """The rule in words, and since when it stands."""
    note = record["note"].partition(TO_DECIDE)[0].rstrip(". ")
    when = {True: ", before the runs that decided", False: ", after the runs that decided"}.get(record["first"], "")
    since = f" Rule of {record['since'].partition(' ')[2][:10]}{when}." if record["since"] and when else ""
    said = re.sub(r"(?<=\. )[a-z]", lambda first: first[0].upper(), f"{text(note)}.{since}")
    return f'<details class="rule"><summary>rule</summary>{said}</details>' if note else ""


def badge(verdict):
    return f'<span class="verdict verdict-{verdict.replace(" ", "-")}">{verdict}</span>'


def text(value):
    """Plain text in a cell of a Markdown table."""
    return re.sub(r"([\\`*_{}\[\]<>$|~#])", r"\\\1", " ".join(str(value).split()))


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def write_sweeps(app, docname, source):
    """Replace the marks on the page of sweeps by the table of one, and by what it and the book's trainings cost."""
    if COST not in source[0]:
        return
    rows = list(csv.DictReader(io.StringIO(result(app, "sweep.csv"), newline="")))
    trained = [seconds(run) for run in sorted(Path(app.srcdir, "book", "runs").glob("*/*/run.json"))]
    source[0] = source[0].replace(EXAMPLE, example(rows)).replace(COST, cost(rows, trained))


def record(path):
    """A published run, from its `run.json`; the first line is a checksum."""
    return json.loads(path.read_text(encoding="utf-8").partition("\n")[2])


def seconds(path):
    """The training time of a published run."""
    return sum(epoch["seconds"] for epoch in record(path)["history"])


def example(rows):
    """The table of a sweep, without what is long, and without wall-clock seconds, which other work had stretched."""
    left_out = ("answer", "id", "host", "seconds")
    kept = [name for name in rows[0] if not name.endswith("measured") and name not in left_out]
    return table(kept, [[text(row[name]) for name in kept] for row in rows])


def cost(rows, trained):
    """What one execution costs, and a thousand of them."""
    cpu = sum(float(row["cpu_seconds"]) for row in rows) / len(rows)
    memory = max(float(row["peak_mb"]) for row in rows)
    trained = sorted(trained)
    middle = trained[len(trained) // 2]
    said = (
        f"Each of these executions took {cpu:.0f} seconds of one core and at most {memory:.0f} MB of memory. That is "
        f"what an execution costs beside its trainings. The {len(trained)} training runs that are published with this "
        f"book took from {trained[0] / 60:.1f} to {trained[-1] / 60:.0f} minutes of one core, half of them less than "
        f"{middle / 60:.1f} minutes. So {RUNS:,} executions, each with one training of that middle length, take:"
    )
    hours = [RUNS * (cpu + middle) / workers / 3600 for workers in WORKERS]
    head = ["workers, a core each", *map(str, WORKERS)]
    return f"{said}\n\n{table(head, [['hours', *(f'{each:.1f}' for each in hours)]])}"


def write_faults(app, docname, source):
    """Replace the mark on the page of faults by what the campaign found."""
    if FAULTS not in source[0]:
        return
    found = json.loads(result(app, "faults.json"))
    hit = [f"`{row['to']}`" if row["to"].startswith("python") else row["to"] for row in found]
    rows = [[row["fault"], to, row["tried"], row["good"], row["means"]] for row, to in zip(found, hit, strict=True)]
    tried, good = (sum(row[name] for row in found) for name in ("tried", "good"))
    lost = "Nothing was lost and nothing altered was accepted." if tried == good else f"{tried - good} did not."
    said = f"{tried:,} faults were tried, {stamped(found)}; {good:,} ended as they should. {lost}"
    shown = table(["fault", "what was hit", "tried", "good", "good means"], rows)
    source[0] = source[0].replace(FAULTS, f"{said}\n\n{shown}")


def write_changes(app, docname, source):
    """Replace the mark on the page of changes by a table for every day on which results were published."""
    if CHANGES not in source[0]:
        return
    days = {}
    for record in json.loads(result(app, "changes.json")):
        if not rephrased(record):
            row = [f"[{chapter(record['page'])}]({record['page']}.ipynb)", record["what"], change(record)]
            days.setdefault(record["time"][:10], []).append(row)
    tables = [f"## {day}\n\n{table(['page', 'what', 'change'], rows)}" for day, rows in days.items()]
    source[0] = source[0].replace(CHANGES, "\n\n".join(tables))


def chapter(name):
    """A chapter's short name."""
    week = re.match(r"week(\d)", name)
    return f"week {week[1]}" if week else name


def rephrased(record):
    """Whether only words changed, and no number in them."""
    return record["how"] == "words" and len({tuple(re.findall(r"\d+", each)) for each in record["pairs"][0]}) == 1


def change(record, most=6):
    """A change in words: the pairs of numbers, and by how much the first of them moved."""
    pairs, how = record["pairs"], record["how"]
    if how == "verdict":
        why = f" ({text(record['why'])})" if record.get("why") else ""
        return " → ".join(map(badge, pairs[0])) + why
    if how == "words":
        return " → ".join(f"*{text(each)}*" for each in differing(*pairs[0]))
    if how != "numbers":
        return {"published": "published for the first time"}.get(how, how)
    shown = [f"{before} → {after}{moved(before, after)}" for before, after in pairs[:most]]
    return "; ".join(shown) + (f"; and {len(pairs) - most} more" if len(pairs) > most else "")


def differing(before, after, around=4):
    """The middles of two texts, without the words that both begin and end with but for a few."""
    a, b = before.split(), after.split()
    shared = list(takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
    start = max(0, len(shared) - around)
    shared = list(
        takewhile(lambda pair: pair[0] == pair[1], zip(a[: start - 1 : -1], b[: start - 1 : -1], strict=False))
    )
    end = max(0, len(shared) - around)
    return [
        ("… " if start else "")
        + " ".join(words[start : len(words) - end])[:LONG]
        + (" …" if end or len(" ".join(words[start:])) > LONG else "")
        for words in (a, b)
    ]


def moved(before, after):
    a, b = (float(each.replace(",", "")) for each in (before, after))
    decimals = max(len(each.partition(".")[2]) for each in (before, after)) if "e" not in before + after else 0
    return f" ({b - a:+.{decimals}f})" if "e" not in before + after else ""


def write_pdf(app, docname, source):
    """Replace the mark on the first page by a link to the PDF that `make pdf` put beside the pages, or by nothing."""
    if PDF not in source[0]:
        return
    path = Path(app.outdir, "lab-book.pdf")
    app.env.note_dependency(str(path))  # made, or made anew: the page is rendered again
    link = (
        f'<a href="../lab-book.pdf">The whole book as one PDF</a> ({path.stat().st_size / 1e6:.0f} MB).'
        if path.exists()
        else ""
    )
    source[0] = source[0].replace(PDF, link if app.builder.name == "html" else "")


def write_drift(app, docname, source):
    """Replace the mark on the page of drift by a row per chapter, and by the largest differences."""
    if DRIFT not in source[0]:
        return
    records = json.loads(result(app, "drift.json"))
    source[0] = source[0].replace(DRIFT, drift(Path(app.srcdir, "book"), records))


def drift(book, records):
    """What was compared, of which execution, and what differs."""
    rows, differences = [], []
    for record in records:
        page = book / f"{record['chapter']}.ipynb"
        link = f"[{text(record['chapter'])}]({page.name})"
        late = hashlib.sha256(page.read_bytes()).hexdigest() != record["sha256"]
        numbers, pictures = record["numbers"], record["pictures"]
        counts = [[each["equal"], each["within"], each["beyond"]] for each in (numbers, pictures)]
        words = "the same" if not record["words"] else f"differ in {record['words']} outputs"
        name = link + (" (published anew since)" if late else "")
        row = [name, *(f"{each:,}" for each in counts[0]), numbers["times"], " / ".join(map(str, counts[1])), words]
        rows.append([*row, "yes" if record["same_bytes"] else "no"])
        for each in record["largest"]:
            before, after = (text(each[name]) or "nothing" for name in ("published", "fresh"))
            what = f"`{each['cell']}`: {text(each['what'])}"
            differences.append([link, what, before, after, size(each["size"])])
    compared, beyond = (
        sum(record[kind][name] for record in records for kind in ("numbers", "pictures"))
        for name in ("compared", "beyond")
    )
    torch, profiles, runs = (", ".join(sorted({each[k] for each in records})) for k in ("torch", "profile", "runs"))
    differ = f"{beyond or 'none'} {'differs' if beyond == 1 else 'differ'} by more than the tolerance."
    said = (
        f"Executed again {text(stamped(records))}, torch {text(torch)}, profile {profiles}, runs={runs}. "
        f"Of {compared:,} numbers and pictures in {len(records)} chapters, {differ}"
    )
    head = ["chapter", "numbers equal", "within", "beyond", "measured times that differ"]
    head += ["pictures equal / within / beyond", "words", "every byte"]
    parts = [said, table(head, rows)]
    if differences:
        parts += ["The largest differences of each chapter:"]
        parts += [table(["chapter", "where", "published", "again", "difference"], differences)]
    return "\n\n".join(parts)


def size(value):
    """A relative difference in words; what only one of the two shows is written as 1e9."""
    return "only in one" if value >= 1e9 else f"{100 * value:.2g} %"


def stamped(records):
    """When a report was made, of which commits and on which machines, as its records say."""
    dates, commits, machines = (sorted({each[name] for each in records}) for name in ("date", "commit", "machine"))
    when = dates[0] if len(dates) == 1 else f"between {dates[0]} and {dates[-1]}"
    return f"{when} (commit {', '.join(commits)}), on {', '.join(machines)}"


def tell_late(app, error):
    """Say in one line by how many commits the library changed since reports were made, those of the oldest commit."""
    results, late = Path(app.srcdir, "book", "results"), []
    reports = {name: json.loads((results / f"{name}.json").read_bytes()) for name in ("faults", "drift")}
    reports["gpu"] = [json.loads(path.read_bytes())["made"] for path in results.glob("gpu/*.json")]
    for name, records in reports.items():
        counted = [commits_since(app.srcdir, commit) for commit in {each["commit"] for each in records}]
        if most := max(counted, default=0):
            late.append(f"{name} by {most} commit{'s' * (most > 1)}")
    if late:
        print(f"Older than the library: {', '.join(late)}.", file=sys.stderr)


def commits_since(folder, commit):
    """How many commits changed the library since a commit; 0 where that is not known."""
    command = ["git", "-C", folder, "rev-list", "--count", f"{commit}..HEAD", "--", ":/lib"]
    try:
        return int(subprocess.run(command, capture_output=True, check=True).stdout) if commit else 0
    except (OSError, subprocess.CalledProcessError):
        return 0


def check_seals(app):
    """Name every executed chapter that was altered: the checksum in its metadata is of the file with zeros there."""
    for page in sorted(Path(app.srcdir, "book").glob("*.ipynb")):
        content = page.read_bytes()
        seal = json.loads(content)["metadata"].get("sha256")
        if seal and hashlib.sha256(content.replace(seal.encode(), b"0" * 64)).hexdigest() != seal:
            logging.getLogger(__name__).warning("book/%s was altered after its execution", page.name)


def setup(app):
    app.add_role("claim", claim)
    app.connect("builder-inited", check_seals)
    app.connect("build-finished", tell_late)
    app.connect("source-read", write_drift)
    app.connect("source-read", write_claims)
    app.connect("source-read", write_faults)
    app.connect("source-read", write_sweeps)
    app.connect("source-read", write_changes)
    app.connect("source-read", write_pdf)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
