"""Which tensors of a PyTorch state dict do not fit a model, and under which names they may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...backends.errors import CheckpointError

MOST = 10  # tensors of a message

Shape = tuple[int, ...]


def check_fit(expected: Mapping[str, Mapping[str, Shape]], given: Mapping[str, Shape]) -> None:
    """Raises CheckpointError unless the tensors are those that the model expects.

    Parameters
    ----------
    expected : the shapes of each layer's tensors, by the beginning of their names, as ``"0."``.
    given : the shapes of the state dict's tensors, by name.
    """
    wanted = {start + name: shape for start, own in expected.items() for name, shape in own.items()}
    missing = {name: shape for name, shape in wanted.items() if name not in given}
    unknown = {name: shape for name, shape in given.items() if name not in wanted}
    wrong = [
        f"{name!r} has shape {given[name]}, expected {shape}"
        for name, shape in wanted.items()
        if name in given and given[name] != shape
    ]
    faults = [f"missing are {_listed(missing)}"] if missing else []
    faults += [f"without a layer in the model are {_listed(unknown)}"] if unknown else []
    faults += ["; ".join(wrong[:MOST]) + (f"; … ({len(wrong)} in all)" if len(wrong) > MOST else "")] if wrong else []
    if not faults:
        return
    names = _names(expected, missing, unknown) if missing and unknown else None
    if names:
        remedy = f"did you mean names={names}?"
    elif missing and unknown:
        remedy = "give the names of layers that differ, as names={'0': 'fc1'}"
    else:
        remedy = "the module must have the same layers, and (out_features, in_features) weights as PyTorch's"
    raise CheckpointError(f"the state dict does not fit the model: {'; '.join(faults)}; {remedy}")


def _names(
    expected: Mapping[str, Mapping[str, Shape]], missing: Mapping[str, Shape], unknown: Mapping[str, Shape]
) -> dict[str, str] | None:
    """Names of layers that fit, in their order; None if there are none."""
    ours = {start: own for start, own in expected.items() if all(start + name in missing for name in own)}
    theirs: dict[str, dict[str, Shape]] = {}
    for name, shape in unknown.items():
        start, dot, last = name.rpartition(".")
        theirs.setdefault(start + dot, {})[last] = shape
    if [*map(dict, ours.values())] != [*theirs.values()] or sum(map(len, ours.values())) < len(missing):
        return None
    return {one.removesuffix("."): other.removesuffix(".") for one, other in zip(ours, theirs, strict=True)}


def _listed(tensors: Mapping[str, Any]) -> str:
    """Names with their shapes, the first ten of many."""
    text = ", ".join(f"{name!r} {shape}" for name, shape in [*tensors.items()][:MOST])
    return text if len(tensors) <= MOST else f"{text}, … ({len(tensors)} in all)"
