"""Ranks with a GPU each: the real CuPy and its binding of NCCL, two processes, on the stand-in for CUDA and NCCL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from launched import launch, needs_mpi, processes, run
from safetensors.numpy import load_file

CASES = Path(__file__).parent.parent / "dl" / "training" / "rank_cases.py"
TWO = {"STAND_IN_DEVICES": "2"}
pytestmark = needs_mpi


def test_ranks_take_the_steps_of_one_process(tmp_path: Path) -> None:
    """Seven kinds of networks in float64, whose last batches have fewer rows than ranks."""
    subprocess.run([sys.executable, CASES, "numpy", tmp_path / "alone.npz"], check=True)
    ended = run(2, CASES, "cupy", tmp_path / "found.npz", **TWO)
    assert ended.returncode == 0, ended.stderr
    with np.load(tmp_path / "alone.npz") as alone, np.load(tmp_path / "found.npz") as found:
        assert found.keys() == alone.keys()
        assert {name: float(np.max(np.abs(found[name] - alone[name]))) for name in alone} == pytest.approx(
            dict.fromkeys(alone, 0), abs=1e-12
        )


SCRIPT = """
import sys
import numpy as np
import gearshift as gs
import stand_in
from gearshift.backends.ranks import launched
rank, random = launched().rank, np.random.default_rng(0)
x, y = random.standard_normal((500, 12)), random.integers(0, 3, 500)
backend, dtype, epochs, size, callbacks = "cupy", "float64", 2, 20, []
LINES
model = gs.Sequential(gs.Linear(12, 16), gs.ReLU(), gs.Dropout(0.2), gs.Linear(16, 3), dtype=dtype).init(1)
trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend=backend, seed=3)
history = trainer.fit(x, y, epochs=epochs, batch_size=size, callbacks=callbacks, verbose=False)
sys.stdout.write(f"{rank} {trainer.stopped} {trainer.step} {history['loss']}\\n")
"""


def script(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.replace("LINES", "\n".join(lines)))
    return path


def losses(said: str) -> list[float]:
    """The losses of rank 0."""
    (line,) = (line for line in said.splitlines() if line.startswith("0 "))
    return [float(text) for text in line.partition("[")[2].rstrip("]").split(",")]


COUNTED = """
import atexit
def count():
    found = stand_in.counts()
    reduced = {name: number for name, number in found.items() if name.startswith("NCCL all-reduce")}
    sys.stdout.write(f"counts {rank} {sum(reduced.values())} {found['cudaGraphInstantiate']} {found['replayed']}\\n")
atexit.register(count)
"""


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-5), ("float64", 1e-12)])
def test_a_step_has_one_all_reduce_and_is_replayed(dtype: str, bound: float, tmp_path: Path) -> None:
    """No warning says that a step could not be captured."""
    path = script(tmp_path, f"dtype = {dtype!r}", COUNTED)
    ended = run(2, path, **TWO)
    assert (ended.returncode, ended.stderr) == (0, "")
    (tmp_path / "alone").mkdir()
    alone = run(1, script(tmp_path / "alone", "backend, dtype = 'numpy', 'float64'"))
    assert losses(ended.stdout) == pytest.approx(losses(alone.stdout), rel=bound)
    for line in (line for line in ended.stdout.splitlines() if line.startswith("counts")):
        _, _, reduced, graphs, replayed = map(str, line.split())
        assert int(reduced) == 50  # steps
        assert int(graphs) == 2 and int(replayed) > 48 * 10


def test_streamed_rows_are_those_of_one_process(tmp_path: Path) -> None:
    lines = [
        "from gearshift.dl.data import streamed; from gearshift.dl.step.memory import Demand",
        "streamed.BLOCK = 4096; Demand.must_stream = lambda *_, **__: True",
    ]
    ended = run(2, script(tmp_path, *lines), **TWO)
    assert ended.returncode == 0, ended.stderr
    (tmp_path / "alone").mkdir()
    alone = run(1, script(tmp_path / "alone", "backend = 'numpy'"))
    assert losses(ended.stdout) == pytest.approx(losses(alone.stdout), rel=1e-12)


def test_all_ranks_stop_after_the_same_step(tmp_path: Path) -> None:
    """A rank that had queued more steps would wait forever."""
    lines = [
        "class Stop(gs.Callback):",
        "    def on_tick(self, trainer):",
        "        if rank == 1: trainer.stop('enough')",
        "callbacks, size, epochs = [Stop()], 2, 100",
        "x, y = np.repeat(x, 500, axis=0), np.repeat(y, 500)",
    ]
    ended = run(2, script(tmp_path, *lines), **TWO)
    assert ended.returncode == 0, ended.stderr
    first, second = sorted(ended.stdout.splitlines())
    assert first.split()[:2] == ["0", "stop"]
    assert first.split()[2:] == second.split()[2:] and int(first.split()[2]) > 1


def test_a_loss_that_is_not_finite_is_named_by_the_rank_that_finds_it(tmp_path: Path) -> None:
    ended = run(2, script(tmp_path, "x[77] = 1.7e308", "size = 500"), **TWO)
    assert ended.returncode == 1
    assert ended.stderr.count("the loss is not finite at step 0") == 1 and "layer '0'" in ended.stderr


def test_a_killed_rank_ends_the_others(tmp_path: Path) -> None:
    """They wait for it in a graph on the device."""
    lines = [
        "class Ready(gs.Callback):",
        "    def on_epoch_end(self, trainer, record): open(sys.argv[1] + str(rank), 'w').close()",
    ]
    path = script(tmp_path, *lines, "callbacks, epochs = [Ready()], 1_000_000")
    process = launch(2, path, tmp_path / "ready", **TWO)
    end, ranks = time.monotonic() + 60, dict[int, int]()
    try:
        while not all((tmp_path / f"ready{rank}").exists() for rank in range(2)):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        ranks = processes(process.pid)
        os.kill(ranks[1], signal.SIGKILL)
        _, errors = process.communicate(timeout=30)
    finally:
        for number in (*(ranks or processes(process.pid)).values(), process.pid):
            if process.poll() is None:
                os.kill(number, signal.SIGKILL)
    assert process.returncode and errors.count("error: rank 1 of 2 died") == 1


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (
            {**TWO, "STAND_IN_HIDDEN": "libnccl.so.2"},
            "rank 0 cannot load NCCL, which connects the GPUs of several ranks: ImportError",
        ),
        ({**TWO, "STAND_IN_HIDDEN": "libnccl.so.2"}, "pip install nvidia-nccl-cu12"),
        (
            {**TWO, "CUDA_VISIBLE_DEVICES": "1"},
            "ranks 0 and 1 both use the GPU 0000:02:00.0",
        ),
        ({"STAND_IN_DEVICES": "1"}, "there is no GPU for rank 1: each of the 2 ranks of this machine uses one of its"),
    ],
    ids=["no NCCL", "its remedy", "one GPU for both", "too few GPUs"],
)
def test_refusals(machine: dict[str, str], said: str, tmp_path: Path) -> None:
    ended = run(2, script(tmp_path), **machine)
    assert ended.returncode == 1
    assert ended.stderr.count(said) == 1


def test_a_rank_without_a_gpu_does_not_train_beside_one_that_has_one(tmp_path: Path) -> None:
    ended = run(2, script(tmp_path, "backend = 'auto'"), STAND_IN_DEVICES="1", GEARSHIFT_BACKEND="auto")
    assert ended.returncode == 1
    assert (
        ended.stderr.count("rank 1 has backend 'numba', and rank 0 has 'cupy'; start as many ranks on a machine") == 1
    )


def test_a_run_of_two_gpus_goes_on_with_one(tmp_path: Path) -> None:
    """The command, to the weights of one process of NumPy."""
    words = ["-m", "gearshift", "train", "--quiet", "--set", "model.dtype='float64'"]
    for size, epochs, more in ((2, 1, ()), (1, 2, ("--resume",))):
        given = [*words, "--backend", "cupy", "--run", tmp_path / "a", "--set", f"train.epochs={epochs}", *more]
        ended = run(size, *given, **TWO)
        assert ended.returncode == 0 and ended.stdout.count("backend: cupy") == 1, ended.stderr
        assert "not as a graph" not in ended.stderr
    assert run(1, *words, "--backend", "numpy", "--run", tmp_path / "b", "--set", "train.epochs=2").returncode == 0
    a, b = (load_file(tmp_path / name / "last.safetensors") for name in "ab")
    weights = [name for name in a if name.startswith(("model.", "optimizer."))]
    assert max(np.max(np.abs(a[name] - b[name])) for name in weights) <= 1e-12
