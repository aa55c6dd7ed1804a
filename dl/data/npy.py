"""Reads `.npy` and `.npz` files that may be damaged or malicious.

NumPy allocates what a header declares before it checks the file, and uses the last of two members with the same name.
Here, every header is read from its first kilobyte and compared with the actual file size before memory is allocated.
Pickled objects are never loaded.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...backends import host
from ...backends.errors import DataError
from ..storage.files import opened

MAX_HEADER = 1024  # bytes; NumPy writes 128 for a plain array
MAX_MEMBERS = 64  # arrays in one .npz file
MAX_RATIO = 64  # how far an .npz file of more than FREE_BYTES may expand
FREE_BYTES = 1 << 30
MAX_SIP = 16 << 20  # bytes of a zip archive that are read at once, of its directory say
DEFLATE_RATIO = 1032  # deflate cannot expand further: 258 bytes for 2 bits

_UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, MemoryError, OverflowError, struct.error, zlib.error)


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    offset: int  # bytes before the array

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy(path: str | os.PathLike[str], mmap: bool = False, max_bytes: int | None = None) -> np.ndarray:
    """Read one `.npy` file whose header has been checked against the file.

    Parameters
    ----------
    path : path of the file.
    mmap : map the file read-only (an `np.memmap`) instead of reading it into memory.
    max_bytes : the largest array to read into memory; by default the physical memory.

    Raises
    ------
    DataError
        The file is missing, truncated or longer than its header says, holds Python objects or records, or
        does not fit into memory. The message names the file and the reason.
    """
    path = Path(path)
    with _explained(path), opened(path) as file:
        header = _parse_header(file.read(MAX_HEADER + 12), str(path))
        held = os.fstat(file.fileno()).st_size - header.offset
        if held != header.nbytes:
            problem = "it is truncated" if held < header.nbytes else "something follows its array"
            raise DataError(
                f"{path}: {problem}: its header asks for {header.nbytes} bytes "
                f"({header.dtype}, shape {header.shape}), the file holds {held}"
            )
        if mmap:
            order = "F" if header.fortran_order else "C"
            return np.memmap(file, header.dtype, "r", header.offset, header.shape, order)
        _check_memory(path, header.nbytes, max_bytes)
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False, max_header_size=MAX_HEADER)


def read_npz(path: str | os.PathLike[str], max_bytes: int | None = None) -> dict[str, np.ndarray]:
    """Read every array of an `.npz` file, after all its headers have been checked.

    Parameters
    ----------
    path : path of the file.
    max_bytes : the most that all arrays together may take; by default the physical memory. A file that expands
        to more than 1 GiB and to more than 64 times its size is refused besides.

    Raises
    ------
    DataError
        The file is missing, truncated or damaged, repeats a name, has a member that is not a plain array or
        whose header lies about its size, or expands too far. The message names the file and the reason.
    """
    path = Path(path)
    with _explained(path), _Sips(opened(path).detach()) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_members(path, members, max_bytes)
        for member in members:
            with archive.open(member) as stream:
                header = _parse_header(stream.read(MAX_HEADER + 12), f"{path}, member {member.filename}")
            if header.offset + header.nbytes != member.file_size:
                raise DataError(
                    f"{path}, member {member.filename}: its header asks for {header.nbytes} bytes "
                    f"({header.dtype}, shape {header.shape}), the file holds {member.file_size - header.offset}"
                )
        arrays = {}
        for member in members:
            with archive.open(member) as stream:
                arrays[member.filename.removesuffix(".npy")] = np.lib.format.read_array(
                    stream, allow_pickle=False, max_header_size=MAX_HEADER
                )
        return arrays


def _check_members(path: Path, members: list[zipfile.ZipInfo], max_bytes: int | None) -> None:
    """Compare what the zip directory declares with the file, before anything is decompressed."""
    file_bytes = path.stat().st_size
    if not 0 < len(members) <= MAX_MEMBERS:
        raise DataError(f"{path}: it has {len(members)} members, expected 1 to {MAX_MEMBERS} arrays")
    names: set[str] = set()
    for member in members:
        name, packed, unpacked = member.filename, member.compress_size, member.file_size
        if name in names:
            raise DataError(f"{path}: the name {name!r} occurs twice")
        names.add(name)
        if not name.endswith(".npy"):
            raise DataError(f"{path}: member {name!r} is not an array (no .npy ending)")
        if member.compress_type == zipfile.ZIP_STORED:
            possible = packed
        elif member.compress_type == zipfile.ZIP_DEFLATED:
            possible = packed * DEFLATE_RATIO
        else:
            raise DataError(f"{path}, member {name}: compression {member.compress_type}, expected none or deflate")
        if unpacked > possible:
            raise DataError(f"{path}, member {name}: {packed} packed bytes cannot hold the {unpacked} declared")
    if (packed := sum(member.compress_size for member in members)) > file_bytes:
        raise DataError(f"{path}: it is truncated: its members take {packed} bytes, the file has {file_bytes}")
    check_expansion(path, file_bytes, sum(member.file_size for member in members), max_bytes)


def check_expansion(path: Path, packed: int, unpacked: int, max_bytes: int | None = None) -> None:
    """Refuse a compressed file whose `packed` bytes become more than it is reasonable to unpack."""
    if unpacked > FREE_BYTES and unpacked > MAX_RATIO * packed:
        raise DataError(
            f"{path}: {packed} bytes expand to {unpacked}, more than {MAX_RATIO} times as much, as decompression "
            "bombs do; if the file is yours, save it without compression"
        )
    _check_memory(path, unpacked, max_bytes)


def _parse_header(start: bytes, where: str) -> _Header:
    """Parse and check a `.npy` header; `start` is the first kilobyte of the file."""
    if not start:
        raise DataError(f"{where}: the file is empty, expected a .npy header")
    stream = io.BytesIO(start)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(stream)
        if version not in readers:  # 3.0 is for records with non-ASCII field names
            raise ValueError(f"format version {version}, expected 1.0 or 2.0")
        shape, fortran_order, dtype = readers[version](stream, max_header_size=MAX_HEADER)
    except Exception as error:  # a malicious header may make the parser raise anything
        reason = str(error).partition("\n")[0]
        raise DataError(f"{where}: no readable .npy header of at most {MAX_HEADER} bytes: {reason}") from error
    if dtype.hasobject:
        raise DataError(f"{where}: it holds pickled Python objects, which are never loaded; expected numbers or text")
    if dtype.kind not in "biufcU" or dtype.itemsize == 0:
        raise DataError(f"{where}: its dtype is {dtype}, expected plain numbers or text")
    if any(type(length) is not int or length < 0 for length in shape):  # True is an int
        raise DataError(f"{where}: its shape is {shape}, expected lengths of at least 0")
    return _Header(shape, fortran_order, dtype, stream.tell())


def _check_memory(path: Path, wanted: int, max_bytes: int | None) -> None:
    limit = host.memory()[1] if max_bytes is None else max_bytes
    if wanted > limit:
        raise DataError(f"{path}: it needs {wanted} bytes of memory, at most {limit} may be taken")


class _Sips(io.BufferedReader):
    """A file with a limit per read: a zip archive may claim that its directory fills the whole file."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > MAX_SIP:
            raise OSError(f"its directory would take {size} bytes, at most {MAX_SIP} are read")
        return super().read(size)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn whatever reading a broken file raises into one DataError."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (*_UNREADABLE, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: it cannot be read: {error or type(error).__name__}") from error
