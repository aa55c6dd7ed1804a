"""The base of the estimators: parameters, initial weights, training and forward passes."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ... import backends
from ...backends import Backend
from ...backends.errors import ConfigurationError, NonFiniteLoss
from ..data import Dataset
from ..losses.answers import check_finite
from ..losses.values import MSELoss
from ..step.plan import underflowing
from ..training.interrupts import interrupts, unswallowed
from . import checks, lbfgs
from .descent import Descent, PenalizedLoss, TrainingInterrupted, solver
from .in_kind import kind_of
from .network import Network
from .rows import batch_rows, dense, split


class Perceptron(BaseEstimator):
    """Base of the estimators; parameters and attributes are scikit-learn's, see `docs/scikit-learn.md`.

    A subclass defines the targets, the predictions and the score.
    """

    _checks: ClassVar[dict[str, checks.Check]] = checks.COMMON
    _classifies: ClassVar[bool] = False
    _lbfgs_options: ClassVar[dict[str, float]] = {}

    # parameters, at what they are where an estimator has no such parameter
    hidden_layer_sizes: Any = ()
    activation: str = "identity"
    solver: str = "adam"
    alpha: float = 0.0
    batch_size: int | str = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: bool | int = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    max_fun: int = 15000
    backend: str | None = "auto"
    dtype: str = "auto"
    dropout: float = 0.0
    fit_intercept: bool = True

    def _keep(self, parameters: dict[str, Any]) -> None:
        """Sets the parameters of a constructor as they were given: its `locals()`."""
        vars(self).update((name, value) for name, value in parameters.items() if name != "self")

    # what a classifier overrides: the loss of values, and R²

    def _objective(self) -> PenalizedLoss:
        # half the squared error; its gradient is that of a sum over outputs, its value that of their mean
        return PenalizedLoss(MSELoss(), self.n_outputs_ / 2, 0.5, float(self.alpha))

    def _validation_score(self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> float:
        return float(r2_score(targets, outputs, sample_weight=weights))

    def _hidden(self) -> tuple[list[int], list[str]]:
        """Widths and activations of the hidden layers."""
        sizes = checks.widths(self.hidden_layer_sizes)
        return sizes, [self.activation] * len(sizes)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = tags.array_api_support = True
        return tags

    # fitting

    def _first(self, X: Any, incremental: bool) -> bool:
        """Checks the parameters, and keeps of which library X is; returns whether to start from new weights."""
        checks.check(self, self._checks)
        if self.early_stopping and incremental:
            raise ConfigurationError("partial_fit does not support early_stopping=True")
        if self.dropout and self.solver == "lbfgs":
            raise ConfigurationError("dropout draws anew at each step, which solver 'lbfgs' cannot follow: use 'adam'")
        self._kind = kind_of(X)
        return not hasattr(self, "coefs_") or not (self.warm_start or incremental)

    def _dtypes(self, first: bool) -> Any:
        """The accepted dtypes of x: that of the parameter `dtype`, of the existing weights, or its own."""
        if not first:
            return self.coefs_[0].dtype
        return (np.float64, np.float32) if self.dtype == "auto" else np.dtype(self.dtype)

    def _fit(
        self,
        x: np.ndarray,
        targets: np.ndarray,
        outputs: int,
        weights: np.ndarray | None,
        first: bool,
        incremental: bool,
    ) -> None:
        """Trains on checked rows and encoded targets: labels (n,), or values (n, outputs)."""
        random = check_random_state(self.random_state)
        sizes, activations = self._hidden()
        units = [x.shape[1], *sizes, outputs]
        shapes = list(pairwise(units))
        for name in ("coefs_", "intercepts_", "loss_curve_", "validation_scores_"):
            if isinstance(getattr(self, name, None), list):  # a copy of the estimator may share the list
                setattr(self, name, list(getattr(self, name)))
        if first:
            self._begin(shapes, random, x.dtype)
        elif [coef.shape for coef in self.coefs_] != shapes:
            held = [coef.shape for coef in self.coefs_]
            raise ConfigurationError(f"the weights there are have shapes {held}; the layers asked for need {shapes}")
        elif self._was_watched_otherwise():
            self._forget(len(units), outputs)
        network = Network(self.coefs_, self.intercepts_ if self.fit_intercept else None, activations)
        backend = backends.get(self.backend)
        self.backend_ = backend.name
        if self.solver == "lbfgs":
            model, data = network.model(), Dataset(x, targets)
            options = {"maxiter": self.max_iter, "maxfun": self.max_fun, "gtol": self.tol, **self._lbfgs_options}
            self.loss_, self.n_iter_ = lbfgs.minimize(model, self._objective(), backend, data, weights, options)
            network.take(model)
            return
        rows, held = np.arange(len(x)), None
        if self.early_stopping:
            rows, held = split(targets, self.validation_fraction, random, outputs == 1 and self._classifies)
        self._descend(network, backend, x, targets, rows, held, weights, random, incremental)

    def _begin(self, shapes: list[tuple[int, int]], random: np.random.RandomState, dtype: np.dtype) -> None:
        """Draws weights and biases as scikit-learn does (Glorot and Bengio 2010, uniform)."""
        self.coefs_, self.intercepts_ = [], []
        for inputs, outputs in shapes:
            bound = math.sqrt((2 if self.activation == "logistic" else 6) / (inputs + outputs))
            self.coefs_.append(random.uniform(-bound, bound, (inputs, outputs)).astype(dtype))
            self.intercepts_.append(random.uniform(-bound, bound, outputs).astype(dtype))
        self._forget(len(shapes) + 1, shapes[-1][1])

    def _forget(self, layers: int, outputs: int) -> None:
        """Resets the reported attributes of a fit."""
        self.n_layers_, self.n_outputs_ = layers, outputs
        self.n_iter_ = self.t_ = 0
        self._best: tuple[list[np.ndarray], list[np.ndarray]] | None = None
        if self.solver == "lbfgs":
            return
        self.loss_curve_: list[float] = []
        self._no_improvement, self._run = 0, None
        self.best_loss_ = None if self.early_stopping else math.inf
        self.validation_scores_ = [] if self.early_stopping else None
        self.best_validation_score_ = -math.inf if self.early_stopping else None

    def _was_watched_otherwise(self) -> bool:
        """Whether the fit that is gone on from had no epochs, or stopped early by the other measure."""
        if self.solver == "lbfgs":
            return False
        return not hasattr(self, "loss_curve_") or (self.best_loss_ is None) != self.early_stopping

    def _descend(
        self,
        network: Network,
        backend: Backend,
        x: np.ndarray,
        targets: np.ndarray,
        rows: np.ndarray,
        held: np.ndarray | None,
        weights: np.ndarray | None,
        random: np.random.RandomState,
        incremental: bool,
    ) -> None:
        """Runs epochs of a stochastic solver until nothing improves."""
        n = len(rows)
        data, sample_weight = Dataset(x, targets), weights
        if held is not None:
            data, sample_weight = data[rows], None if weights is None else weights[rows]
        model = network.model(float(self.dropout))
        seed = random.randint(2**31) if self.dropout else 0
        optimizer = solver(self)
        size = batch_rows(self.batch_size, n)
        with unswallowed():
            descent = Descent(model, self._objective(), optimizer, backend, data, sample_weight, size, seed)
        if incremental and self._run is not None and self._run[0].keys() == descent.pack().keys():
            descent.unpack(*self._run)  # else the solver was changed meanwhile, and begins anew
        order = np.arange(n)
        self.n_iter_ = 0
        with interrupts(descent.stop):
            while self.n_iter_ < self.max_iter:
                if self.shuffle:
                    moves = np.arange(n)
                    random.shuffle(moves)  # as sklearn.utils.shuffle, which checks its arguments for longer
                    order = order[moves]
                loss = descent.epoch(order)
                if descent.stopped:
                    warnings.warn(
                        "training was interrupted: the weights are those of the last step",
                        TrainingInterrupted,
                        stacklevel=2,
                    )
                    break
                if descent.failed():
                    raise NonFiniteLoss(
                        f"the loss is not finite in iteration {self.n_iter_ + 1} at learning rate "
                        f"{optimizer.lr * descent.rate:g}: lower learning_rate_init, or scale the features"
                    )
                self.n_iter_ += 1
                self.t_ += n
                self.loss_ = loss
                self.loss_curve_.append(loss)
                self._say(f"Iteration {self.n_iter_}, loss = {loss:.8f}")
                if held is None:
                    self._watch_loss(loss)
                else:
                    network.take(model)
                    outputs = network.forward(backend, x[held])
                    kept = None if weights is None else weights[held]
                    self._watch_score(self._validation_score(outputs, targets[held], kept), network)
                if self._ends(descent, optimizer.lr) or incremental:
                    break
                if self.n_iter_ == self.max_iter:
                    warnings.warn(
                        f"max_iter={self.max_iter} iterations were run and the loss still improves",
                        ConvergenceWarning,
                        stacklevel=2,
                    )
        network.take(model)
        self._run = descent.pack(), descent.state.step, descent.rate
        if held is not None and self._best is not None:
            network.coefs[:], network.intercepts[:] = self._best  # pyright: ignore[reportOptionalSubscript]

    def _watch_loss(self, loss: float) -> None:
        """Records whether the training loss has improved by `tol`."""
        assert self.best_loss_ is not None
        self._no_improvement = self._no_improvement + 1 if loss > self.best_loss_ - self.tol else 0
        self.best_loss_ = min(self.best_loss_, loss)

    def _watch_score(self, score: float, network: Network) -> None:
        """Records whether the validation score has improved by `tol`, and keeps the best weights."""
        assert self.best_validation_score_ is not None and self.validation_scores_ is not None
        self.validation_scores_.append(score)
        self._say(f"Validation score: {score:f}")
        self._no_improvement = self._no_improvement + 1 if score < self.best_validation_score_ + self.tol else 0
        if score > self.best_validation_score_:
            self.best_validation_score_ = score
            self._best = list(network.coefs), list(network.intercepts or [])

    def _ends(self, descent: Descent, rate: float) -> bool:
        """Whether nothing has improved for long; also moves the learning rate, for ``solver="sgd"``."""
        if self.solver == "sgd" and self.learning_rate == "invscaling":
            descent.slow(1 / ((self.t_ + 1) ** self.power_t * descent.rate))
        if self._no_improvement <= self.n_iter_no_change:
            return False
        what = "Validation score" if self.early_stopping else "Training loss"
        text = f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
        if self.solver == "sgd" and self.learning_rate == "adaptive" and descent.rate * rate > 1e-6:
            descent.slow(1 / 5)
            self._no_improvement = 0
            self._say(f"{text} Setting learning rate to {descent.rate * rate:f}")
            return False
        self._say(f"{text} Stopping.")
        return True

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text)

    # answering

    @underflowing
    def _outputs(self, X: Any, first: int = 0, last: int | None = None) -> np.ndarray:
        """The outputs of layers `first` to `last` for rows X, which are checked."""
        check_is_fitted(self)
        if first == 0:
            X = validate_data(self, dense(X), dtype=self.coefs_[0].dtype, order="C", reset=False)
        _, activations = self._hidden()
        network = Network(self.coefs_, self.intercepts_ if self.fit_intercept else None, activations)
        with np.errstate(over="ignore", invalid="ignore"):  # rows too large are refused
            outputs = network.forward(backends.get(self.backend), X, first, last)
        weights = {f"coefs_[{level}]": coef for level, coef in enumerate(self.coefs_)}
        weights |= {f"intercepts_[{level}]": intercept for level, intercept in enumerate(self.intercepts_)}
        check_finite(outputs, X, weights)
        return outputs
