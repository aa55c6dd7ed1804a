"""A search on worker processes, of a real Dask cluster or of joblib: the same scores, also if a worker is killed."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from launched import descendants

from gearshift.__main__ import main
from gearshift.backends.errors import BackendUnavailable, ConfigurationError
from gearshift.dl.experiment import dask_cluster
from gearshift.dl.experiment.config import parse_as
from gearshift.dl.experiment.dask_cluster import on_dask
from gearshift.dl.experiment.search import Search, prepare
from gearshift.dl.experiment.sections import SearchConfiguration

distributed = pytest.importorskip("distributed")
GRID: dict[str, Any] = {
    "estimator": {"max_iter": 3},
    "search": {"folds": 2, "parameters": {"hidden_layer_sizes": [[4], [8, 4]], "alpha": [1e-4, 1e-3, 1.0]}},
}


def search(jobs: int = 1) -> Search:
    return prepare(parse_as(SearchConfiguration, {**GRID, "search": {**GRID["search"], "jobs": jobs}}), "numpy")


def scores(found: Any) -> list[tuple[str, float, float]]:
    return sorted((str(row.parameters), row.mean, row.deviation) for row in found.rows)


@pytest.fixture(scope="module")
def alone() -> Any:
    """The scores of one process."""
    return scores(search().run(lambda done, best: None))


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    """Two workers that come back when they are killed; LocalCluster gives up those that are away for 15 s."""
    from dask import config

    with (
        config.set({"distributed.deploy.lost-worker-timeout": "1h"}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as found,
    ):
        yield found


def test_a_dask_cluster_finds_the_same_scores(dask: Any, alone: Any) -> None:
    told: list[int] = []
    found = search().run(lambda done, best: told.append(done), dask.scheduler_address)
    assert scores(found) == alone
    assert told == [1, 2, 3, 4, 5, 6]
    with distributed.Client(dask) as client:
        assert set(client.run(lambda: os.environ["GEARSHIFT_THREADS"]).values()) == {"1"}


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 2])
def test_a_killed_dask_worker_loses_nothing(most: int, dask: Any, alone: Any) -> None:
    """Also if all are killed, and the data with them."""
    with distributed.Client(dask) as client:
        client.wait_for_workers(2)
        processes = list(client.run(os.getpid).values())[:most]
    killed: list[int] = []

    def advance(done: int, best: float) -> None:
        while len(killed) < most:
            killed.append(processes[len(killed)])
            threading.Timer(0.05, os.kill, (killed[-1], signal.SIGKILL)).start()

    assert scores(search().run(advance, dask.scheduler_address)) == alone
    assert killed == processes


@pytest.mark.slow
def test_workers_that_are_lost_as_the_data_are_sent(dask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data go to those that start in their place."""
    scatter, killed = distributed.Client.scatter, []

    def late(client: Any, *arguments: Any, **options: Any) -> Any:
        if not killed:
            killed.extend(client.run(os.getpid).values())
            for process in killed:
                os.kill(process, signal.SIGKILL)
        return scatter(client, *arguments, **options)

    monkeypatch.setattr(distributed.Client, "scatter", late)
    results = on_dask(dask.scheduler_address, lambda data, item: data + item, 9, [0, 1, 2])
    assert sorted(results) == [(0, 9), (1, 10), (2, 11)]
    assert killed


@pytest.mark.slow
def test_a_fit_that_ends_every_dask_worker_is_given_up(dask: Any) -> None:
    def fatal(data: int, item: int) -> int:
        return os._exit(data) if item else item

    with pytest.raises(BackendUnavailable, match=r"one Dask worker after|all Dask workers"):
        assert [*on_dask(dask.scheduler_address, fatal, 9, [0, 1])] == [(0, 0)]


@pytest.mark.slow
def test_a_cluster_that_goes_away_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "PATIENCE", 2)
    monkeypatch.setattr(dask_cluster, "WORKERLESS", 2)
    with distributed.LocalCluster(n_workers=1, dashboard_address=":0") as leaving:
        results = on_dask(leaving.scheduler_address, lambda data, item: time.sleep(item), None, [0, 600])
        assert next(results) == (0, None)
        leaving.scale(0)
        with pytest.raises(BackendUnavailable, match="has had no workers for 2 s"):
            next(results)


def loky_processes() -> list[int]:
    """joblib's worker processes."""
    found = []
    for process in descendants(os.getpid()):
        with suppress(OSError):
            if b"popen_loky" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
    return found


@pytest.mark.slow
def test_a_killed_process_of_this_machine_loses_nothing(alone: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def advance(done: int, best: float) -> None:
        if done == 2:
            os.kill(loky_processes()[0], signal.SIGKILL)

    assert scores(search(2).run(advance)) == alone
    assert "a worker process died; what it tried is tried again" in capsys.readouterr().err


def open_clients() -> int:
    # by its type: to ask a weak reference's proxy for its class raises an error if the object is gone
    clients = [one for one in gc.get_objects() if issubclass(type(one), distributed.Client)]
    return sum(client.status != "closed" for client in clients)


@pytest.mark.parametrize("nowhere", ["nonsense://here", "tcp://127.0.0.1:1"])
def test_a_client_that_could_not_connect_is_closed_at_once(nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed by Python's garbage collector later, it can wait forever for a lock that its own thread has."""
    monkeypatch.setattr(dask_cluster, "PATIENCE", 1)
    gc.collect()
    before = open_clients()
    gc.disable()
    try:
        with pytest.raises(ConfigurationError, match="no Dask scheduler answers there"):
            search().run(lambda done, best: None, nowhere)
        assert open_clients() == before
    finally:
        gc.enable()


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="no Dask scheduler answers there"):
        search().run(lambda done, best: None, "nonsense://here")
    path = tmp_path / "grid.toml"
    path.write_text("[search.parameters]\nalpha = [1.0]\n")
    with pytest.raises(SystemExit) as ended:
        main(["search", str(path), "--jobs", "2", "--scheduler", "tcp://127.0.0.1:1"])
    assert ended.value.code == 2 and "leave it out with --scheduler" in capsys.readouterr().err


def test_a_scheduler_without_workers(tmp_path: Path) -> None:
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty,
        pytest.raises(ConfigurationError, match="has no workers; start some with `dask worker"),
    ):
        search().run(lambda done, best: None, empty.scheduler_address)
