"""A search's fits on a Dask cluster. What a lost worker did is repeated."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from ...backends.errors import BackendUnavailable, ConfigurationError
from ...backends.host import THREADS
from .worker_processes import DEATHS, MEMORY, Data, Item, Result

PATIENCE = 10  # seconds in which a scheduler must answer, and after which it is asked whether it has workers
WORKERLESS = 60  # seconds in which a new worker must come when all are lost


def on_dask(
    scheduler: str, function: Callable[[Data, Item], Result], data: Data, items: Sequence[Item]
) -> Iterator[tuple[int, Result]]:
    """Yields the place of each item and ``function(data, item)`` as results come, from the workers of a Dask scheduler.

    `scheduler` is an address such as ``"tcp://10.0.0.1:8786"``. The data go to each worker once. Each worker process
    uses as many threads as Dask gave it.

    Raises
    ------
    BackendUnavailable
        Dask is not installed, all workers are lost, or an item ends one worker after the other.
    ConfigurationError
        No scheduler answers there, or it has no workers.
    """
    where = f"the Dask scheduler at {scheduler}"
    with _connected(scheduler) as client:
        from distributed import CancelledError, KilledWorker, as_completed

        left, deaths = dict(enumerate(items)), 0
        while left:  # once more, if all workers that had the data, or were to have them, are lost
            if deaths == DEATHS:
                raise BackendUnavailable(f"all Dask workers were lost {DEATHS} times without a result; {MEMORY}?")
            deaths += 1
            try:
                client.wait_for_workers(1, timeout=WORKERLESS)
            except OSError:  # a timeout, too
                raise BackendUnavailable(f"{where} has had no workers for {WORKERLESS} s") from None
            try:
                shared = client.scatter(data, broadcast=True, hash=False)
            except (OSError, ValueError):  # a worker was lost meanwhile; ValueError if it was the last
                continue
            futures = {client.submit(function, shared, item, pure=False): place for place, item in left.items()}
            queue = as_completed(futures, loop=client.loop)
            while queue.count():
                _await(queue, client, where)
                future = next(queue)
                try:
                    result = future.result()
                except CancelledError:
                    continue
                except KilledWorker:
                    raise BackendUnavailable(f"a fit ended one Dask worker after the other; {MEMORY}?") from None
                place, deaths = futures.pop(future), 0
                del left[place]
                yield place, result


@contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    """A client of the scheduler, which has workers."""
    if find_spec("distributed") is None:
        raise BackendUnavailable("--scheduler needs Dask: pip install 'gearshift[dask]'")
    from distributed import Client

    client, why = None, ""
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0] or type(error).__name__
    if client is None:
        gc.collect()  # closes what was connected so far; later, it may close while Dask has a lock, and wait forever
        raise ConfigurationError(
            f"--scheduler {scheduler}: no Dask scheduler answers there ({why}); expected an address such as "
            "tcp://10.0.0.1:8786, as `dask scheduler` prints it"
        )
    with client:
        if not client.ncores():
            raise ConfigurationError(
                f"--scheduler {scheduler} has no workers; start some with `dask worker {scheduler}`"
            )
        client.register_plugin(_threads())
        yield client


def _await(queue: Any, client: Any, where: str) -> None:
    """Returns once a result is there; raises BackendUnavailable if there are no workers to send one."""
    asked = served = time.monotonic()
    while not queue.has_ready():
        time.sleep(0.02)
        now = time.monotonic()
        if now - asked < PATIENCE:
            continue
        asked = now
        try:
            if client.ncores():
                served = now
        except OSError as error:
            raise BackendUnavailable(f"{where} answers no more ({error})") from None
        if now - served > WORKERLESS:
            raise BackendUnavailable(f"{where} has had no workers for {WORKERLESS} s")


def _threads() -> Any:
    """A plugin by which a worker's processes use as many threads as Dask gave the worker, now and after a restart."""
    from distributed import WorkerPlugin

    class Threads(WorkerPlugin):
        name = "gearshift-threads"

        def setup(self, worker: Any) -> None:
            os.environ.setdefault(THREADS, str(worker.state.nthreads))

    return Threads()
