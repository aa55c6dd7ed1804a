"""Means and standard deviations are those of scikit-learn, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.preprocessing import StandardScaler

from gearshift.backends.errors import DataError
from gearshift.dl.data.dataset import Dataset
from gearshift.dl.data.moments import moments
from gearshift.dl.data.splits import Splits

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)


@settings(deadline=None, max_examples=300)
@given(
    hnp.arrays(np.float64, SHAPES, elements=st.floats(-1e3, 1e3, width=32)),
    st.sampled_from([0.0, 1.0, 1e4, 1e9]),
    st.integers(1, 20),
)
def test_blocks_are_summed_as_by_the_standard_scaler(x: np.ndarray, offset: float, rows: int) -> None:
    x = x + offset
    x[:, 0] = x[0, 0]
    blocks = [x[start : start + rows] for start in range(0, len(x), rows)]
    scaler = StandardScaler()
    for block in blocks:
        scaler.partial_fit(block)
    mean, deviation = moments(blocks)
    assert mean.tolist() == np.asarray(scaler.mean_).tolist()
    assert deviation.tolist() == np.asarray(scaler.scale_).tolist()


@pytest.mark.parametrize("x", [[1e200, -1e200], [1e200, 2e200], [1e308, 1e308]])
def test_a_variance_that_overflows_is_refused(x: list[float]) -> None:
    with pytest.raises(DataError, match="column 1 is too large to be squared"):
        Splits(Dataset(np.column_stack([[0.0, 1.0], x]))).standardization()
