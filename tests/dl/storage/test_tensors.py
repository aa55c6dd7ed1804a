"""Tensor files: exact round trips, the safetensors package as the reference, and hostile files for every rule."""

from __future__ import annotations

import json
import os
import pickle
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

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


# Hostile files


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it has 0 bytes"),
        (b"1234567", "it has 7 bytes"),
        (b"a text file of some length\n", "not a safetensors file"),
        (pickle.dumps({"a": [1.0] * 100}), "not a safetensors file"),
        (b"PK\x03\x04" + bytes(100), "not a safetensors file"),
        (bytes(100), "not a safetensors file"),
        (raw("{}", length=3), "truncated"),
        (raw("{}", length=2**64 - 1), "header of 18,446,744,073,709,551,615 bytes"),
        (raw(b"\xff\xfe{\x00}\x00"), "not JSON in UTF-8"),
        (raw("{}".encode("utf-16")), "not JSON in UTF-8"),
        (raw("{"), "not JSON"),
        (raw("[]"), "not a JSON object"),
        (raw("null"), "not a JSON object"),
        (raw("[" * 500_000), "nested too deeply"),
        (raw('{"a":' + "9" * 5000 + "}"), "not JSON"),
        # metadata
        (raw({"__metadata__": []}), "not a JSON object"),
        (raw({"__metadata__": None}), "not a JSON object"),
        (raw({"__metadata__": {"x": 1}}), "metadata 'x' is 1, expected text"),
        (raw({"__metadata__": {"x": {"y": "z"}}}), "expected text"),
        (raw('{"__metadata__":{"x":"\\ud800"}}'), "expected text"),
        (raw({"__metadata__": {"": "x"}}), "the name ''"),
        # names
        (raw('{"a":1,"a":1}'), "duplicate name 'a'"),
        (raw('{"a":1,"\\u0061":1}'), "duplicate name 'a'"),
        (raw('{"__metadata__":{"x":"1","x":"2"}}'), "duplicate name 'x'"),
        (raw('{"__metadata__":{},"__metadata__":{}}'), "duplicate name '__metadata__'"),
        (raw('{"a":{"dtype":"U8","dtype":"I8","shape":[],"data_offsets":[0,1]}}', b"0"), "duplicate name 'dtype'"),
        (raw({"": entry()}, bytes(8)), "the name ''"),
        (raw({"a\0b": entry()}, bytes(8)), "unprintable"),
        (raw({"a\x1b[2J": entry()}, bytes(8)), "unprintable"),
        (raw('{"\\udc00":0}'), "unprintable"),
        (raw({"x" * 500_000: entry("F33")}, bytes(8)), "tensor 'xxx"),
        # entries
        (raw({"a": None}), "exactly dtype, shape and data_offsets"),
        (raw({"a": {}}), "exactly dtype, shape and data_offsets"),
        (raw({"a": {**entry(), "more": 1}}, bytes(8)), "exactly dtype, shape and data_offsets"),
        (raw({"a": entry("BF16", [2], [0, 4])}, bytes(4)), "dtype 'BF16', which NumPy lacks"),
        (raw({"a": entry("f4")}, bytes(8)), "dtype 'f4'"),
        (raw({"a": entry(["F32"])}, bytes(8)), "dtype"),
        (raw({"a": entry(shape=2)}, bytes(8)), "shape 2"),
        (raw({"a": entry(shape="2")}, bytes(8)), "shape '2'"),
        (raw({"a": entry(shape=[-2])}, bytes(8)), "shape"),
        (raw({"a": entry(shape=[-1, -2])}, bytes(8)), "shape"),
        (raw({"a": entry(shape=[2.0])}, bytes(8)), "shape"),
        (raw({"a": entry(shape=[True, 2])}, bytes(8)), "shape"),
        (raw({"a": entry(shape=[float("nan")])}, bytes(8)), "shape"),
        (raw({"a": entry(shape=[1] * 65 + [2])}, bytes(8)), "shape"),
        (raw({"a": entry(shape=[2] * 300_000)}, bytes(8)), "shape"),
        (raw({"a": entry(shape=[10**4000] * 200)}, bytes(8)), "shape"),
        (raw({"a": entry(offsets=[0])}, bytes(8)), "data_offsets"),
        (raw({"a": entry(offsets=[0, 8, 8])}, bytes(8)), "data_offsets"),
        (raw({"a": entry(offsets=[8, 0])}, bytes(8)), "data_offsets"),
        (raw({"a": entry(offsets=[-8, 0])}, bytes(8)), "data_offsets"),
        (raw({"a": entry(offsets=[False, 8])}, bytes(8)), "data_offsets"),
        (raw({"a": entry(offsets=None)}, bytes(8)), "data_offsets"),
        # sizes
        (raw({"a": entry(shape=[3])}, bytes(8)), "12 bytes, but the header gives it 8"),
        (raw({"a": entry(shape=[])}, bytes(8)), "4 bytes, but the header gives it 8"),
        (raw({"a": entry(shape=[2**60], offsets=[0, 2**62])}, bytes(8)), "truncated: the header declares 4,611"),
        (raw({"a": entry(shape=[2**62, 4], offsets=[0, 0])}), "the header gives it 0"),  # 0 in 64 bits
        (raw({"a": entry(shape=[0, 2**62, 4], offsets=[0, 0])}), "too large for an array"),
        (raw({"a": entry()}, bytes(7)), "truncated: the header declares 8 bytes of data, but the file holds 7"),
        (raw({"a": entry()}, bytes(9)), "declares 8 bytes of data, but the file holds 9"),
        (raw({}, bytes(1)), "declares 0 bytes of data, but the file holds 1"),
        (raw({"a": entry(offsets=[1, 9])}, bytes(9)), "hole before tensor 'a' at byte 1"),
        (raw({"a": entry(), "b": entry(offsets=[9, 17])}, bytes(17)), "hole before tensor 'b' at byte 9"),
        (raw({"a": entry(), "b": entry()}, bytes(8)), "overlaps others with tensor 'b' at byte 0"),
        (raw({"a": entry(), "b": entry(offsets=[4, 12])}, bytes(12)), "overlaps others with tensor 'b' at byte 4"),
        (raw({"a": entry(), "b": entry(shape=[0], offsets=[4, 4])}, bytes(8)), "overlaps others"),
        (raw({str(i): entry(shape=[0], offsets=[0, 0]) for i in range(10_001)}), "10,001 tensors"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hostile_files(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    refused(path, reason)


def test_a_bool_is_0_or_1(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(raw({"a": entry("BOOL", [2], [0, 2])}, b"\1\2"))
    with pytest.raises(CheckpointError, match="tensor 'a' is BOOL but"):
        load_tensors(path)


def test_a_huge_header_is_refused_unread(tmp_path: Path) -> None:
    """33 MB of empty tensors cost the safetensors package seconds and half a gigabyte."""
    path = tmp_path / "file"
    one = '"%07d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    path.write_bytes(raw("{" + ",".join(one % i for i in range(600_000)) + "}"))
    assert path.stat().st_size > 33_000_000
    assert peak_memory(path) < 100_000
    refused(path, "at most 1,048,576 are allowed")


def test_a_sparse_file_with_a_huge_header(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write((2**40).to_bytes(8, "little"))
        file.truncate(2**40 + 8)
    assert peak_memory(path) < 100_000
    refused(path, "the header has 1,099,511,627,776 bytes")


@pytest.mark.parametrize("shape", [[2**60], [2**30, 2**30], [2**20] * 3, [2**63], [0, 2**60]])
def test_no_memory_is_taken_for_a_lie(tmp_path: Path, shape: list[int]) -> None:
    path = tmp_path / "file"
    for offsets in ([0, 8], [0, 4 * int(np.prod(np.array(shape, object)))]):
        path.write_bytes(raw({"a": entry(shape=shape, offsets=offsets)}, bytes(8)))
        assert peak_memory(path) < 100_000
        refused(path, "cannot load")


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


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sample") / "file"
    arrays = {"0.weight": np.eye(3, 4), "0.bias": np.ones(4, np.float32), "n": np.array(7), "e": np.ones(0)}
    save_tensors(path, arrays, {"format": "gearshift", "epoch": "3"})
    return path.read_bytes()


def test_every_truncation_is_refused(tmp_path: Path, sample: bytes) -> None:
    path = tmp_path / "file"
    for length in range(len(sample)):
        path.write_bytes(sample[:length])
        with pytest.raises(CheckpointError):
            load_tensors(path)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_flipped_bytes_in_the_header(sample: bytes, data: st.DataObject) -> None:
    """Whatever the header becomes, the answer is tensors or one CheckpointError, within the memory of the file."""
    content = bytearray(sample)
    header = 8 + int.from_bytes(sample[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    with scratch() as path:
        path.write_bytes(content)
        assert peak_memory(path) < 200_000


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes(content: bytes, as_header: bool) -> None:
    with scratch() as path:
        path.write_bytes(raw(content) if as_header else content)
        assert peak_memory(path) < 200_000


words = st.sampled_from(["U8", "BOOL", "dtype", ""])
keys = st.sampled_from(["dtype", "shape", "data_offsets", "__metadata__", "a"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
sizes = st.lists(st.integers(0, 9) | st.sampled_from([2**31, 2**60, 2**64 - 1]), max_size=3)
entries = st.fixed_dictionaries(
    {"dtype": words | json_values, "shape": sizes | json_values, "data_offsets": sizes | json_values}
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]), json_values | entries, max_size=3))
def test_any_json(document: dict[str, Any]) -> None:
    with scratch() as path:
        path.write_bytes(raw(document, bytes(8)))
        assert peak_memory(path) < 200_000


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
