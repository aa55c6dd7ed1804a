"""The stand-in for NCCL refuses what the real one hangs on, or answers with wrong numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from launched import needs_mpi, run
from processes import run as run_alone

ALONE = """
import cupy
from cupy.cuda import nccl
communicator, x = nccl.NcclCommunicator(1, nccl.get_unique_id(), 0), cupy.ones(128, dtype=cupy.float32)
def reduce(stream, place=x.data.ptr, count=128, kind=nccl.NCCL_FLOAT32):
    communicator.allReduce(place, place, count, kind, nccl.NCCL_SUM, stream)
"""


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("reduce(0, count=129)", "516 bytes at"),
        ("reduce(0, kind=nccl.NCCL_FLOAT64)", "1024 bytes at"),
        ("reduce(0, place=id(x))", "are not memory of the device"),
        ("reduce(12345)", "a stream, a type or an operation that it does not know"),
        (
            "stream = cupy.cuda.Stream(non_blocking=True)\nstream.begin_capture()\nreduce(0)",
            "a call on another stream than the one that captures",
        ),
    ],
)
def test_a_wrong_call_is_refused(lines: str, said: str) -> None:
    assert said in run_alone("-c", ALONE + lines, fails=True)
    assert run_alone("-c", ALONE + "reduce(0)\nprint(x.sum())").splitlines()[-1] == "128.0"


TWO = """
import cupy
from mpi4py import MPI
from cupy.cuda import nccl
rank = MPI.COMM_WORLD.rank
device = cupy.cuda.Device(0)
communicator = nccl.NcclCommunicator(2, MPI.COMM_WORLD.bcast(nccl.get_unique_id()), rank)
x = cupy.full(100_000, rank + 1, dtype=cupy.float64)
def reduce(count=x.size, kind=nccl.NCCL_FLOAT64):
    communicator.allReduce(x.data.ptr, x.data.ptr, count, kind, nccl.NCCL_SUM, 0)
"""


@needs_mpi
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("reduce(count=5 + rank)", "the ranks' calls differ"),
        ("reduce(count=8, kind=[nccl.NCCL_FLOAT32, nccl.NCCL_FLOAT64][rank])", "the ranks' calls differ"),
        ("reduce() if rank else communicator.bcast(x.data.ptr, x.size, 8, 0, 0)", "the ranks' calls differ"),
        ("reduce()", ""),
    ],
    ids=["count", "type", "kind", "alike"],
)
def test_ranks_must_call_alike(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    visible = "import os; os.environ['CUDA_VISIBLE_DEVICES'] = os.environ['PMI_RANK']"
    path.write_text(f"{visible}\n{TWO}\n{line}\nprint(f'{{x.sum()}}\\n', end='')")
    ended = run(2, path, STAND_IN_DEVICES="2")
    assert said in ended.stderr and bool(ended.returncode) == bool(said)
    assert said or ended.stdout.split() == ["300000.0"] * 2
