"""All contenders can be held to one instruction set."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from gearshift.backends.errors import ConfigurationError
from gearshift.bench.peers.isa import environment

TRY = """
import numpy as np
from gearshift.backends.numba import compiled
from gearshift.backends.vectors import vector_bytes
from gearshift.kernels.arrays.add import ADD
loop, out = compiled(ADD.loop), np.zeros(64, np.float32)
loop(0, 64, np.ones(64, np.float32), np.ones(64, np.float32), out)
text = "".join(loop.inspect_asm().values())
print(vector_bytes(), out[0], "zmm" in text, "ymm" in text)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AVX2 is x86-64's")
def test_numba_is_held_to_avx2(tmp_path) -> None:
    variables = {**os.environ, **environment("avx2"), "GEARSHIFT_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", TRY], env=variables, capture_output=True, text=True)
    assert done.stdout.split() == ["32", "2.0", "False", "True"], done.stderr


def test_a_name_that_is_not_known() -> None:
    assert environment("native") == {}
    with pytest.raises(ConfigurationError, match="--isa 'sse' is not known; expected one of: native, avx2"):
        environment("sse")
