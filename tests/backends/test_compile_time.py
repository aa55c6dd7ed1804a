"""The clock of preparing kernels: what Numba compiles counts, and nested parts count once."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from gearshift.backends import compile_time
from gearshift.backends.numba_compile import compiled


def tripled(x: Any) -> None:
    for i in range(len(x)):
        x[i] *= 3


def test_compiling_counts_and_running_does_not() -> None:
    x, before = np.ones(3, np.float32), compile_time.spent()
    run = compiled(tripled)
    run(x)
    after = compile_time.spent()
    assert after > before
    run(x)
    assert compile_time.spent() == after and x.tolist() == [9, 9, 9]


def test_nested_parts_count_once() -> None:
    before, start = compile_time.spent(), time.perf_counter()
    with compile_time.counted():
        with compile_time.counted():
            time.sleep(0.02)
        assert compile_time.spent() == before
    assert 0.02 <= compile_time.spent() - before <= time.perf_counter() - start
