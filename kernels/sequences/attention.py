"""Attention of all heads in one pass: scores, mask, softmax and weighted values, and its backward pass.

With the columns of each head of q, k and v: p = softmax(scale · q·kᵀ), y = p·v. Backward, with dp = dy·vᵀ and
ds = scale · p · (dp − Σ over the row of p · dp): dq = ds·k, dk = dsᵀ·q, dv = pᵀ·dy.

A compiled plan uses these operations instead of those that `MultiHeadAttention` lowers to (`graph.fused_attention`). A
head's matrices stay in the cache from one product to the next, and its columns are neither split off nor merged. Other
backends run the list of operations, so there is no CUDA kernel.
"""

from __future__ import annotations

from typing import Any

from ...backends.thread_pool import share
from ..dense.parts import Matrix, Tools
from ..operation import Operation
from .head_products import head, packed, reaching, scores, seeing, seen, turned_head, values
from .masked_softmax import loop as masked_softmax_loop
from .masked_softmax import reference as masked_softmax_reference
from .softmax import backward_loop as softmax_backward_loop
from .softmax import forward_loop as softmax_loop
from .softmax import forward_reference as softmax_reference


def heads_of(xp: Any, x: Any, p: Any) -> Any:
    """The heads (matrices, tokens, width) of x (rows, features); p is (matrices, tokens, tokens)."""
    length = p.shape[1]
    sequences = x.shape[0] // length
    heads = p.shape[0] // sequences
    parts = xp.reshape(x, (sequences, length, heads, x.shape[1] // heads))
    return xp.reshape(xp.permute_dims(parts, (0, 2, 1, 3)), (p.shape[0], length, x.shape[1] // heads))


def merged(xp: Any, y: Any, x: Any) -> None:
    """x (rows, features) = its heads y (matrices, tokens, width)."""
    sequences = x.shape[0] // y.shape[1]
    parts = xp.reshape(y, (sequences, y.shape[0] // sequences, *y.shape[1:]))
    x[...] = xp.reshape(xp.permute_dims(parts, (0, 2, 1, 3)), x.shape)


def transposed(xp: Any, x: Any) -> Any:
    """Each matrix of x transposed."""
    return xp.permute_dims(x, (0, 2, 1))


def forward_reference(
    xp: Any, q: Any, k: Any, v: Any, y: Any, p: Any, scratch: Any, *, scale: float, causal: int, lanes: int, height: int
) -> None:
    """y (rows, features) and p (matrices, tokens, tokens) from q, k and v (rows, features).

    `scratch` (chunks, `elements`) is for the loop alone, which divides the matrices into chunks; so are `lanes` and
    `height`, those of the CPU's register tiles.
    """
    if p.size == 0:
        return
    scores = xp.matmul(heads_of(xp, q, p), transposed(xp, heads_of(xp, k, p)))
    softmax_reference(xp, scores, p, scale=scale, causal=causal)
    merged(xp, xp.matmul(p, heads_of(xp, v, p)), y)


def masked_reference(
    xp: Any,
    q: Any,
    k: Any,
    v: Any,
    mask: Any,
    y: Any,
    p: Any,
    scratch: Any,
    *,
    scale: float,
    causal: int,
    lanes: int,
    height: int,
) -> None:
    """`forward_reference` with a padding mask (sequences, tokens)."""
    if p.size == 0:
        return
    scores = xp.matmul(heads_of(xp, q, p), transposed(xp, heads_of(xp, k, p)))
    masked_softmax_reference(xp, scores, mask, p, scale=scale, causal=causal)
    merged(xp, xp.matmul(p, heads_of(xp, v, p)), y)


def backward_reference(
    xp: Any,
    dy: Any,
    q: Any,
    k: Any,
    v: Any,
    p: Any,
    dq: Any,
    dk: Any,
    dv: Any,
    scratch: Any,
    *,
    scale: float,
    causal: int,
    lanes: int,
    height: int,
) -> None:
    """dq, dk and dv (rows, features) from dy, q, k and v (rows, features) and the forward's p; else as there."""
    if p.size == 0:
        return
    dy, q, k, v = (heads_of(xp, x, p) for x in (dy, q, k, v))
    dp = xp.matmul(dy, transposed(xp, v))
    ds = scale * p * (dp - xp.sum(p * dp, axis=2)[:, :, None])
    merged(xp, xp.matmul(ds, k), dq)
    merged(xp, xp.matmul(transposed(xp, ds), q), dk)
    merged(xp, xp.matmul(transposed(xp, p), dy), dv)


def forward_loop(
    start: int,
    stop: int,
    q: Any,
    k: Any,
    v: Any,
    y: Any,
    p: Any,
    scratch: Any,
    scale: float,
    causal: int,
    lanes: int,
    height: int,
) -> None:
    """`forward_reference` over chunks `start` to `stop`."""
    if p.size > 0:
        for chunk in range(start, stop):
            first, last = share(p.shape[0], chunk, scratch.shape[0], 1)
            tools = Tools(scratch[chunk], lanes, height, scratch[chunk][:0])
            for matrix in range(first, last):
                scores(matrix, q, k, p, causal, tools)
                softmax_loop(matrix * p.shape[1], (matrix + 1) * p.shape[1], p, p, scale, causal)
                values(matrix, p, v, y, causal, tools)


def masked_loop(
    start: int,
    stop: int,
    q: Any,
    k: Any,
    v: Any,
    mask: Any,
    y: Any,
    p: Any,
    scratch: Any,
    scale: float,
    causal: int,
    lanes: int,
    height: int,
) -> None:
    """`masked_reference` over chunks `start` to `stop`."""
    if p.size > 0:
        for chunk in range(start, stop):
            first, last = share(p.shape[0], chunk, scratch.shape[0], 1)
            tools = Tools(scratch[chunk], lanes, height, scratch[chunk][:0])
            for matrix in range(first, last):
                scores(matrix, q, k, p, causal, tools)
                masked_softmax_loop(matrix * p.shape[1], (matrix + 1) * p.shape[1], p, mask, p, scale, causal)
                values(matrix, p, v, y, causal, tools)


def backward_loop(
    start: int,
    stop: int,
    dy: Any,
    q: Any,
    k: Any,
    v: Any,
    p: Any,
    dq: Any,
    dk: Any,
    dv: Any,
    scratch: Any,
    scale: float,
    causal: int,
    lanes: int,
    height: int,
) -> None:
    """`backward_reference` over chunks `start` to `stop`."""
    n = p.shape[1]
    if p.size > 0:
        for chunk in range(start, stop):
            first, last = share(p.shape[0], chunk, scratch.shape[0], 1)
            tools = Tools(scratch[chunk], lanes, height, scratch[chunk][:0])
            begin = scratch.shape[1] - n * n
            flat = scratch[chunk][begin:]
            for j in range(n * n):
                flat[j] = 0  # what causal rows do not see stays so
            ds, dscores = flat.reshape(1, n, n), Matrix(tools.scratch, begin, n, 1)
            for matrix in range(first, last):
                given, width = head(matrix, dy, p)
                reaching(n, width, given, turned_head(matrix, v, p, tools), dscores, causal, tools)
                softmax_backward_loop(0, n, ds, p[matrix : matrix + 1], ds, scale)
                weights = Matrix(p.reshape(-1), matrix * n * n, n, 1)
                right = packed(given, n, width, tools)
                seeing(n, width, weights, right, head(matrix, dv, p)[0], causal, tools)
                right = packed(head(matrix, k, p)[0], n, width, tools)
                seen(n, width, dscores, right, head(matrix, dq, p)[0], causal, tools)
                right = packed(head(matrix, q, p)[0], n, width, tools)
                seeing(n, width, dscores, right, head(matrix, dk, p)[0], causal, tools)


def chunks(*arrays: Any) -> int:
    """Number of items: the chunks of the scratch memory, which is the last array."""
    return arrays[-1].shape[0]


def forward_flops(q: Any, *arrays: Any, **attributes: Any) -> int:
    """Of two products and the softmax."""
    p = arrays[-2]
    return 4 * q.size * p.shape[1] + 5 * p.size


def backward_flops(dy: Any, q: Any, k: Any, v: Any, p: Any, *arrays: Any, **attributes: Any) -> int:
    """Of four products and the softmax."""
    return 8 * q.size * p.shape[1] + 5 * p.size


ATTENTION = Operation("attention", forward_reference, forward_loop, chunks, flops=forward_flops, scratch=(5,))
MASKED_ATTENTION = Operation(
    "masked_attention", masked_reference, masked_loop, chunks, flops=forward_flops, scratch=(6,)
)
ATTENTION_BACKWARD = Operation(
    "attention_backward", backward_reference, backward_loop, chunks, flops=backward_flops, scratch=(8,)
)
ATTENTIONS = ATTENTION, MASKED_ATTENTION, ATTENTION_BACKWARD
"""Operations whose chunks are not divided further."""
