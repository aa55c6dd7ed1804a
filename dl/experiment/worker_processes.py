"""A search's fits in processes of this machine. What a lost process did is repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from logging import WARNING
from typing import Any, TypeVar

from joblib import Parallel, delayed

from ...backends.errors import BackendUnavailable
from ..streams import say

Data = TypeVar("Data")
Item = TypeVar("Item")
Result = TypeVar("Result")

DEATHS = 3  # of worker processes, one after the other without a result
MEMORY = "is there enough memory"


def on_processes(
    jobs: int | None, function: Callable[[Data, Item], Result], data: Data, items: Sequence[Item]
) -> Iterator[tuple[int, Result]]:
    """Yields the place of each item and ``function(data, item)`` as results come, from processes of this machine.

    Raises
    ------
    BackendUnavailable
        Worker processes died again and again.
    """
    left, deaths = dict(enumerate(items)), 0
    while left:
        calls = [delayed(_placed)(function, data, place, item) for place, item in left.items()]
        try:
            results: Any = Parallel(n_jobs=jobs, return_as="generator_unordered")(calls)
            for place, result in results:
                del left[place]
                deaths = 0
                yield place, result
        except BrokenExecutor:
            deaths += 1
            if deaths == DEATHS:
                why = f"worker processes died {DEATHS} times without a result"
                raise BackendUnavailable(f"{why}; {MEMORY}? fewer --jobs need less") from None
            say("a worker process died; what it tried is tried again", WARNING)


def _placed(function: Callable[[Data, Item], Result], data: Data, place: int, item: Item) -> tuple[int, Result]:
    return place, function(data, item)
