"""Damped Newton methods, with the full Hessian or with conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError
from ..values import require_number
from .on_host import OnHost

MOST = 4096  # maximum parameters for a full Hessian


class SecondOrder(OnHost, named=False):
    """Base class of second-order methods: the direction comes from gradient g and Hessian H; p ← p − lr · direction.

    A `Trainer` provides exact products with the Hessian of the batch loss, and halves a step while it would raise
    that loss (damped Newton: Nocedal and Wright 2006, 3.1). Use batches of thousands of rows or full batches: the
    inverse amplifies the noise of the Hessian.
    """

    def __init__(self, lr: float, damping: float) -> None:
        super().__init__(lr, 0.0)
        self.damping = damping
        require_number(self, damping=damping, at_least=0)

    def direction(self, g: np.ndarray, product: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """The direction for the gradient g (n,), float64, where ``product(v)`` is H v."""
        raise NotImplementedError

    def update(self, p: Any, g: Any, state: Any) -> None:
        name = type(self).__name__
        raise ConfigurationError(f"{name} needs the Hessian; without a Trainer: p -= optimizer.direction(g, product)")


class Newton(SecondOrder):
    """Newton's method, p ← p − lr (H + shift I)⁻¹ g, with the whole Hessian H: for at most 4,096 parameters.

    The shift is `damping`, increased where H has negative eigenvalues so that the smallest eigenvalue is `damping`
    and each step descends; the undamped method is attracted by saddle points.

    Parameters
    ----------
    lr : factor of the step.
    damping : added to H; also the smallest eigenvalue of the inverted matrix. 0 for the undamped method.

    Raises
    ------
    ConfigurationError
        There are more than 4,096 parameters.

    Examples
    --------
    >>> trainer = gs.Trainer(gs.Sequential(gs.Linear(3, 1)), gs.MSELoss(), gs.Newton(damping=0.0), seed=0)
    >>> history = trainer.fit(x_train, y_train / 1e5, epochs=1, batch_size=50, verbose=False)
    >>> trainer.evaluate(x_train, y_train / 1e5)["loss"] < 1e-10  # a square has its minimum after one step
    True
    """

    def __init__(self, lr: float = 1.0, damping: float = 1e-4) -> None:
        super().__init__(lr, damping)

    def direction(self, g: np.ndarray, product: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        if g.size > MOST:
            raise ConfigurationError(
                f"Newton needs the full Hessian of {g.size:,} parameters; at most {MOST:,} are supported, use NewtonCG"
            )
        hessian = np.stack([product(row) for row in np.eye(g.size)])
        values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
        curvature = values + max(self.damping, self.damping - values[0])
        along = vectors.T @ g
        solid = curvature > np.finfo(np.float64).eps * g.size * np.abs(curvature).max()
        return vectors @ np.where(solid, along / np.where(solid, curvature, 1.0), 0.0)


class NewtonCG(SecondOrder):
    """Newton's method by conjugate gradients on (H + damping I) d = g, from products H v (Nocedal, Wright 2006, 7.1).

    The iteration ends when the residual is `tol` times the gradient, after `iterations`, or at a direction of
    non-positive curvature of H + damping I; so each step descends.

    Parameters
    ----------
    lr : factor of the step.
    damping : added to H.
    iterations : maximum number of products per step.
    tol : tolerance of the residual, relative to the norm of the gradient.

    Examples
    --------
    >>> optimizer = gs.NewtonCG(damping=0.0)
    >>> hessian = np.array([[2.0, 0.0], [0.0, 50.0]])
    >>> optimizer.direction(np.array([2.0, 50.0]), lambda v: hessian @ v).round(6)  # H⁻¹ g
    array([1., 1.])
    """

    def __init__(self, lr: float = 1.0, damping: float = 1e-4, iterations: int = 50, tol: float = 1e-6) -> None:
        super().__init__(lr, damping)
        self.iterations, self.tol = iterations, tol
        require_number(self, iterations=iterations, at_least=1, below=2**31)
        require_number(self, tol=tol, at_least=0)

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
