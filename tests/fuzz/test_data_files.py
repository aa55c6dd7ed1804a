"""Data files that are damaged, hostile, or no files at all: refused in one line, or read as what they hold."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import struct
import sys
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

if sys.platform != "linux":
    pytest.skip("limits of memory and time are set as Linux has them", allow_module_level=True)

from fuzzing import CASES, VALUES, Fuzzer, command, scrambled

import gearshift as gs

SPARSE = 1 << 40  # bytes that a sparse file says it has
ROWS = 12
X = np.random.default_rng(0).standard_normal((ROWS, 3))
Y = np.arange(ROWS) % 3
CELLS = [
    "",
    "nan",
    "inf",
    "1e400",
    "-1e308",
    "1_0",
    "x",
    '"',
    '"a\nb"',
    "9" * 400,
    "é",
    "\0",
    " 1 ",
    "0x1",
    "1,2",
    "True",
]
SHAPES = [
    "(True, 3)",
    "(12, True)",
    "(-1, 3)",
    "(12.0, 3)",
    "(2**63, 3)",
    "(0, 3)",
    "(12,)",
    "()",
    "('a',)",
    "((12,),)",
    "(9" * 300,
]
DTYPES = [
    "<f8",
    "<f4",
    ">f8",
    "<f2",
    "|u1",
    "<i8",
    "<u8",
    "<U4",
    "|O",
    "<c8",
    "<M8[s]",
    "|V8",
    "|b1",
    "<U999999",
    "[('a','<f8')]",
    "?",
]
CODES = list("?bBhHiIlLqQefdgFDSUVOMm")


def npy(random: Random, array: np.ndarray) -> bytes:
    """A .npy file, whose dtype, shape, header or numbers may be others than they should be."""
    kind = random.randrange(8)
    if kind == 0:
        array = array.astype(random.choice(CODES[:15]))
    elif kind == 1:
        array = array.copy()
        array.flat[random.randrange(array.size)] = (
            random.choice((np.nan, np.inf, -1, 0, 255)) if array.dtype.kind == "f" else -1
        )
    elif kind == 2:
        array = random.choice((array[:1], array[:0], array.T, array[..., None], np.asfortranarray(array), array[::2]))
    elif kind == 3:
        array = random.choice((array.astype(np.uint64) + 2**63, array.astype(np.int64) * 10**17, array.astype(str)))
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    content = buffer.getvalue()
    if kind == 4:
        header = f"{{'descr': {random.choice(DTYPES)!r}, 'fortran_order': {random.choice(('False', 'True', '1'))}, "
        header += f"'shape': {random.choice((*SHAPES, str(array.shape)))}, }}"
        text = header.encode().ljust(118) + b"\n"
        content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + array.tobytes()
    return scrambled(random, content) if kind == 5 else content


def csv(random: Random) -> bytes:
    lines = [["a", "b", "c", "y"], *([f"{v:g}" for v in row] + [f"k{label}"] for row, label in zip(X, Y, strict=True))]
    for _ in range(random.choice((0, 1, 1, 3))):
        line = random.choice(lines)
        line[random.randrange(len(line))] = random.choice(CELLS)
    kind = random.randrange(5)
    if kind == 0:
        lines[random.randrange(len(lines))] = random.choice(([], [""], ["1"] * 3, ["1"] * 500))
    content = "\n".join(",".join(line) for line in lines).encode(random.choice(("utf-8", "utf-8", "utf-8", "utf-16")))
    return scrambled(random, content) if kind == 1 else content


def npz(random: Random) -> bytes:
    buffer = io.BytesIO()
    packed = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(buffer, "w", packed) as archive:
        names = random.choice(
            (("x", "y"), ("x", "y"), ("x_train", "y_train", "x_test", "y_test"), ("x",), ("x", "y", "z"), ())
        )
        for name in names:
            archive.writestr(f"{name}.npy", npy(random, X if name[0] == "x" else Y))
        if random.random() < 0.05:
            archive.writestr("x.npy", bytes(1 << 24))
    return scrambled(random, buffer.getvalue()) if random.random() < 0.4 else buffer.getvalue()


def idx(random: Random, array: np.ndarray) -> bytes:
    content = (
        bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    )
    content = scrambled(random, content) if random.random() < 0.3 else content
    return content if random.random() < 0.7 else gzip.compress(content)


def odd(random: Random, path: Path) -> None:
    """Something that is no file of data at all."""
    kind = random.randrange(7)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.symlink_to(
            random.choice(("/dev/zero", "/dev/null", "/dev/random", "/proc/self/mem", "/proc/self/environ"))
        )
    elif kind == 2:
        path.symlink_to(path)
    elif kind == 3:
        path.mkdir()
    elif kind == 4:
        with path.open("wb") as file:
            file.truncate(SPARSE)
    elif kind == 5:  # the end of a zip archive, whose directory is as long as the file
        with path.open("wb") as file:
            file.truncate(3 << 30)
            file.seek(0, 2)
            file.write(b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 1, 1, 3 << 30, 0, 0))


def test_data_files(tmp_path: Path) -> None:
    work, run = tmp_path / "data", tmp_path / "run"
    np.savez(tmp_path / "right.npz", x=X, y=Y)
    command(
        *(
            "train",
            "--quiet",
            "--backend",
            "numpy",
            "--run",
            str(run),
            "--set",
            f"data.source={tmp_path / 'right.npz'}",
        ),
        *("--set", "train.epochs=1", "--set", "model.hidden=[2]", "--set", "data.test=0", "--set", "data.validation=0"),
        right=(0,),
    )

    def options(random: Random) -> dict[str, Any]:
        names = random.choices(
            ("seed", "validation", "test", "target", "weight", "labels", "length"), k=random.randrange(3)
        )
        fits = {"seed": 3, "validation": 0.25, "test": 0, "target": "c", "weight": "a", "labels": "values", "length": 5}
        return {name: random.choice((fits[name], fits[name], *VALUES)) for name in names}

    def case(random: Random) -> None:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        kind = random.choice(("csv", "npz", "folder", "folder", "fashion", "txt", "predict", "odd"))
        given: dict[str, Any] = options(random)
        source = str(work / f"data.{kind}")
        if kind == "csv":
            Path(source).write_bytes(csv(random))
        elif kind == "npz":
            Path(source).write_bytes(npz(random))
        elif kind == "txt":
            Path(source).write_bytes(scrambled(random, ("twelve times é漢\r\n" * 20).encode()))
        elif kind == "folder":
            source = random.choice((str(work), str(work / "x.npy")))
            for name in random.choice(
                (("x", "y"), ("x", "y"), ("x", "y"), ("x", "y", "weight"), ("x_train", "y_train"), ("y",))
            ):
                (work / f"{name}.npy").write_bytes(npy(random, X if name[0] == "x" else Y))
            if random.random() < 0.1:
                (work / "x.npy").unlink(missing_ok=True)
                odd(random, work / "x.npy")
        elif kind == "fashion":
            source, given = "fashion-mnist", dict[str, Any](folder=str(work))
            for name, array in {"images-idx3": np.ones((ROWS, 2, 2)), "labels-idx1": Y}.items():
                for part in ("train", "t10k"):
                    content = idx(random, array)
                    (work / f"{part}-{name}-ubyte{'.gz' if content[:1] == bytes([31]) else ''}").write_bytes(content)
        elif kind == "odd":
            source = str(work / random.choice(("a.csv", "a.txt", "a.npz", "x.npy", "a.xyz")))
            odd(random, Path(source))
        else:
            rows = work / "rows.npy"
            odd(random, rows) if random.random() < 0.1 else rows.write_bytes(npy(random, X))
            kinds = random.choice(([], ["--probabilities"]))
            command(
                "predict",
                str(run),
                "--backend",
                "numpy",
                "--input",
                str(rows),
                "--output",
                str(work / "out.npy"),
                *kinds,
            )
            return
        splits = gs.load_dataset(random.choice((source, source, Path(source))), **given)
        assert splits.summary() and repr(splits.train)
        assert np.isfinite(splits.train.x).all() and len(splits.train) > 0
        splits.standardization()

    Fuzzer("data files", CASES or 300).run(case)
