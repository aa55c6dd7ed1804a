"""Mean and maximum pooling over the tokens of a sequence, without padding.

`mask` (sequences, length) is 1 for tokens and 0 for padding; a sequence of padding only gives 0. The gradient of a
maximum goes to the first one.
"""

from __future__ import annotations

from typing import Any

from ..launch import over_items
from ..operation import Cuda, Launch, Operation, rows, rows_of_second, through

TYPES = {"VALUE": 0, "REAL": 1}


def mean_reference(xp: Any, x: Any, mask: Any, y: Any) -> None:
    """y (sequences, n) = Σ mask · x / Σ mask, of x (sequences · length, n)."""
    if x.size:
        x = xp.reshape(x, (*mask.shape, x.shape[1]))
        count = xp.sum(mask, axis=1)[:, None]
        x = xp.where((mask > 0)[:, :, None], x, xp.zeros_like(x))
        y[...] = xp.sum(x, axis=1) / xp.where(count > 0, count, xp.ones_like(count))


def mean_loop(start: int, stop: int, x: Any, mask: Any, y: Any) -> None:
    """`mean_reference` over sequences `start` to `stop`."""
    real, length = y.dtype.type, mask.shape[1]
    for i in range(start, stop):
        count = real(0)
        for t in range(length):
            count += mask[i, t]
        share = real(1) / count if count > 0 else real(0)
        out = y[i]
        for j in range(out.size):
            out[j] = real(0)
        for t in range(length):
            if mask[i, t] > 0:
                row = x[i * length + t]
                for j in range(out.size):
                    out[j] += row[j]
        for j in range(out.size):
            out[j] *= share


def mean_backward_reference(xp: Any, dy: Any, mask: Any, dx: Any) -> None:
    """dx (sequences · length, n) = mask · dy / Σ mask."""
    if dx.size:
        count = xp.sum(mask, axis=1)[:, None]
        share = mask / xp.where(count > 0, count, xp.ones_like(count))
        dx[...] = xp.reshape(share[:, :, None] * dy[:, None, :], dx.shape)


def mean_backward_loop(start: int, stop: int, dy: Any, mask: Any, dx: Any) -> None:
    """`mean_backward_reference` over sequences `start` to `stop`."""
    real, length = dx.dtype.type, mask.shape[1]
    for i in range(start, stop):
        count = real(0)
        for t in range(length):
            count += mask[i, t]
        share = real(1) / count if count > 0 else real(0)
        for t in range(length):
            out, factor = dx[i * length + t], share * mask[i, t]
            for j in range(out.size):
                out[j] = factor * dy[i, j]


def greatest(xp: Any, x: Any, mask: Any) -> tuple[Any, Any]:
    """x as (sequences, length, n) with -inf at padding, and whether a sequence has any token (sequences, 1)."""
    x = xp.reshape(x, (*mask.shape, x.shape[1]))
    return xp.where((mask > 0)[:, :, None], x, xp.zeros_like(x) - float("inf")), xp.any(mask > 0, axis=1)[:, None]


def max_reference(xp: Any, x: Any, mask: Any, y: Any) -> None:
    """y (sequences, n) = the maximum of x (sequences · length, n) without padding."""
    if x.size:
        counted, some = greatest(xp, x, mask)
        top = xp.max(counted, axis=1)
        y[...] = xp.where(some, top, xp.zeros_like(top))


def max_loop(start: int, stop: int, x: Any, mask: Any, y: Any) -> None:
    """`max_reference` over sequences `start` to `stop`."""
    length = mask.shape[1]
    for i in range(start, stop):
        out, some = y[i], False
        for j in range(out.size):
            out[j] = y.dtype.type(0)
        for t in range(length):
            if mask[i, t] > 0:
                row = x[i * length + t]
                for j in range(out.size):
                    if not some or row[j] > out[j] or row[j] != row[j]:  # NaN stays NaN
                        out[j] = row[j]
                some = True


def max_backward_reference(xp: Any, dy: Any, x: Any, mask: Any, dx: Any) -> None:
    """dx (sequences · length, n) = dy where x is the first maximum of its sequence, else 0."""
    if dx.size:
        counted, some = greatest(xp, x, mask)
        places = xp.arange(mask.shape[1])[None, :, None]
        first = (xp.argmax(counted, axis=1)[:, None, :] == places) & some[:, :, None]
        dx[...] = xp.reshape(xp.where(first, dy[:, None, :], xp.zeros_like(counted)), dx.shape)


def max_backward_loop(start: int, stop: int, dy: Any, x: Any, mask: Any, dx: Any) -> None:
    """`max_backward_reference` over sequences `start` to `stop`."""
    length = mask.shape[1]
    for i in range(start, stop):
        for j in range(dy.shape[1]):
            best = -1
            for t in range(length):
                row = i * length + t
                dx[row, j] = dx.dtype.type(0)
                if mask[i, t] > 0:
                    v = x[row, j]
                    if best < 0 or v > x[best, j] or (v != v and x[best, j] == x[best, j]):
                        best = row
            if best >= 0:
                dx[best, j] = dy[i, j]


def forward_launch(x: Any, mask: Any, y: Any) -> Launch:
    """One thread per output."""
    return over_items(y.size, x, mask, y, y.size, y.shape[1], mask.shape[1])


def backward_launch(dy: Any, *arrays: Any) -> Launch:
    """One thread per output; the mask is the array before the last."""
    return over_items(dy.size, dy, *arrays, dy.size, dy.shape[1], arrays[-2].shape[1])


MEAN_POOLING_BACKWARD = Operation(
    "mean_pooling_backward",
    mean_backward_reference,
    mean_backward_loop,
    rows,
    cuda=Cuda("pooling.cu", "mean_pooling_backward", backward_launch, types=TYPES),
    flops=lambda dy, mask, dx: dx.size,
)
MEAN_POOLING = Operation(
    "mean_pooling",
    mean_reference,
    mean_loop,
    rows_of_second,
    cuda=Cuda("pooling.cu", "mean_pooling", forward_launch, types=TYPES),
    gradient=through(MEAN_POOLING_BACKWARD, lambda node: node.inputs[1:]),
    flops=lambda x, *_: 2 * x.size,
)
MAX_POOLING_BACKWARD = Operation(
    "max_pooling_backward",
    max_backward_reference,
    max_backward_loop,
    rows,
    cuda=Cuda("pooling.cu", "max_pooling_backward", backward_launch, types={"VALUE": 0, "REAL": 2}),
    flops=lambda dy, x, *_: x.size,
)
MAX_POOLING = Operation(
    "max_pooling",
    max_reference,
    max_loop,
    rows_of_second,
    cuda=Cuda("pooling.cu", "max_pooling", forward_launch, types=TYPES),
    gradient=through(MAX_POOLING_BACKWARD, lambda node: node.inputs),
    flops=lambda x, *_: x.size,
)
