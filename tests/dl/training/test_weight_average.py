"""`Trainer(ema=β)`: the moving average of the weights against its closed form, and what it is used for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.__main__ import main
from gearshift.dl.experiment.config import parse
from gearshift.dl.storage.tensors import load_tensors, strip

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(24, 3)), RANDOM.integers(0, 3, 24)
STEPS = 12

OPTIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sgd": (lambda: gs.SGD(0.1, momentum=0.9), {}),
    "adam, clipped": (lambda: gs.Adam(0.02), {"clip_norm": 0.3}),
    "nesterov, soft-thresholded": (lambda: gs.Nesterov(0.05), {"regularizer": gs.SoftThreshold(0.05)}),
}


def model(kind: str) -> gs.Sequential:
    inner = [gs.BatchNorm1d(5), gs.Tanh()] if kind == "list" else [gs.Tanh(), gs.Dropout(0.2)]
    return gs.Sequential(gs.Linear(3, 5), *inner, gs.Linear(5, 3), dtype="float64")


class Weights(gs.Callback):
    """The weights after each epoch, which has one step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, np.ndarray]] = []

    def on_epoch_end(self, trainer: Any, record: dict[str, float]) -> None:
        self.steps.append(trainer.model.state_dict())


def run(kind: str, case: str, backend: str, ema: float | None, **options: Any) -> tuple[gs.Trainer, Weights]:
    """Twelve steps of all rows."""
    optimizer, given = OPTIONS[case]
    trainer = gs.Trainer(model(kind), gs.CrossEntropyLoss(), optimizer(), backend=backend, seed=3, ema=ema, **given)
    seen = Weights()
    trainer.fit(X, Y, epochs=STEPS, batch_size=24, callbacks=[seen], verbose=False, **options)
    return trainer, seen


def averaged(steps: list[dict[str, np.ndarray]], ema: float) -> dict[str, np.ndarray]:
    """Σ βⁿ⁻ᵏ pₖ / Σ βⁿ⁻ᵏ, of what is trained."""
    weights = ema ** np.arange(len(steps) - 1, -1, -1.0)
    return {
        name: np.tensordot(weights, [step[name] for step in steps], 1) / weights.sum()
        for name in steps[0]
        if "running" not in name
    }


@pytest.mark.parametrize("ema", [0.0, 0.6, 0.999])
@pytest.mark.parametrize("case", OPTIONS)
@pytest.mark.parametrize("kind", ["chain", "list"])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_it_is_the_weighted_mean_of_the_weights_after_each_step(backend: str, kind: str, case: str, ema: float) -> None:
    """After every step; the weights themselves are those of a training without an average, to the same bits."""
    _, plain = run(kind, case, backend, None)
    trainer, seen = run(kind, case, backend, ema)
    for count in range(1, STEPS + 1):
        for name, expected in averaged(plain.steps[:count], ema).items():
            np.testing.assert_allclose(seen.steps[count - 1][name], expected, rtol=1e-12, atol=1e-14, err_msg=name)
    raw = strip(trainer.state.pack(), "raw.")
    assert raw.keys() == averaged(plain.steps, ema).keys()
    assert all(np.array_equal(value, plain.steps[-1][name]) for name, value in raw.items())
    compiled = kind == "chain" and backend == "numba"
    assert ("as one compiled loop" in trainer.explain(gs.Dataset(X, Y))) == compiled


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_batches_of_several_steps_and_parts(backend: str) -> None:
    """Epochs of five steps, of which the last is short; gradients added up from parts count as one step."""
    ends = []
    for accumulate in (1, 2):
        trainer = gs.Trainer(model("chain"), gs.CrossEntropyLoss(), gs.SGD(0.1), backend=backend, ema=0.7)
        trainer.model.layers[2].p = 0.0  # pyright: ignore[reportAttributeAccessIssue]
        trainer.fit(X, Y, epochs=3, batch_size=5, accumulate=accumulate, verbose=False)
        ends.append(trainer.state.pack())
    assert ends[0]["averaged steps"] == 15
    for name, value in ends[0].items():
        np.testing.assert_allclose(ends[1][name], value, rtol=1e-10, atol=1e-12, err_msg=name)


def test_what_is_validated_saved_and_predicts_is_the_average(tmp_path: Path) -> None:
    trainer, _ = run("list", "sgd", "numba", 0.9, validation=(X, Y))
    _, plain = run("list", "sgd", "numba", None)
    average, running = averaged(plain.steps, 0.9), {k: v for k, v in plain.steps[-1].items() if "running" in k}
    twin = model("list")
    twin.load_state_dict({**average, **running})
    expected = gs.Inference(twin, gs.CrossEntropyLoss(), backend="numpy").evaluate((X, Y))["loss"]
    assert trainer.history[-1]["validation_loss"] == pytest.approx(expected, rel=1e-12)
    assert trainer.evaluate(X, Y)["loss"] == trainer.history[-1]["validation_loss"]
    trainer.save(tmp_path / "run.safetensors")
    trainer.model.save(tmp_path / "model.safetensors")
    for name in ("run", "model"):
        loaded = gs.load(tmp_path / f"{name}.safetensors")
        for key, value in average.items():
            np.testing.assert_allclose(loaded.state_dict()[key], value, rtol=1e-12, atol=1e-14)
    tensors, _ = load_tensors(tmp_path / "run.safetensors", expected_format=None)
    assert all(np.array_equal(tensors[f"raw.{name}"], plain.steps[-1][name]) for name in average)
    assert trainer.memory((X, Y))["average of the weights"] > 0


def test_early_stopping_keeps_the_best_average() -> None:
    trainer, seen = run("chain", "sgd", "numba", 0.8, validation=(X, Y), patience=3)
    best = trainer.early_stopping.best_epoch
    assert trainer.evaluate(X, Y)["loss"] == min(record["validation_loss"] for record in trainer.history)
    assert all(np.array_equal(v, seen.steps[best - 1][k]) for k, v in trainer.model.state_dict().items())


def test_weights_that_are_set_by_hand_begin_a_new_average() -> None:
    trainer, _ = run("chain", "sgd", "numba", 0.9)
    trainer.model.init(8)
    begun = trainer.model.state_dict()
    trainer.optimizer.lr = 0.0
    trainer.fit(X, Y, epochs=1, batch_size=24, verbose=False)
    assert all(np.array_equal(value, begun[name]) for name, value in trainer.model.state_dict().items())
    assert trainer.state.pack()["averaged steps"] == 1


def test_a_checkpoint_without_an_average_begins_one(tmp_path: Path) -> None:
    """And one with an average needs a trainer that takes it."""
    plain, _ = run("chain", "sgd", "numba", None)
    plain.save(tmp_path / "plain.safetensors")
    trainer, _ = run("chain", "sgd", "numba", 0.9)
    trainer.save(tmp_path / "averaged.safetensors")
    trainer.load(tmp_path / "plain.safetensors")
    trainer.fit(X, Y, epochs=1, batch_size=24, verbose=False)
    plain.fit(X, Y, epochs=1, batch_size=24, verbose=False)
    for name, value in plain.model.state_dict().items():
        np.testing.assert_array_equal(trainer.model.state_dict()[name], value)
    with pytest.raises(gs.CheckpointError, match="it has averaged weights; make the Trainer with the same ema"):
        plain.load(tmp_path / "averaged.safetensors")


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_step_that_fails_leaves_the_average(backend: str) -> None:
    line = gs.Sequential(gs.Linear(3, 1), dtype="float64")
    trainer = gs.Trainer(line, gs.MSELoss(), gs.SGD(0.1), backend=backend, ema=0.5)
    trainer.fit(X, X[:, 0], epochs=2, batch_size=24, verbose=False)
    before = trainer.state.pack()
    with pytest.raises(gs.NonFiniteLoss):
        trainer.fit(np.full((24, 3), 1e200), X[:, 0], epochs=1, batch_size=24, verbose=False)
    after = trainer.state.pack()
    assert all(np.array_equal(after[name], value) for name, value in before.items() if name != "totals")


@pytest.mark.parametrize("ema", [1.0, -0.1, "0.9", True, float("nan")])
def test_what_is_no_decay(ema: Any) -> None:
    with pytest.raises(gs.ConfigurationError, match=r"ema is .*; expected the decay of the average of the weights"):
        gs.Trainer(model("chain"), gs.CrossEntropyLoss(), gs.SGD(0.1), backend="numpy", ema=ema)


def test_it_cannot_change_later_and_needs_an_optimizer_of_gradients() -> None:
    trainer, _ = run("chain", "sgd", "numpy", 0.9)
    trainer.ema = 0.99
    with pytest.raises(gs.ConfigurationError, match=r"trainer\.ema cannot change once training has begun"):
        trainer.fit(X, Y, verbose=False)
    with pytest.raises(gs.ConfigurationError, match="regularizer and ema are for optimizers of the gradient"):
        gs.Trainer(model("chain"), gs.CrossEntropyLoss(), gs.NewtonCG(), backend="numpy", ema=0.9)


def test_without_it_nothing_is_kept() -> None:
    trainer, _ = run("chain", "sgd", "numpy", None)
    assert trainer.state.average is None and not any(name.startswith("raw.") for name in trainer.state.pack())
    assert "average of the weights" not in trainer.memory((X, Y))


def test_from_a_configuration(tmp_path: Path) -> None:
    """A run that is resumed goes on to the same bits, and its best weights are averages."""
    assert parse({"train": {"ema": 0.99}}).train.ema == 0.99

    def train(name: str, epochs: int, *more: str) -> None:
        given = ["train", "--run", str(tmp_path / name), "--quiet", "--backend", "numba", *more]
        with pytest.raises(SystemExit) as ended:
            main([*given, "--set", f"train.epochs={epochs}"])
        assert not ended.value.code

    settings = ["--set", "train.ema=0.95", "--set", "model.hidden=[8]"]
    train("whole", 3, *settings)
    train("parts", 1, *settings)
    train("parts", 3, "--resume")
    whole, parts = (
        load_tensors(tmp_path / name / "last.safetensors", expected_format=None)[0] for name in ("whole", "parts")
    )
    assert any(name.startswith("raw.") for name in whole)
    assert all(np.array_equal(parts[name], value) for name, value in whole.items() if name != "history")
    best = gs.Run(tmp_path / "whole").model.state_dict()
    assert all(np.array_equal(value, whole[f"model.{name}"]) for name, value in best.items())
