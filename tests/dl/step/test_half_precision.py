"""Training in bfloat16 and float16 on NumPy, which defines it; tests/cuda has the GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends import precision as short
from gearshift.backends.errors import BackendUnavailable
from gearshift.kernels.updates.loss_scale import FIRST

PRECISIONS = ("bfloat16", "float16")


ROWS, BATCH = 41 * 8 + 3, 8


def trainer(backend: str, precision: str, optimizer: Any = None, loss: Any = None, **given: Any) -> gs.Trainer:
    """A net with every kind of layer, on bytes that it standardises."""
    layers = [gs.Standardize(6).fit(np.full(6, 127.5), np.full(6, 73.9)), gs.Linear(6, 24, init="he"), gs.ReLU()]
    layers += [gs.Dropout(0.1), gs.Linear(24, 16), gs.GELU(), gs.Linear(16, 8), gs.Softplus(), gs.Linear(8, 3)]
    model = gs.Sequential(*layers)
    optimizer = optimizer or gs.AdamW(lr=0.01)
    return gs.Trainer(model, loss or gs.CrossEntropyLoss(), optimizer, backend=backend, precision=precision, **given)


def data(rows: int = ROWS, values: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (rows, 6)).astype(np.uint8)
    if values:
        return x, (x[:, :3] / 256).astype(np.float32)
    return x, (x[:, :3].argmax(axis=1)).astype(np.int64)


def fit(run: gs.Trainer, epochs: int = 3, values: bool = False) -> list[float]:
    history = run.fit(data(values=values), validation=data(50, values), epochs=epochs, batch_size=BATCH, verbose=False)
    return [record[name] for record in history.records for name in ("loss", "validation_loss")]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_parameters_states_and_gradients_stay_float32_and_the_copy_follows(precision: str) -> None:
    run = trainer("numpy", precision)
    fit(run, 1)
    arena = run.state.arena
    assert arena.values.dtype == arena.gradients.dtype == next(iter(run.state.slots.values())).dtype == np.float32
    assert arena.copy is not None and arena.copy.dtype.name == precision
    assert arena.copy[: arena.size].tobytes() == arena.trained.astype(precision).tobytes()
    assert run.predict_proba(data()[0]).dtype == np.float32
    run.model[1].weight.array = np.zeros((6, 24), dtype=np.float32)  # pyright: ignore[reportIndexIssue]
    run.model[1].weight.owner = None  # pyright: ignore[reportIndexIssue]
    assert not run.state.arena.view(run.state.arena.copy, run.model[1].weight).any()  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("optimizer", "loss"),
    [
        (lambda: gs.SGD(lr=0.05), gs.MSELoss),
        (lambda: gs.Nesterov(lr=0.02), gs.MSELoss),
        (lambda: gs.RMSprop(lr=3e-3, centered=True), gs.CrossEntropyLoss),
        (lambda: gs.Adagrad(lr=0.02), gs.MulticlassHingeLoss),
    ],
)
def test_every_kind_of_run_is_near_float32(optimizer: Any, loss: Any, precision: str) -> None:
    values = loss is gs.MSELoss
    wide, mine = (np.array(fit(trainer("numpy", p, optimizer(), loss()), 2, values)) for p in ("float32", precision))
    assert np.max(np.abs(mine - wide) / wide) < {"bfloat16": 0.1, "float16": 0.02}[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_resumed_run_has_the_bits_of_one_that_went_on(precision: str, tmp_path: Path) -> None:
    whole, first = (trainer("numpy", precision) for _ in range(2))
    fit(whole, 2)
    fit(first, 1)
    first.save(tmp_path / "a.safetensors")
    resumed = trainer("numpy", precision)
    resumed.load(tmp_path / "a.safetensors")
    fit(resumed, 1)
    for name, value in whole.model.state_dict().items():
        assert value.tobytes() == resumed.model.state_dict()[name].tobytes()


def test_a_prediction_standardises_what_it_is_given_and_not_what_is_left_of_it() -> None:
    """Years differ by less than bfloat16 tells apart at 2,000."""
    years = np.random.default_rng(0).integers(2010, 2020, (200, 1)).astype(np.float32)
    model = gs.Sequential(gs.Standardize(1).fit(np.array([2014.5]), np.array([2.9])), gs.Linear(1, 1))
    run = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=0.1), backend="numpy", precision="bfloat16")
    run.fit(years, (years - 2014.5) / 2.9, epochs=10, batch_size=20, verbose=False)
    assert np.abs(run.predict(years) - (years - 2014.5) / 2.9).max() < 0.05


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_checkpoint_goes_on_in_another_precision(precision: str, tmp_path: Path) -> None:
    short_run, wide = trainer("numpy", precision), trainer("numba", "float32")
    fit(short_run, 1)
    short_run.save(tmp_path / "a.safetensors")
    wide.load(tmp_path / "a.safetensors")
    fit(wide, 1)
    wide.save(tmp_path / "b.safetensors")
    short_run.load(tmp_path / "b.safetensors")
    assert np.isfinite(fit(short_run, 1)).all()


def scale(run: gs.Trainer) -> list[float]:
    assert run.state.scale is not None
    return [float(value) for value in run.state.scale[:2]]


def test_the_scale_halves_where_gradients_overflow_and_the_step_is_skipped() -> None:
    for backend in ("numpy",):
        run = trainer(backend, "float16", gs.SGD(lr=0.0), gs.MSELoss())
        x, y = data(BATCH, values=True)
        before = {name: value.copy() for name, value in run.model.state_dict().items()}
        run.optimizer.lr = 1e-3
        run.fit(x, y + 3000, epochs=1, batch_size=BATCH, verbose=False)  # gradients of some 1,000 times 65,536
        assert scale(run) == [FIRST / 2, 0]
        assert all(np.array_equal(value, before[name]) for name, value in run.model.state_dict().items())
        run.fit(x, y + 3000, epochs=15, batch_size=BATCH, verbose=False)
        assert scale(run)[0] < FIRST and scale(run)[1] > 0
        assert not all(np.array_equal(value, before[name]) for name, value in run.model.state_dict().items())


def test_small_gradients_survive_by_their_scale() -> None:
    """In bfloat16 and float32 they need none; in float16 without it they would all be 0."""
    x, model = data(64)[0] / np.float32(256), gs.Sequential(gs.Linear(6, 3))
    for precision in ("float32", "bfloat16", "float16"):
        run = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=1e4), backend="numpy", precision=precision)
        before = run.model.state_dict()["0.bias"].copy()
        run.fit(x, run.predict(x) + np.float32(1e-6), epochs=1, batch_size=64, verbose=False)
        assert np.all(run.model.state_dict()["0.bias"] > before)


def test_gradients_that_no_scale_makes_finite_are_a_failure() -> None:
    run = trainer("numpy", "float16", gs.SGD(lr=1e-3), gs.MSELoss())
    x, y = data(BATCH, values=True)
    run.state.scale[0] = 2.0**-24  # pyright: ignore[reportOptionalSubscript]
    with pytest.raises(gs.NonFiniteLoss):
        run.fit(x, (y + 1e17).astype(np.float32), epochs=3, batch_size=BATCH, verbose=False)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer("numpy", "float32")  # the backend is there before nothing can be imported

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(short.importlib, "import_module", missing)
    with pytest.raises(BackendUnavailable, match="bfloat16 needs the package ml_dtypes: pip install ml_dtypes"):
        trainer("numpy", "bfloat16")
