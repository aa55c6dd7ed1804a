"""Streams of batches: the same bits as arrays in that order, on every CPU backend; and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gearshift as gs

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(96, 5)).astype(np.float32)
Y = X[:, :3].argmax(axis=1)
WEIGHT = RANDOM.random(96)


def trainer(backend: str = "numpy", **options: Any) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(5, 8), gs.ReLU(), gs.Linear(8, 3))
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend=backend, seed=1, **options)


def in_order(size: int = 16, weighted: bool = False) -> list[Any]:
    """The rows as batches, in the order of a training that shuffles once."""
    parts = [slice(start, start + size) for start in range(0, 96, size)]
    return [(X[part], Y[part], WEIGHT[part]) if weighted else (X[part], Y[part]) for part in parts]


def one_by_one(run: gs.Trainer, batches: list[Any], epochs: int) -> None:
    """Trains on each batch as a data set of its own: one step for each."""
    for _ in range(epochs):
        for batch in batches:
            run.fit(batch, epochs=1, batch_size=len(batch[0]), verbose=False)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_stream_is_a_step_for_each_batch(backend: str, weighted: bool) -> None:
    batches = in_order(weighted=weighted)
    ours, other = trainer(backend), trainer(backend)
    history = ours.fit(gs.Batches(batches), epochs=2, verbose=False)
    one_by_one(other, batches, 2)
    assert ours.step == other.step == 12 and len(history) == 2 and history[-1]["step"] == 12
    for name, value in other.model.state_dict().items():
        np.testing.assert_allclose(ours.model.state_dict()[name], value, rtol=2e-5, atol=1e-6)


def test_a_generator_function_augments_anew_in_each_pass() -> None:
    seen: list[float] = []

    def noisy() -> Any:
        for x, y in in_order():
            batch = x + RANDOM.normal(0, 0.01, x.shape).astype(np.float32)
            seen.append(float(batch[0, 0]))
            yield batch, y

    run = trainer()
    run.fit(gs.Batches(noisy, per_epoch=6), validation=(X, Y), epochs=3, patience=3, verbose=False)
    assert run.step == 18 and len({*seen}) == len(seen) >= 18
    assert run.evaluate(X, Y)["accuracy"] > 0.4 and run.samples == 96


def test_epochs_need_not_be_passes() -> None:
    """An endless stream has epochs of so many batches, and a training that is stopped goes on with the next ones."""

    def endless() -> Any:
        while True:
            yield from in_order()

    run, other = trainer(), trainer()
    run.fit(gs.Batches(endless, per_epoch=4), epochs=3, verbose=False)
    one_by_one(other, in_order() * 2, 1)
    np.testing.assert_allclose(
        run.model.state_dict()["0.weight"], other.model.state_dict()["0.weight"], rtol=2e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gs.Batches(3), "expected an iterable"),  # pyright: ignore
        (lambda: gs.Batches(iter(in_order())), "per_epoch is None"),
        (lambda: gs.Batches(in_order(), 0), "per_epoch is 0"),
        (lambda: trainer().fit(gs.Batches(iter(in_order()), 6), epochs=2, verbose=False), "ended after 6 batches"),
        (lambda: trainer().fit(gs.Batches(iter([]), 2), verbose=False), "ended after 0 batches"),
        (lambda: trainer().fit(gs.Batches(in_order(40)), verbose=False), r"x of a batch is of shape \(16, 5\)"),
        (lambda: trainer().fit(gs.Batches([(X, Y), (X, Y + 1)]), verbose=False), "expected a label from 0 to 2"),
        (lambda: trainer().fit(gs.Batches([(X, Y)]), Y, verbose=False), "y and class_weight are not for Batches"),
        (lambda: trainer().fit(gs.Batches([(X, Y), (X, Y, WEIGHT)]), verbose=False), "some batches have weights"),
    ],
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises(gs.GearshiftError, match=message):
        make()


def test_a_loss_that_is_not_finite_is_found_in_its_batch() -> None:
    huge = [(X, Y), (X * np.float32(1e20), Y)]
    run = gs.Trainer(gs.Sequential(gs.Linear(5, 3)), gs.MulticlassHingeLoss(), gs.SGD(lr=1e30), backend="numpy", seed=1)
    with pytest.raises(gs.NonFiniteLoss, match="not finite at step"):
        run.fit(gs.Batches(huge * 3), epochs=1, verbose=False)
