"""The speed table: complete, and of the right order even on a busy machine."""

import numpy as np
import torch

from lib import bench


def test_the_table_is_printed_and_returned(capsys):
    state, threads = np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    rows = {row["name"]: row for row in bench.main(rounds=1)}
    assert list(rows) == [
        "2021, image by image",
        "frozen",
        "fresh, a texture per image",
        "fresh, from the bank",
        "training lenet",
        "training stn28",
    ]
    assert all(row["floor"] > row["per_second"] > 0 for row in rows.values())
    assert rows["2021, image by image"]["ratio"] == 1
    assert rows["fresh, a texture per image"]["ratio"] > 8 and rows["frozen"]["ratio"] > 4  # 20 and more undisturbed
    assert all(0 < rows[f"training {name}"]["stimuli"] < 1 for name in ("lenet", "stn28"))
    said = capsys.readouterr().out
    assert all(name in said for name in rows) and "floor" in said
    assert np.array_equal(state, np.random.get_state()[1]) and threads == torch.get_num_threads()  # noqa: NPY002
