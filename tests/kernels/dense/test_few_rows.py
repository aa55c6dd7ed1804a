"""The gradient of X for a few rows of a batch, compiled and as its Python says, against float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gearshift.backends import numba as numba_backend
from gearshift.kernels.dense.few_rows import few, input_gradient
from gearshift.kernels.dense.parts import BlockPart, LayerPlaces, Memory, inputs_of

MARK = 12345.0
EMPTY = dict.fromkeys(LayerPlaces._fields, 0)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 70),
    st.integers(1, 300),
    st.integers(1, 3),
    st.sampled_from(["float32", "float64"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_gradients(rows, inputs, outputs, parts, dtype, is_compiled, seed) -> None:
    random, spare = np.random.default_rng(seed), 5
    weights = random.normal(size=(inputs, outputs)).astype(dtype)
    d = random.normal(size=(rows, outputs + spare)).astype(dtype)
    parameters = np.concatenate([np.full(7, MARK, dtype), weights.reshape(-1)])
    work = np.concatenate([np.full(3, MARK, dtype), d.reshape(-1)])
    places = {"inputs": inputs, "outputs": outputs, "weight": 7, "d": 3, "d_stride": outputs + spare}
    layer, stride = LayerPlaces(**{**EMPTY, **places}), inputs + 11
    gradient = numba_backend.compiled(input_gradient) if is_compiled else input_gradient
    found = []
    for part in range(parts):
        out = np.full(rows * stride, MARK, dtype)
        task = BlockPart(part, parts, 0, rows, rows, 0)
        gradient(*inputs_of(layer, task), task, layer, Memory(parameters, work), out, stride)
        columns = out.reshape(rows, stride)
        width = int((columns[0] != MARK).sum())
        assert (columns[:, width:] == MARK).all()
        found.append(columns[:, :width])
    exact, weights = d[:, :outputs].astype(np.float64), weights.astype(np.float64)
    error = np.abs(np.hstack(found) - exact @ weights.T) / (np.abs(exact) @ np.abs(weights).T)
    assert error.max() < (1e-6 if dtype == "float32" else 1e-15)


@pytest.mark.parametrize("size", [4, 8, 16])
def test_which_batches_have_few_rows(size: int) -> None:
    """For vectors of 128 to 512 bits."""
    assert few(1, 10, size) and few(size // 4, 128, size)
    assert not few(size, 784, size) and not few(1, 0, size)
