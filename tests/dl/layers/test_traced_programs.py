"""Random formulas: their gradients and Hessian-vector products against PyTorch, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gearshift as gs

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
xp = gs.xp
Pair = tuple[Callable[..., Any], Callable[..., Any]]


def both(function: Callable[..., Any]) -> Pair:
    """A function that is written with operators alone, for both."""
    return function, function


ONE: dict[str, Pair] = {
    "negative": both(lambda a: -a),
    "tanh": (xp.tanh, torch.tanh),
    "sigmoid": (xp.sigmoid, torch.sigmoid),
    "exp": (lambda a: xp.exp(0.3 * xp.tanh(a)), lambda a: torch.exp(0.3 * torch.tanh(a))),
    "expm1": (lambda a: xp.expm1(xp.sin(a)), lambda a: torch.expm1(torch.sin(a))),
    "log": (lambda a: xp.log(a * a + 1.0), lambda a: torch.log(a * a + 1)),
    "log1p": (lambda a: xp.log1p(xp.abs(a) + 0.1), lambda a: torch.log1p(a.abs() + 0.1)),
    "sqrt": (lambda a: xp.sqrt(a * a + 0.5), lambda a: torch.sqrt(a * a + 0.5)),
    "sin": (xp.sin, torch.sin),
    "cos": (xp.cos, torch.cos),
    "abs": (xp.abs, torch.abs),
    "relu": (xp.relu, torch.relu),
    "softplus": (xp.softplus, torch.nn.functional.softplus),
    "clip": (lambda a: xp.clip(a, -0.7, 0.9), lambda a: torch.clamp(a, -0.7, 0.9)),
    "square": both(lambda a: a**2),
    "cube": both(lambda a: a**3 * 0.1),
    "power": both(lambda a: (a * a + 0.2) ** 1.7 * 0.1),
    "stop": (lambda a: a * xp.stop_gradient(a), lambda a: a * a.detach()),
    "softmax": (xp.softmax, lambda a: torch.softmax(a, -1)),
    "log_softmax": (xp.log_softmax, lambda a: torch.log_softmax(a, -1)),
    "logsumexp": (
        lambda a: a * xp.logsumexp(a, keepdims=True),
        lambda a: a * torch.logsumexp(a, -1, keepdim=True),
    ),
    "mean": (lambda a: a - xp.mean(a, axis=-1, keepdims=True), lambda a: a - a.mean(-1, keepdim=True)),
    "max": (lambda a: a + xp.max(a, axis=-1, keepdims=True), lambda a: a + a.max(-1, keepdim=True).values),
    "min": (lambda a: a * a.min(axis=-1)[:, None], lambda a: a * a.min(-1).values[:, None]),
    "var": (
        lambda a: a / xp.sqrt(xp.var(a, axis=-1, keepdims=True) + 0.1),
        lambda a: a / torch.sqrt(a.var(-1, keepdim=True, unbiased=False) + 0.1),
    ),
    "take": (lambda a: xp.take(a, list(range(a.shape[-1]))[::-1], axis=-1), lambda a: torch.flip(a, (-1,))),
    "twice": (lambda a: a[:, [0] * a.shape[-1]] + a, lambda a: a[:, [0] * a.shape[-1]] + a),
    "concat": (lambda a: xp.concat([a[:, 1:], a[:, :1]], axis=-1), lambda a: torch.cat([a[:, 1:], a[:, :1]], -1)),
    "reshape": (
        lambda a: xp.sum(xp.reshape(a, (-1, 2, a.shape[-1] // 2)), axis=1)[:, [0]] * a,
        lambda a: a.reshape(-1, 2, a.shape[-1] // 2).sum(1)[:, [0]] * a,
    ),
    "outer": (
        lambda a: xp.matmul(a[:, :, None], xp.tanh(a)[:, None, :]).sum(axis=2),
        lambda a: torch.matmul(a[:, :, None], torch.tanh(a)[:, None, :]).sum(2),
    ),
    "turned": (
        lambda a: xp.permute_dims(xp.reshape(a, (-1, 2, a.shape[-1] // 2)), (0, 2, 1)).reshape(-1, a.shape[-1]),
        lambda a: a.reshape(-1, 2, a.shape[-1] // 2).permute(0, 2, 1).reshape(-1, a.shape[-1]),
    ),
}
TWO: dict[str, Pair] = {
    "add": both(lambda a, b: a + b),
    "subtract": both(lambda a, b: a - b),
    "multiply": both(lambda a, b: a * b * 0.5),
    "divide": both(lambda a, b: a / (b * b + 1.0)),
    "maximum": (xp.maximum, torch.maximum),
    "minimum": (xp.minimum, torch.minimum),
    "where": (lambda a, b: xp.where(a > b, a * b, b), lambda a, b: torch.where(a > b, a * b, b)),
    "conditions": (
        lambda a, b: xp.where((a > 0.1) & ~(b >= 0.2) | (a < -1), a, 2.0 * b),
        lambda a, b: torch.where((a > 0.1) & ~(b >= 0.2) | (a < -1), a, 2 * b),
    ),
}
PLACE = st.integers(0, 1000)
STEPS = st.lists(st.tuples(st.sampled_from([*ONE, *TWO]), PLACE, PLACE), min_size=2, max_size=9)
Steps = list[tuple[str, int, int]]


def result(steps: Steps, x: Any, w: Any, s: Any, m: Any, which: int) -> Any:
    """The program's output: each step takes earlier results."""
    known = [x, x * w, x + s, x @ m]
    for name, a, b in steps:
        if name in ONE:
            known.append(ONE[name][which](known[a % len(known)]))
        else:
            known.append(TWO[name][which](known[a % len(known)], known[b % len(known)]))
    return known[-1] + 0.1 * known[-2] + 0.01 * (known[1] + known[2] + known[3])


class Program(gs.Layer, named=False):
    def __init__(self, width: int, steps: Steps) -> None:
        self.steps = steps
        normal = gs.initializers.Normal(0, 0.7)
        self.w, self.s = gs.Parameter((width,), normal), gs.Parameter((1,), normal)
        self.m = gs.Parameter((width, width), normal)

    def forward(self, x: Any) -> Any:
        return result(self.steps, x, self.w, self.s, self.m, 0)


def check(width: int, steps: Steps, seed: int, backend: str, *, second: bool) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(7, width)), rng.normal(size=(7, width))
    model = Program(width, steps).astype("float64").init(seed)
    weights = model.state_dict()
    tensors = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    output = result(steps, torch.tensor(x), tensors["w"], tensors["s"], tensors["m"], 1)
    loss = ((output - torch.tensor(y)) ** 2).mean()
    want = torch.autograd.grad(loss, list(tensors.values()), create_graph=True)
    value, gradients = gs.value_and_grad(model, gs.MSELoss(), x, y, backend=backend)
    assert np.isclose(value, loss.item(), rtol=1e-12)
    for (name, found), one in zip(gradients.items(), want, strict=True):
        scale = max(1.0, one.abs().max().item())
        assert np.max(np.abs(found - one.detach().numpy())) <= 1e-11 * scale, (name, steps)
    if not second:
        return
    v = {name: rng.normal(size=value.shape) for name, value in weights.items()}
    along = sum((one * torch.tensor(v[name])).sum() for name, one in zip(tensors, want, strict=True))
    curved = torch.autograd.grad(along, list(tensors.values()), allow_unused=True)
    products = gs.hessian_vector_product(model, gs.MSELoss(), x, y, v, backend=backend)
    for name, one in zip(tensors, curved, strict=True):
        exact = np.zeros_like(weights[name]) if one is None else one.numpy()
        assert np.max(np.abs(products[name] - exact)) <= 1e-11 * max(1.0, np.abs(exact).max()), (name, steps)


@settings(max_examples=50, deadline=None)
@given(width=st.sampled_from([2, 4, 6]), steps=STEPS, seed=st.integers(0, 2**32 - 1))
def test_gradients_and_hessian_products_are_those_of_pytorch(width: int, steps: Steps, seed: int) -> None:
    check(width, steps, seed, "numpy", second=True)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(width=st.sampled_from([2, 6]), steps=STEPS, seed=st.integers(0, 2**32 - 1))
def test_compiled_loops_agree(width: int, steps: Steps, seed: int) -> None:
    check(width, steps, seed, "numba", second=False)


def test_every_function_once() -> None:
    """None depends on being drawn; two at a time, since a wrong operator must not hide behind others."""
    for name in (*ONE, *TWO):
        check(4, [(name, 1, 3), ("tanh", 4, 0)], 5, "numpy", second=True)
