"""`Operation`: one operation of a training step, with its reference, faster kernels, derivative and cost.

Every kernel takes the same arguments: the arrays (inputs, then outputs), then the attributes, which are plain
integers or floats. Outputs are written in place.

- ``reference(xp, *arrays, **attributes)`` is the definition and every backend's fallback, written against
  an array module. It may allocate.
- ``loop(start, stop, *arrays, *attributes)`` is undecorated Python over items ``start`` to ``stop``, which
  the Numba backend compiles. Items are independent, so any split into ranges gives the same bits.
- ``cuda`` names the kernel in the ``.cu`` file in the same folder and its launch configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Attribute = int | float
BLOCK = 1024  # elements that an element-wise loop handles at once, which stay in the fastest cache from pass to pass


@dataclass(frozen=True)
class Launch:
    """One kernel launch: grid, threads per block, dynamic shared memory in bytes, and the arguments in order."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    arguments: tuple[Any, ...]
    shared: int = 0


@dataclass(frozen=True)
class Cuda:
    """The CUDA kernel of an operation.

    Parameters
    ----------
    source : file name of the ``.cu`` source in the operation's folder.
    entry : name of its ``extern "C"`` kernel.
    launch : maps the operation's arrays and attributes to a `Launch`.
    types : macro name to the index of the array whose dtype defines it, as ``{"REAL": 0}``. REAL is the type of
        computations: float for half-precision arrays. Kernels that accept half precision call the array's type VALUE.
    text : the source itself, of a kernel that is generated; `source` is not read then.
    """

    source: str
    entry: str
    launch: Callable[..., Launch]
    types: Mapping[str, int] = field(default_factory=lambda: {"REAL": 0})
    text: str = ""


VALUES = {"VALUE": 0, "REAL": 0}
"""Macros for the types of a kernel on activations."""


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation of the graph; the module docstring describes the calling convention.

    Parameters
    ----------
    name : the operation's name, unique in the library.
    reference : the formula in array code.
    loop : the formula as a Python loop over a range of items; None where no step of the Numba backend has it.
    extent : number of items of `loop` for given arrays.
    cuda : the CUDA kernel, or None.
    gradient : ``gradient(graph, node, *output_gradients)`` appends the backward operations and returns one
        gradient (or None) for each input; None if the operation has no derivative.
    tangent : ``tangent(graph, node, *input_tangents)``, None for an input that does not change, appends the operations
        of the derivative along them and returns a tangent (or None) for each output; None where the reference is to
        be run on dual numbers (dual.py), which needs no rule but recomputes the values.
    inplace : pairs (output, input) that may share memory if nothing else reads the input later.
    flops : floating-point operations for given arrays and attributes.
    traffic : minimum bytes read and written, for given arrays; None if that is every array once, except scratch.
    scratch : indices of arrays that only the operation itself uses.
    product : whether it is the matrix product out = a·b, for which a backend may use a library.
    parts : for a fused operation: the operations that define it, with their arrays and attributes.
    fused : the description for a library that runs all parts in one launch, a `fused_products.Fused`.
    role : its role in a training step: ``"update"`` of an optimizer (arguments in update.py), ``"loss"`` (loss.py),
        or ``""`` for all others.
    formula : its inputs and its results as expressions: of a traced function, or of an operation whose kernels are
        written by hand, for what has none of them.
    captured : whether a graph can hold it though it has no CUDA kernel, since `reference` queues work of a library.
    sliced : for an update or a loss, whether `loop` accepts slices of its arrays: some elements of p, g and the
        states, or some rows of outputs, targets, scores and gradient. The fused MLP, which updates and scores a part
        at a time, requires this.
    """

    name: str
    reference: Callable[..., None]
    loop: Callable[..., None] | None = None
    extent: Callable[..., int] = lambda *arrays: 1
    cuda: Cuda | None = None
    gradient: Callable[..., tuple[Any, ...]] | None = None
    tangent: Callable[..., tuple[Any, ...]] | None = None
    inplace: tuple[tuple[int, int], ...] = ()
    flops: Callable[..., int] = lambda *arrays, **attributes: 0
    traffic: Callable[..., tuple[int, int]] | None = None
    scratch: tuple[int, ...] = ()
    product: bool = False
    parts: Callable[..., Any] | None = None
    fused: Callable[..., Any] | None = None
    role: Literal["", "update", "loss"] = ""
    sliced: bool = False
    captured: bool = False
    formula: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return f"Operation({self.name})"

    @property
    def short(self) -> bool:
        """Whether arrays may be half precision: CUDA kernels declare it by type names; array code always allows it."""
        return self.cuda is None or not {"VALUE", "BATCH", "COPY", "GRADIENT"}.isdisjoint(self.cuda.types)

    def bytes(self, *arrays: Any) -> int:
        """Minimum bytes read and written, without scratch."""
        if self.traffic is not None:
            return sum(self.traffic(*arrays))
        return sum(array.nbytes for index, array in enumerate(arrays) if index not in self.scratch)


def through(backward: Operation, reads: Callable[[Any], tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """The `gradient` of an operation of whose inputs only the first has a derivative, which `backward` computes.

    It is given the gradient of the output, what `reads` takes of the node, and the node's attributes.
    """

    def gradient(graph: Any, node: Any, dy: Any) -> tuple[Any, ...]:
        dx = graph.like(node.inputs[0])
        graph.apply(backward, (dy, *reads(node)), (dx,), **node.attributes)
        return (dx, *(None for _ in node.inputs[1:]))

    return gradient


def rows(*arrays: Any) -> int:
    """Number of items of an operation whose items are the rows of its first array."""
    return arrays[0].shape[0]


def rows_of_second(*arrays: Any) -> int:
    """Number of items of an operation whose items are the rows of its second array."""
    return arrays[1].shape[0]


def columns(*arrays: Any) -> int:
    """Number of items of an operation whose items are the columns of its first array."""
    return arrays[0].shape[1]


def elements(*arrays: Any) -> int:
    """Number of items of an operation whose items are the elements of its first array."""
    return arrays[0].size
