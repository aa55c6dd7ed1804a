"""The registry of backends: which exist, which run on this machine, and which one to use."""

from __future__ import annotations

import importlib
import os
from functools import cache

from .base import Backend, Status
from .errors import BackendUnavailable, ConfigurationError
from .ranks import launched

ENVIRONMENT = "GEARSHIFT_BACKEND"

_BUILT_IN: dict[str, str | type[Backend]] = {
    "cupy": "gearshift.backends.cupy:CuPyBackend",
    "numba": "gearshift.backends.numba:NumbaBackend",
    "numpy": "gearshift.backends.numpy:NumPyBackend",
}  # in the order in which `auto` tries them
_registered = dict(_BUILT_IN)


def register(name: str, backend: str | type[Backend]) -> None:
    """Registers a backend by name: a `Backend` class, or ``"module:Class"``, imported when first needed.

    Raises
    ------
    ConfigurationError
        `name` is ``"auto"``.

    Examples
    --------
    >>> class Plain(type(gs.backends.get("numpy"))):
    ...     name = "plain"
    >>> gs.backends.register("plain", Plain)
    >>> gs.backends.get("plain").name
    'plain'
    >>> gs.backends.unregister("plain")
    """
    if name == "auto":
        raise ConfigurationError("backend name 'auto' is reserved for the automatic choice; use another name")
    _registered[name] = backend
    _forget()


def unregister(name: str) -> None:
    """Reverts `register`: removes the name, or restores the built-in backend of that name.

    Raises
    ------
    ConfigurationError
        No backend of that name is registered.

    Examples
    --------
    >>> gs.backends.register("other", "other_package:OtherBackend")  # imported when it is first needed
    >>> gs.backends.unregister("other")
    """
    if name not in _registered:
        raise ConfigurationError(f"backend {name!r} is not registered; expected one of: {', '.join(_registered)}")
    if name in _BUILT_IN:
        _registered[name] = _BUILT_IN[name]
    else:
        del _registered[name]
    _forget()


def available() -> dict[str, Status]:
    """Each registered backend's status, by name. Each backend is tested once per process.

    Examples
    --------
    >>> gs.backends.available()["numpy"].runs
    True
    """
    return {name: _status(name) for name in _registered}


def get(name: str | None = None) -> Backend:
    """The backend `name`; for None or ``"auto"``, that of GEARSHIFT_BACKEND, otherwise the best available one.

    Raises
    ------
    ConfigurationError
        No backend of that name is registered.
    BackendUnavailable
        The backend is registered and does not run here; the message says why and what to install.

    Examples
    --------
    >>> gs.backends.get("numpy").name
    'numpy'
    """
    name = resolve(name)
    if name == "auto":
        return _get(next(candidate for candidate in _registered if _status(candidate).runs))
    check_known(name)
    status = _status(name)
    if not status.runs:
        _connect_ranks()
        remedy = f" To fix this: {status.remedy}" if status.remedy else ""
        raise BackendUnavailable(f"backend {name!r} cannot run here: {status.reason}.{remedy}")
    return _get(name)


Backend.by_name = staticmethod(get)


def check_known(name: str) -> None:
    """Raises ConfigurationError if no backend has this name; ``"auto"`` is accepted."""
    known = ["auto", *_registered]
    if name not in known:
        raise ConfigurationError(f"backend {name!r} is not known; expected one of: {', '.join(known)}")


def resolve(name: str | None) -> str:
    """The backend name to use: `name`; if that is None or ``"auto"``, GEARSHIFT_BACKEND; otherwise ``"auto"``."""
    if name not in (None, "auto"):
        return name
    return os.environ.get(ENVIRONMENT) or "auto"


def explain(backend: Backend) -> str:
    """One line: the backend chosen, its device, and why not the GPU.

    Examples
    --------
    >>> print(gs.backends.explain(gs.backends.get("numpy")).split(" on ")[0])
    backend numpy
    """
    line = f"backend {backend.name} on {_status(backend.name).device}"
    gpu = _status("cupy")
    return line if gpu.runs else f"{line} (no GPU: {gpu.reason})"


def _connect_ranks() -> None:
    """Connects the ranks, if there are several, so that an error of one, which has no GPU, ends all of them."""
    if launched().size > 1:
        from .launch import ranks  # sockets and processes, which one process does without

        ranks()


def _forget() -> None:
    """Clears the cached results, so that backends are tested again."""
    _get.cache_clear()
    _status.cache_clear()


def _load(name: str) -> type[Backend]:
    backend = _registered[name]
    if isinstance(backend, str):
        module, _, attribute = backend.partition(":")
        backend = getattr(importlib.import_module(module), attribute)
        assert not isinstance(backend, str)
    return backend


@cache
def _status(name: str) -> Status:
    try:
        return _load(name).status()
    except ConfigurationError:  # an invalid user setting is no reason to use another backend
        raise
    except Exception as error:  # a third-party backend that raises is not available
        return Status(name, runs=False, reason=f"{type(error).__name__}: {error}")


@cache
def _get(name: str) -> Backend:
    return _load(name)()
