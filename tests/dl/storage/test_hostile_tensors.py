"""Hostile tensor files for every rule: each is refused with a reason, in the memory of the file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensor_files import entry, peak_memory, raw, refused, scratch

from gearshift.backends.errors import CheckpointError
from gearshift.dl.storage import load_tensors, save_tensors


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
