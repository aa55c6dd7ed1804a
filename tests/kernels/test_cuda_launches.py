"""The way from an operation to a launch: source, signature, arguments; and that no operation is left out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_cases import KERNELS, cases, operations
from cuda_draw import Case

import gearshift.kernels
from gearshift.backends import cuda
from gearshift.kernels import counters, launch
from gearshift.kernels.activations import activation
from gearshift.kernels.operation import Cuda, Operation
from gearshift.kernels.sequences.attention import ATTENTIONS

FOLDER = Path(gearshift.kernels.__path__[0])
OPERATIONS = operations()
WITHOUT_CUDA = {name for name, o in OPERATIONS.items() if o.product or o.parts}  # products are a library's
WITHOUT_CUDA |= {operation.name for operation in ATTENTIONS}  # only plans of compiled loops have them


def prepare(name: str, case: Case) -> cuda.KernelCall:
    return cuda.prepare(OPERATIONS[name], case.arrays, case.attributes)


def test_every_operation_has_a_cuda_text_and_cases() -> None:
    have = {name for name, operation in OPERATIONS.items() if operation.cuda}
    assert set(OPERATIONS) - have == WITHOUT_CUDA
    assert have == set(KERNELS)


def test_every_cuda_text_belongs_to_an_operation() -> None:
    texts = [operation.cuda for operation in OPERATIONS.values() if operation.cuda and not operation.cuda.text]
    entries = {(text.source, text.entry) for text in texts}
    written = {(f.name, entry) for f in FOLDER.rglob("*.cu") for entry in cuda.signatures(cuda.source_text(f))}
    assert entries == written


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("size", [(0, 3), (1, 1), (9000, 40)])
def test_launch_fits_the_signature(name: str, real: Any, size: tuple[int, int]) -> None:
    for case in cases(name, real, *size):
        call = prepare(name, case)
        parameters = cuda.signatures(call.program.source)[call.entry]
        macros = dict(call.program.macros)
        for parameter, argument in zip(parameters, call.arguments, strict=True):
            assert cuda.type_name(argument.dtype) == macros.get(parameter.type, parameter.type)
            assert parameter.pointer == isinstance(argument, np.ndarray)
        assert np.prod(call.block) == launch.BLOCK
        assert 0 <= call.grid[0] <= launch.MOST
        assert np.prod(call.grid) <= launch.MOST


@pytest.mark.parametrize("name", KERNELS)
def test_written_arrays_and_only_they_are_not_const(name: str) -> None:
    for case in cases(name, np.float32, 3, 5):
        call = prepare(name, case)
        parameters = cuda.signatures(call.program.source)[call.entry]
        written = {
            index
            for index, array in enumerate(case.arrays)
            for parameter, argument in zip(parameters, call.arguments, strict=True)
            if argument is array and not parameter.const
        }
        assert written == set(case.written) | set(OPERATIONS[name].scratch)


def test_no_work_is_no_launch() -> None:
    for name in ("activation", "adam", "dropout", "gather", "gradient_squares", "softmax_cross_entropy"):
        assert all(prepare(name, case).empty for case in cases(name, np.float32, 0, 3))
    assert not any(
        prepare(name, case).empty
        for name in ("advance", "accumulate_metrics")
        for case in cases(name, np.float32, 0, 3)
    )
    # no rows, and yet the bias gradient is to be set to 0
    assert not any(
        prepare("bias_activation_backward", c).empty for c in cases("bias_activation_backward", np.float32, 0, 3)
    )


def with_arguments(change: Any) -> Operation:
    """The addition whose launch gives arguments that `change` has made from the right ones."""
    right = OPERATIONS["add"].cuda
    assert right

    def wrong(*arrays: Any) -> Any:
        given = right.launch(*arrays)
        return replace(given, arguments=change(*given.arguments))

    return replace(OPERATIONS["add"], cuda=replace(right, launch=wrong))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b, out, n: (a, b, out), r"add: kernel add takes 4 arguments, but its launch passes 3"),
        (lambda a, b, out, n: (a, b, n, out), r"out is 15, expected an array of float32"),
        (lambda a, b, out, n: (a, b, np.float32(1), n), r"out is np.float32\(1.0\), expected an array of float32"),
        (lambda a, b, out, n: (a, b.astype(float), out, n), r"b is an array of float64, expected an array of float32"),
        (lambda a, b, out, n: (a, b, out, 15.0), r"size is 15.0, expected a value of int64"),
        (lambda a, b, out, n: (a, b, out, out), r"size is array.*, expected a value of int64"),
    ],
)
def test_wrong_launch_is_refused(change: Any, message: str) -> None:
    (case,) = cases("add", np.float32, 3, 5)
    with pytest.raises(TypeError, match=re.compile(message, re.DOTALL)):
        cuda.prepare(with_arguments(change), case.arrays, {})


def test_a_size_beyond_its_parameter_is_refused() -> None:
    """Most sizes are of 64 bits; widths of rows are not."""
    parameters = cuda.signatures(cuda.source_text(FOLDER / "batches" / "gather.cu"))["gather"]
    assert [(p.type, p.name) for p in parameters if not p.pointer] == [("long long", "rows"), ("int", "n")]
    arrays = [np.zeros(1, np.float32), *(np.zeros(1, np.int64) for _ in range(2)), np.zeros(1, np.float32)]
    given = cuda.typed("gather", parameters, {"DATA": "float", "BATCH": "float"}, [*arrays, 1 << 40, 3])
    assert [value.dtype for value in given[4:]] == [np.int64, np.int32]
    with pytest.raises(OverflowError, match="int32"):
        cuda.typed("gather", parameters, {"DATA": "float", "BATCH": "float"}, [*arrays, 3, 1 << 31])


def test_array_of_another_dtype_is_refused() -> None:
    x, mean = np.zeros((3, 5), dtype=np.float32), np.zeros(5)
    with pytest.raises(TypeError, match="standardize: kernel standardize: scale is an array of float32, expected"):
        cuda.prepare(OPERATIONS["standardize"], [x, mean, x[0], x], {})
    wide = np.zeros(3, dtype=np.complex64)
    with pytest.raises(TypeError, match="do not support dtype complex64; expected one of: bfloat16, float16, float32"):
        cuda.prepare(OPERATIONS["add"], [wide, wide, wide], {})


def test_array_with_strides_is_refused() -> None:
    x = np.zeros((4, 6), dtype=np.float32)
    with pytest.raises(TypeError, match=r"add: array 1 of shape \(4, 3\) is not C-contiguous"):
        cuda.prepare(OPERATIONS["add"], [x[:, :3].copy(), x[:, ::2], x[:, :3].copy()], {})


def test_missing_kernel_is_refused() -> None:
    x = np.zeros(3, dtype=np.float32)
    operation = replace(OPERATIONS["gelu"], cuda=Cuda("activation.cu", "gelu", launch.one_block))
    with pytest.raises(TypeError, match=r"activation.cu has no kernel 'gelu'; it has activation, activation_backward"):
        cuda.prepare(operation, [x, x, x], {})


def test_signature_is_read() -> None:
    text = """
    // extern "C" __global__ void comment(int x)
    extern "C" __global__ void k(const REAL* __restrict__ x, /* an output */ double *y, unsigned int n, REAL factor) {}
    extern "C" __global__ void none() {}
    """
    assert cuda.signatures(text) == {
        "k": (
            cuda.KernelParameter("REAL", "x", pointer=True, const=True),
            cuda.KernelParameter("double", "y", pointer=True, const=False),
            cuda.KernelParameter("unsigned int", "n", pointer=False, const=False),
            cuda.KernelParameter("REAL", "factor", pointer=False, const=False),
        ),
        "none": (),
    }
    with pytest.raises(TypeError, match=r"parameter 'float x\[3\]' is not a plain value or pointer"):
        cuda.signatures('extern "C" __global__ void k(float x[3]) {}')


def test_includes_are_resolved_once_and_from_the_package(tmp_path: Path) -> None:
    (tmp_path / "own.cuh").write_text('#pragma once\n#include "grid.cuh"\nint own;\n')
    (tmp_path / "k.cu").write_text('#include "own.cuh"\n#include "grid.cuh"\nint last;\n')
    text = cuda.source_text(tmp_path / "k.cu")
    assert "#include" not in text
    assert text.count("items_at_once()") == 1
    assert text.index("first_item") < text.index("int own;") < text.index("int last;")
    (tmp_path / "bad.cu").write_text('#include "nowhere.cuh"\n')
    with pytest.raises(FileNotFoundError, match=r"nowhere\.cuh"):
        cuda.source_text(tmp_path / "bad.cu")


def test_constants_are_the_same_in_both_languages() -> None:
    def enumerators(file: str) -> dict[str, int]:
        values: dict[str, int] = {}
        for body in re.findall(r"enum \w*\s*\{(.*?)\}", re.sub("//.*", "", cuda.source_text(FOLDER / file)), re.DOTALL):
            following = 0
            for entry in filter(None, map(str.strip, body.split(","))):
                name, _, number = (part.strip() for part in entry.partition("="))
                if number and not number.isdigit():
                    continue  # an expression of the others
                values[name] = int(number or following)
                following = values[name] + 1
        return values

    names = ("STEP", "CURSOR", "ROW", "FAILED", "SKIP", "FIRST", "COUNTERS")
    assert enumerators("counters.cuh") == {name: getattr(counters, name) for name in names}
    names = ("IDENTITY", "RELU", "TANH", "SIGMOID")
    assert enumerators("activation.cuh") == {name: getattr(activation, name) for name in names}
    assert enumerators("block.cuh") == {"BLOCK": launch.BLOCK}
    assert enumerators("warp.cuh") == {"WARP": launch.WARP}
    assert enumerators("elements.cuh") == {"PACK": launch.PACK}
    for file in ("activations/bias_activation.cu", "whole_columns.cuh"):
        tile = enumerators(file)
        assert (tile["COLUMNS"], tile["LANES"], 1) == launch.COLUMN_BLOCK
