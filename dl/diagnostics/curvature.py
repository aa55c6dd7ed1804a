"""The shape of the loss around a point, from the extreme eigenvalues of the Hessian."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backends.errors import NonFiniteLoss
from ..layers.base import Layer
from ..losses.losses import Loss
from .hessian import Hessian

DENSE = 500  # up to so many weights the whole Hessian is computed
WHOLE = 4096  # weights up to which Lanczos keeps all of its vectors, at most 128 MiB, and so needs no more products
KEPT = 100  # vectors that it keeps above
FIRST, GROWTH = 20, 1.1  # looks at what has converged: after so many products, and from one to the next


@dataclass(frozen=True)
class Spectrum:
    """The ends of a Hessian's spectrum.

    Attributes
    ----------
    smallest, largest : eigenvalues.
    gradient_norm : ‖g‖ at the point.
    loss : the mean loss there.
    directions : (2, n) unit eigenvectors of the two.
    """

    smallest: float
    largest: float
    gradient_norm: float
    loss: float
    directions: np.ndarray

    @property
    def condition_number(self) -> float:
        """λ_max / λ_min if both are positive, otherwise infinite, because the loss is not convex there."""
        return self.largest / self.smallest if self.smallest > 0 else math.inf

    @property
    def best_rate(self) -> float:
        """2 / (λ_max + λ_min), the fastest learning rate for a quadratic. Above 2 / λ_max, descent diverges."""
        return 2 / (self.largest + max(self.smallest, 0.0)) if self.largest > 0 else math.inf

    def kind(self, gradient_tolerance: float = 1e-4, flat_tolerance: float = 1e-6) -> str:
        """``"minimum"``, ``"maximum"``, ``"saddle"``, ``"flat"``, or ``"not stationary"`` where the gradient is not 0.

        Eigenvalues smaller than ``flat_tolerance`` times the largest magnitude count as 0. A point without negative
        eigenvalues is called a minimum, although higher orders could decide otherwise. If all are 0, it is
        ``"flat"``.
        """
        if self.gradient_norm > gradient_tolerance:
            return "not stationary"
        scale = max(abs(self.smallest), abs(self.largest))
        up, down = self.largest > flat_tolerance * scale, self.smallest < -flat_tolerance * scale
        if scale <= flat_tolerance:
            return "flat"
        return "saddle" if up and down else "minimum" if up else "maximum"

    def __str__(self) -> str:
        return (
            f"eigenvalues {self.smallest:.4g} to {self.largest:.4g}, condition number {self.condition_number:.4g}, "
            f"gradient norm {self.gradient_norm:.4g}: {self.kind()}"
        )


def spectrum(
    model: Layer, loss: Loss, x: Any, y: Any, *, tolerance: float = 1e-6, iterations: int | None = None, **options: Any
) -> Spectrum:
    """The extreme eigenvalues of the loss's Hessian over x and y at the model's weights.

    Up to 500 weights, the whole Hessian is computed. Beyond, Lanczos's method is used with Hessian-vector products. It
    needs at most one product per weight, and for networks typically 10 to 25 % of that. Above 4,096 weights, SciPy's
    eigsh is used, which restarts after a hundred vectors to save memory.

    Parameters
    ----------
    tolerance : relative tolerance of an eigenvalue in Lanczos's method.
    iterations : the limit for Lanczos's method; by default the number of weights, above 4,096 ten times that.
    options : train, seed, step, backend, arena; see `gearshift.Hessian`.

    Warns
    -----
    UserWarning
        `iterations` were too few for the tolerance.

    Examples
    --------
    >>> model = gs.Sequential(gs.Linear(64, 10)).init(0)
    >>> found = gs.spectrum(model, gs.CrossEntropyLoss(), x[:50], y[:50])
    >>> found.largest > found.smallest
    True
    """
    return spectrum_of(Hessian(model, loss, x, y, **options), tolerance, iterations)


def spectrum_of(hessian: Hessian, tolerance: float = 1e-6, iterations: int | None = None) -> Spectrum:
    """As `spectrum`, for a `Hessian` at its current weights."""
    value = hessian.refresh()
    if not math.isfinite(value):
        raise NonFiniteLoss(f"spectrum: the loss is {value:g} at these weights, so it has no curvature")
    if hessian.size <= DENSE:
        matrix = hessian.dense().astype(np.float64)
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        ends, directions = values[[0, -1]], vectors[:, [0, -1]].T
    else:
        ends, directions = _lanczos(hessian, tolerance, iterations)
    gradient = hessian.gradient().astype(np.float64)
    norm = float(np.linalg.norm(gradient))
    return Spectrum(float(ends[0]), float(ends[1]), norm, value, directions)


def _lanczos(hessian: Hessian, tolerance: float, iterations: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Both ends by Lanczos's method (1950) with full orthogonalisation, so it is exact after n products."""
    from scipy.linalg import eigh_tridiagonal

    n = hessian.size
    if n > WHOLE:
        return _restarted(hessian, tolerance, iterations)
    most = min(n, iterations or n)
    basis, diagonal, beside = np.empty((most, n)), np.empty(most), np.empty(most)
    vector, look = np.random.default_rng(0).standard_normal(n), FIRST
    vector /= np.linalg.norm(vector)
    for step in range(most):
        basis[step] = vector
        known = basis[: step + 1]
        vector = (hessian @ vector).astype(np.float64)
        diagonal[step] = basis[step] @ vector
        vector -= diagonal[step] * basis[step]
        if step:
            vector -= beside[step - 1] * basis[step - 1]
        before, left = math.inf, float(np.linalg.norm(vector))
        while left < before / 2:  # again where so much went that rounding matters in what is left
            vector -= (known @ vector) @ known
            before, left = left, float(np.linalg.norm(vector))
        beside[step] = left
        scale = np.abs(diagonal[: step + 1]).max() + beside[: step + 1].max()
        ended = step + 1 == most or beside[step] <= n * np.finfo(np.float64).eps * scale
        if ended or step + 1 >= look:
            parts = [
                eigh_tridiagonal(diagonal[: step + 1], beside[:step], select="i", select_range=(end, end))
                for end in (0, step)
            ]
            ends, shares = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts], axis=1)
            errors = beside[step] * np.abs(shares[-1])
            within = bool((errors <= tolerance * np.maximum(np.abs(ends), 1e-6 * np.abs(ends).max())).all())
            if ended or within:
                if not within and step + 1 < n and step + 1 == most:
                    warnings.warn(
                        f"spectrum: after {most} iterations the eigenvalues are known to {errors.max():.1e}; "
                        "raise iterations or tolerance",
                        stacklevel=4,
                    )
                return ends, shares.T @ known
            look = max(step + 2, int(GROWTH * (step + 1)))
        vector /= beside[step]
    raise AssertionError("there is at least one weight")


def _restarted(hessian: Hessian, tolerance: float, iterations: int | None) -> tuple[np.ndarray, np.ndarray]:
    from scipy.sparse.linalg import LinearOperator, eigsh

    n = hessian.size
    operator = LinearOperator((n, n), matvec=lambda v: (hessian @ v).astype(np.float64), dtype=np.float64)  # pyright: ignore
    start = np.random.default_rng(0).standard_normal(n)  # SciPy's own would differ from call to call
    options = {"v0": start, "tol": tolerance, "maxiter": iterations, "ncv": KEPT}
    found = [eigsh(operator, 1, which=end, **options) for end in ("SA", "LA")]  # pyright: ignore
    return np.array([values[0] for values, _ in found]), np.stack([vectors[:, 0] for _, vectors in found])
