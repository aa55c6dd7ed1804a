"""The estimators against scikit-learn: its own checks, and its own networks from the same weights and batches."""

from __future__ import annotations

import pickle
import signal
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, make_classification, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score, validation_curve
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, DataError, NonFiniteLoss, ShapeError

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
]
OURS = {"classes": gs.MLPClassifier, "values": gs.MLPRegressor}
THEIRS = {"classes": MLPClassifier, "values": MLPRegressor}


def problem(name: str) -> Any:
    """x and y, as float64."""
    x: Any
    y: Any
    if name == "digits":
        x, y = load_digits(return_X_y=True)
        return x[:450] / 16, y[:450]
    if name == "two classes":
        return make_classification(210, random_state=0)
    if name == "labels":
        return make_multilabel_classification(210, random_state=0)
    x, y = load_diabetes(return_X_y=True)
    y = (y - 150) / 75
    return x * 20, y if name == "a value" else np.stack([y, y**2], axis=1)


@parametrize_with_checks([gs.MLPClassifier(), gs.MLPRegressor(), gs.LogisticRegression(), gs.Autoencoder()])
def test_conventions(estimator: Any, check: Any) -> None:
    """Every check that scikit-learn has for such an estimator; none is expected to fail."""
    check(estimator)


@pytest.mark.parametrize(
    ("data", "parameters"),
    [
        ("digits", {}),
        ("digits", {"solver": "sgd", "learning_rate": "invscaling", "alpha": 1.0, "activation": "tanh"}),
        (
            "digits",
            {
                "solver": "sgd",
                "learning_rate": "adaptive",
                "learning_rate_init": 0.1,
                "tol": 1e-2,
                "n_iter_no_change": 2,
            },
        ),
        ("digits", {"solver": "sgd", "nesterovs_momentum": False, "shuffle": False, "batch_size": 64}),
        ("digits", {"early_stopping": True, "activation": "logistic", "hidden_layer_sizes": (30, 20)}),
        ("digits", {"solver": "lbfgs"}),
        ("digits", {"weights": True, "batch_size": 50}),
        ("two classes", {"early_stopping": True, "activation": "identity"}),
        ("two classes", {"solver": "sgd", "momentum": 0, "weights": True}),
        ("two classes", {"solver": "lbfgs", "weights": True}),
        ("labels", {"early_stopping": True, "weights": True}),
        ("labels", {"solver": "lbfgs"}),
        ("a value", {"hidden_layer_sizes": 20}),
        ("a value", {"solver": "lbfgs", "weights": True}),
        ("values", {"early_stopping": True, "solver": "sgd", "learning_rate_init": 0.01}),
        ("values", {"weights": True, "beta_1": 0.5, "epsilon": 1e-3}),
    ],
    ids=str,
)
def test_a_fit_is_scikit_learns(data: str, parameters: dict[str, Any]) -> None:
    """The same initial weights, batches, penalties, learning rates and stops: equal to rounding in float64."""
    x, y = problem(data)
    parameters = {"random_state": 3, "max_iter": 20, **parameters}
    weights = {}
    if parameters.pop("weights", False):
        weights = {"sample_weight": np.random.default_rng(0).integers(0, 4, len(x)).astype(float)}
    kind = "values" if "value" in data else "classes"
    ours = OURS[kind](**parameters).fit(x, y, **weights)
    theirs = THEIRS[kind](**parameters).fit(x, y, **weights)
    assert ours.n_iter_ == theirs.n_iter_
    scale = 1e-6 if parameters.get("solver") == "lbfgs" else 1e-10
    for mine, other in zip([*ours.coefs_, *ours.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=scale)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), atol=scale)
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-4)
    for name in ("n_layers_", "n_outputs_", "n_features_in_", "out_activation_", "t_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    if kind == "classes":
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=scale)
    if parameters.get("solver") != "lbfgs":
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-4)
        if parameters.get("early_stopping"):
            np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, rtol=1e-9, atol=1e-9)
            assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_)
            assert ours.best_loss_ is theirs.best_loss_ is None
        else:
            assert ours.best_loss_ == pytest.approx(theirs.best_loss_, rel=1e-4)


def test_the_penalty_in_the_loss_is_exact_where_it_is_seen_at_every_step() -> None:
    x, y = problem("two classes")
    kind = {"alpha": 3.0, "random_state": 0, "max_iter": 15, "batch_size": 210}
    ours, theirs = gs.MLPClassifier(**kind).fit(x, y), MLPClassifier(**kind).fit(x, y)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-12)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fits_are_scikit_learns(solver: str) -> None:
    """The optimizer's state lives on from call to call, also through a pickle."""
    x, y = problem("digits")
    parameters: dict[str, Any] = {"solver": solver, "random_state": 1, "batch_size": 64}
    ours, theirs = (kind(**parameters) for kind in (gs.MLPClassifier, MLPClassifier))
    with pytest.raises(ConfigurationError, match="classes must be passed on the first call"):
        ours.partial_fit(x, y)
    for rows in np.array_split(np.arange(len(x)), 3):
        theirs.partial_fit(x[rows], y[rows], classes=np.arange(10))
        ours.partial_fit(x[rows], y[rows], classes=np.arange(10))
        ours = pickle.loads(pickle.dumps(ours))
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=0, atol=1e-10)
    assert (ours.t_, ours.n_iter_) == (theirs.t_, theirs.n_iter_)
    assert not hasattr(gs.MLPClassifier(solver="lbfgs"), "partial_fit")
    assert hasattr(gs.MLPRegressor(), "partial_fit")


def test_a_warm_start_is_scikit_learns() -> None:
    x, y = problem("two classes")
    kind = {"warm_start": True, "max_iter": 4, "random_state": 2}
    ours, theirs = gs.MLPClassifier(**kind), MLPClassifier(**kind)
    for _ in range(3):
        ours.fit(x, y)
        theirs.fit(x, y)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=0, atol=1e-10)
    assert len(ours.loss_curve_) == len(theirs.loss_curve_) == 12
    with pytest.raises(DataError, match="the same classes as in the previous call"):
        ours.fit(x, y + 1)
    with pytest.raises(ConfigurationError, match="the layers asked for need"):
        ours.set_params(hidden_layer_sizes=(3,)).fit(x, y)


@pytest.mark.parametrize("name", ["two classes", "digits"])
@pytest.mark.parametrize("weighted", [False, True])
def test_logistic_regression_is_scikit_learns(name: str, weighted: bool) -> None:
    """One minimum, found twice; intercepts of several classes up to a common number."""
    x, y = problem(name)
    weights = np.random.default_rng(0).integers(0, 4, len(x)).astype(float) if weighted else None
    kind = {"C": 0.3, "tol": 1e-7, "max_iter": 1000, "class_weight": "balanced" if weighted else None}
    ours, theirs = (model(**kind).fit(x, y, weights) for model in (gs.LogisticRegression, LogisticRegression))
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-5)
    np.testing.assert_allclose(ours.decision_function(x), theirs.decision_function(x), atol=1e-3)
    assert ours.coef_.shape == theirs.coef_.shape
    assert ours.intercept_.shape == theirs.intercept_.shape


def test_a_regressor_without_hidden_layers_is_ridge_regression() -> None:
    """The least value of half the squared error and α/2 · Σ w² / rows, from the closed form."""
    x, y = problem("a value")
    kind = {"alpha": 2.0, "solver": "lbfgs", "tol": 1e-9, "max_iter": 2000, "random_state": 0}
    ours, exact = gs.MLPRegressor(hidden_layer_sizes=(), **kind).fit(x, y), Ridge(alpha=2.0).fit(x, y)
    least = np.mean((y - exact.predict(x)) ** 2) / 2 + np.sum(np.square(exact.coef_)) / len(x)
    assert ours.loss_ == pytest.approx(least, rel=1e-6)
    np.testing.assert_allclose(ours.predict(x), exact.predict(x), atol=0.02)


def test_a_linear_autoencoder_finds_the_principal_subspace() -> None:
    """Baldi and Hornik 1989: the minimum is the error of principal components."""
    from sklearn.decomposition import PCA

    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3)) @ random.normal(size=(3, 12)) + 0.1 * random.normal(size=(200, 12))
    coder = gs.Autoencoder(3, (), solver="lbfgs", tol=1e-8, max_iter=3000, random_state=0).fit(x)
    pca = PCA(3).fit(x)
    best = np.mean((x - pca.inverse_transform(pca.transform(x))) ** 2)
    codes = coder.transform(x)
    assert codes.shape == (200, 3)
    assert list(coder.get_feature_names_out()) == ["autoencoder0", "autoencoder1", "autoencoder2"]
    assert np.mean((x - coder.inverse_transform(codes)) ** 2) == pytest.approx(best, rel=1e-3)
    assert coder.score(x) > 0.9
    with pytest.raises(ShapeError, match="codes of 3"):
        coder.inverse_transform(x)


def test_searches_and_pipelines() -> None:
    """In processes of joblib's, which are not forked, as well as here."""
    x, y = problem("digits")
    pipe = make_pipeline(
        StandardScaler(), gs.MLPClassifier((20,), learning_rate_init=0.01, max_iter=20, random_state=0)
    )
    grid = GridSearchCV(pipe, {"mlpclassifier__alpha": [1e-4, 1e3]}, cv=2, n_jobs=2).fit(x, y)
    assert grid.best_params_ == {"mlpclassifier__alpha": 1e-4}
    chosen = {"hidden_layer_sizes": [(4,), (8, 4)], "learning_rate_init": [1e-3, 1e-2]}
    randomized = RandomizedSearchCV(gs.MLPClassifier(max_iter=3), chosen, n_iter=2, cv=2, random_state=0).fit(x, y)
    assert np.isfinite(randomized.best_score_)
    assert cross_val_score(pipe, x, y, cv=2).mean() > 0.6
    scores, _ = validation_curve(pipe, x, y, param_name="mlpclassifier__dropout", param_range=[0.0, 0.9], cv=2)
    assert scores[0].mean() > scores[1].mean()
    assert clone(gs.MLPClassifier(dropout=0.2)).get_params()["dropout"] == 0.2  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_backends_and_dtypes(backend: str) -> None:
    x, y = problem("digits")
    fitted = gs.MLPClassifier(backend=backend, dtype="float32", random_state=0, max_iter=30).fit(x, y)
    assert fitted.backend_ == backend
    assert fitted.coefs_[0].dtype == fitted.predict_proba(x).dtype == np.float32
    assert fitted.score(x, y) > 0.9
    assert type(fitted.coefs_[0]) is type(fitted.predict_proba(x)) is np.ndarray


def test_dropout_draws_from_the_seed() -> None:
    x, y = problem("digits")
    first, again, other = (
        gs.MLPClassifier(dropout=0.5, random_state=seed, max_iter=5).fit(x, y).loss_ for seed in (0, 0, 1)
    )
    plain = gs.MLPClassifier(random_state=0, max_iter=5).fit(x, y).loss_
    assert first == again != other
    assert first > plain


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"solver": "newton"}, "solver is 'newton'; expected one of: lbfgs, sgd, adam"),
        ({"alpha": -1}, "alpha is -1; expected a number of at least 0"),
        ({"batch_size": 0}, "batch_size is 0; expected an integer of at least 1, or 'auto'"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes is .* must be > 0"),
        ({"dropout": 1}, "dropout is 1; expected a number of at least 0 and below 1"),
        ({"dropout": 0.5, "solver": "lbfgs"}, "dropout"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"backend": "abacus"}, "backend 'abacus' is not known"),
        ({"early_stopping": True, "validation_fraction": 0.001}, "expected at least 2: raise validation_fraction"),
    ],
    ids=str,
)
def test_a_mistake_is_named(parameters: dict[str, Any], message: str) -> None:
    x, y = problem("digits")
    with pytest.raises(ConfigurationError, match=message):
        gs.MLPClassifier(**parameters).fit(x, y)


def test_mistakes_in_data() -> None:
    x, y = problem("two classes")
    with pytest.raises(DataError, match="sample_weight is from -1 to 1"):
        gs.MLPClassifier().fit(x, y, np.where(y, -1.0, 1.0))
    with pytest.raises(DataError, match="several classes"):
        gs.MLPClassifier().fit(x, np.stack([y, y + 1], axis=1))
    with pytest.raises(DataError, match="no classes beside"):
        gs.MLPClassifier().fit(x, y).partial_fit(x, y + 1)
    with pytest.raises(ConfigurationError, match="loss is 'poisson'; expected one of: squared_error"):
        gs.MLPRegressor(loss="poisson").fit(x, y)
    with pytest.raises(NonFiniteLoss, match="lower learning_rate_init"):
        gs.MLPRegressor(solver="sgd", learning_rate_init=1e9).fit(x, y * 1e9)


def test_it_says_that_it_did_not_converge(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = problem("two classes")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning, match="max_iter=2"):
            gs.MLPClassifier(max_iter=2, verbose=True).fit(x, y)
    assert "Iteration 2, loss = " in capsys.readouterr().out


class Presses(np.random.RandomState):
    """Ctrl-C as the first epoch's rows are shuffled, and not as they are split."""

    def shuffle(self, x: Any) -> None:
        super().shuffle(x)
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupt_before_anything_was_validated_keeps_the_weights_there_are() -> None:
    """Not those of an earlier fit, which may have other shapes."""
    for x, y in (problem("two classes"), problem("digits")):
        stopped = gs.MLPClassifier(early_stopping=True, max_iter=3, random_state=0)
        if len(x) > 400:
            stopped.fit(*problem("two classes"))
        stopped.set_params(random_state=Presses(0))
        with pytest.warns(UserWarning, match="interrupted"):
            stopped.fit(x, y)
        assert stopped.coefs_[0].shape[0] == x.shape[1]
        assert len(stopped.predict(x)) == len(y)


def test_balanced_classes_leave_out_one_whose_rows_weigh_nothing() -> None:
    x, y = problem("digits")
    weights = np.where(y == 3, 0.0, 1.0 + y % 2)
    ours = gs.LogisticRegression(class_weight="balanced", max_iter=300, tol=1e-8).fit(x, y, weights)
    kept = y != 3
    rest = gs.LogisticRegression(class_weight="balanced", max_iter=300, tol=1e-8).fit(x[kept], y[kept], weights[kept])
    probabilities = ours.predict_proba(x[kept])
    assert np.max(np.abs(np.delete(probabilities, 3, axis=1) - rest.predict_proba(x[kept]))) < 1e-2


def test_a_solver_that_was_changed_begins_anew() -> None:
    x, y = problem("two classes")
    ours = gs.MLPClassifier(random_state=0, backend="numpy").partial_fit(x, y, classes=[0, 1])
    ours.set_params(solver="sgd").partial_fit(x, y)
    begun = gs.MLPClassifier(solver="sgd", random_state=0, backend="numpy").partial_fit(x, y, classes=[0, 1])
    ours.partial_fit(x, y).partial_fit(x, y)
    assert ours.t_ == 4 * begun.t_


def test_a_warm_start_may_go_on_otherwise() -> None:
    """From L-BFGS to epochs, and from the training loss to validation scores and back."""
    x, y = problem("two classes")
    linear = gs.LogisticRegression(warm_start=True).fit(x, y)
    before = linear.score(x, y)
    linear.set_params(solver="adam", max_iter=3).fit(x, y)
    assert len(linear.loss_curve_) == 3 and linear.score(x, y) >= before - 0.02
    network = gs.MLPClassifier(warm_start=True, max_iter=3, random_state=0, backend="numpy").fit(x, y)
    assert len(network.set_params(early_stopping=True).fit(x, y).validation_scores_ or []) == 3
    assert len(network.set_params(early_stopping=False).fit(x, y).loss_curve_) == 3


@pytest.mark.parametrize("name", ["two classes", "digits"])
@pytest.mark.parametrize("kind", [gs.MLPClassifier, gs.LogisticRegression])
def test_class_weights_are_the_same_weights_of_rows(kind: Any, name: str) -> None:
    x, y = problem(name)
    names = np.array([f"class {label}" for label in y])
    class_weight = dict.fromkeys(np.unique(names).tolist(), 1.0) | {"class 1": 7.0}
    for given in ("balanced", class_weight, {"class 1": 7.0} if len(class_weight) == 2 else class_weight):
        options = {"max_iter": 8, "random_state": 0}
        weights = compute_sample_weight(given, names)
        own = kind(class_weight=given, **options).fit(x, names)
        plain = kind(**options).fit(x, names, sample_weight=weights)
        assert all(np.array_equal(*pair) for pair in zip(own.coefs_, plain.coefs_, strict=True))
        sample = np.random.default_rng(0).uniform(0.5, 2, len(y))
        if given != "balanced":
            own = kind(class_weight=given, **options).fit(x, names, sample_weight=sample)
            plain = kind(**options).fit(x, names, sample_weight=sample * weights)
            assert all(np.array_equal(*pair) for pair in zip(own.coefs_, plain.coefs_, strict=True))


def test_logistic_regression_with_class_weights_is_scikit_learn_s() -> None:
    x, y = problem("two classes")
    for given in ("balanced", {0: 1.0, 1: 9.0}, {1: 9.0}):
        ours = gs.LogisticRegression(class_weight=given, max_iter=500, tol=1e-8).fit(x, y)
        theirs = LogisticRegression(class_weight=given, max_iter=500, tol=1e-8).fit(x, y)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)


@pytest.mark.parametrize("kind", [gs.MLPClassifier, gs.LogisticRegression])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({7: 50.0}, "not in class_weight"),
        ({1: float("nan")}, "rows have weights from nan"),
        ({0: 0.0, 1: 0.0}, "rows have weights from 0 to 0"),
        ({0: -1.0, 1: 2.0}, "rows have weights from -1 to 2"),
        ("even", "class_weight|balanced"),
    ],
)
def test_class_weights_that_are_none_are_refused(kind: Any, given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(class_weight=given, max_iter=2).fit(*problem("two classes"))


def test_balanced_weights_need_all_rows() -> None:
    x, y = problem("two classes")
    with pytest.raises(ConfigurationError, match="'balanced' needs all rows, and partial_fit sees some"):
        gs.MLPClassifier(class_weight="balanced").partial_fit(x, y, classes=[0, 1])
    weighted = gs.MLPClassifier(class_weight={1: 4.0}, random_state=0).partial_fit(x, y, classes=[0, 1])
    plain = gs.MLPClassifier(random_state=0).partial_fit(x, y, np.where(y == 1, 4.0, 1.0), classes=[0, 1])
    assert np.array_equal(weighted.predict_proba(x), plain.predict_proba(x))


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "coo_array"])
def test_sparse_x_gives_what_dense_x_gives(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.sparse

    from gearshift.backends import host

    x, y = problem("digits")
    thin = getattr(scipy.sparse, kind)(x)
    estimator: Any
    for estimator in (gs.MLPClassifier(max_iter=3, random_state=0), gs.Autoencoder(max_iter=3, random_state=0)):
        copies: Any = clone(estimator), clone(estimator)
        ours, other = copies[0].fit(thin, y), copies[1].fit(x, y)
        for mine, theirs in zip(ours.coefs_, other.coefs_, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert ours.score(thin, y) == other.score(x, y)
    monkeypatch.setattr(host, "memory", lambda: (1000, 1000))
    with pytest.raises(DataError, match=r"X is sparse .* and 1,000 are free. Reduce its features"):
        gs.MLPClassifier().fit(thin, y)


def test_sample_weights_of_an_autoencoder_are_repeated_rows() -> None:
    """One batch of all rows: a weight of 2 is a row given twice."""
    x, _ = problem("digits")
    x = x[:40]
    weights = np.repeat([1.0, 2.0], 20)
    options: dict[str, Any] = {"max_iter": 5, "random_state": 0, "shuffle": False}
    ours = gs.Autoencoder(3, (8,), batch_size=40, **options).fit(x, sample_weight=weights)
    other = gs.Autoencoder(3, (8,), batch_size=60, **options).fit(np.concatenate([x, x[20:]]))
    for mine, theirs in zip(ours.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-9)
    assert ours.score(x, sample_weight=weights) == pytest.approx(ours.score(np.concatenate([x, x[20:]])))
