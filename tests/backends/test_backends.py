"""The choice of a backend, what each says of itself, and the arrays it makes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gearshift as gs
from gearshift.backends import Backend, Status, host, registry
from gearshift.backends.base import Bindable
from gearshift.backends.errors import BackendUnavailable, ConfigurationError
from gearshift.backends.gpu import REMEDY
from gearshift.backends.numpy import NumPyBackend

BUILT_IN = ["cupy", "numba", "numpy"]
HAS_GPU = gs.backends.available()["cupy"].runs


@pytest.fixture(autouse=True)
def registrations(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No choice in the environment, and the built-in backends alone afterwards."""
    monkeypatch.delenv("GEARSHIFT_BACKEND", raising=False)
    before = dict(registry._registered)
    yield
    registry._registered.clear()
    registry._registered.update(before)
    forget()


def forget() -> None:
    """So that every backend is tried again."""
    registry._get.cache_clear()
    registry._status.cache_clear()


class Counting(NumPyBackend):
    """A third party's: NumPy, with a count of what was bound."""

    name = "counting"

    def __init__(self) -> None:
        self.bound = 0

    def bind(
        self, operation: Bindable, arrays: Sequence[Any], attributes: Mapping[str, int | float]
    ) -> Callable[[], None]:
        self.bound += 1
        return super().bind(operation, arrays, attributes)


class Bare(Backend):
    """The least that a backend has to write."""

    name = "bare"
    xp = np

    @classmethod
    def status(cls) -> Status:
        return Status(cls.name, runs=True, device="nowhere in particular")

    def memory(self) -> tuple[int, int]:
        return 1 << 30, 1 << 30

    def to_numpy(self, array: Any) -> np.ndarray:
        return array


class Missing(Bare):
    """One that never runs."""

    name = "missing"

    @classmethod
    def status(cls) -> Status:
        return Status(cls.name, runs=False, reason="there is no abacus", remedy="pip install abacus")


def test_available_tells_of_each_backend() -> None:
    found = gs.backends.available()
    assert list(found) == BUILT_IN
    for name, status in found.items():
        assert status.name == name
        assert status.runs or (status.reason and status.remedy)
        if status.runs:
            assert status.device
            assert name in status.versions
            assert status.memory
            assert 0 < status.memory[0] <= status.memory[1]
    assert found["numpy"].runs
    assert found["numba"].runs
    assert found["numba"].threads["compiled steps"] == host.threads()


def test_auto_is_the_first_that_runs() -> None:
    best = next(name for name, status in gs.backends.available().items() if status.runs)
    assert gs.backends.get().name == gs.backends.get("auto").name == best == ("cupy" if HAS_GPU else "numba")


def test_a_name_comes_before_the_environment_and_that_before_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEARSHIFT_BACKEND", "numpy")
    assert gs.backends.get().name == "numpy"
    assert gs.backends.get("auto").name == "numpy"
    assert gs.backends.get("numba").name == "numba"
    model = gs.Sequential(gs.Linear(2, 1))
    assert gs.Trainer(model, gs.MSELoss(), gs.SGD()).backend.name == "numpy"
    assert gs.Trainer(model, gs.MSELoss(), gs.SGD(), backend="numba").backend.name == "numba"
    monkeypatch.setenv("GEARSHIFT_BACKEND", "")
    assert gs.backends.get().name == ("cupy" if HAS_GPU else "numba")


def test_one_backend_a_name() -> None:
    assert gs.backends.get("numpy") is gs.backends.get("numpy")


def test_unknown_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = "backend 'abacus' is not known; expected one of: auto, cupy, numba, numpy"
    with pytest.raises(ConfigurationError, match=expected):
        gs.backends.get("abacus")
    monkeypatch.setenv("GEARSHIFT_BACKEND", "abacus")
    with pytest.raises(ConfigurationError, match=expected):
        gs.Trainer(gs.Sequential(gs.Linear(2, 1)), gs.MSELoss(), gs.SGD())


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU")
def test_a_gpu_asked_for_by_name_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendUnavailable, match=r"'cupy' cannot run here: .+ To fix this: .+"):
        gs.backends.get("cupy")
    monkeypatch.setenv("GEARSHIFT_BACKEND", "cupy")
    with pytest.raises(BackendUnavailable, match="install"):
        gs.Trainer(gs.Sequential(gs.Linear(2, 1)), gs.MSELoss(), gs.SGD())


def test_without_cupy_the_message_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # what an import finds where the package is absent
    forget()
    with pytest.raises(BackendUnavailable) as caught:
        gs.backends.get("cupy")
    assert "CuPy is not installed" in str(caught.value)
    assert REMEDY in str(caught.value)
    assert gs.backends.get().name == "numba"


@pytest.mark.parametrize(
    ("driver", "error", "hidden", "reason", "remedy"),
    [
        (0, "cudaErrorInsufficientDriver: ...", None, "no NVIDIA driver", "install NVIDIA's driver"),
        (
            11080,
            "cudaErrorInsufficientDriver: ...",
            None,
            "too old: it supports CUDA 11.8, CuPy needs CUDA 12.9",
            "install a driver for CUDA 12 or later; Gearshift has no extra for CUDA 11",
        ),
        (
            12090,
            "cudaErrorNoDevice: none",
            "",
            "CUDA_VISIBLE_DEVICES='' leaves no GPU (cudaErrorNoDevice: none)",
            "unset",
        ),
        (12090, "cudaErrorNoDevice: none", None, "driver finds no GPU (cudaErrorNoDevice: none)", "nvidia-smi"),
        (12090, "", None, "driver finds no GPU (it lists none)", "nvidia-smi"),
    ],
)
def test_why_there_is_no_gpu_is_said(
    driver: int, error: str, hidden: str | None, reason: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cupy = pytest.importorskip("cupy")

    def count() -> int:
        if error:
            raise RuntimeError(error)
        return 0

    for name, value in ("getDeviceCount", count), ("driverGetVersion", lambda: driver):
        monkeypatch.setattr(cupy.cuda.runtime, name, value)
    monkeypatch.setattr(cupy.cuda.runtime, "runtimeGetVersion", lambda: 12090)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    forget()
    status = gs.backends.available()["cupy"]
    assert not status.runs and reason in status.reason and remedy in status.remedy
    assert gs.backends.get().name == "numba" and f"(no GPU: {status.reason})" in gs.backends.explain(gs.backends.get())


def test_a_gpu_that_others_have_filled_is_one_that_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = pytest.importorskip("cupy")

    def full(*_: Any, **__: Any) -> Any:
        raise cupy.cuda.memory.OutOfMemoryError(512, 0, 0)

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 1)
    monkeypatch.setattr(cupy, "ones", full)
    forget()
    status = gs.backends.available()["cupy"]
    assert not status.runs and "Out of memory allocating 512 bytes" in status.reason
    assert status.remedy == "free GPU memory; nvidia-smi lists the processes that use it"
    assert gs.backends.get().name == "numba"


def test_without_numba_auto_is_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setitem(sys.modules, "numba", None)
    forget()
    assert gs.backends.get().name == "numpy"
    with pytest.raises(BackendUnavailable, match="pip install --upgrade numba"):
        gs.backends.get("numba")


def test_explain_says_what_was_chosen_and_why_not_the_gpu() -> None:
    line = gs.backends.explain(gs.backends.get("numba"))
    assert line.startswith(f"backend numba on {host.processor()}")
    assert "\n" not in line
    assert ("no GPU: " in line) is not HAS_GPU


@pytest.mark.parametrize("backend", [Counting, f"{__name__}:Counting"])
def test_a_third_party_registers_a_backend(backend: Any) -> None:
    gs.backends.register("counting", backend)
    assert gs.backends.available()["counting"].runs
    where = gs.backends.get("counting")
    assert isinstance(where, Counting)
    before = where.bound
    model = gs.Sequential(gs.Linear(2, 1))
    gs.Trainer(model, gs.MSELoss(), gs.SGD(), backend="counting").fit(np.eye(2), np.ones(2), verbose=False)
    assert where.bound > before


def test_registering_again_replaces() -> None:
    gs.backends.register("mine", Missing)
    assert not gs.backends.available()["mine"].runs
    gs.backends.register("mine", Bare)
    assert gs.backends.get("mine").name == "bare"


def test_auto_cannot_be_registered() -> None:
    with pytest.raises(ConfigurationError, match="auto"):
        gs.backends.register("auto", Bare)


def test_a_backend_that_cannot_run_or_load_is_named_with_its_reason() -> None:
    gs.backends.register("missing", Missing)
    with pytest.raises(BackendUnavailable, match=r"there is no abacus\. To fix this: pip install abacus"):
        gs.backends.get("missing")
    gs.backends.register("broken", "no.such.module:Backend")
    with pytest.raises(BackendUnavailable, match="'broken' cannot run here: ModuleNotFoundError"):
        gs.backends.get("broken")
    assert gs.backends.get().name in BUILT_IN


def test_the_least_backend_trains() -> None:
    gs.backends.register("bare", Bare)
    weights = []
    for name in ("bare", "numpy"):
        model = gs.Sequential(gs.Linear(3, 4), gs.Tanh(), gs.Dropout(0.5), gs.Linear(4, 2))
        trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), backend=name)
        trainer.fit(np.eye(3), np.array([0, 1, 1]), epochs=3, batch_size=2, verbose=False)
        weights.append(b"".join(value.tobytes() for value in model.state_dict().values()))
    assert weights[0] == weights[1]
    assert gs.backends.get("bare").seconds(lambda: None) >= 0


@settings(deadline=None)
@given(
    shape=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    dtype=st.sampled_from(["float32", "float64", "int64", "uint8"]),
)
def test_zeros_are_aligned_contiguous_and_zero(shape: tuple[int, ...], dtype: str) -> None:
    for name in ("numpy", "numba"):
        array = gs.backends.get(name).zeros(shape, dtype)
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.size == 0 or array.ctypes.data % 256 == 0
        assert not array.any()


def test_arrays_are_taken_without_a_copy_where_they_fit() -> None:
    where, array = gs.backends.get("numba"), np.ones(3)
    assert where.asarray(array) is array
    assert where.to_numpy(array) is array
    assert where.asarray(array, dtype=np.float32).dtype == np.float32


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_backends_of_the_cpu_say_that_they_do_not_capture_or_copy_beside(name: str) -> None:
    backend = gs.backends.get(name)
    assert not backend.captures and not backend.streams
    with pytest.raises(NotImplementedError, match=f"'{name}' does not support capture"):
        backend.capture(lambda: None)
    with pytest.raises(NotImplementedError, match=f"'{name}' does not support concurrent copies"):
        backend.copies()
