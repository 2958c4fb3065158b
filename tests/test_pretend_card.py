"""The pretend card refuses what a real one refuses; what an evaluation returns from either is on the CPU."""

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from here import PRETEND_CARD

from labbook.book import checkout as book_checkout

SIDES = """
import numpy, torch
card, host = torch.ones(3, 2, device="cuda"), torch.ones(3, 2)
total = torch.zeros(())
index = torch.tensor([1])
layer = torch.nn.Linear(2, 2)
state = torch.Generator(), torch.Generator("cuda")
"""

REFUSED = {
    "card + host": "same device",
    "host * card.sum()": "same device",
    "layer(card)": "same device",
    "torch.cat((card, host))": "same device",
    "torch.stack((card.sum(), total))": "same device",
    "torch.where(host > 0, card, 0.0)": "same device",
    "host[index.cuda()]": "same device",
    "host.add_(card.sum())": "same device",
    "total.add_(card.sum())": "same device",
    "card.numpy()": "Use Tensor.cpu()",
    "numpy.asarray(card)": "Use Tensor.cpu()",
    "torch.randn(3, generator=state[0], device='cuda')": "generator",
    "torch.randn(3, generator=state[1])": "generator",
}

ALLOWED = {  # and what a real card gives
    "(card + torch.tensor(1.0)).device": "cuda:0",
    "card[index].device": "cuda:0",
    "card.cumsum(0)[[2, 0]].tolist()": "[[3.0, 3.0], [1.0, 1.0]]",
    "layer.to('cuda')(card).device": "cuda:0",
    "host.copy_(card).device": "cpu",
    "card.cpu().numpy().shape": "(3, 2)",
    "card.new_tensor([1.0]).device": "cuda:0",
    "torch.zeros_like(card).device": "cuda:0",
    "torch.as_tensor([1.0], device='cuda').device": "cuda:0",
    "torch.randn(3, generator=state[1], device='cuda').device": "cuda:0",
    "torch.equal(card, card)": "True",
    "card.sum().item()": "6.0",
    "f'{card.sum():.1f}'": "6.0",
    "card.tolist()": "[[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]",
}

EVALUATED = """
import torch
from labbook import digits, evaluation, gradient_alignment, models, rng, whatwhere
from labbook.book import searches, visual_field
from labbook.stimuli import Scene28, Scene128

sets, found = digits.load("digits"), {}
small, field = Scene28(), Scene128(contrast=(0.7, 0.7))
model = {name: models.build(name).cuda() for name in ("stn28", "lenet", "polo", "where", "searcher")}
drawn = evaluation.fixed_stimuli(sets.test, field, 4)
found["fixed_stimuli"] = drawn
found["answers"] = evaluation.predictions(model["stn28"], sets.test, small, 4)
found["answer"] = evaluation.predict(model["where"], drawn)
found["accuracy_map"] = evaluation.accuracy_map(model["stn28"], sets.test, small, 2, (-5, 0, 5))
found["trace"] = whatwhere.trace(model["lenet"], model["where"], drawn.images, 1)
found["pointing"] = gradient_alignment.at_centre(model["polo"], drawn, 2, 6.0, rng.generator("test"))

def look(images):
    seen = model["polo"](images.cuda())
    return seen.logits.argmax(1), seen.theta, torch.zeros(len(images), 0, 2)

grid = visual_field.Sweep((0,), (0.7,), (0.75,), 1, 2)
found["watch"] = visual_field.evaluate(look, sets.test, grid)
with torch.no_grad():
    counted = [
        evaluation.active_units(model["polo"], drawn.images),
        evaluation.accuracy(model["polo"], sets.test, field, 4).correct,
        searches.of_what_where({"lenet": model["lenet"]}, model["where"], sets.test, field, 2, 1),
        searches.of_searcher(model["searcher"], sets.test, 2, 1),
    ]
assert all(each is not None for each in counted)

def places(result):
    parts = getattr(result, "__dict__", None) or getattr(result, "_asdict", dict)() or {"it": result}
    return sorted({str(part.device) for part in parts.values() if isinstance(part, torch.Tensor)})

here = {key: places(value) for key, value in found.items()}
there, same = found["answers"], evaluation.predictions(models.build("stn28"), sets.test, small, 4)
here["equal"] = torch.equal(same.predicted, there.predicted) and torch.equal(same.offsets, there.offsets)
"""


def on_card(script: str) -> object:
    """Return what a script prints as JSON, in a process with a card."""
    path = os.pathsep.join(filter(None, (str(PRETEND_CARD), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def results() -> dict[str, str]:
    """What each expression gives, as text."""
    return on_card(
        f"""{SIDES}
import json
def result(text):
    try:
        return str(eval(text))
    except (RuntimeError, TypeError) as error:
        return str(error)
print(json.dumps({{text: result(text) for text in {[*REFUSED, *ALLOWED]!r}}}))"""
    )


@pytest.mark.parametrize("text", REFUSED)
def test_the_card_refuses_what_cuda_refuses(results, text):
    assert REFUSED[text] in results[text]


@pytest.mark.parametrize("text", ALLOWED)
def test_the_card_does_what_cuda_does(results, text):
    assert results[text] == ALLOWED[text]


def test_every_result_is_on_the_cpu_and_the_same_as_there():
    found = on_card(f"{EVALUATED}\nimport json\nprint(json.dumps(here))")
    assert found.pop("equal")
    assert len(found) == 7
    assert all(places == ["cpu"] for places in found.values())


def test_no_chapter_asks_where_a_tensor_is():
    for path in book_checkout.chapters():
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
                assert not re.search(r"here\.device|device=|\.cpu\(|\.cuda\(", cell.source), path
