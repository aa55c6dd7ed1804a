"""Part 1: does it work? Kernels and products against float64, captures against launches, training against the CPU."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np

from ...backends import Backend
from ...backends.precision import SHORT
from ...dl.data import Dataset, streamed
from ...dl.step.capture import WARM_UP, Steps
from ...dl.step.memory import Demand
from ...dl.step.precision import PRECISIONS
from ...dl.training.loop import Loop
from ...dl.training.trainer import Trainer
from ...kernels.arrays.matmul import MATMUL
from ..batch.measure.steps import launched_one_by_one
from .products import BOUNDS, JOINED, PRODUCT_RELU_BACKWARD, joined_error, product_error, usable
from .report import NotRun, ProofReport
from .scale import Scale
from .stand_in import PlainNumPy, from_tests
from .trainings import BATCH, TRAININGS, build, train

CURVES = {"float64": 1e-5, "float32": 1e-2, "tf32": 5e-2, "bfloat16": 0.15, "float16": 5e-2}
"""The most that a loss may be off that of NumPy's float64 or float32."""
SHORTS = (("Adam", "bfloat16"), ("SGD", "float16"))


def run(report: ProofReport, backend: Backend, scale: Scale) -> None:
    """All checks of the part, those that tell most first: compiling all kernels takes the most time."""
    with report.check("products are planned, steps can be captured") as check:
        obstacle = backend.obstacle(MATMUL)
        check["obstacle"] = obstacle or "none"
        check.require(not obstacle, obstacle)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            captured = steps_after_warm_up(backend).captured
        check.require(captured, "; ".join(str(warning.message) for warning in said))
    products(report, backend, scale)
    first, *others = TRAININGS
    bits(report, backend, scale, [(first, "float32")])
    curves(report, backend, scale, [first])
    kernels(report, backend, scale)
    bits(report, backend, scale, [*((name, "float32") for name in others), *SHORTS])
    curves(report, backend, scale, others)
    with report.check("streamed data train to the bits of resident ones") as check:
        resident = train(backend.name, "Adam", "float32", scale.epochs)
        with data_on_the_host():
            other = train(backend.name, "Adam", "float32", scale.epochs)
        check.require(curve(resident) == curve(other), f"losses {curve(resident)} and {curve(other)}")
        check.require(weights_differ(resident, other) == 0, "weights differ")
        for name, trainer in ("resident", resident), ("streamed", other):
            check[f"{name}, s an epoch"] = min(record["seconds"] for record in trainer.history.records)
    with report.check("a run repeats its own bits") as check:
        a, b = (train(backend.name, "AdamW, clipped", "float32", scale.epochs) for _ in range(2))
        check.require(curve(a) == curve(b) and weights_differ(a, b) == 0, "two runs differ")


def products(report: ProofReport, backend: Backend, scale: Scale) -> None:
    """Products in every precision, and those with epilogues."""
    with report.check("products against float64") as check:
        worst = {
            f"{dtype} {m}x{k}x{n} {a}{b}": product_error(backend, m, k, n, a, b, dtype)
            for dtype in usable(backend)
            for m, k, n in scale.products
            for a, b in ((0, 0), (1, 0), (0, 1))
        }
        check["errors"] = worst
        for dtype in usable(backend):
            bound = BOUNDS[dtype]
            check[dtype] = largest = max(value for key, value in worst.items() if key.startswith(f"{dtype} "))
            check.require(largest <= bound, f"{dtype} is off by {largest:.2g} of the terms' sum")
    with report.check("products with epilogues against their parts in float64") as check:
        for operation in JOINED:
            for dtype in sorted({"float32", "tf32", "bfloat16"}.intersection(usable(backend))):
                if operation is PRODUCT_RELU_BACKWARD and dtype == "bfloat16":
                    continue  # which no plan asks for
                errors = [joined_error(backend, operation, *sizes, dtype) for sizes in scale.products]
                check[f"{operation.name}, {dtype}"] = max(errors)
                check.require(
                    max(errors) <= 2 * BOUNDS[dtype], f"{operation.name} in {dtype} is off by {max(errors):.2g}"
                )
        planner = getattr(backend, "products", None)
        check["in one launch"] = [key for key, words in planner.choices.items() if words] if planner else []


def bits(report: ProofReport, backend: Backend, scale: Scale, runs: Sequence[tuple[str, str]]) -> None:
    """Replayed graphs against launches, bit by bit."""
    for name, kind in runs:
        title = f"captured steps equal launched ones: {name}, {kind}"
        if kind not in usable(backend) or title in report.broken:
            continue
        with report.check(title) as check:
            captured = train(backend.name, name, kind, scale.epochs)
            with launched_one_by_one(backend):
                launched = train(backend.name, name, kind, scale.epochs)
            check.require(curve(captured) == curve(launched), f"losses {curve(captured)} and {curve(launched)}")
            check.require(weights_differ(captured, launched) == 0, "weights differ")


def curves(report: ProofReport, backend: Backend, scale: Scale, names: Sequence[str]) -> None:
    """Losses against those of the CPU, in every precision."""
    for name in names:
        for kind in usable(backend):
            bound, title = CURVES[kind], f"loss curve against NumPy: {name}, {kind}"
            if title in report.broken:
                continue
            with report.check(title) as check:
                mine = curve(train(backend.name, name, kind, scale.epochs))
                theirs = curve(train(PlainNumPy.name, name, PRECISIONS[kind], scale.epochs))
                check["curve"], check["numpy"] = mine, theirs
                check["off by"] = off = max(abs(a - b) / abs(b) for a, b in zip(mine, theirs, strict=True))
                check.require(off <= bound, f"off by {off:.2g}, more than {bound:g}")


def kernels(report: ProofReport, backend: Backend, scale: Scale) -> None:
    """Every operation with a CUDA text, by the cases that the tests hold its other texts to."""
    try:
        agreement, cuda_cases = from_tests("agreement"), from_tests("cuda_cases")
    except NotRun as error:
        with report.check("kernels against float64") as check:
            check.require(False, str(error))
        return
    short = [np.dtype(kind) for kind in usable(backend) if kind in SHORT]
    for name in cuda_cases.COVERED:
        if f"kernel against float64: {name}" in report.broken:
            continue
        with report.check(f"kernel against float64: {name}") as check:
            operation, worst = cuda_cases.operations()[name], dict.fromkeys(agreement.TOLERANCE, 0.0)
            for rows, n in scale.kernels:
                for real in (np.float32, np.float64, *(short if name in cuda_cases.SHORT else ())):
                    for case in cuda_cases.cases(name, real, rows, n):
                        results = twice(backend, operation, case)
                        kinds = {a.dtype.name for a in case.arrays}
                        dtype = next((kind for kind in agreement.TOLERANCE if kind in kinds), "float64")
                        worst[dtype] = max(worst[dtype], agreement.worst_error(operation, case, results))
            hold(check, worst, agreement)
    for name in from_tests("formula_cases").NAMES:
        if f"formula against float64: {name}" in report.broken:
            continue
        with report.check(f"formula against float64: {name}") as check:
            hold(check, worst_of_formula(name, backend, short), agreement)


def worst_of_formula(name: str, backend: Backend, short: list[np.dtype[Any]]) -> dict[str, float]:
    """The greatest errors of the kernels that are generated for a formula, by dtype."""
    agreement, formulas = from_tests("agreement"), from_tests("formula_cases")
    worst = dict.fromkeys(agreement.TOLERANCE, 0.0)
    for dtype, precision in (("float32", None), ("float64", None), *(("float32", kind.name) for kind in short)):
        for node, rows in product(formulas.nodes(name, dtype, precision), (1, 70)):
            case = formulas.case_of(node, rows)
            error = agreement.worst_error(node.operation, case, twice(backend, node.operation, case))
            worst[precision or dtype] = max(worst[precision or dtype], error)
    return worst


def hold(check: Any, worst: dict[str, float], agreement: Any) -> None:
    """Enters the greatest errors by dtype, and requires that they are rounding errors."""
    for dtype, error in worst.items():
        check[dtype] = error
        bound = agreement.TOLERANCE[dtype]
        check.require(error <= bound, f"{dtype} is off by {error:.2g} of the terms' sum")


def twice(backend: Backend, operation: Any, case: Any) -> list[np.ndarray]:
    """What the kernel makes of a case; an error where a second run on fresh arrays gives other bits."""
    results = []
    for _ in range(2):
        arrays = [backend.asarray(array.copy()) for array in case.arrays]
        backend.bind(operation, arrays, case.attributes)()
        results.append([np.array(backend.to_numpy(array)) for array in arrays])
    for index in case.written:
        if results[0][index].tobytes() != results[1][index].tobytes():
            raise AssertionError(f"array {index} differs from run to run")
    return results[0]


def steps_after_warm_up(backend: Backend) -> Steps:
    """The steps of a training plan that has run a few."""
    trainer = build(backend.name, "Adam", "float32")
    loop = Loop(trainer, Dataset(*TRAININGS["Adam"].data()), None, BATCH)
    for _ in range(2 * WARM_UP):
        loop.stepper.take(1)
    return loop.plan.steps(BATCH)


def curve(trainer: Trainer) -> list[float]:
    """Training and validation losses, epoch by epoch."""
    return [record[name] for record in trainer.history.records for name in ("loss", "validation_loss")]


def weights_differ(a: Trainer, b: Trainer) -> float:
    """The greatest difference of two models' weights."""
    others = b.model.state_dict()
    return max(float(np.max(np.abs(value - others[key]))) for key, value in a.model.state_dict().items())


@contextmanager
def data_on_the_host() -> Iterator[None]:
    """As if no data set fitted on the device."""
    before = Demand.must_stream, streamed.BLOCK
    Demand.must_stream, streamed.BLOCK = (lambda *_, **__: True), 4096
    try:
        yield
    finally:
        Demand.must_stream, streamed.BLOCK = before
