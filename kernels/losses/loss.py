"""The common arguments of all losses.

A loss is one pass over the rows of a batch. Its arrays are

- ``outputs`` (rows, n): the model's outputs,
- ``target``: the targets; shape and dtype depend on the loss,
- ``scores`` (rows, metrics): the row's loss, then its other metrics,
- ``gradient`` (rows, n): of the mean loss over the batch with respect to ``outputs``.

A loop over rows `start` to `stop` divides the gradient by the number of rows of ``outputs``, not by stop − start.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..operation import Cuda, Operation, rows

TYPES = {"VALUE": 0, "REAL": 2, "GRADIENT": 3}
"""Macros for the types of a loss kernel: outputs, scores, gradient."""


def loss_operation(
    name: str,
    reference: Any,
    loop: Any = None,
    flops_per_output: int = 0,
    cuda: Cuda | None = None,
) -> Operation:
    """A loss operation whose items are rows of the batch; its kernel's types are `TYPES` and those in `cuda`."""
    if cuda is not None:
        cuda = replace(cuda, types={**TYPES, **{name: i for name, i in cuda.types.items() if name not in TYPES}})
    return Operation(
        name,
        reference,
        loop,
        rows,
        cuda=cuda,
        flops=lambda outputs, *_, **__: flops_per_output * outputs.size,
        role="loss",
        sliced=loop is not None,
    )
