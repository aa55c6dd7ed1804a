"""The base class of backends: memory, binding of operations to arrays, and status."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np

from .errors import ConfigurationError
from .precision import is_short, widened
from .ranks import Collective, Ranks


class Bindable(Protocol):
    """What every backend needs of an operation; see `gearshift.kernels.operation`."""

    @property
    def name(self) -> str: ...

    @property
    def reference(self) -> Callable[..., None]: ...


@dataclass(frozen=True)
class Status:
    """Whether a backend runs on this machine, and its device.

    `memory` is (free, total) in bytes. If `runs` is False, `reason` names the missing piece and `remedy` the command
    that installs it. A `remark` describes a limitation.

    Examples
    --------
    >>> gs.backends.Status("plain", runs=False, reason="it is not installed", remedy="pip install plain").runs
    False
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
    """Base class of backends, which hold arrays and run operations. A backend holds no state of a training run.

    Examples
    --------
    >>> backend = gs.backends.get("numpy")
    >>> backend.name, backend.xp is np
    ('numpy', True)
    """

    name: ClassVar[str]
    xp: Any
    """The array module: numpy, cupy, or another one that follows the array API standard."""
    captures: bool = False
    """Whether operations can be captured and replayed as one graph."""

    streams: bool = False
    """Whether host-to-device copies can run while the device works, see `copies`."""

    joins: bool = False
    """Whether launches are expensive and fused operations are available."""

    precisions: Sequence[str] = ("float32", "float64")
    """The supported values of the `precision` argument of `Trainer`."""

    by_name: ClassVar[Callable[[str], Backend]]
    """The registry's function that returns a backend by name."""

    def __copy__(self) -> Backend:
        return self

    def __deepcopy__(self, memo: Any) -> Backend:
        return self

    def __reduce__(self) -> Any:
        """Unpickles as the backend of the same name."""
        return type(self).by_name, (self.name,)

    @classmethod
    @abstractmethod
    def status(cls) -> Status:
        """Runs a real test of the backend and reports the result; raises for an invalid user setting."""

    @abstractmethod
    def memory(self) -> tuple[int, int]:
        """Free and total memory of the device, in bytes."""

    @abstractmethod
    def to_numpy(self, array: Any) -> np.ndarray:
        """`array` as a NumPy array: itself if it is one, otherwise a copy."""

    def bind(
        self, operation: Bindable, arrays: Sequence[Any], attributes: Mapping[str, int | float]
    ) -> Callable[[], None]:
        """Returns a function without arguments that runs the operation on these arrays; here, its reference."""
        if any(is_short(array.dtype) for array in arrays):
            return widened(operation.reference, self.xp, arrays, attributes)
        return partial(operation.reference, self.xp, *arrays, **attributes)

    def obstacle(self, operation: Bindable) -> str:
        """Why this operation cannot be captured; empty if it can."""
        return f"backend {self.name!r} does not support capture"

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Captures all launches of `work` without running them; returns a function that replays them as one.

        The arrays that the launches use must live as long as the function.
        """
        raise NotImplementedError(f"backend {self.name!r} does not support capture")

    def collective(self, ranks: Ranks) -> Collective:
        """What moves arrays of this backend between the ranks that train together.

        Raises
        ------
        ConfigurationError
            The backend trains in one process only.
        BackendUnavailable
            A library is missing.
        """
        if self.xp is not np:
            raise ConfigurationError(
                f"backend {self.name!r} trains in one process, and mpiexec started {ranks.size}; use 'numba', 'numpy' "
                "or 'cupy'"
            )
        return ranks

    def copies(self) -> Any:
        """An object that copies pinned host memory to the device while other work runs."""
        raise NotImplementedError(f"backend {self.name!r} does not support concurrent copies")

    @property
    def choices(self) -> dict[str, Any]:
        """Choices made by measurement, as JSON values; a run stores them so that its results are reproducible."""
        return {}

    def restore(self, choices: Any) -> None:
        """Restores `choices` from this or another process; entries that do not apply here are ignored."""
        return

    def chosen(self, name: str, measure: Callable[[], tuple[list[int], bool]]) -> list[int]:
        """The choice of this name, from this or another process; if there is none, `measure` makes it.

        It also tells whether the choice is certain, so that other processes may use it.
        """
        return measure()[0]

    @property
    def runs_tasks(self) -> bool:
        """Whether compiled operations can run without Python between them (see `tasks`)."""
        return False

    def compiled(self, text: Any, **functions: Any) -> Callable[..., Any] | None:
        """Compiles a plain Python function; None on a backend without a compiler.

        `functions` replace, by name, functions that it calls at any depth.
        """
        return None

    def asarray(self, array: Any, dtype: Any = None) -> Any:
        """`array` on this backend, with this dtype; without a copy if it already is."""
        return self.xp.asarray(array, dtype=dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: Any) -> Any:
        """A new array of zeros, C-contiguous, its first element on a 256-byte boundary."""
        return self.xp.zeros(shape, dtype=dtype)

    def bytes_to_hold(self, array: Any) -> int:
        """Memory in bytes that `asarray` allocates for this array: 0 if it is already on the backend."""
        return 0

    def naming_memory(self) -> AbstractContextManager[None]:
        """A context that converts out-of-memory errors to `DeviceMemoryError`; here, it does nothing."""
        return nullcontext()

    def release(self) -> None:
        """Returns cached memory to the system."""
        return

    def synchronize(self) -> None:
        """Waits until all submitted work is done; returns at once on synchronous backends."""
        return

    def seconds(self, work: Callable[[], None]) -> float:
        """The time that `work` takes on the device, in seconds."""
        self.synchronize()
        start = time.perf_counter()
        work()
        self.synchronize()
        return time.perf_counter() - start
