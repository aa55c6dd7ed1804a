"""The same training on every backend: the loss curves, single steps and checkpoints agree.

With GEARSHIFT_CUDA_STAND_IN=1, the GPU's backend runs on the stand-in for CUDA (tests/cuda).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from built_in import built_in

import gearshift as gs

ROWS, BATCH, EPOCHS = 26, 8, 25  # three batches of 8 and one of 2: 100 steps
TOLERANCE = 1e-9  # relative; 1e-5 is promised, but float64 leaves nothing of it: only the order of sums may differ
BACKENDS = ["numpy", "numba", pytest.param("cupy", marks=pytest.mark.gpu)]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of each backend that runs here."""
    return runs(request.param)


def runs(name: str) -> str:
    status = gs.backends.available()[name]
    if not status.runs:
        pytest.skip(f"backend {name} does not run here: {status.reason}")
    return name


CASES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "SGD": (lambda: gs.SGD(lr=0.1), {}),
    "SGD with momentum, decay and warm-up": (
        lambda: gs.SGD(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
        {"schedule": gs.CosineDecay(100, final=0.1, warmup=10)},
    ),
    "Momentum": (lambda: gs.Momentum(lr=0.02, momentum=gs.Ramp(0.5, 0.9, 50), weight_decay=0.01), {}),
    "Nesterov": (lambda: gs.Nesterov(lr=0.02, weight_decay=0.01), {}),
    "Adagrad": (lambda: gs.Adagrad(lr=0.02, weight_decay=0.01), {}),
    "Adadelta": (lambda: gs.Adadelta(weight_decay=0.01), {}),
    "RMSprop, centred": (lambda: gs.RMSprop(lr=3e-3, momentum=0.5, centered=True, weight_decay=0.01), {}),
    "RMSprop": (lambda: gs.RMSprop(lr=3e-3), {}),
    "Adam": (lambda: gs.Adam(lr=0.01, weight_decay=0.01), {}),
    "SGD with L1": (lambda: gs.SGD(lr=0.05, momentum=0.5), {"regularizer": gs.L1(0.01)}),
    "Adam, soft-thresholded": (lambda: gs.Adam(lr=0.01), {"regularizer": gs.SoftThreshold(0.05)}),
    "Adam, averaged": (lambda: gs.Adam(lr=0.01), {"ema": 0.95}),
    "AdamW, clipped": (lambda: gs.AdamW(lr=0.01, weight_decay=0.1), {"clip_norm": 0.5}),
}
_TRIED = {type(make()) for make, _ in CASES.values()}
CASES |= {  # every other optimizer of the library that takes steps on batches, with its defaults
    name: (kind, {})
    for name, kind in built_in(gs.Optimizer.registered).items()
    if not (kind.on_host or kind.full_batch or kind in _TRIED)
}


def data(regression: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (ROWS, 6)).astype(np.uint8)
    return x, (random.standard_normal((ROWS, 3)) if regression else random.integers(0, 3, ROWS))


def trainer(case: str, backend: str, dtype: str = "float64", regression: bool = False) -> gs.Trainer:
    """A net with every kind of layer, on bytes that it standardises."""
    optimizer, given = CASES[case]
    model = gs.Sequential(
        gs.Standardize(6),
        gs.Linear(6, 10, init="he"),
        gs.ReLU(),
        gs.Dropout(0.2),
        gs.Linear(10, 7),
        gs.Tanh(),
        gs.Linear(7, 5, bias=False),
        gs.Sigmoid(),
        gs.Linear(5, 3),
        dtype=dtype,
    )
    statistics = model[0]
    assert isinstance(statistics, gs.Standardize)
    statistics.fit(data()[0].mean(axis=0), data()[0].std(axis=0))
    loss = gs.MSELoss() if regression else gs.CrossEntropyLoss()
    return gs.Trainer(model, loss, optimizer(), backend=backend, seed=3, **given)


def fit(run: gs.Trainer, epochs: int, regression: bool = False) -> list[float]:
    records = run.fit(*data(regression), epochs=epochs, batch_size=BATCH, verbose=False).records
    return [record["loss"] for record in records]


def worst_weight(a: gs.Trainer, b: gs.Trainer) -> float:
    """The greatest difference of two models' weights, relative to the largest weight of each tensor."""
    others = b.model.state_dict()
    return max(
        float(np.max(np.abs(value - others[key])) / np.max(np.abs(value)))
        for key, value in a.model.state_dict().items()
    )


@pytest.mark.parametrize(
    "regression",
    [pytest.param(False, id="cross-entropy"), pytest.param(True, marks=pytest.mark.long, id="squared error")],
)
@pytest.mark.parametrize("case", CASES)
def test_loss_curves_over_100_steps(case: str, regression: bool, backend: str) -> None:
    reference, run = (trainer(case, name, regression=regression) for name in ("numpy", backend))
    wanted, curve = fit(reference, EPOCHS, regression), fit(run, EPOCHS, regression)
    assert run.step == 100
    assert run.backend.name == backend
    assert wanted[-1] < wanted[0]
    assert max(abs(a - b) / abs(b) for a, b in zip(curve, wanted, strict=True)) <= TOLERANCE
    assert worst_weight(reference, run) <= TOLERANCE
    mine, theirs = (r.evaluate(*data(regression)) for r in (run, reference))
    assert mine == pytest.approx(theirs, rel=TOLERANCE)


@pytest.mark.parametrize("case", CASES)
def test_one_float32_step_from_one_state(case: str, backend: str, tmp_path: Path) -> None:
    """From a checkpoint with moments in it, so that no step divides by a gradient's own size."""
    start = trainer(case, "numpy", "float32")
    fit(start, 5)
    start.save(tmp_path / "start.safetensors")
    ends = []
    for name in ("numpy", backend):
        run = trainer(case, name, "float32")
        run.load(tmp_path / "start.safetensors")
        x, y = data()
        run.fit(x, y, epochs=1, batch_size=ROWS, verbose=False)
        assert run.step == start.step + 1
        ends.append(run)
    assert worst_weight(*ends) <= 1e-6


def sequences(backend: str, dtype: str = "float64") -> gs.Trainer:
    """A transformer with dropout, on tokens."""
    model = gs.Sequential(
        gs.Embedding(7, 8, length=5),
        gs.TransformerBlock(8, 2, hidden=12, dropout=0.1),
        gs.LayerNorm(8),
        gs.Linear(8, 7),
        dtype=dtype,
    )
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.AdamW(lr=0.01), backend=backend, seed=3, clip_norm=1.0)


def without_key_biases(*models: gs.Layer) -> None:
    """A bias of the keys changes nothing, so its gradient is rounding, which Adam makes steps of."""
    for model in models:
        state = model.state_dict()
        model.load_state_dict({k: v if not k.endswith("key.bias") else v * 0 + 1 for k, v in state.items()})


def fit_sequences(run: gs.Trainer, epochs: int) -> list[float]:
    x, y = np.random.default_rng(0).integers(0, 7, (2, ROWS, 5))
    records = run.fit(x, y, validation=(x, y), epochs=epochs, batch_size=BATCH, verbose=False).records
    return [record[name] for record in records for name in ("loss", "validation_loss", "accuracy")]


def pooled(backend: str) -> gs.Trainer:
    """Sequences of several lengths, each of one class."""
    halves = [gs.Input(5), gs.Input(5)]
    first, second = (
        pooling()(
            gs.TransformerBlock(8, 2, hidden=6, causal=False, dropout=0.1)(gs.Embedding(7, 8, 5, padding=6)(half))
        )
        for pooling, half in zip((gs.MeanPooling, gs.MaxPooling), halves, strict=True)
    )
    unmasked = gs.MeanPooling()(gs.Embedding(7, 8)(halves[0]))
    model = gs.Model(halves, gs.Linear(24, 3)(gs.Concatenate()(gs.Concatenate()(first, second), unmasked)), "float64")
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(lr=0.1), backend=backend, seed=3)


def test_loss_curves_of_sequences_with_padding(backend: str) -> None:
    x = np.random.default_rng(0).integers(0, 7, (ROWS, 10))
    ends = [(run, fit_rows(run, x, data()[1])) for run in (pooled("numpy"), pooled(backend))]
    (reference, wanted), (run, curve) = ends
    assert run.step == 16 and wanted[-1] < wanted[0]
    assert curve == pytest.approx(wanted, rel=TOLERANCE)
    without_key_biases(reference.model, run.model)
    assert worst_weight(reference, run) <= TOLERANCE
    assert run.evaluate(x, data()[1]) == pytest.approx(reference.evaluate(x, data()[1]), rel=TOLERANCE)


def fit_rows(run: gs.Trainer, x: np.ndarray, y: np.ndarray) -> list[float]:
    return [r["loss"] for r in run.fit(x, y, epochs=4, batch_size=BATCH, verbose=False).records]


AUTOENCODERS: dict[str, dict[str, Any]] = {
    "undercomplete": {"activation": "gelu"},
    "sparse": {"penalty": "l1"},
    "sparse, by rate": {"kind": "sparse", "penalty": "kl", "rate": 0.2},
    "denoising": {"noise": "gaussian", "amount": 0.3},
    "denoising, masked": {"kind": "denoising", "noise": "masking", "amount": 0.3},
    "contractive": {"activation": "tanh"},
    "stacked": {"dropout": 0.1},
    "variational": {"activation": "softplus"},
}


@pytest.mark.parametrize("case", AUTOENCODERS)
def test_autoencoders(case: str, backend: str) -> None:
    ends, x = [], data()[0] / 255.0
    for name in ("numpy", backend):
        model = gs.autoencoder(6, 3, [8], **{"kind": case, "dtype": "float64", **AUTOENCODERS[case]})
        run = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=0.1, momentum=0.5), backend=name, seed=3)
        ends.append((run, fit_rows(run, x, x)))
    (reference, wanted), (run, curve) = ends
    assert run.step == 16 and wanted[-1] < wanted[0]
    assert curve == pytest.approx(wanted, rel=TOLERANCE)
    assert worst_weight(reference, run) <= TOLERANCE


def test_loss_curves_of_sequences(backend: str) -> None:
    reference, run = sequences("numpy"), sequences(backend)
    wanted, curve = fit_sequences(reference, 10), fit_sequences(run, 10)
    assert run.step == 40 and wanted[-3] < wanted[0]
    assert curve == pytest.approx(wanted, rel=TOLERANCE)
    without_key_biases(reference.model, run.model)
    assert worst_weight(reference, run) <= TOLERANCE


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (lambda: gs.Adam(lr=0.01), {}),
        (lambda: gs.Nesterov(lr=0.01), {"accumulate": 3}),
        (lambda: gs.NewtonCG(damping=0.1), {"batch_size": ROWS}),
        (lambda: gs.RandomPerturbation(lr=0.1), {"order": "replacement"}),
    ],
    ids=["Adam", "in parts", "Newton-CG", "trial and error"],
)
def test_two_heads_with_weights_after_maxout_and_batch_normalisation(
    make: Callable[[], gs.Optimizer], given: dict[str, Any], backend: str
) -> None:
    ends = []
    x, labels = data()
    for name in ("numpy", backend):
        rows = gs.Input(6)
        h = gs.Maxout(2)(
            gs.BatchNorm1d(10)(
                gs.Linear(6, 10, bias=False)(gs.Standardize(6).fit(np.full(6, 0.5), np.full(6, 0.3))(rows))
            )
        )
        model = gs.Model(rows, [gs.Linear(5, 3)(h), gs.Linear(5, 2)(gs.Tanh()(h))], "float64")
        loss = gs.JointLoss(kind=gs.Head(gs.CrossEntropyLoss(), 3), place=gs.Head(gs.MSELoss(), 2, weight=0.5))
        run = gs.Trainer(model, loss, make(), backend=name, seed=3)
        targets = gs.Dataset(x / 255.0, (labels, data(regression=True)[1][:, :2]), np.arange(1.0, ROWS + 1))
        fitted = run.fit(targets, epochs=6, **{"batch_size": BATCH, **given}, verbose=False)
        ends.append((run, fitted["loss"]))
    (reference, wanted), (run, losses) = ends
    assert losses == pytest.approx(wanted, rel=TOLERANCE)
    assert worst_weight(reference, run) <= TOLERANCE


def test_a_backend_repeats_its_own_bits_on_sequences(backend: str) -> None:
    a, b = (sequences(backend, "float32") for _ in range(2))
    assert fit_sequences(a, 3) == fit_sequences(b, 3)
    assert worst_weight(a, b) == 0


@pytest.mark.parametrize("first", BACKENDS)
def test_a_checkpoint_of_one_backend_trains_on_on_another(first: str, backend: str, tmp_path: Path) -> None:
    whole, begun, resumed = (trainer("Adam", name) for name in ("numpy", runs(first), backend))
    wanted = fit(whole, 10)
    fit(begun, 4)
    begun.save(tmp_path / "run.safetensors")
    resumed.load(tmp_path / "run.safetensors")
    assert (resumed.epoch, resumed.step) == (4, 16)
    assert worst_weight(begun, resumed) == 0
    assert fit(resumed, 6) == pytest.approx(wanted, rel=TOLERANCE)
    assert worst_weight(whole, resumed) <= TOLERANCE


def test_a_backend_repeats_its_own_bits(backend: str) -> None:
    a, b = (trainer("AdamW, clipped", backend, "float32") for _ in range(2))
    assert fit(a, 5) == fit(b, 5)
    assert worst_weight(a, b) == 0


def test_predictions_agree(backend: str) -> None:
    reference, run = (trainer("Adam", name) for name in ("numpy", backend))
    x, _ = data()
    assert np.max(np.abs(run.predict_proba(x) - reference.predict_proba(x))) <= 1e-14
    assert np.array_equal(run.predict(x), reference.predict(x))
