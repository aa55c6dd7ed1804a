"""Where a search's fits run: in processes of this machine, or on a Dask cluster. joblib sends them there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from joblib import parallel_config

from ...backends.errors import BackendUnavailable, ConfigurationError
from ...backends.host import THREADS

PATIENCE = 10  # seconds in which a scheduler must answer


@contextmanager
def cluster(scheduler: str | None, data: Sequence[Any]) -> Iterator[None]:
    """Within it joblib runs its jobs on the cluster of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``.

    The arrays of `data` go to the workers once. Each worker process uses as many threads as Dask gave it. Without a
    scheduler, nothing changes.

    Raises
    ------
    BackendUnavailable
        Dask is not installed.
    ConfigurationError
        No scheduler answers there, or it has no workers.
    """
    if scheduler is None:
        yield
        return
    if find_spec("distributed") is None:
        raise BackendUnavailable("--scheduler needs Dask: pip install 'gearshift[dask]'")
    from distributed import Client

    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=True)
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0] or type(error).__name__
        raise ConfigurationError(
            f"--scheduler {scheduler}: no Dask scheduler answers there ({why}); expected an address such as "
            "tcp://10.0.0.1:8786, as `dask scheduler` prints it"
        ) from None
    with client:
        if not client.ncores():
            raise ConfigurationError(
                f"--scheduler {scheduler} has no workers; start some with `dask worker {scheduler}`"
            )
        client.register_plugin(_threads())
        with parallel_config(backend="dask", scatter=list(data)):
            yield


def _threads() -> Any:
    """A plugin by which a worker's processes use as many threads as Dask gave the worker, now and after a restart."""
    from distributed import WorkerPlugin

    class Threads(WorkerPlugin):
        name = "gearshift-threads"

        def setup(self, worker: Any) -> None:
            os.environ.setdefault(THREADS, str(worker.state.nthreads))

    return Threads()
