"""All contenders can be held to one instruction set."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gearshift.backends.errors import ConfigurationError
from gearshift.bench.peers.command import request
from gearshift.bench.peers.isa import FREE, environment

TRY = """
import sys
import numpy as np
from gearshift.backends.numba import compiled
from gearshift.backends.vectors import lanes, tile_rows, vector_bytes
from gearshift.kernels.dense.parts import Matrix, Tools
from gearshift.kernels.dense.product import SCRATCH, product
a, b = (Matrix(np.random.default_rng(seed).normal(size=4096).astype(np.float32), 0, 48, 1) for seed in range(2))
out, scratch = np.zeros(8 * 48, np.float32), np.zeros(SCRATCH + 4096, np.float32)
loop, wide = compiled(product), lanes(np.float32)
tools = Tools(scratch, wide, tile_rows(), np.zeros(0, np.int32))
loop(8, 48 // wide, 40, a, b, Matrix(out, 0, 48, 1), 0, 0, tools)
np.save(sys.argv[1], out)
text = "".join(loop.inspect_asm().values())
print(vector_bytes(), tile_rows(), *(name in text for name in ("zmm", "ymm", "fmadd", "fmaf")))
"""
USES = {
    "avx2": ["32", "4", "False", "True", "True", "False"],
    "avx": ["32", "4", "False", "True", "False", "False"],
    "sse4": ["16", "4", "False", "False", "False", "False"],
}
"""Bytes of a vector register, rows of a tile, and which registers and instructions the product uses."""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these instruction sets are x86-64's")
@pytest.mark.parametrize("isa", [pytest.param(isa, marks=[] if isa == "avx" else pytest.mark.long) for isa in USES])
def test_numba_is_held_to_it(isa: str, tmp_path: Path) -> None:
    """Without fused multiply-adds, the product must not call a function for each of them."""
    variables = {**os.environ, **environment(isa), "GEARSHIFT_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", TRY, str(tmp_path / "out.npy")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.stdout.split() == USES[isa], done.stderr
    a, b = (np.random.default_rng(seed).normal(size=4096).astype(np.float32).astype(float) for seed in range(2))
    exact = a[: 8 * 48].reshape(8, 48)[:, :40] @ b[: 40 * 48].reshape(40, 48)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy").reshape(8, 48), exact, rtol=0, atol=1e-5)


def test_a_name_that_is_not_known() -> None:
    assert environment("native") == {}
    with pytest.raises(ConfigurationError, match="--isa 'sse' is not known; expected one of: native, avx2, avx, sse4"):
        environment("sse")


@pytest.mark.parametrize("isa", list(USES))
def test_who_cannot_be_held_is_left_out(isa: str) -> None:
    assert not set(FREE) & set(request(isa=isa).contenders) and set(FREE) < set(request().contenders)
    with pytest.raises(ConfigurationError, match=f"contender 'jax' cannot be held to --isa {isa}; expected others"):
        request(contenders="numba,jax", isa=isa)
