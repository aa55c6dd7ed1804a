"""Numba without the private parts that Gearshift uses: plain `njit` compiles, and a training runs all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gearshift as gs
from gearshift.backends.numba_compile import TESTED

BREAKS = {
    "another library": "import numba.core.codegen as broken; del broken.JITCodeLibrary",
    "no functions made by hand": (
        "import sys, numba, numba.core.lowering; del numba._dynfunc; sys.modules['numba._dynfunc'] = None"
    ),
    "results that cannot be kept": "from numba.core.compiler import CompileResult; del CompileResult._reduce",
}
OTHERS = [name for name in BREAKS if name != "another library"]
TRAIN = ["train", "--run", "run", "--set", "train.epochs=1", "--set", "data.validation=0.0"]
TRAIN += ["--set", "data.test=0.0", "--set", "model.hidden=[]"]


def command(breaking: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of Gearshift in a fresh process whose Numba lacks something."""
    code = f"import sys\n{breaking}\nfrom gearshift.__main__ import main\nmain({[*arguments]!r})"
    environment = {**os.environ, "GEARSHIFT_CACHE_DIR": str(folder / "cache"), "GEARSHIFT_BACKEND": "numba"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", ["another library", *(pytest.param(name, marks=pytest.mark.long) for name in OTHERS)])
def test_doctor_says_what_is_missing(name: str, tmp_path: Path) -> None:
    done = command(BREAKS[name], tmp_path, "doctor")
    assert done.returncode == 0, done.stderr
    assert "kernels are compiled by plain njit" in done.stdout
    assert "auto takes: numba" in done.stdout


def test_doctor_says_nothing_where_all_is_there(tmp_path: Path) -> None:
    assert "plain njit" not in command("", tmp_path, "doctor").stdout


@pytest.mark.long
def test_a_training_runs_without_a_private_import(tmp_path: Path) -> None:
    """Also what the fused loop does not cover, such as batch normalisation."""
    hidden = ["--set", "model.hidden=[8]", "--set", "model.batch_norm=true"]
    done = command(BREAKS["another library"], tmp_path, *TRAIN, *hidden)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("kernels are compiled by plain njit") == 1
    assert "does not cover BatchNorm1d" in done.stderr
    assert gs.Run(tmp_path / "run").model is not None


@pytest.mark.long
@pytest.mark.parametrize("name", BREAKS)
def test_the_compiled_loop_trains_to_the_same_weights(name: str, tmp_path: Path) -> None:
    ends = []
    for number, breaking in enumerate(("", BREAKS[name])):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = command(breaking, folder, *TRAIN)
        assert done.returncode == 0, done.stderr
        assert ("plain njit" in done.stderr) is bool(breaking)
        ends.append(gs.Run(folder / "run").model.state_dict())
    for key, value in ends[0].items():
        assert value == pytest.approx(ends[1][key], rel=1e-5, abs=1e-7)


LOOP = """
from jitted import plus
from mine.functions import times

def loop(start, stop, x):
    for i in range(start, stop):
        x[i] = plus(times(x[i]))
"""
CALL = """
import numpy as np
from mine.module import loop
from gearshift.backends.numba import compiled
x = np.ones(2, np.float32)
compiled(loop)(0, 2, x)
print(x.tolist())
"""


def test_a_loop_from_outside_is_compiled_anew_where_what_it_calls_was_edited(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "module.py").write_text(LOOP)
    for factor, term in ((2, 1), (3, 1), (3, 5)):
        (tmp_path / "mine" / "functions.py").write_text(f"def times(a):\n    return {factor} * a\n")
        (tmp_path / "jitted.py").write_text(f"import numba\n\n@numba.njit\ndef plus(a):\n    return a + {term}\n")
        done = command(f"sys.path.insert(0, {str(tmp_path)!r})\n{CALL}", tmp_path, "--version")
        assert done.stdout.startswith(str([float(factor + term)] * 2)), done.stderr


def test_the_versions_named_are_those_of_the_package() -> None:
    project = Path(gs.__path__[0]) / "pyproject.toml"
    if not project.exists():
        pytest.skip("needs a checkout")
    assert f'"{TESTED}"' in project.read_text(encoding="utf-8")
