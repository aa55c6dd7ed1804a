"""What the suites share: each backend that runs here, and what is noted beside a timing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

import gearshift as gs
from gearshift.backends import Backend
from gearshift.dl.step.costs import Cost


@pytest.fixture(params=("numpy", "numba", "cupy"))
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend; one that does not run here is skipped and says why."""
    status = gs.backends.available()[request.param]
    if not status.runs:
        pytest.skip(f"{request.param}: {status.reason}")
    return gs.backends.get(request.param)


@pytest.fixture
def timed(backend: Backend, benchmark: Any) -> Callable[..., None]:
    """Times a call until the device is done with it, beside others of its group.

    `costs` are what all the work of one call costs; they go into `extra_info`, with the device, the dtype and
    whatever else is named.
    """

    def time_it(call: Callable[[], object], group: str, costs: Iterable[Cost], dtype: str, **more: int) -> None:
        costs = list(costs)
        benchmark.group = group
        benchmark.extra_info.update(
            backend=backend.name,
            device=gs.backends.available()[backend.name].device,
            dtype=dtype,
            flops=sum(cost.flops for cost in costs),
            bytes=sum(cost.bytes for cost in costs),
            launches=sum(cost.launches for cost in costs),
            **more,
        )

        def work() -> None:
            call()
            backend.synchronize()

        work()  # compiles, which is not timed
        benchmark(work)

    return time_it
