"""Generated kernels: loops compiled by Numba and CUDA run on the CPU, against the definition in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import nvrtc
import pytest
from cuda_on_cpu import HostCuda, unavailable

import gearshift as gs
from gearshift.backends import cuda
from gearshift.backends.numba import NumbaBackend, compiled
from gearshift.backends.precision import load
from gearshift.dl.graph.graph import Graph, Node

xp = gs.xp
WIDTH = 37


class Formula(gs.Layer, named=False):
    def __init__(self, formula: Callable[..., Any]) -> None:
        self.formula = formula
        self.w = gs.Parameter((WIDTH,), gs.initializers.ones)
        self.s = gs.Parameter((1,), gs.initializers.ones)

    def forward(self, x: Any) -> Any:
        return self.formula(x, self.w, self.s)


FORMULAS: dict[str, Callable[..., Any]] = {
    "silu": lambda x, w, s: x * xp.sigmoid(x),
    "prelu": lambda x, w, s: xp.where(x > 0.0, x, s * x),
    "gated": lambda x, w, s: x * xp.sigmoid(w * x) + s,
    "softmax": lambda x, w, s: xp.softmax(x * w),
    "normalised": lambda x, w, s: w * (x - x.mean(axis=-1)[:, None]) / xp.sqrt(x.var(axis=-1)[:, None] + 0.1),
    "top": lambda x, w, s: x - xp.max(x, axis=-1, keepdims=True) * xp.exp(-xp.abs(w)) + xp.minimum(x, s),
    "rows": lambda x, w, s: xp.log1p(xp.exp(x.mean(axis=-1)[:, None])) * x,
    "infinite": lambda x, w, s: xp.maximum(xp.where(x > 0.0, x, -np.inf), -1.0) * w,
    "constants": lambda x, w, s: xp.clip(xp.tanh(x) ** 3 / 1.7 - xp.expm1(-x * x), -0.5, 0.25) * xp.cos(x),
    "columns": lambda x, w, s: xp.where(xp.arange(WIDTH) < 5, xp.sin(x), xp.sqrt(xp.abs(x) + 1.0)),
}


def nodes(formula: Callable[..., Any], dtype: str, precision: str | None = None) -> list[Node]:
    """The generated operations of a formula and its backward pass."""
    graph = Graph(dtype, train=True, precision=precision)
    model = gs.Sequential(gs.Linear(WIDTH, WIDTH), Formula(formula))
    output = graph.lower(model, graph.batch((WIDTH,)))
    graph.add_gradient(output, graph.like(output))
    graph.differentiate()
    return [node for node in graph.nodes if node.operation.cuda is not None and node.operation.cuda.text]


def arrays_of(node: Node, rows: int) -> list[np.ndarray]:
    rng = np.random.default_rng(rows)
    shapes = [((rows,) if value.kind == "batch" else ()) + value.shape for value in node.values]
    for value in node.values:
        load(value.dtype)
    return [rng.normal(size=shape).astype(value.dtype) for shape, value in zip(shapes, node.values, strict=True)]


def definition(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    wide = [array.astype(np.float64) for array in arrays]
    node.operation.reference(np, *wide)
    return wide


def agrees(got: list[np.ndarray], want: list[np.ndarray], tolerance: float) -> None:
    for one, exact in zip(got, want, strict=True):
        error = np.abs(one.astype(np.float64) - exact).max(initial=0)
        assert error <= tolerance * max(1.0, np.abs(exact).max(initial=0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FORMULAS)
def test_loops(name: str, dtype: str) -> None:
    """Any division into ranges gives the same bits."""
    for node, rows in itertools.product(nodes(FORMULAS[name], dtype), (1, 70)):
        arrays = arrays_of(node, rows)
        whole, parts = ([array.copy() for array in arrays] for _ in range(2))
        NumbaBackend().bind(node.operation, whole, {})()
        agrees(whole, definition(node, arrays), 1e-5 if dtype == "float32" else 1e-12)
        extent = node.operation.extent(*parts)
        for start, stop in itertools.pairwise(sorted({0, extent // 3, extent // 2, extent})):
            compiled(node.operation.loop)(start, stop, *parts)  # pyright: ignore[reportArgumentType]
        assert all(a.tobytes() == b.tobytes() for a, b in zip(whole, parts, strict=True))


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FORMULAS)
def test_cuda(name: str, dtype: str) -> None:
    for node, rows in itertools.product(nodes(FORMULAS[name], dtype), (1, 70)):
        arrays, bits = arrays_of(node, rows), set[tuple[bytes, ...]]()
        for host in (HostCuda(), HostCuda(blocks=2), HostCuda(backwards=True)):
            got = [array.copy() for array in arrays]
            host.run(node.operation, got, {})
            agrees(got, definition(node, arrays), 1e-5 if dtype == "float32" else 1e-12)
            bits.add(tuple(array.tobytes() for array in got))
        assert len(bits) == 1


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["silu", "gated", "softmax"])
def test_cuda_of_sixteen_bits(name: str, precision: str) -> None:
    for node in nodes(FORMULAS[name], "float32", precision):
        arrays = arrays_of(node, 30)
        assert precision in {array.dtype.name for array in arrays}
        got = [array.copy() for array in arrays]
        HostCuda().run(node.operation, got, {})
        agrees(got, definition(node, arrays), 2**-7 if precision == "bfloat16" else 2**-9)


@pytest.mark.slow
@pytest.mark.skipif(nvrtc.load() is None, reason="no NVRTC: pip install nvidia-cuda-nvrtc-cu12")
@pytest.mark.parametrize("architecture", [75, 90, 120])
@pytest.mark.parametrize("name", FORMULAS)
def test_nvrtc_compiles_them_in_silence(name: str, architecture: int) -> None:
    prepare = partial(cuda.prepare, attributes={})
    for dtype, precision in (("float32", None), ("float64", None), ("float32", "bfloat16")):
        for node in nodes(FORMULAS[name], dtype, precision):
            program = prepare(node.operation, arrays_of(node, 3)).program
            binary, said = nvrtc.compile_cubin(program.text, [f"-arch=sm_{architecture}"])
            assert binary and not said
