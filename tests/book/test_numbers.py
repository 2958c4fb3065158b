"""A number in prose is computed, or one of those that a person may type: see `TYPED`.

Accuracies, shares, correlations, differences and counts are results. They are glued, so that they change when a chapter
is executed with other parameters; those of 2021 are glued from its facts and claims. What may be typed are the settings
that a sentence is about: sizes, conditions of a test, parameters of a training or of a network.
"""

import re

import nbformat
import pytest
from here import ROOT

TYPED = {  # unit -> numbers
    "%": {30, 50, 70, 100},  # contrasts; all of something
    "px": {
        *(0, 2, 4, 5, 6, 8, 15, 20, 40, 4.4),  # of shifts, eccentricities and perturbations
        *(14, 27, 28, 44, 55, 128),  # half a digit; edges of digits, foveas, maps and fields
        *(4.6, 16_384),  # 128 / 28; of a field
    },
    "points": {},
    "°": {15, 90, 180, 360},
    "": {
        *(0, 1, 2, 3, 4, 6, 8, 9, 27, 88),  # counts and limits; cells of the benchmark; claims
        *(14, 15, 26, 28, 40, 44, 55, 128, 180),  # edges and shifts whose unit stands elsewhere
        *(500, 1_000, 2_500, 5_000, 10_000, 55_000, 60_000),  # digits
        *(0.001, 0.002, 0.005, 0.01, 0.03, 0.05),  # learning rates
        *(5, 20, 25, 32, 80, 110, 160),  # epochs, stages and batches
        *(0.1, 0.4, 0.5, 0.75, 1.0),  # noise and grey
        *(0.2, 0.25),  # scales of a window
        *(240, 768, 1_280, 2_560, 2_880),  # cells of the colliculus; features
    },
}
PROSE = ("intro", "glossary", "claims", "beyond_evidence")  # pages of the book that hold nothing but prose

UNIT = r"%|px|pixels|points|°"
QUOTED = re.compile(r"(?ms)^```.*?^```|^:::\{.*?$|^% .*?$|\$\$.*?\$\$|\$[^$]*\$|\{[\w:]+\}`[^`]*`|`[^`]*`|\]\([^)]*\)")
NAMES = re.compile(  # of claims, years, weeks and systems; numbers of a list; the level of all intervals, and chance
    r"(?im)\b(?:[CR]\d+|2020|2021|weeks? \d(?: (?:and|to) \d)?|(?:STN|ATN|POLO\w*)[-_]\w+|95 % interval|chance is 10 %)"
    r"|^\d+\. "
)
NUMBER = re.compile(  # "30 to 70 %" is two numbers of one unit
    rf"(?<![\w.,])(\d{{1,3}}(?:[\s,]\d{{3}})+|\d+(?:\.\d+)?)(?: (?:to|and|or|×) (?=[\d.]+ ?({UNIT})))?(?: ?({UNIT}))?"
)


def typed(text: str) -> list[str]:
    """Return the numbers of a Markdown text that nobody may type, each with its unit."""
    prose = NAMES.sub(" ", QUOTED.sub(" ", text))
    found = []
    for number, ahead, unit in NUMBER.findall(prose):
        unit = (ahead or unit).replace("pixels", "px")
        if float(re.sub(r"[\s,]", "", number)) not in TYPED[unit]:
            found.append(f"{number} {unit}".strip())
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_numbers_of_a_chapter_are_computed(path):
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    found = {cell.id: numbers for cell in cells if (numbers := typed(cell.source))}
    assert found == {}, "glue these numbers, or say in TYPED what they are"


@pytest.mark.parametrize("name", PROSE)
def test_the_numbers_of_a_page_are_computed(name):
    assert typed((ROOT / "book" / f"{name}.md").read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It classifies 94.2 % of the digits, 8 points more.", ["94.2 %", "8 points"]),
        ("It reaches {glue:text}`reached:.1f` % at std 15 px.", []),
        ("A correlation of 0.85 after 126,500 images.", ["0.85", "126,500"]),
        ("Contrasts of 30 to 70 %, then 31 to 70 %.", ["31 %"]),
        ("1. Week 3 ([C21](#c21)) of 2021 has $x = 12$ and `lr=7`.", []),
    ],
)
def test_results_are_told_from_settings(text, found):
    assert typed(text) == found
