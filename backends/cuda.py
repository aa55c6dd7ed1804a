"""Prepares CUDA launches of operations: source, macros, and arguments checked against the kernel's signature.

This module does not compile or run anything: a backend compiles the `KernelProgram` and launches the `KernelCall`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .base import Bindable
from .precision import is_short

SHARED = Path(__file__).parent.parent / "kernels"  # searched for #include files after the source's own folder

TYPES = {
    "bfloat16": "bfloat16",
    "float16": "float16",
    "float32": "float",
    "float64": "double",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long long",
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned int",
    "uint64": "unsigned long long",
}
"""The C type of each dtype; the half-precision types are defined in value.cuh."""

_NAMES = {text: name for name, text in TYPES.items()}
_INCLUDE = re.compile(r'^\s*#include "([^"]+)"$')
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_ENTRY = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(\w+)\s*\(([^)]*)\)')
_PARAMETER = re.compile(r"(?P<const>const\s+)?(?P<type>[\w ]+?)\s*(?P<pointer>\*)?\s*(?:__restrict__\s+)?(?P<name>\w+)")


@dataclass(frozen=True)
class KernelProgram:
    """The compiler's input. Equal programs share a binary."""

    source: str
    macros: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """What is compiled: the macros, then the source.

        Macros are not options of the compiler, because CuPy starts it once in every process for each set of options.
        """
        return "".join(f"#define {name} {text}\n" for name, text in self.macros) + self.source


@dataclass(frozen=True)
class KernelParameter:
    """One parameter of a kernel; for a pointer, `type` is the element type."""

    type: str
    name: str
    pointer: bool
    const: bool


@dataclass(frozen=True)
class KernelCall:
    """One prepared launch: the arguments are arrays and NumPy scalars of the types that the kernel declares.

    A call whose `grid` contains 0 has no work and must not be launched.
    """

    program: KernelProgram
    entry: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int
    arguments: tuple[Any, ...]

    @property
    def empty(self) -> bool:
        """Whether there is no work."""
        return 0 in self.grid


def prepare(operation: Bindable, arrays: Sequence[Any], attributes: Mapping[str, int | float]) -> KernelCall:
    """Prepares the launch of an operation's kernel on these arrays.

    Raises
    ------
    TypeError
        An array is not C-contiguous or has an unsupported dtype, or the launch does not match the signature.
    """
    cuda = operation.cuda  # pyright: ignore[reportAttributeAccessIssue]
    for index, array in enumerate(arrays):
        if not array.flags.c_contiguous:
            raise TypeError(
                f"{operation.name}: array {index} of shape {tuple(array.shape)} is not C-contiguous, "
                "but CUDA kernels require C-contiguous arrays"
            )
    macros = tuple((name, _macro(name, arrays[index].dtype)) for name, index in cuda.types.items())
    text = generated_text(cuda.text, operation.name) if cuda.text else source_text(folder(operation) / cuda.source)
    program = KernelProgram(text, macros)
    kernels = signatures(program.source)
    if cuda.entry not in kernels:
        raise TypeError(f"{operation.name}: {cuda.source} has no kernel {cuda.entry!r}; it has {', '.join(kernels)}")
    launch = cuda.launch(*arrays, **attributes)
    arguments = typed(f"{operation.name}: kernel {cuda.entry}", kernels[cuda.entry], dict(macros), launch.arguments)
    return KernelCall(program, cuda.entry, launch.grid, launch.block, launch.shared, arguments)


def folder(operation: Bindable) -> Path:
    """The folder of an operation's CUDA source: that of the file that defines the operation."""
    return Path(inspect.getfile(operation.reference)).parent


def _macro(name: str, dtype: Any) -> str:
    """The C type of a macro: REAL is the type of computations in a dtype; other macros are the dtype's own type."""
    return "float" if name == "REAL" and is_short(dtype) else type_name(dtype)


def type_name(dtype: Any) -> str:
    """The C type of a dtype."""
    name = np.dtype(dtype).name
    if name not in TYPES:
        raise TypeError(f"CUDA kernels do not support dtype {name}; expected one of: {', '.join(TYPES)}")
    return TYPES[name]


@cache
def source_text(path: Path) -> str:
    """The source of a ``.cu`` file with its includes inlined once each; compiler messages name the original file."""
    return "\n".join(_file(path, set())) + "\n"


@cache
def generated_text(text: str, name: str) -> str:
    """A generated source with its includes inlined once each."""
    return "\n".join(_lines(text, name, SHARED, set())) + "\n"


def _file(path: Path, seen: set[str]) -> Iterator[str]:
    return _lines(path.read_text(encoding="utf-8"), path.name, path.parent, seen)


def _lines(text: str, title: str, beside: Path, seen: set[str]) -> Iterator[str]:
    yield f'#line 1 "{title}"'
    for number, line in enumerate(text.splitlines(), 1):
        include = _INCLUDE.match(line)
        if include is None:
            yield "" if line == "#pragma once" else line
            continue
        name = include.group(1)
        if name not in seen:
            seen.add(name)
            path = beside / name
            yield from _file(path if path.exists() else SHARED / name, seen)
        yield f'#line {number + 1} "{title}"'


@cache
def signatures(source: str) -> dict[str, tuple[KernelParameter, ...]]:
    """The parameters of every ``extern "C" __global__`` kernel in a source, by kernel name."""
    return {
        name: tuple(_parameter(name, text) for text in parameters.split(",") if text.strip())
        for name, parameters in _ENTRY.findall(_COMMENT.sub("", source))
    }


def _parameter(kernel: str, text: str) -> KernelParameter:
    found = _PARAMETER.fullmatch(text.strip())
    if found is None:
        raise TypeError(f"kernel {kernel}: parameter {' '.join(text.split())!r} is not a plain value or pointer")
    return KernelParameter(found["type"], found["name"], found["pointer"] is not None, found["const"] is not None)


def typed(
    kernel: str, parameters: Sequence[KernelParameter], macros: Mapping[str, str], arguments: Sequence[Any]
) -> tuple[Any, ...]:
    """The arguments converted to the parameter types, arrays unchanged; raises TypeError for a mismatch."""
    if len(arguments) != len(parameters):
        raise TypeError(f"{kernel} takes {len(parameters)} arguments, but its launch passes {len(arguments)}")
    values = []
    for parameter, value in zip(parameters, arguments, strict=True):
        dtype = _NAMES[macros.get(parameter.type, parameter.type)]
        values.append(
            _array(kernel, parameter, dtype, value) if parameter.pointer else _scalar(kernel, parameter, dtype, value)
        )
    return tuple(values)


def _array(kernel: str, parameter: KernelParameter, dtype: str, value: Any) -> Any:
    array = hasattr(value, "dtype") and not isinstance(value, np.generic)
    given = f"an array of {np.dtype(value.dtype).name}" if array else repr(value)
    if not array or np.dtype(value.dtype).name != dtype:
        raise TypeError(f"{kernel}: {parameter.name} is {given}, expected an array of {dtype}")
    return value


def _scalar(kernel: str, parameter: KernelParameter, dtype: str, value: Any) -> np.generic:
    whole = isinstance(value, (int, np.integer))
    if whole or ("float" in dtype and isinstance(value, (float, np.floating))):
        return np.dtype(dtype).type(value)
    raise TypeError(f"{kernel}: {parameter.name} is {value!r}, expected a value of {dtype}")
