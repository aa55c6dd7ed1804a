"""Makes tensor files, also wrong ones, and reads them."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gearshift.backends.errors import CheckpointError
from gearshift.dl.storage import load_tensors, read_header


@contextmanager
def scratch() -> Iterator[Path]:
    """A path for one Hypothesis example."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "file.safetensors"


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def raw(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A file from a header (bytes, text or a JSON document), data, and what its first 8 bytes say."""
    text = header if isinstance(header, bytes) else header if isinstance(header, str) else json.dumps(header)
    text = text.encode() if isinstance(text, str) else text
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def refused(path: Path, reason: str) -> None:
    """Both ways of reading refuse the file, naming it and the reason."""
    for read in (read_header, load_tensors):
        with pytest.raises(CheckpointError, match=reason) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert len(str(caught.value)) < len(str(path)) + 500


def peak_memory(path: Path) -> int:
    """Bytes taken at most, by Python and NumPy, while the file is loaded or refused."""
    tracemalloc.start()
    try:
        load_tensors(path)
    except CheckpointError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak
