"""The first page, written from `book/results/` when the book is rendered: its answer, its chart, its table of systems.

Nothing of the library is imported, so the book renders without torch.
"""

import html
import json
from statistics import fmean

from labbook_results import result, table, text

NOISE = 0.75  # amplitude of the background in the benchmark of the first page
TRANSFORMER, MODEL = "attention STN", "What/Where model, 5 saccades"
CHARTED = ("foveal searcher", "STN-128", TRANSFORMER, MODEL, "log-polar STN, 768 features")
FOVEAL = {
    "foveal searcher",
    MODEL,
    "log-polar STN, 768 features",
}  # of those: what sees the field through a log-polar retina
MARKS = ("% answer", "% chart of systems", "% findings", "% seeds and budgets", "% systems compared")


def write_landing(app, docname, source):
    """Replace the marks on the first page by what the results say."""
    if MARKS[0] not in source[0]:
        return
    measured = {}
    for cell in json.loads(result(app, "benchmark.json")):
        if cell["source"] == "measured" and cell["noise"] == NOISE:
            measured.setdefault(cell["system"], []).append(cell)
    claims = json.loads(result(app, "claims.json"))
    parts = (answer(measured), chart(measured), findings(measured, claims), budgets(measured), systems(measured))
    for mark, written in zip(MARKS, parts, strict=True):
        source[0] = source[0].replace(mark, written)


def mean(cells, contrast=None):
    """The mean accuracy over cells, all or those of one contrast, percent."""
    return 100 * fmean(cell["accuracy"] for cell in cells if contrast in (None, cell["contrast"]))


def answer(measured):
    """One sentence: whether a transformer is as accurate as the What/Where model, with both accuracies."""
    ours, theirs = mean(measured[TRANSFORMER]), mean(measured[MODEL])
    better = ours > theirs
    return (
        f"**{'Yes' if better else 'No'}: given every pixel of the field, a spatial transformer classifies {ours:.0f} % of the "
        f"digits correctly, the What/Where model {theirs:.0f} %.** "
        + (
            "Through a log-polar retina, with far fewer numbers, it does not."
            if mean(measured["log-polar STN, 768 features"]) < theirs
            else "Through a log-polar retina it does so too."
        )
    )


def findings(measured, claims):
    """Three findings of one number each."""
    foveal = measured["foveal searcher"]
    gap = mean(measured["sliding-window searcher"]) - mean(foveal)
    decided = [each["verdict"] for each in claims if each["verdict"] != "open"]
    held = decided.count("confirmed")
    return "\n".join(
        (
            "- **Search can be learned from class labels.** A foveal searcher, whose retina is as coarse as the What/Where "
            f"model's, classifies {mean(foveal):.0f} % of the digits correctly; nobody told it where they were "
            "({doc}`beyond`).",
            f"- **A fovea costs little accuracy.** It loses {gap:.1f} percentage points to the same classifier slid over every "
            "pixel of the field.",
            "- **Most transformers of 2021 fail by collapsing**: their window becomes the same for every input. Of the "
            f"{len(decided)} claims of the lab-book that could be decided, {held} are confirmed ({{doc}}`claims`).",
        )
    )


def budgets(measured):
    """One sentence: seeds, test digits and training images of the systems in the chart."""
    shown = [measured[name][0] for name in CHARTED]

    def span(name, few="{0:,}", many="{0:,} to {1:,}"):
        low, high = (extreme(each[name] for each in shown) for extreme in (min, max))
        return (few if low == high else many).format(low, high)

    return (
        f"Each accuracy is a mean over nine eccentricities and three contrasts, {span('n_stimuli')} test digits in each of these 27 "
        f"cells, and {span('n_seeds')} random seeds; training took {span('train_images')} images."
    )


def systems(measured):
    """A row per system, the most accurate first: its accuracy over all cells and by contrast, its size and training."""
    contrasts = sorted({cell["contrast"] for cells in measured.values() for cell in cells}, reverse=True)
    rows = [
        [
            text(name),
            f"**{mean(cells):.1f} %**",
            *(f"{mean(cells, contrast):.1f} %" for contrast in contrasts),
            *(f"{cells[0][key]:,}" for key in ("coefficients", "parameters", "train_images", "n_seeds")),
        ]
        for name, cells in sorted(measured.items(), key=lambda each: -mean(each[1]))
    ]
    names = (f"{100 * contrast:.0f} %" for contrast in contrasts)
    return table(["system", "accuracy", *names, "input values", "parameters", "training images", "seeds"], rows)


# ---- the chart ------------------------------------------------------------------------------------------------------

WIDTH, ROW, LEFT, RIGHT, TOP = 720, 46, 16, 56, 30  # pixels


def chart(measured):
    """The systems of the first page as bars of their mean accuracy, the most accurate first, labelled directly."""
    names = sorted(CHARTED, key=lambda name: -mean(measured[name]))
    height = TOP + ROW * len(names) + 8
    span = WIDTH - LEFT - RIGHT

    def x(percent):
        return LEFT + span * percent / 100

    marks = []
    for percent in (0, 25, 50, 75, 100):
        marks.append(f'<line x1="{x(percent):.1f}" x2="{x(percent):.1f}" y1="{TOP - 6}" y2="{height}" class="grid"/>')
        marks.append(f'<text x="{x(percent):.1f}" y="{TOP - 12}" class="tick">{percent} %</text>')
    for k, name in enumerate(names):
        y, value = TOP + ROW * k, mean(measured[name])
        kind = "foveal" if name in FOVEAL else "full"
        values = f"{measured[name][0]['coefficients']:,} input values"
        marks.append(f'<rect x="{LEFT}" y="{y + 20}" width="{x(value) - LEFT:.1f}" height="16" rx="2" class="{kind}"/>')
        marks.append(
            f'<text x="{LEFT}" y="{y + 14}" class="name">{html.escape(name)}<tspan class="note"> · {values}</tspan></text>'
        )
        marks.append(f'<text x="{x(value) + 6:.1f}" y="{y + 33}" class="value">{value:.1f} %</text>')
    said = "; ".join(f"{name} {mean(measured[name]):.1f} %" for name in names)
    return (
        '<figure class="plot landing-chart">'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Accuracy of five systems: {html.escape(said)}.">'
        f"{''.join(marks)}</svg>"
        "<figcaption>Digits classified correctly by five systems, all trained here and tested on the same stimuli. "
        '<span class="key-foveal">Orange</span>: the field is seen through a log-polar retina. '
        '<span class="key-full">Blue</span>: every pixel of the field is used.</figcaption></figure>'
    )


def setup(app):
    app.connect("source-read", write_landing)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
