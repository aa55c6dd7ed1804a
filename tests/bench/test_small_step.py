"""The step of a small network in few launches: its kernels on the CPU, against float64 and the library's training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import HostCuda, unavailable

from gearshift.backends.cuda import signatures, source_text
from gearshift.bench.gpu_proof import small_step
from gearshift.bench.gpu_proof.small_step import COUNTERS, GRID_BARRIERS, SMALL_PHASE, SMALL_STEP, P, arrays
from gearshift.bench.peers.gearshift_contender import Gearshift
from gearshift.bench.peers.networks import Network, batch, parse, weights
from gearshift.dl.optimizers.adam import Adam
from gearshift.kernels.advance import ADVANCE
from gearshift.kernels.counters import CURSOR, FAILED, ROW, STEP

runs_here = pytest.mark.skipif(bool(unavailable()), reason=unavailable())
NETWORKS = ["5-3", "12-8-4", "300-33-10", "20-70-70-16", "6-17-17-17-1"]
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}


def made(name: str, rows: int, real: Any, steps: int = 2) -> tuple[Network, list[np.ndarray]]:
    """A network's arrays; eps is large, so that an update is no more sensitive than its gradient."""
    network = parse(name)
    optimizer = Adam(lr=1e-2, eps=1e-2)
    table = np.array([optimizer.constants(step, 1e-2) for step in range(steps)])
    order = np.random.default_rng(1)
    made = arrays(network, weights(network), *batch(network, rows), table, real)
    made[small_step.ORDER][...] = np.concatenate([order.permutation(rows) for _ in range(steps)])
    for bias in np.flatnonzero(made[P] == 0):
        made[P][bias] = order.standard_normal()
    return network, made


def compare(got: list[np.ndarray], want: list[np.ndarray], real: Any) -> None:
    for index, (mine, theirs) in enumerate(zip(got, want, strict=True)):
        if mine.dtype.kind != "f":
            assert np.array_equal(mine, theirs), f"array {index}"
            continue
        off = np.max(np.abs(mine - theirs), initial=0) / max(1, np.max(np.abs(theirs), initial=0))
        assert off <= TOLERANCE[real], f"array {index} is off by {off}"


def in_float64(made: list[np.ndarray]) -> list[np.ndarray]:
    return [array.astype(np.float64) if array.dtype.kind == "f" else array.copy() for array in made]


@runs_here
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "rows"), [*zip(NETWORKS, (1, 8, 17, 33, 16), strict=True)])
def test_phases_equal_their_definition(name: str, rows: int, real: Any) -> None:
    network, there = made(name, rows, real)
    given = small_step.attributes(network)
    for phase in range(2 * int(given["layers"])):
        exact = in_float64(there)
        SMALL_PHASE.reference(np, *exact, **given, phase=phase)
        HostCuda(backwards=bool(phase % 2)).run(SMALL_PHASE, there, {**given, "phase": phase})
        compare(there, exact, real)


@runs_here
@pytest.mark.parametrize(("name", "rows"), [("5-3", 20), ("300-33-10", 17), ("20-70-70-16", 33)])
def test_steps_in_one_launch_equal_those_phase_by_phase(name: str, rows: int) -> None:
    """To the bit, on any number of blocks and in any order; the barrier is ready for the next launch."""
    network, first = made(name, rows, np.float32)
    given = small_step.attributes(network)
    phases = [array.copy() for array in first]
    for _ in range(2):
        for phase in range(2 * int(given["layers"])):
            HostCuda().run(SMALL_PHASE, phases, {**given, "phase": phase})
        HostCuda().run(ADVANCE, [phases[COUNTERS], phases[small_step.SCORES]], {})
    for host, blocks, steps in (HostCuda(cooperative=True), 3, 1), (HostCuda(None, True, True), 2, 2):
        there, arrived = [array.copy() for array in first], np.zeros(1, np.uint32)
        for _ in range(2 // steps):
            host.run(SMALL_STEP, [*there, arrived], {**given, "steps": steps, "blocks": blocks})
        for index, (mine, theirs) in enumerate(zip(there, phases, strict=True)):
            assert np.array_equal(mine, theirs), f"array {index}"
        assert arrived[0] & 0x7FFFFFFF == 0
    compare(there, _steps(first, given), np.float32)


def _steps(first: list[np.ndarray], given: dict[str, Any]) -> list[np.ndarray]:
    exact = in_float64(first)
    SMALL_STEP.reference(np, *exact, np.zeros(1, np.uint32), **given, steps=2, blocks=1)
    return exact


@pytest.mark.parametrize("name", ["5-3", "12-8-4", "20-7-7-16"])
def test_the_definition_is_what_the_library_trains(name: str) -> None:
    network = parse(name)
    layers, (x, y) = weights(network), batch(network, 9)
    table = np.array([Adam().constants(step, 1e-3) for step in range(3)])
    exact = in_float64(arrays(network, layers, x, y, table))
    SMALL_STEP.reference(np, *exact, np.zeros(1, np.uint32), **small_step.attributes(network), steps=3, blocks=1)
    steps = Gearshift("numpy").steps(network, layers, x, y)
    assert np.isclose(sum(steps.losses(3)), exact[small_step.TOTALS][1] / 9, rtol=1e-5)
    assert exact[COUNTERS][[STEP, ROW, CURSOR]].tolist() == [3, 3, 27]


@runs_here
def test_a_loss_that_is_not_finite_is_noted_and_updates_nothing() -> None:
    network, there = made("12-8-4", 20, np.float32)
    there[small_step.DATA][3] = np.nan
    there[COUNTERS][STEP] = 7
    before = there[P].copy()
    arguments = {**small_step.attributes(network), "steps": 2, "blocks": 2}
    HostCuda(cooperative=True).run(SMALL_STEP, [*there, np.zeros(1, np.uint32)], arguments)
    assert there[COUNTERS][FAILED] == 7
    assert np.array_equal(there[P], before)


@runs_here
def test_blocks_that_are_not_all_there_are_noticed() -> None:
    """An ordinary launch on the CPU runs block after block, so the first one waits for ever."""
    arrived = np.zeros(1, np.uint32)
    HostCuda(cooperative=True).run(GRID_BARRIERS, [arrived], {"count": 5, "blocks": 4})
    assert arrived[0] == 1 << 31
    with pytest.raises(RuntimeError, match="wait at a barrier"):
        HostCuda().run(GRID_BARRIERS, [np.zeros(1, np.uint32)], {"count": 1, "blocks": 2})


def test_constants_are_those_of_the_kernel() -> None:
    text = source_text(Path(small_step.__file__).with_name("small.cu"))
    for name in ("SIDE", "SQUARE", "CONSTANTS"):
        assert re.search(rf"\b{name} = {getattr(small_step, name)},", text)
    assert {"small_phase", "small_step"} == set(signatures(text))


@pytest.mark.parametrize(("name", "why"), [("12-8-17", "16 classes"), ("12-8-7-4", "equally wide"), ("12-8-8-4", "")])
def test_networks_that_the_kernels_do_not_know_are_left_out(name: str, why: str) -> None:
    assert why in small_step.refusal(parse(name)) and bool(small_step.refusal(parse(name))) == bool(why)
