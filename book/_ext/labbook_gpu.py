"""The page on the whole schedules, written from `book/results/full.json` and the published runs when it is rendered.

Nothing of the library is imported, so the book renders without torch.
"""

import ast
import hashlib
import json
import re
from pathlib import Path

from labbook_results import chapter, record, result, table, text

SAID, CHECKS, TIMINGS = "% what was rehearsed", "% checks of the device", "% timings and targets"
TRAINED, COVERED = "% schedules trained", "% which results are shortened"
TITLES = {
    "stn128": "STN 128",
    "atn": "attention transformer",
    "polo": "polo-STN",
    "stn28": "STN 28",
    "conv_polo": "convolutional polo-STN",
    "lenet": "What pathway",
    "what": "What pathway",
    "where": "Where pathway",
    "searcher": "searcher",
    "downsampled": "downsampled LeNet",
    "one_window": "one window for all inputs",
}
TEACHERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
WHOLE = 0.999  # a share above it is a whole schedule
BANNER = re.compile(r'<div class=\\?"banner banner-short\\?"><p>(.*?)</p>')


def write_gpu(app, docname, source):
    """Replace the marks on the page."""
    if COVERED not in source[0]:
        return
    full = json.loads(result(app, "full.json"))
    book = Path(app.srcdir, "book")
    for path in (*book.glob("*.ipynb"), *book.glob("runs/*/*/run.json")):
        app.env.note_dependency(str(path))
    made = {SAID: said, CHECKS: checks, TIMINGS: timings, TRAINED: trained}
    for mark, write in made.items():
        source[0] = source[0].replace(mark, write(full))
    source[0] = source[0].replace(COVERED, covered(full, coverage(full, book), notices(book)))


def percent(share):
    """A share with two significant digits: 100 %, 12 %, 0.80 %."""
    shown = 100 * share
    return f"{shown:.0f} %" if shown >= 9.5 else f"{shown:.2g} %"


def said(full):
    """Where and how long the record was made, in a few sentences."""
    machine, pieces = full["machine"], full["pieces"]
    minutes = sum(piece["seconds"] for piece in pieces) / 60
    training = sum(each["seconds"] for each in full["trained"].values()) / 60
    kind, meaning = "The schedules were trained whole", ""
    if full["share"] < 1:
        kind = f"This was a **rehearsal with {percent(full['share'])}** of each schedule"
        meaning = " Its accuracies mean nothing; it shows that every part of the work runs, stops and goes on."
    left = f" Not finished: {', '.join(full['left'])}." if full["left"] else ""
    spent = f"{minutes:.0f} minutes and {len(pieces)} piece{'s' * (len(pieces) > 1)}"
    return (
        f"{kind}, on {machine['device']} ({machine['processor']}, torch {machine['torch']}), in {spent}; "
        f"{training:.0f} minutes went into training.{left}{meaning}"
    )


def checks(full):
    """What was compared, what differed, and what is allowed."""
    kinds = {}
    for part, found in full["checks"].items():
        for each in found["rows"]:
            kinds.setdefault((each["what"], each["allowed"]), []).append(
                (part.removeprefix("steps of "), each["difference"])
            )
    rows = [
        [
            text(what),
            text(", ".join(part for part, _ in found)),
            f"{max(value for _, value in found):.2g}",
            f"{allowed:.2g}",
        ]
        for (what, allowed), found in kinds.items()
    ]
    twice = {part: found for part, found in full["checks"].items() if "same" in found}
    equal = [part.removeprefix("steps of ") for part, found in twice.items() if found["same"]]
    lines = [f"Twenty steps, done twice, gave equal weights for {len(equal)} of {len(twice)} schedules."]
    lines += [
        f"{part.removeprefix('steps of ')} did not: {text('; '.join(found['reasons']) or 'PyTorch names no reason')}."
        for part, found in twice.items()
        if not found["same"]
    ]
    return f"{table(['what', 'of', 'largest difference', 'allowed'], rows)}\n\n{' '.join(lines)}"


def timings(full):
    """Speeds beside their targets; then what a training step asks of any device."""
    found = full["timings"]
    speeds, steps = [], []
    for name, each in found["training"].items():
        whole, target = full["whole"][name], each["target"]
        aim = f" ({whole['minutes']:g})" if whole["minutes"] else ""
        speeds.append(
            [
                TITLES[name],
                f"{each['per_second']:,.0f}",
                f"{target:,.0f}" if target else "",
                f"{whole['images'] / each['per_second'] / 60:,.0f}{aim}",
                percent(each["stimuli"]),
                percent(each["of_matrix"]),
            ]
        )
        asked = ["", ""]
        if target:
            asked = [f"{1e6 * each['batch'] / target / each['sent']:.0f}", f"{target * each['operations'] / 1e12:.2g}"]
        billions = f"{each['operations'] / 1e9:.2g}"
        steps.append([TITLES[name], each["sent"], each["waits"], billions, *asked])
    drawn = [
        [f"stimuli {each['edge']}x{each['edge']}, {each['draws']}", each["per_second"], each["target"]]
        for each in found["stimuli"]
    ]
    if "map" in found:
        drawn.append(["forward passes of an accuracy map", found["map"]["per_second"], found["map"]["target"]])
    drawn = [[name, f"{speed:,.0f}", f"{target:,.0f}" if target else ""] for name, speed, target in drawn]
    head = ["training", "images per second", "target", "minutes for all, at this rate (target)"]
    tables = (
        table([*head, "of a step for stimuli", "of the matrix rate"], speeds),
        f"The matrix rate measured beside it was {found['matrix'] / 1e9:,.0f} billion operations per second.",
        table(["what", "per second", "target"], drawn),
        "What a training step asks of a device, whichever it is:",
        table(
            [
                "training",
                "operations sent",
                "of these, that wait",
                "billion multiplications and additions, per image",
                "on target: microseconds for each operation sent",
                "on target: trillion multiplications and additions per second",
            ],
            steps,
        ),
    )
    return "\n\n".join(tables)


def trained(full):
    """What became of each schedule."""
    rows = []
    for name, each in full["trained"].items():
        n, whole = each["tested"], full["whole"][name]
        kinds = {
            key: value for key, value in each.items() if key in ("central", "general", "cells") or "saccade" in key
        }
        if len(kinds) > 2:  # saccades: none, one and all
            kinds = {key: kinds[key] for key in (*list(kinds)[:2], list(kinds)[-1])}
        accuracy = "; ".join(
            f"{key} {sum(value) / len(value) / n:.1%}".replace("%", " %") for key, value in kinds.items()
        )
        rows.append(
            [
                TITLES[name],
                each["study"],
                f"{each['epochs']} of {whole['epochs']}",
                f"{each['images']:,} of {whole['images']:,}",
                percent(each["images"] / whole["images"]),
                f"{each['seconds']:.0f}",
                f"{each['images'] / each['seconds']:,.0f}",
                f"{accuracy} ({n:,} digits each)",
            ]
        )
    head = ["schedule", "study", "epochs", "images", "share", "seconds", "images per second", "accuracy"]
    return table(head, rows)


# ---- which published results come from shortened schedules ----------------------------------------------------------


def outputs(path):
    """The outputs of an executed chapter."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def used(path):
    """The ids of the runs behind a chapter."""
    for output in outputs(path):
        if output.get("metadata", {}).get("scrapbook", {}).get("name") == "runs":
            glued = "".join(output["data"]["application/papermill.record/text/plain"])
            return [entry["id"] for entry in json.loads(ast.literal_eval(glued))]
    return []


def stored(book):
    """The published runs by id: configuration, and the images of the run and of those that it started from."""
    records = {}
    for path in book.glob("runs/*/*/run.json"):
        run = record(path)
        records[path.parents[1].name] = run["training"], sum(epoch["images"] for epoch in run["history"])

    def images(name):
        training, own = records[name]
        if "start" not in training:
            return own
        start = {**training["start"], "version": training["version"]}
        before = hashlib.sha256(json.dumps(start, sort_keys=True).encode()).hexdigest()[:16]
        return own + (images(before) if before in records else 0)

    return {name: (training, images(name)) for name, (training, _) in records.items()}


def coverage(full, book):
    """One row for each network of each chapter, taught in one way; trials, and runs whose epochs show a part of the
    digits, are apart.

    A row: chapter, model, optimiser, trial, part, runs (how many), and as pairs, from and to: epochs, fraction (of the
    digits in an epoch), images, share (of the whole schedule of 2021; None where there is none).
    """
    whole = {each["model"]: each["images"] for each in full["whole"].values()}
    known, rows = stored(book), {}
    for path in sorted(book.glob("*.ipynb"), key=lambda path: (not path.stem.startswith("week"), path.stem)):
        for name in used(path):
            training, images = known[name]
            trial = len(training["stages"]) == 1 and "start" not in training and training["model"] != "where"
            part = training.get("fraction", 1) < 1 or "digits" in training
            key = path.stem, training["model"], training.get("optimiser", "sgd"), trial, part
            epochs = sum(stage["epochs"] for stage in training["stages"])
            fraction = training.get("fraction", 1) if "digits" not in training else training["digits"] / full["digits"]
            share = None if trial or training["model"] not in whole else images / whole[training["model"]]
            rows.setdefault(key, []).append((epochs, fraction, images, share))
    return [
        dict(zip(("chapter", "model", "optimiser", "trial", "part"), key, strict=True))
        | {"runs": len(found)}
        | {
            name: None if None in column else (min(column), max(column))
            for name, column in zip(("epochs", "fraction", "images", "share"), zip(*found, strict=True), strict=True)
        }
        for key, found in rows.items()
    ]


def notices(book):
    """What each chapter says of shortened schedules at its top, by chapter."""
    found = {}
    for path in sorted(book.glob("*.ipynb")):
        for output in outputs(path):
            if match := BANNER.search("".join(output.get("data", {}).get("text/html", ""))):
                found[path.stem] = match[1]
    return found


def covered(full, rows, told):
    """The table of the chapters, and how much of it is whole."""

    def span(pair, show):
        low, high = map(show, pair)
        return low if low == high else f"{low} to {high}"

    lines = []
    for row in rows:
        share = (
            span(row["share"], percent)
            if row["share"]
            else "a trial, one stage"
            if row["trial"]
            else "no such network in 2021"
        )
        if row["share"] and row["share"][0] >= WHOLE:
            share = f"**whole**, {share}"
        lines.append(
            [
                f"[{chapter(row['chapter'])}]({row['chapter']}.ipynb)",
                f"{TITLES[row['model']]}, {TEACHERS[row['optimiser']]}",
                row["runs"],
                span(row["epochs"], str),
                span(row["fraction"], percent),
                span(row["images"], lambda n: f"{n:,}"),
                share,
            ]
        )
    head = [
        "chapter",
        "network, optimiser",
        "runs",
        "epochs",
        "digits in each epoch",
        "images of a run",
        "of 2021's whole schedule",
    ]
    compared = [row for row in rows if row["share"]]
    whole = [row for row in compared if row["share"][0] >= WHOLE]
    names = ", ".join(dict.fromkeys(f"{TITLES[row['model']]} in {chapter(row['chapter'])}" for row in whole)) or "none"
    summary = (
        f"Of {len(compared)} rows that can be compared with a schedule of 2021, {len(whole)} are whole ({names}); "
        f"{len(compared) - len(whole)} come from shortened ones, or from another recipe that shows fewer images."
    )
    said = [f"- {chapter(name)}: {text(words)}" for name, words in told.items()]
    return f"{summary}\n\n{table(head, lines)}\n\nWhat the chapters themselves say at their top:\n\n" + "\n".join(said)


def setup(app):
    app.connect("source-read", write_gpu)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
