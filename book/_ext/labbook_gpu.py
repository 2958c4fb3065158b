"""The page on the whole schedules, written from `book/results/gpu/` and the published runs when it is rendered.

Nothing of the library is imported, so the book renders without torch.
"""

import ast
import hashlib
import json
import re
from pathlib import Path

from labbook_results import chapter, record, table, text

SESSIONS, COVERED = "% what sessions found", "% which results are shortened"
NEEDED = "% what each network needs"
TITLES = {
    "stn128": "STN-128",
    "atn": "attention STN",
    "polo": "log-polar STN",
    "stn28": "STN-28",
    "conv_polo": "convolutional log-polar STN",
    "lenet": "What pathway",
    "what": "What pathway",
    "where": "Where pathway",
    "searcher": "searcher",
    "downsampled": "downsampled LeNet",
    "one_window": "one window for all inputs",
    "evidence": "evidence map",
    "foveal": "foveal searcher",
    "taught_atn": "attention STN, taught by an evidence map",
}
SCHEDULES = {  # the training of each whole schedule
    "stn128": "STN-128",
    "atn": "attention STN",
    "polo": "log-polar STN",
    "stn28": "STN-28, SGD",
    "conv_polo": "convolutional log-polar STN",
    "what": "What pathway, noise 0.75",
    "where": "Where pathway",
}
TEACHERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
WAYS = {  # of timing a training
    "overall": "with evaluation",
    "one_by_one": "without captured steps",
    "five_seeds": "five seeds side by side",
}
MATRIX, BANDWIDTH = 392.6e12, 3.35e12  # of an H100: TF32 products per second, measured; bytes per second, data sheet
FEW, SHORT = "kernels for few channels; pooling", "short kernels"  # what a network's time on a GPU goes into
WHY = {"stn128": FEW, "atn": FEW}  # the others: `SHORT`
WHOLE = 0.999  # a share above it is a whole schedule
BANNER = re.compile(r'<div class=\\?"banner banner-short\\?"><p>(.*?)</p>')


def write_gpu(app, docname, source):
    """Replace the marks on the page."""
    if COVERED not in source[0]:
        return
    book = Path(app.srcdir, "book")
    for path in (*book.glob("*.ipynb"), *book.glob("runs/*/*/run.json"), *book.glob("results/gpu/*.json")):
        app.env.note_dependency(str(path))
    records = sessions(book)
    source[0] = source[0].replace(SESSIONS, "\n\n".join(map(session, records)))
    source[0] = source[0].replace(NEEDED, needed(records))
    source[0] = source[0].replace(COVERED, covered(coverage(records[0], book), notices(book)))


def sessions(book):
    """The records of all sessions, those that ended first first."""
    paths = sorted(book.glob("results/gpu/*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def percent(share):
    """A share with two significant digits: 100 %, 12 %, 0.80 %."""
    shown = 100 * share
    return f"{shown:.0f} %" if shown >= 9.5 else f"{shown:.2g} %"


def session(found):
    """What one session found: where, the check, the chapters, the schedules beside their targets, what it trained."""
    machine, asked = found["machine"], found["asked"]
    precision = {"tf32": "TF32", None: "the precision that each training declares"}.get(
        asked["precision"], asked["precision"]
    )
    kind = f"### {text(machine['device'])}"
    made = f"{found['made']['date']}, commit {found['made']['commit'] or 'unknown'}"
    where = f"{made}; PyTorch {text(machine['torch'])}, {precision}."
    if asked["share"] < 1:
        where += f" A **rehearsal** with {percent(asked['share'])} of each training: its accuracies mean nothing."
    parts = [kind, where, schedules(found), trained(found), checks(found), chapters(found)]
    return "\n\n".join(part for part in parts if part)


def needed(records):
    """What each network needs of a GPU for an image, what it takes at its fastest, and what the time goes into."""
    rows = []
    needs = [found["timings"]["needs"] for found in records if "needs" in found["timings"]][-1]
    for name, least in needs.items():
        timed = [found["timings"]["training"][name] for found in records if name in found["timings"]["training"]]
        forms = [row for found in records for row in formed_rows(found) if row["network"] == name]
        alone = max(row["per_second"] for row in [*timed, *forms])
        together = max((row["five_seeds"] for row in timed if "five_seeds" in row), default=None)
        limits = least["operations"] / MATRIX, least["bytes"] / BANDWIDTH
        rows.append(
            [
                TITLES[name],
                f"{least['operations'] / 1e6:,.0f}",
                f"{least['bytes'] / 1e6:.2f}",
                f"{1e6 * limits[0]:.2f}; {1e6 * limits[1]:.2f}",
                f"{1e6 / alone:.1f}{f'; {1e6 / together:.1f}' if together else ''}",
                percent(max(limits) * max(alone, together or 0)),
                WHY.get(name, SHORT),
            ]
        )
    head = ["network", "million operations", "MB", "µs at least", "µs taken", "of what is possible", "time goes into"]
    return table(head, rows)


def formed_rows(found):
    """The timings of precisions and forms in a session."""
    forms = found["timings"].get("forms", ())
    return list(forms.values()) if isinstance(forms, dict) else list(forms)


def schedules(found):
    """Each whole schedule: speed and minutes beside their targets, and what became of it."""
    rows, timings = [], found["timings"]["training"].values()
    ways = {way: words for way, words in WAYS.items() if any(way in each for each in timings)}
    for name, whole in found["whole"].items():
        timing = found["timings"]["training"].get(name)
        speed = ["", ""]
        if timing:
            speed = [f"{timing['per_second']:,.0f}", f"{whole['images'] / timing['per_second'] / 60:.1f}"]
        others = [f"{timing[way]:,.0f}" if timing and way in timing else "" for way in ways]
        rows.append(
            [
                TITLES[name],
                f"{whole['images'] / 1e6:.2f}",
                speed[0],
                f"{whole['rate']:,}",
                *others,
                speed[1],
                f"{whole['minutes']:.1f}",
                became(found, name),
            ]
        )
    head = [
        "schedule",
        "million images",
        "images per second",
        "target",
        *ways.values(),
        "minutes, at this rate",
        "target",
        "reached here",
    ]
    lines = [table(head, rows)]
    if forms := formed_rows(found):
        lines += ["In each precision and form, images per second:", formed(forms)]
    drawn = [
        f"{each['per_second']:,.0f} stimuli of {each['edge']}x{each['edge']} pixels ({each['draws']})"
        for each in found["timings"].get("stimuli", ())
    ]
    if "map" in found["timings"]:
        drawn.append(f"{found['timings']['map']['per_second']:,.0f} forward passes of an accuracy map")
    if drawn:
        lines.append(f"Per second: {'; '.join(drawn)}. A large product of matrices: {rate(found)}.")
    return "\n\n".join(lines)


def formed(forms):
    """How fast a network trains in each precision and form, the fastest first."""
    rows = sorted(forms, key=lambda row: (row["network"], -row["per_second"]))
    head = ["network", "precision", "form", "images per second"]
    return table(head, [[TITLES[r["network"]], r["precision"], r["how"], f"{r['per_second']:,.0f}"] for r in rows])


def rate(found):
    """The operations per second of a large product of matrices, in words."""
    return f"{found['timings']['matrix'] / 1e12:.1f} TFLOP/s"


def became(found, name):
    """How far a schedule came in a session."""
    entry = SCHEDULES[name]
    if rows := found["trained"].get(entry):
        whole = f"whole, {sum(each['seconds'] for each in rows) / len(rows):.0f} s"
        return f"{whole}: {measured(rows)}"
    if stopped := found["stopped"].get(entry):
        runs = stopped["runs"]
        epochs = f"{runs[0]['epochs']} of {runs[0]['of']} epochs" if runs else "not begun"
        ends = [end for each in runs for end in each["ends"][-1:] if end is not None]
        return epochs + (f"; {percent(ends[0])} at the end of its last whole stage" if ends else "")
    return ""


def measured(rows):
    """What was measured, mean over the runs, in words."""
    names = list(dict.fromkeys(name for each in rows for name in each["measured"]))
    if len(names) > 4:  # saccades: none, one and all
        names = [*names[:2], names[-1]]
    means = {name: [each["measured"][name] for each in rows if name in each["measured"]] for name in names}
    words = ", ".join(f"{name} {100 * sum(each) / len(each):.1f} %" for name, each in means.items())
    return f"{words}{f' (mean of {len(rows)} seeds)' if len(rows) > 1 else ''}"


def trained(found):
    """All that a session trained beside the whole schedules."""
    others = {name: rows for name, rows in found["trained"].items() if name not in SCHEDULES.values()}
    rows = [
        [
            text(name),
            len(each),
            f"{sum(run['images'] for run in each):,}",
            f"{sum(run['images'] for run in each) / max(sum(run['seconds'] for run in each), 1e-9):,.0f}",
            text(measured(each)),
        ]
        for name, each in others.items()
    ]
    return table(["training", "runs", "images", "images per second", "accuracy"], rows) if rows else ""


def checks(found):
    """What was compared with the CPU, what differed, and what is allowed."""
    kinds = {}
    for part, each in found["checks"].items():
        for row in each["rows"]:
            kinds.setdefault((row["what"], row["allowed"]), []).append(
                (part.removeprefix("steps of "), row["difference"])
            )
    rows = [
        [
            text(what),
            text(", ".join(part for part, _ in each)),
            f"{max(value for _, value in each):.2g}",
            f"{allowed:.2g}",
        ]
        for (what, allowed), each in kinds.items()
    ]
    twice = {part.removeprefix("steps of "): each for part, each in found["checks"].items() if "same" in each}
    equal = [part for part, each in twice.items() if each["same"]]
    lines = (
        [f"Twenty steps, done twice, gave equal weights for {len(equal)} of {len(twice)} networks."] if twice else []
    )
    reasons = {}
    for part, each in twice.items():
        if not each["same"]:
            reasons.setdefault("; ".join(each.get("reasons", ())) or "PyTorch names no reason", []).append(part)
    lines += [f"Not for {', '.join(parts)}: {text(why)}." for why, parts in reasons.items()]
    head = ["compared with the processor", "of", "largest difference", "allowed"]
    return f"{table(head, rows)}\n\n{' '.join(lines)}" if rows else ""


def shortened(words, most=120):
    """A message, no longer than this."""
    return words if len(words) <= most else f"{words[:most].rsplit(' ', 1)[0]} ..."


def chapters(found):
    """How the chapters fared in the profile "smoke"."""
    if not found["chapters"]:
        return ""
    done = [each for each in found["chapters"] if each["ended"] == "done"]
    lines = [f"Of {len(found['chapters'])} chapters in the profile `smoke`, side by side, {len(done)} finished."]
    lines += [
        f"- {chapter(each['chapter'])}: {text(shortened(each['ended']))}"
        for each in found["chapters"]
        if each["ended"] != "done"
    ]
    return "\n".join([lines[0], "", *lines[1:]])


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


def coverage(found, book):
    """One row for each network of each chapter, taught in one way; trials, and runs whose epochs show a part of the
    digits, are apart.

    A row: chapter, model, optimiser, trial, part, runs (how many), and as pairs, from and to: epochs, fraction (of the
    digits in an epoch), images, share (of the whole schedule of 2021; None where there is none).
    """
    whole = {each["model"]: each["images"] for each in found["whole"].values()}
    known, rows = stored(book), {}
    for path in sorted(book.glob("*.ipynb"), key=lambda path: (not path.stem.startswith("week"), path.stem)):
        for name in used(path):
            training, images = known[name]
            trial = len(training["stages"]) == 1 and "start" not in training and training["model"] != "where"
            part = training.get("fraction", 1) < 1 or "digits" in training
            key = path.stem, training["model"], training.get("optimiser", "sgd"), trial, part
            epochs = sum(stage["epochs"] for stage in training["stages"])
            fraction = training.get("fraction", 1) if "digits" not in training else training["digits"] / found["digits"]
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


def covered(rows, told):
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
                f"{TITLES.get(row['model'], row['model'])}, {TEACHERS[row['optimiser']]}",
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
    names = (
        ", ".join(
            dict.fromkeys(f"{TITLES.get(row['model'], row['model'])} in {chapter(row['chapter'])}" for row in whole)
        )
        or "none"
    )
    summary = (
        f"Of {len(compared)} rows that can be compared with a schedule of 2021, {len(whole)} are whole ({names}); "
        f"{len(compared) - len(whole)} come from shortened ones, or from another recipe that shows fewer images."
    )
    said = [f"- {chapter(name)}: {text(words)}" for name, words in told.items()]
    return f"{summary}\n\n{table(head, lines)}\n\nWhat the chapters themselves say at their top:\n\n" + "\n".join(said)


def setup(app):
    app.connect("source-read", write_gpu)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
