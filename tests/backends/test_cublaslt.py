"""Products planned for cuBLASLt, on a stand-in that reads descriptions as cuBLASLt does."""

from __future__ import annotations

import gc
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import unavailable
from fake_cublaslt import FakeCublasLt
from fake_cupy import CudaOnCpu
from hypothesis import given, settings
from hypothesis import strategies as st

import gearshift as gs
from gearshift.backends import cublaslt, registry
from gearshift.kernels.arrays.matmul import MATMUL

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())


def arrays(m: int, k: int, n: int, flip_a: int, flip_b: int, dtype: Any = np.float32) -> list[np.ndarray]:
    random = np.random.default_rng(m * n + k)
    a = random.standard_normal((k, m) if flip_a else (m, k)).astype(dtype)
    b = random.standard_normal((n, k) if flip_b else (k, n)).astype(dtype)
    return [a, b, np.full((m, n), 77, dtype=dtype)]


@settings(deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 9)] * 3),
    flips=st.tuples(*[st.integers(0, 1)] * 2),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_products_are_those_of_numpy(sizes: tuple[int, int, int], flips: tuple[int, int], dtype: Any) -> None:
    a, b, out = arrays(*sizes, *flips, dtype)
    CudaOnCpu().bind(MATMUL, [a, b, out], {"transpose_a": flips[0], "transpose_b": flips[1]})()
    want = (a.T if flips[0] else a).astype(float) @ (b.T if flips[1] else b).astype(float)
    assert np.allclose(out, want, rtol=0, atol=1e-5 if dtype is np.float32 else 1e-13)


@settings(deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 7)] * 4),
    flips=st.tuples(*[st.integers(0, 1)] * 2),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_products_of_stacks_are_those_of_numpy(
    sizes: tuple[int, int, int, int], flips: tuple[int, int], dtype: Any
) -> None:
    count, m, k, n = sizes
    stacks = [np.stack([array + i for i in range(count)]) for array in arrays(m, k, n, *flips, dtype)]
    CudaOnCpu().bind(MATMUL, stacks, {"transpose_a": flips[0], "transpose_b": flips[1]})()
    a, b, out = stacks
    want = (a.mT if flips[0] else a).astype(float) @ (b.mT if flips[1] else b).astype(float)
    assert np.allclose(out, want, rtol=0, atol=1e-4 if dtype is np.float32 else 1e-12)


def test_the_fastest_algorithm_is_chosen_once_and_restored_by_its_words() -> None:
    backend = CudaOnCpu()
    products, lt = backend.products, backend.lt
    assert products is not None
    times = iter([3.0] * cublaslt.ROUNDS + [1.0] * cublaslt.ROUNDS + [2.0] * cublaslt.ROUNDS)
    products.seconds = lambda work: (work(), next(times))[1]
    a, b, out = arrays(4, 5, 6, 0, 1)
    call = products.bind(a, b, out, transpose_b=1)
    assert set(lt.used) == {0, 1, 2}
    lt.used.clear()
    call()
    assert lt.used == [1]
    products.bind(a, b, out, transpose_b=1)()  # the same kind: nothing is measured
    assert lt.used == [1, 1]
    (choice,) = products.choices.values()
    ((key, measured),) = products.measured.items()
    assert measured == [0.3, 0.1, 0.2] and "float32 6x5 4x5 4x6 10" in key and "the CPU, cuBLASLt 120900" in key

    other = CudaOnCpu()
    assert other.products is not None
    other.products.choices[key] = choice
    other.products.bind(a, b, out, transpose_b=1)()
    assert other.lt.used == [1]


def test_choices_are_kept_in_a_file_and_checked_when_they_come_back(tmp_path: Path) -> None:
    file, shape = tmp_path / "cache" / "products.json", arrays(4, 5, 6, 0, 1)
    first, second = CudaOnCpu(file=file), CudaOnCpu(file=file)
    assert first.products and second.products
    first.products.bind(*shape, transpose_b=1)
    (key,) = first.products.choices
    assert json.loads(file.read_text()) == first.products.choices
    later = CudaOnCpu(file=file)
    assert later.products
    later.products.bind(*shape, transpose_b=1)
    assert later.products.measured == {} and later.lt.used == []
    hostile = [[1] * 8, [7, 8, 9, 10, 11, 12, 13, 14]]
    for words in hostile:  # the form is right, but cuBLASLt knows no such algorithm
        second.restore({key: words})
        second.products.bind(*shape, transpose_b=1)()
        assert second.products.choices[key] != words
    second.restore({key: [7] * 7, "other": ["7"] * 8, "more": [-1] * 8, "most": [1 << 64] * 8})
    second.restore("nonsense")
    second.restore(None)
    assert second.choices.keys() == {key}
    file.write_text("{ damaged")
    assert CudaOnCpu(file=file).choices == {}


def test_a_checkpoint_carries_the_choices_of_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {**registry._registered, CudaOnCpu.name: CudaOnCpu})
    x, y = np.ones((8, 4), dtype=np.float32), np.zeros(8, dtype=np.int64)

    def trainer(where: str = CudaOnCpu.name) -> gs.Trainer:
        registry._forget()
        return gs.Trainer(gs.Sequential(gs.Linear(4, 3)), gs.CrossEntropyLoss(), gs.SGD(), backend=where)

    first = trainer()
    first.fit(x, y, batch_size=4, verbose=False)
    first.save(tmp_path / "a.safetensors")
    resumed = trainer()
    assert resumed.backend.choices == {}
    resumed.load(tmp_path / "a.safetensors")
    assert resumed.backend.choices == first.backend.choices != {}
    resumed.fit(x, y, batch_size=4, verbose=False)
    assert resumed.backend.products.measured == {}  # pyright: ignore[reportAttributeAccessIssue]
    elsewhere = trainer("numpy")
    elsewhere.load(tmp_path / "a.safetensors")
    assert elsewhere.backend.choices == {}
    registry._forget()


def test_descriptions_end_with_their_product() -> None:
    backend = CudaOnCpu()
    call: Any = backend.bind(MATMUL, arrays(2, 3, 4, 0, 0), {})
    before = len(backend.lt.alive)
    call()
    del call
    gc.collect()
    assert before - len(backend.lt.alive) == 4  # three layouts and what is computed
    assert len(backend.lt.alive) == 1  # the handle


def test_a_shape_without_algorithm_is_an_error_that_names_it() -> None:
    backend = CudaOnCpu()
    backend.lt.algorithms = 0
    with pytest.raises(RuntimeError, match=r"no algorithm for the product .*float32 3x4 2x3 2x4 00"):
        backend.bind(MATMUL, arrays(2, 3, 4, 0, 0), {})


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    products, reason = cublaslt.load(np, lambda work: 0.0, "a GPU")
    assert products is None and "pip install nvmath-python" in reason and "cupy.matmul" in reason

    def broken() -> int:
        raise RuntimeError("CUDA driver is not found")

    lt = FakeCublasLt(lambda *_: None)
    lt.create = broken  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(importlib, "import_module", lambda name: lt)
    products, reason = cublaslt.load(np, lambda work: 0.0, "a GPU")
    assert products is None and "cuBLASLt does not start: RuntimeError: CUDA driver is not found" in reason
