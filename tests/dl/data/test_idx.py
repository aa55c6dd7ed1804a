"""Idx files and Fashion-MNIST: the format, where the files are looked for, and files that lie."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import sklearn.datasets

from gearshift.backends.errors import DataError
from gearshift.dl.data import idx
from gearshift.dl.data.idx import fetch_fashion_mnist, read_fashion_mnist, read_idx

STEMS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
IMAGES = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3)
LABELS = np.array([1, 0, 2, 1, 0], np.uint8)


def idx_bytes(array: np.ndarray, shape=None) -> bytes:
    shape = array.shape if shape is None else shape
    return b"\x00\x00\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def write_folder(folder, packed: bool = True, shift: int = 0):
    """Four files in the format of MNIST: 5 training and 3 test images of 2 × 3 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, array in zip(STEMS, (IMAGES + shift, LABELS, IMAGES[:3], LABELS[:3]), strict=True):
        content = idx_bytes(array.astype(np.uint8))
        if packed:
            (folder / f"{stem}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / stem).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_read_idx(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(idx_bytes(IMAGES)) if name.endswith("gz") else idx_bytes(IMAGES))
    found = read_idx(path)
    assert found.dtype == np.uint8 and found.flags.writeable
    np.testing.assert_array_equal(found, IMAGES)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it starts with b''"),
        (b"\x00\x00\x0d\x01", "expected an idx file of bytes"),
        (b"\x00\x00\x08\x09", "expected an idx file of bytes"),
        (b"\x93NUMPY", "expected an idx file of bytes"),
        (idx_bytes(IMAGES)[:9], "truncated within its header"),
        (idx_bytes(IMAGES)[:-1], "truncated: its header asks for 30 bytes"),
        (idx_bytes(IMAGES) + b"!", "something follows its array: its header asks for 30 bytes"),
        (idx_bytes(IMAGES, (4_000_000_000, 4_000_000_000, 2)), "asks for 32000000000000000000 bytes .* cannot hold"),
        (idx_bytes(IMAGES, (0, 2, 3)), "asks for 0 bytes"),
    ],
)
def test_idx_files_that_lie(tmp_path, content, message, packed):
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(content) if packed else content)
    if not packed and "truncated: " in message:
        message = "asks for 30 bytes"
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_gzip_files_that_are_broken(tmp_path):
    path = tmp_path / "a.gz"
    rng = np.random.default_rng(0)
    whole = gzip.compress(idx_bytes(rng.integers(0, 256, 100_000, np.uint8)))
    damaged = bytearray(whole)
    damaged[50_000] ^= 255
    for content in (b"plainly not gzip", whole[: len(whole) // 2], bytes(damaged)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.gz: it cannot be read"):
            read_idx(path)
    with pytest.raises(DataError, match="there is no such file"):
        read_idx(tmp_path / "none.gz")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path)


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without the files: every usual folder is an empty one in `tmp_path`."""
    monkeypatch.delenv("GEARSHIFT_DATA", raising=False)
    monkeypatch.setattr(idx, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_ones_own(tmp_path, packed):
    found = read_fashion_mnist(write_folder(tmp_path / "own", packed))
    np.testing.assert_array_equal(found["x_train"], IMAGES.reshape(5, 6))
    np.testing.assert_array_equal(found["y_train"], LABELS)
    np.testing.assert_array_equal(found["x_test"], IMAGES[:3].reshape(3, 6))
    np.testing.assert_array_equal(found["y_test"], LABELS[:3])


def test_the_order_of_the_folders(nowhere, monkeypatch):
    def first() -> int:
        return int(read_fashion_mnist()["x_train"][0, 0])

    write_folder(nowhere / "cache" / "gearshift" / "fashion-mnist", shift=1)
    assert first() == 1
    write_folder(nowhere / "debian", shift=2)
    assert first() == 2
    monkeypatch.setenv("GEARSHIFT_DATA", str(nowhere / "data"))
    assert first() == 2
    write_folder(nowhere / "data", shift=3)
    assert first() == 3
    write_folder(nowhere / "data" / "fashion-mnist", shift=4)
    assert first() == 4
    assert read_fashion_mnist(write_folder(nowhere / "own", shift=5))["x_train"][0, 0] == 5


def test_files_that_are_nowhere(nowhere):
    with pytest.raises(DataError) as caught:
        read_fashion_mnist()
    for words in ("apt-get install dataset-fashion-mnist", "folder=", "GEARSHIFT_DATA", "fetch=True", str(nowhere)):
        assert words in str(caught.value)
    write_folder(nowhere / "debian")
    (nowhere / "half").mkdir()
    with pytest.raises(DataError, match=r"are not in \S*half:"):  # a folder that is named is the only one
        read_fashion_mnist(nowhere / "half")


def test_fetching_writes_files_that_are_found_again(nowhere, monkeypatch):
    images = np.zeros((70_000, 784), np.float32)  # as OpenML's: the values as floats, the labels as text
    images[:, 3] = np.arange(70_000) % 256
    labels = np.array([str(i % 10) for i in range(70_000)], object)
    calls = []

    def fetch_openml(name, **options):  # the network, which tests do without
        calls.append(name)
        return images, labels

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    for _ in range(2):
        found = read_fashion_mnist(fetch=True)
        assert found["x_train"].shape == (60_000, 784) and found["x_test"].shape == (10_000, 784)
        assert found["x_test"][1, 3] == 60_001 % 256 and found["y_test"][1] == 1
    assert calls == ["Fashion-MNIST"]


def test_a_download_that_fails(nowhere, monkeypatch):
    def fetch_openml(name, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    with pytest.raises(DataError, match=r"could not be downloaded from OpenML to .*: no route to host"):
        fetch_fashion_mnist(nowhere / "cache")
