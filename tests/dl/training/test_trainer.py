"""fit, evaluate and predict against the same loop written plainly in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.philox import key_of, permutation

BACKENDS = ["numpy", "numba"]


def data(rows: int = 23, seed: int = 0) -> gs.Dataset:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 4))
    return gs.Dataset(x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0.5))


def trainer(backend: str = "numpy", **options: Any) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(4, 6), gs.ReLU(), gs.Linear(6, 3), dtype="float64")
    return gs.Trainer(model, gs.CrossEntropyLoss(), options.pop("optimizer", gs.SGD(0.1)), backend=backend, **options)


class Plain:
    """Two dense layers with ReLU between, cross-entropy, SGD with momentum and decay of weights."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.w = {name: value.copy() for name, value in weights.items()}
        self.v = {name: np.zeros_like(value) for name, value in weights.items()}

    def logits(self, x: np.ndarray) -> np.ndarray:
        self.h = np.maximum(x @ self.w["0.weight"] + self.w["0.bias"], 0)
        return self.h @ self.w["2.weight"] + self.w["2.bias"]

    def scores(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        z = self.logits(x)
        q = np.exp(z - z.max(axis=1, keepdims=True))
        q /= q.sum(axis=1, keepdims=True)
        return -np.log(q[np.arange(len(y)), y]), z.argmax(axis=1) == y, q

    def step(self, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        losses, right, q = self.scores(x, y)
        dz = (q - np.eye(3)[y]) / len(y)
        dh = dz @ self.w["2.weight"].T * (self.h > 0)
        g = {"2.weight": self.h.T @ dz, "2.bias": dz.sum(0), "0.weight": x.T @ dh, "0.bias": dh.sum(0)}
        for name in self.w:
            decayed = g[name] + (0.01 * self.w[name] if name.endswith("weight") else 0)
            self.v[name] = 0.9 * self.v[name] + decayed
            self.w[name] -= 0.1 * self.v[name]
        return losses.sum(), right.sum()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch_size", [1, 5, 23, 100])
def test_fit_is_the_plain_loop(backend: str, batch_size: int) -> None:
    run = trainer(backend, optimizer=gs.SGD(0.1, momentum=0.9, weight_decay=0.01), seed=7)
    part, held_out = data(), data(9, 1)
    plain = Plain(run.model.init(7).state_dict())
    run.fit(part, validation=held_out, epochs=3, batch_size=batch_size, verbose=False)
    for epoch in range(3):
        order = permutation(np, key_of(7), 23, epoch)
        assert sorted(order) == list(range(23))
        sums = np.array([plain.step(part.x[b], part.y[b]) for b in np.split(order, range(batch_size, 23, batch_size))])
        losses, right, _ = plain.scores(held_out.x, held_out.y)
        expected = [*(sums.sum(axis=0) / 23), losses.mean(), right.mean()]
        record = run.history[epoch]
        found = [record[name] for name in ("loss", "accuracy", "validation_loss", "validation_accuracy")]
        np.testing.assert_allclose(found, expected, rtol=1e-11)
        assert (record["epoch"], record["step"]) == (epoch + 1, (epoch + 1) * -(-23 // batch_size))
        assert record["lr"] == 0.1 and record["seconds"] > 0 and record["samples_per_second"] > 0
    for name, value in run.model.state_dict().items():
        np.testing.assert_allclose(value, plain.w[name], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(run.predict_proba(part.x), plain.scores(part.x, part.y)[2], rtol=1e-10)
    assert (run.predict(part.x) == plain.logits(part.x).argmax(axis=1)).all()
    assert run.predict(part.x).dtype == np.int64


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rows", [1, 1023, 1024, 1025, 3000])
def test_evaluate_and_predict_in_blocks(backend: str, rows: int) -> None:
    run, part = trainer(backend), data(rows)
    plain = Plain(run.model.init(0).state_dict())
    losses, right, q = plain.scores(part.x, part.y)
    assert run.evaluate(part) == pytest.approx({"loss": losses.mean(), "accuracy": right.mean()}, rel=1e-12)
    np.testing.assert_allclose(run.predict_proba(part.x), q, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_form_of_data_gives_the_same_bits(backend: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4, (30, 2, 2)).astype(np.uint8)
    labels = pixels[:, 0, 0].astype(np.int64) % 3
    np.save(tmp_path / "x.npy", pixels)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    forms: list[tuple[Any, ...]] = [
        (pixels, labels),
        ((pixels, labels),),
        (gs.Dataset(pixels, labels),),
        (mapped, labels),
        (pixels.reshape(30, 4).astype(np.float32), labels),
        (pixels.astype(np.float64), labels.astype(np.uint8)),
        (pixels.tolist(), labels.tolist()),
    ]
    results = []
    for form in forms:
        run = trainer(backend)
        run.fit(*form, epochs=2, batch_size=7, verbose=False)
        results.append((run.history["loss"], run.evaluate(*form), run.predict(pixels).tolist()))
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("backend", BACKENDS)
def test_regression_reaches_least_squares(backend: str) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(64, 3))
    y = x @ np.array([1.0, -2.0, 0.5]) + 3 + 0.1 * generator.normal(size=64)
    run = gs.Trainer(gs.Linear(3, 1).astype("float64"), gs.MSELoss(), gs.SGD(0.1), backend=backend)
    run.fit(x, y, epochs=400, batch_size=64, verbose=False)
    design = np.column_stack([x, np.ones(64)])
    best, rest, *_ = np.linalg.lstsq(design, y, rcond=None)
    weights = run.model.state_dict()
    np.testing.assert_allclose([*weights["weight"][:, 0], *weights["bias"]], best, rtol=1e-10)
    assert run.evaluate(x, y)["loss"] == pytest.approx(rest[0] / 64, rel=1e-10)
    assert run.predict(x).shape == (64, 1)


def test_weights_that_exist_stay() -> None:
    run = trainer()
    before = run.model.init(5).state_dict()
    run.fit(data(), epochs=0, verbose=False)
    assert all((value == before[name]).all() for name, value in run.model.state_dict().items())
    drawn = trainer(seed=5)
    drawn.evaluate(data())
    assert all((value == before[name]).all() for name, value in drawn.model.state_dict().items())


def test_patience_restores_the_best_weights() -> None:
    part, held_out = data(12), gs.Dataset(data(40, 1).x, 2 - data(40, 2).y)  # nothing to learn: it gets worse
    run = trainer(optimizer=gs.Adam(0.05))
    history = run.fit(part, validation=held_out, epochs=100, batch_size=4, patience=3, verbose=False)
    column = history["validation_loss"]
    best = int(np.argmin(column))
    assert run.stopped == "patience" and len(history) == best + 1 + 3
    assert run.evaluate(held_out)["loss"] == pytest.approx(column[best], rel=1e-12)
    run.fit(part, epochs=2, batch_size=4, verbose=False)  # without patience, nothing is restored
    assert run.evaluate(part)["loss"] < history[best]["loss"]
    assert run.evaluate(held_out)["loss"] != pytest.approx(column[best], rel=1e-6)


def test_patience_watches_what_it_is_told() -> None:
    run = trainer(optimizer=gs.Adam(0.05))
    run.fit(data(), validation=data(40, 1), epochs=30, patience=2, monitor="validation_accuracy", verbose=False)
    assert run.early_stopping.best == max(run.history["validation_accuracy"])
    run.fit(data(), epochs=3, patience=1, monitor="loss", verbose=False)
    assert run.early_stopping.best in run.history["loss"]


class Recorder(gs.Callback):
    def __init__(self, stop_after: int) -> None:
        self.seen: list[str] = []
        self.stop_after = stop_after

    def on_train_begin(self, trainer: gs.Trainer) -> None:
        self.seen.append("begin")

    def on_epoch_begin(self, trainer: gs.Trainer) -> None:
        self.seen.append(f"epoch {trainer.epoch}")

    def on_epoch_end(self, trainer: gs.Trainer, record: dict[str, float]) -> None:
        self.seen.append(f"end {record['epoch']}")
        record["mine"] = 1.0
        if trainer.epoch == self.stop_after:
            trainer.stop("enough")

    def on_train_end(self, trainer: gs.Trainer, history: gs.History) -> None:
        self.seen.append(f"done {len(history)}")


def test_callbacks_and_stop() -> None:
    run, recorder = trainer(), Recorder(2)
    history = run.fit(data(), epochs=9, callbacks=[recorder], verbose=False)
    assert recorder.seen == ["begin", "epoch 0", "end 1", "epoch 1", "end 2", "done 2"]
    assert run.stopped == "enough" and history["mine"] == [1.0, 1.0]


class Failing(gs.Callback):
    def on_epoch_end(self, trainer: gs.Trainer, record: dict[str, float]) -> None:
        raise RuntimeError("mine")


def test_a_callback_that_fails_leaves_a_run_that_goes_on() -> None:
    run, whole, recorder = trainer(), trainer(), Recorder(0)
    with pytest.raises(RuntimeError, match="mine"):
        run.fit(data(), callbacks=[Failing(), recorder], verbose=False)
    assert recorder.seen[-1] == "done 1"
    run.fit(data(), verbose=False)
    whole.fit(data(), epochs=2, verbose=False)
    assert run.history["loss"] == whole.history["loss"]


def test_learning_curve(tmp_path: Path) -> None:
    run = trainer()
    with pytest.raises(gs.DataError, match="nothing to plot"):
        run.history.plot()
    run.fit(data(), validation=data(9, 1), epochs=3, verbose=False)
    figure = run.history.plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]
    assert list(figure.axes[0].lines[1].get_ydata()) == run.history["validation_loss"]
    assert repr(run.history).startswith("History(3 epochs")
