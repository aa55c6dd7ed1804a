"""Targets of every kind: integers and signs as numbers, scaled targets, answers in their units and never NaN."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error, r2_score

import gearshift as gs
from gearshift.__main__ import main
from gearshift.backends.errors import CheckpointError, ConfigurationError, DataError, ShapeError
from gearshift.dl.diagnostics.learning_rates import learning_rate_trials
from gearshift.dl.experiment import build as experiment
from gearshift.dl.experiment.config import parse
from gearshift.dl.storage import load_tensors, save_tensors
from gearshift.dl.storage.strict_json import dumps

BACKENDS = ("numpy", "numba")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 4))
DEGREES = np.round(10 * X[:, 0] + 3).astype(int)
SIGNS = np.where(X[:, 0] > 0, 1, -1)


def trainer(loss: gs.Loss, outputs: int = 1, backend: str = "numpy", dtype: str = "float32", **options: Any) -> Any:
    model = gs.Sequential(gs.Linear(4, outputs), dtype=dtype)
    return gs.Trainer(model, loss, gs.Adam(lr=0.1), backend=backend, **options)


def strict(text: str | bytes) -> Any:
    """JSON by the letter."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


# numbers are numbers


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["int8", "int64", ">i4", "uint8", ">u8", "bool", "float16"])
def test_integers_are_numbers_to_mse(dtype: str, backend: str) -> None:
    y = (DEGREES if "u" not in dtype and dtype != "bool" else abs(DEGREES)).astype(dtype)
    assert (y < 0).any() == ("u" not in dtype and dtype != "bool")
    ends = []
    for targets in (y, y.astype(float), y[:, None]):
        run = trainer(gs.MSELoss(), backend=backend)
        ends.append(run.fit(X, targets, epochs=2, verbose=False)["loss"])
    assert ends[0] == ends[1] == ends[2]


def test_integers_beyond_int64_are_numbers_too() -> None:
    y = np.array([2**63, 2**63 + 2**40, 5], ">u8")
    assert gs.Dataset(X[:3], y).y.tolist() == [float(number) for number in y.tolist()]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("y", [SIGNS, SIGNS.astype(float), SIGNS[:, None]], ids=["int", "float", "column"])
def test_a_hinge_of_signs_answers_signs_also_from_a_file(y: np.ndarray, backend: str, tmp_path: Path) -> None:
    run = trainer(gs.HingeLoss(), backend=backend)
    run.fit(X, y, epochs=30, verbose=False)
    answers = run.predict(X)
    assert set(answers.tolist()) == {-1, 1} and answers.dtype == np.int64
    assert np.mean(answers == SIGNS) == pytest.approx(run.evaluate(X, y)["accuracy"])
    run.save(tmp_path / "run.safetensors")
    other = gs.Trainer(gs.load(tmp_path / "run.safetensors"), gs.HingeLoss(), gs.SGD(), backend=backend)
    assert np.array_equal(other.predict(X), answers)
    again = trainer(gs.HingeLoss(), backend=backend)
    again.load(tmp_path / "run.safetensors")
    assert np.array_equal(again.predict(X), answers)


def test_a_hinge_answers_as_it_was_last_trained() -> None:
    run = trainer(gs.HingeLoss())
    run.fit(X, (SIGNS > 0).astype(int), epochs=5, verbose=False)
    assert set(run.predict(X).tolist()) == {0, 1}
    zeros_and_ones = run.evaluate(X, (SIGNS > 0).astype(int))
    assert run.evaluate(X, SIGNS) == zeros_and_ones
    run.fit(X, SIGNS, epochs=1, verbose=False)
    assert set(run.predict(X).tolist()) == {-1, 1}
    run.fit(X[SIGNS > 0], SIGNS[SIGNS > 0], epochs=1, verbose=False)  # which do not tell
    run.model[0].bias.numpy()[...] = 0
    assert run.model.signed_targets == (0,)
    assert run.report(X, SIGNS).rows.tolist() == [float((SIGNS < 0).sum()), float((SIGNS > 0).sum())]


def test_a_hinge_refuses_targets_of_two_conventions() -> None:
    y = SIGNS.copy()
    y[3] = 0
    with pytest.raises(DataError, match=r"y\[3\] is 0; HingeLoss expects targets that are all -1 or 1, or all 0 or 1"):
        trainer(gs.HingeLoss()).fit(X, y, verbose=False)


def test_heads_have_conventions_and_units_of_their_own(tmp_path: Path) -> None:
    loss = gs.JointLoss(t=gs.Head(gs.MSELoss(), 1), s=gs.Head(gs.HingeLoss(), 1), c=gs.Head(gs.CrossEntropyLoss(), 3))
    y = DEGREES * 1000, SIGNS, np.arange(200) % 3
    run = trainer(loss, 5)
    table = gs.Dataset(X, y).y
    run.model.target_scaling = gs.TargetScaling.of(table, numbers=loss.numbers(3))
    run.fit(X, y, epochs=60, verbose=False)
    answers, found = run.predict(X), run.evaluate(X, y)
    assert set(answers["s"].tolist()) == {-1, 1} and set(answers["c"].tolist()) <= {0, 1, 2}
    assert found["t_r2"] == pytest.approx(r2_score(y[0], answers["t"]), abs=1e-9) and found["t_r2"] > 0.99
    assert found["t_mse"] == pytest.approx(mean_squared_error(y[0], answers["t"]), rel=1e-9)
    assert found["t_loss"] == pytest.approx(found["t_mse"] / np.var(y[0]), rel=1e-4)
    run.model.save(tmp_path / "model.safetensors")
    other = gs.Trainer(gs.load(tmp_path / "model.safetensors"), loss, gs.SGD(), backend="numpy")
    assert all(np.array_equal(other.predict(X)[name], answers[name]) for name in answers)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.eye(3)[DEGREES % 3], r"for one-hot rows use y\.argmax\(axis=1\), or SoftCrossEntropyLoss"),
        (np.eye(3, dtype=int)[DEGREES % 3], r"for one-hot rows use y\.argmax\(axis=1\), or SoftCrossEntropyLoss"),
        ((DEGREES % 3).astype(float), r"y\.astype\(int\)"),
        ((DEGREES % 3).astype(float)[:, None], r"y\.ravel\(\)\.astype\(int\)"),
        (DEGREES % 3 + 1, r"is 3, expected a label from 0 to 2; numpy\.unique\(y, return_inverse=True\)"),
        (SIGNS, r"is -1, expected a label from 0 to 2"),
        (X[:, 0], "to predict numbers use MSELoss"),
    ],
)
def test_what_is_no_label_is_refused_with_the_way_out(y: np.ndarray, message: str) -> None:
    for loss in (gs.CrossEntropyLoss(), gs.MulticlassHingeLoss()):
        with pytest.raises((DataError, ShapeError), match=message):
            trainer(loss, 3).fit(X, y, verbose=False)


def test_probabilities_too_small_for_a_number_are_0() -> None:
    outputs = np.array([[0.0, 1000.0], [-1000.0, 0.0]], np.float32)
    with np.errstate(all="raise"):
        assert gs.CrossEntropyLoss().probabilities(outputs).tolist() == [[0.0, 1.0], [0.0, 1.0]]
        assert gs.BCEWithLogitsLoss().probabilities(outputs).tolist() == [[0.5, 1.0], [0.0, 0.5]]


# scaled targets


def prices(offset: float = 3e5, spread: float = 1e5) -> np.ndarray:
    return offset + spread * (X @ [1.0, -0.5, 0.2, 0.0] + 0.1 * np.random.default_rng(1).normal(size=200))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("offset", "spread"), [(3e5, 1e5), (1e9, 3.0), (-1e9, 1e-2), (0.0, 1e-9), (0.0, 1e15)])
def test_a_scaled_target_is_learned_as_well_as_a_line_does(offset: float, spread: float, backend: str) -> None:
    y = prices(offset, spread)
    run = trainer(gs.MSELoss(), backend=backend)
    run.model.target_scaling = gs.TargetScaling.of(y)
    history = run.fit(X, y, validation=(X, y), epochs=40, verbose=False)
    answers, found = run.predict(X), run.evaluate(X, y)
    line = LinearRegression().fit(X, y).score(X, y)
    assert answers.dtype == np.float64 and answers.shape == (200, 1)
    assert found["r2"] == pytest.approx(r2_score(y, answers), abs=1e-6)
    assert found["r2"] > line - 0.005
    # in the target's squared units, everywhere
    assert found["loss"] == pytest.approx(mean_squared_error(y, answers), rel=1e-4)
    assert history[-1]["validation_loss"] == found["loss"]
    assert history[-1]["loss"] == pytest.approx(found["loss"], rel=0.5)
    assert run.evaluate(X, y.copy()) == found


def test_scaling_is_that_of_numpy_in_float64() -> None:
    y = np.column_stack([prices(), prices(1e9, 1e-3), np.full(200, 0.1), X[:, 0]])
    found = gs.TargetScaling.of(y)
    exact = y - y[0]
    assert found.mean == pytest.approx(y[0] + exact.mean(axis=0), rel=1e-15)
    assert found.scale[[0, 1, 3]] == pytest.approx(exact.std(axis=0)[[0, 1, 3]], rel=1e-12)
    assert found.scale[2] == 1  # a constant column
    assert found.restored(found.scaled(y)) == pytest.approx(y, rel=1e-15)
    weight = RANDOM.integers(0, 3, 200)
    repeated = gs.TargetScaling.of(np.repeat(y, weight, axis=0))
    weighted = gs.TargetScaling.of(y, weight)
    assert weighted.mean == pytest.approx(repeated.mean, rel=1e-12)
    assert weighted.scale == pytest.approx(repeated.scale, rel=1e-9)


def test_a_constant_target_is_answered() -> None:
    run = trainer(gs.MSELoss())
    y = np.full(200, 7e8)
    run.model.target_scaling = gs.TargetScaling.of(y)
    run.fit(X, y, epochs=150, verbose=False)
    assert run.predict(X) == pytest.approx(7e8, abs=0.1)


def test_a_memory_mapped_target_is_scaled(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", prices())
    mapped = np.load(tmp_path / "y.npy", mmap_mode="r")
    ends = []
    for y in (mapped, prices()):
        run = trainer(gs.MSELoss())
        run.model.target_scaling = gs.TargetScaling.of(y)
        run.fit(X, y, epochs=2, verbose=False)
        ends.append(run.predict(X))
    assert np.array_equal(*ends)


def test_several_outputs_are_scaled_each_by_itself_and_measured_with_weights() -> None:
    y = np.column_stack([prices(), prices(1e9, 10.0), X[:, 1]])
    weight = RANDOM.integers(1, 4, 200).astype(float)
    run = trainer(gs.MSELoss(), 3)
    run.model.target_scaling = gs.TargetScaling.of(y, weight)
    run.fit((X, y, weight), epochs=60, verbose=False)
    answers, found = run.predict(X), run.evaluate((X, y, weight))
    assert found["r2"] == pytest.approx(r2_score(y, answers, sample_weight=weight), abs=1e-9)
    assert found["r2"] > 0.98
    assert found["mse"] == pytest.approx(mean_squared_error(y, answers, sample_weight=weight), rel=1e-9)
    errors = np.average((y - answers) ** 2, axis=0, weights=weight) / run.model.target_scaling.scale**2
    assert found["loss"] == pytest.approx(errors.mean(), rel=1e-4)


def test_r2_is_scikit_learn_s_without_scaling_too() -> None:
    run = trainer(gs.MSELoss(), dtype="float64")
    run.fit(X, DEGREES, epochs=3, verbose=False)
    assert run.evaluate(X, DEGREES)["r2"] == pytest.approx(r2_score(DEGREES, run.predict(X)), abs=1e-12)
    assert "r2" not in run.evaluate(X[:1], DEGREES[:1])  # of one row it is not defined
    assert run.evaluate(X, np.full(200, 3))["r2"] == 0


def test_gradients_are_those_of_the_scaled_loss() -> None:
    y, model = prices(), gs.Sequential(gs.Linear(4, 1), dtype="float64").init(0)
    scaled = (y - y.mean()) / y.std()
    value, gradients = gs.value_and_grad(model, gs.MSELoss(), X, scaled)
    model.target_scaling = gs.TargetScaling.of(y)
    found, others = gs.value_and_grad(model, gs.MSELoss(), X, y)
    assert found == pytest.approx(value, rel=1e-12)
    assert all(others[name] == pytest.approx(gradients[name], rel=1e-10) for name in gradients)


@pytest.mark.parametrize(
    ("mean", "scale", "message"),
    [
        ([0.0], [0.0], "numbers above 0"),
        ([0.0], [-1.0], "numbers above 0"),
        ([0.0, 1.0], [1.0], "expected 2 numbers above 0"),
        ([np.nan], [1.0], "mean is .*expected finite numbers"),
        ([0.0], [np.inf], "scale is .*expected finite numbers"),
        ([], [], "expected finite numbers"),
        ("a", [1.0], "mean is 'a'"),
    ],
)
def test_scalings_that_are_none(mean: Any, scale: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        gs.TargetScaling(mean, scale)


def test_what_cannot_be_scaled_is_refused() -> None:
    run = trainer(gs.CrossEntropyLoss(), 3)
    run.model.target_scaling = gs.TargetScaling.of(DEGREES)
    with pytest.raises(ConfigurationError, match=r"must not scale the labels or shares of CrossEntropyLoss\(\)"):
        run.fit(X, abs(DEGREES) % 3, verbose=False)
    run = trainer(gs.MSELoss(), 2)
    run.model.target_scaling = gs.TargetScaling.of(DEGREES)
    with pytest.raises(ShapeError, match=r"2 columns, but model\.target_scaling has 1"):
        run.fit(X, X[:, :2], verbose=False)
    with pytest.raises(DataError, match="column 0 has no finite mean and variance"):
        gs.TargetScaling.of(np.array([1e300, -1e300]))
    with pytest.raises(DataError, match="expected numbers"):
        gs.TargetScaling.of(np.array(["a"]))


@pytest.mark.parametrize(
    "tensors",
    [
        {"target.scale": None},
        {"target.scale": np.zeros(1)},
        {"target.mean": np.array([np.nan])},
        {"target.mean": np.zeros(2)},
        {"target.mean": np.zeros(1, np.float32)},
        {"target.other": np.zeros(1)},
        {"target.mean": np.zeros((1, 1))},
    ],
)
def test_a_damaged_scaling_is_refused(tensors: dict[str, Any], tmp_path: Path) -> None:
    run = trainer(gs.MSELoss())
    run.model.target_scaling = gs.TargetScaling.of(DEGREES)
    run.fit(X, DEGREES, verbose=False)
    run.save(tmp_path / "run")
    arrays, metadata = load_tensors(tmp_path / "run")
    changed = {name: array for name, array in {**arrays, **tensors}.items() if array is not None}
    save_tensors(tmp_path / "bad", changed, metadata)
    for read in (gs.load, trainer(gs.MSELoss()).load):
        with pytest.raises(CheckpointError):
            read(tmp_path / "bad")


# the command line


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """House prices: features of ordinary size, and a target of some hundred thousand."""
    rng, n = np.random.default_rng(0), 600
    area, rooms, age = rng.normal(120, 40, n), rng.integers(1, 8, n), rng.uniform(0, 80, n)
    price = 60000 + 1800 * area + 9000 * rooms - 700 * age + rng.normal(0, 15000, n)
    path = tmp_path_factory.mktemp("homes") / "homes.csv"
    rows = zip(area, rooms, age, price, strict=True)
    path.write_text("area,rooms,age,price\n" + "".join(f"{a:.1f},{r},{g:.1f},{p:.2f}\n" for a, r, g, p in rows))
    return path


def command(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as end:
        main([*arguments])
    out = capsys.readouterr()
    assert end.value.code == code, out.err
    return out.out, out.err


def test_a_run_of_prices_answers_in_money(homes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, settings = str(tmp_path / "run"), ["--set", f"data.source={homes}", "--set", "model.dropout=0"]
    options = ["--backend", "numpy", "--quiet", *settings]
    first, _ = command(capsys, "train", "--json", "--run", run, *options, "--set", "train.epochs=15")
    test = strict(first)["test"]
    splits = experiment.load(parse({}, [f"data.source={homes}"]))
    line = LinearRegression().fit(splits.train.x, splits.train.y)
    assert test["r2"] > line.score(splits.test.x, splits.test.y) - 0.05
    again, _ = command(capsys, "evaluate", run, "--json", "--backend", "numpy")
    assert strict(again)["test"] == test
    np.save(tmp_path / "x.npy", splits.test.x)
    command(capsys, "predict", run, "--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npy"))
    answers = np.load(tmp_path / "y.npy")
    assert answers.dtype == np.float64
    assert r2_score(splits.test.y, answers) == pytest.approx(test["r2"], abs=1e-6)
    assert mean_squared_error(splits.test.y, answers) == pytest.approx(test["loss"], rel=1e-4)
    assert np.array_equal(
        gs.Trainer(gs.Run(run).model, gs.Run(run).loss, gs.SGD(), backend="numpy").predict(splits.test.x), answers
    )
    # stopped and resumed, to the same bits
    whole = str(tmp_path / "whole")
    command(capsys, "train", "--run", whole, *options, "--set", "train.epochs=17")
    command(capsys, "train", "--resume", "--run", run, *options, "--set", "train.epochs=17")
    assert gs.Run(run).history["loss"] == gs.Run(whole).history["loss"]
    assert gs.Run(run).history["validation_loss"][-1] == pytest.approx(test["loss"], rel=0.5)


def test_scaling_is_turned_off_by_its_key_and_never_meets_classes(homes: Path, tmp_path: Path) -> None:
    plain = experiment.build(parse({}, [f"data.source={homes}", "data.standardize_target=false"]), "numpy")[1]
    assert plain.model.target_scaling is None
    assert experiment.build(parse({}, []), "numpy")[1].model.target_scaling is None
    own = experiment.build(parse({}, [f"data.source={homes}", "autoencoder.kind=sparse"]), "numpy")[1]
    assert own.model.target_scaling is None
    shares = RANDOM.dirichlet(np.ones(3), 60)
    np.savez(tmp_path / "shares.npz", x=X[:60], y=shares)
    soft = parse({}, [f"data.source={tmp_path / 'shares.npz'}", "loss.name=SoftCrossEntropyLoss"])
    assert experiment.build(soft, "numpy")[1].model.target_scaling is None


# NaN is no answer


def broken(name: str = "0.weight", backend: str = "numpy") -> Any:
    model = gs.Sequential(gs.Linear(4, 8), gs.ReLU(), gs.Linear(8, 3)).init(0)
    weights = model.state_dict()
    weights[name] = weights[name].copy()
    weights[name].flat[0] = np.nan
    model.load_state_dict(weights)
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_that_are_nan_have_no_answers(backend: str) -> None:
    y = np.arange(200) % 3
    for name in ("0.weight", "2.bias"):
        run = broken(name, backend)
        for ask in (run.predict, run.predict_proba, lambda x, run=run: run.evaluate(x, y)):
            with pytest.raises(DataError, match=rf"cannot predict: its tensor '{name}' holds NaN"):
                ask(X)
    run = broken(backend=backend)
    with pytest.raises(DataError, match=r"cannot predict: its tensor '0\.weight' holds NaN"):
        run.outputs_of(run.model[0], X)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("value", [1e39, 1e300, -1e300, 3e38])
def test_rows_too_large_have_no_answers(value: float, backend: str) -> None:
    model = gs.Sequential(gs.Linear(4, 8), gs.ReLU(), gs.Linear(8, 3)).init(0)
    run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend=backend)
    x = X.copy()
    x[7], x[9, 1] = [value, -value, value, -value], value
    for ask in (run.predict, run.predict_proba, lambda x: run.evaluate(x, np.zeros(200, int))):
        with pytest.raises(DataError, match=r"x\[7\] has no prediction.*largest value is -?(1e\+39|1e\+300|3e\+38)"):
            ask(x)
    assert run.predict(X).shape == (200,)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.filterwarnings("ignore:invalid")
def test_estimators_refuse_rows_too_large() -> None:
    x = X.copy()
    x[5] = 1e308
    for kind, y in ((gs.MLPClassifier, SIGNS), (gs.MLPRegressor, DEGREES)):
        estimator = kind(hidden_layer_sizes=(5,), max_iter=300, random_state=0, tol=1.0, backend="numpy").fit(X, y)
        with pytest.raises(DataError, match=r"x\[5\] has no prediction"):
            estimator.predict(x)


def test_a_validation_loss_that_is_nan_makes_its_accuracy_nan(tmp_path: Path) -> None:
    for backend in BACKENDS:
        first = gs.Standardize(4).fit(np.zeros(4), np.full(4, 1e-3))
        model = gs.Sequential(first, gs.Linear(4, 3))
        run = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend=backend)
        x = np.full((5, 4), 3e38, np.float32)  # infinite in the model, and infinite less infinite is NaN
        with np.errstate(all="ignore"):
            run.fit(X.astype(np.float32), np.arange(200) % 3, validation=(x, np.zeros(5, int)), verbose=False)
        assert np.isnan(run.history[-1]["validation_loss"]) and np.isnan(run.history[-1]["validation_accuracy"])
        run.save(tmp_path / "run")
        tensors, metadata = load_tensors(tmp_path / "run")
        assert strict(tensors["history"].tobytes())[0]["validation_loss"] is None
        strict(metadata["gearshift"])
        again = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend=backend)
        again.load(tmp_path / "run")
        assert repr(again.history.records) == repr(run.history.records)


def test_json_is_strict_and_old_files_are_read(tmp_path: Path) -> None:
    record = {"epoch": 1, "loss": 0.5, "validation_loss": float("nan"), "lr": float("inf"), "of": (1, -float("inf"))}
    assert strict(dumps(record)) == {"epoch": 1, "loss": 0.5, "validation_loss": None, "lr": None, "of": [1, None]}
    (tmp_path / "config.toml").touch()
    (tmp_path / "metrics.jsonl").write_text(
        '{"epoch": 1, "loss": NaN}\n{"epoch": 2, "loss": null}\n{"epoch": 3, "loss": 1.0}\n'
    )
    assert repr(gs.Run(tmp_path).history["loss"]) == "[nan, nan, 1.0]"


# advice only where something was learned


def constant_loss(loss: gs.Loss, y: np.ndarray, outputs: int) -> float:
    """The least loss of one answer for all rows, found by training biases alone."""
    x = np.zeros((len(y), 4))
    run = trainer(loss, outputs, dtype="float64")
    for rate in (0.3, 0.03, 0.003):
        run.optimizer.lr = rate
        run.fit(x, y, epochs=150, batch_size=len(y), verbose=False)
    return run.evaluate(x, y)["loss"]


@pytest.mark.parametrize(
    ("loss", "y", "outputs"),
    [
        (gs.MSELoss(), X[:, :2] * 3 + 1, 2),
        (gs.CrossEntropyLoss(), RANDOM.choice(3, 200, p=[0.7, 0.2, 0.1]), 3),
        (gs.SoftCrossEntropyLoss(), RANDOM.dirichlet([1.0, 2.0, 5.0], 200), 3),
        (gs.BCEWithLogitsLoss(), (RANDOM.random((200, 2)) < [0.1, 0.4]).astype(float), 2),
        (gs.HingeLoss(), np.where(RANDOM.random(200) < 0.2, 1, -1), 1),
        (gs.MulticlassHingeLoss(), RANDOM.choice(3, 200, p=[0.7, 0.2, 0.1]), 3),
        (gs.MulticlassHingeLoss(), np.arange(200) % 3, 3),
    ],
)
def test_baselines_are_the_least_losses_of_one_answer(loss: gs.Loss, y: np.ndarray, outputs: int) -> None:
    found = loss.baseline(gs.Dataset(X, y).y, np.full(200, 1 / 200))
    assert found == pytest.approx(constant_loss(loss, y, outputs), rel=5e-3)


def test_no_learning_rate_is_named_where_nothing_was_learned() -> None:
    def make(rate: float) -> gs.Trainer:
        return gs.Trainer(gs.Sequential(gs.Linear(4, 1)), gs.MSELoss(), gs.Adam(lr=rate), backend="numpy", seed=0)

    trials = learning_rate_trials(make, X, prices(), rates=[1e-3, 1e-2], iterations=20)
    assert min(row.loss for row in trials.rows) < trials.before  # it fell, and that is nothing yet
    with pytest.raises(ConfigurationError, match=r"no better than the mean .*standardize_target"):
        _ = trials.best
    good = learning_rate_trials(make, X, X[:, 0], rates=[1e-3, 1e-1], iterations=50)
    assert good.best == 1e-1


def test_lr_prints_no_line_to_paste_where_nothing_was_learned(homes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--set",
        f"data.source={homes}",
        "--backend",
        "numpy",
        "--quiet",
        "--rates",
        "1e-3",
        "--iterations",
        "20",
    ]
    out, err = command(capsys, "lr", *options, "--set", "data.standardize_target=false", code=2)
    assert "next:" not in err + out and "optimizer.lr" not in out
    assert "nothing was learned" in err and "data.standardize_target" in err
    _, err = command(capsys, "lr", *options)
    assert "next: gearshift train" in err


def test_bench_works_on_targets_that_are_scaled_already(homes: Path) -> None:
    given = parse({}, [f"data.source={homes}"])
    splits = experiment.load(given)
    configuration, scaled = experiment.with_learned_targets(given, splits)
    y = splits.train.y
    assert scaled.train.y == pytest.approx((y - y.mean()) / y.std(), abs=1e-6)
    assert scaled.test.y == pytest.approx((splits.test.y - y.mean()) / y.std(), abs=1e-6)
    run = experiment.build_trainer(configuration, scaled, "numpy")
    assert run.model.target_scaling is None
    digits = parse({}, [])
    splits = experiment.load(digits)
    assert experiment.with_learned_targets(digits, splits) == (digits, splits)


def test_a_scaling_of_other_columns_is_refused() -> None:
    """As of a loss with several heads, whose targets have other columns than the data."""
    with pytest.raises(gs.DataError, match="y has 1 columns; expected 2, as the loss reads"):
        gs.TargetScaling.of(np.arange(6.0), numbers=[True, False])
    assert gs.TargetScaling.of(np.arange(12.0).reshape(6, 2), numbers=[True, False]).mean.tolist() == [5, 0]
