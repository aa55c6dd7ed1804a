"""The product engine of a matrix unit compiles on CPUs without one, where nothing else would compile it.

`tests/dl/step/test_fused_mlp.py` runs the same functions uncompiled.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite import binding

CODE = """
from numba import typeof
from gearshift.backends.numba_compile import compiled
from gearshift.dl.step.dense_functions import engine_functions
from gearshift.dl.step.dense_loop import LAYER, TASK, arguments_of
from gearshift.kernels.dense import engine, matrix_unit_engine
from gearshift.kernels.dense.parts import Integers, Memory, Tools

arguments = {type(argument): argument for argument in arguments_of(0, "float32")}
types = [typeof(argument) for argument in (arguments[Tools], arguments[Memory], arguments[Integers], TASK, LAYER)]
for integers in (False, True):
    compiled(engine.addresses, **engine_functions(matrix_unit_engine, integers)).compile(tuple(types))
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="only x86 CPUs have this matrix unit")
def test_the_engine_compiles(tmp_path: Path) -> None:
    features = [f"{'+' if there else '-'}{name}" for name, there in binding.get_host_cpu_features().items()]
    unit = ["+amx-tile", "+amx-bf16"]
    target = {
        "NUMBA_CPU_NAME": binding.get_host_cpu_name(),
        "NUMBA_CPU_FEATURES": ",".join([name for name in features if "amx" not in name] + unit),
    }
    environment = {**os.environ, **target, "GEARSHIFT_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
