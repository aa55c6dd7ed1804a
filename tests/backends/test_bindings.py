"""What the bindings of cuBLASLt say of themselves, beside what Gearshift takes them for; they need no driver for it."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import inspect
import re
from typing import Any

import numpy as np
import pytest

from gearshift.backends import cublaslt, cublaslt_product

lt = pytest.importorskip(
    "nvmath.bindings.cublasLt",
    reason="nvmath-python is not installed: enum numbers, struct sizes and signatures of cuBLASLt's bindings unchecked",
    exc_type=ImportError,
)
CALLS = sorted(
    set(re.findall(r"\blt\.([a-z]\w*)\(", inspect.getsource(cublaslt) + inspect.getsource(cublaslt_product)))
)
ENUMS = {
    "MatmulDescAttribute": (
        "TRANSA", "TRANSB", "EPILOGUE", "BIAS_POINTER", "EPILOGUE_AUX_POINTER", "EPILOGUE_AUX_LD"
    ),
    "MatrixLayoutAttribute": ("BATCH_COUNT", "STRIDED_BATCH_OFFSET"),
    "MatmulPreferenceAttribute": ("MAX_WORKSPACE_BYTES", *(f"MIN_ALIGNMENT_{operand}_BYTES" for operand in "ABCD")),
    "Epilogue": ("BIAS", "RELU_BIAS", "GELU_BIAS", "RELU_AUX_BIAS", "DRELU_BGRAD", "BGRADA"),
}  # fmt: skip


def parameters(function: Any) -> list[str]:
    """The types of a binding's parameters, as its docstring begins with them."""
    inside = function.__doc__.partition("(")[2].partition(")")[0]
    return [word.split()[0] for word in inside.split(",") if word]


@pytest.mark.parametrize("kind", ENUMS)
def test_the_bindings_have_the_names_that_are_used(kind: str) -> None:
    assert set(ENUMS[kind]) <= {member.name for member in getattr(lt, kind)}


def test_numbers_are_those_of_the_bindings() -> None:
    cublas, kinds = importlib.import_module("nvmath.bindings.cublas"), importlib.import_module("nvmath").CudaDataType
    assert (cublas.Operation.N, cublas.Operation.T) == (0, cublaslt_product.TRANSPOSED)
    assert cublas.ComputeType.COMPUTE_32F == cublaslt_product.COMPUTE_32F
    assert cublas.ComputeType.COMPUTE_64F == cublaslt_product.COMPUTE_64F
    assert cublas.ComputeType.COMPUTE_32F_FAST_TF32 == cublaslt_product.COMPUTE_32F_TF32
    assert cublas.Status.NOT_SUPPORTED == cublaslt.NOT_SUPPORTED
    assert cublas.Status.INVALID_VALUE == cublaslt.INVALID_VALUE
    named = (cublaslt_product.R_32F, cublaslt_product.R_64F, cublaslt_product.R_16F, cublaslt_product.R_16BF)
    assert named == (kinds.CUDA_R_32F, kinds.CUDA_R_64F, kinds.CUDA_R_16F, kinds.CUDA_R_16BF)


def test_errors_have_a_status() -> None:
    error = lt.cuBLASLtError.__new__(lt.cuBLASLtError)
    with contextlib.suppress(RuntimeError):  # without a driver it has no text
        error.__init__(cublaslt.NOT_SUPPORTED)
    assert error.status == cublaslt.NOT_SUPPORTED and isinstance(error, Exception)


def test_a_proposal_is_laid_out_as_it_is_read() -> None:
    found = lt.MatmulHeuristicResult(2)
    words = found[1].algo.data_.reshape(-1)
    assert words.size == cublaslt.WORDS and words.dtype == np.uint64
    layout = np.dtype(lt.matmul_heuristic_result_dtype)
    assert layout.fields is not None and layout.fields["algo"][1] == 0 and layout.itemsize == 96
    memory = np.ctypeslib.as_array((ctypes.c_uint8 * (2 * layout.itemsize)).from_address(found.ptr))
    memory[...] = 0
    memory[layout.itemsize + 8], memory[layout.itemsize + 64] = 7, 9  # the second's second word, and its workspace
    assert [int(word) for word in found[1].algo.data_.reshape(-1)] == [0, 7, 0, 0, 0, 0, 0, 0]
    assert (int(found[0].workspace_size), int(found[1].workspace_size)) == (0, 9)


@pytest.mark.parametrize("name", CALLS)
def test_every_call_takes_addresses_and_whole_numbers(name: str) -> None:
    real = getattr(lt, name)
    if isinstance(real, type):
        assert name == "MatmulHeuristicResult"
        return
    taken = parameters(real)
    assert set(taken) <= {"intptr_t", "int", "int32_t", "int64_t", "uint64_t", "size_t"}, taken
    assert name != "matmul" or len(taken) == 16
