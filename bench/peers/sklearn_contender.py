"""scikit-learn's MLPClassifier and MLPRegressor, a step or an epoch being one `partial_fit`.

Three things differ from the others and are evened out:

- `alpha`, the L2 penalty, is set to 0.
- The regressor's loss is half the mean square, summed over the outputs where the gradient is concerned, so gradients
  are outputs / 2 times as large. Adam does not see such a factor but for epsilon, which is multiplied by it; the
  losses that are reported are doubled.
- Its Adam adds epsilon to the root of the moment before that is corrected, which makes it 1 / √(1 − β₂ᵗ) times as
  large. Epsilon is set to what is right at the third step.

Input checks for NaN are off (`assume_finite`), its fastest way.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from ...backends import host
from .contender import Contender, ContenderEpochs, ContenderSteps
from .networks import BETAS, EPS, LR, DenseNetwork, Pixels, Weights


def make() -> Contender:
    """scikit-learn."""
    sklearn.set_config(assume_finite=True)
    warnings.simplefilter("ignore", ConvergenceWarning)
    return ScikitLearn()


class ScikitLearn(Contender):
    """A classifier or a regressor."""

    def steps(self, network: DenseNetwork, layers: Weights, x: np.ndarray, y: np.ndarray) -> ContenderSteps:
        return Fitted(network, layers, x, y, len(x), shuffle=False)

    def epochs(self, network: DenseNetwork, layers: Weights, data: Pixels, batch_size: int) -> ContenderEpochs:
        x = data.standardized()
        return PartialEpochs(Fitted(network, layers, x, x if network.autoencoder else data.y, batch_size, shuffle=True))

    def settings(self) -> dict[str, Any]:
        return {"scikit-learn": sklearn.__version__, "threads": host.blas_threads()}


class Fitted(ContenderSteps):
    """An estimator with weights given from outside; `run` passes over its data."""

    def __init__(
        self, network: DenseNetwork, layers: Weights, x: np.ndarray, y: np.ndarray, batch_size: int, shuffle: bool
    ) -> None:
        kind: Any = MLPRegressor if network.autoencoder else MLPClassifier
        scale = network.widths[-1] / 2 if network.autoencoder else 1.0
        self.estimator: Any = kind(
            hidden_layer_sizes=network.widths[1:-1],
            alpha=0.0,
            batch_size=batch_size,
            learning_rate_init=LR,
            shuffle=shuffle,
            beta_1=BETAS[0],
            beta_2=BETAS[1],
            epsilon=EPS * scale * (1 - BETAS[1] ** 3) ** 0.5,
        )
        self.x, self.y, self.layers = x, y, layers
        self.factor = 2.0 if network.autoencoder else 1.0
        self.options = {} if network.autoencoder else {"classes": np.arange(network.widths[-1])}
        self.first = slice(0, batch_size)
        self.estimator.partial_fit(x[self.first], y[self.first], **self.options)
        self.reset()

    def reset(self) -> None:
        for mine, own, (w, b) in zip(self.estimator.coefs_, self.estimator.intercepts_, self.layers, strict=True):
            mine[...], own[...] = w, b
        vars(self.estimator).pop("_optimizer", None)  # the next fit makes one that has taken no step

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.estimator.partial_fit(self.x, self.y, **self.options)

    def losses(self, steps: int) -> list[float]:
        self.reset()
        losses = []
        for _ in range(steps):
            self.run(1)
            losses.append(self.factor * float(self.estimator.loss_))
        return losses


class PartialEpochs(ContenderEpochs):
    """A `partial_fit` of the whole data set is one shuffled epoch."""

    def __init__(self, fitted: Fitted) -> None:
        self.fitted = fitted

    def run(self) -> None:
        self.fitted.run(1)

    def weights(self) -> Weights:
        return list(zip(self.fitted.estimator.coefs_, self.fitted.estimator.intercepts_, strict=True))
