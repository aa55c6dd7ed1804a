"""Second derivatives at kinks, ties and exact zeros: PyTorch's there too, and symmetric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.layers.initializers import ones

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
F = torch.nn.functional

BACKENDS = ["numpy", "numba"]
RANDOM = np.random.default_rng(0)
X = np.concatenate([np.zeros((4, 4)), RANDOM.integers(-1, 2, (6, 4)), RANDOM.standard_normal((6, 4))])
ROWS = len(X)
LABELS, BINARY = RANDOM.integers(0, 3, ROWS), RANDOM.integers(0, 2, (ROWS, 3)).astype(np.float64)
SHARES, VALUES = RANDOM.dirichlet(np.ones(3), ROWS), RANDOM.standard_normal((ROWS, 3))


class Own(gs.ArrayLayer):
    """A layer of one's own, element by element, in array code that has a kink at 0 where the function may have none."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def forward(self, xp: Any, x: Any) -> Any:
        e = xp.exp(-xp.abs(x))
        return {
            "relu": lambda: xp.maximum(x, 0),
            "relu, 0 first": lambda: xp.maximum(0, x),
            "relu, chosen": lambda: xp.where(x >= 0, x, 0),
            "relu, clipped": lambda: xp.clip(x, 0, None),
            "leaky": lambda: xp.where(x >= 0, x, 0.1 * x),
            "abs": lambda: xp.abs(x),
            "softplus": lambda: xp.maximum(x, 0) + xp.log1p(e),
            "sigmoid": lambda: xp.where(x >= 0, 1 / (1 + e), e / (1 + e)),
        }[self.kind]()

    def backward(self, xp: Any, dy: Any, x: Any, y: Any) -> tuple[Any, ...]:
        if self.kind == "leaky":
            return (dy * xp.where(x > 0, 1.0, 0.1),)
        return (
            {
                "abs": lambda: dy * xp.sign(x),
                "softplus": lambda: dy / (1 + xp.exp(-x)),
                "sigmoid": lambda: dy * y * (1 - y),
            }.get(self.kind, lambda: dy * (x > 0))(),
        )


class Slopes(gs.ArrayLayer):
    """PReLU: a parameter of its own beside a kink."""

    def __init__(self, features: int) -> None:
        self.features, self.slope = features, gs.Parameter((features,), ones)

    def forward(self, xp: Any, x: Any, slope: Any) -> Any:
        return xp.maximum(x, 0) + slope * xp.minimum(x, 0)

    def backward(self, xp: Any, dy: Any, x: Any, y: Any, slope: Any) -> tuple[Any, ...]:
        return dy * xp.where(x > 0, 1, slope), xp.sum(dy * xp.where(x > 0, 0, x), axis=0)


def maxout(z: Any) -> Any:
    return z.reshape(len(z), -1, 2).max(dim=2).values


ACTIVATIONS: dict[str, tuple[Callable[[], gs.Layer], Callable[[Any], Any]]] = {
    "sigmoid": (gs.Sigmoid, torch.sigmoid),
    "tanh": (gs.Tanh, torch.tanh),
    "softplus": (gs.Softplus, F.softplus),
    "gelu": (gs.GELU, lambda z: F.gelu(z, approximate="tanh")),
    "relu": (gs.ReLU, torch.relu),
    "maxout": (lambda: gs.Maxout(2), maxout),
    "layer norm": (lambda: gs.LayerNorm(6), lambda z: F.layer_norm(z, (6,))),
    "batch norm": (lambda: gs.BatchNorm1d(6), lambda z: F.batch_norm(z, None, None, training=True)),
    "own relu": (lambda: Own("relu"), torch.relu),
    "own relu, 0 first": (lambda: Own("relu, 0 first"), torch.relu),
    "own relu, chosen": (lambda: Own("relu, chosen"), torch.relu),
    "own relu, clipped": (lambda: Own("relu, clipped"), torch.relu),
    "own leaky": (lambda: Own("leaky"), lambda z: F.leaky_relu(z, 0.1)),
    "own abs": (lambda: Own("abs"), torch.abs),
    "own softplus": (lambda: Own("softplus"), F.softplus),
    "own sigmoid": (lambda: Own("sigmoid"), torch.sigmoid),
}


def hinge(z: Any, y: Any) -> Any:
    return torch.relu(1 - (2 * y - 1) * z).mean()


LOSSES: dict[str, tuple[gs.Loss, np.ndarray, Callable[[Any, Any], Any]]] = {
    "cross-entropy": (gs.CrossEntropyLoss(), LABELS, F.cross_entropy),
    "soft cross-entropy": (gs.SoftCrossEntropyLoss(), SHARES, F.cross_entropy),
    "binary cross-entropy": (gs.BCEWithLogitsLoss(), BINARY, F.binary_cross_entropy_with_logits),
    "squared error": (gs.MSELoss(), VALUES, F.mse_loss),
    "hinge": (gs.HingeLoss(), BINARY, hinge),
}


def weights_of(model: gs.Layer, zero: str) -> list[np.ndarray]:
    """Small integers and draws as weights, biases of 0, and one layer of 0 where asked for: ties everywhere."""
    random = np.random.default_rng(7)
    found = []
    for parameter in model.ensure_initialized(0).parameters():
        if not parameter.trained:
            continue
        draw = np.round(random.standard_normal(parameter.shape), 1)
        draw[..., 1:2] = draw[..., :1]  # units that are equal
        if parameter.name.endswith("bias") or parameter.name.startswith(zero):
            draw[...] = 0
        found.append(np.ones(parameter.shape) if parameter.name.startswith("1.") and draw.ndim == 1 else draw)
        parameter.array = found[-1].copy()
    return found


def exact(function: Callable[[list[Any]], Any], weights: list[np.ndarray]) -> np.ndarray:
    """PyTorch's Hessian of a function of the weights."""

    def of_vector(vector: Any) -> Any:
        parts = vector.split([w.size for w in weights])
        return function([part.reshape(w.shape) for part, w in zip(parts, weights, strict=True)])

    vector = torch.tensor(np.concatenate([w.ravel() for w in weights]))
    return torch.autograd.functional.hessian(of_vector, vector, vectorize=True).numpy()


def compare(model: gs.Layer, loss: str, forward: Callable[[Any, list[Any]], Any], zero: str, backend: str) -> None:
    criterion, y, theirs = LOSSES[loss]
    weights = weights_of(model, zero)
    with np.errstate(all="raise"):
        got = gs.Hessian(model, criterion, X, y, backend=backend).dense()
    want = exact(lambda ps: theirs(forward(torch.tensor(X), ps), torch.tensor(y)), weights)
    assert np.max(np.abs(got - want)) <= 1e-12 * (1 + np.max(np.abs(want)))
    assert np.max(np.abs(got - got.T)) <= 1e-12 * (1 + np.max(np.abs(want)))


@pytest.mark.parametrize("zero", ["none", "0.", "2."])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_at_zero_have_the_hessian_of_torch(name: str, zero: str) -> None:
    make, act = ACTIVATIONS[name]
    model = gs.Sequential(gs.Linear(4, 6), make(), gs.Linear(3 if name == "maxout" else 6, 3), dtype="float64")

    def forward(x: Any, ps: list[Any]) -> Any:
        own = [act(x @ ps[0] + ps[1])]
        if len(ps) == 6:
            own = [own[0] * ps[2] + ps[3]]
        return own[0] @ ps[-2] + ps[-1]

    compare(model, "squared error", forward, zero, "numpy")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("zero", ["none", "2."])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_at_zero_have_the_hessian_of_torch(loss: str, zero: str, backend: str) -> None:
    model = gs.Sequential(gs.Linear(4, 6), gs.ReLU(), gs.Linear(6, 3), dtype="float64")
    compare(model, loss, lambda x, ps: torch.relu(x @ ps[0] + ps[1]) @ ps[2] + ps[3], zero, backend)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_layer_of_one_s_own_with_parameters_has_the_hessian_of_torch(loss: str) -> None:
    model = gs.Sequential(gs.Linear(4, 6), Slopes(6), gs.Linear(6, 3), dtype="float64")

    def forward(x: Any, ps: list[Any]) -> Any:
        z = x @ ps[0] + ps[1]
        return torch.where(z > 0, z, ps[2] * z) @ ps[3] + ps[4]  # of F.prelu, PyTorch's Hessian is not symmetric at 0

    compare(model, loss, forward, "none", "numpy")
