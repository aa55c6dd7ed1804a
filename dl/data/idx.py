"""Fashion-MNIST: finds, downloads and reads its idx files (the format of LeCun's MNIST page).

Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms" (2017).
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from ...backends.errors import DataError
from ..storage.files import expanded, opened
from .npy import DEFLATE_RATIO, check_expansion

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
_OFFICIAL_TRAINING_ROWS = 60_000


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read one idx file of unsigned bytes, plain or gzipped (`.gz`), as a uint8 array.

    Raises
    ------
    DataError
        The file is missing, not an idx file of bytes, or holds fewer or more bytes than its header says.
    """
    path = Path(path)
    try:
        packed = path.suffix == ".gz"
        with opened(path) as raw, gzip.open(raw, "rb") if packed else raw as file:
            start = file.read(4)
            if len(start) < 4 or start[:3] != b"\x00\x00\x08" or start[3] not in (1, 2, 3):
                raise DataError(f"{path}: it starts with {start!r}, expected an idx file of bytes (00 00 08, 1 to 3)")
            lengths = file.read(4 * start[3])
            if len(lengths) < 4 * start[3]:
                raise DataError(f"{path}: it is truncated within its header")
            shape = struct.unpack(f">{start[3]}I", lengths)
            wanted, size = math.prod(shape), path.stat().st_size
            if not 0 < wanted <= size * (DEFLATE_RATIO if packed else 1):
                raise DataError(
                    f"{path}: its header asks for {wanted} bytes (shape {shape}), which {size} bytes cannot hold"
                )
            check_expansion(path, size, wanted)
            array = np.empty(shape, np.uint8)
            held = file.readinto(array.data.cast("B"))
            if held != wanted or file.read(1):
                problem = "it is truncated" if held != wanted else "something follows its array"
                raise DataError(f"{path}: {problem}: its header asks for {wanted} bytes (shape {shape})")
            return array
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: it cannot be read: {error}") from error


def read_fashion_mnist(folder: str | os.PathLike[str] | None = None, fetch: bool = False) -> dict[str, np.ndarray]:
    """Read the official training and test sets of Fashion-MNIST, or of anything else in the files of MNIST.

    If `folder` is given, only it is searched; otherwise the folder named by ``GEARSHIFT_DATA`` (or its
    subfolder ``fashion-mnist``), in the Debian package's folder, and in the user's cache.

    Parameters
    ----------
    folder : where the four idx files are, plain or gzipped.
    fetch : download missing files from OpenML into the cache.

    Returns
    -------
    ``x_train`` and ``x_test``, (n, 784) uint8; ``y_train`` and ``y_test``, (n,) uint8 labels 0 to 9.
    """
    folders = [expanded(folder)] if folder is not None else _usual_folders()
    found = next((files for place in folders if (files := _files_in(place))), None)
    if found is None and fetch and folder is None:
        fetch_fashion_mnist(folders[-1])
        found = _files_in(folders[-1])
    if found is None:
        raise DataError(
            f"the Fashion-MNIST files (such as {_FILES['x_train']}.gz) are not in {', '.join(map(str, folders))}: "
            "install the Debian package dataset-fashion-mnist (apt-get install dataset-fashion-mnist), name the folder "
            "that holds them (folder=, or the environment variable GEARSHIFT_DATA), or have them downloaded from "
            "OpenML (fetch=True)"
        )
    arrays = {name: read_idx(path) for name, path in found.items()}
    return {name: array.reshape(len(array), -1) if name[0] == "x" else array for name, array in arrays.items()}


def fetch_fashion_mnist(folder: Path) -> None:
    """Download Fashion-MNIST with scikit-learn's OpenML client and write it to `folder` as plain idx files."""
    from sklearn.datasets import fetch_openml

    try:
        x, y = fetch_openml(
            "Fashion-MNIST", version=1, return_X_y=True, as_frame=False, parser="liac-arff", cache=False
        )
        folder.mkdir(parents=True, exist_ok=True)
        images = np.asarray(x).astype(np.uint8).reshape(-1, 28, 28)
        labels = np.asarray(y).astype(np.uint8)
        n = _OFFICIAL_TRAINING_ROWS  # OpenML keeps the official order
        parts = {"x_train": images[:n], "y_train": labels[:n], "x_test": images[n:], "y_test": labels[n:]}
        for name, array in parts.items():
            _write_idx(folder / _FILES[name], array)
    except (OSError, ValueError) as error:
        raise DataError(f"Fashion-MNIST could not be downloaded from OpenML to {folder}: {error}") from error


def _usual_folders() -> list[Path]:
    import platformdirs

    given = os.environ.get("GEARSHIFT_DATA")
    first = [expanded(given) / "fashion-mnist", expanded(given)] if given else []
    return [*first, DEBIAN_FOLDER, platformdirs.user_cache_path("gearshift") / "fashion-mnist"]


def _files_in(folder: Path) -> dict[str, Path] | None:
    """The four files, gzipped or plain, or None unless all are there."""
    candidates = {name: (folder / f"{stem}.gz", folder / stem) for name, stem in _FILES.items()}
    found = {name: path for name, paths in candidates.items() for path in paths if path.is_file()}
    return found if len(found) == len(_FILES) else None


def _write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    from ..storage import write_atomically  # which needs a package that reading, and the proof on a GPU, do without

    write_atomically(path, [header, np.ascontiguousarray(array).data.cast("B")])
