"""Limits of containers and batch systems, with the files as Linux's documentation of control groups describes them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from gearshift.backends import control_groups, host

GIB = 1 << 30
FIRST = "3:memory:/jobs/7\n2:cpu,cpuacct:/jobs/7\n1:name=systemd:/\n"


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes the groups that this process is in, and their files."""

    def written(own: str, files: dict[str, str]) -> None:
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / name).write_text(text)
        monkeypatch.setattr(control_groups, "GROUPS", tmp_path)
        monkeypatch.setattr(control_groups, "OWN", tmp_path / "own")

    return written


@pytest.mark.parametrize(
    ("own", "files", "cpus"),
    [
        ("0::/\n", {}, math.inf),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2.5),
        ("0::/jobs/7\n", {"jobs/7/cpu.max": "max 100000\n", "jobs/cpu.max": "300000 100000\n"}, 3),
        ("0::/not/visible/here\n", {"cpu.max": "50000 100000\n"}, 0.5),
        (FIRST, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        (FIRST, {"cpu/jobs/7/cpu.cfs_quota_us": "300000\n", "cpu/jobs/7/cpu.cfs_period_us": "100000\n"}, 3),
    ],
)
def test_cpus(own: str, files: dict[str, str], cpus: float, groups, monkeypatch: pytest.MonkeyPatch) -> None:
    groups(own, files)
    assert control_groups.cpus() == cpus
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert host.cores() == max(1, min(8, int(min(cpus, 8))))


@pytest.mark.parametrize(
    ("own", "folder", "names"),
    [
        ("0::/jobs/7\n", "jobs/7", ("memory.max", "memory.current", "inactive_file")),
        (FIRST, "memory/jobs/7", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")),
    ],
)
def test_memory(own: str, folder: str, names: tuple[str, str, str], groups) -> None:
    limit, usage, cached = names
    stat = f"anon 5\n{cached} {GIB // 2}\n"
    groups(
        own, {f"{folder}/{limit}": f"{4 * GIB}\n", f"{folder}/{usage}": f"{3 * GIB}\n", f"{folder}/memory.stat": stat}
    )
    assert control_groups.memory() == (1.5 * GIB, 4 * GIB)
    free, total = host.memory()
    assert free <= 1.5 * GIB and total <= 4 * GIB


def test_no_limit_of_memory(groups) -> None:
    groups("0::/\n", {"memory.max": "max\n", "memory.current": "100\n", "memory.stat": "inactive_file 7\n"})
    assert control_groups.memory() == (math.inf, math.inf)
    groups("garbage\n", {})
    assert control_groups.memory() == (math.inf, math.inf) and control_groups.cpus() == math.inf
