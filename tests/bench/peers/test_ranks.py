"""`gearshift peers --measure ranks`: Gearshift's ranks and PyTorch's do the work of one process."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from launched import MPIEXEC, environment, needs_mpi, processes

from gearshift.__main__ import main
from gearshift.bench.peers import measure, results
from gearshift.bench.peers.process import Process

LOSS_RTOL = 0.1  # of epochs whose orders differ


@pytest.fixture
def mpi(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where MPI is; the environment finds it."""
    assert MPIEXEC is not None
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(MPIEXEC).parent), os.environ["PATH"]]))
    monkeypatch.setenv("LD_LIBRARY_PATH", environment()["LD_LIBRARY_PATH"])
    return MPIEXEC


@needs_mpi
@pytest.mark.slow
def test_ranks_are_measured_beside_one_process(mpi: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "peers.json"
    with pytest.raises(SystemExit) as ended:
        main(["peers", "--measure", "ranks", "--networks", "6-5-3", "--rounds", "2", "--out", str(out)])
    assert not ended.value.code
    printed = capsys.readouterr().out
    assert "numba ranks" in printed and "FAULT" not in printed
    (point,) = results.read(out).points
    assert (point.measure, point.batch) == ("ranks", 256)
    wanted = {"numba", "numba ranks", *(["torch", "torch DDP"] if find_spec("torch") else [])}
    assert point.results.keys() == wanted
    losses = {name: result.losses[0] for name, result in point.results.items()}
    assert losses == pytest.approx(dict.fromkeys(wanted, losses["numba"]), rel=LOSS_RTOL)
    assert all(len(result.seconds) == 2 for result in point.results.values())


@pytest.mark.slow
@needs_mpi
def test_ranks_learn_what_one_process_does(mpi: str) -> None:
    """The same rows in the same order: three epochs end near the same loss; then no rank is left."""
    alone, ranks = Process("numba"), Process("numba ranks", {"GEARSHIFT_THREADS": "1"}, mpi)
    try:
        losses = []
        for process in (alone, ranks):
            process.ask("epoch", network="6-5-3", batch=256)
            for _ in range(2):
                assert process.ask("block")["seconds"] > 0
            losses.append(process.ask("loss")["loss"])
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)
        assert ranks.ask("settings") == {"ranks": 2, "threads of each": 1}
        started = processes(ranks._process.pid)
        assert len(started) == 2
    finally:
        alone.close()
        ranks.close()
    assert not any(Path(f"/proc/{number}").exists() for number in started.values())


def test_without_mpi_ranks_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "launcher", lambda: None)
    assert measure.absent(["numba", "numba ranks"]) == {"numba ranks": "pip install 'gearshift[mpi]' mpich"}


def test_threads_are_divided() -> None:
    found = {name: measure.held_to(name, 2) for name in ("numba", "numba ranks", "torch DDP")}
    assert [each["GEARSHIFT_THREADS"] for each in found.values()] == ["2", "1", "1"]
    assert measure.held_to("numba", None) == {}
