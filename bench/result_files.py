"""JSON files of measurements: written whole or not at all, and checked when they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from ..backends.errors import DataError
from ..dl.storage import write_atomically
from ..dl.storage.files import MEASUREMENTS, read_bytes
from ..dl.values import check_values

FORMAT = 1
T = TypeVar("T")


def write(text: str, path: Path) -> None:
    """Writes a file's text, whole or not at all."""
    write_atomically(path, f"{text}\n".encode())


def read(path: Path, command: str, kind: type[T], *, finite: bool = True) -> T:
    """The results of `gearshift` `command` in a file; `finite`: all its numbers must be.

    Raises
    ------
    DataError
        It is no such file.
    """
    try:
        tree = json.loads(read_bytes(path, MEASUREMENTS))
        check_values("", tree, finite=finite)
        if not isinstance(tree, dict) or tree.get("format") != FORMAT:
            raise ValueError("its format is another")
        return TypeAdapter(kind).validate_python(tree)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"{path} is no file of `gearshift {command}`: {place}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no file of `gearshift {command}` (format {FORMAT}): {error}") from None
