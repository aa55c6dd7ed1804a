"""Adds a term to the loss of a batch; the gradient of the term starts here.

A term is one number per row, whose mean over the batch is added to the loss, or one number per batch. It can be any
value of the graph that a layer adds (`Graph.add_term`), such as a penalty on a code. With weight w, the loss
increases by w · term.
"""

from __future__ import annotations

from typing import Any

from ..launch import over_items
from ..operation import Cuda, Launch, Operation, rows


def reference(xp: Any, scores: Any, term: Any, total: Any, dterm: Any, *, weight: float) -> None:
    """total (rows, m) = scores with weight · term added to column 0; dterm = weight / size of term.

    `term` is (rows, 1) or (1,).
    """
    if scores.shape[0] == 0:
        return
    total[...] = scores
    total[:, 0] = scores[:, 0] + weight * xp.reshape(term, (-1,))
    dterm[...] = xp.zeros_like(term) + weight / term.size


def loop(start: int, stop: int, scores: Any, term: Any, total: Any, dterm: Any, weight: float) -> None:
    """`reference` over rows `start` to `stop`."""
    real = scores.dtype.type
    terms, out = term.reshape(-1), dterm.reshape(-1)
    count = terms.shape[0]
    factor, share = real(weight), real(weight / count) if count > 0 else real(0)
    for row in range(start, stop):
        value = factor * terms[row if count > 1 else 0]
        for j in range(scores.shape[1]):
            total[row, j] = scores[row, j]
        total[row, 0] = scores[row, 0] + value
        if row < count:
            out[row] = share


def launch(scores: Any, term: Any, total: Any, dterm: Any, *, weight: float) -> Launch:
    """One thread per row."""
    count, m = scores.shape
    share = weight / term.size if term.size else 0.0
    return over_items(count, scores, term, total, dterm, count, m, term.size, weight, share)


TERM = Operation(
    "term",
    reference,
    loop,
    rows,
    cuda=Cuda("term.cu", "term", launch),
    inplace=((0, 0),),
    flops=lambda scores, *_, **__: 2 * scores.shape[0],
)
