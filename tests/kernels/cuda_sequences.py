"""Attention, embeddings and places: the arguments of their operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from cuda_draw import Case, Draw, largest

from gearshift.backends.vectors import lanes, tile_rows
from gearshift.kernels.sequences.head_products import elements


def _matrices(rows: int, n: int) -> tuple[int, int, int]:
    """The shape of a stack of square matrices, not larger than tests on the CPU bear."""
    return -(-rows // 8), min(n, 100), min(n, 100)


def softmax(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    matrices, n, _ = _matrices(rows, n)
    for causal, shape in (0, (matrices, n, n)), (1, (matrices, n, n)), (0, (matrices, 3, n)):
        yield Case([draw.normal(*shape) * 4, draw.junk(*shape)], (1,), {"scale": 0.7, "causal": causal}, {1: 1})


def softmax_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    matrices, n, _ = _matrices(rows, n)
    for shape in (matrices, n, n), (matrices, 3, n):
        dp, p = draw.normal(*shape), np.tril(draw.uniform(*shape)) / max(n, 1)
        yield Case([dp, p, draw.junk(*shape)], (2,), {"scale": 0.7}, {2: 4 * largest(dp) * largest(p)})


def masked_softmax(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    matrices, n, _ = _matrices(rows, n)
    for heads, causal, m in (1, 0, n), (3, 1, n), (2, 0, 3):
        s, mask = draw.normal(matrices * heads, m, n) * 4, (draw.random.random((matrices, n)) < 0.5).astype(draw.real)
        yield Case([s, mask, draw.junk(*s.shape)], (2,), {"scale": 0.7, "causal": causal}, {2: 1})


def _attention(
    draw: Draw, rows: int, n: int, inputs: int
) -> Iterator[tuple[list[np.ndarray], np.ndarray, np.ndarray, dict[str, Any]]]:
    """Inputs (tokens, heads · width), p, the scratch memory of three chunks, and the attributes."""
    size, length = lanes(draw.real), min(n, 70)
    for heads, width, causal in (1, 5, 0), (3, 16, 1), (2, 33, 1):
        sequences = -(-rows // 100)
        attributes = {"scale": 0.7, "causal": causal, "lanes": size, "height": tile_rows()}
        given = [draw.normal(sequences * length, heads * width) / 2 for _ in range(inputs)]
        p = draw.junk(sequences * heads, length, length)
        yield [*given], p, draw.junk(3, elements(length, width, size)), attributes


def attention(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for (q, k, v), p, scratch, attributes in _attention(draw, rows, n, 3):
        terms = {3: largest(v), 4: 1.0 + largest(q) * largest(k)}
        yield Case([q, k, v, draw.junk(*q.shape), p, scratch], (3, 4), attributes, terms)


def masked_attention(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for (q, k, v), p, scratch, attributes in _attention(draw, rows, n, 3):
        mask = (draw.random.random((-(-rows // 100), p.shape[1])) < 0.5).astype(draw.real)
        terms = {4: largest(v), 5: 1.0 + largest(q) * largest(k)}
        yield Case([q, k, v, mask, draw.junk(*q.shape), p, scratch], (4, 5), attributes, terms)


def attention_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for given, p, scratch, attributes in _attention(draw, rows, n, 4):
        p = draw.uniform(*p.shape) / max(p.shape[1], 1)
        p = np.tril(p) if attributes["causal"] else p
        dy, q, k, v = given
        products = 20 * largest(dy) * largest(v)
        terms = {5: products * largest(k), 6: products * largest(q), 7: 2 * largest(dy)}
        outputs = [draw.junk(*q.shape) for _ in range(3)]
        yield Case([*given, p, *outputs, scratch], (5, 6, 7), attributes, terms)


def padding(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    ids = draw.random.integers(0, 3, (rows, n)).astype(draw.real)
    yield Case([ids, draw.junk(rows, n)], (1,), {"padding": 2})


def ones(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    yield Case([draw.junk(rows, n)], (0,))


def _sequences(draw: Draw, rows: int, n: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Features of tokens, with equal ones among them, which of them count, and one row for each sequence."""
    for length in (1, 4):
        mask = (draw.random.random((rows // 4, length)) < 0.6).astype(draw.real)
        yield np.round(draw.normal(mask.size, n) * 2), mask, draw.normal(rows // 4, n)


def max_pooling(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for x, mask, y in _sequences(draw, rows, n):
        yield Case([x, mask, draw.junk(*y.shape)], (2,), terms={2: largest(x)})


mean_pooling = max_pooling  # the same arguments


def mean_pooling_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for x, mask, dy in _sequences(draw, rows, n):
        yield Case([dy, mask, draw.junk(*x.shape)], (2,))


def max_pooling_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for x, mask, dy in _sequences(draw, rows, n):
        yield Case([dy, x, mask, draw.junk(*x.shape)], (3,))


def embedding(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for count in (1, 3, 50):
        ids = draw.random.integers(-1, count + 1, (rows // 3, 3)).astype(draw.real)
        yield Case([ids, draw.normal(count, n), draw.junk(ids.size, n)], (2,))


def embedding_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for count in (1, 3, 50):
        ids = draw.random.integers(-1, count + 1, (rows // 3, 3)).astype(draw.real)
        dy = draw.normal(ids.size, n)
        yield Case([dy, ids, draw.junk(count, n)], (2,), terms={2: float(np.max(np.abs(dy).sum(axis=0), initial=0))})


def positions(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for length in (1, 4):
        x, table = draw.normal(rows // 4 * length, n), draw.normal(5, n)
        yield Case([x, table, draw.junk(*x.shape)], (2,), {"length": length}, {2: largest(x, table)})


def positions_backward(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for length in (1, 4):
        dy = draw.normal(rows // 4 * length, n)
        terms = {1: float(np.max(np.abs(dy).sum(axis=0), initial=0))}
        yield Case([dy, draw.junk(5, n)], (1,), {"length": length}, terms)


def split_heads(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for heads, length in (1, 1), (3, 4):
        sequences = rows // 4
        x, y = draw.normal(sequences * length, heads * n), draw.junk(sequences * heads, length, n)
        yield Case([x, y], (1,))


def merge_heads(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for case in split_heads(draw, rows, n):
        x, y = case.arrays
        yield Case([draw.normal(*y.shape), draw.junk(*x.shape)], (1,))
