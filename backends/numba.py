"""The fused CPU backend: operations' loops compiled by Numba, products by NumPy's BLAS.

An operation's loop runs on the calling thread. BLAS workers spin for a while after each product, and a second pool of
threads beside them would wait for the processor in multiples of the scheduler's tick. What calls no BLAS, like
`kernels.dense_chain`, may be compiled here and run by a `team`.
"""

from __future__ import annotations

import dis
import gc
import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from threading import RLock
from types import CodeType, FunctionType
from typing import Any, ClassVar

import numpy as np

from . import host, machine, matrix_unit
from .base import Backend, Bindable, Status
from .numpy import NumPyBackend

PACKAGE = __name__.split(".")[0]
_compiling = RLock()
logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where compiled loops are kept: by a hash of every source that they may be made from."""
    from platformdirs import user_cache_path

    base = os.environ.get("GEARSHIFT_CACHE_DIR") or user_cache_path("gearshift")
    return Path(base) / "numba" / _digest()


@cache
def _digest() -> str:
    """A hash of the sources as this process found them; what is edited later, it does not run.

    Numba's own cache does not notice edits to functions called from other files.
    """
    root = Path(__file__).parent.parent
    digest = hashlib.sha256(version("numba").encode())
    for source in sorted([*root.glob("kernels/*.py"), *root.glob("backends/*.py")]):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def compiled(text: FunctionType, **functions: FunctionType) -> Callable[..., Any]:
    """`text` compiled by Numba, with every function of this package that it calls, down to machine instructions.

    `functions` stand in, by name, for functions that are called at any depth.
    The division check of Python's error model stops vectorisation, hence ``error_model="numpy"``.
    """
    return _compiled(text, tuple(sorted(functions.items())), called=False)


@cache
def _compiled(text: FunctionType, functions: tuple[tuple[str, FunctionType], ...], called: bool) -> Callable[..., Any]:
    """With `called` for calls from compiled functions alone, which are part of those when they are kept on disk."""
    import numba
    from numba.core import config

    _watch_compilation()
    calls = _called(text, dict(functions))
    used = tuple(item for item in functions if _changes(text, *item))
    if used != functions:
        return _compiled(text, used, called)
    compiled = {
        name: machine.intrinsic(value) or _compiled(value, functions, called=True) for name, value in calls.items()
    }
    function = FunctionType(text.__code__, {**text.__globals__, **compiled}, text.__name__)
    # Numba tells files of its cache apart by this name, which file systems want short
    names = ",".join(f"{name}={value.__module__}.{value.__qualname__}" for name, value in functions)
    digest = hashlib.sha256(names.encode()).hexdigest()[:16]
    function.__module__, function.__qualname__ = text.__module__, f"{text.__qualname__}_{digest}"
    # a count of references would cost two locked instructions a slice: these functions make no arrays of their own
    ways: Any = {"no_cpython_wrapper": called, "no_cfunc_wrapper": True, "_nrt": False}
    if called:
        from .numba_called import CalledCompiler

        ways["pipeline_class"] = CalledCompiler
    dispatcher = numba.njit(error_model="numpy", nogil=True, **ways)(function)
    _forget_constants(dispatcher)
    if called:
        return dispatcher
    with _compiling:
        before, config.CACHE_DIR = config.CACHE_DIR, str(cache_folder())  # pyright: ignore[reportAttributeAccessIssue]
        try:
            dispatcher.enable_caching()
            _save_if_possible(dispatcher)
        except RuntimeError:
            pass  # nowhere to write: compiled anew in each process
        finally:
            config.CACHE_DIR = before  # pyright: ignore[reportAttributeAccessIssue]
    return dispatcher


def _forget_constants(dispatcher: Any) -> None:
    """Keeps Numba from compiling a function once for each constant that it is called with."""
    from numba.core import types

    template = dispatcher.get_call_template

    def get(arguments: Any, keywords: Any) -> Any:
        return template(tuple(types.unliteral(kind) for kind in arguments), keywords)

    dispatcher.get_call_template = get


@cache
def _watch_compilation() -> None:
    """Logs, once a process, that a kernel is compiled: one that is not in the cache on disk.

    Python's garbage collector rests meanwhile: what it would look through again and again is Numba's own, and no
    garbage (a seventh of the time).
    """
    from numba.core import event

    @cache
    def log() -> None:
        logger.info("compiling kernels for this machine, which takes some seconds")

    class Watch(event.Listener):
        depth, collecting = 0, False  # compilations within compilations; one thread at a time compiles

        def on_start(self, event: Any) -> None:
            if event.data["dispatcher"].py_func.__module__.startswith(f"{PACKAGE}.kernels."):
                log()
            if self.depth == 0:
                self.collecting = gc.isenabled()
                gc.disable()
            self.depth += 1

        def on_end(self, event: Any) -> None:
            self.depth -= 1
            if self.depth == 0 and self.collecting:
                gc.enable()

    event.register("numba:compile", Watch())


def _save_if_possible(dispatcher: Any) -> None:
    """Keeps a full disk from ending a training: what cannot be saved is compiled anew in the next process."""
    save = dispatcher._cache.save_overload

    def attempt(*arguments: Any) -> None:
        with suppress(OSError):
            save(*arguments)

    dispatcher._cache.save_overload = attempt


def _called(text: FunctionType, functions: Mapping[str, FunctionType]) -> dict[str, FunctionType]:
    """The functions of this package that `text` calls, by the name it knows them by."""
    named = ((name, functions.get(name, text.__globals__.get(name))) for name in _global_names(text.__code__))
    return {
        name: value
        for name, value in named
        if isinstance(value, FunctionType) and value.__module__.split(".")[0] == PACKAGE
    }


@cache
def _global_names(code: CodeType) -> tuple[str, ...]:
    """The global names that a function reads; `co_names` has those of attributes as well."""
    read = (one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL")
    return tuple(dict.fromkeys(read))


def _changes(text: FunctionType, name: str, function: FunctionType) -> bool:
    """Whether `text` calls, at any depth, something by `name` that is not this function already."""
    called = _called(text, {})
    return called.get(name, function) is not function or any(_changes(f, name, function) for f in called.values())


def _probe(start: int, stop: int, x: Any) -> None:
    for i in range(start, stop):
        x[i] += x[i]


class NumbaBackend(NumPyBackend):
    """Runs an operation's loop where it has one, else its reference."""

    name: ClassVar[str] = "numba"
    precisions = Backend.precisions  # compiled loops know no numbers of sixteen bits, and would gain nothing by them

    @classmethod
    def status(cls) -> Status:
        try:
            import numba

            x = np.ones(3, dtype=np.float32)
            compiled(_probe)(0, 3, x)  # pyright: ignore[reportArgumentType]
            if x.sum() != 6:
                raise RuntimeError(f"a tiny kernel gave {x.tolist()} instead of [2, 2, 2]")
        except Exception as error:
            return Status(
                cls.name, runs=False, reason=f"Numba does not run: {error}", remedy="pip install --upgrade numba"
            )
        return Status(
            cls.name,
            runs=True,
            device=host.processor() + (", with a matrix unit" if matrix_unit.available() else ""),
            versions={"numba": numba.__version__, "numpy": np.__version__},
            memory=host.memory(),
            threads={"dense chains": host.threads(), "other kernels": 1, **host.blas_threads()},
        )

    def bind(
        self, operation: Bindable, arrays: Sequence[Any], attributes: Mapping[str, int | float]
    ) -> Callable[[], None]:
        loop = getattr(operation, "loop", None)
        if loop is None:
            return super().bind(operation, arrays, attributes)
        extent = operation.extent(*arrays)  # pyright: ignore[reportAttributeAccessIssue]
        # compiled loops take no keywords here, and attributes may come in any order
        names = loop.__code__.co_varnames[2 + len(arrays) : loop.__code__.co_argcount]
        return partial(compiled(loop), 0, extent, *arrays, *(attributes[name] for name in names))

    def compiled(self, text: Any, **functions: Any) -> Callable[..., Any]:
        return compiled(text, **functions)
