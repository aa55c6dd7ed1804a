"""What a fused MLP does to a row of outputs between two products: bias, activation and dropout.

The derivative of `activation`'s functions follows from their outputs, which are the next layer's X. Those of formulas
and of dropout do not: in training, the forward pass also computes the slope, the derivative of activation and dropout
together. The backward pass multiplies by it, so no random number is drawn twice.

Formulas, tanh and sigmoid are called by address, so another formula does not compile the loop again, and a network
without tanh does not compile it.
"""

from __future__ import annotations

from typing import Any

from ...backends.addresses import call
from ..activations.activation import RELU, SIGMOID, TANH, relu
from ..activations.activation import backward_vector as activation_backward
from ..activations.activation import forward_vector as activation
from ..random.dropout import factors
from .parts import DropoutStreams, LayerPlaces

FORMULA = -1  # `LayerPlaces.activation` of a formula


def add_products(work: Any, at: int, step: int, parts: int, bias: Any, z: Any) -> None:
    """z = the sum of the parts' products + bias for some columns of a row; `bias` may be empty."""
    n = z.shape[0]
    one = work[at : at + n]
    if parts == 1:
        for j in range(n):
            z[j] = one[j]
    else:
        other = work[at + step : at + step + n]
        for j in range(n):
            z[j] = one[j] + other[j]
    for part in range(2, parts):
        other = work[at + part * step : at + part * step + n]
        for j in range(n):
            z[j] += other[j]
    if bias.shape[0] > 0:
        for j in range(n):
            z[j] += bias[j]


def activate(z: Any, y: Any, slope: Any, layer: LayerPlaces) -> None:
    """y = activation(z) for some columns of a row; a formula also computes the slope if it is stored."""
    n, zero = z.shape[0], y.dtype.type(0)
    if layer.formula >= 0 and layer.activation == FORMULA and layer.slope >= 0:
        call(layer.formula, 0, (0, n, z, y, slope))
    elif layer.formula >= 0:
        call(layer.formula, 0, (0, n, z, y))
    elif layer.activation == RELU:
        for j in range(n):
            y[j] = relu(z[j], zero)
    else:
        for j in range(n):
            y[j] = z[j]


def tanh_loop(start: int, stop: int, z: Any, y: Any) -> None:
    """y = tanh(z) of vectors, with the arguments of a formula's loop."""
    activation(z, y, TANH)


def sigmoid_loop(start: int, stop: int, z: Any, y: Any) -> None:
    """y = sigmoid(z) of vectors, with the arguments of a formula's loop."""
    activation(z, y, SIGMOID)


def drop_out(
    y: Any, slope: Any, element: int, layer: LayerPlaces, dropout: DropoutStreams, counters: Any, scratch: Any
) -> None:
    """Dropout of y = activation(z), whose first element is number `element` of the batch, and of the slope."""
    if layer.dropout < 0:
        return
    n, threshold, stream = y.shape[0], dropout.thresholds[layer.dropout], dropout.streams[layer.dropout]
    at = factors(element, n, dropout.key, counters, threshold, dropout.scales[layer.dropout], stream, scratch)
    kept = scratch[at : at + n]
    if layer.activation == FORMULA:
        multiply(kept, slope)
    else:
        activation_backward(kept, y, slope, layer.activation)
    multiply(kept, y)


def multiply(factor: Any, y: Any) -> None:
    """y *= factor; where the factor is 0 the result is 0, whatever y is."""
    zero = y.dtype.type(0)
    for j in range(y.shape[0]):
        y[j] = y[j] * factor[j] if factor[j] != zero else zero


def differentiate(dy: Any, y: Any, slope: Any, dz: Any, layer: LayerPlaces) -> None:
    """dz = dy times the derivative of activation and dropout, given their result y and the slope if it is stored."""
    n, zero = y.shape[0], y.dtype.type(0)
    if layer.slope >= 0:
        for j in range(n):
            dz[j] = dy[j] * slope[j] if slope[j] != zero else zero
    else:
        activation_backward(dy, y, dz, layer.activation)


BY_ADDRESS = {TANH: tanh_loop, SIGMOID: sigmoid_loop}
"""The loops of activations that are called by address, besides formulas."""
