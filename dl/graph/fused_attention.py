"""Replaces the operations of an attention by one that computes its heads one after another; results are unchanged.

For plans whose operations are compiled loops. Where something else reads a value in between, such as dropout of the
attention's weights or a tangent, the operations stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...backends.vectors import lanes, tile_rows
from ...kernels.arrays.matmul import MATMUL
from ...kernels.operation import Operation
from ...kernels.sequences.attention import ATTENTION, ATTENTION_BACKWARD, MASKED_ATTENTION
from ...kernels.sequences.head_products import elements
from ...kernels.sequences.heads import MERGE_HEADS, SPLIT_HEADS
from ...kernels.sequences.masked_softmax import MASKED_SOFTMAX
from ...kernels.sequences.softmax import SOFTMAX, SOFTMAX_BACKWARD
from .graph import Graph, Node, Value

SOFTMAXES = {SOFTMAX: ATTENTION, MASKED_SOFTMAX: MASKED_ATTENTION}


def with_attention(graph: Graph, chunks: int) -> Graph:
    """The graph with fused attentions, each of which can be divided into `chunks`. Call it when it is complete."""
    found, writers = _Uses(graph), {value: node for node in graph.nodes for value in node.outputs}
    fused: dict[Node, Node | None] = {}
    for node in graph.nodes:
        if node.operation in SOFTMAXES:
            fused |= _fused(node, found, writers, chunks) or {}
    nodes = [fused.get(node, node) for node in graph.nodes]
    return replace(graph, nodes=[node for node in nodes if node is not None])


class _Uses:
    """Which operations read a value."""

    def __init__(self, graph: Graph) -> None:
        self.outputs = graph.outputs
        self.readers: dict[Value, list[Node]] = {}
        for node in graph.nodes:
            for value in node.inputs:
                self.readers.setdefault(value, []).append(node)

    def one(self, value: Value, operation: Operation, place: int = 0, **attributes: int) -> Node:
        """The only operation of this kind that reads the value at this place; LookupError if there is none."""
        (found,) = self._of(value, operation, place, attributes)
        return found

    def _of(self, value: Value, operation: Operation, place: int, attributes: dict[str, int]) -> Iterator[Node]:
        for node in self.readers.get(value, []):
            given = {name: node.attributes[name] for name in attributes if name in node.attributes}
            if node.operation is operation and node.inputs[place] is value and given == attributes:
                yield node

    def inside(self, nodes: set[Node], kept: set[Value]) -> bool:
        """Whether nothing else reads what these operations write, except the values that are kept."""
        written = {value for node in nodes for value in node.outputs} - kept
        return not written & self.outputs and all(
            reader in nodes for value in written for reader in self.readers.get(value, [])
        )


def _fused(softmax: Node, uses: _Uses, writers: dict[Value, Node], chunks: int) -> dict[Node, Node | None] | None:
    """What replaces the operations of an attention: fused ones in two places, nothing in the others."""
    product = {"transpose_a": 0, "transpose_b": 0}
    (p,) = softmax.outputs
    if p.shape[0] != p.shape[1]:  # of tokens of one sequence to those of another
        return None
    try:
        scores = writers[softmax.inputs[0]]
        weighed = uses.one(p, MATMUL, **product)
        merge = uses.one(weighed.outputs[0], MERGE_HEADS)
        splits = [writers[value] for value in (*scores.inputs, weighed.inputs[1])]
    except (KeyError, ValueError):
        return None
    forward = {softmax, scores, weighed, merge, *splits}
    if scores.operation is not MATMUL or any(split.operation is not SPLIT_HEADS for split in splits):
        return None
    q, k, v = (split.inputs[0] for split in splits)
    (y,) = merge.outputs
    length, width = p.shape[0], weighed.outputs[0].shape[1]
    size = lanes(p.dtype)
    scratch = (chunks, elements(length, width, size))
    tile = {"lanes": size, "height": tile_rows()}

    def work(values: tuple[Value, ...]) -> tuple[Value, ...]:
        return (*values, Value(softmax.layer, scratch, p.dtype, "fixed"))

    inputs = (q, k, v, *softmax.inputs[1:])
    attributes = {**softmax.attributes, **tile}
    fused = replace(
        merge, operation=SOFTMAXES[softmax.operation], inputs=inputs, outputs=work((y, p)), attributes=attributes
    )
    if uses.inside(forward, {y, p}):
        return {**dict.fromkeys(forward), merge: fused}
    try:
        heads = weighed.inputs[1]
        dp = uses.one(heads, MATMUL, 1, transpose_a=0, transpose_b=1)
        split = writers[dp.inputs[0]]
        dv = uses.one(p, MATMUL, transpose_a=1, transpose_b=0)
        ds = uses.one(dp.outputs[0], SOFTMAX_BACKWARD)
        dq = uses.one(ds.outputs[0], MATMUL, **product)
        dk = uses.one(ds.outputs[0], MATMUL, transpose_a=1, transpose_b=0)
        merges = [uses.one(node.outputs[0], MERGE_HEADS) for node in (dq, dk, dv)]
    except (KeyError, ValueError):
        return None
    outputs = tuple(merge.outputs[0] for merge in merges)
    backward = {split, dp, dv, ds, dq, dk, *merges}
    if split.operation is not SPLIT_HEADS or not uses.inside(forward | backward, {y, p, *outputs}):
        return None
    inputs = (split.inputs[0], q, k, v, p)
    gradient = replace(split, operation=ATTENTION_BACKWARD, inputs=inputs, outputs=work(outputs), attributes=attributes)
    return {**dict.fromkeys(forward | backward), merge: fused, split: gradient}
