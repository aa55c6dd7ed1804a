"""The reference workload: the matrix products of a step, and one pass over the optimizer's memory.

The products go through NumPy's BLAS on preallocated arrays: every layer's forward product and weight gradient, and
every layer's input gradient but the first's. The pass reads p, g, m and v and writes p, m and v, in place and without
arithmetic. Both are called from Python. It is not a lower bound: compiled code with blocked products can be faster.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from ...backends import host
from .contender import Contender, ContenderSteps
from .networks import DenseNetwork, Weights

BOUNDARY = 64  # parameters: each array of an arena begins at a multiple of it


def make() -> Contender:
    """The bare products and memory passes."""
    return ReferenceContender()


@numba.njit(error_model="numpy", nogil=True)
def stream(p, g, m, v):  # pragma: no cover
    """Reads four arrays and writes three; values move on by one array, and a maximum takes in the fourth."""
    for i in range(p.size):
        p[i], m[i], v[i] = v[i], p[i], max(m[i], g[i])


class ReferenceContender(Contender):
    """Has steps only."""

    def steps(self, network: DenseNetwork, layers: Weights, x: np.ndarray, y: np.ndarray) -> ContenderSteps:
        return Bare(layers, x)

    def settings(self) -> dict[str, Any]:
        return {"threads": host.blas_threads()}


class Bare(ContenderSteps):
    """Products and memory passes of a step."""

    def __init__(self, layers: Weights, x: np.ndarray) -> None:
        rows, generator = len(x), np.random.default_rng(0)
        self.products: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for position, (w, _) in enumerate(layers):
            a = x if position == 0 else generator.standard_normal((rows, w.shape[0]), dtype=np.float32)
            dz = generator.standard_normal((rows, w.shape[1]), dtype=np.float32)
            self.products += [(a, w, np.empty_like(dz)), (a.T, dz, np.empty_like(w))]
            self.products += [(dz, w.T, np.empty_like(a))] if position else []
        size = sum(-(-array.size // BOUNDARY) * BOUNDARY for layer in layers for array in layer)
        self.arrays = [host.aligned_zeros(size, np.float32) for _ in range(4)]
        for array in self.arrays:
            array[...] = generator.standard_normal(size, dtype=np.float32)

    def reset(self) -> None:
        pass

    def run(self, steps: int) -> None:
        products, arrays = self.products, self.arrays
        for _ in range(steps):
            for a, b, out in products:
                np.dot(a, b, out=out)
            stream(*arrays)

    def losses(self, steps: int) -> list[float]:
        self.run(steps)
        return []
