"""Compiled loops with their bounds checked: an index outside an array, also in a register tile, is an IndexError."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

OUTSIDE = """
import numpy as np
from gearshift.backends import host, vectors
from gearshift.backends.machine import take
from gearshift.backends.numba import compiled
from gearshift.kernels.counters import COUNTERS, CURSOR
from gearshift.kernels.batches.gather import loop
from gearshift.kernels.dense.parts import Matrix, Tools
from gearshift.kernels.dense.product import SCRATCH, product

def attempt(function, *arguments):
    try:
        function(*arguments)
        print("done")
    except IndexError:
        print("refused")

gather, counters = compiled(loop), np.zeros(COUNTERS, np.int64)
for cursor in (3, 4):
    counters[CURSOR] = cursor
    attempt(gather, 0, 2, np.zeros((5, 3)), np.arange(5), counters, np.zeros((2, 3)))
multiply, lanes, zeros = compiled(product), vectors.lanes(np.float64), host.aligned_zeros
empty = np.zeros(0, np.int32)
a, b, c, scratch = (zeros(size, np.float64) for size in (48, 6 * lanes, 8 * lanes, SCRATCH + 4096))
for place in (0, -64, 4000):
    left, right, out = Matrix(a, 0, 6, 1), Matrix(b, 0, lanes, 1), Matrix(c, place, lanes, 1)
    attempt(multiply, 8, 1, 6, left, right, out, 0, 0, Tools(scratch, lanes, vectors.tile_rows(), empty))
def copy(source, target):
    take(source, target)
for size in (200, 100):
    attempt(compiled(copy), np.zeros(size), np.zeros(200))
"""


@pytest.mark.long
def test_places_outside_an_array_are_refused() -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1"}
    done = subprocess.run([sys.executable, "-c", OUTSIDE], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["done", "refused", "done", "refused", "refused", "done", "refused"], done.stderr


ADDS = """
import numpy as np
from gearshift.backends.numba import compiled
from gearshift.kernels.arrays.add import ADD

kernel, out = compiled(ADD.loop), np.ones(3)
kernel(0, 3, out, out, out)
print(sum(kernel.stats.cache_hits.values()))
"""


@pytest.mark.slow
def test_code_with_checked_bounds_has_a_cache_of_its_own(tmp_path: Path) -> None:
    hits = []
    for value in ("", "0", "1", "1"):
        environment = {**os.environ, "NUMBA_BOUNDSCHECK": value, "GEARSHIFT_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run([sys.executable, "-c", ADDS], env=environment, capture_output=True, text=True, check=True)
        hits.append(done.stdout.strip())
    assert hits == ["0", "1", "0", "1"]


INSIDE = """
import numpy as np
import gearshift as gs

random = np.random.default_rng(0)
for width, batch in ((1, 2), (3, 1), (9, 2)):
    x, y = random.normal(size=(3, 5)), random.normal(size=(3, width))
    model = gs.Sequential(gs.Linear(5, 3), gs.Tanh(), gs.LayerNorm(3), gs.Linear(3, width))
    for weight in (None, np.ones(3)):
        trainer = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=0.1), backend="numba", seed=0)
        trainer.fit(gs.Dataset(x, y, weight), epochs=1, batch_size=batch, verbose=False)
"""


@pytest.mark.long
def test_steps_of_one_row_stay_inside() -> None:
    """Their weights have gradients of one term, and a vector may be wider than a row of outputs."""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1"}
    done = subprocess.run([sys.executable, "-c", INSIDE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
