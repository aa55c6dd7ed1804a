"""Lists of compiled operations that the threads of a pool run together, without Python between them.

`bind` stores the arguments of a loop in memory and returns the address of a function that runs a range of the loop's
items on them. `run` calls such functions by their addresses: each thread runs its share of the items of one task, then
the threads wait for each other. A table has a row per task, with the columns below.
"""

from __future__ import annotations

from typing import Any

from .addresses import address_of, call, keep
from .thread_pool import share, wait

FUNCTION, ARGUMENTS, ITEMS, GRAIN, THREADS = range(5)  # columns of a table of tasks
COLUMNS = 5


def run(thread: int, threads: int, count: int, table: Any, flags: Any) -> None:
    """A thread's share of the tasks of a table, `count` times."""
    for _ in range(count):
        for task in range(table.shape[0]):
            row = table[task]
            used = min(threads, row[THREADS])
            if thread < used:
                start, stop = share(row[ITEMS], thread, used, row[GRAIN])
                if start < stop:
                    call(row[FUNCTION], row[ARGUMENTS], (start, stop))
            wait(thread, threads, flags)


def bind(place: int, arguments: Any) -> int:
    """Stores the arguments of `loop` at an address; returns the address of a function that calls it with them."""
    keep(place, arguments)
    return address_of(loop, arguments, (0, 0))


def loop(start: int, stop: int, *arguments: Any) -> None:
    """The loop of an operation, which replaces this function."""
