"""What the bindings of cuBLASLt say of themselves, beside what Gearshift takes them for; they need no driver for it."""

from __future__ import annotations

import contextlib
import ctypes
import enum
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import unavailable
from device_array import DeviceArray
from fake_cublaslt import FakeCublasLt
from fake_cupy import CudaOnCpu

from gearshift.backends import cublaslt, cublaslt_product
from gearshift.kernels.activations.activation import IDENTITY, RELU
from gearshift.kernels.arrays import fused_products as joined_products
from gearshift.kernels.arrays.fused_products import GELU, PRODUCT_BIAS, PRODUCT_BIAS_GRADIENT, PRODUCT_RELU_BACKWARD
from gearshift.kernels.arrays.matmul import MATMUL
from gearshift.kernels.launch import column_tiles, parts

lt = pytest.importorskip(
    "nvmath.bindings.cublasLt",
    reason="nvmath-python is not installed: enum numbers, struct sizes and signatures of cuBLASLt's bindings unchecked",
    exc_type=ImportError,
)
CALLS = sorted(
    set(re.findall(r"\blt\.([a-z]\w*)\(", inspect.getsource(cublaslt) + inspect.getsource(cublaslt_product)))
)
ENUMS = ("MatmulDescAttribute", "MatrixLayoutAttribute", "MatmulPreferenceAttribute", "Epilogue")


def parameters(function: Any) -> list[str]:
    """The types of a binding's parameters, as its docstring begins with them."""
    inside = function.__doc__.partition("(")[2].partition(")")[0]
    return [word.split()[0] for word in inside.split(",") if word]


@pytest.mark.parametrize("name", ENUMS)
def test_the_stand_ins_enums_have_the_bindings_numbers(name: str) -> None:
    fake, real = getattr(FakeCublasLt, name), getattr(lt, name)
    assert {member.name: int(real[member.name]) for member in fake} == {member.name: int(member) for member in fake}


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
def test_every_call_has_the_bindings_signature(name: str) -> None:
    """Addresses and handles are whole numbers; the stand-in, which all tests call, takes as many of them."""
    real, fake = getattr(lt, name), getattr(FakeCublasLt, name, None)
    if isinstance(real, type):
        assert name == "MatmulHeuristicResult"
        return
    taken = parameters(real)
    assert set(taken) <= {"intptr_t", "int", "int32_t", "int64_t", "uint64_t", "size_t"}, taken
    assert fake is not None
    arguments = list(inspect.signature(fake).parameters.values())[1:]
    if arguments and arguments[-1].kind is inspect.Parameter.VAR_POSITIONAL:
        assert name == "matmul" and len(taken) == 16
    else:
        assert len(arguments) == len(taken)


class Spied(FakeCublasLt):
    """Notes the attributes that are set, with their sizes in bytes."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sizes: set[tuple[str, str, int]] = set()

    def matmul_desc_set_attribute(self, description: int, attribute: int, buffer: int, size: int) -> None:
        self._note(lt.MatmulDescAttribute, "matmul_desc", attribute, size)
        super().matmul_desc_set_attribute(description, attribute, buffer, size)

    def matrix_layout_set_attribute(self, layout: int, attribute: int, buffer: int, size: int) -> None:
        self._note(lt.MatrixLayoutAttribute, "matrix_layout", attribute, size)
        super().matrix_layout_set_attribute(layout, attribute, buffer, size)

    def matmul_preference_set_attribute(self, preference: int, attribute: int, buffer: int, size: int) -> None:
        self._note(lt.MatmulPreferenceAttribute, "matmul_preference", attribute, size)
        super().matmul_preference_set_attribute(preference, attribute, buffer, size)

    def _note(self, kind: type[enum.IntEnum], of: str, attribute: int, size: int) -> None:
        self.sizes.add((of, kind(attribute).name, size))


@pytest.fixture
def spied() -> Iterator[Any]:
    """A backend on which every kind of product has been bound."""
    device: Any = CudaOnCpu()
    device.lt = device.products.lt = Spied(device.lt.launch)
    device.products.handle = device.lt.create()
    a, b = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32)
    bias, y = np.ones(5, np.float32), np.ones((3, 5), np.float32)
    mask = np.zeros((3, joined_products.mask_bytes(5)), np.uint8)
    scratch = [np.zeros((parts(5), 5), np.float32), np.zeros(column_tiles(5), np.uint32)]

    def bind(operation: Any, arrays: list[np.ndarray], attributes: dict[str, int]) -> None:
        device.bind(operation, [array.view(DeviceArray) for array in arrays], attributes)

    plain = {"transpose_a": 0, "transpose_b": 0}
    bind(MATMUL, [np.stack([a, a]), np.stack([b, b]), np.stack([y, y])], plain)
    for activation in (IDENTITY, RELU, GELU):
        bind(PRODUCT_BIAS, [a, b, bias, y], {**plain, "activation": activation})
    bind(PRODUCT_BIAS, [a, b, bias, y, mask], {**plain, "activation": RELU})
    arrays = [y, np.ones((5, 5), np.float32), y, mask, y.copy(), bias.copy(), *scratch]
    bind(PRODUCT_RELU_BACKWARD, arrays, {"transpose_a": 0, "transpose_b": 1})
    arrays = [a, y, np.ones((4, 5), np.float32), bias.copy(), *scratch]
    bind(PRODUCT_BIAS_GRADIENT, arrays, {"transpose_a": 1, "transpose_b": 0})
    yield device.lt


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
def test_attributes_have_the_sizes_that_the_bindings_know(spied: Spied) -> None:
    known = {of for of, _, _ in spied.sizes}
    assert known == {"matmul_desc", "matrix_layout", "matmul_preference"} and len(spied.sizes) >= 13
    kinds = {
        "matmul_desc": lt.MatmulDescAttribute,
        "matrix_layout": lt.MatrixLayoutAttribute,
        "matmul_preference": lt.MatmulPreferenceAttribute,
    }
    for of, name, size in spied.sizes:
        dtype = getattr(lt, f"get_{of}_attribute_dtype")(kinds[of][name])
        assert np.dtype(dtype).itemsize == size, f"{of} {name}"
