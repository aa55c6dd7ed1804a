"""The header of a safetensors file: parsed and checked before anything it declares is believed.

The format (https://huggingface.co/docs/safetensors): the header's length in 8 bytes, little-endian; the header, a JSON
object {name: {dtype, shape, data_offsets}} with text under `__metadata__`; then the data.

The safetensors package does not do this. It takes repeated metadata, unprintable names, unknown fields, shapes that
NumPy refuses and headers of up to 100 MB, and its messages name neither the tensor nor the sizes that disagree.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_HEADER_BYTES = 2**20
MAX_TENSORS = 10_000
_MAX_DIMENSIONS = 64  # NumPy's own limit
METADATA = "__metadata__"
_CODES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "C64": "<c8", "BOOL": "?"}
_CODES |= {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"}
_DTYPES = {name: np.dtype(code) for name, code in _CODES.items()}
DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
KNOWN = ", ".join(_DTYPES)
_SURROGATE = re.compile("[\ud800-\udfff]")  # a lone surrogate, which cannot be encoded

shown = reprlib.Repr()  # long values are abbreviated in messages
shown.maxstring, shown.maxlong = 80, 24


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


class Fault(Exception):
    """A fault in a file, without its name."""


def parse(text: bytes | bytearray, data_bytes: int) -> Header:
    """The checked header of a file that holds `data_bytes` behind it, or a Fault."""
    try:
        document = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError:
        raise Fault("not a safetensors file: its header is nested too deeply") from None
    except ValueError as error:  # UTF-8, JSON, and integers of thousands of digits
        raise Fault(f"not a safetensors file: its header is not JSON in UTF-8 ({error})") from None
    if not isinstance(document, dict) or not isinstance(metadata := document.pop(METADATA, {}), dict):
        raise Fault("not a safetensors file: its header, or the metadata in it, is not a JSON object")
    _check_metadata(metadata)
    if len(document) > MAX_TENSORS:
        raise Fault(f"the header names {len(document):,} tensors, at most {MAX_TENSORS:,} are allowed")
    tensors = {name: _tensor_info(name, entry) for name, entry in document.items()}
    tensors = dict(sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)))
    _check_tiling(tensors, data_bytes)
    return Header(tensors, metadata)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        [(name, _count)] = Counter(name for name, _ in pairs).most_common(1)
        raise Fault(f"duplicate name {shown.repr(name)} in the header")
    return document


def _check_metadata(metadata: dict[str, Any]) -> None:
    for key, value in metadata.items():
        _check_name(key)
        if not isinstance(value, str) or _SURROGATE.search(value):
            raise Fault(f"metadata {shown.repr(key)} is {shown.repr(value)}, expected text")


def _check_name(name: str) -> None:
    if not name or not name.isprintable():
        raise Fault(f"the name {shown.repr(name)} is empty or has unprintable characters")


def _tensor_info(name: str, entry: Any) -> TensorInfo:
    _check_name(name)
    tensor = f"tensor {shown.repr(name)}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise Fault(f"{tensor} is not described by exactly dtype, shape and data_offsets")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise Fault(f"{tensor} has dtype {shown.repr(code)}, which NumPy lacks; expected one of {KNOWN}")
    if not _are_sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        raise Fault(f"{tensor} has shape {shown.repr(shape)}, expected up to {_MAX_DIMENSIONS} integers ≥ 0")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise Fault(f"{tensor} has data_offsets {shown.repr(offsets)}, expected [start, stop]")
    dtype = _DTYPES[code]
    declared = math.prod(shape) * dtype.itemsize
    if declared != offsets[1] - offsets[0]:
        raise Fault(
            f"{tensor} has shape {shown.repr(shape)} of {code}, which is {declared:,} bytes, "
            f"but the header gives it {offsets[1] - offsets[0]:,}"
        )
    # NumPy's strides have to fit, even where there are no elements
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize > sys.maxsize:
        raise Fault(f"{tensor} has shape {shown.repr(shape)}, too large for an array")
    return TensorInfo(dtype, tuple(shape), *offsets)


def _are_sizes(values: Any) -> bool:
    # type, not isinstance: True is an int. Within 64 bits products stay short.
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**64 for value in values)


def _check_tiling(tensors: dict[str, TensorInfo], data_bytes: int) -> None:
    stop = 0
    for name, info in tensors.items():
        if info.start != stop:
            what = "leaves a hole before" if info.start > stop else "overlaps others with"
            raise Fault(f"the header {what} tensor {shown.repr(name)} at byte {info.start:,} of the data")
        stop = info.stop
    if stop != data_bytes:
        what = "truncated: " if stop > data_bytes else ""
        raise Fault(f"{what}the header declares {stop:,} bytes of data, but the file holds {data_bytes:,}")
