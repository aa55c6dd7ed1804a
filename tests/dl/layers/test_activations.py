"""GELU and softplus against PyTorch and central differences, and clipping by value against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from central_differences import central_differences

import gearshift as gs
from gearshift.backends.errors import ConfigurationError

BACKENDS = ("numpy", "numba")
X = np.random.default_rng(0).standard_normal((11, 4)) * 3
Y = np.random.default_rng(1).standard_normal((11, 2))


def model(layer: gs.Layer) -> gs.Sequential:
    return gs.Sequential(gs.Linear(4, 5), layer, gs.Linear(5, 5, bias=False), layer, gs.Linear(5, 2), dtype="float64")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layer", [gs.GELU(), gs.Softplus()], ids=repr)
def test_gradient_is_that_of_central_differences(layer: gs.Layer, backend: str) -> None:
    net = model(layer).init(0)
    _, grads = gs.value_and_grad(net, gs.MSELoss(), X, Y, backend=backend)
    for name, index, numeric in central_differences(net, gs.MSELoss(), X, Y, h=1e-5):
        assert abs(numeric - grads[name][index]) <= 1e-7 * (1 + abs(numeric))


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layer", [gs.GELU(), gs.Softplus()], ids=repr)
def test_as_torch(layer: gs.Layer, backend: str) -> None:
    torch = pytest.importorskip("torch")
    net = model(layer).init(0)
    value, grads = gs.value_and_grad(net, gs.MSELoss(), X, Y, backend=backend)
    w = {name: torch.tensor(array, requires_grad=True) for name, array in net.state_dict().items()}
    function = torch.nn.GELU(approximate="tanh") if isinstance(layer, gs.GELU) else torch.nn.Softplus(threshold=700)
    hidden = function(function(torch.tensor(X) @ w["0.weight"] + w["0.bias"]) @ w["2.weight"])
    result = torch.mean((hidden @ w["4.weight"] + w["4.bias"] - torch.tensor(Y)) ** 2)
    result.backward()
    assert value == pytest.approx(result.item(), rel=1e-12)
    assert max(np.max(np.abs(grad - w[name].grad.numpy())) for name, grad in grads.items()) <= 1e-11


@pytest.mark.torch
@pytest.mark.parametrize("clip_norm", [None, 0.3])
@pytest.mark.parametrize("backend", BACKENDS)
def test_clipping_by_value_as_torch(backend: str, clip_norm: float | None) -> None:
    torch = pytest.importorskip("torch")
    net = gs.Sequential(gs.Linear(4, 2), dtype="float64").init(0)
    w = {name: torch.tensor(array, requires_grad=True) for name, array in net.state_dict().items()}
    given = {"clip_value": 0.2, "clip_norm": clip_norm, "backend": backend}
    trainer = gs.Trainer(net, gs.MSELoss(), gs.SGD(lr=0.05, momentum=0.9), **given)
    trainer.fit(X, Y, epochs=20, batch_size=11, verbose=False)
    optimizer = torch.optim.SGD(w.values(), lr=0.05, momentum=0.9)
    for _ in range(20):
        optimizer.zero_grad()
        torch.mean((torch.tensor(X) @ w["0.weight"] + w["0.bias"] - torch.tensor(Y)) ** 2).backward()
        torch.nn.utils.clip_grad_value_(w.values(), 0.2)
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(w.values(), clip_norm)
        optimizer.step()
    assert max(np.max(np.abs(v - w[name].detach().numpy())) for name, v in net.state_dict().items()) <= 1e-12


def test_a_bound_that_is_not_above_0_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="clip_value is 0"):
        gs.Trainer(gs.Sequential(gs.Linear(1, 1)), gs.MSELoss(), gs.SGD(), clip_value=0, backend="numpy")
