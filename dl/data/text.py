"""Text files as sequences of characters; the targets are the next characters."""

from __future__ import annotations

import numpy as np

from ...backends import host
from ...backends.errors import DataError
from ..storage.files import expanded, read_bytes
from .dataset import Dataset

PYTHON = "python-source"
EXPANSION = 32  # bytes of memory that a byte of text takes until it is numbers


def read_text(source: str, length: int) -> tuple[Dataset, np.ndarray]:
    """Consecutive sequences of `length` characters, and the alphabet.

    Parameters
    ----------
    source : a UTF-8 file, or ``"python-source"``: the source of Python's own module argparse.
    length : characters per row.

    Returns
    -------
    data : x (n, length), each character's number in the alphabet, and y (n, length) that of the next character.
    alphabet : the characters that occur, in sorted order.

    Raises
    ------
    DataError
        The file cannot be read, is not UTF-8, or has fewer than `length` + 1 characters.
    """
    if source == PYTHON:
        import argparse

        source = argparse.__file__
    try:
        text = read_bytes(expanded(source), host.memory()[1] // EXPANSION).decode("utf-8")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise DataError(f"cannot read the text {source}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{source} is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}") from None
    rows = (len(text) - 1) // length
    if rows < 1:
        raise DataError(f"{source} has {len(text)} characters, expected more than length={length}")
    points = np.frombuffer(text[: rows * length + 1].encode("utf-32-le"), dtype="<u4")
    alphabet, codes = np.unique(points, return_inverse=True)
    codes = codes.astype(np.uint8 if len(alphabet) <= 256 else np.float32)
    x, y = (codes[first : first + rows * length].reshape(rows, length) for first in (0, 1))
    return Dataset(x, y.astype(np.int64)), np.array([chr(point) for point in alphabet])
