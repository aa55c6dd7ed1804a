"""The CPU backend with loops compiled by Numba.

A training step runs on the thread pool (`thread_pool`) without a BLAS library, as a fused MLP (`kernels.dense.chain`)
or as a list of operations (`tasks`). An operation that is bound alone runs on the calling thread, and a matrix product
that is bound alone uses NumPy's BLAS: its threads spin for a while after each product, and a second thread pool would
wait for a CPU for whole scheduler ticks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np

from . import addresses, choices, host, matrix_unit, tasks, vectors
from .base import Backend, Bindable, Status
from .choices import Choices
from .errors import out_of_memory
from .numba_compile import compiled, probe, remark
from .numpy import NumPyBackend
from .thread_pool import thread_pool

logger = logging.getLogger(__name__)


@cache
def _tasks_run() -> bool:
    """Whether `tasks` works here, which uses Numba's private parts."""
    x = np.ones(3, np.float32)
    memory = addresses.room((x,))
    try:
        place = memory.ctypes.data
        function = compiled(tasks.bind, loop=probe)(place, (x,))
        compiled(tasks.run)(0, 1, 1, np.array([[function, place, 3, 1, 1]]), thread_pool().flags)
    except Exception as error:
        logger.warning("Numba cannot run lists of compiled operations (%s), so Python calls each of them", error)
        return False
    return x.tolist() == [2, 2, 2]


class NumbaBackend(NumPyBackend):
    """Runs an operation's compiled loop if it has one, otherwise its reference."""

    name: ClassVar[str] = "numba"
    precisions = Backend.precisions  # compiled loops do not support half precision and would not be faster with it

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
            device=f"{host.processor()}, {vectors.cpu()}" + (", with a matrix unit" if matrix_unit.available() else ""),
            versions={"numba": numba.__version__, "numpy": np.__version__},
            memory=host.memory(),
            threads={"compiled steps": host.threads(), **host.blas_threads()},
            remark=said,
        )

    def bind(
        self, operation: Bindable, arrays: Sequence[Any], attributes: Mapping[str, int | float]
    ) -> Callable[[], None]:
        loop = getattr(operation, "loop", None)
        if loop is None:
            return super().bind(operation, arrays, attributes)
        extent = operation.extent(*arrays)  # pyright: ignore[reportAttributeAccessIssue]
        # compiled loops take positional arguments only, and attributes may come in any order
        names = loop.__code__.co_varnames[2 + len(arrays) : loop.__code__.co_argcount]
        return partial(compiled(loop), 0, extent, *arrays, *(attributes[name] for name in names))

    def __init__(self) -> None:
        super().__init__()
        self._choices, self._used = Choices(choices.file("plans.json"), lambda words: len(words) in (2, 3)), set[str]()

    @property
    def choices(self) -> dict[str, Any]:
        return {name: self._choices[name] for name in sorted(self._used)}

    def restore(self, choices: Any) -> None:
        self._choices.restore(choices)

    def chosen(self, name: str, measure: Callable[[], tuple[list[int], bool]]) -> list[int]:
        self._used.add(name)
        return self._choices[name] if name in self._choices else self._choices.choose(name, *measure())

    @property
    def runs_tasks(self) -> bool:
        return _tasks_run()

    def compiled(self, text: Any, **functions: Any) -> Callable[..., Any]:
        return compiled(text, **functions)
