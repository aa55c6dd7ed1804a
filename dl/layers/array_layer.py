"""A layer written in array code, which runs on any backend."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backends.errors import ShapeError
from ...kernels.dual import Dual, value_of
from ...kernels.operation import Operation
from ..graph.graph import Graph, Value
from .base import Layer
from .parameter import Parameter
from .traced import lower_array_code


class ArrayLayer(Layer, named=False):
    """A layer written in array code: two functions that run on any backend through its array module.

    ``forward(xp, x, *parameters)`` returns y. ``backward(xp, dy, x, y, *parameters)`` returns the gradient with
    respect to x, then one for each parameter. x and y are (rows, features); parameters are passed in the order in
    which they were created. Do not modify the arrays.

    Without `backward`, `forward` is traced, as that of any `Layer`, and `xp` is `gearshift.xp`.

    Examples
    --------
    >>> class Cubed(gs.ArrayLayer):
    ...     def forward(self, xp, x):
    ...         return x**3
    ...     def backward(self, xp, dy, x, y):
    ...         return (3 * x**2 * dy,)
    >>> gs.check_gradients(Cubed(), x=np.array([[1.0, -2.0]])).ok
    True
    """

    def forward(self, xp: Any, x: Any, *parameters: Any) -> Any:
        """The layer's output for the batch x."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def backward(self, xp: Any, dy: Any, x: Any, y: Any, *parameters: Any) -> tuple[Any, ...]:
        """Gradients with respect to x and each parameter, given the gradient `dy`."""
        raise NotImplementedError(f"{type(self).__name__} has no backward()")

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The output shape without the batch dimension; the input shape unless overridden."""
        return shape

    def lower(self, graph: Graph, x: Value) -> Value:
        if type(self).backward is ArrayLayer.backward:
            return lower_array_code(self, graph, x)
        parameters = tuple(graph.parameter(value) for value in vars(self).values() if isinstance(value, Parameter))
        y = graph.batch(self.output_shape(x.shape))
        graph.apply(self._operation(len(parameters)), (x, *parameters), (y,))
        return y

    def _slope(self, x: Dual, parameters: list[Any]) -> Any:
        """dy / dx as computed by `backward`, if the layer is element-wise; otherwise None.

        At a kink (as of ReLU) the forward pass does not determine the derivative. If it differed from that of the
        backward pass, second derivatives would not be symmetric.
        """
        xp, given = x.xp, [value_of(parameter) for parameter in parameters]
        y = self.forward(xp, x.value, *given)
        if y.shape != x.shape:
            return None
        probe = xp.asarray(np.random.default_rng(0).standard_normal(x.shape).astype(x.dtype))
        slope, probed = (self.backward(xp, dy, x.value, y, *given)[0] for dy in (xp.ones_like(probe), probe))
        error = xp.abs(probed - probe * slope)
        return slope if bool((error <= 100 * np.finfo(x.dtype).eps * xp.abs(probed)).all()) else None

    def _operation(self, count: int) -> Operation:
        def forward(xp: Any, x: Any, *rest: Any) -> None:
            *parameters, y = rest
            slope = self._slope(x, parameters) if isinstance(x, Dual) else None
            if slope is None:
                _set("forward", y, self.forward(xp, x, *parameters))
            else:
                y[...] = self.forward(xp, Dual(x.xp, x.value, 0 * x.tangent), *parameters)
                y[...] = y + Dual(x.xp, 0 * x.value, slope * x.tangent)

        def backward(xp: Any, dy: Any, x: Any, y: Any, *rest: Any) -> None:
            gradients, targets = self.backward(xp, dy, x, y, *rest[:count]), rest[count:]
            if not isinstance(gradients, tuple | list) or len(gradients) != len(targets):
                found = f"{len(gradients)} gradients" if isinstance(gradients, tuple | list) else "no tuple"
                raise ShapeError(f"{name}: backward returns {found}, expected a tuple of {len(targets)}: {wanted}")
            for target, gradient in zip(targets, gradients, strict=True):
                _set("backward", target, gradient)

        def gradient(graph: Graph, node: Any, dy: Value) -> tuple[Value, ...]:
            targets = tuple(graph.like(value) for value in node.inputs)
            x, *parameters = node.inputs
            graph.apply(Operation(f"{name}_backward", backward), (dy, x, *node.outputs, *parameters), targets)
            return targets

        def _set(function: str, target: Any, value: Any) -> None:
            try:
                target[...] = value
            except (TypeError, ValueError) as error:  # NumPy's and CuPy's words for a shape or a type that does not fit
                shape = getattr(value, "shape", type(value).__name__)
                raise ShapeError(f"{name}: {function} returns {shape}, expected {target.shape}; {error}") from error

        name = type(self).__name__
        wanted = "the gradient of x, then one for each parameter"
        return Operation(name, forward, gradient=gradient)
