"""An autoencoder as a transformer: rows to codes and back."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from ...backends.errors import ShapeError
from ..step.plan import underflowing
from . import checks
from .base import Perceptron
from .in_kind import in_kind, taken
from .rows import checked_weights, dense


class Autoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Perceptron):
    """A network that learns to reconstruct its input from a narrow layer, the code (Hinton and Salakhutdinov 2006).

    The encoder has the hidden layers, and the decoder mirrors them. The code and the output have no activation. The
    squared error is minimised. All other parameters are those of `MLPRegressor`.

    Parameters
    ----------
    n_components : width of the code.
    hidden_layer_sizes : widths of the layers before the code.

    Attributes
    ----------
    coefs_, intercepts_, loss_curve_, n_iter_, … : as those of `MLPRegressor`.

    Examples
    --------
    >>> coder = gs.Autoencoder(n_components=4, max_iter=5, random_state=0).fit(x / 16)
    >>> coder.inverse_transform(coder.transform(x[:3] / 16)).shape
    (3, 64)
    """

    n_components: int
    _checks: ClassVar[dict[str, checks.Check]] = {"n_components": checks.whole(1), **checks.COMMON}

    def __init__(
        self,
        n_components: int = 2,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.001,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: float = 10,
        backend: str | None = "auto",
        dtype: str = "auto",
        dropout: float = 0.0,
    ) -> None:
        self._keep(locals())

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Trains on X (rows, features); y is ignored. Rows may have weights (rows,)."""
        return self._fit_rows(X, sample_weight, incremental=False)

    @available_if(checks.goes_stepwise)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Trains for one more epoch on X."""
        return self._fit_rows(X, sample_weight, incremental=True)

    @in_kind
    def transform(self, X: Any) -> np.ndarray:
        """The codes of rows X: (rows, n_components)."""
        return self._outputs(X, 0, self._middle)

    @in_kind
    def inverse_transform(self, X: Any) -> np.ndarray:
        """Decodes codes X (rows, n_components): (rows, features).

        Raises
        ------
        ShapeError
            The codes have the wrong width.
        """
        check_is_fitted(self)
        X = check_array(dense(X), dtype=self.coefs_[0].dtype, order="C")
        if X.shape[1] != self._n_features_out:
            raise ShapeError(f"X has {X.shape[1]} columns; expected codes of {self._n_features_out}")
        return self._outputs(X, self._middle)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """R² of the reconstruction, averaged over features; 1 is best."""
        answers = self._outputs(X)
        return float(r2_score(check_array(dense(X), order="C"), answers, sample_weight=taken(sample_weight)))

    @property
    def _middle(self) -> int:
        """Layers before the code."""
        return len(self.coefs_) // 2 if hasattr(self, "coefs_") else 0

    @property
    def _n_features_out(self) -> int:
        return self.coefs_[self._middle].shape[0]

    def _hidden(self) -> tuple[list[int], list[str]]:
        sizes = checks.widths(self.hidden_layer_sizes)
        widths = [*sizes, int(self.n_components), *reversed(sizes)]
        activations = [self.activation] * len(widths)
        activations[len(sizes)] = "identity"
        return widths, activations

    @underflowing
    def _fit_rows(self, X: Any, sample_weight: Any, incremental: bool) -> Self:
        first = self._first(X, incremental)
        X = validate_data(self, dense(X), dtype=self._dtypes(first), order="C", reset=first)
        self.out_activation_ = "identity"
        self._fit(X, X, X.shape[1], checked_weights(sample_weight, X), first, incremental)
        return self
