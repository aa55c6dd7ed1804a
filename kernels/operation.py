"""What one operation of a training step is: a formula, its faster texts, its derivative, and its work.

Every text takes the same arguments: the arrays (inputs, then outputs), then the attributes, which are plain
integers or floats. Outputs are written in place.

- ``reference(xp, *arrays, **attributes)`` is the definition and every backend's fallback, written against
  an array module. It may allocate.
- ``loop(start, stop, *arrays, *attributes)`` is undecorated Python over items ``start`` to ``stop``, which
  the Numba backend compiles. Items are independent, so any split into ranges gives the same bits.
- ``cuda`` names the kernel in the ``.cu`` file beside and says how it is launched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Attribute = int | float


@dataclass(frozen=True)
class Launch:
    """One kernel launch: blocks, threads a block, dynamic shared bytes, and the arguments in order."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    arguments: tuple[Any, ...]
    shared: int = 0


@dataclass(frozen=True)
class Cuda:
    """The CUDA text of an operation.

    Parameters
    ----------
    source : file name of the ``.cu`` text in this folder.
    entry : name of its ``extern "C"`` kernel.
    launch : maps the operation's arrays and attributes to a `Launch`.
    types : macro name to the index of the array whose dtype defines it, as ``{"REAL": 0}``. REAL is what is computed
        in: float where the array's numbers have sixteen bits. Kernels that take such arrays call their type VALUE.
    """

    source: str
    entry: str
    launch: Callable[..., Launch]
    types: Mapping[str, int] = field(default_factory=lambda: {"REAL": 0})


VALUES = {"VALUE": 0, "REAL": 0}
"""Types of a kernel over activations."""


@dataclass(frozen=True, eq=False)
class Operation:
    """A fused operation; see the module's text for the calling convention.

    Parameters
    ----------
    name : the operation's name, unique in the library.
    reference : the formula in array code.
    loop : the formula as a Python loop over a range of items, or None.
    extent : number of items of `loop` for given arrays.
    cuda : the CUDA kernel, or None.
    gradient : ``gradient(graph, node, *output_gradients)`` appends the backward operations and returns one
        gradient (or None) for each input; None where the operation has no derivative.
    tangent : ``tangent(graph, node, *input_tangents)``, None for an input that does not change, appends the operations
        of the derivative along them and returns a tangent (or None) for each output; None where the reference is to
        be run on dual numbers (dual.py), which needs no rule but recomputes the values.
    inplace : pairs (output, input) that may share memory where nothing else reads the input later.
    flops : floating-point operations for given arrays and attributes.
    traffic : bytes read and bytes written at the least, for given arrays; None where that is
        every array once, but for scratch.
    scratch : numbers of the arrays that serve the operation alone; nobody else reads them.
    product : whether it is the matrix product out = a·b, for which a backend may know a library.
    parts : for an operation that stands for several: those, with their arrays and attributes; it is defined by them.
    fused : how a library that does all of them in one launch is told so, as `joined_products.Fused`.
    role : what a training step uses it as: ``"update"`` of an optimizer (update.py says its arguments), ``"loss"``
        (loss.py), or ``""`` for all others.
    sliced : for an update or a loss, whether `loop` may be given a part of its arrays: some elements of p, g and the
        states, or some rows of outputs, targets, scores and gradient. The compiled chain of dense layers, which updates
        and scores a part at a time, takes those for which this holds.
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

    def __repr__(self) -> str:
        return f"Operation({self.name})"

    @property
    def short(self) -> bool:
        """Whether arrays may be of sixteen bits: a kernel says so by names of types, and array code always can."""
        return self.cuda is None or not {"VALUE", "BATCH", "COPY", "GRADIENT"}.isdisjoint(self.cuda.types)

    def bytes(self, *arrays: Any) -> int:
        """Bytes read and written at the least, without scratch."""
        if self.traffic is not None:
            return sum(self.traffic(*arrays))
        return sum(array.nbytes for index, array in enumerate(arrays) if index not in self.scratch)


def rows(*arrays: Any) -> int:
    """Extent of an operation whose items are the rows of its first array."""
    return arrays[0].shape[0]


def elements(*arrays: Any) -> int:
    """Extent of an operation whose items are the elements of its first array."""
    return arrays[0].size
