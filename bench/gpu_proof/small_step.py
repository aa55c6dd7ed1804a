"""A training step of a small network in few launches: its phases in array code, and how small.cu is launched.

The network has `layers` dense layers; hidden ones are equally wide and followed by ReLU; the loss is softmax
cross-entropy, the optimizer Adam. With aₗ the input of layer l, which has a last column of ones for the bias, and dₗ
the gradient of its outputs before the activation: zₗ = aₗ Wₗ, d of the last layer = (softmax(z) − onehot) / rows,
dₗ₋₁ = (dₗ Wₗᵀ) ⊙ [aₗ > 0], and Adam takes aₗᵀ dₗ.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ...kernels.counters import CURSOR, FAILED, ROW, STEP
from ...kernels.launch import BLOCK, grid
from ...kernels.operation import Cuda, Launch, Operation
from ..peers.networks import Network, Weights

SIDE, SQUARE = 16, 64  # rows and columns of a tile of activations, of weights: the same as small.cu
CONSTANTS = 8  # of Adam, a step


def refusal(network: Network) -> str:
    """Why these kernels do not know a network; empty where they do."""
    if network.autoencoder or network.widths[-1] > SIDE:
        return f"the loss is one of up to {SIDE} classes"
    return "" if len(set(network.widths[1:-1])) <= 1 else "hidden layers are not equally wide"


def attributes(network: Network) -> dict[str, int | float]:
    """What the operations are told of a network."""
    widths = network.widths
    return {"hidden": widths[1], "outputs": widths[-1], "layers": len(widths) - 1}


def arrays(
    network: Network, layers: Weights, x: np.ndarray, y: np.ndarray, table: np.ndarray, real: Any = np.float32
) -> list[np.ndarray]:
    """The arrays of the operations, on the host: the batch again and again for as many steps as the table has rows."""
    rows, hidden = len(x), network.widths[1]
    p = np.concatenate([part.ravel() for w, b in layers for part in (w, b)]).astype(real)
    counters = np.zeros(5, np.int64)
    counters[FAILED] = -1
    last = (len(layers) - 1) * rows * hidden
    return [
        x.astype(real),
        np.tile(np.arange(rows, dtype=np.int64), len(table)),
        y.astype(np.int64),
        p,
        np.zeros_like(p),
        np.zeros_like(p),
        table.astype(real),
        counters,
        np.zeros(max(1, last), real),
        np.zeros(last + rows * network.widths[-1], real),
        np.zeros((rows, 2), real),
        np.zeros(3),
    ]


DATA, ORDER, LABELS, P, M, V, TABLE, COUNTERS, VALUES, DELTAS, SCORES, TOTALS = range(12)  # where they stand


class _Views:
    """The arrays layer by layer; everything is written in place."""

    def __init__(self, xp: Any, arrays: Sequence[Any], hidden: int, outputs: int, layers: int) -> None:
        self.xp, self.arrays, self.layers, self.rows = xp, arrays, layers, arrays[SCORES].shape[0]
        cursor = int(arrays[COUNTERS][CURSOR])
        self.batch = arrays[ORDER][cursor : cursor + self.rows]
        widths = [arrays[DATA].shape[1], *[hidden] * (layers - 1), outputs]
        self.shapes = [(a + 1, b) for a, b in pairwise(widths)]
        self.starts = np.cumsum([0, *(a * b for a, b in self.shapes)])
        self.hidden = hidden

    def weights(self, layer: int, which: int = P) -> Any:
        part = self.arrays[which][self.starts[layer] : self.starts[layer + 1]]
        return part.reshape(self.shapes[layer])

    def of_rows(self, which: int, layer: int) -> Any:
        """Outputs of a layer, or their gradient."""
        start, width = layer * self.rows * self.hidden, self.shapes[layer][1]
        return self.arrays[which][start : start + self.rows * width].reshape(self.rows, width)

    def inputs(self, layer: int) -> Any:
        a = self.of_rows(VALUES, layer - 1) if layer else self.arrays[DATA][self.batch]
        return self.xp.concatenate([a, self.xp.ones_like(a[:, :1])], axis=1)

    def update(self, layer: int) -> None:
        p, m, v = (self.weights(layer, which) for which in (P, M, V))
        _, rate, root, beta1, gain1, beta2, gain2, eps = self.arrays[TABLE][int(self.arrays[COUNTERS][ROW])]
        g = self.inputs(layer).T @ self.of_rows(DELTAS, layer)
        m[...] = beta1 * m + gain1 * g
        v[...] = beta2 * v + gain2 * g * g
        p[...] = p - rate * (m / (self.xp.sqrt(v) * root + eps))


def phase_reference(xp: Any, *arrays: Any, hidden: int, outputs: int, layers: int, phase: int) -> None:
    """Phase number `phase` of 2 · layers: layers forward, the last one with the loss, then layers backward.

    A layer's weights are updated in the phase after the one that reads them last.
    """
    views = _Views(xp, arrays, hidden, outputs, layers)
    scores, counters, totals = arrays[SCORES], arrays[COUNTERS], arrays[TOTALS]
    if phase < layers - 1:
        views.of_rows(VALUES, phase)[...] = xp.maximum(views.inputs(phase) @ views.weights(phase), 0)
        return
    if phase == layers - 1:
        z = views.inputs(phase) @ views.weights(phase)
        labels = arrays[LABELS][views.batch]
        shifted = z - xp.max(z, axis=1)[:, None]
        total = xp.sum(xp.exp(shifted), axis=1)
        hot = labels[:, None] == xp.arange(outputs)[None, :]
        scores[:, 0] = xp.log(total) - xp.sum(xp.where(hot, shifted, 0 * shifted), axis=1)
        scores[:, 1] = xp.argmax(z, axis=1) == labels
        views.of_rows(DELTAS, phase)[...] = (xp.exp(shifted) / total[:, None] - hot) / views.rows
        if not np.isfinite(scores[:, 0]).all() and counters[FAILED] < 0:
            counters[FAILED] = counters[STEP]
        return
    layer = 2 * layers - 1 - phase
    if layer == layers - 1:
        totals += [views.rows, scores[:, 0].sum(dtype=np.float64), scores[:, 1].sum(dtype=np.float64)]
    if layer:
        back = views.of_rows(DELTAS, layer) @ views.weights(layer)[:-1].T
        views.of_rows(DELTAS, layer - 1)[...] = xp.where(views.of_rows(VALUES, layer - 1) > 0, back, 0 * back)
    if counters[FAILED] < 0:
        for above in [layer + 1] * (layer < layers - 1) + [0] * (layer == 0):
            views.update(above)


def step_reference(xp: Any, *arrays: Any, hidden: int, outputs: int, layers: int, steps: int, blocks: int) -> None:
    """Whole steps; the last array is the barrier's, and `blocks` changes nothing."""
    counters, rows = arrays[COUNTERS], arrays[SCORES].shape[0]
    for _ in range(steps):
        for phase in range(2 * layers):
            phase_reference(xp, *arrays[:-1], hidden=hidden, outputs=outputs, layers=layers, phase=phase)
        counters[STEP], counters[ROW], counters[CURSOR] = counters[STEP] + 1, counters[ROW] + 1, counters[CURSOR] + rows


def tiles(rows: int, inputs: int, hidden: int, outputs: int, layers: int, phase: int) -> int:
    """Tiles of a phase, each a block's work at a time."""

    def count(height: int, width: int, side: int) -> int:
        return -(-height // side) * -(-width // side)

    widths = [inputs, *[hidden] * (layers - 1), outputs]
    if phase < layers:
        return count(rows, widths[phase + 1], SIDE)
    layer = 2 * layers - 1 - phase
    updated = [layer + 1] * (layer < layers - 1) + [0] * (layer == 0)
    down = count(rows, widths[layer], SIDE) if layer else 0
    return down + sum(count(widths[above] + 1, widths[above + 1], SQUARE) for above in updated)


def phase_launch(*arrays: Any, hidden: int, outputs: int, layers: int, phase: int) -> Launch:
    """A block a tile."""
    rows, inputs = arrays[SCORES].shape[0], arrays[DATA].shape[1]
    shape = (rows, inputs, hidden, outputs, layers)
    return Launch(grid(tiles(*shape, phase), 1), (BLOCK, 1, 1), (*arrays, *shape, phase))


def step_launch(*arrays: Any, hidden: int, outputs: int, layers: int, steps: int, blocks: int) -> Launch:
    """As many blocks as the phase with most tiles takes, up to `blocks`: what fits on the device at once."""
    rows, inputs = arrays[SCORES].shape[0], arrays[DATA].shape[1]
    shape = (rows, inputs, hidden, outputs, layers)
    most = max(tiles(*shape, phase) for phase in range(2 * layers))
    return Launch((min(blocks, most), 1, 1), (BLOCK, 1, 1), (*arrays, *shape, steps))


def barriers_reference(xp: Any, arrived: Any, *, count: int, blocks: int) -> None:
    """Leaves the barrier's number as it is after so many barriers: its highest bit flips at each."""
    arrived[0] ^= (count & 1) << 31


def barriers_launch(arrived: Any, *, count: int, blocks: int) -> Launch:
    """`blocks` blocks that wait for each other."""
    return Launch((blocks, 1, 1), (BLOCK, 1, 1), (arrived, count))


SMALL_PHASE = Operation("small_phase", phase_reference, cuda=Cuda("small.cu", "small_phase", phase_launch))
SMALL_STEP = Operation("small_step", step_reference, cuda=Cuda("small.cu", "small_step", step_launch))
GRID_BARRIERS = Operation(
    "grid_barriers", barriers_reference, cuda=Cuda("grid_barriers.cu", "grid_barriers", barriers_launch, types={})
)
