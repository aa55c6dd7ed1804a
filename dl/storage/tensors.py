"""Reads and writes safetensors files (named tensors and metadata); headers are validated before use.

The format (https://huggingface.co/docs/safetensors): the header's length in 8 bytes, little-endian; the header, a JSON
object {name: {dtype, shape, data_offsets}} with text under `__metadata__`; then the data. The safetensors package
writes the metadata in random order, so that equal checkpoints differ in their bytes, and takes any header's size and
some duplicate names; hence the few lines here.
"""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from ...backends.errors import CheckpointError
from .atomic import write_atomically
from .files import opened


def strip(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The tensors whose name starts with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


MAX_HEADER_BYTES = 2**20
MAX_TENSORS = 10_000
_MAX_DIMENSIONS = 64  # NumPy's own limit
_METADATA = "__metadata__"
_CODES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "C64": "<c8", "BOOL": "?"}
_CODES |= {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"}
_DTYPES = {name: np.dtype(code) for name, code in _CODES.items()}
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_KNOWN = ", ".join(_DTYPES)
_SURROGATE = re.compile("[\ud800-\udfff]")  # a lone surrogate, which cannot be encoded

_shown = reprlib.Repr()  # long values are abbreviated in messages
_shown.maxstring, _shown.maxlong = 80, 24


@dataclass(frozen=True)
class TensorInfo:
    """The header entry of a tensor: its data are the bytes [start, stop) of the data area."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Header:
    """A validated header: the tensors in the order of their data, and the metadata."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]


class _Fault(Exception):
    """A fault in a file; `_naming` adds the file name to the message."""


def save_tensors(path: Path | str, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata to `path`, atomically; the same content gives the same bytes.

    Parameters
    ----------
    path : path
        The file.
    tensors : mapping of str to array
        Any shape, contiguous or not; bool, integers, float16, float32, float64 or complex64.
    metadata : mapping of str to str
        Strings stored with the tensors.

    Raises
    ------
    CheckpointError
        Something that `load_tensors` would refuse: a dtype, an unprintable name, a header over 1 MiB, …
    OSError
        The file cannot be written; an old one is untouched.
    """
    write_atomically(path, _encoded(path, tensors, metadata))


def check_tensors(path: Path | str, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Raise the CheckpointError that `save_tensors` would raise, and write nothing."""
    _encoded(path, tensors, metadata)


def _encoded(
    path: Path | str, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> list[bytes | memoryview]:
    """The bytes of a file, in parts."""
    with _naming("save", path):
        arrays = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
        document: dict[str, Any] = {_METADATA: dict(sorted(metadata.items()))}
        parts: list[memoryview] = []
        stop = 0
        # Widest type first keeps every tensor aligned
        for name, array in sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])):
            dtype = array.dtype.newbyteorder("<")
            if dtype not in _DTYPE_NAMES:
                raise _Fault(f"tensor {name!r} has dtype {array.dtype}, expected one of {_KNOWN}")
            start, stop = stop, stop + array.nbytes
            document[name] = {"dtype": _DTYPE_NAMES[dtype], "shape": array.shape, "data_offsets": [start, stop]}
            parts.append(_raw(array.astype(dtype, copy=False)).data)
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        if len(text) > MAX_HEADER_BYTES:
            raise _Fault(f"its header would take {len(text):,} bytes; at most {MAX_HEADER_BYTES:,} are read back")
        _parse(text, data_bytes=stop)  # verifies that the file can be read back
    return [len(text).to_bytes(8, "little"), text, *parts]


def load_tensors(
    path: Path | str, *, expected_format: str | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the tensors and the metadata of a file, once its header has passed `read_header`'s checks.

    Parameters
    ----------
    path : path
        The file.
    expected_format : str, optional
        Required value of `format` in the metadata.

    Returns
    -------
    tensors : dict of str to array
        Writable arrays that own their memory, in the order of the file.
    metadata : dict of str to str

    Raises
    ------
    CheckpointError
        Names the file and the fault.
    """
    with _naming("load", path), opened(path) as file:
        # The data are read from the descriptor whose header was checked: a file swapped meanwhile changes nothing
        header = _read_header(file, expected_format)
        tensors = {name: _read_tensor(file, name, info) for name, info in header.tensors.items()}
    return tensors, header.metadata


def read_header(path: Path | str, *, expected_format: str | None = None) -> Header:
    """Read and check a file's header, without its data.

    At most 1 MiB is allocated for the header. The file must be a regular file and hold exactly what the header
    declares: at most 10,000 tensors with unique names, whose data neither overlap nor leave holes.

    Parameters
    ----------
    path : path
        The file.
    expected_format : str, optional
        Required value of `format` in the metadata.

    Raises
    ------
    CheckpointError
        Names the file and the fault.
    """
    with _naming("load", path), opened(path) as file:
        return _read_header(file, expected_format)


@contextmanager
def _naming(action: str, path: Path | str) -> Iterator[None]:
    try:
        yield
    except _Fault as fault:
        raise CheckpointError(f"cannot {action} {path}: {fault}") from None
    except OSError as error:
        raise CheckpointError(f"cannot {action} {path}: {error.strerror or error}") from error


def _read_header(file: BufferedReader, expected_format: str | None) -> Header:
    status = os.fstat(file.fileno())
    if status.st_size < 8:
        raise _Fault(f"not a safetensors file, or truncated: it has {status.st_size} bytes")
    length = int.from_bytes(_read(file, 8), "little")
    data_bytes = status.st_size - 8 - length
    if data_bytes < 0:
        raise _Fault(
            f"not a safetensors file, or truncated: its first 8 bytes announce a header of {length:,} bytes, "
            f"but it has {status.st_size:,} bytes"
        )
    if length > MAX_HEADER_BYTES:
        raise _Fault(f"the header has {length:,} bytes, at most {MAX_HEADER_BYTES:,} are allowed")
    header = _parse(_read(file, length), data_bytes)
    if expected_format is not None and (found := header.metadata.get("format")) != expected_format:
        raise _Fault(f"its metadata give the format as {_shown.repr(found)}, expected {expected_format!r}")
    return header


def _read_tensor(file: BufferedReader, name: str, info: TensorInfo) -> np.ndarray:
    array = np.empty(info.shape, info.dtype)
    raw = _raw(array)
    _fill(file, raw.data)
    if info.dtype == np.bool_ and raw.max(initial=0) > 1:
        raise _Fault(f"tensor {_shown.repr(name)} is BOOL but holds bytes other than 0 and 1")
    return array


def _raw(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _read(file: BufferedReader, count: int) -> bytearray:
    buffer = bytearray(count)
    _fill(file, memoryview(buffer))
    return buffer


def _fill(file: BufferedReader, buffer: memoryview) -> None:
    if file.readinto(buffer) != len(buffer):
        raise _Fault("truncated while it was read")


def _parse(text: bytes | bytearray, data_bytes: int) -> Header:
    try:
        document = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError:
        raise _Fault("not a safetensors file: its header is nested too deeply") from None
    except ValueError as error:  # UTF-8, JSON, and integers of thousands of digits
        raise _Fault(f"not a safetensors file: its header is not JSON in UTF-8 ({error})") from None
    if not isinstance(document, dict) or not isinstance(metadata := document.pop(_METADATA, {}), dict):
        raise _Fault("not a safetensors file: its header, or the metadata in it, is not a JSON object")
    _check_metadata(metadata)
    if len(document) > MAX_TENSORS:
        raise _Fault(f"the header names {len(document):,} tensors, at most {MAX_TENSORS:,} are allowed")
    tensors = {name: _tensor_info(name, entry) for name, entry in document.items()}
    tensors = dict(sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)))
    _check_tiling(tensors, data_bytes)
    return Header(tensors, metadata)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        [(name, _count)] = Counter(name for name, _ in pairs).most_common(1)
        raise _Fault(f"duplicate name {_shown.repr(name)} in the header")
    return document


def _check_metadata(metadata: dict[str, Any]) -> None:
    for key, value in metadata.items():
        _check_name(key)
        if not isinstance(value, str) or _SURROGATE.search(value):
            raise _Fault(f"metadata {_shown.repr(key)} is {_shown.repr(value)}, expected text")


def _check_name(name: str) -> None:
    if not name or not name.isprintable():
        raise _Fault(f"the name {_shown.repr(name)} is empty or has unprintable characters")


def _tensor_info(name: str, entry: Any) -> TensorInfo:
    _check_name(name)
    tensor = f"tensor {_shown.repr(name)}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _Fault(f"{tensor} is not described by exactly dtype, shape and data_offsets")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise _Fault(f"{tensor} has dtype {_shown.repr(code)}, which NumPy lacks; expected one of {_KNOWN}")
    if not _are_sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        raise _Fault(f"{tensor} has shape {_shown.repr(shape)}, expected up to {_MAX_DIMENSIONS} integers ≥ 0")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _Fault(f"{tensor} has data_offsets {_shown.repr(offsets)}, expected [start, stop]")
    dtype = _DTYPES[code]
    declared = math.prod(shape) * dtype.itemsize
    if declared != offsets[1] - offsets[0]:
        raise _Fault(
            f"{tensor} has shape {_shown.repr(shape)} of {code}, which is {declared:,} bytes, "
            f"but the header gives it {offsets[1] - offsets[0]:,}"
        )
    # NumPy's strides have to fit, even where there are no elements
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize > sys.maxsize:
        raise _Fault(f"{tensor} has shape {_shown.repr(shape)}, too large for an array")
    return TensorInfo(dtype, tuple(shape), *offsets)


def _are_sizes(values: Any) -> bool:
    # type, not isinstance: True is an int. Within 64 bits products stay short.
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**64 for value in values)


def _check_tiling(tensors: dict[str, TensorInfo], data_bytes: int) -> None:
    stop = 0
    for name, info in tensors.items():
        if info.start != stop:
            what = "leaves a hole before" if info.start > stop else "overlaps others with"
            raise _Fault(f"the header {what} tensor {_shown.repr(name)} at byte {info.start:,} of the data")
        stop = info.stop
    if stop != data_bytes:
        what = "truncated: " if stop > data_bytes else ""
        raise _Fault(f"{what}the header declares {stop:,} bytes of data, but the file holds {data_bytes:,}")
