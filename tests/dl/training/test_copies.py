"""Copies and pickles: they train on to the same bits, and what they were copied from is not touched."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.step import plan
from gearshift.dl.training import loop

RANDOM = np.random.default_rng(3)
X, Y = RANDOM.normal(size=(70, 5)), RANDOM.integers(0, 3, 70)
WAYS = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda thing: pickle.loads(pickle.dumps(thing))}


def model(kind: str) -> gs.Layer:
    inner = {
        "chain": [gs.ReLU()],
        "graph": [gs.BatchNorm1d(8), gs.ReLU(), gs.Dropout(0.2)],
        "shared": [gs.Tanh()],
    }[kind]
    if kind == "shared":  # one layer twice
        middle = gs.Linear(8, 8)
        return gs.Sequential(gs.Linear(5, 8), middle, gs.Tanh(), middle, gs.Linear(8, 3))
    return gs.Sequential(gs.Linear(5, 8), *inner, gs.Linear(8, 3))


def trainer(kind: str, backend: str, optimizer: gs.Optimizer | None = None) -> gs.Trainer:
    return gs.Trainer(
        model(kind),
        gs.CrossEntropyLoss(),
        optimizer or gs.Adam(lr=1e-2),
        schedule=gs.CosineDecay(40),
        backend=backend,
        seed=4,
        ema=0.8 if kind == "graph" else None,
    )


def fit(run: gs.Trainer, epochs: int, **more: Any) -> gs.History:
    return run.fit(X, Y, validation=(X, Y), epochs=epochs, batch_size=16, verbose=False, **more)


def bits(run: gs.Trainer) -> list[bytes]:
    return [value.tobytes() for value in run.state.pack().values()]


def told(history: gs.History) -> list[tuple[float, ...]]:
    return [(r["epoch"], r["step"], r["loss"], r["validation_loss"], r["lr"]) for r in history]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["chain", "graph", "shared"])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("begun", ["new", "after epochs", "in an epoch", "in a callback"])
def test_a_copied_trainer_trains_on_to_the_same_bits(
    way: str, kind: str, backend: str, begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "TICK", 0)
    monkeypatch.setattr(loop, "TICK", 0)
    run, whole, copied = trainer(kind, backend), trainer(kind, backend), []
    fit(whole, 5)

    class Copies(gs.Callback):
        def on_epoch_end(self, trained: gs.Trainer, record: dict[str, float]) -> None:
            if trained.epoch == 3:
                copied.append(WAYS[way](trained))

    class Stops(gs.Callback):
        def on_tick(self, trained: gs.Trainer) -> None:
            if trained.epoch == 1:
                trained.stop("here")

    if begun == "after epochs":
        fit(run, 2)
    elif begun == "in an epoch":
        fit(run, 3, callbacks=[Stops()])
        assert run.state.cursor
    elif begun == "in a callback":
        fit(run, 4, callbacks=[Copies()])
    other = copied.pop() if copied else WAYS[way](run)
    fit(other, 5 - other.epoch)
    fit(run, 5 - run.epoch)
    assert bits(other) == bits(run) == bits(whole)
    assert len(whole.history) == 5

    assert told(other.history) == told(run.history) == told(whole.history)


OPTIMIZERS = [
    gs.SGD(lr=1e-2, momentum=0.9),
    gs.Momentum(lr=1e-2, momentum=gs.Ramp(0.5, 0.9, 9)),
    gs.Nesterov(lr=1e-2),
    gs.Adagrad(),
    gs.RMSprop(centered=True, momentum=0.5),
    gs.Adadelta(),
    gs.AdamW(),
    gs.NewtonCG(),
    gs.RandomPerturbation(),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: type(optimizer).__name__)
@pytest.mark.filterwarnings("ignore:NewtonCG inverts")
def test_with_every_optimizer(optimizer: gs.Optimizer) -> None:
    run = trainer("graph" if not optimizer.on_host else "chain", "numpy", optimizer)
    fit(run, 1)
    others = [way(run) for way in WAYS.values()]
    fit(run, 1)
    for other in others:
        fit(other, 1)
        assert bits(other) == bits(run)


def test_a_copied_trainer_goes_on_watching_where_it_was_stopped() -> None:
    class Stops(gs.Callback):
        def on_epoch_end(self, trained: gs.Trainer, record: dict[str, float]) -> None:
            if trained.epoch == 2:
                trained.stop("here")

    whole, run = (trainer("chain", "numpy", gs.SGD(lr=0.0)) for _ in range(2))
    assert len(fit(whole, 9, patience=4)) == 5
    fit(run, 9, patience=4, callbacks=[Stops()])
    assert len(fit(copy.deepcopy(run), 9, patience=4)) == len(fit(run, 9, patience=4)) == 5


@pytest.mark.parametrize("way", WAYS)
def test_a_copied_model_has_weights_of_its_own(way: str) -> None:
    run = trainer("graph", "numpy")
    fit(run, 1)
    other = WAYS[way](run.model)
    before = other.state_dict()
    fit(run, 1)
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    mine = run.model.state_dict()
    gs.Trainer(other, gs.CrossEntropyLoss(), gs.SGD(), backend="numpy").fit(X, Y, verbose=False)
    for name, value in run.model.state_dict().items():
        np.testing.assert_array_equal(value, mine[name])


def test_a_trainer_and_its_model_copied_together_stay_together() -> None:
    run = trainer("chain", "numpy")
    fit(run, 1)
    model: Any = run.model
    other, its = copy.deepcopy((run, model))
    assert other.model is its
    fit(other, 1)
    assert other.model is its and its[0].weight.owner is not model[0].weight.owner


@pytest.mark.parametrize("way", WAYS)
def test_other_things_are_copied(way: str, tmp_path: Any) -> None:
    run = trainer("chain", "numpy")
    history = fit(run, 2, callbacks=[gs.GradientNorms(X, Y), norms := gs.Curvature(X, Y), gs.FlatStretch()])
    copied = WAYS[way](history)
    fit(run, 1)
    assert len(copied) == 2 and len(history) == 3
    made = WAYS[way](gs.Momentum(lr=0.2, momentum=gs.Ramp(0.5, 0.9, 10)))
    assert made.constants(5, 0.2) == (0.2, pytest.approx(0.7))
    assert WAYS[way](gs.CosineDecay(10, warmup=3))(4) == gs.CosineDecay(10, warmup=3)(4)
    data = WAYS[way](gs.Dataset(X, Y, np.arange(1.0, 71.0)))
    np.testing.assert_array_equal(data.x, X)
    assert data.weight.sum() == 2485
    (tmp_path / "config.toml").write_text("")
    assert WAYS[way](gs.Run(tmp_path)).path == tmp_path
    backend = gs.backends.get("numpy")
    assert WAYS[way](backend) is backend
    for callback in (gs.GradientNorms(X, Y), gs.FlatStretch(), norms):
        fit(trainer("chain", "numpy"), 1, callbacks=[WAYS[way](callback)])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_copied_estimator_trains_on_and_leaves_the_original_alone(way: str, solver: str) -> None:
    def made() -> Any:
        return gs.MLPClassifier((8,), solver=solver, random_state=0, max_iter=3, warm_start=True, backend="numpy")

    estimator, whole = made(), made()
    with pytest.warns(UserWarning):
        estimator.fit(X, Y)
        whole.fit(X, Y)
        before = estimator.predict_proba(X)
        WAYS[way](estimator).fit(X, Y)
        np.testing.assert_array_equal(estimator.predict_proba(X), before)
        other = WAYS[way](estimator)
        if solver != "lbfgs":
            other.partial_fit(X, Y)
            whole.partial_fit(X, Y)
        np.testing.assert_array_equal(estimator.predict_proba(X), before)
    np.testing.assert_array_equal(other.predict_proba(X), whole.predict_proba(X))
