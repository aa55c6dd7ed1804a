"""What a process knows of its ranks: the launcher's variables, its GPU, and what moves its backend's arrays."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from gearshift.backends import rank_gpu
from gearshift.backends.errors import ConfigurationError
from gearshift.backends.numpy import NumPyBackend
from gearshift.backends.ranks import LAUNCHERS, Launched, Ranks, launched


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that no launcher started."""
    for name in ("CUDA_VISIBLE_DEVICES", "GEARSHIFT_MPI", *(name for names in LAUNCHERS for name in names)):
        monkeypatch.setenv(name, "")  # so that what a test sets is undone
        monkeypatch.delenv(name)


def start(monkeypatch: pytest.MonkeyPatch, launcher: int, *numbers: int) -> None:
    """Sets a launcher's variables: number of ranks, of this one, of those on this machine, of this one among them."""
    for name, number in zip(LAUNCHERS[launcher], numbers, strict=False):
        monkeypatch.setenv(name, str(number))


@pytest.mark.parametrize("launcher", range(len(LAUNCHERS)))
@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ((8, 5, 4, 1), Launched(8, 5, 4, 1)),
        ((8, 5, 4), Launched(8, 5, 4, 1)),  # ranks are dealt out machine by machine
        ((8, 5), Launched(8, 5, 1, 0)),
        ((8,), Launched()),
    ],
)
def test_launchers_tell_the_ranks(
    launcher: int, numbers: tuple[int, ...], found: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(monkeypatch, launcher, *numbers)
    assert launched() == found
    monkeypatch.setenv("GEARSHIFT_MPI", "off")
    assert launched() == Launched(1, 0, 1, 0)


@pytest.mark.parametrize(
    ("visible", "ranks", "taken"),
    [
        (None, 2, ["0", "1"]),
        ("4,2,7", 3, ["4", "2", "7"]),
        ("GPU-a,GPU-b", 3, ["GPU-a", "GPU-b", "none"]),
        ("3", 2, ["3", "3"]),
        (None, 1, [None]),
    ],
)
def test_a_rank_takes_the_gpu_of_its_number_on_its_machine(
    visible: str | None, ranks: int, taken: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for rank in range(ranks):
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        if visible is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible
        start(monkeypatch, 1, 8, 5 + rank, ranks, rank)
        for _ in range(2):  # the second time changes nothing
            rank_gpu.choose()
        found.append(os.environ.get("CUDA_VISIBLE_DEVICES"))
    assert found == taken


def test_ranks_move_the_arrays_of_the_host_alone() -> None:
    class Elsewhere(NumPyBackend):
        name = "elsewhere"

        def __init__(self) -> None:
            self.xp = object()

    class Two(Ranks):
        size = 2

    ranks = Two()
    assert NumPyBackend().collective(ranks) is ranks
    with pytest.raises(ConfigurationError, match="backend 'elsewhere' trains in one process, and mpiexec started 2"):
        Elsewhere().collective(ranks)
    array = np.arange(3.0)
    Ranks().allreduce(array)
    Ranks().broadcast(array)
    assert array.tolist() == [0, 1, 2]
