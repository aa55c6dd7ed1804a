"""What is known of this machine: its memory, cores and processor, and the memory that the C library keeps."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends import host


def test_memory_is_this_machine_s() -> None:
    free, total = gs.backends.get("numpy").memory()
    assert 0 < free <= total
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        assert math.isclose(total, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), rel_tol=0.05)


def test_a_machine_without_proc_is_described_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: False)
    free, total = host.memory()
    assert 0 < free <= total
    assert host.processor().endswith(f"{host.cores()} cores")


def test_cores_and_blas_threads() -> None:
    from threadpoolctl import threadpool_limits

    assert 1 <= host.cores() <= (os.cpu_count() or 1)
    np.matmul(np.ones((2, 2)), np.ones((2, 2)))
    with threadpool_limits(1):
        assert set(host.blas_threads().values()) == {1}


FAULTS = """
import resource, sys
import numpy as np
import gearshift as gs
if "keep" in sys.argv:
    gs.backends.get("numpy")
def step():
    x = np.ones(1 << 17)
    y = x * x
    return float((x + y)[0])
for count in (5, 20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_temporary_arrays_cost_no_page_faults() -> None:
    """A step's temporary arrays lie where those of the step before lay; glibc by itself hands that memory back."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    plain = {name: value for name, value in os.environ.items() if name not in host.TUNED} | {"PYTHONPATH": path}

    def faults(*options: str, **variables: str) -> int:
        command, env = [sys.executable, "-c", FAULTS, *options], plain | variables
        return int(subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout)

    if not host.keep_freed_memory():
        pytest.skip("the C library is not glibc, or is told otherwise")
    assert faults("keep") < 100 < 1000 < faults()
    assert faults("keep", MALLOC_MMAP_THRESHOLD_="131072") > 1000, "whoever sets a variable is left alone"
