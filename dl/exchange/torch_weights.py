"""Weights for and from PyTorch: `to_torch_state_dict` and `load_torch_state_dict`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError
from ..layers.attention import MultiHeadAttention
from ..layers.base import Layer
from ..layers.batch_norm import BatchNorm1d
from ..layers.linear import Linear
from .torch_names import check_fit

IGNORED = "num_batches_tracked"  # a count of PyTorch's that no result depends on


def to_torch_state_dict(model: Layer, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The weights of a model as the state dict of a PyTorch module of the same structure.

    Names are those of ``torch.nn.Sequential``: ``"0.weight"`` and so on. Weights of `Linear` are transposed to
    (out_features, in_features), and those of `MultiHeadAttention` are joined as ``torch.nn.MultiheadAttention`` has
    them.

    Parameters
    ----------
    model : any; weights of your own layers are passed on as they are.
    names : names of layers in the module, where they are others: ``{"0": "fc1", "2": "fc2"}``.

    Returns
    -------
    dict
        Tensors on the CPU, by name.

    Raises
    ------
    ConfigurationError
        PyTorch is not installed.

    Examples
    --------
    >>> model = gs.Sequential(gs.Linear(64, 32), gs.ReLU(), gs.Linear(32, 10))
    >>> module = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    >>> module.load_state_dict(gs.to_torch_state_dict(model))
    """
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ConfigurationError("to_torch_state_dict: PyTorch is not installed: pip install torch") from None
    tensors = model.state_dict()
    found: dict[str, Any] = {}
    for path, layer in _leaves(model, ""):
        own = {name: tensors.pop(path + name) for name in _parameters(layer)}
        renamed = _renamed(path, names or {})
        found |= {renamed + name: torch.from_numpy(np.array(array)) for name, array in _theirs(layer, own).items()}
        if isinstance(layer, BatchNorm1d):
            found[renamed + IGNORED] = torch.zeros((), dtype=torch.int64)
    return found


def load_torch_state_dict(model: Layer, state: Mapping[str, Any], names: Mapping[str, str] | None = None) -> None:
    """Sets the weights of a model from the state dict of a PyTorch module of the same structure.

    Parameters
    ----------
    model : its layers are found under the names of ``torch.nn.Sequential``, such as ``"0.weight"``.
    state : ``module.state_dict()``; tensors on any device, or arrays.
    names : names of layers in the module, where they are others: ``{"0": "fc1", "2": "fc2"}``.

    Raises
    ------
    ConfigurationError
        `state` is no state dict.
    CheckpointError
        Tensors are missing, left over, or of another shape; the message has them all, with the shapes that are
        expected. No weight is changed then.

    Examples
    --------
    >>> module = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    >>> model = gs.Sequential(gs.Linear(64, 32), gs.ReLU(), gs.Linear(32, 10))
    >>> gs.load_torch_state_dict(model, module.state_dict())
    """
    if not isinstance(state, Mapping):
        raise ConfigurationError(f"load_torch_state_dict: state is a {type(state).__name__}; pass module.state_dict()")
    given = {name: _array(value) for name, value in state.items() if name.rpartition(".")[2] != IGNORED}
    shapes = {parameter.name: parameter.shape for parameter in model.parameters()}
    expected: dict[str, dict[str, tuple[int, ...]]] = {}  # by the beginning of a layer's names
    layers = []
    for path, layer in _leaves(model, ""):
        renamed = _renamed(path, names or {})
        blank = {name: np.broadcast_to(np.float32(0), shapes[path + name]) for name in _parameters(layer)}
        expected[renamed] = {name: array.shape for name, array in _theirs(layer, blank).items()}
        layers.append((path, renamed, layer))
    check_fit(expected, {name: array.shape for name, array in given.items()})
    found: dict[str, np.ndarray] = {}
    for path, renamed, layer in layers:
        own = {name: given[renamed + name] for name in expected[renamed]}
        found |= {path + name: array for name, array in _ours(layer, own).items()}
    model.load_state_dict(found)


def _array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) in ("torch.bfloat16", "torch.float16") else value
        return value.numpy()
    return np.asarray(value)


def _leaves(layer: Layer, path: str) -> Iterator[tuple[str, Layer]]:
    """Every layer with weights of its own or joined ones, each once, and the beginning of their names."""
    seen: set[int] = set()

    def walk(layer: Layer, path: str) -> Iterator[tuple[str, Layer]]:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        if _parameters(layer):
            yield path, layer
        if not isinstance(layer, MultiHeadAttention):
            for name, child in layer.children().items():
                yield from walk(child, f"{path}{name}.")

    yield from walk(layer, path)


def _parameters(layer: Layer) -> list[str]:
    """The names of a layer's weights; of attention, also those of the layers inside it."""
    from ..layers.parameter import Parameter

    if isinstance(layer, MultiHeadAttention):
        return [f"{part}.{name}" for part in ("query", "key", "value", "output") for name in ("weight", "bias")]
    return [name for name, value in vars(layer).items() if isinstance(value, Parameter)]


def _theirs(layer: Layer, own: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A layer's weights as PyTorch has them."""
    if isinstance(layer, MultiHeadAttention):
        parts = "query", "key", "value"
        return {
            "in_proj_weight": np.concatenate([own[f"{part}.weight"].T for part in parts]),
            "in_proj_bias": np.concatenate([own[f"{part}.bias"] for part in parts]),
            "out_proj.weight": own["output.weight"].T,
            "out_proj.bias": own["output.bias"],
        }
    if isinstance(layer, Linear):
        return {name: array.T if name == "weight" else array for name, array in own.items()}
    return dict(own)


def _ours(layer: Layer, theirs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `_theirs`."""
    if isinstance(layer, MultiHeadAttention):
        found = {"output.weight": theirs["out_proj.weight"].T, "output.bias": theirs["out_proj.bias"]}
        weights, biases = np.split(theirs["in_proj_weight"], 3), np.split(theirs["in_proj_bias"], 3)
        for part, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
            found |= {f"{part}.weight": weight.T, f"{part}.bias": bias}
        return found
    if isinstance(layer, Linear):
        return {name: array.T if name == "weight" else array for name, array in theirs.items()}
    return dict(theirs)


def _renamed(path: str, names: Mapping[str, str]) -> str:
    """The beginning of a layer's names in PyTorch."""
    layer = path.removesuffix(".")
    if layer not in names:
        return path
    return f"{names[layer]}." if names[layer] else ""
