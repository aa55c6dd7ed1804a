"""The kernel that measures streams of memory, run on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_on_cpu import HostCuda, unavailable

from gearshift.bench.gpu_proof.streams import STREAMS


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
@pytest.mark.parametrize("blocks", [None, 2])
def test_streams_without_arithmetic_are_added_up(blocks: int | None) -> None:
    arrays = [np.arange(start, start + 4099, dtype=np.float32) for start in range(4)]
    wanted = [array.copy() for array in arrays]
    STREAMS.reference(np, *wanted)
    HostCuda(blocks).run(STREAMS, arrays, {})
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(arrays, wanted, strict=True))
