"""Tensor files: exact round trips, the safetensors package as the reference, and paths that are no files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensor_files import refused, scratch

from gearshift.backends.errors import CheckpointError
from gearshift.dl.storage import load_tensors, read_header, save_tensors

FLOATS, INTEGERS = ["float64", "float32", "float16", "complex64"], ["int64", "int32", "int16", "int8"]


DTYPES = [*FLOATS, *INTEGERS, *("u" + name for name in INTEGERS), "bool"]


posix = pytest.mark.skipif(os.name == "nt", reason="POSIX files and users")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


tensor_names = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=12)


tensors = st.dictionaries(
    tensor_names.filter(lambda name: name != "__metadata__"),
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    ),
    max_size=5,
)


# Round trips


@settings(max_examples=60, deadline=None)
@given(tensors, st.dictionaries(tensor_names, texts, max_size=4))
def test_round_trip(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    with scratch() as path:
        save_tensors(path, arrays, metadata)
        loaded, loaded_metadata = load_tensors(path)
        header = read_header(path)
        reference = safetensors.numpy.load(path.read_bytes())
    assert loaded_metadata == header.metadata == metadata
    assert list(loaded) == list(header.tensors)
    assert loaded.keys() == arrays.keys() == reference.keys()
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype == header.tensors[name].dtype == reference[name].dtype
        assert loaded[name].shape == array.shape == header.tensors[name].shape == reference[name].shape
        assert loaded[name].tobytes() == array.tobytes() == reference[name].tobytes()  # NaN payloads too
        assert loaded[name].flags.writeable
        assert loaded[name].flags.owndata
        assert header.tensors[name].start % max(array.itemsize, 1) == 0


@settings(max_examples=40, deadline=None)
@given(tensors.filter(bool), st.dictionaries(tensor_names, texts, max_size=4))
def test_reads_what_the_safetensors_package_writes(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    # Not without tensors: given metadata alone the package writes a file that it cannot read
    with scratch() as path:
        path.write_bytes(safetensors.numpy.save(arrays, metadata))
        loaded, loaded_metadata = load_tensors(path)
    assert loaded_metadata == metadata
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded[name].shape == array.shape
        assert loaded[name].tobytes() == array.tobytes()


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    a, b = np.arange(6.0), np.ones((2, 3), np.float32)
    save_tensors(tmp_path / "1", {"a": a, "b": b}, {"x": "1", "y": "2"})
    save_tensors(tmp_path / "2", {"b": b, "a": a}, {"y": "2", "x": "1"})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_strided_and_foreign_byte_order(tmp_path: Path) -> None:
    base = np.arange(24.0).reshape(4, 6)
    arrays = {"t": base.T, "s": base[::2, ::-3], "big": base.astype(">f4"), "b": np.broadcast_to(base[0], (3, 6))}
    save_tensors(tmp_path / "file", arrays, {})
    loaded, _ = load_tensors(tmp_path / "file")
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].flags.c_contiguous
        assert loaded[name].dtype.isnative


def test_loaded_arrays_are_apart_from_the_file(tmp_path: Path) -> None:
    save_tensors(tmp_path / "file", {"a": np.zeros(3)}, {})
    first, _ = load_tensors(tmp_path / "file")
    first["a"][:] = 1
    assert load_tensors(tmp_path / "file")[0]["a"].tolist() == [0, 0, 0]


def test_expected_format(tmp_path: Path) -> None:
    path = tmp_path / "file"
    save_tensors(path, {}, {"format": "gearshift"})
    assert load_tensors(path, expected_format="gearshift") == ({}, {"format": "gearshift"})
    assert read_header(path, expected_format="gearshift").tensors == {}
    for metadata, found in (({"format": "pt"}, "'pt'"), ({}, "None")):
        save_tensors(path, {}, metadata)
        for read in (read_header, load_tensors):
            read(path)
            with pytest.raises(CheckpointError, match=f"format as {found}, expected 'gearshift'"):
                read(path, expected_format="gearshift")


# What cannot be saved


@pytest.mark.parametrize(
    ("arrays", "metadata", "reason"),
    [
        ({"a": np.array([object()])}, {}, "dtype object"),
        ({"a": np.array(["text"])}, {}, "dtype <U4"),
        ({"a": np.zeros(2, np.complex128)}, {}, "dtype complex128"),
        ({"a": np.zeros(2, "datetime64[s]")}, {}, "dtype datetime64"),
        ({"": np.zeros(2)}, {}, "the name ''"),
        ({"a\nb": np.zeros(2)}, {}, "the name"),
        ({"__metadata__": np.zeros(2)}, {}, "expected text"),
        ({}, {"epochs": 3}, "metadata 'epochs' is 3, expected text"),
        ({}, {"x": "\ud800"}, "metadata 'x'"),
        ({}, {"x": "y" * 2**20}, "header would take"),
        ({f"{i}": np.zeros(0) for i in range(10_001)}, {}, "10,001 tensors"),
    ],
)
def test_what_could_not_be_read_back_is_not_saved(tmp_path: Path, arrays: Any, metadata: Any, reason: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(CheckpointError, match=reason) as caught:
        save_tensors(path, arrays, metadata)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"old"


def test_the_limits_are_reached(tmp_path: Path) -> None:
    save_tensors(tmp_path / "many", {f"{i}": np.zeros(0) for i in range(10_000)}, {})
    assert len(load_tensors(tmp_path / "many")[0]) == 10_000
    text = json.dumps({"__metadata__": {"x": ""}}, separators=(",", ":"))
    save_tensors(tmp_path / "long", {}, {"x": "y" * (2**20 - len(text))})
    assert (tmp_path / "long").stat().st_size == 8 + 2**20
    assert len(load_tensors(tmp_path / "long")[1]["x"]) == 2**20 - len(text)


# Paths that are no files


def test_a_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "missing", "No such file")


def test_a_directory(tmp_path: Path) -> None:
    refused(tmp_path, "directory|denied")


@posix
def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not a regular file")


@posix
def test_a_device(tmp_path: Path) -> None:
    refused(Path("/dev/zero"), "not a regular file")


@posix
def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("file")
    save_tensors(path, {}, {})
    tmp_path.chmod(0o755)
    path.chmod(0)
    root = os.geteuid() == 0  # root may read everything: be somebody else
    if root:
        os.seteuid(65534)
    try:
        refused(path, "Permission denied")
    finally:
        if root:
            os.seteuid(0)


@posix
def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    save_tensors(path, {"a": np.zeros(100_000)}, {})
    empty = np.empty

    def shrink_then_empty(*arguments: Any) -> np.ndarray:
        os.truncate(path, 50_000)
        return empty(*arguments)

    monkeypatch.setattr(np, "empty", shrink_then_empty)
    with pytest.raises(CheckpointError, match="truncated while it was read"):
        load_tensors(path)


def test_a_file_swapped_after_its_header_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    save_tensors(path, {"a": np.ones(100_000)}, {})
    empty = np.empty

    def swap_then_empty(*arguments: Any) -> np.ndarray:
        (tmp_path / "hostile").write_bytes(b"x" * 100)
        (tmp_path / "hostile").replace(path)
        return empty(*arguments)

    monkeypatch.setattr(np, "empty", swap_then_empty)
    assert (load_tensors(path)[0]["a"] == 1).all()
