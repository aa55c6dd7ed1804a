"""A second process compiles the loop of a fused MLP while the first compiles the functions that it calls."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gearshift.backends import compile_ahead, registry
from gearshift.backends.compile_ahead import Ahead
from gearshift.dl.step import dense_loop
from gearshift.dl.step.dense_choice import INPUTS
from gearshift.kernels.dense import chain

TRAIN = """
import numpy as np
import gearshift as gs
from gearshift.backends.compile_ahead import Ahead
from gearshift.dl.step import dense_loop
from gearshift.dl.step.dense_choice import INPUTS
from gearshift.kernels.dense import chain

started = []
start = Ahead.__init__
Ahead.__init__ = lambda self, *arguments: (started.append(1), start(self, *arguments))[1]
for dtype in ("float32", "float64"):
    model = gs.Sequential(gs.Linear(5, 4), gs.ReLU(), gs.Linear(4, 3), dtype=dtype)
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="numba")
    x = np.random.default_rng(0).normal(size=(40, 5))
    trainer.fit(gs.Dataset(x, np.arange(40) % 3), epochs=1, batch_size=8, verbose=False)
loop = trainer.backend.compiled(chain.steps)
print(len(started), sum(loop.stats.cache_misses.values()), sum(loop.stats.cache_hits.values()))
"""


def run(cache: Path, **more: str) -> str:
    environment = {**os.environ, "GEARSHIFT_CACHE_DIR": str(cache), "GEARSHIFT_THREADS": "2", **more}
    done = subprocess.run([sys.executable, "-c", TRAIN], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_the_second_process_compiles_what_the_first_calls(tmp_path: Path) -> None:
    """The first process finds both loops in the cache; a later one starts no process."""
    assert run(tmp_path) == "2 0 2"
    assert run(tmp_path) == "0 0 2"


def test_a_process_that_fails_costs_nothing_but_time() -> None:
    ahead = Ahead("gearshift.dl.step.dense_loop", "compile_loop", "numba", "0", "no dtype")
    ahead.wait()
    ahead.wait()


def test_several_threads_wait() -> None:
    ahead, ended = Ahead("time", "sleep", "a string"), []
    threads = [threading.Thread(target=lambda: (ahead.wait(), ended.append(1))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 8


def test_it_does_not_pay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With one thread, without a cache, or for a function that is not compiled by Numba."""
    monkeypatch.setattr("gearshift.backends.kernel_cache.holds", lambda *_: False)
    loop, arguments = registry.get("numba").compiled(chain.steps), dense_loop.arguments_of(INPUTS, "float32")
    monkeypatch.setattr("gearshift.backends.host.threads", lambda: 2)
    monkeypatch.setattr("gearshift.backends.kernel_cache.folder", lambda: tmp_path)
    assert compile_ahead.pays(loop, arguments)
    assert not compile_ahead.pays(chain.steps, arguments)
    monkeypatch.setattr("gearshift.backends.kernel_cache.folder", lambda: None)
    assert not compile_ahead.pays(loop, arguments)
    monkeypatch.setattr("gearshift.backends.kernel_cache.folder", lambda: tmp_path)
    monkeypatch.setattr("gearshift.backends.host.threads", lambda: 1)
    assert not compile_ahead.pays(loop, arguments)
