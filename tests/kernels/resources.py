"""What the compiler gives each kernel: registers and shared memory, by architecture, held to a committed table.

A kernel that is not in the table, as a new one, is held to the bounds of `test_cuda_compile` alone.

python tests/kernels/resources.py     writes the table anew, after a look at what changed
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import nvrtc
from cuda_cases import KERNELS, SHORT, UPDATES, cases, copying, operations
from formula_cases import LIBRARY, case_of, nodes

from gearshift.backends.cuda import KernelProgram, prepare
from gearshift.bench.batch.measure.streams import PASSES
from gearshift.bench.gpu_proof.streams import STREAMS
from gearshift.kernels.operation import Operation

REALS, SHORTS = (np.float32, np.float64), (ml_dtypes.bfloat16, np.float16)
TABLE = Path(__file__).with_name("resources.json")
EVERY_TYPE_ON = ("75", "90", "120")  # the oldest, Hopper, the newest; elsewhere float32 alone is compiled
ARCHITECTURES = ("75", "80", "86", "89", "90", "90a", "100", "120")
CUPY = ("--device-as-default-execution-space", "-ftz=true")  # what CuPy 14 adds to a kernel's own options
_USE = re.compile(
    r"Compiling entry function '(?P<entry>\w+)'.*?(?P<stack>\d+) bytes stack frame, "
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?:[^']*?, (?P<shared>\d+) bytes smem)?",
)


@cache
def programs() -> dict[KernelProgram, str]:
    """Every distinct program over all cases of all operations, with a name for it."""
    found = {}
    for name, reals in (*((name, REALS) for name in KERNELS), *((name, SHORTS) for name in SHORT)):
        for real in reals:
            for case in cases(name, real, 3, 5):
                add(found, prepare(operations()[name], case.arrays, case.attributes).program)
    for name in set(UPDATES) & set(KERNELS):
        for real in SHORTS:
            for operation, case in copying(name, real, 3, 5):
                add(found, prepare(operation, case.arrays, case.attributes).program)
    for name in LIBRARY:
        for dtype, precision in (("float32", None), ("float64", None), ("float32", "bfloat16"), ("float32", "float16")):
            for node in nodes(name, dtype, precision):
                add(found, prepare(node.operation, case_of(node, 3).arrays, {}).program)
    for operation, arrays, attributes in memory_streams():
        add(found, prepare(operation, arrays, attributes).program)
    return found


def memory_streams() -> list[tuple[Operation, list[np.ndarray], dict[str, Any]]]:
    """The kernels that the memory's rate is measured with, with arguments."""
    floats, words = [np.zeros(8, np.float32) for _ in range(4)], [np.zeros(8, np.int64)]
    return [(STREAMS, floats, {}), *((one, words, {}) for one in PASSES.values())]


def add(found: dict[KernelProgram, str], program: KernelProgram) -> None:
    """Enters a program under its types."""
    found.setdefault(program, " ".join(f"{macro}={text}" for macro, text in program.macros))


def programs_for(architecture: str) -> dict[KernelProgram, str]:
    """Those that are compiled for ``"90a"``; no text asks for which architecture it is compiled."""
    if architecture in EVERY_TYPE_ON:
        return programs()
    others = {"double", "bfloat16", "float16"}
    return {p: types for p, types in programs().items() if others.isdisjoint(dict(p.macros).values())}


@cache
def compiled(architecture: str) -> tuple[dict[str, dict[str, int]], list[str]]:
    """For ``"90a"``: each kernel's registers, stack, spilled and shared bytes, and all else that the compiler said."""
    kernels, said = {}, []

    def compile(program: KernelProgram) -> tuple[bytes, str]:
        return nvrtc.compile_cubin(program.text, [f"-arch=sm_{architecture}", "--ptxas-options=-v", *CUPY])

    with ThreadPoolExecutor() as pool:
        done = list(pool.map(compile, programs_for(architecture)))
    for types, (binary, log) in zip(programs_for(architecture).values(), done, strict=True):
        said += [line for line in log.splitlines() if not line.startswith(("ptxas info", "ptxas         ."))]
        if binary[:4] != b"\x7fELF":
            said.append(f"{types}: no binary")
        for use in _USE.finditer(log.replace("\n", " ")):
            numbers = {key: int(value or 0) for key, value in use.groupdict().items() if key != "entry"}
            kernels[f"{use['entry']} {types}".strip()] = numbers
    return kernels, said


def used(architecture: str) -> dict[str, list[int]]:
    """Registers and shared bytes of each kernel."""
    return {name: [use["registers"], use["shared"]] for name, use in sorted(compiled(architecture)[0].items())}


if __name__ == "__main__":
    by_kernel: dict[str, dict[str, list[int]]] = {}
    for known in ARCHITECTURES:
        for kernel, numbers in used(known).items():
            by_kernel.setdefault(kernel, {})[known] = numbers
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(by_kernel[name])}" for name in sorted(by_kernel))
    text = f'{{\n  "compiler": "{nvrtc.version()}",\n  "registers and shared bytes": {{\n{lines}\n  }}\n}}\n'
    TABLE.write_text(text, encoding="utf-8")
