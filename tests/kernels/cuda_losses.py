"""Losses, and what is done to their scores and gradients: the arguments of their operations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cuda_draw import Case, Draw, largest


def softmax_cross_entropy(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    if n == 0:
        return
    for shape, dtype in ((rows,), np.int64), ((rows, 1), np.uint8):
        logits = np.round(draw.normal(rows, n) * 8) / 2  # with ties
        labels = draw.random.integers(0, min(n, 256), shape).astype(dtype)
        if rows:
            labels.reshape(-1)[0] = np.argmax(logits[0]) % 256
        terms = {2: largest(logits) * 2 + np.log(n), 3: 1 / max(rows, 1)}
        yield Case([logits, labels, draw.junk(rows, 2), draw.junk(rows, n)], (2, 3), terms=terms)


def binary_cross_entropy(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    logits, target = draw.normal(rows, n) * 8, draw.random.uniform(0, 1, (rows, n)).round(1).astype(draw.real)
    bound = largest(logits) + 1
    terms = {2: 2 * bound, 3: 2 / max(rows * n, 1)}
    yield Case([logits, target, draw.junk(rows, 2), draw.junk(rows, n)], (2, 3), terms=terms)


def soft_cross_entropy(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    if n == 0:
        return
    logits, target = np.round(draw.normal(rows, n) * 8) / 2, draw.uniform(rows, n)
    target /= target.sum(axis=1, keepdims=True)
    terms = {2: largest(logits) * 2 + np.log(n) + 1, 3: 2 / max(rows, 1)}
    yield Case([logits, target, draw.junk(rows, 2), draw.junk(rows, n)], (2, 3), terms=terms)


def multiclass_hinge(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    if n == 0:
        return
    for shape, dtype in ((rows,), np.int64), ((rows, 1), np.uint8):
        outputs = np.round(draw.normal(rows, n) * 4) / 2  # exact, with ties
        labels = draw.random.integers(0, min(n, 256), shape).astype(dtype)
        if rows:
            labels.reshape(-1)[0] = np.argmax(outputs[0]) % 256
        terms = {2: 2 * largest(outputs) + 1, 3: 1 / max(rows, 1)}
        yield Case([outputs, labels, draw.junk(rows, 2), draw.junk(rows, n)], (2, 3), terms=terms)


def apply_sample_weights(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for columns in (1, 2):
        weight, scores, gradient = draw.uniform(rows, 1), draw.normal(rows, columns), draw.normal(rows, n)
        yield Case([weight, scores, gradient, draw.junk(rows, columns), draw.junk(rows, n)], (3, 4))


def joint(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for k in (0, 1, 3):
        before, scores = draw.normal(rows, k), draw.normal(rows, 2)
        arrays = [before, scores, draw.normal(rows, n), draw.junk(rows, max(k, 1) + 2), draw.junk(rows, n)]
        yield Case(arrays, (3, 4), {"weight": 0.3}, {3: largest(before, scores)})


def term(draw: Draw, rows: int, n: int) -> Iterator[Case]:
    for term in (draw.normal(rows, 1), draw.normal(1)):
        scores, weight = draw.normal(rows, 2), 0.3
        terms = {2: largest(scores) + weight * largest(term)}
        yield Case([scores, term, draw.junk(rows, 2), draw.junk(*term.shape)], (2, 3), {"weight": weight}, terms)
