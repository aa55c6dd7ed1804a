"""What a rank does to its gradients on the device before and after the all-reduce of a step.

The message (n + m,) has the gradients, and behind them the metrics of the step; n is the number of gradients, m that of
the totals. `part` (3,) int64 has the rows of the batch that this rank has, those of the whole batch, and those that the
rank computes: one where it has none, which must not count.
"""

from __future__ import annotations

import math
from typing import Any

from .counters import CURSOR, FAILED, STEP
from .launch import one_block, over_items
from .operation import Cuda, Launch, Operation

OWN, WHOLE, COMPUTED = range(3)


def outgoing_reference(xp: Any, message: Any, totals: Any, part: Any) -> None:
    """Weights the gradients by the rank's share of the rows, appends the totals (m,), and sets these to 0."""
    n, own = message.shape[0] - totals.shape[0], int(part[OWN])
    if own:
        message[:n] *= own / int(part[WHOLE])
        message[n:] = xp.astype(totals, message.dtype)
    else:
        message[...] = 0
    totals[...] = 0


def incoming_reference(xp: Any, message: Any, totals: Any, counters: Any, part: Any) -> None:
    """Adds the metrics of all ranks to the totals (m,), and moves the cursor over the rows of the others.

    The step has failed if the sum of all ranks' losses is not finite; a rank without rows may have found another.
    """
    n = message.shape[0] - totals.shape[0]
    totals += message[n:]
    if int(counters[FAILED]) in (-1, int(counters[STEP])):
        counters[FAILED] = -1 if math.isfinite(float(message[n + 1])) else counters[STEP]
    counters[CURSOR] += int(part[WHOLE]) - int(part[COMPUTED])


def outgoing_launch(message: Any, totals: Any, part: Any) -> Launch:
    """One thread per element."""
    return over_items(message.size, message, totals, part, message.size - totals.size, message.size)


def incoming_launch(message: Any, totals: Any, counters: Any, part: Any) -> Launch:
    """A single block."""
    return one_block(message, totals, counters, part, message.size - totals.size, totals.size)


OUTGOING = Operation(
    "outgoing",
    outgoing_reference,
    cuda=Cuda("exchange.cu", "outgoing", outgoing_launch),
    flops=lambda message, *_: message.size,
)
INCOMING = Operation(
    "incoming",
    incoming_reference,
    cuda=Cuda("exchange.cu", "incoming", incoming_launch),
)
