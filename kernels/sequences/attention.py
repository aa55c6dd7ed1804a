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
from ..arrays.matmul_loop import multiply, scratch_size, transpose_rows
from ..dense.parts import Matrix, Tools, whole
from ..operation import Operation
from .masked_softmax import loop as masked_softmax_loop
from .masked_softmax import reference as masked_softmax_reference
from .softmax import backward_loop as softmax_backward_loop
from .softmax import forward_loop as softmax_loop
from .softmax import forward_reference as softmax_reference

GROUP = 16  # rows of a causal product that are computed at once, up to the last column that one of them sees


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


def elements(length: int, width: int, lanes: int) -> int:
    """Elements of a chunk's scratch memory, for heads of `length` tokens and `width` features."""
    return scratch_size(lanes) + width * whole(length, lanes) + length * whole(width, lanes) + length * length


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


def scores(matrix: int, q: Any, k: Any, p: Any, causal: int, tools: Tools) -> None:
    """p's matrix = q·kᵀ of a head, up to the columns that each group of rows sees."""
    n = p.shape[1]
    turned = turned_head(matrix, k, p, tools)
    left, width = head(matrix, q, p)
    out = Matrix(p.reshape(-1), matrix * n * n, n, 1)
    group = GROUP if causal else n
    for row in range(0, n, group):
        rows = min(group, n - row)
        multiply(rows, row + rows, width, below(left, row), turned, below(out, row), 0, tools)


def values(matrix: int, p: Any, v: Any, y: Any, causal: int, tools: Tools) -> None:
    """y's head = p·v, from the rows of v that each group of rows sees."""
    n = p.shape[1]
    left = Matrix(p.reshape(-1), matrix * n * n, n, 1)
    out, width = head(matrix, y, p)
    seen(n, width, left, packed(head(matrix, v, p)[0], n, width, tools), out, causal, tools)


def seen(n: int, width: int, left: Matrix, right: Matrix, out: Matrix, causal: int, tools: Tools) -> None:
    """out (n, width) = left (n, n) · right; a causal row t of left is 0 behind column t."""
    group = GROUP if causal else n
    for row in range(0, n, group):
        rows = min(group, n - row)
        multiply(rows, width, row + rows, below(left, row), right, below(out, row), 0, tools)


def seeing(n: int, width: int, left: Matrix, right: Matrix, out: Matrix, causal: int, tools: Tools) -> None:
    """out (n, width) = leftᵀ · right; a causal row t of left is 0 behind column t."""
    group = GROUP if causal else n
    for row in range(0, n, group):
        first = row if causal else 0
        part = Matrix(left.values, left.start + first * left.row + row, 1, left.row)
        multiply(min(group, n - row), width, n - first, part, below(right, first), below(out, row), 0, tools)


def below(x: Matrix, row: int) -> Matrix:
    """The matrix from this row on."""
    return Matrix(x.values, x.start + row * x.row, x.row, x.column)


def turned_head(matrix: int, x: Any, p: Any, tools: Tools) -> Matrix:
    """A head of x transposed, in the scratch memory."""
    n, lanes = p.shape[1], tools.lanes
    given, width = head(matrix, x, p)
    turned = Matrix(tools.scratch, scratch_size(lanes), whole(n, lanes), 1)
    for row in range(0, width, lanes):
        transpose_rows(row, n, width, given, turned, lanes)
    return turned


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
                turned = turned_head(matrix, v, p, tools)
                group = GROUP if causal else n
                for row in range(0, n, group):
                    rows = min(group, n - row)
                    multiply(rows, row + rows, width, below(given, row), turned, below(dscores, row), 0, tools)
                softmax_backward_loop(0, n, ds, p[matrix : matrix + 1], ds, scale)
                weights = Matrix(p.reshape(-1), matrix * n * n, n, 1)
                right = packed(given, n, width, tools)
                seeing(n, width, weights, right, head(matrix, dv, p)[0], causal, tools)
                right = packed(head(matrix, k, p)[0], n, width, tools)
                seen(n, width, dscores, right, head(matrix, dq, p)[0], causal, tools)
                right = packed(head(matrix, q, p)[0], n, width, tools)
                seeing(n, width, dscores, right, head(matrix, dk, p)[0], causal, tools)


def head(matrix: int, x: Any, p: Any) -> tuple[Matrix, int]:
    """A head of x (rows, features), tokens by features, and its number of features."""
    n, features = p.shape[1], x.shape[1]
    heads = p.shape[0] * n // x.shape[0]
    width = features // heads
    return Matrix(x.reshape(-1), matrix // heads * n * features + matrix % heads * width, features, 1), width


def packed(x: Matrix, n: int, width: int, tools: Tools) -> Matrix:
    """A copy of a head whose rows are contiguous and full vectors, in the scratch memory."""
    lanes = tools.lanes
    stride, start = whole(width, lanes), scratch_size(lanes) + width * whole(n, lanes)
    for row in range(n):
        source = x.values[x.start + row * x.row : x.start + row * x.row + width]
        target = tools.scratch[start + row * stride : start + row * stride + width]
        for j in range(width):
            target[j] = source[j]
    return Matrix(tools.scratch, start, stride, 1)


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
