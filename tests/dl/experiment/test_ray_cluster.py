"""A search on a real Ray cluster: the same scores, also if a worker is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest
from launched import descendants
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

import gearshift as gs
from gearshift.backends.errors import BackendUnavailable, ConfigurationError
from gearshift.dl.experiment.config import parse_as
from gearshift.dl.experiment.ray_cluster import on_ray
from gearshift.dl.experiment.search import prepare
from gearshift.dl.experiment.sections import SearchConfiguration

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
GRID: dict[str, Any] = {
    "estimator": {"max_iter": 3},
    "search": {"folds": 2, "parameters": {"hidden_layer_sizes": [[4], [8, 4]], "alpha": [1e-4, 1e-3, 1.0]}},
}


@pytest.fixture(scope="module")
def monkeypatch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """The address of a cluster of two workers, and the process that began it."""
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    words = ["start", "--head", "--block", "--port=0", "--num-cpus=2", "--include-dashboard=false"]
    words += ["--disable-usage-stats", "--node-ip-address=127.0.0.1", f"--ray-client-server-port={port}"]
    command = [sys.executable, "-m", "ray.scripts.scripts", *words]
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # no token in the home folder
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "runtime started" in line:
            break
    yield f"ray://127.0.0.1:{port}", process.pid
    for child in [*descendants(process.pid), process.pid]:
        os.kill(child, signal.SIGKILL)


def scores(scheduler: str | None = None) -> list[tuple[str, float, float]]:
    found = prepare(parse_as(SearchConfiguration, GRID), "numpy").run(lambda done, best: None, scheduler)
    return sorted((str(row.parameters), row.mean, row.deviation) for row in found.rows)


def test_a_ray_cluster_finds_the_same_scores(ray: tuple[str, int]) -> None:
    assert scores(ray[0]) == scores()


def test_a_fit_has_one_thread(ray: tuple[str, int]) -> None:
    found = on_ray(ray[0], lambda name, item: os.environ[name], "GEARSHIFT_THREADS", [0, 1, 2])
    assert sorted(found) == [(0, "1"), (1, "1"), (2, "1")]


def test_a_killed_worker_loses_nothing(ray: tuple[str, int], tmp_path: Path) -> None:
    def once(mark: Path, item: int) -> int:
        if item == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item * item

    assert sorted(on_ray(ray[0], once, tmp_path / "mark", [0, 1, 2, 3])) == [(0, 0), (1, 1), (2, 4), (3, 9)]
    assert (tmp_path / "mark").exists()


def test_a_fit_that_ends_every_worker_is_given_up(ray: tuple[str, int]) -> None:
    with pytest.raises(BackendUnavailable, match="one Ray worker after the other; is there enough memory"):
        list(on_ray(ray[0], lambda data, item: os._exit(data), 9, [0]))


def test_an_error_of_a_fit_is_raised_here(ray: tuple[str, int]) -> None:
    def wrong(data: str, item: int) -> None:
        raise ConfigurationError(data)

    with pytest.raises(ConfigurationError) as raised:
        list(on_ray(ray[0], wrong, "lr is -1", [0]))
    assert (type(raised.value), str(raised.value)) == (ConfigurationError, "lr is -1")


def test_searches_of_scikit_learn_run_on_ray(ray: tuple[str, int]) -> None:
    """joblib's backend of Ray has one fit per core."""
    import ray as library  # pyright: ignore[reportMissingImports]
    from ray.util.joblib import register_ray  # pyright: ignore[reportMissingImports]

    x, y = load_iris(return_X_y=True)
    network = gs.MLPClassifier((8,), max_iter=200, backend="numpy", random_state=0)
    search = GridSearchCV(network, {"alpha": [1e-4, 1.0]}, cv=2, n_jobs=2)
    expected = search.fit(x, y).cv_results_["mean_test_score"].tolist()
    library.init(ray[0], log_to_driver=False)
    try:
        register_ray()
        with joblib.parallel_config("ray"):
            assert search.fit(x, y).cv_results_["mean_test_score"].tolist() == expected
    finally:
        library.shutdown()


@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "ray://127.0.0.1", "ray://", "ray://here:99999"])
def test_no_cluster_answers(address: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{address}: no Ray cluster answers there"):
        list(on_ray(address, lambda data, item: item, 0, [0]))
