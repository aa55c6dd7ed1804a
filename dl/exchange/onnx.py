"""`to_onnx`: a model as an ONNX file, for ONNX Runtime and other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..._version import __version__
from ...backends.errors import ConfigurationError
from ..graph.graph import Graph
from ..layers.base import Layer
from ..layers.input_shape import input_shape_of
from ..losses.binary import BCEWithLogitsLoss, HingeLoss
from ..losses.classes import CrossEntropyLoss, MulticlassHingeLoss
from ..storage import write_atomically
from .onnx_operations import Builder

OPSET = 18
MOST = 2_000_000_000  # bytes of a protobuf message


def to_onnx(model: Layer, path: str | Path, *, features: int | None = None) -> None:
    """Writes a model as an ONNX file with a dynamic number of rows.

    Parameters
    ----------
    model : its structure, weights, standardisation, class names and target scaling are written.
    path : of the file, as ``"model.onnx"``.
    features : the number of features of a row; by default what the first layer expects. For sequences of any length,
        the number of tokens.

    Raises
    ------
    ConfigurationError
        The package onnx is not installed, a layer is one of your own, or the model is too large for one file (2 GB).
    ShapeError
        The number of features is not known.

    Notes
    -----
    The input is ``"x"`` (rows, features) in the model's dtype. The outputs are

    - ``"outputs"`` (rows, n): the raw outputs, as ``model(x)``; of sequences (rows, tokens, n);
    - ``"probabilities"`` and ``"label"`` (class names, or 0, 1, …) of a classifier whose loss is known;
    - ``"prediction"`` (rows, n): values in the targets' units, if the model has a `target_scaling`.

    The metadata have the class names (``"classes"``) and column names (``"feature_names"``) as JSON. Categories of a
    table are not encoded: x has one column for each, see `Layer.preparation`.

    Examples
    --------
    >>> gs.to_onnx(model, "model.onnx")
    >>> session = onnxruntime.InferenceSession("model.onnx")
    >>> session.run(["label"], {"x": x.astype("float32")})
    """
    try:
        import onnx
        from onnx import helper
    except ImportError:
        raise ConfigurationError("to_onnx: the package onnx is not installed: pip install 'gearshift[onnx]'") from None

    width = input_shape_of(model)[0] if features is None else features
    weights = model.state_dict()
    if sum(array.nbytes for array in weights.values()) > MOST:
        raise ConfigurationError(f"to_onnx: the model has more than {MOST:,} bytes, which no ONNX file can hold")
    graph = Graph(model.dtype)
    x = graph.batch((width,), graph.dtype, name="x")
    output = graph.lower(model, x)
    builder = Builder(weights, model.dtype)
    builder.names[x] = "x"
    for node in graph.nodes:
        builder.convert(node)
    raw = builder.name(output)
    if output.rows_per_example > 1:
        raw = builder.add("Reshape", raw, builder.shape(-1, *output.example_shape))
    raw = builder.add("Identity", raw, result="outputs")
    shapes = {"outputs": (helper.np_dtype_to_tensor_dtype(np.dtype(model.dtype)), output.example_shape)}
    shapes |= _answers(builder, model, raw, output.example_shape)
    number = helper.np_dtype_to_tensor_dtype(np.dtype(model.dtype))
    made = helper.make_graph(
        builder.nodes,
        "gearshift",
        [helper.make_tensor_value_info("x", number, ["rows", width])],
        [helper.make_tensor_value_info(name, kind, ["rows", *shape]) for name, (kind, shape) in shapes.items()],
        list(builder.constants.values()),
    )
    document = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="gearshift",
        producer_version=__version__,
        ir_version=9,
    )
    kept = {"classes": model.classes, "feature_names": model.feature_names}
    helper.set_model_props(document, {name: json.dumps(value) for name, value in kept.items() if value is not None})
    onnx.checker.check_model(document, full_check=True)
    write_atomically(path, document.SerializeToString())


def _answers(b: Builder, model: Layer, raw: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Appends what the loss makes of the outputs; returns the type and shape of each output."""
    from onnx import helper

    loss, number = model.loss, helper.np_dtype_to_tensor_dtype(b.dtype)
    found: dict[str, Any] = {}
    if isinstance(loss, CrossEntropyLoss):
        if not isinstance(loss, MulticlassHingeLoss):
            b.add("Softmax", raw, axis=-1, result="probabilities")
            found["probabilities"] = number, shape
        places = b.add("ArgMax", raw, axis=-1, keepdims=0)
        found["label"] = _label(b, model, places), shape[:-1]
    elif isinstance(loss, BCEWithLogitsLoss | HingeLoss):
        yes = b.add("Greater", raw, b.real(0))
        if isinstance(loss, BCEWithLogitsLoss):
            one = b.add("Sigmoid", raw)
            if shape == (1,):
                zero = b.add("Sigmoid", b.add("Neg", raw))
                b.add("Concat", zero, one, axis=1, result="probabilities")
            else:
                b.add("Identity", one, result="probabilities")
            found["probabilities"] = number, (2,) if shape == (1,) else shape
        places = b.add("Cast", yes, to=7)
        if shape == (1,):
            places = b.add("Squeeze", places, b.shape(1))
        found["label"] = _label(b, model, places), () if shape == (1,) else shape
    elif model.target_scaling is not None and getattr(loss, "squared", False):
        scaling = model.target_scaling
        scaled = b.add("Mul", raw, b.real(scaling.scale))
        b.add("Add", scaled, b.real(scaling.mean), result="prediction")
        found["prediction"] = number, shape
    return found


def _label(b: Builder, model: Layer, places: str) -> int:
    """Appends the label: the class name of each place; returns its type."""
    classes: list[Any] | None = model.classes
    if model.signed_targets:
        classes = [-1, 1]
    if classes is None:
        b.add("Identity", places, result="label")
        return 7
    names = np.array(classes)
    b.add(
        "Gather", b.constant(names.astype(object) if names.dtype.kind == "U" else names), places, axis=0, result="label"
    )
    return 8 if names.dtype.kind == "U" else 7
