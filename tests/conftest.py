"""Says how long tests take. GEARSHIFT_CUDA_STAND_IN=1 makes this process and its children run CuPy on a stand-in."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "cuda"))

import pytest
import stand_in

if stand_in.wanted() and not stand_in.obstacle():
    stand_in.boot()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(stand_in.SITE), os.environ.get("PYTHONPATH")]))


os.environ.setdefault("GEARSHIFT_MEASURE", "off")  # results must not depend on how busy this machine is


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background jobs; tests of Ctrl-C would hang
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Gives each process of -n files of its own: side by side, two would compile the same kernels."""
    if config.getoption("dist", None) == "load":  # what -n sets; in pyproject.toml it would turn benchmarks off
        config.option.dist = "worksteal"


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """A test's --quiet ends with the test."""
    from gearshift.dl import streams

    logger = logging.getLogger("gearshift")
    before = streams._level, logger.level
    yield
    streams._level, level = before
    logger.setLevel(level)


def pytest_report_header() -> list[str]:
    return [
        "all tests: 8 to 14 minutes on 2 cores with -n auto, some of it to compile kernels the first time",
        "the rest: pytest -n auto -m slow (about 6 minutes), and .ci/long",
    ]
