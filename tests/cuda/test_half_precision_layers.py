"""Every kind of layer, loss and penalty in bfloat16 and float16 on the GPU."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pytest
from gpu import launches
from half_precision import KINDS, OFF, PRECISIONS, fit, trainer


@pytest.mark.parametrize(("name", "precision"), list(zip(KINDS, cycle(PRECISIONS), strict=False)))
def test_the_kernels_learn_as_numpys_definition_and_parameters_stay_float32(name: str, precision: str) -> None:
    run = trainer(name, precision, backend="cupy")
    with launches() as found:
        mine = fit(run, name, 2, rows=64)
    defined = fit(trainer(name, precision), name, 2, rows=64)
    assert np.max(np.abs(mine - defined) / defined) < OFF[precision]
    assert found["graphs"] > 0
    arrays = run.state.shared
    assert all(arrays[key].dtype == np.float32 for key in ("p", "g", *run.state.slots))
