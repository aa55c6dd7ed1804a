"""Real ranks train as one process does: the same steps, metrics, random numbers and ends; all end if one is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from launched import needs_mpi, run

CASES = Path(__file__).with_name("rank_cases.py")
pytestmark = needs_mpi


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What one process of NumPy ends with."""
    file = tmp_path_factory.mktemp("alone") / "found.npz"
    subprocess.run([sys.executable, CASES, "numpy", file], check=True)
    with np.load(file) as found:
        return dict(found)


@pytest.mark.parametrize(
    ("size", "backend"),
    [
        (2, "numba"),
        pytest.param(2, "numpy", marks=pytest.mark.slow),
        pytest.param(3, "numba", marks=pytest.mark.slow),
        pytest.param(3, "numpy", marks=pytest.mark.long),
        pytest.param(4, "numba", marks=pytest.mark.long),
        pytest.param(4, "numpy", marks=pytest.mark.long),
    ],
)
def test_ranks_take_the_steps_of_one_process(
    size: int, backend: str, alone: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """105 steps in float64, whose last batches have fewer rows than ranks; weights, losses and validation losses."""
    ended = run(size, CASES, backend, tmp_path / "found.npz")
    assert ended.returncode == 0, ended.stderr
    with np.load(tmp_path / "found.npz") as found:
        assert found.keys() == alone.keys()
        assert {name: float(np.max(np.abs(found[name] - alone[name]))) for name in alone if name} == pytest.approx(
            dict.fromkeys(alone, 0), abs=1e-12
        )


def script(tmp_path: Path, *lines: str) -> Path:
    """A script that trains on several ranks, with other lines before."""
    path = tmp_path / "script.py"
    before = """
import sys
import numpy as np
import gearshift as gs
from mpi4py import MPI
rank, random = MPI.COMM_WORLD.rank, np.random.default_rng(0)
x, y = random.standard_normal((103, 6)), random.integers(0, 3, 103)
model = gs.Sequential(gs.Linear(6, 8), gs.ReLU(), gs.Linear(8, 3), dtype="float64")
optimizer, size, callbacks, backend, epochs = gs.Adam(), 16, [], "numpy", 100_000
"""
    after = """
trainer = gs.Trainer(model, gs.CrossEntropyLoss(), optimizer, backend=backend)
trainer.fit(x, y, epochs=epochs, batch_size=size, callbacks=callbacks, verbose=False)
sys.stdout.write(f"trained {rank} {trainer.stopped} {trainer.epoch} {trainer.step}\\n")
"""
    path.write_text("\n".join([before, *lines, after]))
    return path


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x[3] += rank", "the training data of rank 1 differs from that of rank 0"),
        ("optimizer.lr = 0.1 + rank", "the configuration of rank 1 differs from that of rank 0"),
        ("backend = ['numpy', 'numba'][rank]", "the backend of rank 1 differs from that of rank 0: numba, and numpy"),
        ("size = 1", "batch_size has 1 rows for 2 ranks"),
        ("x, y = x[:1], y[:1]", "the data set has 1 rows for 2 ranks"),
        ("optimizer, size = gs.Newton(), 103", "Newton computes its steps in one process, and mpiexec started 2"),
    ],
)
def test_refusals(line: str, said: str, tmp_path: Path) -> None:
    ended = run(2, script(tmp_path, line))
    assert ended.returncode in (1, signal.SIGKILL)  # MPICH's launcher kills a rank that has not ended by itself yet
    assert ended.stderr.count(said) == 1


def test_a_loss_that_is_not_finite_is_named_by_the_rank_that_finds_it(tmp_path: Path) -> None:
    ended = run(2, script(tmp_path, "x[77] = 1.7e308", "size = 103"))
    assert ended.returncode == 1
    assert ended.stderr.count("the loss is not finite at step 0") == 1 and "layer '0'" in ended.stderr


@pytest.mark.parametrize(
    ("ranks", "said"), [("rank == 1", "rank 1: Traceback"), ("True", "Traceback")], ids=["one", "all"]
)
def test_an_error_ends_all_ranks_and_is_told_once(ranks: str, said: str, tmp_path: Path) -> None:
    lines = [
        "class Full(gs.Callback):",
        "    def on_epoch_end(self, trainer, record):",
        f"        if {ranks}: raise MemoryError('no room')",
        "callbacks = [Full()]",
    ]
    ended = run(2, script(tmp_path, *lines))
    assert ended.returncode == 1
    assert ended.stderr.count("Traceback") == 1 and ended.stderr.startswith(said)
    assert "MemoryError: no room" in ended.stderr


TRAINED = "gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend=backend).fit(x, y, epochs=1, verbose=False)"


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", TRAINED], ids=["before the first training", "after a training"])
def test_a_rank_that_ends_early_ends_the_others(before: str, tmp_path: Path) -> None:
    """MPI alone would wait forever: one rank where it ends, the others for its gradients."""
    ended = run(2, script(tmp_path, before, "if rank == 1: sys.exit(0)"))
    assert ended.returncode  # of either rank: MPICH's launcher kills the one that waits
    assert ended.stderr.count("error: rank 1 of 2 has ended while others train\n") == 1
    assert "trained" not in ended.stdout


def test_nothing_trains_once_rank_0_has_ended(tmp_path: Path) -> None:
    ended = run(2, script(tmp_path, "if rank == 0: sys.exit(0)"))
    assert ended.returncode == 1
    assert ended.stderr.count("rank 0 of 2 has ended without training, so no other rank can train") == 1


def test_ranks_that_train_nothing_end_alike(tmp_path: Path) -> None:
    ended = run(2, script(tmp_path, "sys.exit(0)"))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_all_ranks_stop_after_the_same_step(tmp_path: Path) -> None:
    """A callback of one rank asks for it inside an epoch, where each rank's clock ticks at another step."""
    lines = [
        "class Stop(gs.Callback):",
        "    def on_tick(self, trainer):",
        "        if rank == 1: trainer.stop('enough')",
        "callbacks, size = [Stop()], 2",
        "x, y = np.repeat(x, 500, axis=0), np.repeat(y, 500)",
    ]
    ended = run(2, script(tmp_path, *lines))
    assert ended.returncode == 0, ended.stderr
    first, second = sorted(ended.stdout.splitlines())
    assert first.split()[1:3] == ["0", "stop"]
    assert first.split()[3:] == second.split()[3:] and first.split()[3] == "0"


def test_processes_that_cannot_talk_to_each_other_are_refused(tmp_path: Path) -> None:
    """Each would train a model of its own."""
    lines = [
        "import importlib.util as util; found = util.find_spec",
        "util.find_spec = lambda name, *more: None if name == 'mpi4py' else found(name, *more)",
    ]
    ended = run(2, script(tmp_path, *lines))
    assert ended.returncode != 0
    assert "mpiexec started 2 processes, but mpi4py is not installed" in ended.stderr
    assert "pip install 'gearshift[mpi]'" in ended.stderr
    assert run(2, script(tmp_path, *lines, "epochs = 1"), GEARSHIFT_MPI="off").stdout.count("trained") == 2
