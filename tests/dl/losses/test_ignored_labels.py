"""Labels that do not count, and labels of tokens: losses, gradients, metrics, reports; PyTorch and closed forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, DataError

RNG = np.random.default_rng(0)
CLASSES, TOKENS = 6, 5
X = RNG.integers(0, CLASSES, (30, TOKENS))
Y = np.maximum.accumulate(X, axis=1)
Y[RNG.random(Y.shape) < 0.4] = -100
BACKENDS = ["numpy", "numba"]


def model() -> gs.Sequential:
    return gs.Sequential(gs.Embedding(CLASSES, 8), gs.Linear(8, CLASSES), dtype="float64").init(seed=1)


def log_shares(weights: dict[str, np.ndarray]) -> np.ndarray:
    """log softmax of the outputs, (rows, TOKENS, CLASSES)."""
    z = weights["0.weight"][X] @ weights["1.weight"] + weights["1.bias"]
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_loss_and_accuracy_are_means_over_the_labels_that_count(backend: str) -> None:
    own = model()
    log_p, counts = log_shares(own.state_dict()), Y != -100
    right = np.take_along_axis(log_p, np.where(counts, Y, 0)[..., None], axis=-1)[..., 0]
    trainer = gs.Trainer(own, gs.CrossEntropyLoss(ignore_index=-100), gs.SGD(), backend=backend)
    found = trainer.evaluate(X, Y)
    assert found["loss"] == pytest.approx(-right[counts].mean(), rel=1e-12)
    assert found["accuracy"] == pytest.approx((log_p.argmax(axis=-1) == Y)[counts].mean(), rel=1e-12)
    assert trainer.report(X, Y).confusion.sum() == counts.sum()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_in_which_no_label_counts_changes_nothing(backend: str) -> None:
    own = model()
    before = own.state_dict()
    trainer = gs.Trainer(own, gs.CrossEntropyLoss(ignore_index=-100), gs.SGD(lr=1.0), backend=backend)
    trainer.fit(X, np.full_like(Y, -100), epochs=1, verbose=False)
    assert all(np.array_equal(before[name], array) for name, array in own.state_dict().items())


def test_it_is_saved_with_the_model(tmp_path: Path) -> None:
    trainer = gs.Trainer(model(), gs.CrossEntropyLoss(label_smoothing=0.1, ignore_index=-100), gs.SGD())
    trainer.fit(X, Y, epochs=1, verbose=False)
    trainer.save(tmp_path / "run.safetensors")
    loaded = gs.load(tmp_path / "run.safetensors")
    assert repr(loaded.loss) == "CrossEntropyLoss(label_smoothing=0.1, ignore_index=-100)"
    assert loaded.evaluate(X, Y)["loss"] == pytest.approx(trainer.evaluate(X, Y)["loss"], rel=1e-12)


def test_baseline_is_that_of_the_labels_that_count() -> None:
    y = np.array([0, 1, 1, 1, -1, -1])
    weight = np.full(6, 1 / 6)
    expected = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert gs.CrossEntropyLoss(ignore_index=-1).baseline(y, weight) == pytest.approx(expected)


def test_errors() -> None:
    with pytest.raises(ConfigurationError, match=r"ignore_index is 1\.5; expected an integer, or None"):
        gs.CrossEntropyLoss(ignore_index=1.5)  # pyright: ignore[reportArgumentType]
    trainer = gs.Trainer(model(), gs.CrossEntropyLoss(ignore_index=-1), gs.SGD())
    with pytest.raises(DataError, match=r"y\[\d+, \d+\] is -100, expected a label from 0 to 5"):
        trainer.fit(X, Y, epochs=1, verbose=False)


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("loss", "given"),
    [
        (gs.CrossEntropyLoss(ignore_index=-100), {}),
        (gs.CrossEntropyLoss(label_smoothing=0.1, ignore_index=-100), {"label_smoothing": 0.1}),
        (gs.CrossEntropyLoss(label_smoothing=0.1), {"label_smoothing": 0.1, "ignore_index": 1000}),
        (gs.CrossEntropyLoss(label_smoothing=0.2, ignore_index=2), {"label_smoothing": 0.2, "ignore_index": 2}),
    ],
    ids=repr,
)
def test_loss_and_gradient_are_torch_s(loss: gs.Loss, given: dict[str, Any], backend: str) -> None:
    torch = pytest.importorskip("torch")
    y = Y if "ignore_index" not in given else np.where(Y < 0, 3, Y)
    own = model()
    value, gradients = gs.value_and_grad(own, loss, X, y, backend=backend)
    w = {name: torch.tensor(array, requires_grad=True) for name, array in own.state_dict().items()}
    z = w["0.weight"][torch.tensor(X)] @ w["1.weight"] + w["1.bias"]
    theirs = torch.nn.functional.cross_entropy(z.reshape(-1, CLASSES), torch.tensor(y).reshape(-1), **given)
    theirs.backward()
    assert value == pytest.approx(theirs.item(), rel=1e-12)
    for name, array in gradients.items():
        assert np.allclose(array, w[name].grad.numpy(), rtol=1e-10, atol=1e-15)
