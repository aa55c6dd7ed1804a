"""Which functions the compiled loop of a fused MLP calls: those of its loss, optimizer, options and product engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels.dense import chain as dense_chain
from ...kernels.dense import clipping, elementwise
from ...kernels.dense.matrix_unit import NOT_INTEGERS, UNIT
from ...kernels.dense.parts import DropoutStreams, Update, skip
from ...kernels.dense.update import SLICES
from ...kernels.updates.clip_values import CLIP_VALUES
from ...kernels.updates.gradient_norm import CLIP_FACTOR
from ...kernels.updates.l1 import L1_SUBGRADIENT, SOFT_THRESHOLD
from ...kernels.updates.update import SHARED
from ..graph.graph import Node
from .fused_mlp import FusedMLP

_training: dict[tuple[Any, ...], tuple[Any, ...]] = {}
"""By what an evaluation depends on: the activations and functions of a training, and arguments of their types."""


def chosen(
    mlp: FusedMLP,
    unit: bool,
    bytes_: bool,
    arrays: tuple[tuple[Any, ...], ...],
    update: Update,
    dropout: DropoutStreams,
) -> tuple[dict[str, Any], Update, DropoutStreams]:
    """The functions of a loop, and its arguments for update and dropout.

    An evaluation uses those of a training of the same kind, so that the loop is not compiled for both. `arrays` are
    those of the data and outputs.
    """
    functions, activations = functions_of(mlp, unit, bytes_), {layer.activation for layer in mlp.layers}
    found = [array for group in arrays for array in group if isinstance(array, np.ndarray)]
    kinds = [(array.dtype, array.ndim, array.flags.writeable, array.flags.c_contiguous) for array in found]
    key = mlp.loss.operation.loop, *kinds
    if mlp.update is not None:
        _training[key] = activations, functions, emptied(update), emptied(dropout)
    elif key in _training and activations <= _training[key][0]:
        return _training[key][1:]
    return functions, update, dropout


def emptied(value: Any) -> Any:
    """The same nested tuples with arrays that are empty."""
    if isinstance(value, np.ndarray):
        return np.zeros((0,) * value.ndim, value.dtype)
    if not isinstance(value, tuple):
        return value
    items = map(emptied, value)
    return type(value)(*items) if hasattr(value, "_fields") else tuple(items)


def functions_of(mlp: FusedMLP, unit: bool, bytes_: bool) -> dict[str, Any]:
    """Replacements, by name, for functions that the loop calls; unused functions are not compiled."""
    functions: dict[str, Any] = {"loss": mlp.loss.operation.loop}
    activations, slopes = {layer.activation for layer in mlp.layers}, any(layer.slope for layer in mlp.layers)
    functions |= elementwise.unused(activations, slopes, any(layer.dropout for layer in mlp.layers))
    if unit:
        functions |= UNIT | ({} if bytes_ else NOT_INTEGERS)
    names = {L1_SUBGRADIENT: "add_l1", CLIP_VALUES: "clip_values", SOFT_THRESHOLD: "soft_threshold"}
    functions |= {name: skip for operation, name in names.items() if operation not in mlp.options}
    if CLIP_FACTOR in mlp.options:
        functions["use_gradient"] = clipping.keep_gradient
    else:
        functions["update_clipped"] = skip
    functions |= {"move_ahead": skip} if mlp.ahead is None else {"ahead": mlp.ahead.operation.loop}
    if mlp.update is None:
        return functions | dense_chain.NOT_LEARNING
    slots = len(mlp.update.inputs) - SHARED
    return functions | {"update_parameters": mlp.update.operation.loop, "slice_states": SLICES[slots]}


def attribute_names(node: Node) -> tuple[str, ...]:
    """The attributes of an operation in the order of its loop's arguments."""
    loop: Any = node.operation.loop
    return loop.__code__.co_varnames[2 + len(node.values) : loop.__code__.co_argcount]
