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
from gearshift.dl.step.dense_choice import INPUTS, MEASURE
from gearshift.kernels.dense import chain

TRAIN = """
import sys
import numpy as np
import gearshift as gs
from gearshift.backends import tasks
from gearshift.backends.compile_ahead import Ahead
from gearshift.kernels.dense import chain, row_chain

batch_size, dtypes = int(sys.argv[1]), sys.argv[2:]
started = []
start = Ahead.__init__
Ahead.__init__ = lambda self, *arguments: (started.append(1), start(self, *arguments))[1]
for dtype in dtypes:
    model = gs.Sequential(gs.Linear(5, 4), gs.ReLU(), gs.Linear(4, 3), dtype=dtype)
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend="numba")
    x = np.random.default_rng(0).normal(size=(160, 5))
    trainer.fit(gs.Dataset(x, np.arange(160) % 3), epochs=1, batch_size=batch_size, verbose=False)
loops = [trainer.backend.compiled(loop).stats for loop in (chain.steps, row_chain.steps)]
lists = trainer.backend.compiled(tasks.run).stats
print(len(started), *(sum(loop.cache_misses.values()) for loop in (*loops, lists)),
      *(sum(loop.cache_hits.values()) for loop in loops))
"""


def run(cache: Path, *arguments: str) -> str:
    """Processes started; loops not found in the cache (INPUTS, ROWS, lists of operations); loops found there."""
    environment = {**os.environ, "GEARSHIFT_CACHE_DIR": str(cache), "GEARSHIFT_THREADS": "2"}
    environment.pop(MEASURE, None)
    done = subprocess.run([sys.executable, "-c", TRAIN, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_the_second_process_compiles_what_the_first_calls(tmp_path: Path) -> None:
    """The first process finds both loops in the cache; a later one starts no process."""
    assert run(tmp_path, "8", "float32", "float64") == "2 0 0 0 2 0"
    assert run(tmp_path, "8", "float32", "float64") == "0 0 0 0 2 0"


@pytest.mark.slow
def test_one_process_compiles_the_loops_of_all_trials(tmp_path: Path) -> None:
    assert run(tmp_path, "64", "float32") == "1 0 0 0 1 1"


def test_a_process_that_fails_costs_nothing_but_time() -> None:
    ahead = Ahead("gearshift.dl.step.dense_loop", "compile_loops", "numba", "no dtype", "0")
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
