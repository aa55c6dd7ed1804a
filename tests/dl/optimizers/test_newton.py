"""Newton's methods and trial and error: closed forms, transcriptions, saddles, second derivatives; orders of rows."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, NonFiniteLoss
from gearshift.backends.philox import draws, key_of

BACKENDS = ("numpy", "numba")
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((60, 5))
Y = (X @ RANDOM.standard_normal(5) + RANDOM.standard_normal(60) > 0).astype(np.int64)


def linear(outputs: int = 1) -> gs.Sequential:
    return gs.Sequential(gs.Linear(5, outputs), dtype="float64").init(1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("optimizer", [gs.Newton(damping=0), gs.NewtonCG(damping=0, tol=1e-14)], ids=["exact", "cg"])
def test_one_step_solves_linear_regression(optimizer: gs.Optimizer, backend: str) -> None:
    y = X @ np.arange(5.0) + 3 + RANDOM.standard_normal(60)
    model = linear()
    gs.Trainer(model, gs.MSELoss(), optimizer, backend=backend).fit(X, y, batch_size=60, verbose=False)
    wanted = np.linalg.lstsq(np.column_stack([X, np.ones(60)]), y, rcond=None)[0]
    w = model.state_dict()
    assert np.max(np.abs(np.append(w["0.weight"][:, 0], w["0.bias"]) - wanted)) <= 1e-10


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("exact", [True, False])
def test_200_steps_of_logistic_regression_as_the_formula(exact: bool, backend: str) -> None:
    """Damped and with a small rate, so that 200 steps are on the way; the Hessian is Xᵀ diag(s (1 − s)) X / n."""
    optimizer = gs.Newton(lr=0.02, damping=0.01) if exact else gs.NewtonCG(lr=0.02, damping=0.01, tol=1e-14)
    model = linear()
    state = model.state_dict()
    w, design = np.append(state["0.weight"][:, 0], state["0.bias"]), np.column_stack([X, np.ones(60)])
    gs.Trainer(model, gs.BCEWithLogitsLoss(), optimizer, backend=backend).fit(
        X, Y, epochs=200, batch_size=60, verbose=False
    )
    for _ in range(200):
        s = 1 / (1 + np.exp(-design @ w))
        hessian = design.T @ (design * (s * (1 - s))[:, None]) / 60
        w = w - 0.02 * np.linalg.solve(hessian + 0.01 * np.eye(6), design.T @ (s - Y) / 60)
    found = model.state_dict()
    assert np.max(np.abs(np.append(found["0.weight"][:, 0], found["0.bias"]) - w)) <= 1e-10


@pytest.mark.parametrize("optimizer", [gs.Newton(damping=0.1), gs.NewtonCG(damping=0.01)], ids=["exact", "cg"])
def test_it_leaves_a_saddle_downwards(optimizer: Any) -> None:
    """f = (x² − y² + y⁴ / 2) / 2 has a saddle at 0, to which the bare method goes from near by."""
    p = np.array([0.3, 0.1])
    for _ in range(100):
        g = np.array([p[0], -p[1] + p[1] ** 3])
        hessian = np.diag([1.0, -1 + 3 * p[1] ** 2])
        p = p - optimizer.direction(g, lambda v, hessian=hessian: hessian @ v)
    assert np.max(np.abs(np.abs(p) - [0, 1])) <= 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "layers",
    [
        lambda: (gs.Linear(5, 4), gs.Tanh(), gs.Linear(4, 2)),
        lambda: (gs.Linear(5, 4), gs.BatchNorm1d(4), gs.Sigmoid(), gs.Linear(4, 2)),
        lambda: (gs.Linear(5, 6), gs.Maxout(2), gs.Linear(3, 2)),
    ],
    ids=["tanh", "batch norm", "maxout"],
)
def test_newton_cg_trains_networks_and_second_derivatives_are_those_of_central_differences(
    layers: Any, dtype: str
) -> None:
    model = gs.Sequential(*layers(), dtype=dtype).init(1)
    weights = model.state_dict()
    vector = {n: RANDOM.standard_normal(w.shape).astype(dtype) for n, w in weights.items() if "running" not in n}
    product = gs.hessian_vector_product(model, gs.CrossEntropyLoss(), X, Y, vector)
    wide, sides, h = model.astype("float64"), [], 1e-5
    start = wide.state_dict()
    for side in (h, -h):
        wide.load_state_dict({n: w + side * vector.get(n, 0) for n, w in start.items()})
        sides.append(gs.value_and_grad(wide, gs.CrossEntropyLoss(), X, Y)[1])
    for name, value in product.items():
        numeric = (sides[0][name] - sides[1][name]) / (2 * h)
        bound = 1e-6 if dtype == "float64" else 1e-3
        assert np.max(np.abs(numeric - value)) <= bound * max(1, np.max(np.abs(numeric)))
    wide.load_state_dict(start)
    trainer = gs.Trainer(wide, gs.CrossEntropyLoss(), gs.NewtonCG(damping=0.05), backend="numba")
    losses = trainer.fit(X, Y, epochs=15, batch_size=60, verbose=False)["loss"]
    assert losses[-1] < 0.75 * losses[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_outputs_have_a_newton_step(backend: str) -> None:
    x = gs.Input(5)
    model = gs.Model(x, [gs.Linear(5, 2)(x), gs.Linear(5, 1)(x)], "float64").init(0)
    loss = gs.JointLoss(a=gs.Head(gs.CrossEntropyLoss(), 2), b=gs.Head(gs.MSELoss(), 1, weight=0.5))
    trainer = gs.Trainer(model, loss, gs.NewtonCG(damping=1e-3), backend=backend)
    losses = trainer.fit(X, (Y, X[:, 0] ** 2), epochs=30, batch_size=60, verbose=False)["loss"]
    assert losses[-1] < losses[0]
    assert max(np.max(np.abs(g)) for g in gs.value_and_grad(model, loss, X, (Y, X[:, 0] ** 2))[1].values()) <= 1e-3


def test_a_small_batch_is_told_and_a_full_one_is_not() -> None:
    trainer = gs.Trainer(linear(), gs.BCEWithLogitsLoss(), gs.NewtonCG(damping=0.1), backend="numpy")
    with pytest.warns(UserWarning, match="batches of thousands of rows, or all 60"):
        trainer.fit(X, Y, batch_size=20, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.fit(X, Y, batch_size=60, verbose=False)


def test_newton_refuses_what_is_not_its_own() -> None:
    with pytest.raises(ConfigurationError, match="finds its own step"):
        gs.Trainer(linear(), gs.MSELoss(), gs.Newton(), clip_norm=1.0)
    with pytest.raises(ConfigurationError, match="use NewtonCG"):
        gs.Newton().direction(np.zeros(5000), lambda v: v)
    with pytest.raises(ConfigurationError, match=r"optimizer\.direction"):
        optimizer = gs.Newton()
        optimizer.update(np.ones(2), np.ones(2), optimizer.init(np.ones(2)))
    with pytest.raises(ConfigurationError, match="damping is -1"):
        gs.NewtonCG(damping=-1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("optimizer", [gs.Newton(), gs.NewtonCG(), gs.RandomPerturbation()], ids=lambda o: repr(o)[:9])
def test_a_failed_step_leaves_the_weights(optimizer: gs.Optimizer, backend: str) -> None:
    model = linear()
    before = model.state_dict()
    trainer = gs.Trainer(model, gs.MSELoss(), optimizer, backend=backend)
    with pytest.raises(NonFiniteLoss, match=r"step 0 .*learning rate .*layer"):
        trainer.fit(X * 1e200, Y.astype(float), batch_size=60, verbose=False)
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("backend", BACKENDS)
def test_trial_and_error_never_rises_on_the_full_batch_and_gradients_buy_more(backend: str) -> None:
    ends = {}
    for optimizer in (gs.RandomPerturbation(lr=0.1), gs.Adam(lr=0.1)):
        trainer = gs.Trainer(linear(), gs.BCEWithLogitsLoss(), optimizer, backend=backend)
        losses = trainer.fit(X, Y, epochs=60, batch_size=60, verbose=False)["loss"]
        if isinstance(optimizer, gs.RandomPerturbation):
            assert all(b <= a + 1e-12 for a, b in pairwise(losses))  # the order of rows moves the last bits
            assert len(set(losses)) > 5
        ends[type(optimizer)] = losses[-1]
    assert ends[gs.Adam] < ends[gs.RandomPerturbation] < 0.69


def test_trial_and_error_repeats_its_bits_when_resumed(tmp_path: Any) -> None:
    ends = []
    for parts in ((20,), (7, 13)):
        for number, epochs in enumerate(parts):
            trainer = gs.Trainer(linear(), gs.BCEWithLogitsLoss(), gs.RandomPerturbation(lr=0.1), backend="numba")
            if number:
                trainer.load(tmp_path / "run.safetensors")
            trainer.fit(X, Y, epochs=epochs, batch_size=16, verbose=False)
            trainer.save(tmp_path / "run.safetensors")
        ends.append(trainer.model.state_dict())
    assert all(np.array_equal(ends[0][key], value) for key, value in ends[1].items())


@pytest.mark.parametrize("backend", BACKENDS)
def test_orders_of_rows(backend: str) -> None:
    """A linear model on one-hot rows learns from each row as often as it was drawn."""
    x, y, drawn = np.eye(30), np.ones(30), {}
    for order in ("shuffled", "once", "replacement"):
        model = gs.Sequential(gs.Linear(30, 1, bias=False), dtype="float64")
        model.load_state_dict({"0.weight": np.zeros((30, 1))})
        trainer = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=0.25), backend=backend, seed=5)
        trainer.fit(x, y, epochs=1, batch_size=1, order=order, verbose=False)
        drawn[order] = np.log2(1 / (1 - model.state_dict()["0.weight"][:, 0])).round().astype(int)
    assert np.array_equal(drawn["shuffled"], np.ones(30)) and np.array_equal(drawn["once"], np.ones(30))
    wanted = np.bincount(draws(np, key_of(5), 30, 0), minlength=30)
    assert np.array_equal(drawn["replacement"], wanted)
    assert wanted.max() > 1
    with pytest.raises(ConfigurationError, match="order is 'sorted'"):
        trainer.fit(x, y, order="sorted")  # pyright: ignore[reportArgumentType]


def test_rows_drawn_with_replacement_are_drawn_evenly() -> None:
    counts = sum(np.bincount(draws(np, key_of(1), 50, epoch), minlength=50) for epoch in range(400))
    assert np.max(np.abs(counts - 400)) <= 5 * np.sqrt(400)
    assert not np.array_equal(draws(np, key_of(1), 50, 0), draws(np, key_of(1), 50, 1))


def test_shuffled_once_repeats_the_first_epoch_s_order() -> None:
    losses = {}
    for order in ("shuffled", "once"):
        trainer = gs.Trainer(linear(), gs.BCEWithLogitsLoss(), gs.SGD(lr=0), backend="numpy")
        trainer.fit(X, Y, epochs=1, batch_size=60, order=order, verbose=False)
        seen: list[float] = []
        for _ in range(3):
            trainer.state.totals[...] = 0
            seen.append(trainer.fit(X, Y, epochs=1, batch_size=7, order=order, verbose=False)[-1]["loss"])
        losses[order] = seen
    assert len(set(losses["once"])) == 1
