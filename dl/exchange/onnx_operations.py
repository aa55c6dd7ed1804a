"""The operations of a graph as nodes of ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError
from ..graph.graph import Node, Value
from .onnx_formulas import convert_formula

ACTIVATIONS = {0: "Identity", 1: "Relu", 2: "Tanh", 3: "Sigmoid"}


class Builder:
    """Collects nodes and constants; the values of the graph have the names of their results.

    Parameters
    ----------
    weights : the model's tensors by name.
    dtype : of computations.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], dtype: str) -> None:
        self.weights, self.dtype = weights, np.dtype(dtype)
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.names: dict[Value, str] = {}
        self._count = 0

    def constant(self, array: Any, name: str = "") -> str:
        """The name of a constant."""
        from onnx import numpy_helper

        name = name or self._fresh("constant")
        self.constants[name] = numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def real(self, value: Any) -> str:
        """A constant in the dtype of computations."""
        return self.constant(np.asarray(value, self.dtype))

    def shape(self, *sizes: int) -> str:
        """A constant of integers, such as a shape or axes."""
        return self.constant(np.array(sizes, np.int64))

    @property
    def kind(self) -> int:
        """ONNX's number of the dtype of computations."""
        from onnx import helper

        return helper.np_dtype_to_tensor_dtype(self.dtype)

    def name(self, value: Value) -> str:
        """The name of a value; parameters become constants where they are first read."""
        if value not in self.names:
            if value.kind != "parameter":
                raise ConfigurationError(f"to_onnx: value {value.name!r} is not known in prediction")
            self.names[value] = self.constant(self.weights[value.name].astype(self.dtype), value.name)
        return self.names[value]

    def add(self, kind: str, *inputs: str, outputs: int = 1, result: str = "", **attributes: Any) -> Any:
        """Appends a node; returns the name of its output, or those of several."""
        from onnx import helper

        names = [result] if result else [self._fresh(kind.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def convert(self, node: Node) -> None:
        """Appends the nodes of an operation.

        Raises
        ------
        ConfigurationError
            The operation has no form in ONNX, as that of a layer in array code.
        """
        converter = convert_formula if node.operation.formula else CONVERTERS.get(node.operation.name)
        if converter is None:
            raise ConfigurationError(
                f"to_onnx: layer {node.layer or '0'!r} computes {node.operation.name!r}, which has no form in ONNX; "
                "write its forward pass as a formula of gs.xp, without a backward()"
            )
        results = converter(self, node)
        results = results if isinstance(results, list) else [results]
        self.names.update(zip(node.outputs, results, strict=False))  # further outputs are for the backward pass

    def _fresh(self, name: str) -> str:
        self._count += 1
        return f"{name}_{self._count}"


def _inputs(b: Builder, node: Node) -> list[str]:
    return [b.name(value) for value in node.inputs]


def _matmul(b: Builder, node: Node) -> str:
    x, y = _inputs(b, node)
    if node.attributes.get("transpose_a"):
        x = b.add("Transpose", x, perm=_last_swapped(node.inputs[0]))
    if node.attributes.get("transpose_b"):
        y = b.add("Transpose", y, perm=_last_swapped(node.inputs[1]))
    return b.add("MatMul", x, y)


def _last_swapped(value: Value) -> list[int]:
    axes = len(value.shape) + (value.kind == "batch")
    return [*range(axes - 2), axes - 1, axes - 2]


def _activation(b: Builder, node: Node) -> str:
    return b.add(ACTIVATIONS[int(node.attributes["activation"])], *_inputs(b, node))


def _bias_activation(b: Builder, node: Node) -> str:
    return b.add(ACTIVATIONS[int(node.attributes["activation"])], b.add("Add", *_inputs(b, node)))


def _maxout(b: Builder, node: Node) -> str:
    (x,), width = _inputs(b, node), node.outputs[0].shape[0]
    pieces = node.inputs[0].shape[0] // width
    parts = b.add("Reshape", x, b.shape(-1, width, pieces))
    return b.add("ReduceMax", parts, b.shape(2), keepdims=0)


def _standardize(b: Builder, node: Node) -> str:
    x, mean, scale = _inputs(b, node)
    return b.add("Mul", b.add("Sub", x, mean), scale)


def _split(b: Builder, node: Node) -> list[str]:
    sizes = b.shape(*(value.shape[0] for value in node.outputs))
    return b.add("Split", *_inputs(b, node), sizes, outputs=2, axis=1)


def _columns(b: Builder, node: Node) -> str:
    first = int(node.attributes["first"])
    (x,), last = _inputs(b, node), first + node.outputs[0].shape[0]
    return b.add("Slice", x, b.shape(first), b.shape(last), b.shape(1))


def _layer_norm(b: Builder, node: Node) -> str:
    return b.add("LayerNormalization", *_inputs(b, node), axis=-1, epsilon=float(node.attributes["eps"]))


def _batch_norm(b: Builder, node: Node) -> str:
    """(x − mean) · factor + bias, the factor computed in float64."""
    weight, bias, mean, variance = (b.weights[value.name].astype(np.float64) for value in node.inputs[1:])
    factor = weight / np.sqrt(variance + float(node.attributes["eps"]))
    centred = b.add("Sub", b.name(node.inputs[0]), b.real(mean))
    return b.add("Add", b.add("Mul", centred, b.real(factor)), b.real(bias))


def _embedding(b: Builder, node: Node) -> str:
    ids, table = _inputs(b, node)
    flat = b.add("Reshape", b.add("Cast", ids, to=_INT64), b.shape(-1))
    return b.add("Gather", table, flat, axis=0)


_INT64 = 7  # onnx.TensorProto.INT64


def _positions(b: Builder, node: Node) -> str:
    x, length, width = b.name(node.inputs[0]), int(node.attributes["length"]), node.inputs[0].shape[0]
    table = b.real(b.weights[node.inputs[1].name][:length])
    placed = b.add("Add", b.add("Reshape", x, b.shape(-1, length, width)), table)
    return b.add("Reshape", placed, b.shape(-1, width))


def _padding(b: Builder, node: Node) -> str:
    (ids,) = _inputs(b, node)
    same = b.add("Equal", ids, b.real(node.attributes["padding"]))
    return b.add("Where", same, b.real(0), b.real(1))


def _ones(b: Builder, node: Node) -> str:
    return b.real(np.ones((1, *node.outputs[0].shape)))  # it is broadcast over the batch


def _split_heads(b: Builder, node: Node) -> str:
    (x,), (length, width), heads = _inputs(b, node), node.outputs[0].shape, node.outputs[0].rows_per_example
    parts = b.add("Reshape", x, b.shape(-1, length, heads, width))
    return b.add("Reshape", b.add("Transpose", parts, perm=[0, 2, 1, 3]), b.shape(-1, length, width))


def _merge_heads(b: Builder, node: Node) -> str:
    (y,), (length, width), features = _inputs(b, node), node.inputs[0].shape, node.outputs[0].shape[0]
    parts = b.add("Reshape", y, b.shape(-1, features // width, length, width))
    return b.add("Reshape", b.add("Transpose", parts, perm=[0, 2, 1, 3]), b.shape(-1, features))


def _softmax(b: Builder, node: Node) -> str:
    s, length = b.name(node.inputs[0]), node.inputs[0].shape[0]
    s = b.add("Mul", s, b.real(node.attributes["scale"]))
    if node.attributes["causal"]:
        s = b.add("Where", b.constant(np.tri(length, dtype=bool)), s, b.real(-1e30))
    return b.add("Softmax", s, axis=-1)


def _masked_softmax(b: Builder, node: Node) -> str:
    """A row that sees nothing is 0."""
    (s, mask), (rows, length), heads = _inputs(b, node), node.inputs[0].shape, node.inputs[0].rows_per_example
    seen = b.add("Greater", b.add("Reshape", mask, b.shape(-1, 1, 1, length)), b.real(0))
    if node.attributes["causal"]:
        seen = b.add("And", seen, b.constant(np.tri(length, dtype=bool)))
    s = b.add("Reshape", b.add("Mul", s, b.real(node.attributes["scale"])), b.shape(-1, heads, rows, length))
    p = b.add("Softmax", b.add("Where", seen, s, b.real(-1e30)), axis=-1)
    return b.add("Reshape", b.add("Where", seen, p, b.real(0)), b.shape(-1, rows, length))


def _tokens(b: Builder, node: Node) -> tuple[str, str, str]:
    """x as (sequences, tokens, n), the mask (sequences, tokens), and whether a token counts (sequences, tokens, 1)."""
    x, mask = _inputs(b, node)
    parts = b.add("Reshape", x, b.shape(-1, node.inputs[1].shape[0], node.inputs[0].shape[0]))
    return parts, mask, b.add("Greater", b.add("Unsqueeze", mask, b.shape(2)), b.real(0))


def _mean_pooling(b: Builder, node: Node) -> str:
    x, mask, counts = _tokens(b, node)
    total = b.add("ReduceSum", b.add("Where", counts, x, b.real(0)), b.shape(1), keepdims=0)
    count = b.add("Max", b.add("ReduceSum", mask, b.shape(1), keepdims=1), b.real(1))
    return b.add("Div", total, count)


def _max_pooling(b: Builder, node: Node) -> str:
    x, mask, counts = _tokens(b, node)
    top = b.add("ReduceMax", b.add("Where", counts, x, b.real(np.finfo(b.dtype).min)), b.shape(1), keepdims=0)
    some = b.add("Greater", b.add("ReduceMax", mask, b.shape(1), keepdims=1), b.real(0))
    return b.add("Where", some, top, b.real(0))


CONVERTERS: dict[str, Callable[[Builder, Node], Any]] = {
    "matmul": _matmul,
    "activation": _activation,
    "bias_activation": _bias_activation,
    "maxout": _maxout,
    "standardize": _standardize,
    "add": lambda b, node: b.add("Add", *_inputs(b, node)),
    "columns": _columns,
    "concatenate": lambda b, node: b.add("Concat", *_inputs(b, node), axis=1),
    "split": _split,
    "layer_norm": _layer_norm,
    "batch_norm_fixed": _batch_norm,
    "embedding": _embedding,
    "positions": _positions,
    "padding": _padding,
    "ones": _ones,
    "split_heads": _split_heads,
    "merge_heads": _merge_heads,
    "softmax": _softmax,
    "masked_softmax": _masked_softmax,
    "mean_pooling": _mean_pooling,
    "max_pooling": _max_pooling,
}
