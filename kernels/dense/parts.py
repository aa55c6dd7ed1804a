"""How a fused MLP is divided among threads, and the records that its compiled functions are given.

Everything of one kind lies in one flat array: the parameters in `Memory.parameters`, all that a step writes besides in
`Memory.work`. A place is an offset in one of them, a stride the distance from one row to the next.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...backends.thread_pool import share

GRAIN = 8  # rows of the weights that stay together: those of a register tile
LINE = 16  # elements of float32 in a cache line


class LayerPlaces(NamedTuple):
    """A layer's widths, the places of its parameters, and those of its matrices in the workspace.

    Attributes
    ----------
    inputs, outputs : widths.
    weight, bias : places among the parameters; -1 without a bias.
    weight_range, bias_range : rows of the update's `factors`.
    activation : of the outputs, one of `activation`'s.
    x, x_stride : X (rows, inputs), which the layer reads.
    d, d_stride : D (rows, outputs), the gradient before the activation.
    dt, dt_stride : D transposed.
    sums : the parts' products X·W, which are still to be added up.
    gradient : of the bias, then of the weights, added up over the blocks of a batch.
    totals : sums of D's rows, for each part: only for `Integers`.
    """

    inputs: int
    outputs: int
    weight: int
    bias: int
    weight_range: int
    bias_range: int
    activation: int
    x: int
    x_stride: int
    d: int
    d_stride: int
    dt: int
    dt_stride: int
    sums: int
    gradient: int
    totals: int


class ThreadCall(NamedTuple):
    """What one call of `steps` does on one thread.

    Attributes
    ----------
    thread, threads : which thread of how many.
    parts : into how many parts each layer is divided.
    count : steps.
    rows : of a batch.
    block : rows that are taken at a time.
    learn : 0 where only losses are computed.
    """

    thread: int
    threads: int
    parts: int
    count: int
    rows: int
    block: int
    learn: int


class BlockPart(NamedTuple):
    """One part's work on one block of a batch.

    Attributes
    ----------
    part, parts : which part of how many.
    first, rows : the block's first row in the batch, and its rows.
    batch : rows of the batch.
    """

    part: int
    parts: int
    first: int
    rows: int
    batch: int


class Memory(NamedTuple):
    """The parameters, and everything that a step writes besides them."""

    parameters: Any
    work: Any


class Source(NamedTuple):
    """The data set: `counters` says where in `order` the batch begins; `mean` and `scale` standardise, or are empty."""

    data: Any
    targets: Any
    order: Any
    mean: Any
    scale: Any
    counters: Any


class Integers(NamedTuple):
    """A batch of bytes as integers about 0, which a matrix unit multiplies in half the time.

    A standardised row (x - mean) · scale is (x - centre) · scale - shift, with an integer `centre` next to the mean:
    what x is multiplied by is multiplied by `scale` and `shift`. All arrays are empty where this is not used.

    Attributes
    ----------
    numbers, stride : int16; x - centre, in rows of a part's columns.
    centre : int16 (features,).
    scale, shift : float32 (features,).
    """

    numbers: Any
    stride: int
    centre: Any
    scale: Any
    shift: Any


class Update(NamedTuple):
    """What the optimizer's update takes besides parameters and gradients, as `update.py` says."""

    counters: Any
    slots: tuple[Any, ...]
    bounds: Any
    factors: Any
    table: Any
    clip: Any
    attributes: tuple[Any, ...]


class Outputs(NamedTuple):
    """Of a batch: the last layer's outputs, their gradients, the targets, the loss and metrics of each row."""

    values: Any
    gradients: Any
    targets: Any
    scores: Any


class Tools(NamedTuple):
    """What products work with.

    Attributes
    ----------
    scratch : the thread's own elements: `product.SCRATCH` for copies, the rest for whatever is short-lived.
    lanes : elements of a vector register.
    height : rows of a register tile, 4 or 8.
    panels : int32, for operands that are split for a matrix unit; empty without one.
    """

    scratch: Any
    lanes: int
    height: int
    panels: Any


class Matrix(NamedTuple):
    """A matrix in a flat array: its element (i, j) is at start + i · row + j · column."""

    values: Any
    start: int
    row: int
    column: int


def places_of(layers: Any, level: int) -> LayerPlaces:
    """A row of the table of layers."""
    row = layers[level]
    return LayerPlaces(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7],
        row[8], row[9], row[10], row[11], row[12], row[13], row[14], row[15],
    )  # fmt: skip


def inputs_of(layer: LayerPlaces, task: BlockPart) -> tuple[int, int]:
    """The part's inputs of a layer, which are its rows of the weights: the first, and the one behind the last."""
    return share(layer.inputs, task.part, task.parts, GRAIN)


def outputs_of(layer: LayerPlaces, target: int, into: int) -> tuple[int, int]:
    """The outputs of a layer that part `target` of `into` reads: the first, and the one behind the last."""
    return share(layer.outputs, target, into, GRAIN)


def sums(layer: LayerPlaces, rows: int, part: int, parts: int, target: int, into: int, lanes: int) -> int:
    """Where a part's product for the outputs of part `target` begins: what one thread adds up lies together."""
    low, high = outputs_of(layer, target, into)
    return layer.sums + parts * rows * (low + target * lanes) + part * rows * whole(high - low, lanes)


def whole(count: int, lanes: int) -> int:
    """`count`, rounded up to whole vectors."""
    return (count + lanes - 1) // lanes * lanes


def integers_of(integers: Integers, task: BlockPart) -> int:
    """Where the part's integers begin: on cache lines of their own."""
    return integers.numbers.shape[0] // task.parts * task.part


def skip(*arguments: Any) -> int:
    """Stands in for a function that a plan never calls, so that it is not compiled."""
    return 0
