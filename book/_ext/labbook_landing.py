"""The first page, written from `book/results/` when the book is rendered: its answer, its chart, its table of systems.

Nothing of the library is imported, so the book renders without torch.
"""

import html
import json
from statistics import fmean

from labbook_results import result, table, text

LITTLE = 3  # percentage points
NOISE = 0.75  # amplitude of the background in the benchmark of the first page
SEARCHER, MAP = "foveal searcher with evidence map", "evidence map"
TRANSFORMER, MODEL, POLAR = "attention STN", "What/Where model, 5 saccades", "log-polar STN, 768 features"
CHARTED = (SEARCHER, "STN-128", TRANSFORMER, MODEL, POLAR)
FOVEAL = {SEARCHER, MODEL, POLAR}  # of those: what sees the field through a log-polar retina
MARKS = ("% answer", "% chart of systems", "% findings", "% seeds and budgets", "% systems compared")


def write_landing(app, docname, source):
    """Replace the marks on the first page by what the results say."""
    if MARKS[0] not in source[0]:
        return
    measured = {}
    for cell in json.loads(result(app, "benchmark.json")):
        if cell["source"] == "measured" and cell["noise"] == NOISE and cell["contrast"] is not None:
            measured.setdefault(cell["system"], []).append(cell)
    claims = json.loads(result(app, "claims.json"))
    parts = (answer(measured), chart(measured), findings(measured, claims), budgets(measured), systems(measured))
    for mark, written in zip(MARKS, parts, strict=True):
        source[0] = source[0].replace(mark, written)


def mean(cells, contrast=None):
    """The mean accuracy over cells, all or those of one contrast, percent."""
    return 100 * fmean(cell["accuracy"] for cell in cells if contrast in (None, cell["contrast"]))


def answer(measured):
    """One sentence: whether a transformer is as accurate as the What/Where model; another for log-polar retinas."""
    ours, theirs = mean(measured[TRANSFORMER]), mean(measured[MODEL])
    return (
        f"**{'Yes' if ours > theirs else 'No'}: given every pixel of the field, a spatial transformer classifies "
        f"{ours:.0f} % of the digits correctly, the What/Where model {theirs:.0f} %.** Trained on the numbers of "
        "images below, a transformer behind a log-polar retina is "
        f"{'less' if mean(measured[POLAR]) < theirs else 'more'} accurate than that model; "
        "{doc}`week 8 <week8_benchmark>` compares them at equal budgets."
    )


def findings(measured, claims):
    """Four findings of at most three numbers each."""
    whole, foveal = mean(measured[MAP]), mean(measured[SEARCHER])
    verdicts = [each["verdict"] for each in claims if each["verdict"] != "no claim"]
    decided = len(verdicts) - verdicts.count("open")
    return "\n".join(
        (
            "- **Search can be learned from whole fields and class labels alone.** A map of evidence over all places "
            f"classifies {whole:.1f} % of the digits correctly ({{doc}}`beyond`).",
            f"- **A fovea costs {'little ' if whole - foveal < LITTLE else ''}accuracy.** Seen through the retina of "
            f"the What/Where model, in at most five fixations, the map loses {_points(whole - foveal)}.",
            "- **Spatial transformers often collapse** in training: their window becomes the same for every input "
            "({doc}`primer_transformers` explains why).",
            f"- **Of {len(verdicts)} claims of 2021, {decided} could be decided:** {verdicts.count('confirmed')} are "
            "{doc}`confirmed <claims>`.",
        )
    )


def _points(difference):
    """A difference of two means over unequal test digits, which has no tenths: week 8 has the paired one."""
    return f"about {difference:.0f} percentage point{'s' * (round(difference) != 1)}"


def budgets(measured):
    """One sentence: seeds, test digits and training images of the systems in the chart."""
    shown = [measured[name][0] for name in CHARTED]

    def span(name):
        low, high = (extreme(each[name] for each in shown) for extreme in (min, max))
        return f"{low:,}" if low == high else f"{low:,} to {high:,}"

    return (
        f"Each accuracy is a mean over nine eccentricities and three contrasts, with {span('n_stimuli')} test digits "
        f"in each of these 27 cells and {span('n_seeds')} seeds; training took {span('train_images')} images."
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
    names = (f"at {100 * contrast:.0f} %" for contrast in contrasts)
    return table(["system", "accuracy", *names, "input values", "parameters", "training images", "seeds"], rows)


def chart(measured):
    """The systems of the first page as bars of their mean accuracy, the most accurate first, labelled directly."""
    rows = []
    for name in sorted(CHARTED, key=lambda name: -mean(measured[name])):
        kind, value = "foveal" if name in FOVEAL else "full", mean(measured[name])
        rows.append(
            f'<li><span class="name">{html.escape(name)}</span>'
            f'<span class="bar {kind}" style="--percent: {value:.1f}"></span>'
            f'<span class="value">{value:.1f} %</span></li>'
        )
    return (
        f'<figure class="plot landing-chart"><ol>{"".join(rows)}</ol>'
        "<figcaption>Digits classified correctly by five systems, all trained here (chance: 10 %). "
        '<span class="key-foveal">Orange</span>: the field is seen through a log-polar retina. '
        '<span class="key-full">Blue</span>: every pixel of the field is used.</figcaption></figure>'
    )


def setup(app):
    app.connect("source-read", write_landing)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
