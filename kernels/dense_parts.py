"""How a chain of dense layers is divided among threads, and where what begins in its workspace."""

from __future__ import annotations

from typing import Any

from ..backends.team import share, wait

# Columns of `layers`: widths, offsets in the arena (-1: no bias), rows of `factors`, then places in `work`.
# X (rows, inputs) is what the layer reads, D (rows, outputs) the gradient before the activation of what it writes,
# DT that transposed. SUMS are the parts' products, and GRADIENT collects over blocks: of the bias, then of the weights.
# TOTALS are the sums of D's rows, of each part its own: see `multiply_on_unit`.
INPUTS, OUTPUTS, WEIGHT, BIAS, WEIGHT_RANGE, BIAS_RANGE, ACTIVATION = range(7)
X, X_STRIDE, D, D_STRIDE, DT, DT_STRIDE, SUMS, GRADIENT = range(7, 15)
BY_OUTPUTS = 15  # 1 where the parts have columns of the weights, not rows
TOTALS = 16
FIELDS = 17

GRAIN = 8  # rows of the weights that stay together: those of a tile
LINE = 16  # columns, where they are divided: a cache line, which two cores must not write by turns


def span(layer: Any, part: int, parts: int) -> tuple[int, int, int, int]:
    """The part's weights: their first row and the one behind the last, and the same of columns."""
    if layer[BY_OUTPUTS]:
        low, high = columns(layer, part, parts)
        return 0, layer[INPUTS], low, high
    start, stop = share(layer[INPUTS], part, parts, GRAIN)
    return start, stop, 0, layer[OUTPUTS]


def weights(layer: Any, row: int, low: int) -> int:
    """Where a row of the part's weights begins, whose first column is `low`; rows are as long as the part has columns.

    Columns of a part lie together while steps run: `divide` has brought them there.
    """
    if layer[BY_OUTPUTS]:
        return layer[WEIGHT] + layer[INPUTS] * low
    return layer[WEIGHT] + row * layer[OUTPUTS]


def whole_numbers(numbers: Any, part: int, parts: int) -> int:
    """Where the part's begin: on cache lines of their own."""
    return numbers.shape[0] // parts * part


def columns(layer: Any, target: int, into: int) -> tuple[int, int]:
    """The first of a part's outputs, and the one behind the last."""
    return share(layer[OUTPUTS], target, into, LINE if layer[BY_OUTPUTS] else GRAIN)


def sums(layer: Any, n: int, part: int, parts: int, target: int, into: int, lanes: int) -> int:
    """Where a part's product for the outputs of part `target` begins: what one thread adds up lies together."""
    low, high = columns(layer, target, into)
    width = (high - low + lanes - 1) // lanes * lanes
    return layer[SUMS] + parts * n * (low + target * lanes) + part * n * width


def divide(thread: int, threads: int, parts: int, layer: Any, values: Any, work: Any, flags: Any, back: int) -> None:
    """Puts the columns of each part of the layer's weights beside each other, or takes them `back` to their rows.

    Where two cores change pieces of one row, each asks for the other's ahead of time: an update took thrice as long.
    """
    inputs, outputs = layer[INPUTS], layer[OUTPUTS]
    if values.shape[0] == 0:
        return
    matrix, copy = layer[WEIGHT], layer[SUMS]
    for part in range(thread, parts, threads):
        low, high = columns(layer, part, parts)
        width, block = high - low, copy + inputs * low
        if back:
            copy_rows(1, inputs * width, values, matrix + inputs * low, 0, work, block, 0)
        else:
            copy_rows(inputs, width, values, matrix + low, outputs, work, block, width)
    wait(thread, threads, flags)
    for part in range(thread, parts, threads):
        low, high = columns(layer, part, parts)
        width, block = high - low, copy + inputs * low
        if back:
            copy_rows(inputs, width, work, block, width, values, matrix + low, outputs)
        else:
            copy_rows(1, inputs * width, work, block, 0, values, matrix + inputs * low, 0)
    wait(thread, threads, flags)


def copy_rows(rows: int, width: int, a: Any, a0: int, am: int, b: Any, b0: int, bm: int) -> None:
    """b = a, for rows that begin `am` and `bm` apart. (Assigned slices would compile a second longer.)"""
    for row in range(rows):
        source, target = a[a0 + row * am :], b[b0 + row * bm :]
        for j in range(width):
            target[j] = source[j]


def skip(*arguments: Any) -> int:
    """Stands in for what a plan never calls, so that it is not compiled: see `NOT_BYTES` and its like."""
    return 0


# what is not called where there is no matrix unit, data are no bytes, no layer is divided by its outputs, and nothing
# is learnt
NOT_UNIT = dict.fromkeys(
    ("begin", "end", "multiply_on_unit", "fit_turned", "matrix_product", "split_rows", "split_columns"), skip
)
NOT_BYTES = dict.fromkeys(("read_whole", "fit_whole"), skip)
NOT_WIDE = dict.fromkeys(("divide", "mean_scores", "add_up"), skip)
NOT_LEARNING = dict.fromkeys(("fetch", "backward", "descend", "fit"), skip)
