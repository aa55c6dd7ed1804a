"""The all-reduce between two real processes, and `gearshift bench --workers` from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from launched import MPIEXEC, environment, needs_mpi

from gearshift.__main__ import main
from gearshift.bench.batch.measure import network


@needs_mpi
def test_an_all_reduce_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latency between 10 ns and 10 ms; more bytes take longer."""
    monkeypatch.setenv("LD_LIBRARY_PATH", environment()["LD_LIBRARY_PATH"])
    monkeypatch.setattr(network, "launcher", lambda: MPIEXEC)
    monkeypatch.setattr(network, "SECONDS", 0.1)
    found = network.measure(1 << 22)
    assert 1e-8 < found.latency < 1e-2
    assert 1e7 < found.rate < 1e12
    assert found.allreduce(1 << 22, 2) > found.allreduce(1 << 10, 2)


@pytest.mark.slow
def test_bench_predicts_how_many_devices_pay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found.json"
    words = [
        "bench",
        "--quick",
        "--backends",
        "numba",
        "--workers",
        "1:4",
        "--network",
        "25us,100Gbit",
        "--out",
        str(out),
    ]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code
    said = capsys.readouterr().out
    assert "Devices that share each batch, predicted from numba" in said and "network: 25 µs and 12.5 GB/s" in said
    record = json.loads(out.read_text())["workers"]
    assert record["workers"] == [1, 2, 4] and len(record["steps"]) >= 2 and not record["measured"]
    with pytest.raises(SystemExit):
        main(["bench", "--from", str(out), "--workers", "1:64", "--network", "1ms,1Gbit"])
    assert "network: 1,000 µs and 0.125 GB/s, as given" in capsys.readouterr().out
