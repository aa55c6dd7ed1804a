"""Arguments for every operation that has a CUDA text: random arrays of given sizes, each set of attributes.

A family of operations has a file beside, with a function for each operation, of its name.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import cuda_activations
import cuda_data
import cuda_gradients
import cuda_losses
import cuda_norms
import cuda_sequences
import cuda_updates
import numpy as np
from cuda_draw import Case, Draw, counters

import gearshift
import gearshift.kernels
from gearshift.backends import cuda
from gearshift.backends.precision import is_short
from gearshift.kernels.operation import Operation
from gearshift.kernels.updates.update import with_copy

FAMILIES = (
    cuda_activations,
    cuda_data,
    cuda_gradients,
    cuda_losses,
    cuda_norms,
    cuda_sequences,
    cuda_updates,
)
SHORT_TYPES = ("VALUE", "BATCH", "GRADIENT", "RESULT")  # what kernels call arrays that may be of sixteen bits
_BUILDERS: dict[str, Callable[[Draw, int, int], Iterator[Case]]] = {
    name: value
    for family in FAMILIES
    for name, value in vars(family).items()
    if getattr(value, "__module__", "") == family.__name__ and not name.startswith("_")
}


@cache
def operations() -> dict[str, Operation]:
    """Every operation of the package, by name: those of kernels/, and those beside a layer, a loss or an optimizer."""
    for module in pkgutil.walk_packages(gearshift.kernels.__path__, "gearshift.kernels."):
        importlib.import_module(module.name)
    places = [sys.modules[name] for name in sorted(sys.modules) if name.startswith("gearshift.kernels.")]
    for family in (gearshift.Layer, gearshift.Loss, gearshift.Optimizer):
        kinds = [kind for kind in family.registered.values() if kind.__module__.startswith("gearshift.")]
        places += [sys.modules[kind.__module__] for kind in kinds] + kinds
        places += [SimpleNamespace(operation=getattr(kind, "operation", None)) for kind in kinds]
    found = {}
    for place in places:
        for value in vars(place).values():
            if isinstance(value, Operation):
                assert found.setdefault(value.name, value) is value, f"two operations are called {value.name}"
    return found


def _with(role: str) -> tuple[str, ...]:
    return tuple(sorted(name for name, operation in operations().items() if operation.role == role))


COVERED = sorted(_BUILDERS)
KERNELS = [name for name in COVERED if name not in operations() or operations()[name].cuda]
"""Those with a CUDA kernel."""
UPDATES, LOSSES = _with("update"), _with("loss")
SHORT = sorted(
    name for name, operation in operations().items() if operation.cuda and operation.short and name not in UPDATES
)
"""Those whose kernel takes arrays of sixteen bits; what an update writes so is its copy of the weights."""


def cases(name: str, real: Any, rows: int, n: int, seed: int = 0) -> Iterator[Case]:
    """Every case of the operation `name` at one size; of sixteen bits are the arrays that its kernel takes so."""
    if not is_short(real):
        yield from _BUILDERS[name](Draw(np.random.default_rng(seed), np.dtype(real)), rows, n)
        return
    for case in cases(name, np.float32, rows, n, seed):
        types = _types(operations()[name], case)
        for wide in [()] if "GRADIENT" not in types else [(), ("GRADIENT",)]:  # gradients may also stay float32
            arrays = [
                array.astype(real) if array.dtype == np.float32 and type_ in set(SHORT_TYPES) - set(wide) else array
                for array, type_ in zip(case.arrays, types, strict=True)
            ]
            yield replace(case, arrays=arrays)


def _types(operation: Operation, case: Case) -> list[str]:
    """What the kernel calls the type of each array; an array that it does not take has none."""
    call = cuda.prepare(operation, case.arrays, case.attributes)
    parameters = cuda.signatures(call.program.source)[call.entry]
    types = {id(argument): parameter.type for parameter, argument in zip(parameters, call.arguments, strict=True)}
    return [types.get(id(array), "") for array in case.arrays]


def copying(name: str, copy: Any, rows: int, n: int) -> Iterator[tuple[Operation, Case]]:
    """Cases of an update that also writes a copy of another dtype."""
    for case in cases(name, np.float32, rows, n):
        for changes in {}, {"skip": 1}, {"failed": 3}:
            arrays = [array.copy() for array in case.arrays]
            arrays[-2] = counters(**changes)
            arrays.append(arrays[0].astype(copy))
            yield with_copy(operations()[name]), Case(arrays, (*case.written, len(arrays) - 1), case.attributes)
