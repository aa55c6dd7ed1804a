"""Part 4: what happens at the limits? Memory that comes back, batches that do not fit, losses that are not finite."""

from __future__ import annotations

import gc
import time

import numpy as np

from ...backends import Backend
from ...backends.errors import DeviceMemoryError, NonFiniteLoss
from ..peers.networks import parse
from .report import ProofReport
from .scale import Scale
from .steps import ProofSteps
from .trainings import BATCH, TRAININGS, build, train

NETWORK = "784-512-512-10"
LONGEST = 240.0  # seconds that the plans may take


def run(report: ProofReport, backend: Backend, scale: Scale) -> None:
    """All checks of the part."""
    with report.check(f"{scale.plans} plans leave no memory behind", longest=LONGEST + 60) as check:
        used, ends = [], time.monotonic() + LONGEST
        while len(used) < scale.plans and time.monotonic() < ends:
            steps = ProofSteps(backend, parse(NETWORK), 1)
            steps.run(4)
            del steps
            gc.collect()
            used.append(backend.memory()[0])
        check["plans"] = len(used)
        check["free after the first plans"], check["free at the end"] = used[min(3, len(used) - 1)], used[-1]
        lost = used[min(3, len(used) - 1)] - used[-1]
        check.require(
            lost < 64 << 20 or scale.rounds == 1, f"{lost / 2**20:.0f} MiB less are free than after the first"
        )
        check.require(len(used) == scale.plans, f"there was time for {len(used)} plans alone")
    with report.check("a batch that does not fit is refused, and the largest that does is named") as check:
        trainer = build(backend.name, "Adam", "float32")
        x, y = TRAININGS["Adam"].data()
        try:
            from ...dl.step.plan import Plan
            from ...dl.step.program import training

            graph = training(trainer.spec, x.shape[1]).graph
            Plan(graph, backend, trainer.state.arena, {}, 10**12)
        except DeviceMemoryError as error:
            check["message"] = str(error)
            check.require("the largest batch that fits is" in str(error), str(error))
        else:
            check.require(False, "it was not refused")
        trainer.fit(x, y, epochs=1, batch_size=BATCH, verbose=False)  # and the next one trains
    with report.check("memory that runs out is an error with a way out") as check:
        free, total = backend.memory()
        try:
            taken = [backend.zeros(total // 8, np.float32) for _ in range(3)]
            check.require(scale.rounds == 1, f"{sum(array.nbytes for array in taken)} bytes were given of {free}")
        except (DeviceMemoryError, MemoryError) as error:
            check["message"] = str(error)
        train(backend.name, "Adam", "float32", 1)
    with report.check("a loss that is not finite names its step and layer, and leaves the weights") as check:
        trainer = build(backend.name, "SGD with momentum", "float32")
        x, y = TRAININGS["SGD with momentum"].data()
        y[500] = 1e30  # whose square is not finite in float32
        try:
            trainer.fit(x, y.astype(np.float32), epochs=1, batch_size=BATCH, verbose=False)
        except NonFiniteLoss as error:
            check["message"] = str(error)
        else:
            check.require(False, "it was not noticed")
        finite = all(np.isfinite(value).all() for value in trainer.model.state_dict().values())
        check.require(finite, "weights are not finite")
    with report.check("algorithms that cuBLASLt proposed, measured") as check:
        products = getattr(backend, "products", None)
        check.require(products is not None, "products are not planned")
        assert products is not None
        check["seconds"] = products.measured
        first = [times[0] / min(times) for times in products.measured.values()]
        check["its first against the fastest, at the most"] = max(first, default=1.0)
