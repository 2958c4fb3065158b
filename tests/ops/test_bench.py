"""The speed table: complete, and of the right order even on a busy machine."""

import numpy as np
import torch

from labbook.ops import bench
from labbook.runtime import engine


def test_the_tables_are_printed_and_returned(capsys):
    state, threads = np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    rows = {(row["edge"], row["name"]): row for row in bench.main(rounds=1)}
    ways = ["2021, image by image", "frozen", "fresh, a texture per image", "fresh, from the bank"]
    trained = {28: ["training lenet", "training stn28"], 128: ["training polo", "training atn", "training stn128"]}
    if engine.fast_in_bfloat16("cpu"):
        trained[128] = [name + rough for name in trained[128] for rough in ("", ", bfloat16")]
    assert list(rows) == [(edge, name) for edge in trained for name in ways + trained[edge]]
    # in one round on a busy machine the rates behind a floor may come out lower than the step that it bounds
    assert all(1.5 * row["floor"] > row["per_second"] > 0 for row in rows.values())
    assert rows[28, ways[0]]["ratio"] == rows[128, ways[0]]["ratio"] == 1
    assert rows[28, ways[2]]["ratio"] > 8 and rows[28, ways[1]]["ratio"] > 4  # 20 and more undisturbed
    assert rows[128, ways[2]]["ratio"] > 5 and rows[128, ways[3]]["ratio"] > rows[128, ways[2]]["ratio"]
    assert all(0 < rows[edge, name]["stimuli"] < 1 for edge, names in trained.items() for name in names)
    assert rows[128, "training stn128"]["stimuli"] < 0.1
    said = capsys.readouterr().out
    assert all(name in said for _, name in rows) and "floor" in said
    assert np.array_equal(state, np.random.get_state()[1]) and threads == torch.get_num_threads()  # noqa: NPY002
