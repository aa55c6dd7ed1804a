"""Looking at the optimisation: gradient checks, curvature, noise and the callbacks, against closed forms."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, DataError
from gearshift.dl.diagnostics import plots
from gearshift.dl.diagnostics.curvature import Spectrum, spectrum_of
from gearshift.dl.layers.initializers import ones

BACKENDS = ["numpy", "numba"]
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((12, 4))
LABELS = RANDOM.integers(0, 3, 12)


class Cube(gs.ArrayLayer):
    """y = s x³, with a backward pass that is right, or wrong in one of its two results."""

    def __init__(self, features: int, wrong: str = "") -> None:
        self.features, self.wrong = features, wrong
        self.s = gs.Parameter((features,), ones)

    def forward(self, xp: Any, x: Any, s: Any) -> Any:
        return s * x * x * x

    def backward(self, xp: Any, dy: Any, x: Any, y: Any, s: Any) -> tuple[Any, ...]:
        dx, ds = 3 * s * x * x * dy, xp.sum(dy * x * x * x, axis=0)
        return (2 * dx if self.wrong == "x" else dx), (ds + 0.01 if self.wrong == "s" else ds)


def net(dtype: str = "float32") -> gs.Sequential:
    return gs.Sequential(gs.Linear(4, 6), gs.Tanh(), gs.Dropout(0.3), gs.Linear(6, 3), dtype=dtype)


@pytest.mark.parametrize("backend", BACKENDS)
def test_right_gradients_pass(backend: str) -> None:
    model = net()
    check = gs.check_gradients(model, gs.CrossEntropyLoss(), X, LABELS, backend=backend)
    assert check.ok
    assert check.worst.error <= 1e-9
    assert [row.name for row in check.rows] == ["x", "0.weight", "0.bias", "3.weight", "3.bias"]
    assert "the gradients are right" in str(check)
    assert model.dtype == "float32"


def test_kinks_are_stepped_over() -> None:
    model = gs.Sequential(gs.Linear(4, 40, init="he"), gs.ReLU(), gs.Linear(40, 3))
    assert gs.check_gradients(model, gs.CrossEntropyLoss(), X, LABELS, most=40).ok


@pytest.mark.parametrize("wrong", ["", "x", "s"])
def test_a_layer_of_one_s_own_by_itself(wrong: str) -> None:
    check = gs.check_gradients(Cube(4, wrong), x=X)
    assert check.ok == (not wrong)
    if wrong:
        assert check.worst.name == wrong
        assert f"the gradient of '{wrong}' is wrong" in str(check)


def test_a_wrong_layer_is_named_within_a_model() -> None:
    model = gs.Sequential(gs.Linear(4, 3), Cube(3, "s"), gs.Linear(3, 3))
    check = gs.check_gradients(model, gs.CrossEntropyLoss(), X, LABELS)
    assert not check.ok
    assert check.worst.name == "1.s"


def test_what_is_missing_is_asked_for() -> None:
    with pytest.raises(ConfigurationError, match="x is None"):
        gs.check_gradients(net())
    with pytest.raises(ConfigurationError, match="y is None; CrossEntropyLoss needs"):
        gs.check_gradients(net(), gs.CrossEntropyLoss(), X)


def quadratic(scales: np.ndarray) -> tuple[gs.Sequential, np.ndarray, np.ndarray]:
    """A model whose mean squared error has the Hessian diag(scales), least at w = 0."""
    n = len(scales)
    x = np.diag(np.sqrt(scales * n / 2))
    return gs.Sequential(gs.Linear(n, 1, bias=False), dtype="float64").init(1), x, np.zeros(n)


@pytest.mark.parametrize("n", [20, 600])
def test_extreme_eigenvalues_of_a_quadratic(n: int) -> None:
    """Twenty weights by the dense Hessian, 600 by Lanczos's method."""
    scales = np.geomspace(0.01, 10, n)
    model, x, y = quadratic(scales)
    found = gs.spectrum(model, gs.MSELoss(), x, y, tolerance=1e-4)
    assert found.largest == pytest.approx(10, rel=1e-6)
    assert found.smallest == pytest.approx(0.01, rel=1e-2 if n == 600 else 1e-10)
    assert found.condition_number == pytest.approx(1000, rel=1e-2)
    assert found.best_rate == pytest.approx(2 / 10.01, rel=1e-3)
    assert abs(found.directions[1, np.argmax(scales)]) == pytest.approx(1, abs=1e-2)
    assert found.kind() == "not stationary"
    assert "condition number" in str(found)


def test_lanczos_agrees_with_the_dense_hessian_of_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net("float64").init(3)
    hessian = gs.Hessian(model, gs.CrossEntropyLoss(), X, LABELS, train=False)
    dense = spectrum_of(hessian)
    monkeypatch.setattr("gearshift.dl.diagnostics.curvature.DENSE", 0)
    lanczos = spectrum_of(hessian)
    assert lanczos.smallest == pytest.approx(dense.smallest, abs=1e-6)
    assert lanczos.largest == pytest.approx(dense.largest, abs=1e-6)


def test_lanczos_takes_no_more_products_than_the_whole_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Least squares whose eigenvalues crowd at the lower end, where restarted Lanczos takes ten times as many."""
    n, taken = 600, []
    x = RANDOM.standard_normal((1500, n)) * np.logspace(0, -1.5, n)
    hessian = gs.Hessian(gs.Sequential(gs.Linear(n, 1, bias=False), dtype="float64"), gs.MSELoss(), x, x @ np.ones(n))
    matrix = 2 * x.T @ x / len(x)
    monkeypatch.setattr(gs.Hessian, "__matmul__", lambda _, v: taken.append(v) or matrix @ v)
    found, values = spectrum_of(hessian), np.linalg.eigvalsh(matrix)
    assert 20 < len(taken) <= n
    assert (found.smallest, found.largest) == pytest.approx((values[0], values[-1]), rel=1e-10)
    assert np.allclose(matrix @ found.directions[0], found.smallest * found.directions[0], atol=1e-9)
    with pytest.warns(UserWarning, match="after 30 iterations the eigenvalues are known to"):
        spectrum_of(hessian, iterations=30)
    monkeypatch.setattr("gearshift.dl.diagnostics.curvature.WHOLE", 0)
    assert spectrum_of(hessian).largest == pytest.approx(values[-1], rel=1e-6)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_lanczos_ends_where_a_hessian_of_low_rank_has_shown_all(rank: int) -> None:
    x = np.zeros((4, 501))
    x[:rank, :rank] = np.diag([1.0, 2.0, 3.0][:rank])
    model = gs.Sequential(gs.Linear(501, 1, bias=False), dtype="float64")
    found = gs.spectrum(model, gs.MSELoss(), x, np.zeros(4))
    assert found.largest == pytest.approx(2 * max([0, 1, 4, 9][: rank + 1]) / 4, abs=1e-12)
    assert abs(found.smallest) <= 1e-12


@pytest.mark.parametrize(
    ("point", "kind"), [((0.0, 0.0), "saddle"), ((1.0, 1.0), "minimum"), ((1.0, 0.2), "not stationary")]
)
def test_kinds_of_points(point: tuple[float, float], kind: str) -> None:
    """A product of two weights that should be 1: (uv − 1)² has a saddle at 0 and minima where uv = 1."""
    model = gs.Sequential(gs.Linear(1, 1, bias=False), gs.Linear(1, 1, bias=False), dtype="float64").init(0)
    model.load_state_dict({f"{i}.weight": np.array([[value]]) for i, value in enumerate(point)})
    found = gs.spectrum(model, gs.MSELoss(), np.ones((1, 1)), np.ones((1, 1)))
    assert found.kind() == kind
    if kind == "saddle":
        assert (found.smallest, found.largest) == pytest.approx((-2, 2))
        assert found.condition_number == math.inf


def test_maxima_and_flat_points() -> None:
    assert Spectrum(-2.0, -1.0, 0.0, 0.0, np.zeros((2, 2))).kind() == "maximum"
    assert Spectrum(0.0, 0.0, 0.0, 0.0, np.zeros((2, 2))).kind() == "flat"


def test_noise_of_the_gradient_is_that_of_its_rows() -> None:
    model, loss, y = gs.Sequential(gs.Linear(4, 1), dtype="float64").init(2), gs.MSELoss(), X @ np.ones(4) + 5
    noise = gs.gradient_noise(model, loss, X, y)
    found = [gs.value_and_grad(model, loss, X[i : i + 1], y[i : i + 1])[1] for i in range(len(X))]
    rows = [np.concatenate([array.ravel() for array in gradients.values()]) for gradients in found]
    variance = np.var(rows, axis=0, ddof=1).sum()
    assert noise.variance == pytest.approx(variance, rel=1e-12)
    assert noise.squared_norm == pytest.approx(np.sum(np.mean(rows, axis=0) ** 2) - variance / len(X), rel=1e-10)
    assert noise.standard_error(4) == pytest.approx(math.sqrt(variance) / 2)
    assert noise.noise_scale == pytest.approx(noise.variance / noise.squared_norm)
    with pytest.raises(DataError, match="at least 2"):
        gs.gradient_noise(model, loss, X[:1], y[:1])


def test_noise_of_many_rows_is_estimated_from_a_random_sample() -> None:
    """Rows sorted by their targets, whose first quarter is all alike."""
    x = np.repeat(RANDOM.standard_normal((4, 4)), 300, axis=0) + 0.1 * RANDOM.standard_normal((1200, 4))
    y = np.repeat([0.0, 5.0, -5.0, 20.0], 300)
    model, loss = gs.Sequential(gs.Linear(4, 1), dtype="float64").init(2), gs.MSELoss()
    whole, noise = gs.gradient_noise(model, loss, x, y, most=1200), gs.gradient_noise(model, loss, x, y)
    assert (whole.rows, noise.rows) == (1200, 256)
    assert noise.variance == pytest.approx(whole.variance, rel=0.2)
    assert noise.noise_scale == pytest.approx(whole.noise_scale, rel=0.3)
    assert gs.gradient_noise(model, loss, x, y, seed=1).variance != noise.variance


def test_noise_counts_that_of_dropout_and_refuses_statistics_of_a_single_row() -> None:
    """With rows that are equal, masks alone differ: y = Σ x d / (1 - p) has the variance of a sum of coins."""
    model, loss = gs.Sequential(gs.Dropout(0.5), gs.Linear(4, 1, bias=False), dtype="float64").init(2), gs.MSELoss()
    model.load_state_dict({"1.weight": np.zeros((4, 1))})
    noise = gs.gradient_noise(model, loss, np.ones((4000, 4)), np.ones(4000), most=4000)
    assert noise.variance == pytest.approx(4 * 4 * 1.0, rel=0.1)  # of the gradient -2 · 2 d: 4 weights, 16 · 1/4 each
    model = gs.Sequential(gs.Linear(4, 4), gs.BatchNorm1d(4), gs.Linear(4, 1), dtype="float64")
    with pytest.raises(ConfigurationError, match=r"layer 1 takes statistics of its batch.*train=False"):
        gs.gradient_noise(model, loss, X, X[:, 0])
    assert gs.gradient_noise(model, loss, X, X[:, 0], train=False).variance > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_callbacks_record_what_formulas_say(backend: str, tmp_path: Path) -> None:
    model = gs.Sequential(gs.Linear(4, 6), gs.Tanh(), gs.Linear(6, 3), dtype="float64")
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(lr=0.1), backend=backend)
    callbacks = [gs.GradientNorms(X, LABELS), gs.Curvature(X, LABELS)]
    history = trainer.fit(X, LABELS, epochs=3, batch_size=4, verbose=False, callbacks=callbacks)
    hessian = gs.Hessian(model, gs.CrossEntropyLoss(), X, LABELS)
    gradient = hessian.gradient()
    record = history[-1]
    assert record["gradient_norm"] == pytest.approx(np.linalg.norm(gradient), rel=1e-12)
    first = hessian.unflatten(gradient)["0.weight"]
    assert record["gradient_norm 0.weight"] == pytest.approx(np.linalg.norm(first), rel=1e-12)
    assert record["descent"] == pytest.approx(0.1 * gradient @ gradient, rel=1e-12)
    assert record["curvature"] == pytest.approx(0.005 * gradient @ (hessian @ gradient), rel=1e-12)
    for draw in (plots.gradient_norms, plots.curvature):
        draw(history, tmp_path / "picture.png")
        assert (tmp_path / "picture.png").stat().st_size > 5000
    noise = gs.gradient_noise(model, gs.CrossEntropyLoss(), X, LABELS)
    plots.standard_error(noise, tmp_path / "noise.png")
    assert (tmp_path / "noise.png").stat().st_size > 5000
    with pytest.raises(DataError, match="GradientNorms"):
        plots.gradient_norms(gs.History([{"epoch": 1, "loss": 1.0}]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_looking_changes_no_bit_of_the_training(backend: str) -> None:
    weights = []
    for callbacks in ([], [gs.GradientNorms(X, LABELS), gs.Curvature(X, LABELS)]):
        trainer = gs.Trainer(net("float64"), gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend=backend)
        trainer.fit(X, LABELS, epochs=3, batch_size=5, verbose=False, callbacks=callbacks)
        weights.append(trainer.model.state_dict())
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_flat_stretches_are_noticed(caplog: pytest.LogCaptureFixture) -> None:
    watch = gs.FlatStretch(epochs=3, share=0.01)
    trainer = gs.Trainer(net("float64"), gs.CrossEntropyLoss(), gs.SGD(lr=1e-9), backend="numpy")
    with caplog.at_level(logging.WARNING):
        trainer.fit(X, LABELS, epochs=8, batch_size=12, verbose=False, callbacks=[watch])
    assert len(watch.found) == 2
    assert "has stood at" in caplog.text
    with pytest.raises(ConfigurationError, match="monitor is 'speed'"):
        trainer.fit(X, LABELS, verbose=False, callbacks=[gs.FlatStretch(monitor="speed")])
    with pytest.raises(ConfigurationError, match="epochs is 0"):
        gs.FlatStretch(epochs=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_flat_stretch_can_start_again_from_other_weights(backend: str) -> None:
    """At 0 weights a tanh network's hidden gradients vanish, and nothing but the last bias learns."""
    model = gs.Sequential(gs.Standardize(4), gs.Linear(4, 8), gs.Tanh(), gs.Linear(8, 3), dtype="float64").init(0)
    model[0].fit(X.mean(axis=0), X.std(axis=0))  # pyright: ignore[reportAttributeAccessIssue]
    state = model.state_dict()
    model.load_state_dict({k: v if k.startswith("0.") else np.zeros_like(v) for k, v in state.items()})
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.05), backend=backend)
    watch = gs.FlatStretch(epochs=5, restart=True)
    history = trainer.fit(X, LABELS, epochs=150, batch_size=12, verbose=False, callbacks=[watch])
    assert watch.found
    assert history[watch.found[0] - 1]["loss"] > 0.7
    assert min(history["loss"]) < 0.2
    assert np.array_equal(model.state_dict()["0.mean"], state["0.mean"])


class Look(gs.Callback):
    """Keeps the weights at the end of an epoch, as a file of the best weights would."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def on_epoch_end(self, trainer: gs.Trainer, record: dict[str, float]) -> None:
        self.seen.append(trainer.model.state_dict()["0.weight"])


def stuck(epochs: int, path: Path | None = None, save: Path | None = None) -> gs.Trainer:
    """A training that is flat after two epochs, again and again; from a checkpoint, or to one."""
    trainer = gs.Trainer(net("float64"), gs.CrossEntropyLoss(), gs.SGD(lr=1e-9), backend="numpy")
    if path is not None:
        trainer.load(path)
    callbacks = [gs.FlatStretch(epochs=2, share=0.5, restart=True)]
    trainer.fit(X, LABELS, epochs=epochs - trainer.epoch, batch_size=5, verbose=False, callbacks=callbacks)
    if save is not None:
        trainer.save(save)
    return trainer


def test_weights_begin_anew_after_all_have_looked_at_those_before() -> None:
    """Else a run's best.safetensors would hold weights that nothing has trained."""
    look, trainer = Look(), gs.Trainer(net("float64"), gs.CrossEntropyLoss(), gs.SGD(lr=1e-9), backend="numpy")
    first = trainer.model.state_dict()["0.weight"]
    watch = gs.FlatStretch(epochs=2, share=0.5, restart=True)
    trainer.fit(X, LABELS, epochs=4, batch_size=5, verbose=False, callbacks=[watch, look])
    assert watch.found == [3]
    assert all(np.allclose(seen, first, atol=1e-6) for seen in look.seen[:3])
    assert not np.allclose(look.seen[3], first, atol=1e-6)


@pytest.mark.parametrize("cut", [2, 3, 4, 7])
def test_a_flat_stretch_goes_on_from_a_checkpoint(cut: int, tmp_path: Path) -> None:
    whole = stuck(12)
    stuck(cut, save=tmp_path / "run.safetensors")
    resumed = stuck(12, path=tmp_path / "run.safetensors")
    assert whole.history["flat_epochs"] == resumed.history["flat_epochs"] == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
    for name, value in whole.model.state_dict().items():
        assert value.tobytes() == resumed.model.state_dict()[name].tobytes()


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_row_s_target_is_checked_before_compiled_loops_read_it(backend: str) -> None:
    wrong = LABELS.copy()
    wrong[5] = 1_000_000
    with pytest.raises(DataError, match=r"y\[5\] is 1000000"):
        gs.gradient_noise(net("float64"), gs.CrossEntropyLoss(), X, wrong, backend=backend)
