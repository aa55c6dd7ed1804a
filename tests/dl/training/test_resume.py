"""Stopping at any step and going on from the checkpoint gives the bits of never stopping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.step import plan
from gearshift.dl.training import loop

TIMINGS = ("seconds", "samples_per_second")
ROWS, BATCH, EPOCHS = 23, 5, 3
STEPS = 5 * EPOCHS

CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "momentum": (lambda: gs.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01), {}),
    "rmsprop": (lambda: gs.RMSprop(0.01, momentum=0.5, centered=True), {"schedule": gs.StepDecay(4, warmup=3)}),
    "adam": (lambda: gs.Adam(0.01), {"clip_norm": 0.1, "schedule": gs.CosineDecay(12, warmup=4)}),
    "average": (lambda: gs.Nesterov(0.02), {"ema": 0.9, "regularizer": gs.SoftThreshold(0.01), "clip_norm": 0.5}),
    "adamw": (lambda: gs.AdamW(0.01), {"schedule": gs.LinearDecay(12)}),
}


class StopAt(gs.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_tick(self, trainer: gs.Trainer) -> None:
        if trainer.step >= self.step:
            trainer.stop()


@pytest.fixture(autouse=True)
def _tick_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "TICK", 0)
    monkeypatch.setattr(loop, "TICK", 0)


def data(rows: int = ROWS) -> gs.Dataset:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(rows, 4)).astype(np.float32)
    return gs.Dataset(x, (x[:, 0] + x[:, 1] > 0).astype(np.int64) + (x[:, 2] > 1))


def trainer(case: str, backend: str, seed: int = 1) -> gs.Trainer:
    optimizer, options = CASES[case]
    model = gs.Sequential(gs.Linear(4, 6), gs.Tanh(), gs.Dropout(0.3), gs.Linear(6, 3))
    return gs.Trainer(model, gs.CrossEntropyLoss(), optimizer(), backend=backend, seed=seed, **options)


def everything(trained: gs.Trainer) -> tuple[dict[str, bytes], Any]:
    """All tensors' bytes, and counters and history without timings."""
    state, watch = trained.state, trained.early_stopping
    tensors = {name: value.tobytes() for name, value in state.pack().items()}
    tensors |= {f"best.{name}": value.tobytes() for name, value in watch.weights.items()}
    tensors["counters"] = np.array(trained.backend.to_numpy(state.counters))[[0, 1, 3]].tobytes()
    records = [{k: v for k, v in record.items() if k not in TIMINGS} for record in trained.history]
    return tensors, (trained.epoch, trained.step, state.cursor, records, watch.best, watch.best_epoch)


def fit(trained: gs.Trainer, epochs: int, stop: int | None = None, rows: int = ROWS, **options: Any) -> None:
    callbacks = [] if stop is None else [StopAt(stop)]
    trained.fit(
        data(rows), validation=data(7), epochs=epochs, batch_size=BATCH, callbacks=callbacks, verbose=False, **options
    )


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("case", CASES)
def test_stopping_at_every_step(case: str, backend: str, tmp_path: Path) -> None:
    options = {"patience": 2, "monitor": "validation_loss"} if case in ("adam", "average") else {}
    whole = trainer(case, backend)
    fit(whole, EPOCHS, **options)
    assert whole.step == STEPS
    for stop in range(1, STEPS):
        first = trainer(case, backend)
        fit(first, EPOCHS, stop, **options)
        if stop % 5:  # at the end of an epoch there is no tick: the epoch is finished
            assert first.step == stop
        first.save(tmp_path / "run.safetensors")
        second = trainer(case, backend)
        second.load(tmp_path / "run.safetensors")
        assert everything(second) == everything(first)
        fit(second, EPOCHS - second.epoch, **options)
        assert everything(second) == everything(whole), f"stopped at step {stop}"


@pytest.mark.parametrize("stop", [1023, 1024, 1025, 2047, 2048])
def test_across_blocks_of_the_table(stop: int, tmp_path: Path) -> None:
    rows = 2060 * BATCH
    whole = trainer("adam", "numba")
    fit(whole, 1, rows=rows)
    first = trainer("adam", "numba")
    fit(first, 1, stop, rows)
    assert first.step == stop
    first.save(tmp_path / "run.safetensors")
    second = trainer("adam", "numba")
    second.load(tmp_path / "run.safetensors")
    fit(second, 1, rows=rows)
    assert everything(second) == everything(whole)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_the_same_seed_gives_the_same_bits(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, other = trainer("adam", backend), trainer("adam", backend), trainer("adam", backend, seed=2)
    fit(one, 2)
    monkeypatch.setattr(plan, "TICK", 10.0)  # how often the host looks changes nothing
    fit(two, 2)
    fit(other, 2)
    assert everything(one) == everything(two)
    assert everything(one)[0] != everything(other)[0]


def test_two_fits_are_one_longer_fit() -> None:
    one, two = trainer("momentum", "numba"), trainer("momentum", "numba")
    fit(one, 3)
    fit(two, 1)
    fit(two, 2)
    assert everything(one) == everything(two)
    fit(two, 0)
    assert everything(one) == everything(two)


def test_a_checkpoint_goes_on_on_another_backend(tmp_path: Path) -> None:
    whole, first, second = (trainer("adam", name) for name in ("numpy", "numpy", "numba"))
    fit(whole, 2)
    fit(first, 2, 3)
    first.save(tmp_path / "run.safetensors")
    second.load(tmp_path / "run.safetensors")
    fit(second, 2)
    for name, value in whole.model.state_dict().items():
        np.testing.assert_allclose(second.model.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_other_data_than_it_began_with_are_refused(tmp_path: Path) -> None:
    first = trainer("momentum", "numpy")
    fit(first, 1, 4)
    with pytest.raises(gs.DataError, match="stopped at row 20"):
        fit(first, 1, rows=20)
