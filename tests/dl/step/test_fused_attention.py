"""Attention in one operation: the gradients of PyTorch in float64, and where the list of operations stays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.graph.fused_attention import with_attention
from gearshift.dl.graph.tangent import hessian_products
from gearshift.dl.step.memory import Demand
from gearshift.dl.step.pooled_plan import PooledPlan
from gearshift.dl.step.program import gradient, training
from gearshift.dl.training.loop import Loop

RANDOM = np.random.default_rng(0)
TOKENS, LENGTH, FEATURES, HEADS = 9, 21, 15, 3
X = RANDOM.integers(0, TOKENS, (7, LENGTH))
X[:, 15:] = np.where(RANDOM.random((7, 6)) < 0.5, 0, X[:, 15:])
Y = RANDOM.integers(0, TOKENS, (7, LENGTH))
LISTED = {"split_heads", "merge_heads", "softmax", "masked_softmax", "softmax_backward"}


def trainer(causal: bool, padding: int | None, dropout: float = 0.0, backend: str = "numba") -> gs.Trainer:
    layers = gs.Embedding(TOKENS, FEATURES, padding=padding), gs.MultiHeadAttention(FEATURES, HEADS, causal, dropout)
    model = gs.Sequential(*layers, gs.Linear(FEATURES, TOKENS), dtype="float64").init(1)
    state = model.state_dict()
    model.load_state_dict({name: value + RANDOM.normal(size=value.shape) / 3 for name, value in state.items()})
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(1.0), backend=backend)


def torch_gradients(torch: Any, weights: dict[str, np.ndarray], causal: bool, padding: int | None) -> dict[str, Any]:
    w = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}

    def linear(name: str, x: Any) -> Any:
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    tokens = torch.tensor(X)
    x = w["0.weight"][tokens]
    q, k, v = (
        linear(f"1.{name}", x).reshape(len(X), LENGTH, HEADS, -1).transpose(1, 2) for name in ("query", "key", "value")
    )
    scores = q @ k.transpose(2, 3) / math.sqrt(FEATURES // HEADS)
    seen = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril() if causal else torch.ones(1, 1, dtype=torch.bool)
    if padding is not None:
        seen = seen & (tokens != padding)[:, None, None, :]
    p = torch.softmax(scores.masked_fill(~seen, -math.inf), -1)
    y = linear("1.output", (p @ v).transpose(1, 2).reshape(len(X), LENGTH, FEATURES))
    torch.nn.functional.cross_entropy(linear("2", y).reshape(-1, TOKENS), torch.tensor(Y).reshape(-1)).backward()
    return {name: value.grad.numpy() for name, value in w.items()}


@pytest.mark.torch
@pytest.mark.parametrize("padding", [None, 0])
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_are_those_of_torch(causal: bool, padding: int | None) -> None:
    """A step of plain gradient descent with the rate 1 subtracts the gradient."""
    torch = pytest.importorskip("torch")
    run = trainer(causal, padding)
    before = {name: value.copy() for name, value in run.model.state_dict().items()}
    if padding is not None:
        X[:, 0] = 1  # PyTorch's softmax over no token is NaN
    run.fit(X, Y, epochs=1, batch_size=len(X), verbose=False)
    expected = torch_gradients(torch, before, causal, padding)
    for name, value in run.model.state_dict().items():
        if (name, padding) != ("0.weight", 0):  # PyTorch's table as it stands here trains its padding, too
            np.testing.assert_allclose(before[name] - value, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(("padding", "name"), [(None, "attention"), (0, "masked_attention")])
def test_a_compiled_plan_runs_one_operation_each_way(padding: int | None, name: str) -> None:
    plan = Loop(trainer(True, padding), gs.Dataset(X, Y), None, 4).plan
    assert isinstance(plan, PooledPlan)
    names = [node.operation.name for node in plan.graph.nodes]
    assert names.count(name) == names.count("attention_backward") == 1
    assert not LISTED.intersection(names)


def test_what_else_reads_the_values_between_keeps_the_list() -> None:
    """Dropout of the attention's weights, and the tangents of second derivatives."""
    run = trainer(True, None)
    tangents = gradient(run.model, run.loss, LENGTH, train=True).graph
    hessian_products(tangents)
    for graph in training(trainer(True, None, dropout=0.1).spec, LENGTH).graph, tangents:
        assert LISTED - {"masked_softmax"} <= {node.operation.name for node in graph.nodes}
        assert with_attention(graph, 2).nodes == graph.nodes


def test_the_memory_that_is_stated_is_that_of_the_plan() -> None:
    run, data = trainer(True, 0), gs.Dataset(X, Y)
    stated = Demand.of(run.spec, run.backend, data, None, 1).bytes(4)["activations"]
    assert stated == Loop(run, data, None, 4).plan.bytes
