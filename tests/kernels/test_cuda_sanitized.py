"""The kernels once more, under the address and undefined-behaviour sanitizers; long, so on request only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_on_cpu import unavailable

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.environ.get("GEARSHIFT_SANITIZE") != "1", reason="runs with GEARSHIFT_SANITIZE=1 only"),
    pytest.mark.skipif(bool(unavailable()), reason=unavailable()),
]


@pytest.mark.parametrize("files", [("test_cuda_on_cpu.py", "test_short_numbers.py"), ("tracing/test_generated.py",)])
def test_kernels_touch_only_their_arrays(files: tuple[str, ...]) -> None:
    """The sanitizer must be loaded before Python allocates, hence a process of its own."""
    found = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True)
    if found.returncode or not Path(found.stdout.strip()).is_absolute():
        pytest.skip("g++ has no address sanitizer here")
    environment = {
        **os.environ,
        "CXX": "g++",
        "LD_PRELOAD": str(Path(found.stdout.strip()).resolve()),
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "PYTHONMALLOC": "malloc",
    }
    tests = (Path(__file__).parent / file for file in files)
    options = [
        "-q",
        "-x",
        "-s",
        "-p",
        "no:cacheprovider",
        "-k",
        "not loops and not nvrtc",
    ]  # -s lets the sanitizer's report through
    command = [sys.executable, "-m", "pytest", *options, *map(str, tests)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[:4000]}"
    assert " passed" in done.stdout
