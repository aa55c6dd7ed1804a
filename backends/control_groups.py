"""Limits on this process that containers and batch systems set with Linux's control groups, of version 1 or 2.

The files are those of Linux's "Control Group v2" and "Control Groups version 1" documentation. A limit also holds for
groups inside, so the tightest counts, from the process's own group up to the outermost that is visible.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cpus() -> float:
    """The number of CPUs whose time this process may use; infinite without a limit."""
    least = math.inf
    for folder, files in _groups("cpu", ("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with suppress(OSError, ValueError):
            quota, period = " ".join((folder / name).read_text() for name in files).split()
            least = min(least, int(quota) / int(period) if quota not in ("max", "-1") else math.inf)
    return least


def memory() -> tuple[float, float]:
    """The bytes that are free, and all, under the limit that leaves least; infinite without a limit.

    Pages of files that were not used lately count as free, because Linux takes them first.
    """
    least = math.inf, math.inf
    second = "memory.max", "memory.current", "inactive_file"
    first = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
    for folder, (limit, usage, cached) in _groups("memory", second, first):
        with suppress(OSError, ValueError, KeyError):
            total, used = (float((folder / name).read_text().replace("max", "inf")) for name in (limit, usage))
            pages = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            least = min(least, (max(0.0, total - used + int(pages[cached])), total))
    return least


def _groups(controller: str, second: tuple[str, ...], first: tuple[str, ...]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The folder of each group that this process is in, and which of the names its version of control groups has."""
    with suppress(OSError, ValueError):
        for line in OWN.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            outermost = GROUPS / controller if controllers else GROUPS
            own = outermost / path.lstrip("/")
            for folder in (own, *own.parents):
                if folder.is_relative_to(outermost):
                    yield folder, first if controllers else second
