"""Newton's method, exact and by conjugate gradients, damped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError
from .on_host import OnHost

MOST = 4096  # parameters whose Hessian is made whole


class SecondOrder(OnHost, named=False):
    """Base of the methods that step along a direction found from gradient g and Hessian H; p ← p − lr · direction.

    A `Trainer` gives products with the Hessian of the batch's loss, which are exact, and halves a step for as long as
    it would raise that loss (damped Newton: Nocedal and Wright 2006, 3.1). Batches of thousands of rows, or
    all of them, are wanted: the inverse multiplies the noise of what it inverts.
    """

    def __init__(self, lr: float, damping: float) -> None:
        super().__init__(lr, 0.0)
        self.damping = damping
        self._at_least("damping", 0)

    def direction(self, g: np.ndarray, product: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """The direction for the gradient g (n,), float64, where ``product(v)`` is H v."""
        raise NotImplementedError

    def update(self, p: Any, g: Any, state: Any) -> None:
        name = type(self).__name__
        raise ConfigurationError(f"{name} needs the Hessian too: by hand, p -= optimizer.direction(g, product)")


class Newton(SecondOrder):
    """Newton's method, p ← p − lr (H + shift I)⁻¹ g, with the whole Hessian H: for at most 4,096 parameters.

    The shift is `damping`, raised where H curves downwards so that the least eigenvalue is `damping` and each step
    descends: at a saddle the bare method would be attracted.

    Parameters
    ----------
    lr : share of the step.
    damping : least eigenvalue of what is inverted, and added to H; 0 is the bare method where H is positive definite.

    Raises
    ------
    ConfigurationError
        There are more than 4,096 parameters.
    """

    def __init__(self, lr: float = 1.0, damping: float = 1e-4) -> None:
        super().__init__(lr, damping)

    def direction(self, g: np.ndarray, product: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        if g.size > MOST:
            raise ConfigurationError(
                f"Newton makes a Hessian of {g.size:,} parameters whole; at most {MOST:,} are taken: use NewtonCG"
            )
        hessian = np.stack([product(row) for row in np.eye(g.size)])
        values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
        curvature = values + max(self.damping, self.damping - values[0])
        along = vectors.T @ g
        solid = curvature > np.finfo(np.float64).eps * g.size * np.abs(curvature).max()
        return vectors @ np.where(solid, along / np.where(solid, curvature, 1.0), 0.0)


class NewtonCG(SecondOrder):
    """Newton's method by conjugate gradients on (H + damping I) d = g, from products H v (Nocedal, Wright 2006, 7.1).

    The iteration ends where the residual is `tol` of the gradient, after `iterations`, or at a direction along which
    H + damping I does not curve upwards: each step descends.

    Parameters
    ----------
    lr : share of the step.
    damping : added to H.
    iterations : the most products a step.
    tol : residual at which a step is good enough, relative to the gradient's norm.
    """

    def __init__(self, lr: float = 1.0, damping: float = 1e-4, iterations: int = 50, tol: float = 1e-6) -> None:
        super().__init__(lr, damping)
        self.iterations, self.tol = iterations, tol
        self._at_least("iterations", 1, below=2**31)
        self._at_least("tol", 0)

    def direction(self, g: np.ndarray, product: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        found, residual = np.zeros_like(g), g.copy()
        along, square = residual.copy(), float(residual @ residual)
        goal = self.tol * self.tol * square  # the power of a large number would be an error, its product is infinite
        for iteration in range(int(self.iterations)):
            if square <= goal:
                break
            curved = product(along) + self.damping * along
            curvature = float(along @ curved)
            if curvature <= 0:
                return found if iteration else g.copy()
            step = square / curvature
            found += step * along
            residual -= step * curved
            before, square = square, float(residual @ residual)
            along = residual + (square / before) * along
        return found
