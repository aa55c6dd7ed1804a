"""Memory of a run on the CPU, as it is stated; tests/cuda/test_memory.py has that of a GPU."""

from __future__ import annotations

import numpy as np

import gearshift as gs
from gearshift.dl.training.loop import EVALUATION_ROWS


def test_arrays_of_the_host_are_no_memory_of_its_backends() -> None:
    model = gs.Sequential(gs.Linear(50, 40), gs.ReLU(), gs.Linear(40, 3))
    run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="numpy")
    data = gs.Dataset(np.ones((2000, 50), np.float32), np.zeros(2000, np.int64))
    assert run.memory(data, batch_size=8)["data"] == 2000 * 8  # the order alone
    assert EVALUATION_ROWS > 300
