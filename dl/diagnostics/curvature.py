"""The shape of the loss around a point: extreme eigenvalues of the Hessian, and what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..hessian import Hessian
from ..layers.base import Layer
from ..losses import Loss

DENSE = 500  # weights up to which the whole Hessian is cheaper than Lanczos's iterations are sure


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
        """λ_max / λ_min where both are above 0, else infinite: gradient descent meets no bowl there."""
        return self.largest / self.smallest if self.smallest > 0 else math.inf

    @property
    def best_rate(self) -> float:
        """2 / (λ_max + λ_min), which shrinks a quadratic's error fastest; above 2 / λ_max it grows."""
        return 2 / (self.largest + max(self.smallest, 0.0)) if self.largest > 0 else math.inf

    def kind(self, gradient_tolerance: float = 1e-4, flat_tolerance: float = 1e-6) -> str:
        """``"minimum"``, ``"maximum"``, ``"saddle"``, ``"flat"``, or ``"not stationary"`` where the gradient is not 0.

        Eigenvalues within ``flat_tolerance`` of the largest one's size count as 0: a point with no negative ones is a
        minimum as far as second order can say, and ``"flat"`` where all are 0.
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

    Up to 500 weights from the whole Hessian; beyond, by Lanczos's method from Hessian-vector products (SciPy's eigsh).

    Parameters
    ----------
    tolerance : relative, of an eigenvalue, where Lanczos finds them.
    iterations : the most that Lanczos may take; by default ten times the number of weights.
    options : train, seed, step, backend, arena; see `gearshift.Hessian`.
    """
    return spectrum_of(Hessian(model, loss, x, y, **options), tolerance, iterations)


def spectrum_of(hessian: Hessian, tolerance: float = 1e-6, iterations: int | None = None) -> Spectrum:
    """The same for a `Hessian` at its present weights."""
    value = hessian.refresh()
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
    from scipy.sparse.linalg import LinearOperator, eigsh

    n = hessian.size
    operator = LinearOperator((n, n), matvec=lambda v: (hessian @ v).astype(np.float64), dtype=np.float64)  # pyright: ignore
    start = np.random.default_rng(0).standard_normal(n)  # SciPy's own would differ from call to call
    found = [eigsh(operator, 1, which=end, v0=start, tol=tolerance, maxiter=iterations) for end in ("SA", "LA")]  # pyright: ignore
    return np.array([values[0] for values, _ in found]), np.stack([vectors[:, 0] for _, vectors in found])
