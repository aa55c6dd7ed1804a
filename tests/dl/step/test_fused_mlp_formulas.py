"""Activations that are formulas in a fused MLP, against PyTorch, and what they share with other networks."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.step.dense_layout import BLOCK
from gearshift.dl.step.dense_plan import DensePlan
from gearshift.dl.training.loop import Loop
from gearshift.kernels.dense.parts import LayerPlaces

xp = gs.xp
FORMULA, SLOPE = (LayerPlaces._fields.index(name) for name in ("formula", "slope"))
RANDOM = np.random.default_rng(0)
ROWS, FEATURES = BLOCK + 41, 7
X, Y = RANDOM.normal(size=(ROWS, FEATURES)), RANDOM.normal(size=(ROWS, 3))


@gs.activation
def bent(x: Any, *, width: float = 1.0, tilt: float = 0.5) -> Any:
    return tilt * x + xp.sqrt(x * x + width) - width


@gs.activation
def waved(x: Any) -> Any:
    return xp.where(xp.abs(x) < 1.0, xp.sin(2.0 * x), xp.sign(x) * xp.log1p(xp.abs(x)))


class Cubed(gs.Layer, named=False):
    """A formula without parameters, as a layer."""

    def forward(self, x: Any) -> Any:
        return xp.clip(x**3, -1.0, 2.0)


def torch_waved(torch: Any, x: Any) -> Any:
    return torch.where(x.abs() < 1, torch.sin(2 * x), torch.sign(x) * torch.log1p(x.abs()))


FORMULAS: dict[str, tuple[Callable[[], gs.Layer], Callable[[Any, Any], Any]]] = {
    "SiLU": (gs.SiLU, lambda torch, x: torch.nn.functional.silu(x)),
    "LeakyReLU": (lambda: gs.LeakyReLU(0.2), lambda torch, x: torch.nn.functional.leaky_relu(x, 0.2)),
    "ELU": (lambda: gs.ELU(0.7), lambda torch, x: torch.nn.functional.elu(x, 0.7)),
    "Hardtanh": (lambda: gs.Hardtanh(-0.4, 0.6), lambda torch, x: torch.nn.functional.hardtanh(x, -0.4, 0.6)),
    "bent": (lambda: bent(width=0.3), lambda torch, x: 0.5 * x + torch.sqrt(x * x + 0.3) - 0.3),
    "waved": (waved, torch_waved),
    "Cubed": (Cubed, lambda torch, x: torch.clamp(x**3, -1, 2)),
}
"""Layers, and the same in PyTorch."""


def trainer(layers: list[gs.Layer], backend: str = "numba", dtype: str = "float64", **more: Any) -> gs.Trainer:
    model = gs.Sequential(*deepcopy(layers), dtype=dtype)
    return gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=0.05), backend=backend, seed=3, **more)


def plan_of(run: gs.Trainer, batch: int) -> DensePlan:
    plan = Loop(run, gs.Dataset(X, Y), None, batch).plan
    assert isinstance(plan, DensePlan)
    return plan


@pytest.mark.torch
@pytest.mark.parametrize("names", [*((name, name) for name in FORMULAS), ("SiLU", "bent"), ("waved", "LeakyReLU")])
def test_it_trains_as_pytorch_does(names: tuple[str, str]) -> None:
    """Three steps in float64, each of all rows, which are several blocks; the last layer has an activation, too."""
    torch: Any = pytest.importorskip("torch")
    (one, torch_one), (two, torch_two) = (FORMULAS[name] for name in names)
    run = trainer([gs.Linear(FEATURES, 20), one(), gs.Linear(20, 3, bias=False), two()])
    assert "one compiled loop" in run.explain()
    run.model.ensure_initialized(3)
    weights = {name: torch.tensor(value, requires_grad=True) for name, value in run.model.state_dict().items()}
    losses = []
    for _ in range(3):
        h = torch_one(torch, torch.tensor(X) @ weights["0.weight"] + weights["0.bias"])
        loss = torch.nn.functional.mse_loss(torch_two(torch, h @ weights["2.weight"]), torch.tensor(Y))
        losses.append(loss.item())
        loss.backward()
        with torch.no_grad():
            for weight in weights.values():
                assert weight.grad is not None
                weight -= 0.05 * weight.grad
                weight.grad = None
    plan_of(run, ROWS)
    run.fit(X, Y, epochs=3, batch_size=ROWS, verbose=False)
    np.testing.assert_allclose(run.history["loss"], losses, rtol=1e-11)
    for name, value in run.model.state_dict().items():
        np.testing.assert_allclose(value, weights[name].detach().numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_evaluation_computes_no_slope(dtype: str) -> None:
    layers = [gs.Linear(FEATURES, 33), bent(), gs.Dropout(0.5), gs.Linear(33, 3), gs.SiLU()]
    run, data = trainer(layers, dtype=dtype), gs.Dataset(X, Y)
    run.model.ensure_initialized(3)
    w = {name: value.astype(np.float64) for name, value in run.model.state_dict().items()}
    h = X @ w["0.weight"] + w["0.bias"]
    z = (0.5 * h + np.sqrt(h * h + 1) - 1) @ w["3.weight"] + w["3.bias"]
    evaluator = run.evaluator(data, 50)
    assert isinstance(evaluator.plan, DensePlan)
    assert all(places[SLOPE] < 0 for places in evaluator.plan._layers)
    bound = 1e-12 if dtype == "float64" else 1e-6
    assert evaluator()["loss"] == pytest.approx(np.mean((z / (1 + np.exp(-z)) - Y) ** 2), rel=bound)


def test_another_formula_does_not_compile_the_loop_again() -> None:
    found = [
        plan_of(trainer([gs.Linear(FEATURES, 8), layer, gs.Linear(8, 3)]), 20)
        for layer in (gs.ReLU(), gs.SiLU(), waved(), bent(), bent(tilt=0.1))
    ]
    assert len({plan._steps for plan in found}) == 1
    assert len({plan._layers[0][FORMULA] for plan in found}) == len(found)


def test_a_new_formula_of_a_name_is_the_one_that_runs() -> None:
    outputs = []
    for factor in (2.0, 3.0):

        class Scaled(gs.Layer, named=False):
            def forward(self, x: Any, factor: float = factor) -> Any:
                return factor * x

        run = trainer([gs.Linear(FEATURES, 3, bias=False), Scaled()])
        w = run.model.ensure_initialized(3).state_dict()["0.weight"].copy()
        plan_of(run, ROWS)
        run.fit(X, Y, epochs=1, batch_size=ROWS, verbose=False)
        outputs.append(run.history["loss"][0])
        assert outputs[-1] == pytest.approx(np.mean((factor * X @ w - Y) ** 2), rel=1e-12)


def test_the_kernels_that_run_are_shown() -> None:
    layers = [gs.Linear(FEATURES, 8), gs.SiLU(), gs.Linear(8, 8), gs.SiLU(), gs.Linear(8, 3), waved()]
    said = trainer(layers).explain(kernels=True)
    for name in ("SiLU_kernel_with_slope", "waved_kernel_with_slope", "MSELoss_kernel"):
        assert said.count(f"def {name}(start, stop, ") == 1
    assert "backward" not in said
    several = trainer(layers).explain(kernels=True, accumulate=2)
    assert "def SiLU_backward_kernel(start, stop, " in several and "with_slope" not in several
