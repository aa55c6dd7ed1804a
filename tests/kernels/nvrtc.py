"""NVIDIA's run-time compiler through ctypes: compiles for any architecture, without a GPU or a driver."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path


@cache
def load() -> ctypes.CDLL | None:
    """The library of the package nvidia-cuda-nvrtc-cu12 or the machine's own; None where there is neither."""
    package = importlib.util.find_spec("nvidia")
    folders = package.submodule_search_locations or [] if package else []
    found = [str(file) for folder in folders for file in sorted(Path(folder).glob("*/lib/libnvrtc.so.*[0-9]"))]
    for name in [*found, "libnvrtc.so.12", "libnvrtc.so.13"]:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def architectures() -> list[int]:
    """The compute capabilities that the compiler knows, as 90 for 9.0."""
    library = load()
    assert library
    count = ctypes.c_int()
    library.nvrtcGetNumSupportedArchs(ctypes.byref(count))
    numbers = (ctypes.c_int * count.value)()
    library.nvrtcGetSupportedArchs(numbers)
    return list(numbers)


def version() -> str:
    """The compiler's version, as 12.9."""
    library = load()
    assert library
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return f"{major.value}.{minor.value}"


def compile_cubin(source: str, options: Sequence[str], result: str = "CUBIN") -> tuple[bytes, str]:
    """The binary, empty where the text has errors, and the compiler's log, empty where it had nothing to say.

    With ``result="PTX"`` and an option like ``-arch=compute_90``, the text of the virtual machine.
    """
    library = load()
    assert library
    program = ctypes.c_void_p()
    _check(library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"program.cu", 0, None, None))
    try:
        arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failed = library.nvrtcCompileProgram(program, len(options), arguments)
        log = _text(library, program, "ProgramLog").decode().strip("\0\n")
        return b"" if failed else _text(library, program, result), log
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _text(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(library[f"nvrtcGet{what}Size"](program, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    _check(library[f"nvrtcGet{what}"](program, text))
    return text.raw


def _check(status: int) -> None:
    if status:
        raise RuntimeError(f"NVRTC failed with status {status}")
