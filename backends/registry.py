"""Which backends there are, which run here, and which one is meant."""

from __future__ import annotations

import importlib
import os
from functools import cache

from .base import Backend, Status
from .errors import BackendUnavailable, ConfigurationError

ENVIRONMENT = "GEARSHIFT_BACKEND"

_BUILT_IN: dict[str, str | type[Backend]] = {
    "cupy": "gearshift.backends.cupy:CuPyBackend",
    "numba": "gearshift.backends.numba:NumbaBackend",
    "numpy": "gearshift.backends.numpy:NumPyBackend",
}  # in the order in which `auto` tries them
_registered = dict(_BUILT_IN)


def register(name: str, backend: str | type[Backend]) -> None:
    """Makes a backend available by name: a `Backend` class, or ``"module:Class"``, imported at first need."""
    if name == "auto":
        raise ConfigurationError("backend name 'auto' is taken: it stands for the choice among the others")
    _registered[name] = backend
    _forget()


def unregister(name: str) -> None:
    """Takes `register` back: the name is gone, or, if it is a built-in backend's, stands for that one again.

    Raises
    ------
    ConfigurationError
        No backend of that name is registered.
    """
    if name not in _registered:
        raise ConfigurationError(f"backend {name!r} is not registered; expected one of: {', '.join(_registered)}")
    if name in _BUILT_IN:
        _registered[name] = _BUILT_IN[name]
    else:
        del _registered[name]
    _forget()


def available() -> dict[str, Status]:
    """Each registered backend's status, by name. Every one is tried in earnest, once a process."""
    return {name: _status(name) for name in _registered}


def get(name: str | None = None) -> Backend:
    """The backend `name`; without a name, or with ``"auto"``, the one of GEARSHIFT_BACKEND, else the best that runs.

    Raises
    ------
    ConfigurationError
        No backend of that name is registered.
    BackendUnavailable
        The backend is registered and does not run here; the message says why and what to install.
    """
    name = resolve(name)
    if name == "auto":
        return _get(next(candidate for candidate in _registered if _status(candidate).runs))
    check_known(name)
    status = _status(name)
    if not status.runs:
        remedy = f" To install what is missing: {status.remedy}" if status.remedy else ""
        raise BackendUnavailable(f"backend {name!r} cannot run here: {status.reason}.{remedy}")
    return _get(name)


Backend.by_name = staticmethod(get)


def check_known(name: str) -> None:
    """Raises ConfigurationError where no backend is registered by that name, which may be ``"auto"``."""
    known = ["auto", *_registered]
    if name not in known:
        raise ConfigurationError(f"backend {name!r} is not known; expected one of: {', '.join(known)}")


def resolve(name: str | None) -> str:
    """The name that is meant: `name` unless it leaves the choice open, then GEARSHIFT_BACKEND, else ``"auto"``."""
    if name not in (None, "auto"):
        return name
    return os.environ.get(ENVIRONMENT) or "auto"


def explain(backend: Backend) -> str:
    """One line: the backend chosen, its device, and why not the GPU."""
    line = f"backend {backend.name} on {_status(backend.name).device}"
    gpu = _status("cupy")
    return line if gpu.runs else f"{line} (no GPU: {gpu.reason})"


def _forget() -> None:
    """So that every backend is tried again at need."""
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
    except ConfigurationError:  # the user's own setting, as of the threads: no reason to take another backend
        raise
    except Exception as error:  # a third party's backend that breaks is one that does not run
        return Status(name, runs=False, reason=f"{type(error).__name__}: {error}")


@cache
def _get(name: str) -> Backend:
    return _load(name)()
