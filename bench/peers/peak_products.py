"""The operations of a step's matrix products at the CPU's peak, on operands that stay in cache.

Each thread repeats the largest register tile of the product engine, whose operands do not change with k. No step whose
products run on these vector units takes less time than that. It has nothing but the products' operations: no memory, no
element-wise work, no waiting.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backends import registry
from ...backends.thread_pool import thread_pool
from ...backends.vectors import VECTORS, lanes, tile, tile_rows
from .contender import Contender, ContenderEpochs, ContenderSteps, ModelEpochs
from .models import parse
from .networks import DenseNetwork, Pixels, Weights

DEPTH = 200  # terms of a tile's sums, as in a product


def make() -> Contender:
    """The peak."""
    return PeakProducts()


def flops_of_row(network: DenseNetwork) -> int:
    """Floating-point operations of a row's products in training; the first layer needs no gradient of its input."""
    sizes = [rows * columns for rows, columns in network.shapes]
    return 2 * (3 * sum(sizes) - sizes[0])


def flops_of_model(name: str) -> int:
    """The same of an epoch of a general model."""
    from .gearshift_models import GearshiftModelEpochs

    model, plan = parse(name), GearshiftModelEpochs(name, "numpy").loop.plan
    products = (call for call in plan.bind(model.batch) if call.node.operation.product)
    step = sum(call.node.operation.flops(*call.arrays, **call.node.attributes) for call in products)
    return step * -(-model.rows // model.batch)


def tiles(count: int, depth: int, a: Any, b: Any, c: Any, height: int) -> None:
    """Computes the largest tile `count` times: c (height, width) = depth · the outer product of a and b.

    The rows of a differ, because a compiler computes equal rows once.
    """
    width = b.size
    for _ in range(count):
        if height >= 8:
            tile(8, 3, a, 0, 1, 0, b, 0, 0, c, 0, width, depth, 0)
        else:
            tile(4, 3, a, 0, 1, 0, b, 0, 0, c, 0, width, depth, 0)


class PeakProducts(Contender):
    """All measures."""

    def steps(self, network: DenseNetwork, layers: Weights, x: np.ndarray, y: np.ndarray) -> ContenderSteps:
        return PeakSteps(len(x) * flops_of_row(network))

    def epochs(self, network: DenseNetwork, layers: Weights, data: Pixels, batch_size: int) -> ContenderEpochs:
        return PeakEpochs(len(data.raw) * flops_of_row(network))

    def model(self, name: str) -> ModelEpochs:
        return PeakModelEpochs(flops_of_model(name))

    def settings(self) -> dict[str, Any]:
        return {"threads": thread_pool().threads}


class Peak:
    """Runs so many floating-point operations on all threads."""

    def __init__(self, flops: int) -> None:
        self.flops, self.pool, height = flops, thread_pool(), tile_rows()
        width = VECTORS * lanes(np.float32)
        a, b = np.arange(1, height + 1, dtype=np.float32), np.linspace(1, 2, width, dtype=np.float32)
        self._own = [(a, b, np.zeros(height * width, np.float32), height) for _ in range(self.pool.threads)]
        self._tiles: Any = registry.get("numba").compiled(tiles)
        self._tile = 2 * height * width * DEPTH

    def repeat(self, times: int) -> None:
        """Runs them `times` times."""
        count = math.ceil(times * self.flops / self._tile / self.pool.threads)
        self.pool.run(lambda thread: self._tiles(count, DEPTH, *self._own[thread]), self.pool.threads)


class PeakSteps(Peak, ContenderSteps):
    """The operations of steps."""

    def reset(self) -> None:
        pass

    def run(self, steps: int) -> None:
        self.repeat(steps)

    def losses(self, steps: int) -> list[float]:
        self.run(steps)
        return []


class PeakEpochs(Peak, ContenderEpochs):
    """The operations of epochs."""

    def run(self) -> None:
        self.repeat(1)

    def weights(self) -> Weights:
        return []


class PeakModelEpochs(Peak, ModelEpochs):
    """The operations of a general model's epochs."""

    def run(self) -> None:
        self.repeat(1)

    def loss(self) -> float:
        return math.nan
