"""Training on the real CuPy: losses near NumPy's in every precision, equal bits of graphs and streams, limits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_in

import gearshift as gs
from gearshift import backends
from gearshift.backends.cupy import Copies
from gearshift.backends.philox import key_of
from gearshift.dl.data import streamed
from gearshift.dl.data.resident import Resident
from gearshift.dl.data.rows import ORDERS, drawn
from gearshift.dl.step import capture
from gearshift.dl.step.memory import Demand

ROWS, BATCH = 500, 25  # 20 steps an epoch: two launched, graphs of 16 and of 1
TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "tf32": 1e-2, "bfloat16": 3e-2, "float16": 1e-2}
"""How far losses may be from those of float64 on NumPy, relative: rounding of the factors, over 40 steps."""


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    """Nothing may be said of steps that are not captured."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def data(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, 12)).astype(np.float32)
    return x, (x @ random.standard_normal((12, 4))).argmax(axis=1)


def trainer(backend: str = "cupy", precision: str = "float32", dropout: float = 0.0, **options: Any) -> gs.Trainer:
    hidden = [gs.Linear(12, 16), gs.ReLU(), *[gs.Dropout(dropout)] * bool(dropout)]
    model = gs.Sequential(*hidden, gs.Linear(16, 4), dtype="float64" if precision == "float64" else "float32")
    options = {"precision": precision, "seed": 1, **options}
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend=backend, **options)


def fit(run: gs.Trainer, epochs: int = 2, **options: Any) -> list[float]:
    x, y = data()
    return list(run.fit(x, y, epochs=epochs, batch_size=BATCH, verbose=False, **options)["loss"])


def weights(run: gs.Trainer) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in run.model.state_dict().items()}


@pytest.mark.parametrize("precision", TOLERANCE)
def test_losses_are_near_those_of_float64_on_numpy(precision: str) -> None:
    reference, run = trainer("numpy", "float64"), trainer(precision=precision)
    before = stand_in.counts()
    wanted, losses = fit(reference), fit(run)
    after = stand_in.counts()
    assert losses == pytest.approx(wanted, rel=TOLERANCE[precision]) and losses[1] < losses[0]
    assert after["cudaGraphLaunch"] - before.get("cudaGraphLaunch", 0) >= 4  # steps were replayed
    mine, theirs = (r.evaluate(*data()) for r in (run, reference))
    assert mine["loss"] == pytest.approx(theirs["loss"], rel=TOLERANCE[precision])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_replayed_steps_have_the_bits_of_launched_ones(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    replayed, launched = (trainer(precision=precision, dropout=0.2) for _ in range(2))
    losses = fit(replayed)
    monkeypatch.setattr(capture, "WARM_UP", 1 << 30)
    before = stand_in.counts()["cudaGraphLaunch"]
    assert fit(launched) == losses
    assert stand_in.counts()["cudaGraphLaunch"] == before
    assert weights(replayed) == weights(launched)


@pytest.mark.parametrize("order", ORDERS)
def test_an_epochs_order_is_numpys_and_takes_few_launches(order: Any) -> None:
    rows, key = Resident(backends.get("cupy"), gs.Dataset(*data())), key_of(5)
    for epoch in 1, 2:
        before = stand_in.counts()["cuLaunchKernel"]
        rows.shuffle(key, epoch, order)
        assert stand_in.counts()["cuLaunchKernel"] - before <= 4  # words, a sort, and a copy
        assert rows.backend.to_numpy(rows.places).tolist() == drawn(np, key, ROWS, epoch, order).tolist()


def test_streamed_rows_have_the_bits_of_resident_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    resident, run = trainer(), trainer()
    losses = fit(resident)
    stream(monkeypatch)
    before = copied()
    assert fit(run) == losses
    assert copied() - before > 2 * data()[0].nbytes // 4096
    assert weights(run) == weights(resident)


def stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on data are streamed, in blocks of some 60 rows."""
    monkeypatch.setattr(streamed, "BLOCK", 4096)
    monkeypatch.setattr(Demand, "must_stream", lambda *_, **__: True)


def copied() -> int:
    return stand_in.counts()["cudaMemcpyAsync"]


start = Copies.start
MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "no wait after a copy": (Copies, "wait", lambda self, end: None),
    "no wait before a copy": (Copies, "start", lambda self, pairs, after: start(self, pairs, self.cuda.Event())),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_missing_wait_would_show(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above proved nothing."""
    resident, run = trainer(), trainer()
    losses = fit(resident)
    stream(monkeypatch)
    monkeypatch.setattr(*MUTANTS[mutant])
    try:
        differs = fit(run) != losses
    except gs.GearshiftError:
        differs = True
    assert differs


def test_a_run_moves_to_the_cpu_and_back() -> None:
    reference, run = trainer("numpy", "float64"), trainer(precision="float64")
    wanted = fit(reference, 6)
    fit(run)
    run.to("numba")
    fit(run)
    run.to("cupy")
    fit(run)
    assert run.epoch == 6
    assert [record["loss"] for record in run.history.records] == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(("first", "second"), [("cupy", "numba"), ("numba", "cupy"), ("cupy", "cupy")])
def test_a_checkpoint_trains_on_elsewhere(first: str, second: str, tmp_path: Path) -> None:
    whole, begun, resumed = (trainer(name, "float64") for name in ("numpy", first, second))
    wanted = fit(whole, 4)
    fit(begun, 2)
    begun.save(tmp_path / "run.safetensors")
    resumed.load(tmp_path / "run.safetensors")
    fit(resumed, 2)
    assert [record["loss"] for record in resumed.history.records] == pytest.approx(wanted, rel=1e-9)


def test_a_run_that_does_not_fit_is_refused_with_a_batch_that_does() -> None:
    model = gs.Sequential(gs.Linear(12, 4096), gs.ReLU(), gs.Linear(4096, 4))
    run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend="cupy")
    x, y = data(100_000)
    with pytest.raises(gs.DeviceMemoryError, match="batch"):
        run.fit(x, y, epochs=1, batch_size=100_000, verbose=False)
    assert run.step == 0


def test_memory_that_runs_out_is_said_and_training_goes_on_afterwards() -> None:
    backend: Any = backends.get("cupy")
    with pytest.raises(gs.DeviceMemoryError, match=r"out of memory: .* GiB of .* are free; use a smaller batch"):
        backend.zeros(1 << 31, np.uint8)
    assert fit(trainer())[1] < 1.4


def test_a_loss_that_is_not_finite_is_named_as_on_the_cpu() -> None:
    x, y = data()
    x[300] = 3e38
    said = []
    for name in ("numpy", "cupy"):
        with pytest.raises(gs.NonFiniteLoss, match="step") as caught, np.errstate(all="ignore"):
            trainer(name).fit(x, y, epochs=1, batch_size=BATCH, verbose=False)
        said.append(str(caught.value))
    assert said[0] == said[1]


LAYOUTS: dict[str, Callable[[np.ndarray], Any]] = {
    "Fortran order": np.asfortranarray,
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "some columns": lambda x: np.hstack([x, x])[:, :12],
    "other bytes": lambda x: x.astype(">f4"),
    "a data frame": lambda x: pytest.importorskip("pandas").DataFrame(x),
    "CuPy's array": lambda x: __import__("cupy").asarray(x),
    "CuPy's, in Fortran order": lambda x: __import__("cupy").asarray(np.asfortranarray(x)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_may_lie_in_any_order(layout: str) -> None:
    x, y = data(100)
    plain, run = trainer(), trainer()
    given: dict[str, Any] = {"epochs": 1, "batch_size": BATCH, "verbose": False}
    plain.fit(x, y, **given)
    run.fit(LAYOUTS[layout](x), y, **given)
    assert weights(run) == weights(plain)


def test_the_gpu_backend_lays_rows_out_in_c_order() -> None:
    backend: Any = backends.get("cupy")
    numbers = np.asfortranarray(data()[0])
    there = backend.xp.asarray(numbers)
    assert not there.flags.c_contiguous, "CuPy keeps the order"
    assert backend.asarray(numbers).flags.c_contiguous and backend.asarray(there).flags.c_contiguous


def test_estimators_score_as_on_the_cpu() -> None:
    x, y = data()
    scores = []
    for name in ("numba", "cupy"):
        model = gs.MLPClassifier((16,), max_iter=3, random_state=0, backend=name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # three epochs do not converge
            scores.append(model.fit(x, y).score(x, y))
    assert scores[1] == pytest.approx(scores[0], abs=2 / ROWS)
