"""What a page says of itself."""

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from labbook.book import report
from labbook.book.store import Run
from labbook.curriculum import growing
from labbook.evaluation import Proportion
from labbook.identity.description import describe
from labbook.stimuli import Scene28
from labbook.training import Training
from labbook.view import figures


def test_numbers_are_written_with_what_they_are_worth():
    assert report.percent(0.9416) == "94.2 %"
    assert report.percent([0.9, 0.92]) == "91.0 % (seeds: 90.0, 92.0)"
    assert report.proportion(Proportion(8, 10)) == "80.0 % (49.0 to 94.3)"


def test_a_page_opens_with_what_must_be_known(chapter_store, shown):
    training = Training("tutorial", growing([0, 5], 3, 0.01, Scene28()), fraction=0.1, data="digits")
    store = chapter_store()
    (run,) = store.get_or_train(training, seeds=[0], quick=200)
    report.notices(store, {"all": (run, 10 * run.images)})
    assert "no stand-in for MNIST" in shown[0] and "all 10.0 %" in shown[1]


def test_numbers_of_numpy_are_glued_as_python_s_which_a_page_can_format(shown):
    report.numbers(mean=np.float64(1.5), n=np.int64(3), name="a")
    assert [repr(value) for _, value in shown] == ["1.5", "3", "'a'"]


def test_what_runs_ended_with_and_what_claims_state_is_glued_by_name(shown, tmp_path):
    theta = {"mean": [0.2, 0, 0, 0, 0.2, 0], "spread": [0, 0, 0.1, 0, 0, 0.1], "follow": [0.4, 0.6]}
    training = describe(Training("stn28", growing([0], 1, 0.1, Scene28())))
    report.measured(own=Run(tmp_path, training, [{"stage": 0, "accuracy": 0.9, "theta": theta}], {}, ""))
    report.stated("C2")
    found = dict(shown)
    assert (found["own_accuracy"], found["own_r"], found["own_scale"]) == (90.0, 0.5, 0.2)
    assert found["own_spread"] == pytest.approx(1.4) and found["c2"] == "94 %"


def test_a_table_aligns_numbers_and_tells_once_what_is_the_same(shown):
    rows = [["a", "1,234", "5.0 %", "CPU"], ["b 2", "7", "", "CPU"]]
    report.table(("name", "images", "accuracy", "trained on"), rows, "Two.", once="trained on")
    assert "<caption>Two. All trained on CPU.</caption>" in shown[0]
    assert '<th>name</th><th class="number">images</th><th class="number">accuracy</th></tr>' in shown[0]
    assert '<td>a</td><td class="number">1,234</td><td class="number">5.0&nbsp;%</td></tr>' in shown[0]
    rows[1][-1] = "GPU"
    report.table(("name", "images", "accuracy", "trained on"), rows, once="trained on")
    assert "<td>CPU</td>" in shown[1] and "<td>GPU</td>" in shown[1]
    report.table(("name", "images"), [], once="trained on")
    assert "<th>images</th>" in shown[2]


def test_a_figure_carries_its_description(monkeypatch):
    plt.close("all")  # those that other tests left
    outputs = []
    monkeypatch.setattr(figures, "display", lambda output: outputs.append(output.data))
    for _ in range(2):
        figure, axis = plt.subplots(figsize=(2, 1))
        axis.plot([0, 1])
        figures.show(figure, alt='a "line" that rises', caption="A line.")
    assert 'alt="a &quot;line&quot; that rises"' in outputs[0]
    assert "<figcaption>A line.</figcaption>" in outputs[0]
    assert outputs[0] == outputs[1]  # equal figures are equal bytes
    assert 'class="dark-light narrow"' in outputs[0]
    figure, axis = plt.subplots(figsize=(7, 1))
    axis.plot([0, 1])
    png = io.BytesIO()
    figure.savefig(png, dpi=96, facecolor="none")
    shown = re.search(r'<img class="dark-light" width="672".*base64,([^"]*)', figures.picture(figure, "a line", dpi=96))
    kept = [Image.open(each).convert("RGBa") for each in (png, io.BytesIO(base64.b64decode(shown[1])))]
    assert kept[0].tobytes() == kept[1].tobytes()  # what is seen, to the last bit
    assert not plt.get_fignums()


def test_outcomes_show_every_run_its_best_epoch_and_which_way_up_it_is(tmp_path):
    def run(scale, *accuracies):
        history = [{"stage": 0, "accuracy": each, "theta": {"mean": [scale]}} for each in accuracies]
        return Run(tmp_path, {}, history, {}, "")

    ways = {"SGD": [run(0.2, 0.7, 0.6), run(-0.1, 0.3)], "Adam": [run(0.1, 0.1)]}
    left, right = figures.outcomes({"from 0": ways, "from 1": {"Adam": [run(0.1, 0.9)]}}).axes
    ends = {line.get_xdata()[0]: line.get_color() for line in left.lines if line.get_marker() in ("o", "v")}
    assert {round(x): colour for x, colour in ends.items()} == {60: figures.BLUE, 30: figures.ORANGE, 10: figures.BLUE}
    assert 70 in [line.get_xdata()[0] for line in left.lines if line.get_marker() == "|"]
    assert [line.get_ydata()[0] for line in right.lines if line.get_marker() == "o"] == [1]  # Adam's row in both


def test_a_figure_draws_every_group_and_none_like_another():
    groups = {f"system {k}": [{4.0: Proportion(k, 20), 40.0: Proportion(k, 40)}] for k in range(13)}
    (axis,) = figures.distances(groups).axes
    drawn = [line for line in axis.get_lines() if list(line.get_xdata()) == [4.0, 40.0]]
    assert len(drawn) == len(groups) and {text.get_text() for text in axis.texts} >= set(groups)
    assert len({(line.get_color(), str(line._unscaled_dash_pattern)) for line in drawn}) == len(groups)
