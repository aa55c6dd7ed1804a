"""Dataset and Splits: what is taken without a copy, what is converted, what is refused and in which words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gearshift.backends import host
from gearshift.backends.errors import DataError
from gearshift.dl.data import Dataset, Splits, as_dataset
from gearshift.dl.data import dataset as module

X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.array([0, 1, 2, 1])


def mapped(path, array) -> np.memmap:
    np.save(path, array)
    return np.load(path, mmap_mode="r")


# ---- what is taken ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_kept_dtypes_are_not_copied(dtype):
    x = X.astype(dtype)
    data = Dataset(x, Y)
    assert data.x.dtype == dtype and np.shares_memory(data.x, x) and np.shares_memory(data.y, Y)
    assert len(data) == 4
    assert repr(data) == f"Dataset(x=(4, 3) {np.dtype(dtype)}, y=(4,) int64)"


@settings(deadline=None)
@given(
    hnp.arrays(
        st.one_of(hnp.integer_dtypes(endianness="?"), hnp.unsigned_integer_dtypes(endianness="?"), hnp.boolean_dtypes())
        | hnp.floating_dtypes(endianness="?"),
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=4),
    )
)
def test_every_real_dtype_is_taken_or_refused_for_a_number_that_is_not_finite(x):
    expected = np.float64 if x.dtype.kind == "f" and x.dtype.itemsize >= 8 else np.float32
    expected = np.uint8 if x.dtype == np.uint8 else expected
    with np.errstate(over="ignore"):
        converted = x.astype(expected)
    if np.isfinite(converted).all():
        data = Dataset(x)
        assert data.x.dtype == expected and data.x.dtype.isnative
        np.testing.assert_array_equal(data.x, converted)
    else:
        with pytest.raises(DataError, match=r"x\[.* expected finite numbers"):
            Dataset(x)


@settings(deadline=None)
@given(hnp.arrays(hnp.integer_dtypes() | hnp.unsigned_integer_dtypes(), st.integers(1, 8)))
def test_integers_become_contiguous_int64_or_float64_where_they_are_beyond(y):
    data = Dataset(np.zeros((len(y), 1)), y)
    if any(number >= 2**63 for number in y.tolist()):
        assert data.y.dtype == np.float64 and data.y.tolist() == [float(number) for number in y.tolist()]
    else:
        assert data.y.dtype == np.int64 and data.y.flags.c_contiguous
        np.testing.assert_array_equal(data.y, y)


def test_strided_labels_become_contiguous():
    assert Dataset(X, np.arange(8)[::2]).y.flags.c_contiguous


def test_lists_booleans_and_float_targets():
    assert Dataset([[1, 2], [3, 4]], [True, False]).y.tolist() == [1, 0]
    assert Dataset([[1.5, 2], [3, 4]], [0.5, 1]).y.dtype == np.float64
    assert Dataset(X, np.zeros((4, 2), np.float16)).y.dtype == np.float32
    assert Dataset(X).y is None and repr(Dataset(X)) == "Dataset(x=(4, 3) float32)"


def test_memory_maps_stay_mapped(tmp_path):
    x = mapped(tmp_path / "x.npy", X)
    data = Dataset(x, Y)
    assert data.x is x
    part = data[1:3]
    assert isinstance(part.x, np.memmap) and np.shares_memory(part.x, x)


@pytest.mark.parametrize(
    "stored", [X.astype(np.int16), np.asfortranarray(X), X.astype(">f4")], ids=["int16", "F", ">f4"]
)
def test_other_memory_maps_are_read_where_there_is_memory_for_them(tmp_path, monkeypatch, stored):
    x = mapped(tmp_path / "x.npy", stored)
    data = Dataset(x, Y)
    assert type(data.x) is np.ndarray and data.x.flags.c_contiguous and data.x.dtype == np.float32
    np.testing.assert_array_equal(data.x, X)
    monkeypatch.setattr(host, "memory", lambda: (47, 100))
    with pytest.raises(DataError, match=r"x is a memory map of dtype .* takes 48 bytes of memory, and 47 are free"):
        Dataset(x, Y)
    assert Dataset(mapped(tmp_path / "c.npy", X), Y).x.nbytes == 48


@pytest.mark.torch
def test_torch_tensors_come_in_without_a_copy():
    torch = pytest.importorskip("torch")
    x, y = torch.zeros(4, 3), torch.arange(4)
    data = Dataset(x, y)
    x[2, 1] = 7
    assert data.x[2, 1] == 7 and data.y.tolist() == [0, 1, 2, 3]
    assert Dataset(x.to(torch.int32)).x.dtype == np.float32
    with pytest.raises(DataError, match=r"x is a Tensor that cannot be read as an array: .*grad"):
        Dataset(torch.zeros(4, 3, requires_grad=True))
    with pytest.raises(DataError, match="x is a Tensor that cannot be read as an array"):
        Dataset(torch.zeros(4, 3, dtype=torch.bfloat16))


def test_anything_with_array_protocol():
    class Frame:
        def __array__(self, dtype=None, copy=None):
            return X

    assert np.shares_memory(Dataset(Frame()).x, X)


def test_other_gpu_arrays_are_refused_with_the_way_out():
    class Tensor:  # what PyTorch's CUDA tensors offer: the interface, and no NumPy ufuncs
        __cuda_array_interface__: dict = {}  # noqa: RUF012

    with pytest.raises(DataError, match=r"x is a Tensor on a GPU, expected a CuPy or CPU array: cupy.from_dlpack"):
        Dataset(Tensor())


@pytest.mark.gpu
def test_cupy_arrays_stay_on_the_gpu():
    cupy = pytest.importorskip("cupy")
    try:
        cupy.zeros(1)
    except Exception as error:  # no driver, no device, or one that CuPy cannot use
        pytest.skip(f"no CUDA GPU that CuPy can use: {error}")
    data = Dataset(cupy.asarray(X), cupy.asarray(Y, dtype=cupy.int32))
    assert isinstance(data.x, cupy.ndarray) and isinstance(data[1:].y, cupy.ndarray) and data.y.dtype == np.int64
    with pytest.raises(DataError, match=r"x\[1, 2\] is nan"):
        Dataset(cupy.asarray([[0, 0, 0], [0, 0, np.nan]]))
    with pytest.raises(DataError, match=r"y\[2\] is 2, expected a label from 0 to 1"):
        data.check_labels(2)


# ---- slicing ---------------------------------------------------------------------------------------------------


def test_slices_are_views_and_index_arrays_are_copies():
    data = Dataset(X, Y)
    part = data[:2]
    assert isinstance(part, Dataset) and np.shares_memory(part.x, X)
    np.testing.assert_array_equal(data[[3, 0]].x, X[[3, 0]])
    np.testing.assert_array_equal(data[Y == 1].y, [1, 1])
    assert Dataset(X)[::2].y is None


def test_a_sample_is_drawn_from_all_rows_and_keeps_their_order():
    data = Dataset(np.arange(1000.0).reshape(-1, 1), np.arange(1000), np.ones(1000))
    sample = data.sample(200, seed=3)
    drawn = sample.x[:, 0]
    assert len(sample) == len(np.unique(drawn)) == 200 and (np.diff(drawn) > 0).all()
    assert np.array_equal(sample.y, drawn) and len(sample.weight) == 200
    assert abs(drawn.mean() - 499.5) < 5 * 1000 / np.sqrt(12 * 200)  # five standard errors of a uniform draw
    assert np.array_equal(data.sample(200, seed=3).y, sample.y)
    assert not np.array_equal(data.sample(200, seed=4).y, sample.y)
    assert data.sample(1000) is data


def test_slices_that_are_refused():
    data = Dataset(X, Y)
    with pytest.raises(DataError, match="has no rows, expected at least one of 4"):
        data[4:]
    with pytest.raises(TypeError, match=r"dataset\[1\] is one row, expected a slice or an array: dataset\[1:2\]"):
        data[1]
    with pytest.raises(IndexError):
        data[[4]]


# ---- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, Y[:3], "y has 3 rows and x has 4, expected as many"),
        (np.zeros((0, 3)), None, r"x has shape \(0, 3\), expected at least one row and one feature"),
        (np.zeros((3, 0)), None, r"x has shape \(3, 0\)"),
        (np.zeros(3), None, r"x has shape \(3,\), expected \(n, features\)"),
        (1.0, None, r"x has shape \(\)"),
        (np.array([[None, 1]]), None, "x has dtype object, expected numbers"),
        ([["a", "b"]], None, "x has dtype <U1, expected numbers"),
        (X + 1j, None, "x has dtype complex64, expected numbers"),
        (X.astype("M8[s]"), None, r"x has dtype datetime64\[s\], expected numbers"),
        ([[1, 2], [3]], None, "x is a list that cannot be read as an array"),
        (X, ["a", "b", "c", "d"], "y has dtype <U1, expected integer labels or float targets"),
        (X, Y[:, None, None], r"y has shape \(4, 1, 1\) and dtype int64, expected \(n,\) or \(n, k\) integer labels"),
        (X, np.zeros((4, 1, 1)), r"y has shape \(4, 1, 1\), expected \(n,\) or \(n, k\) float targets"),
        (X, np.zeros((4, 0)), r"y has shape \(4, 0\)"),
        (X, 3, r"y has shape \(\) and dtype int64"),
        (X, [0, 1, np.nan, np.inf], r"y\[2\] is nan \(row 2\), expected finite numbers"),
        (X, [[0, 1], [1, -np.inf], [0, 0], [0, 0]], r"y\[1, 1\] is -inf \(row 1, column 1\)"),
    ],
)
def test_bad_arrays(x, y, message):
    with pytest.raises(DataError, match=message):
        Dataset(x, y)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_number_that_is_not_finite_is_named_across_blocks(monkeypatch, bad):
    monkeypatch.setattr(module, "_BLOCK", 10)  # three rows a block
    x = np.zeros((20, 3))
    x[13, 2] = bad
    x[17, 0] = np.nan
    with pytest.raises(DataError, match=rf"x\[13, 2\] is {bad} \(row 13, column 2\), expected finite numbers"):
        Dataset(x)
    images = np.zeros((5, 2, 4))
    images[4, 1, 3] = bad
    with pytest.raises(DataError, match=rf"x\[4, 1, 3\] is {bad} \(row 4, column 1, 3\)"):
        Dataset(images)


def test_a_long_double_beyond_float64_is_refused():
    with np.errstate(over="ignore"):
        x = np.full((1, 1), np.finfo(np.float64).max, np.longdouble) * 2
    with pytest.raises(DataError, match=r"x\[0, 0\] is inf"):
        Dataset(x)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, r"y is missing, expected \(n,\) integer labels from 0 to 1"),
        (np.zeros(4), r"y is \(4,\) float64, expected \(n,\) integer labels from 0 to 1"),
        (Y, r"y\[2\] is 2, expected a label from 0 to 1"),
    ],
)
def test_check_labels(y, message):
    with pytest.raises(DataError, match=message):
        Dataset(X, y).check_labels(2)
    Dataset(X, Y).check_labels(3)


def test_as_dataset():
    data = Dataset(X, Y)
    assert as_dataset(data) is data
    for made in (as_dataset((X, Y)), as_dataset(X, Y)):
        assert np.shares_memory(made.x, X) and np.shares_memory(made.y, Y)
    assert as_dataset(X).y is None
    with pytest.raises(DataError, match="y is given beside a Dataset"):
        as_dataset(data, Y)
    assert np.array_equal(as_dataset((X, Y, Y)).weight, Y)
    with pytest.raises(DataError, match=r"4 arrays in a tuple, expected \(x, y\)"):
        as_dataset((X, Y, Y, Y))
    with pytest.raises(DataError, match=r"expected \(x, y\)"):
        as_dataset((X, Y), Y)


# ---- splits ----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, (23, 2, 2), elements=st.floats(-1e3, 1e3)),
    st.sampled_from([0.0, 1e4]),
)
def test_standardization_agrees_with_numpy(x, offset):
    x = x + offset
    x[:, 0, 0] = offset
    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        context.setattr(module, "_BLOCK", 20)  # five rows a block
        mean, std = Splits(Dataset(x)).standardization()
    assert mean.shape == std.shape == (2, 2) and mean.dtype == std.dtype == np.float64
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-12, atol=1e-9)
    assert std[0, 0] == 1
    wide = x.std(0) > 1e-4  # a narrower feature may count as constant
    np.testing.assert_allclose(std[wide], x.std(0)[wide], rtol=1e-6)


def test_standardization_leaves_the_data_alone_and_counts_in_float64():
    x = np.full((100_000, 2), 255, np.uint8)
    x[::2, 0] = 253
    mean, std = Splits(Dataset(x)).standardization()
    np.testing.assert_array_equal(mean, [254, 255])
    np.testing.assert_array_equal(std, [1, 1])
    x = np.array([[1.0, 5], [3, 5]])
    Splits(Dataset(x)).standardization()
    np.testing.assert_array_equal(x, [[1, 5], [3, 5]])


def test_parts_that_do_not_fit_together():
    with pytest.raises(DataError, match=r"\(2,\) float32 in the test part, expected \(3,\) float32 as in the training"):
        Splits(Dataset(X), test=Dataset(X[:, :2]))
    with pytest.raises(DataError, match=r"\(3,\) uint8 in the validation part, expected \(3,\) float32"):
        Splits(Dataset(X), validation=Dataset(X.astype(np.uint8)))
    assert Splits(Dataset(X)).feature_shape == (3,)


@pytest.mark.parametrize("name", ["x", "y", "weight"])
def test_what_a_mask_hides_is_not_taken(name):
    arrays = {"x": X, "y": Y, "weight": np.ones(4)}
    arrays[name] = np.ma.masked_equal(arrays[name], arrays[name].flat[1])
    with pytest.raises(DataError, match=f"{name} has masked elements"):
        Dataset(**arrays)
    assert len(Dataset(np.ma.masked_array(X), Y)) == 4
