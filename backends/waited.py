"""How long this process waited for a CPU."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

TASKS, PROCESSORS = Path("/proc/self/task"), Path("/proc/stat")
STOLEN, TICK = 8, 0.01  # where the first line of /proc/stat has what the hypervisor took, and in seconds of what size


def waited() -> float:
    """Seconds that this process's threads were ready but had no CPU, plus those that the hypervisor took.

    On systems without this information, such as macOS and Windows, it is constant.
    """
    total = 0.0
    with suppress(OSError, ValueError, IndexError):
        for task in TASKS.iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
                total += int((task / "schedstat").read_text().split()[1]) / 1e9
    with suppress(OSError, ValueError, IndexError), PROCESSORS.open() as file:
        total += int(file.readline().split()[STOLEN]) * TICK
    return total
