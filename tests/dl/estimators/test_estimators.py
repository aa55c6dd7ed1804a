"""The estimators against scikit-learn: its own checks, and its own networks from the same weights and batches."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from estimator_problems import problem
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score, validation_curve
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, DataError, ShapeError

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
]


OURS = {"classes": gs.MLPClassifier, "values": gs.MLPRegressor}


THEIRS = {"classes": MLPClassifier, "values": MLPRegressor}


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
