"""The choice of product engine and threads: by measurement, kept for a machine and in a run."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends import registry
from gearshift.backends.thread_pool import ThreadPool
from gearshift.dl.step import dense_choice, plans
from gearshift.dl.step.dense_choice import MATRIX_UNIT, ROWS, VECTORS, Choice, candidates, fastest
from gearshift.dl.step.dense_plan import DensePlan
from gearshift.dl.training.loop import Loop

RANDOM = np.random.default_rng(0)
DATA = gs.Dataset(RANDOM.normal(size=(60, 30)), RANDOM.integers(0, 4, 60))


class Simulated:
    """A plan that takes this long."""

    stalls, short_handed = 0, False

    def __init__(self, seconds: float, stalls: int = 0) -> None:
        self.seconds, self.steps, self._stalls = seconds, 0, stalls

    def trial(self, count: int) -> float:
        self.steps, self.stalls = self.steps + count, self.stalls + self._stalls
        return self.seconds


@pytest.fixture(autouse=True)
def no_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads of this process never wait for a CPU, whatever runs beside the tests."""
    monkeypatch.setattr(dense_choice, "waited", lambda: 0.0)


def test_candidates() -> None:
    assert candidates(Choice(1), 1, unit=False, rows=False) == [Choice(1)]
    assert candidates(Choice(6), 6, unit=False, rows=False) == [Choice(6), Choice(3), Choice(1)]
    both = candidates(Choice(2, MATRIX_UNIT), 2, unit=True, rows=False)
    assert both[0] == Choice(2, MATRIX_UNIT) and len(both) == 4
    assert set(both) == {Choice(parts, engine) for parts in (1, 2) for engine in (VECTORS, MATRIX_UNIT)}
    assert candidates(Choice(1), 1, unit=False, rows=True) == [Choice(1)]
    assert set(candidates(Choice(2), 2, unit=False, rows=True)) == {Choice(2), Choice(1), Choice(2, VECTORS, ROWS)}


@pytest.mark.parametrize("times, best", [((1, 2, 3), 0), ((3, 2, 1), 2), ((1.04, 1, 2), 0), ((1.2, 1, 1.1), 1)])
def test_the_rule_stands_unless_another_is_clearly_faster(times: tuple[float, ...], best: int) -> None:
    found = [Choice(parts) for parts in (4, 2, 1)]
    devices = {choice: Simulated(seconds) for choice, seconds in zip(found, times, strict=True)}
    assert fastest(found, devices.__getitem__) == ([*found[best]], True)


def test_trials_beside_other_programs_change_nothing() -> None:
    found = [Choice(2), Choice(1)]
    stalled = {found[0]: Simulated(2.0, stalls=1), found[1]: Simulated(1.0)}
    assert fastest(found, stalled.__getitem__) == ([*found[0]], False)
    alone = {choice: Simulated(seconds) for choice, seconds in zip(found, (2.0, 1.0), strict=True)}
    alone[found[0]].short_handed = True
    assert fastest(found, alone.__getitem__) == ([*found[0]], False)


def test_trials_whose_threads_wait_for_a_cpu_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However short the trials are."""
    found = [Choice(2), Choice(1)]
    alone = {choice: Simulated(seconds) for choice, seconds in zip(found, (2.0, 1.0), strict=True)}
    for share, certain in ((0.0, True), (0.5, False)):
        monkeypatch.setattr(dense_choice, "waited", lambda share=share: share * time.perf_counter())
        assert fastest(found, alone.__getitem__) == ([*found[certain]], certain)


def test_a_candidate_that_was_slow_once_is_tried_again() -> None:
    """The first trials are of one step, in which the start of threads counts."""

    class Starting(Simulated):
        def trial(self, count: int) -> float:
            return super().trial(count) if self.steps > 1 else 9 + super().trial(count)

    found = [Choice(1), Choice(2)]
    devices = {found[0]: Simulated(2.0), found[1]: Starting(1.0)}
    assert fastest(found, devices.__getitem__) == ([*found[1]], True)


def test_a_short_step_is_timed_many_times() -> None:
    found, device = [Choice(2), Choice(1)], Simulated(1e-6)
    fastest(found, lambda _: device)
    assert device.steps > 500


def trainer() -> gs.Trainer:
    """With a backend that has chosen nothing yet, as in a new process."""
    registry._forget()
    model = gs.Sequential(gs.Linear(30, 20), gs.Tanh(), gs.Dropout(0.2), gs.Linear(20, 4), dtype="float64")
    return gs.Trainer(model, gs.CrossEntropyLoss(), gs.Nesterov(lr=0.1), clip_norm=1.0, backend="numba")


def plan_of(run: gs.Trainer) -> DensePlan:
    plan = Loop(run, DATA, None, 40).plan
    assert isinstance(plan, DensePlan)
    return plan


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Choices are measured between one and two threads, and kept in a file of their own."""
    monkeypatch.setenv(dense_choice.MEASURE, "on")
    monkeypatch.setattr("gearshift.backends.choices.file", lambda name: tmp_path / name)
    pool = ThreadPool(2)
    monkeypatch.setattr(plans, "thread_pool", lambda: pool)


def test_a_trial_changes_nothing() -> None:
    run = trainer()
    plan = plan_of(run)
    run.state.prepare(1)
    plan.run(40, 1)
    kept = [run.state.arena.values, *run.state.slots.values(), run.state.counters, run.state.totals, run.state.table]
    before = [array.copy() for array in kept]
    assert plan.trial(1) > 0 and plan.trial(1000) > 0
    for array, was in zip(kept, before, strict=True):
        assert (array == was).all()


@pytest.mark.usefixtures("measured")
def test_a_choice_is_made_once_for_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_choice, "fastest", lambda found, make: ([*Choice(2)], True))
    first, second = (trainer() for _ in range(2))
    assert plan_of(first).choice == Choice(2) and plan_of(second).choice == Choice(2)
    assert first.backend.choices == second.backend.choices != {}
    monkeypatch.setattr(dense_choice, "fastest", lambda found, make: ([*Choice(1)], True))
    assert plan_of(trainer()).choice == Choice(2)
    monkeypatch.setenv(dense_choice.MEASURE, "off")
    assert plan_of(trainer()).choice == Choice(1)  # the rule, for so small a network


@pytest.mark.usefixtures("measured")
def test_a_choice_is_told_when_it_is_made(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(dense_choice, "fastest", lambda found, make: ([*Choice(2)], True))
    with caplog.at_level("INFO", logger="gearshift"):
        for _ in range(3):
            plan_of(trainer())
    assert caplog.text.count("2 threads") == 1


@pytest.mark.usefixtures("measured")
def test_an_uncertain_choice_is_that_of_the_run_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dense_choice, "fastest", lambda found, make: ([*Choice(2)], False))
    first = trainer()
    assert plan_of(first).choice == Choice(2) and first.backend.choices and not (tmp_path / "plans.json").exists()
    monkeypatch.setattr(dense_choice, "fastest", lambda found, make: ([*Choice(1)], True))
    assert plan_of(first).choice == Choice(2) and plan_of(trainer()).choice == Choice(1)


@pytest.mark.usefixtures("measured")
def test_a_run_keeps_its_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever was measured meanwhile, or elsewhere; the weights go on to the same bits."""
    monkeypatch.setattr(dense_choice, "fastest", lambda found, make: ([*Choice(2)], True))
    whole = trainer()
    whole.fit(DATA, epochs=2, batch_size=40, verbose=False)
    whole.save(tmp_path / "run.safetensors")
    (tmp_path / "plans.json").unlink()
    whole.fit(DATA, epochs=2, batch_size=40, verbose=False)
    monkeypatch.setattr(dense_choice, "fastest", lambda found, make: ([*Choice(1)], True))
    assert plan_of(trainer()).choice == Choice(1)
    resumed = trainer()
    resumed.load(tmp_path / "run.safetensors")
    assert plan_of(resumed).choice == Choice(2)
    resumed.fit(DATA, epochs=2, batch_size=40, verbose=False)
    for name, value in whole.model.state_dict().items():
        assert (resumed.model.state_dict()[name] == value).all()


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("text", ["[1, 0]", "3", "[[1, 2]]", '{"x": [99, 0]}', "{", "[" * 9999])
def test_a_spoiled_file_is_no_choice(text: str, tmp_path: Path) -> None:
    (tmp_path / "plans.json").write_text(text)
    assert plan_of(trainer()).choice.parts in (1, 2)


@pytest.mark.usefixtures("measured")
def test_a_choice_that_cannot_run_here_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_choice, "fastest", lambda found, make: ([*Choice(64, MATRIX_UNIT)], True))
    assert plan_of(trainer()).choice == Choice(1)
