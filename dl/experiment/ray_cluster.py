"""A search's fits on a Ray cluster. Ray repeats what a lost worker did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from socket import create_connection
from typing import Any
from urllib.parse import urlsplit

from ...backends.errors import BackendUnavailable, ConfigurationError
from ...backends.host import THREADS
from .worker_processes import DEATHS, MEMORY, Data, Item, Result

SCHEME = "ray://"
PATIENCE = 10  # seconds in which the client server must answer


def on_ray(
    address: str, function: Callable[[Data, Item], Result], data: Data, items: Sequence[Item]
) -> Iterator[tuple[int, Result]]:
    """Yields the place of each item and ``function(data, item)`` as results come, from the workers of a Ray cluster.

    `address` is that of the Ray client server of the head node, such as ``"ray://10.0.0.1:10001"``. The data go to each
    machine once. A fit uses one thread.

    Raises
    ------
    BackendUnavailable
        Ray is not installed, the cluster answers no more, or an item ends one worker after the other.
    ConfigurationError
        No cluster answers there.
    """
    with _connected(address) as ray:
        shared = ray.put(data)
        remote = ray.remote(num_cpus=1, max_retries=DEATHS - 1)(function)
        left = {remote.remote(shared, item): place for place, item in enumerate(items)}
        while left:
            try:
                done = ray.wait([*left])[0][0]
                result = ray.get(done)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
                raise BackendUnavailable(f"a fit ended one Ray worker after the other; {MEMORY}?") from None
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None  # as in this process, without the worker's traceback
            except ConnectionError as error:
                raise BackendUnavailable(f"the Ray cluster at {address} answers no more ({_line(error)})") from None
            yield left.pop(done), result


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected to the cluster."""
    if find_spec("ray") is None:
        raise BackendUnavailable(f"--scheduler {address} needs Ray: pip install 'gearshift[ray]'")
    import ray  # pyright: ignore[reportMissingImports]

    environment = {"env_vars": {THREADS: "1"}}
    try:
        server = urlsplit(address)
        create_connection((server.hostname, server.port), PATIENCE).close()  # Ray itself tries for half a minute
        ray.init(address, log_to_driver=False, logging_level="error", runtime_env=environment)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigurationError(
            f"--scheduler {address}: no Ray cluster answers there ({_line(error)}); expected the address of its client "
            "server, such as ray://10.0.0.1:10001, and RAY_AUTH_MODE=token if the cluster asks for a token"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
