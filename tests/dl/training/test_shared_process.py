"""Training beside the thread pools of a BLAS and of PyTorch in one process."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends import host
from gearshift.backends.thread_pool import thread_pool


def multiply_with_numpy(stop: threading.Event) -> None:
    a = np.ones((400, 400), np.float32)
    while not stop.is_set():
        a @ a


def multiply_with_torch(stop: threading.Event) -> None:
    torch = pytest.importorskip("torch")
    a = torch.ones(400, 400)
    while not stop.is_set():
        a @ a


def trained() -> tuple[dict[str, np.ndarray], float]:
    """The weights of a short training, and the seconds that it took."""
    random = np.random.default_rng(0)
    data = gs.Dataset(random.normal(size=(6_400, 300)), random.integers(0, 10, 6_400))
    model = gs.Sequential(gs.Linear(300, 200), gs.ReLU(), gs.Linear(200, 10))
    run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="numba", seed=1)
    start = time.perf_counter()
    run.fit(data, epochs=6, batch_size=32, verbose=False)
    return model.state_dict(), time.perf_counter() - start


@pytest.mark.long
@pytest.mark.skipif(host.cores() < 2, reason="one core: there is one thread")
def test_other_pools_are_noticed_and_change_no_bit() -> None:
    pytest.importorskip("torch")
    trained()
    expected, _ = trained()
    stop, stalls = threading.Event(), thread_pool().stalls
    others = [threading.Thread(target=work, args=(stop,)) for work in (multiply_with_numpy, multiply_with_torch)]
    for other in others:
        other.start()
    try:
        time.sleep(0.2)
        found, seconds = trained()
    finally:
        stop.set()
        for other in others:
            other.join()
    assert thread_pool().stalls > stalls
    assert all(found[name].tobytes() == value.tobytes() for name, value in expected.items())
    # scheduler ticks at each of 20 barriers a step would make minutes of the 1,200 steps
    assert seconds < 60
