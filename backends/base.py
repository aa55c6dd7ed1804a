"""What a backend owes: where arrays live, how an operation is bound to them, and what it says of itself."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np

from .precision import is_short, widened


class Bindable(Protocol):
    """The part of an operation that every backend can run; see `gearshift.kernels.operation`."""

    @property
    def name(self) -> str: ...

    @property
    def reference(self) -> Callable[..., None]: ...


@dataclass(frozen=True)
class Status:
    """Whether a backend runs on this machine, and on what.

    `memory` is (free, total) in bytes. Where `runs` is False, `reason` names the missing piece and
    `remedy` the command that installs it. A `remark` says what works otherwise than intended.
    """

    name: str
    runs: bool
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    memory: tuple[int, int] | None = None
    threads: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    remedy: str = ""
    remark: str = ""


class Backend(ABC):
    """A place where arrays live and operations run. Backends hold no state of a training run."""

    name: ClassVar[str]
    xp: Any
    """The array module: numpy, cupy, or one that follows the array API."""
    captures: bool = False
    """Whether launches can be captured and replayed as one."""

    streams: bool = False
    """Whether the host can copy to it while it works, as `copies` does."""

    joins: bool = False
    """Whether each launch costs, and some operations can be done in one."""

    precisions: Sequence[str] = ("float32", "float64")
    """How numbers may be kept and multiplied here, as `Trainer` names it."""

    by_name: ClassVar[Callable[[str], Backend]]
    """The registry's function that gives a backend by its name."""

    def __copy__(self) -> Backend:
        return self

    def __deepcopy__(self, memo: Any) -> Backend:
        return self

    def __reduce__(self) -> Any:
        """Elsewhere, the backend of the same name."""
        return type(self).by_name, (self.name,)

    @classmethod
    @abstractmethod
    def status(cls) -> Status:
        """Tries the backend in earnest and says what was found; raises for a setting of the user's that is wrong."""

    @abstractmethod
    def memory(self) -> tuple[int, int]:
        """Free and total memory of the device, in bytes."""

    @abstractmethod
    def to_numpy(self, array: Any) -> np.ndarray:
        """A NumPy array with the values of `array`: itself where it is one, else a copy."""

    def bind(
        self, operation: Bindable, arrays: Sequence[Any], attributes: Mapping[str, int | float]
    ) -> Callable[[], None]:
        """A call without arguments that runs the operation on these arrays; here, its reference."""
        if any(is_short(array.dtype) for array in arrays):
            return widened(operation.reference, self.xp, arrays, attributes)
        return partial(operation.reference, self.xp, *arrays, **attributes)

    def obstacle(self, operation: Bindable) -> str:
        """Why a call of this operation cannot be captured; empty where it can."""
        return f"backend {self.name!r} captures nothing"

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """A call that launches as one all that `work` launches; nothing is run meanwhile.

        The arrays that the launches use must live as long as the call.
        """
        raise NotImplementedError(f"backend {self.name!r} captures nothing")

    def copies(self) -> Any:
        """Copies from pinned memory of the host, beside the work given so far."""
        raise NotImplementedError(f"backend {self.name!r} copies nothing beside its work")

    @property
    def choices(self) -> dict[str, Any]:
        """What was measured to be best here, as JSON can hold it; a run keeps it, so as to repeat its bits."""
        return {}

    def restore(self, choices: Any) -> None:
        """Takes over what `choices` gave, in this process or another; whatever does not fit here is left aside."""
        return

    def compiled(self, text: Any, **functions: Any) -> Callable[..., Any] | None:
        """An undecorated function compiled for the processor, or None on a backend that compiles nothing.

        `functions` stand in, by name, for functions that it calls at any depth.
        """
        return None

    def asarray(self, array: Any, dtype: Any = None) -> Any:
        """`array` on this backend; without a copy where it is there already, with this dtype."""
        return self.xp.asarray(array, dtype=dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: Any) -> Any:
        """A new array of zeros, C-contiguous, its first element on a 256-byte boundary."""
        return self.xp.zeros(shape, dtype=dtype)

    def bytes_to_hold(self, array: Any) -> int:
        """Memory that `asarray` takes for this array: none for one that is there already."""
        return 0

    def naming_memory(self) -> AbstractContextManager[None]:
        """Within it memory that runs out is a `DeviceMemoryError`; here, it is what it is."""
        return nullcontext()

    def release(self) -> None:
        """Gives memory that is kept for later use back to the system."""
        return

    def synchronize(self) -> None:
        """Returns when all work given so far is done: at once, where work is done as it is given."""
        return

    def seconds(self, work: Callable[[], None]) -> float:
        """The time that `work` takes on the device, in seconds."""
        self.synchronize()
        start = time.perf_counter()
        work()
        self.synchronize()
        return time.perf_counter() - start
