"""The interface of a product engine: the matrix products of a fused MLP, as functions that are called by address.

An engine is a file with the six functions that `addresses` names. They do not depend on loss, optimizer or data, so
each engine is compiled once, and a step can change engines while it runs. `vector_engine` runs on every CPU,
`matrix_unit_engine` on those with a matrix unit.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

from ...backends.addresses import address_of
from .parts import BlockPart, Integers, LayerPlaces, Memory, Tools, whole
from .vector_engine import begin, end, forward_product, input_gradient, start_weight_gradient, weight_gradient

HOT = 65536  # elements of the gradient that are computed before their update
ROWS = 96  # maximum rows of the weights at once
APART = 32  # rows of the weights of which a chunk has a multiple
CLAIMED = 32  # rows from which other threads claim chunks: it takes long to move weights and states to their caches
WORTHWHILE = 1 << 18  # multiplications of a part from which they do


class Engine(NamedTuple):
    """The addresses of an engine's functions, and what the loop needs to know about them.

    Attributes
    ----------
    begin, end : each thread calls them before its first and after its last step.
    forward : `forward_product`.
    input_gradient : `input_gradient`.
    start_gradient, weight_gradient : `start_weight_gradient` and `weight_gradient`.
    transposed : whether `weight_gradient` reads D transposed.
    grain : rows of the weights' gradient are computed in multiples of this number.
    chunks : number of chunks of a part's products, see `claims`; 1 if only the part's own thread can compute them.
    """

    begin: int
    end: int
    forward: int
    input_gradient: int
    start_gradient: int
    weight_gradient: int
    transposed: int
    grain: int
    chunks: int


def addresses(tools: Tools, memory: Memory, integers: Integers, task: BlockPart, layer: LayerPlaces) -> Any:
    """The addresses of an engine's functions for arguments of these types."""
    return (
        address_of(begin, (), (tools,)),
        address_of(end, (), (tools,)),
        address_of(forward_product, (), (0, 1, task, layer, 1, memory, tools, integers)),
        address_of(input_gradient, (), (0, 1, task, layer, layer, memory, tools)),
        address_of(start_weight_gradient, (), (task, layer, memory, tools, integers)),
        address_of(weight_gradient, (), (1, 1, 1, 1, task, layer, memory, tools, integers)),
    )


def functions_of(engine: ModuleType) -> dict[str, Any]:
    """Replacements, by name, for the functions that `addresses` names."""
    names = ("begin", "end", "forward_product", "input_gradient", "start_weight_gradient", "weight_gradient")
    return {name: getattr(engine, name) for name in names}


def rows_at_once(outputs: int, grain: int, lanes: int) -> int:
    """The rows of the weights' gradient that are computed before their update: as many as stay in cache."""
    return min(ROWS, max(grain, HOT // whole(outputs, lanes) // grain * grain))


def chunks_of(rows: int, parts: int, layer: LayerPlaces, engine: Engine) -> int:
    """The chunks of each part's products of a layer, for `rows` rows; 1 if only the part's own thread computes them."""
    several = rows >= CLAIMED and layer.inputs * layer.outputs * rows >= WORTHWHILE * parts
    return engine.chunks if several else 1
