"""Matrix product out = a·b, with optional transposes; stacks of matrices are multiplied pairwise."""

from __future__ import annotations

from typing import Any

from ..operation import Operation
from .add import ADD


def reference(xp: Any, a: Any, b: Any, out: Any, *, transpose_a: int = 0, transpose_b: int = 0, tf32: int = 0) -> None:
    """out (…, m, n) = a (…, m, k) · b (…, k, n); `transpose_a` says that a is stored as (…, k, m), likewise b.

    `tf32` allows a backend to round float32 factors to TF32 (10 mantissa bits); the reference does not.
    """
    a = xp.swapaxes(a, -1, -2) if transpose_a else a
    b = xp.swapaxes(b, -1, -2) if transpose_b else b
    if a.shape[-1] == 1:
        xp.multiply(a, b, out=out)  # an outer product; NumPy's matmul takes three times as long
    else:
        xp.matmul(a, b, out=out)


def gradient(graph: Any, node: Any, dout: Any) -> tuple[Any, ...]:
    """da = dout·bᵀ and db = aᵀ·dout; if b is stored transposed, da = dout·b and db = doutᵀ·a. a is never transposed."""
    a, b = node.inputs
    transposed = node.attributes["transpose_b"]
    da = graph.like(a) if graph.needs_gradient(a) else None
    db = graph.like(b) if graph.needs_gradient(b) else None
    if db is not None:
        graph.apply(MATMUL, (dout, a) if transposed else (a, dout), (db,), transpose_a=1, transpose_b=0)
    if da is not None:
        graph.apply(MATMUL, (dout, b), (da,), transpose_a=0, transpose_b=1 - transposed)
    return da, db


def tangent(graph: Any, node: Any, da: Any, db: Any) -> tuple[Any, ...]:
    """d(a·b) = da·b + a·db."""
    a, b = node.inputs
    terms = [pair for pair, change in (((da, b), da), ((a, db), db)) if change is not None]
    products = [graph.like(node.outputs[0]) for _ in terms]
    transposed = {name: node.attributes[name] for name in ("transpose_a", "transpose_b") if name in node.attributes}
    for pair, product in zip(terms, products, strict=True):
        graph.apply(MATMUL, pair, (product,), **transposed)
    if len(products) == 1:
        return (products[0],)
    total = graph.like(products[0])
    graph.apply(ADD, tuple(products), (total,))
    return (total,)


def flops(a: Any, b: Any, out: Any, *, transpose_a: int = 0, **_: int) -> int:
    """A multiplication and an addition for each of m·n·k terms."""
    return 2 * out.size * a.shape[-2 if transpose_a else -1]


MATMUL = Operation("matmul", reference, gradient=gradient, tangent=tangent, flops=flops, product=True)
