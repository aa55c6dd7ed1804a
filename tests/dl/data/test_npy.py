"""Reading .npy and .npz: good files of every kind come back as NumPy reads them; hostile ones take no memory."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gearshift.backends.errors import DataError
from gearshift.dl.data.npy import read_npy, read_npz

A = np.arange(6, dtype=np.float32).reshape(2, 3)


def header(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    """A .npy header that says `text`, which NumPy's own writer would not write."""
    body = text.encode("latin1") + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", len(body)) + body


def described(descr: str, shape: str, order: bool = False) -> bytes:
    return header(f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}}}")


def npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def write_npz(path, members, compression=zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the repeated name, on purpose
        for name, content in members:
            archive.writestr(name, content)


def refused(read, path, message: str, limit: int = 1 << 21) -> None:
    """`read(path)` raises a DataError that names the file, having taken less than `limit` bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert peak < limit, f"{peak} bytes were taken before the file was refused"


def lie_about_size(path, member: str, size: int, packed: bool = False) -> None:
    """Overwrite the unpacked (or packed) size of `member` in the local header and in the directory of a zip file."""
    content = bytearray(path.read_bytes())
    for signature, size_at, name_at in ((b"PK\x03\x04", 22 - 4 * packed, 30), (b"PK\x01\x02", 24 - 4 * packed, 46)):
        at = content.find(signature)
        while content[at + name_at : at + name_at + len(member)] != member.encode():
            at = content.find(signature, at + 4)
        content[at + size_at : at + size_at + 4] = struct.pack("<I", size)
    path.write_bytes(content)


# ---- .npy ------------------------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    array=hnp.arrays(hnp.scalar_dtypes().filter(lambda t: t.kind in "biufc"), hnp.array_shapes(max_side=4)),
    fortran=st.booleans(),
)
def test_npy_round_trip(tmp_path, array, fortran):
    path = tmp_path / "a.npy"
    np.save(path, np.asfortranarray(array) if fortran else array)
    for mmap in (False, True):
        found = read_npy(path, mmap=mmap)
        assert found.dtype == array.dtype and isinstance(found, np.memmap) == mmap
        assert found.tobytes() == array.tobytes()


def test_npy_text_and_version_2(tmp_path):
    np.save(tmp_path / "t.npy", np.array(["a", "ß"]))
    assert read_npy(str(tmp_path / "t.npy")).tolist() == ["a", "ß"]
    content = header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", (2, 0)) + A.tobytes()
    (tmp_path / "v2.npy").write_bytes(content)
    np.testing.assert_array_equal(read_npy(tmp_path / "v2.npy"), A)


def test_a_mapped_file_is_read_only_and_unread(tmp_path):
    path = tmp_path / "big.npy"
    with path.open("wb") as file:  # 8 GiB that take no room on the disk
        file.write(described("<f4", f"({1 << 21}, 1024)"))
        file.truncate(file.tell() + (8 << 30))
    array = read_npy(path, mmap=True)
    assert array.shape == (1 << 21, 1024) and not array.flags.writeable and array[-1, -1] == 0
    refused(lambda p: read_npy(p, max_bytes=1 << 30), path, f"needs {8 << 30} bytes of memory, at most {1 << 30}")


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (described("<f4", "(8589934592,)").ljust(128), "truncated: its header asks for 34359738368 bytes"),
        (npy(A)[:-1], "truncated: its header asks for 24 bytes .*float32.* the file holds 23"),
        (npy(A) + b"!", "something follows its array: .* the file holds 25"),
        (npy(A) + npy(A), "something follows its array"),
        (npy(A)[:5], r"no readable \.npy header"),
        (npy(A)[:60], r"no readable \.npy header"),
        (b"", "the file is empty"),
        (b"PK\x03\x04" * 100, r"no readable \.npy header"),
        (pickle.dumps(A), r"no readable \.npy header"),
        (npy(np.array([{}, None])), "pickled Python objects, which are never loaded"),
        (npy(np.zeros(2, [("a", "f4"), ("b", "i4")])), "expected plain numbers or text"),
        (npy(np.zeros(2, "M8[s]")), r"dtype is datetime64\[s\], expected plain numbers"),
        (described("<U0", "(1000000000000,)"), "dtype is <U0"),
        (described("|V0", "(1000000000000,)"), "expected plain numbers or text"),
        (described("<f4", "(-1, -6)") + bytes(24), r"shape is \(-1, -6\), expected lengths of at least 0"),
        (described("<f4", "(6.0,)") + bytes(24), r"no readable \.npy header"),
        (described("<f4", "(1000000000000000000000000, 0)"), "cannot be read"),
        (described("<f4", "(" + "1, " * 100 + "1)") + bytes(4), "cannot be read"),
        (described("<f4", "(" * 400), r"no readable \.npy header"),
        (described("<f4", "-" * 900 + "1"), r"no readable \.npy header"),
        (header("__import__('os').abort()"), r"no readable \.npy header"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'shape': (2,)}") + bytes(4), "truncated"),
        (described("<f4", "(1,)" + " " * 2000) + bytes(4), r"no readable \.npy header of at most 1024 bytes"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 100, r"no readable \.npy header"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", (3, 0)), r"format version \(3, 0\)"),
    ],
)
def test_npy_files_that_lie_or_are_broken(tmp_path, content, message, mmap):
    path = tmp_path / "bad.npy"
    path.write_bytes(content)
    refused(lambda p: read_npy(p, mmap=mmap), path, message)


def test_paths_that_are_no_files(tmp_path):
    for read in (read_npy, read_npz):
        refused(read, tmp_path, "cannot be read")
        refused(read, tmp_path / "none.npz", "there is no such file")


# ---- .npz ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_round_trip(tmp_path, save):
    save(tmp_path / "a.npz", x=A, y=np.array(["a", "b"]), z=np.asfortranarray(A.astype(int)))
    found = read_npz(tmp_path / "a.npz")
    assert list(found) == ["x", "y", "z"] and found["y"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(found["x"], A)
    np.testing.assert_array_equal(found["z"], A)
    assert found["x"].flags.writeable


def test_repeated_names(tmp_path):
    write_npz(tmp_path / "a.npz", [("x.npy", npy(A)), ("x.npy", npy(A + 1))])
    refused(read_npz, tmp_path / "a.npz", r"the name 'x\.npy' occurs twice")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "has 0 members, expected 1 to 64"),
        ([(f"{i}.npy", npy(A)) for i in range(65)], "has 65 members"),
        ([("x.npy", npy(A)), ("x", npy(A))], "member 'x' is not an array"),
        ([("code.py", b"boom")], "member 'code.py' is not an array"),
        ([("x.npy", b"")], r"member x\.npy: the file is empty"),
        ([("x.npy", pickle.dumps(A))], r"member x\.npy: no readable \.npy header"),
        ([("x.npy", npy(np.array([{}])))], "pickled Python objects, which are never loaded"),
        ([("x.npy", npy(A)), ("y.npy", described("<f4", f"({1 << 40},)"))], "member y.npy: its header asks for"),
        ([("x.npy", npy(A)[:-1])], "asks for 24 bytes .* the file holds 23"),
        ([("x.npy", npy(A) + b"!")], "asks for 24 bytes .* the file holds 25"),
    ],
)
def test_members_that_lie_or_are_no_arrays(tmp_path, members, message):
    write_npz(tmp_path / "bad.npz", members)
    refused(read_npz, tmp_path / "bad.npz", message)


def test_unpacked_sizes_that_the_packed_bytes_cannot_hold(tmp_path):
    size = 3 << 30
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = tmp_path / "lie.npz"
        start = described("<f4", f"({(size - 128) // 4},)")
        start = start[:-1] + b" " * (128 - len(start)) + b"\n"
        start = start[:8] + struct.pack("<H", 118) + start[10:]
        write_npz(path, [("x.npy", start)], compression)
        lie_about_size(path, "x.npy", size)
        refused(read_npz, path, rf"packed bytes cannot hold the {size} declared")


def test_members_that_take_more_than_the_file(tmp_path):
    path = tmp_path / "lie.npz"
    write_npz(path, [("x.npy", npy(A))], zipfile.ZIP_STORED)
    lie_about_size(path, "x.npy", 3 << 30)
    lie_about_size(path, "x.npy", 3 << 30, packed=True)
    refused(read_npz, path, f"truncated: its members take {3 << 30} bytes")


def test_unpacked_sizes_that_are_a_little_too_large(tmp_path):
    path = tmp_path / "lie.npz"
    write_npz(path, [("x.npy", described("<f4", "(10000,)") + bytes(4))])
    held = len(described("<f4", "(10000,)"))
    lie_about_size(path, "x.npy", held + 40_000)
    refused(read_npz, path, "cannot be read")


def test_decompression_bombs(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros(32 << 20, np.uint8))
    refused(lambda p: read_npz(p, max_bytes=1 << 20), path, r"needs 335\d+ bytes of memory, at most 1048576")
    assert read_npz(path)["x"].nbytes == 32 << 20  # below 1 GiB the ratio is nobody's business
    path = tmp_path / "bigger.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        start, block = described("|u1", f"({(1 << 30) + (1 << 24)},)"), bytes(1 << 24)
        with archive.open("x.npy", "w") as member:
            member.write(start)
            for _ in range((1 << 6) + 1):
                member.write(block)
    refused(read_npz, path, "expand to .* more than 64 times as much")


def test_other_zip_features_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, [("x.npy", npy(A))], zipfile.ZIP_LZMA)
    refused(read_npz, path, "compression 14, expected none or deflate")
    write_npz(path, [("x.npy", npy(A))])
    content = bytearray(path.read_bytes())
    content[content.find(b"PK\x03\x04") + 6] |= 1  # encrypted
    content[content.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused(read_npz, path, "cannot be read: .*password")


def test_truncated_and_damaged_archives(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(1000.0), y=A)
    whole = path.read_bytes()
    for end in (0, 10, 1000, len(whole) - 30, len(whole) - 1):
        path.write_bytes(whole[:end])
        refused(read_npz, path, "cannot be read")
    damaged = bytearray(whole)
    damaged[4000] ^= 1
    path.write_bytes(damaged)
    refused(read_npz, path, "cannot be read: Bad CRC-32 for file 'x.npy'")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
@pytest.mark.filterwarnings("ignore")
def test_random_damage_gives_the_array_or_a_data_error(tmp_path, damage, single):
    path = tmp_path / "a.npz"
    if single:
        path.write_bytes(npy(A))
    else:
        np.savez_compressed(path, x=A, y=A[0])
    content = bytearray(path.read_bytes())
    for place, value in damage:
        content[place % len(content)] = value
    path.write_bytes(content)
    try:
        found = read_npy(path) if single else read_npz(path)
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert isinstance(found, np.ndarray if single else dict)
