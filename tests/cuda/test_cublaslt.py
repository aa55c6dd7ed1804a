"""Products planned for cuBLASLt: those of NumPy, whose algorithms are chosen once and kept."""

from __future__ import annotations

import gc
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_in
from gpu import planned
from hypothesis import given, settings
from hypothesis import strategies as st

import gearshift as gs
from gearshift import backends
from gearshift.backends import cublaslt
from gearshift.kernels.arrays.matmul import MATMUL

plan = cache(planned)


def run(device: Any, given: list[np.ndarray], flips: tuple[int, int]) -> np.ndarray:
    """The product that the device makes of the first two arrays."""
    there = [device.asarray(array) for array in given]
    device.bind(MATMUL, there, {"transpose_a": flips[0], "transpose_b": flips[1]})()
    return device.to_numpy(there[2])


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
    out = run(plan(), [a, b, out], flips)
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
    a, b, _ = stacks
    out = run(plan(), stacks, flips)
    want = (a.mT if flips[0] else a).astype(float) @ (b.mT if flips[1] else b).astype(float)
    assert np.allclose(out, want, rtol=0, atol=1e-4 if dtype is np.float32 else 1e-12)


def test_the_fastest_algorithm_is_chosen_once_and_restored_by_its_words() -> None:
    backend = planned()
    products, lt = backend.products, backend.lt
    times = iter([3.0] * cublaslt.ROUNDS + [1.0] * cublaslt.ROUNDS + [2.0] * cublaslt.ROUNDS)
    products.seconds = lambda work: (work(), next(times))[1]
    a, b, out = map(backend.asarray, arrays(4, 5, 6, 0, 1))
    call = products.bind(a, b, out, transpose_b=1)
    assert set(lt.used) == {0, 1, 2}
    lt.used.clear()
    call()
    assert lt.used == [1]
    products.bind(a, b, out, transpose_b=1)()  # the same kind: nothing is measured
    assert lt.used == [1, 1]
    (choice,) = products.choices.values()
    ((key, measured),) = products.measured.items()
    assert measured == [0.3, 0.1, 0.2] and "float32 6x5 4x5 4x6 10" in key and "stand-in, cuBLASLt 1" in key

    other = planned()
    other.products.choices[key] = choice
    other.products.bind(a, b, out, transpose_b=1)()
    assert other.lt.used == [1]


def test_choices_are_kept_in_a_file_and_checked_when_they_come_back(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "products.json"
    first, second = planned(file), planned(file)
    shape = [first.asarray(array) for array in arrays(4, 5, 6, 0, 1)]
    first.products.bind(*shape, transpose_b=1)
    (key,) = first.products.choices
    assert json.loads(file.read_text()) == first.products.choices
    later = planned(file)
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
    assert planned(file).choices == {}


def test_a_checkpoint_carries_the_choices_of_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.ones((8, 4), dtype=np.float32), np.zeros(8, dtype=np.int64)

    def trainer(where: str = "cupy") -> gs.Trainer:
        """On a backend that has chosen nothing yet."""
        monkeypatch.setattr(backends.get("cupy"), "products", planned().products)
        return gs.Trainer(gs.Sequential(gs.Linear(4, 3)), gs.CrossEntropyLoss(), gs.SGD(), backend=where)

    first = trainer()
    first.fit(x, y, batch_size=4, verbose=False)
    first.save(tmp_path / "a.safetensors")
    chosen = dict(first.backend.choices)
    resumed = trainer()
    assert resumed.backend.choices == {}
    resumed.load(tmp_path / "a.safetensors")
    assert resumed.backend.choices == chosen != {}
    resumed.fit(x, y, batch_size=4, verbose=False)
    assert resumed.backend.products.measured == {}  # pyright: ignore[reportAttributeAccessIssue]
    elsewhere = trainer("numpy")
    elsewhere.load(tmp_path / "a.safetensors")
    assert elsewhere.backend.choices == {}


def test_descriptions_end_with_their_product() -> None:
    backend = planned()
    call: Any = backend.bind(MATMUL, [backend.asarray(array) for array in arrays(2, 3, 4, 0, 0)], {})
    before = stand_in.counts()
    call()
    del call
    gc.collect()
    after = stand_in.counts()
    ended = {kind: after[f"cublasLt{kind}Destroy"] - before.get(f"cublasLt{kind}Destroy", 0) for kind in KINDS}
    assert ended == {"MatrixLayout": 3, "MatmulDesc": 1}


KINDS = ("MatrixLayout", "MatmulDesc")


def test_a_shape_without_algorithm_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = planned()
    monkeypatch.setattr(backend.lt, "matmul_algo_get_heuristic", lambda *_: None)  # which finds none
    with pytest.raises(RuntimeError, match=r"no algorithm for the product .*float32 3x4 2x3 2x4 00"):
        backend.bind(MATMUL, [backend.asarray(array) for array in arrays(2, 3, 4, 0, 0)], {})
