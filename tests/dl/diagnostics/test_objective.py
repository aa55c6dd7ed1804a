"""The loss as a function of the weights: the same at each call, whatever the first layer does with the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.diagnostics.objective import Objective
from gearshift.dl.step.plan import share_memory
from gearshift.dl.step.program import evaluation, gradient, prediction
from gearshift.dl.step.spec import StepSpec

BACKENDS = ["numpy", "numba"]
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 6)) * 5 + 3
LABELS = RANDOM.integers(0, 3, len(X))
MEAN, DEVIATION = X.mean(axis=0), X.std(axis=0)

FIRST: dict[str, Any] = {
    "Standardize": lambda: gs.Standardize(6).fit(MEAN, DEVIATION),
    "ReLU": gs.ReLU,
    "Tanh": gs.Tanh,
    "Sigmoid": gs.Sigmoid,
    "GELU": gs.GELU,
    "Softplus": gs.Softplus,
    "Dropout": lambda: gs.Dropout(0.3),
    "GaussianNoise": lambda: gs.GaussianNoise(0.5),
    "MaskingNoise": lambda: gs.MaskingNoise(0.3),
    "BatchNorm1d": lambda: gs.BatchNorm1d(6),
    "LayerNorm": lambda: gs.LayerNorm(6),
    "Residual": lambda: gs.Residual(gs.Linear(6, 6)),
    "L1Activity": lambda: gs.L1Activity(0.1),
}


def net(*first: gs.Layer) -> gs.Sequential:
    return gs.Sequential(*first, gs.Linear(6, 8), gs.Tanh(), gs.Linear(8, 3), dtype="float64").init(0)


def pair() -> tuple[gs.Sequential, gs.Sequential]:
    """One function of the weights: with a layer that standardises, and without, for rows that are standardised."""
    inner, outer = net(), net(FIRST["Standardize"]())
    moved = {f"{int(name[0]) + 1}{name[1:]}": value for name, value in inner.state_dict().items()}
    outer.load_state_dict({**outer.state_dict(), **moved})
    return outer, inner


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", FIRST)
def test_the_same_weights_have_the_same_loss_and_gradient_at_every_call(name: str, backend: str) -> None:
    model, loss = net(FIRST[name]()), gs.CrossEntropyLoss()
    want, gradients = gs.value_and_grad(model, loss, X, LABELS, backend=backend)
    objective = Objective(model, loss, X, LABELS, backend=backend)
    for _ in range(3):
        assert objective.value() == objective.evaluate() == want
        found = objective.arena.pack(objective.arena.gradients)
        assert all(np.array_equal(found[key], gradients[key]) for key in gradients)
    hessian = gs.Hessian(model, loss, X, LABELS, backend=backend)
    v = np.random.default_rng(1).standard_normal(hessian.size)
    product = hessian @ v
    hessian.refresh()
    assert np.array_equal(hessian @ v, product)
    assert gs.check_gradients(model, loss, X, LABELS, most=5, backend=backend).ok


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_layer_that_standardises_is_the_standardised_rows(backend: str) -> None:
    loss, standard = gs.CrossEntropyLoss(), (X - MEAN) / DEVIATION
    (outer, inner), near = pair(), {"rtol": 0, "atol": 1e-12}
    one, other = (gs.Hessian(m, loss, x, LABELS, backend=backend) for m, x in ((outer, X), (inner, standard)))
    for _ in range(2):
        assert np.allclose(one.refresh(), other.refresh(), **near)
        assert np.allclose(one.gradient(), other.gradient(), **near)
        assert np.allclose(one.dense(), other.dense(), **near)
    ends = [gs.spectrum(m, loss, x, LABELS, backend=backend) for m, x in ((outer, X), (inner, standard))]
    assert np.allclose([ends[0].smallest, ends[0].largest], [ends[1].smallest, ends[1].largest], **near)
    noise = [gs.gradient_noise(m, loss, x, LABELS, backend=backend) for m, x in ((outer, X), (inner, standard))]
    assert np.isclose(noise[0].variance, noise[1].variance, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_watchers_record_the_gradient_and_the_curvature_behind_a_standardising_layer(backend: str) -> None:
    records = []
    for model, x in zip(pair(), (X, (X - MEAN) / DEVIATION), strict=True):
        trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(lr=0.1), backend=backend)
        watch = [gs.GradientNorms(x, LABELS), gs.Curvature(x, LABELS)]
        records.append(trainer.fit(x, LABELS, epochs=4, batch_size=8, verbose=False, callbacks=watch))
    for key in ("loss", "gradient_norm", "descent", "curvature"):
        assert np.allclose(records[0][key], records[1][key], rtol=1e-10, atol=0)


@pytest.mark.parametrize("name", FIRST)
def test_only_memory_that_the_graph_fills_is_written_in_place(name: str) -> None:
    model, loss = net(FIRST[name]()), gs.CrossEntropyLoss()
    for program in (gradient(model, loss, 6, train=True), prediction(model, 6)):
        given = {program.x, program.target, program.weight}
        assert given.isdisjoint(share_memory(program.graph).values())


def test_a_step_that_gathers_its_rows_still_works_in_place_on_the_copy() -> None:
    program = evaluation(StepSpec(net(gs.Tanh()), gs.CrossEntropyLoss(), gs.SGD()), 6)
    assert program.x in share_memory(program.graph).values()
