"""Every kind of layer, loss and penalty in bfloat16 and float16 beside float32, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import unavailable
from fake_cupy import CudaOnCpu, stand_ins

import gearshift as gs
from gearshift.dl.graph.graph import Graph
from gearshift.kernels.operation import Cuda, Operation

PRECISIONS = ("bfloat16", "float16")
OFF = {"bfloat16": 0.03, "float16": 0.02}
"""How far, of float32's, the loss of any epoch may be."""
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((200, 8)).astype(np.float32)
LABELS = (X[:, :3] + X[:, 3:6] ** 2).argmax(axis=1)
CODES = (1 / (1 + np.exp(-X[:, :4] @ RANDOM.standard_normal((4, 8))))).astype(np.float32)
TOKENS = np.cumsum(RANDOM.integers(0, 2, (80, 5)), axis=1)
NEXT = np.roll(TOKENS, -1, axis=1)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with stand_ins(CudaOnCpu):
        yield


Kind = tuple[Callable[[], gs.Layer], Callable[[], gs.Loss], Any, Any]


def heads() -> gs.Loss:
    return gs.JointLoss(kind=gs.Head(gs.CrossEntropyLoss(), 3), size=gs.Head(gs.MSELoss(), 8, weight=0.5))


def branches() -> gs.Layer:
    """Two inputs, of which one is standardised: it reads data as they are."""
    a, b = gs.Input(2), gs.Input(6)
    h = gs.Concatenate()(gs.Tanh()(gs.Linear(2, 5)(gs.Standardize(2)(a))), gs.Linear(6, 4)(b))
    return gs.Model((a, b), gs.Linear(9, 3)(gs.ReLU()(h)))


def variational() -> gs.Layer:
    return gs.Sequential(
        gs.MaskingNoise(0.1), gs.Linear(8, 12), gs.Tanh(), gs.Variational(12, 3, 0.02), gs.Linear(3, 8)
    )


KINDS: dict[str, Kind] = {
    "batch normalisation": (
        lambda: gs.Sequential(
            gs.Linear(8, 24), gs.BatchNorm1d(24), gs.ReLU(), gs.Linear(24, 12), gs.BatchNorm1d(12), gs.Linear(12, 3)
        ),
        gs.CrossEntropyLoss, X, LABELS,
    ),
    "sparse and contractive code": (
        lambda: gs.Sequential(
            gs.Contractive(8, 12, weight=1e-2), gs.KLSparsity(1e-2, 0.2), gs.L1Activity(1e-3), gs.Linear(12, 8)
        ),
        gs.BCEWithLogitsLoss, CODES, CODES,
    ),
    "transformer": (
        lambda: gs.Sequential(
            gs.Embedding(6, 8, 5), gs.TransformerBlock(8, 2, 12, dropout=0.1), gs.LayerNorm(8), gs.Linear(8, 6)
        ),
        gs.CrossEntropyLoss, TOKENS, NEXT,
    ),
    "variational": (variational, gs.MSELoss, CODES, CODES),
    "maxout, noise, two heads": (
        lambda: gs.Sequential(gs.GaussianNoise(0.1), gs.Linear(8, 24), gs.Maxout(2), gs.Linear(12, 11)),
        heads, X, (LABELS, CODES),
    ),
    "two inputs": (branches, gs.MulticlassHingeLoss, X, LABELS),
}  # fmt: skip


def trainer(name: str, precision: str, seed: int = 0, backend: str = "numpy", **given: Any) -> gs.Trainer:
    model, loss, _, _ = KINDS[name]
    optimizer = given.pop("optimizer", None) or gs.Adam(lr=0.01)
    return gs.Trainer(model(), loss(), optimizer, seed=seed, backend=backend, precision=precision, **given)


def fit(run: gs.Trainer, name: str, epochs: int = 4, rows: int | None = None, **given: Any) -> np.ndarray:
    _, _, x, y = KINDS[name]
    if rows is not None:
        x, y = x[:rows], tuple(part[:rows] for part in y) if isinstance(y, tuple) else y[:rows]
    history = run.fit((x, y), validation=(x, y), epochs=epochs, batch_size=32, verbose=False, **given)
    return np.array([record[key] for record in history.records for key in ("loss", "validation_loss")])


@pytest.mark.parametrize("name", KINDS)
def test_losses_are_near_those_of_float32(name: str) -> None:
    for seed in range(3):
        wide = fit(trainer(name, "float32", seed), name)
        assert wide[-1] < 0.97 * wide[0]
        for precision in PRECISIONS:
            short = fit(trainer(name, precision, seed), name)
            assert np.any(short != wide) and np.max(np.abs(short - wide) / wide) < OFF[precision], (seed, precision)


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
@pytest.mark.parametrize(("name", "precision"), list(zip(KINDS, cycle(PRECISIONS), strict=False)))
def test_the_kernels_learn_as_numpys_definition_and_parameters_stay_float32(name: str, precision: str) -> None:
    run = trainer(name, precision, backend=CudaOnCpu.name)
    mine, defined = fit(run, name, 2, rows=64), fit(trainer(name, precision), name, 2, rows=64)
    assert np.max(np.abs(mine - defined) / defined) < OFF[precision]
    assert run.backend.device.graphs > 0  # pyright: ignore[reportAttributeAccessIssue]
    arrays = run.state.shared
    assert all(arrays[key].dtype == np.float32 for key in ("p", "g", *run.state.slots))


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
