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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, ClassVar

import numpy as np

from . import host, kernel_cache, machine, matrix_unit
from .base import Backend, Bindable, Status
from .errors import out_of_memory
from .numpy import NumPyBackend

PACKAGE = __name__.split(".")[0]
TESTED = "numba>=0.62,<0.69"
TUNED, KEPT, PLAIN = range(3)  # with Numba's private parts; plain `njit`, kept on disk; plain `njit` alone
logger = logging.getLogger(__name__)


def compiled(text: FunctionType, **functions: FunctionType) -> Callable[..., Any]:
    """`text` compiled by Numba, with every function of this package that it calls, down to machine instructions.

    `functions` stand in, by name, for functions that are called at any depth.
    The division check of Python's error model stops vectorisation, hence ``error_model="numpy"``.
    """
    return _compiled(text, tuple(sorted(functions.items())), False, _way()[0])


def remark() -> str:
    """What of Numba's private parts failed, so that plain `njit` compiles; empty where they work."""
    return _way()[1]


@cache
def _way() -> tuple[int, str]:
    """How functions are compiled here, and why not as intended: the first way in which a tiny kernel runs.

    Numba has no promise for its private parts (`numba_called`, `kernel_cache`, `_forget_constants`). They make
    compilation faster and change no result.
    """
    import numba

    said = ""
    for way in (TUNED, KEPT, PLAIN):
        x = np.ones(3, dtype=np.float32)
        try:
            _compiled(_probe, (), False, way)(0, 3, x)
            if x.tolist() != [2, 2, 2]:
                raise RuntimeError(f"a tiny kernel gave {x.tolist()} instead of [2, 2, 2]")
        except Exception as error:
            if way == PLAIN:
                raise
            said = said or (
                f"Numba {numba.__version__} lacks private parts that Gearshift uses ({type(error).__name__}: {error}), "
                "so kernels are compiled by plain njit, which takes longer; to install a version that was tested: "
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
    """With `called` for calls from compiled functions alone, which are part of those when they are kept on disk."""
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
    # files of the cache are told apart by this name
    names = ",".join(f"{name}={value.__module__}.{value.__qualname__}" for name, value in functions)
    foreign = _foreign(text, dict(functions))
    digest = hashlib.sha256(f"{names}{foreign}".encode()).hexdigest()[:16]
    function.__module__, function.__qualname__ = text.__module__, f"{text.__qualname__}_{digest}"
    options: dict[str, Any] = _options(called) if way == TUNED else {}
    dispatcher: Any = numba.njit(error_model="numpy", nogil=True, **options)(function)
    if way == TUNED:
        _forget_constants(dispatcher)
    if not called and way != PLAIN and foreign is not None:
        _keep(dispatcher)
    return dispatcher


def _options(called: bool) -> dict[str, Any]:
    # a count of references would cost two locked instructions a slice: these functions make no arrays of their own
    options: dict[str, Any] = {"no_cpython_wrapper": called, "no_cfunc_wrapper": True, "_nrt": False}
    if called:
        from .numba_called import CalledCompiler

        options["pipeline_class"] = CalledCompiler
    return options


def _foreign(text: FunctionType, functions: Mapping[str, FunctionType]) -> str | None:
    """A hash of the files of those functions, called at any depth, that do not belong to this package.

    None where a function has no file, so that nobody can tell in another process whether it is still the same.
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
                compiled = (getattr(value, "py_func", None) for value in named)  # by the user, with Numba
                waiting += (value for value in compiled if isinstance(value, FunctionType))
    try:
        return ",".join(hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in sorted(files))
    except OSError:
        return None


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


def _keep(dispatcher: Any) -> None:
    """Keeps the machine code on disk, where there is a folder for it and a file that the function comes from."""
    from numba.core import config

    folder = kernel_cache.folder()
    checked = bool(config.BOUNDSCHECK), machine.checks_bounds()  # pyright: ignore[reportAttributeAccessIssue]
    options = f"{sorted(dispatcher.targetoptions.items())} {checked} {config.OPT}"  # pyright: ignore
    if folder is not None:
        with suppress(OSError):  # the function was typed in, so that nothing names it in another process
            dispatcher._cache = kernel_cache.KernelCache(dispatcher.py_func, options, folder)


def _called(text: FunctionType, functions: Mapping[str, FunctionType]) -> dict[str, FunctionType]:
    """The functions of this package, or of the one that `text` is from, that it calls; by the name it knows them by."""
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
    """The global names that a function reads; `co_names` has those of attributes as well."""
    read = (one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL")
    return tuple(dict.fromkeys(read))


def _changes(text: FunctionType, name: str, function: FunctionType) -> bool:
    """Whether `text` calls, at any depth, something by `name` that is not this function already."""
    called = _called(text, {})
    return called.get(name, function) is not function or any(_changes(f, name, function) for f in called.values())


def _probe(start: int, stop: int, x: Any) -> None:
    """Exercises every private part: it calls another function, with a constant."""
    for i in range(start, stop):
        x[i] = _times(2, x[i])


def _times(a: int, b: Any) -> Any:
    return a * b


class NumbaBackend(NumPyBackend):
    """Runs an operation's loop where it has one, else its reference."""

    name: ClassVar[str] = "numba"
    precisions = Backend.precisions  # compiled loops know no numbers of sixteen bits, and would gain nothing by them

    @classmethod
    def status(cls) -> Status:
        try:
            import numba

            said = remark()
        except Exception as error:
            if out_of_memory(error):
                return Status(cls.name, runs=False, reason="there is not enough memory to load Numba")
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
            remark=said,
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
