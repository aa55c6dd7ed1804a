"""The division of a fused MLP among threads, and the records that its compiled functions receive.

Parameters are in one flat array, `Memory.parameters`; everything else that a step writes is in `Memory.work`. A place
is an offset in one of these arrays, a stride is the distance between rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...backends.thread_pool import share

GRAIN = 8  # rows of the weights that are not divided: those of a register tile
LINE = 16  # elements of float32 in a cache line


class LayerPlaces(NamedTuple):
    """A layer's sizes, and the places of its parameters and of its matrices in the workspace.

    Attributes
    ----------
    inputs, outputs : number of features.
    weight, bias : places among the parameters; -1 without a bias.
    weight_range, bias_range : rows of the update's `factors`.
    activation : of the outputs, one of `activation`'s, or `elementwise.FORMULA`.
    formula : address of the loop of a formula, of tanh or of sigmoid, see `elementwise`; -1 otherwise.
    x, x_stride : X (rows, inputs), which the layer reads.
    d, d_stride : D (rows, outputs), the gradient before the activation.
    dt, dt_stride : D transposed.
    sums : the products X·W of the parts, to be added up.
    gradient : of the bias, then of the weights, added up over the blocks of a batch.
    totals : sums of D's rows for each part, only for `Integers`.
    slope : the derivative of the outputs, see `elementwise`; -1 if the backward pass needs only the outputs.
    dropout : the layer's row of `DropoutStreams`; -1 without dropout.
    """

    inputs: int
    outputs: int
    weight: int
    bias: int
    weight_range: int
    bias_range: int
    activation: int
    formula: int
    x: int
    x_stride: int
    d: int
    d_stride: int
    dt: int
    dt_stride: int
    sums: int
    gradient: int
    totals: int
    slope: int
    dropout: int


class ThreadCall(NamedTuple):
    """What one call of `steps` does on one thread.

    Attributes
    ----------
    thread, threads : index of the thread, and number of threads.
    parts : number of parts of each layer.
    count : number of steps.
    rows : batch size.
    block : rows per block.
    learn : 0 if only losses are computed.
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
    part, parts : index of the part, and number of parts.
    first, rows : the block's first row in the batch, and its rows.
    batch : batch size.
    room : the first row of `Outputs` and `Targets.batch` that the block uses again and again.
    """

    part: int
    parts: int
    first: int
    rows: int
    batch: int
    room: int


class Memory(NamedTuple):
    """The parameters and the workspace of a step."""

    parameters: Any
    work: Any


class Source(NamedTuple):
    """The data set and the order of its rows; `mean` and `scale` standardise, or are empty."""

    data: Any
    order: Any
    mean: Any
    scale: Any


class Targets(NamedTuple):
    """The targets of the data set, the order of its rows, and room for those of a batch."""

    data: Any
    order: Any
    batch: Any


class Integers(NamedTuple):
    """A uint8 batch as integers around 0, which a matrix unit multiplies in half the time.

    A standardised row (x - mean) · scale equals (x - centre) · scale - shift, with the integer `centre` nearest to
    the mean. `scale` and `shift` are applied to the other factor. All arrays are empty if integers are not used.

    Attributes
    ----------
    numbers, stride : int16 x - centre, one row per example for a part's columns.
    centre : int16 (features,).
    scale, shift : float32 (features,).
    """

    numbers: Any
    stride: int
    centre: Any
    scale: Any
    shift: Any


class Options(NamedTuple):
    """Options of a training step that change gradients, or weights after the update.

    Attributes
    ----------
    l1, threshold : strength of the penalty `L1` or `SoftThreshold`.
    weights, rates : their arrays (ranges,) and (steps,), see `l1.py`.
    clip_value, clip_norm : the largest absolute value of a gradient's elements, and of its norm.
    gradients : the complete gradient in the layout of the parameters, if it is clipped by its norm.
    squares : float64 (parts · `update.SUMS`,), sums of its squares.
    average, average_rates : of the weights, in their layout, and its (steps,) rates; see `average.py`.
    """

    l1: float
    threshold: float
    weights: Any
    rates: Any
    clip_value: float
    clip_norm: float
    gradients: Any
    squares: Any
    average: Any
    average_rates: Any


class Update(NamedTuple):
    """Arguments of the optimizer's update besides parameters, gradients and counters, see `update.py`."""

    slots: tuple[Any, ...]
    bounds: Any
    factors: Any
    table: Any
    clip: Any
    attributes: tuple[Any, ...]
    options: Options


class DropoutStreams(NamedTuple):
    """The dropouts behind layers, as the operation `dropout` defines it.

    Attributes
    ----------
    key : uint32 (2,), the run's random key.
    thresholds, streams : int64 (dropouts,).
    scales : what kept elements are multiplied with (dropouts,).
    """

    key: Any
    thresholds: Any
    streams: Any
    scales: Any


class StepFunctions(NamedTuple):
    """Addresses of the functions of a step, see `step_functions`.

    Attributes
    ----------
    hidden, output, backward : `hidden.hidden_layer`, `outputs.output_layer` and `backward.backward`.
    load, prefetch : `load.load_batch` and `load.prefetch_next`; `source` is the place of their `Source`.
    loss : `outputs.score`; `targets` is the place of its `Targets`.
    apply, ahead, clipped : `update.apply`, `update.move_ahead` and `clipping.update_clipped`; `update` is the place of
        their `Update`.
    """

    hidden: int
    output: int
    backward: int
    load: int
    prefetch: int
    source: int
    loss: int
    targets: int
    apply: int
    ahead: int
    clipped: int
    update: int


class Outputs(NamedTuple):
    """The outputs of a batch, their gradients, and the loss and metrics of each row."""

    values: Any
    gradients: Any
    scores: Any


class Tools(NamedTuple):
    """Resources of matrix products.

    Attributes
    ----------
    scratch : the thread's scratch memory: `product.SCRATCH` elements for copies, the rest for temporary values.
    lanes : elements of a vector register.
    height : rows of a register tile, 4 or 8.
    panels : int32 memory for split operands of a matrix unit; empty without one.
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
    """The `LayerPlaces` of a layer, from the table of layers."""
    row = layers[level]
    return LayerPlaces(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7],
        row[8], row[9], row[10], row[11], row[12], row[13], row[14], row[15], row[16], row[17], row[18],
    )  # fmt: skip


def inputs_of(layer: LayerPlaces, task: BlockPart) -> tuple[int, int]:
    """The part's inputs of a layer (its rows of the weights), as start and stop."""
    return share(layer.inputs, task.part, task.parts, GRAIN)


def outputs_of(layer: LayerPlaces, target: int, into: int) -> tuple[int, int]:
    """The outputs of a layer that part `target` of `into` reads, as start and stop."""
    return share(layer.outputs, target, into, GRAIN)


def sums(layer: LayerPlaces, rows: int, part: int, parts: int, target: int, into: int, lanes: int) -> int:
    """The place of a part's product for the outputs of part `target`; products that one thread adds up are adjacent."""
    low, high = outputs_of(layer, target, into)
    return layer.sums + parts * rows * (low + target * lanes) + part * rows * whole(high - low, lanes)


def collected(layer: LayerPlaces, task: BlockPart, lanes: int) -> int:
    """The place where gradients of the layer's weights are added up over blocks, after that of the bias.

    After the last row of a part there are as many spare rows as a vector has elements; transposing blocks writes
    them.
    """
    width = whole(layer.outputs, lanes)
    return layer.gradient + width + task.part * lanes * width


def whole(count: int, lanes: int) -> int:
    """`count`, rounded up to a multiple of the vector length."""
    return (count + lanes - 1) // lanes * lanes


def integers_of(integers: Integers, task: BlockPart) -> int:
    """The place of the part's integers, which have their own cache lines."""
    return integers.numbers.shape[0] // task.parts * task.part


def skip(*arguments: Any) -> int:
    """Replaces a function that a plan never calls, so that it is not compiled."""
    return 0
