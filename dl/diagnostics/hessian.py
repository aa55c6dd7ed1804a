"""Exact Hessian-vector products without computing the Hessian (Pearlmutter 1994)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...backends.errors import ShapeError
from ...kernels.dual import NoTangent
from ..graph.tangent import PHASE, hessian_products
from ..layers.base import Layer
from ..losses.losses import Loss
from ..step.plan import Plan, underflowing
from ..step.program import Program
from .objective import Objective


class Hessian(Objective):
    """The Hessian H of the mean loss over x and y with respect to all weights, as a linear operator.

    H v is the derivative of the gradient along v, computed by forward mode over the forward and backward operations.
    A product costs as much as 2.4 gradients (784-512-512-10, 256 rows on NumPy) to 4.5 (64-128-10), and is as precise
    as a gradient. If an operation has no second derivative (`NoTangent`: a custom layer whose array functions have no
    rule), products are central differences of the gradient instead, and one warning says so.

    Parameters
    ----------
    model, loss, x, y, train, seed, step, backend, arena : as of `Objective`.

    Attributes
    ----------
    exact : whether products are exact rather than differences.

    Examples
    --------
    >>> model = gs.Sequential(gs.Linear(64, 10)).init(0)
    >>> hessian = gs.Hessian(model, gs.CrossEntropyLoss(), x[:50], y[:50])
    >>> (hessian @ np.ones(hessian.size)).shape
    (650,)
    """

    def __init__(self, model: Layer, loss: Loss, x: Any, y: Any, **options: Any) -> None:
        super().__init__(model, loss, x, y, **options)
        self.exact = True
        self.refresh()

    def _bound(self, program: Program) -> Plan:
        arena = self.arena
        self.direction = arena.zeros()
        self.product = arena.zeros()
        self._shared |= {f"tangent of {p.name}": arena.view(self.direction, p) for p in self.trained}
        changes = hessian_products(program.graph)
        self._changes = {p: changes[p.name] for p in self.trained if p.name in changes}
        return super()._bound(program)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n) for n trained weights."""
        return self.size, self.size

    def refresh(self) -> float:
        """Prepares products at the arena's current weights and the loaded rows; returns the mean loss."""
        return self.evaluate()

    def gradient(self) -> np.ndarray:
        """The gradient (n,)."""
        return self.flatten(self.arena.gradients)

    @underflowing
    def __matmul__(self, vector: Any) -> np.ndarray:
        """H v for v (n,), which has one element for each trained weight, in the model's order."""
        vector = np.asarray(vector)
        if vector.shape not in ((self.size,), (self.size, 1)):
            raise ShapeError(f"Hessian: the vector has shape {vector.shape}; expected ({self.size},)")
        self.arena.unpack(self.direction, self.unflatten(vector.ravel()))
        return self.flatten(self.apply())

    @underflowing
    def apply(self) -> Any:
        """Computes `product` = H · `direction` and returns it. Both are backend arrays in the layout of the gradients.

        The weights must be those of the last `refresh`.
        """
        if self.exact:
            try:
                self.plan.once(self.rows, PHASE)
            except NoTangent as error:
                self.exact = False
                warnings.warn(f"Hessian: products are central differences of the gradient: {error}", stacklevel=2)
        if not self.exact:
            return self._difference()
        for parameter, value in self._changes.items():
            self.arena.view(self.product, parameter)[...] = self.plan.array(value, self.rows)
        return self.product

    def _difference(self) -> Any:
        """(∇f(θ + hv) − ∇f(θ − hv)) / 2h, with h so that hv is ε^(1/3) of the weights' size."""
        arena, direction = self.arena, self.direction
        weights, gradients = arena.trained.copy(), arena.gradients.copy()
        length = float((direction * direction).sum()) ** 0.5
        h = np.finfo(arena.dtype).eps ** (1 / 3) * (1 + float((weights * weights).sum()) ** 0.5) / (length or 1.0)
        for side in (1, -1):
            arena.trained[...] = weights + side * h * direction
            self.evaluate()
            self.product[...] = arena.gradients if side > 0 else (self.product - arena.gradients) / (2 * h)
        arena.trained[...], arena.gradients[...] = weights, gradients
        return self.product

    def dense(self) -> np.ndarray:
        """The whole matrix (n, n), for few weights: n products."""
        return np.stack([self @ row for row in np.eye(self.size, dtype=self.arena.dtype)], axis=1)


def hessian_vector_product(
    model: Layer, loss: Loss, x: Any, y: Any, v: Mapping[str, Any], **options: Any
) -> dict[str, np.ndarray]:
    """H v for arrays v by parameter name, returned likewise. For many products, make one `Hessian` instead.

    Raises
    ------
    ShapeError
        A trained parameter has no array in `v`, or one of another shape.

    Examples
    --------
    >>> model = gs.Sequential(gs.Linear(64, 10)).init(0)
    >>> v = {name: np.ones(p.shape) for name, p in model.state_dict().items()}
    >>> products = gs.hessian_vector_product(model, gs.CrossEntropyLoss(), x[:50], y[:50], v)
    """
    hessian = Hessian(model, loss, x, y, **options)
    for parameter in hessian.trained:
        shape = np.shape(v[parameter.name]) if parameter.name in v else None
        if shape != parameter.shape:
            raise ShapeError(f"v[{parameter.name!r}] has shape {shape}; expected {parameter.shape}")
    hessian.arena.unpack(hessian.direction, {name: np.asarray(array) for name, array in v.items()})
    return hessian.arena.pack(hessian.apply())
