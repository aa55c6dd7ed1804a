"""Reads and writes safetensors files: named tensors and metadata. Headers are validated before use (header.py).

The safetensors package writes several metadata in random order, so that equal checkpoints differ in their bytes, and
takes twice the tensors' memory to write them; hence the few lines here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from ...backends.errors import CheckpointError
from .atomic import write_atomically
from .files import opened
from .header import DTYPE_NAMES, KNOWN, MAX_HEADER_BYTES, METADATA, Fault, Header, TensorInfo, parse, shown


def strip(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The tensors whose name starts with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


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
        document: dict[str, Any] = {METADATA: dict(sorted(metadata.items()))}
        parts: list[memoryview] = []
        stop = 0
        # Widest type first keeps every tensor aligned
        for name, array in sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])):
            dtype = array.dtype.newbyteorder("<")
            if dtype not in DTYPE_NAMES:
                raise Fault(f"tensor {name!r} has dtype {array.dtype}, expected one of {KNOWN}")
            start, stop = stop, stop + array.nbytes
            document[name] = {"dtype": DTYPE_NAMES[dtype], "shape": array.shape, "data_offsets": [start, stop]}
            parts.append(_raw(array.astype(dtype, copy=False)).data)
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        if len(text) > MAX_HEADER_BYTES:
            raise Fault(f"its header would take {len(text):,} bytes; at most {MAX_HEADER_BYTES:,} are read back")
        parse(text, data_bytes=stop)  # verifies that the file can be read back
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
    except Fault as fault:
        raise CheckpointError(f"cannot {action} {path}: {fault}") from None
    except OSError as error:
        raise CheckpointError(f"cannot {action} {path}: {error.strerror or error}") from error


def _read_header(file: BufferedReader, expected_format: str | None) -> Header:
    status = os.fstat(file.fileno())
    if status.st_size < 8:
        raise Fault(f"not a safetensors file, or truncated: it has {status.st_size} bytes")
    length = int.from_bytes(_read(file, 8), "little")
    data_bytes = status.st_size - 8 - length
    if data_bytes < 0:
        raise Fault(
            f"not a safetensors file, or truncated: its first 8 bytes announce a header of {length:,} bytes, "
            f"but it has {status.st_size:,} bytes"
        )
    if length > MAX_HEADER_BYTES:
        raise Fault(f"the header has {length:,} bytes, at most {MAX_HEADER_BYTES:,} are allowed")
    header = parse(_read(file, length), data_bytes)
    if expected_format is not None and (found := header.metadata.get("format")) != expected_format:
        raise Fault(f"its metadata give the format as {shown.repr(found)}, expected {expected_format!r}")
    return header


def _read_tensor(file: BufferedReader, name: str, info: TensorInfo) -> np.ndarray:
    array = np.empty(info.shape, info.dtype)
    raw = _raw(array)
    _fill(file, raw.data)
    if info.dtype == np.bool_ and raw.max(initial=0) > 1:
        raise Fault(f"tensor {shown.repr(name)} is BOOL but holds bytes other than 0 and 1")
    return array


def _raw(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _read(file: BufferedReader, count: int) -> bytearray:
    buffer = bytearray(count)
    _fill(file, memoryview(buffer))
    return buffer


def _fill(file: BufferedReader, buffer: memoryview) -> None:
    if file.readinto(buffer) != len(buffer):
        raise Fault("truncated while it was read")
