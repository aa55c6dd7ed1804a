"""Every kind of layer, loss and penalty in bfloat16 and float16 beside float32, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from half_precision import CODES, KINDS, LABELS, OFF, PRECISIONS, RANDOM, X, fit, trainer

import gearshift as gs
from gearshift.dl.graph.graph import Graph
from gearshift.kernels.operation import Cuda, Operation


@pytest.mark.parametrize("name", KINDS)
def test_losses_are_near_those_of_float32(name: str) -> None:
    for seed in range(3):
        wide = fit(trainer(name, "float32", seed), name)
        assert wide[-1] < 0.97 * wide[0]
        for precision in PRECISIONS:
            short = fit(trainer(name, precision, seed), name)
            assert np.any(short != wide) and np.max(np.abs(short - wide) / wide) < OFF[precision], (seed, precision)


def test_numbers_of_tokens_are_not_rounded() -> None:
    model = gs.Sequential(gs.Embedding(301, 4), gs.Linear(4, 301))
    for precision in PRECISIONS:
        run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend="numpy", precision=precision)
        outputs = run.predict_proba(np.array([[256, 257, 299, 300]]))[0]
        assert len(np.unique(outputs, axis=0)) == 4


CHANGES: dict[str, dict[str, Any]] = {
    "clip by value": {"clip_value": 1e-3},
    "clip by value, then by norm": {"clip_value": 1e-3, "clip_norm": 1e-2},
    "L1": {"regularizer": gs.L1(2e-2)},
    "soft threshold": {"regularizer": gs.SoftThreshold(0.02)},
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("change", CHANGES)
def test_penalties_and_clipping_do_what_they_do_in_float32(change: str, precision: str) -> None:
    name, given = "batch normalisation", {**CHANGES[change], "optimizer": gs.SGD(lr=0.5)}
    wide = trainer(name, "float32", **given)
    want, plain = fit(wide, name), fit(trainer(name, "float32", optimizer=gs.SGD(lr=0.5)), name)
    run = trainer(name, precision, **given)
    found = fit(run, name)
    assert np.max(np.abs(found - want) / want) < 3 * OFF[precision] < np.max(np.abs(plain - want) / want)
    arena = run.state.arena
    assert arena.copy is not None
    assert np.array_equal(arena.copy[: arena.size], arena.trained.astype(precision))
    if change == "soft threshold":
        shares = [
            np.mean(np.concatenate([w.ravel() for key, w in r.model.state_dict().items() if "weight" in key]) == 0)
            for r in (run, wide)
        ]
        assert shares[1] > 0.1 and abs(shares[0] - shares[1]) < 0.03


@pytest.mark.parametrize("change", [{}, *({"clip_value": 1.0} | more for more in ({}, {"clip_norm": 1.0}))])
def test_gradients_that_overflow_are_skipped_even_if_clipped(change: dict[str, Any]) -> None:
    x, y = X[:32], CODES[:32] + 3000  # gradients of some 100 times 65,536
    for regularizer in gs.L1(1e-3), gs.SoftThreshold(1e-2), None:
        model = gs.Sequential(gs.Linear(8, 8))
        given: dict[str, Any] = {"backend": "numpy", "precision": "float16", "regularizer": regularizer, **change}
        run = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=1e-3), **given)
        before = run.model.state_dict()["0.weight"].copy()
        run.fit(x, y, epochs=1, batch_size=32, verbose=False)
        assert np.array_equal(run.model.state_dict()["0.weight"], before)
        run.fit(x, y, epochs=20, batch_size=32, verbose=False)
        after = run.model.state_dict()["0.weight"]
        assert np.isfinite(after).all() and np.any(after != before)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_batch_taken_in_parts_has_the_gradient_of_the_whole(precision: str) -> None:
    for name in "sparse and contractive code", "transformer":
        if name == "transformer":  # each part has a mask of dropout and means of its own
            model = gs.Sequential(gs.Embedding(6, 8, 5), gs.TransformerBlock(8, 2, 12), gs.Linear(8, 6))
        else:
            model = gs.Sequential(gs.Contractive(8, 12, weight=1e-2), gs.Linear(12, 8))
        found = []
        for parts in (1, 2):
            run = gs.Trainer(model, KINDS[name][1](), gs.SGD(lr=0.3), backend="numpy", precision=precision)
            run.model.init(3)
            found.append(fit(run, name, 3, accumulate=parts))
        assert np.max(np.abs(found[0] - found[1]) / found[0]) < OFF[precision]


def weighted(sizes: Any) -> gs.Dataset:
    return gs.Dataset(X, LABELS, weight=sizes)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_have_weights(precision: str) -> None:
    data = weighted(RANDOM.uniform(0.1, 3, len(X)).astype(np.float32))
    wide, short = (trainer("batch normalisation", p) for p in ("float32", precision))
    for run in (wide, short):
        run.fit(data, epochs=4, batch_size=32, verbose=False)
    losses = [np.array([record["loss"] for record in run.history.records]) for run in (wide, short)]
    assert np.max(np.abs(losses[0] - losses[1]) / losses[0]) < OFF[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_asks_the_host_at_each_step_is_refused(precision: str) -> None:
    for optimizer in gs.Newton(), gs.RandomPerturbation():
        run = trainer("two inputs", precision, optimizer=optimizer)
        with pytest.raises(gs.ConfigurationError, match=rf"precision is '{precision}', but {type(optimizer).__name__}"):
            fit(run, "two inputs")


def test_an_operation_without_such_a_form_is_refused_with_its_layer() -> None:
    """A layer of one's own whose kernel knows one type; one in array code alone computes in float32."""
    for cuda, refused in (Cuda("activation.cu", "activation", lambda *_: None), True), (None, False):  # pyright: ignore
        operation = Operation("own", lambda xp, x, y: None, cuda=cuda)
        graph = Graph("float32", precision="bfloat16")
        x, y = graph.batch((3,)), graph.batch((3,))
        if refused:
            with pytest.raises(gs.ConfigurationError, match="layer 0: own does not support precision 'bfloat16'; use"):
                graph.apply(operation, (x,), (y,))
        else:
            graph.apply(operation, (x,), (y,))
