"""Compiles functions of this package with Numba, with everything that they call.

Numba's private parts make compilation faster (`numba_called`, `kernel_cache`); where they are missing, plain `njit`
compiles.
"""

from __future__ import annotations

import dis
import gc
import hashlib
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from . import compile_time, kernel_cache, machine

PACKAGE = __name__.split(".")[0]
TESTED = "numba>=0.62,<0.69"
TUNED, KEPT, PLAIN = range(3)  # with Numba's private parts; plain `njit` cached on disk; plain `njit` only
logger = logging.getLogger(__name__)


def compiled(text: FunctionType, **functions: FunctionType) -> Callable[..., Any]:
    """Compiles a function with Numba, with every function of this package that it calls.

    `functions` replace, by name, functions that are called at any depth.
    Python's division check prevents vectorisation, hence ``error_model="numpy"``. An attribute ``options`` of the
    function adds Numba's options for it.
    """
    return _compiled(text, tuple(sorted(functions.items())), False, _way()[0])


def remark() -> str:
    """Which of Numba's private parts failed, so that plain `njit` is used; empty if they work."""
    return _way()[1]


@cache
def _way() -> tuple[int, str]:
    """The compilation mode, and why it is not the intended one: the first mode that compiles a test kernel.

    Numba does not guarantee its private parts (used by `numba_called`, `kernel_cache`, `_forget_constants`). They
    make compilation faster and do not change results.
    """
    import numba

    said = ""
    for way in (TUNED, KEPT, PLAIN):
        x = np.ones(3, dtype=np.float32)
        try:
            _compiled(probe, (), False, way)(0, 3, x)
            if x.tolist() != [2, 2, 2]:
                raise RuntimeError(f"the test kernel returned {x.tolist()} instead of [2, 2, 2]")
        except Exception as error:
            if way == PLAIN:
                raise
            said = said or (
                f"Numba {numba.__version__} lacks private parts that Gearshift uses ({type(error).__name__}: {error}), "
                "so kernels are compiled by plain njit, which takes longer; to install a tested version: "
                f"pip install '{TESTED}'"
            )
        else:
            break
    if said:
        logger.warning(said)
    return way, said


@cache
def _compiled(
    text: FunctionType, functions: tuple[tuple[str, FunctionType], ...], called: bool, way: int
) -> Callable[..., Any]:
    """Compiles a function; `called` is for functions that only compiled functions call, which are cached with them."""
    import numba

    if way == TUNED:
        _watch_compilation()
    calls = _called(text, dict(functions))
    used = tuple(item for item in functions if _changes(text, *item))
    if used != functions:
        return _compiled(text, used, called, way)
    compiled = {
        name: machine.intrinsic(value) or _compiled(value, functions, True, way) for name, value in calls.items()
    }
    function = FunctionType(text.__code__, {**text.__globals__, **compiled}, text.__name__)
    # this name distinguishes files of the cache
    names = ",".join(f"{name}={value.__module__}.{value.__qualname__}" for name, value in functions)
    foreign = _foreign(text, dict(functions))
    digest = hashlib.sha256(f"{names}{foreign}".encode()).hexdigest()[:16]
    function.__module__, function.__qualname__ = text.__module__, f"{text.__qualname__}_{digest}"
    options: dict[str, Any] = _options(called) if way == TUNED else {}
    options |= getattr(text, "options", {})
    dispatcher: Any = numba.njit(error_model="numpy", nogil=True, **options)(function)
    if way == TUNED:
        _forget_constants(dispatcher)
    if not called and way != PLAIN and foreign is not None:
        _keep(dispatcher, alone=way == TUNED and not foreign)
    return dispatcher


def _options(called: bool) -> dict[str, Any]:
    # reference counting would cost two locked instructions per slice; these functions do not allocate arrays
    options: dict[str, Any] = {"no_cpython_wrapper": called, "no_cfunc_wrapper": True, "_nrt": False}
    if called:
        from .numba_called import CalledCompiler

        options["pipeline_class"] = CalledCompiler
    return options


def _foreign(text: FunctionType, functions: Mapping[str, FunctionType]) -> str | None:
    """A hash of the source files of called functions (at any depth) that do not belong to this package.

    None if a function has no file, since another process could not check whether it is still the same.
    """
    files: set[str] = set()
    waiting, seen = [text, *functions.values()], set[FunctionType]()
    while waiting:
        function = waiting.pop()
        if function not in seen:
            seen.add(function)
            waiting += _called(function, functions).values()
            if not _ours(function):
                files.add(function.__code__.co_filename)
                named = (function.__globals__.get(name) for name in function.__code__.co_names)
                compiled = (getattr(value, "py_func", None) for value in named)  # compiled by the user with Numba
                waiting += (value for value in compiled if isinstance(value, FunctionType))
    try:
        return ",".join(hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in sorted(files))
    except OSError:
        return None


def _forget_constants(dispatcher: Any) -> None:
    """Prevents Numba from compiling a function once per constant argument."""
    from numba.core import types

    template = dispatcher.get_call_template

    def get(arguments: Any, keywords: Any) -> Any:
        return template(tuple(types.unliteral(kind) for kind in arguments), keywords)

    dispatcher.get_call_template = get


@cache
def _watch_compilation() -> None:
    """Logs, once per process, that a kernel is being compiled because it is not in the on-disk cache; counts the time.

    Python's garbage collector is paused meanwhile: it would scan Numba's objects repeatedly, which are not garbage (a
    seventh of the time).
    """
    from numba.core import event

    @cache
    def log() -> None:
        logger.info("compiling kernels for this machine, once: this may take half a minute")

    class Watch(event.Listener):
        depth, collecting = 0, False  # nested compilations; only one thread compiles at a time

        def on_start(self, event: Any) -> None:
            compile_time.begin()
            if event.data["dispatcher"].py_func.__module__.startswith(f"{PACKAGE}.kernels."):
                log()
            if self.depth == 0:
                self.collecting = gc.isenabled()
                gc.disable()
            self.depth += 1

        def on_end(self, event: Any) -> None:
            compile_time.end()
            self.depth -= 1
            if self.depth == 0 and self.collecting:
                gc.enable()

    event.register("numba:compile", Watch())


def _keep(dispatcher: Any, alone: bool) -> None:
    """Caches the machine code on disk, if there is a cache folder and the function comes from a file.

    `alone`: nothing is called but functions of this package, which allocate nothing.
    """
    from numba.core import config

    folder = kernel_cache.folder()
    checked = bool(config.BOUNDSCHECK), machine.checks_bounds()  # pyright: ignore[reportAttributeAccessIssue]
    options = f"{sorted(dispatcher.targetoptions.items())} {checked} {config.OPT}"  # pyright: ignore
    if folder is not None:
        with suppress(OSError):  # the function was defined interactively, so another process cannot identify it
            dispatcher._cache = kernel_cache.KernelCache(dispatcher.py_func, options, folder, alone)


def _called(text: FunctionType, functions: Mapping[str, FunctionType]) -> dict[str, FunctionType]:
    """The functions that `text` calls, by name, if they are of this package or of its own package."""
    stand_ins = functions if _ours(text) else {}
    named = ((name, stand_ins.get(name, text.__globals__.get(name))) for name in _global_names(text.__code__))
    return {
        name: value
        for name, value in named
        if isinstance(value, FunctionType) and (_ours(value) or _root(value) == _root(text) or name in stand_ins)
    }


def _root(function: FunctionType) -> str:
    return (function.__module__ or "").partition(".")[0]


def _ours(function: FunctionType) -> bool:
    return _root(function) == PACKAGE


@cache
def _global_names(code: CodeType) -> tuple[str, ...]:
    """The global names that a function reads; `co_names` also contains attribute names."""
    read = (one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL")
    return tuple(dict.fromkeys(read))


def _changes(text: FunctionType, name: str, function: FunctionType) -> bool:
    """Whether `text` calls, at any depth, another function called `name`."""
    called = _called(text, {})
    return called.get(name, function) is not function or any(_changes(f, name, function) for f in called.values())


def probe(start: int, stop: int, x: Any) -> None:
    """A test kernel that uses every private part: it calls another function with a constant."""
    for i in range(start, stop):
        x[i] = _times(2, x[i])


def _times(a: int, b: Any) -> Any:
    return a * b
