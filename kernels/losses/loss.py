"""What every loss shares: its arguments.

A loss is one pass over the rows of a batch. Its arrays are

- ``outputs`` (rows, n): what the model gives,
- ``target``: what it should have given; the loss says of which shape and dtype,
- ``scores`` (rows, metrics): the row's loss, then what is reported beside it,
- ``gradient`` (rows, n): of the mean loss over the batch with respect to ``outputs``.

A loop over rows `start` to `stop` divides the gradient by the rows of ``outputs``, not by those that it was asked for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..operation import Cuda, Operation, rows

TYPES = {"VALUE": 0, "REAL": 2, "GRADIENT": 3}
"""Types of a loss's kernel: outputs, scores, gradient."""


def loss_operation(
    name: str,
    reference: Any,
    loop: Any = None,
    flops_per_output: int = 0,
    cuda: Cuda | None = None,
) -> Operation:
    """A loss whose items are the rows of the batch. Its kernel's types are `TYPES`, and what else `cuda` names."""
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
