"""Batch normalisation and maxout against PyTorch and central differences, in training and in evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from central_differences import central_differences

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, NonFiniteLoss, ShapeError

BACKENDS = ("numpy", "numba")
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((23, 4)) * [1, 3, 0.1, 1] + [0, 5, 0, -2]
Y = RANDOM.integers(0, 3, 23)


def normalised() -> gs.Sequential:
    """No biases before the normalisation, which takes them away: their gradients would be rounding errors alone."""
    first = gs.Linear(4, 6, bias=False), gs.BatchNorm1d(6), gs.Tanh()
    second = gs.Linear(6, 5, bias=False), gs.BatchNorm1d(5, eps=1e-3, momentum=0.3)
    return gs.Sequential(*first, *second, gs.Linear(5, 3), dtype="float64").init(3)


def maxout() -> gs.Sequential:
    layers = (gs.Linear(4, 15), gs.Maxout(3), gs.Linear(5, 8), gs.Maxout(), gs.Linear(4, 3))
    return gs.Sequential(*layers, dtype="float64").init(3)


def moved_statistics() -> gs.Sequential:
    model = normalised()
    state = {
        name: np.abs(RANDOM.standard_normal(value.shape)) + 0.5 if "running" in name else value
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("make", [moved_statistics, maxout])
def test_gradient_is_that_of_central_differences(make: Any, train: bool, backend: str) -> None:
    model, loss = make(), gs.CrossEntropyLoss()
    _, grads = gs.value_and_grad(model, loss, X, Y, train=train, backend=backend)
    assert grads.keys() == {name for name in model.state_dict() if "running" not in name}
    for name, index, numeric in central_differences(model, loss, X, Y, h=1e-5, train=train):
        assert abs(numeric - grads[name][index]) <= 1e-8 * (1 + abs(numeric))


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
def test_batch_norm_trains_and_evaluates_as_torch_with_its_running_statistics(backend: str) -> None:
    torch = pytest.importorskip("torch")
    model = normalised()
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 6, bias=False),
        torch.nn.BatchNorm1d(6),
        torch.nn.Tanh(),
        torch.nn.Linear(6, 5, bias=False),
        torch.nn.BatchNorm1d(5, eps=1e-3, momentum=0.3),
        torch.nn.Linear(5, 3),
    ).double()
    start = {name: torch.tensor(value.T.copy()) for name, value in model.state_dict().items()}
    theirs.load_state_dict(start, strict=False)
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend=backend)
    x, y = X[:20], Y[:20]
    trainer.fit(x, y, epochs=200, batch_size=20, verbose=False)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(y)).backward()
        optimizer.step()
    wanted = theirs.state_dict()
    worst = max(np.max(np.abs(value - wanted[name].numpy().T)) for name, value in model.state_dict().items())
    assert worst <= 1e-10
    theirs.eval()
    with torch.no_grad():
        probabilities = torch.softmax(theirs(torch.tensor(X)), dim=1).numpy()
    assert np.max(np.abs(trainer.predict_proba(X) - probabilities)) <= 1e-9
    loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(X)), torch.tensor(Y)).item()
    assert trainer.evaluate(X, Y)["loss"] == pytest.approx(loss, rel=1e-10)


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
def test_maxout_as_torch(backend: str) -> None:
    torch = pytest.importorskip("torch")
    model = maxout()
    value, grads = gs.value_and_grad(model, gs.CrossEntropyLoss(), X, Y, backend=backend)
    w = {name: torch.tensor(array, requires_grad=True) for name, array in model.state_dict().items()}
    h = (torch.tensor(X) @ w["0.weight"] + w["0.bias"]).reshape(23, 5, 3).amax(2)
    h = (h @ w["2.weight"] + w["2.bias"]).reshape(23, 4, 2).amax(2)
    result = torch.nn.functional.cross_entropy(h @ w["4.weight"] + w["4.bias"], torch.tensor(Y))
    result.backward()
    assert abs(value - result.item()) <= 1e-13
    assert max(np.max(np.abs(grad - w[name].grad.numpy())) for name, grad in grads.items()) <= 1e-13


@pytest.mark.parametrize("backend", BACKENDS)
def test_at_a_tie_the_first_piece_has_the_gradient(backend: str) -> None:
    model = gs.Sequential(gs.Linear(1, 4, bias=False), gs.Maxout(2), dtype="float64")
    model.load_state_dict({"0.weight": np.array([[1.0, 1.0, 0.0, 0.0]])})
    _, grads = gs.value_and_grad(model, gs.MSELoss(), np.ones((1, 1)), np.zeros((1, 2)), backend=backend)
    assert np.array_equal(grads["0.weight"], [[1.0, 0, 0, 0]])


def test_running_statistics_are_saved_and_a_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    ends = []
    for parts in ((6,), (2, 4)):
        for number, epochs in enumerate(parts):
            trainer = gs.Trainer(normalised(), gs.CrossEntropyLoss(), gs.Adam(), backend="numba", seed=3)
            if number:
                trainer.load(tmp_path / "run.safetensors")
            trainer.fit(X, Y, epochs=epochs, batch_size=8, verbose=False)
            trainer.save(tmp_path / "run.safetensors")
        ends.append(trainer.model.state_dict())
    assert all(np.array_equal(ends[0][key], value) for key, value in ends[1].items())
    loaded = gs.load(tmp_path / "run.safetensors").state_dict()
    assert all(np.array_equal(loaded[key], value) for key, value in ends[1].items())
    assert np.any(loaded["1.running_mean"] != 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_failed_step_leaves_the_running_statistics(backend: str) -> None:
    model = normalised()
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(lr=0.05), backend=backend)
    trainer.fit(X, Y, epochs=2, batch_size=23, verbose=False)
    before = model.state_dict()
    with pytest.raises(NonFiniteLoss, match=r"step 2 .*learning rate 0\.05.*layer '[01]'"):
        trainer.fit(np.where(X > 6, 1.7e308, X), Y, batch_size=23, verbose=False)
    assert all(np.array_equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_of_one_row_is_finite_and_keeps_the_variance(backend: str) -> None:
    model = normalised()
    gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend=backend).fit(X[:1], Y[:1], verbose=False)
    state = model.state_dict()
    assert all(np.isfinite(value).all() for value in state.values())
    assert np.array_equal(state["1.running_var"], np.ones(6))
    assert np.all(state["1.running_mean"] != 0)


def test_gradients_alone_leave_the_running_statistics() -> None:
    model = normalised()
    gs.value_and_grad(model, gs.CrossEntropyLoss(), X, Y)
    assert np.array_equal(model.state_dict()["1.running_mean"], np.zeros(6))


def test_refusals() -> None:
    for make in (lambda: gs.BatchNorm1d(0), lambda: gs.BatchNorm1d(3, eps=0), lambda: gs.BatchNorm1d(3, momentum=2)):
        with pytest.raises(ConfigurationError, match=r"BatchNorm1d: (features|eps|momentum) is"):
            make()
    with pytest.raises(ConfigurationError, match="pieces is 0"):
        gs.Maxout(0)
    with pytest.raises(ShapeError, match="multiple of 2"):
        gs.value_and_grad(gs.Sequential(gs.Linear(4, 5), gs.Maxout()), gs.MSELoss(), X, X)
    with pytest.raises(ShapeError, match="BatchNorm1d expects 5"):
        gs.value_and_grad(gs.Sequential(gs.Linear(4, 6), gs.BatchNorm1d(5)), gs.MSELoss(), X, X)
