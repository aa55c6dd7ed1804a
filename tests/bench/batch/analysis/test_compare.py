"""`gearshift compare` and the pictures: what they say of files whose truth is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import simulation
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import Device, Roof

from gearshift.__main__ import main
from gearshift.backends.errors import DataError
from gearshift.bench.batch import files
from gearshift.bench.batch.analysis.analyse import analyse
from gearshift.bench.batch.analysis.compare import Change, Comparison, compare
from gearshift.bench.batch.analysis.disturbed import mark, pace
from gearshift.bench.batch.measure.disturbance import DisturbanceWatch, ReferenceWork, waited
from gearshift.bench.batch.points import REFERENCE_KINDS, Disturbance
from gearshift.bench.batch.records import Document


def run(
    seed: int,
    machine: float = 1.0,
    slower: dict[str, float] | None = None,
    wobble: float = 0.01,
    busy: float = 0.0,
    reference: bool = True,
    rounds: int = 7,
) -> Document:
    """A simulated run in which the machine is `machine` times as slow, and a backend `slower` times.

    Another program meets a part `busy` of the rounds, which then take up to some thirty times as long.
    """
    random, slower = np.random.default_rng([seed, 1]), slower or {}
    devices: list[Device | Roof] = [
        Device(name, t0 * machine * slower.get(name, 1), ts * machine * slower.get(name, 1))
        for name, t0, ts in (("numba", 3e-5, 4e-6), ("numpy", 3e-4, 1e-5))
    ]
    document = simulation.simulate(devices, noise=900, seed=seed, rounds=rounds)
    for point in document.benchmarks:
        factor = np.exp(wobble * random.standard_normal(rounds) + wobble * random.standard_normal())
        met = random.random(rounds) < busy
        late = np.where(met, random.uniform(1.2, 30, rounds), 1)
        point.rounds = np.multiply(point.rounds, factor * late).tolist()
        if reference:
            work = machine * np.exp(0.02 * random.standard_normal((rounds, 3))) * [2e-4, 1e-4, 1e-3]
            point.disturbances = [
                Disturbance(
                    waited=float(out) * float(random.uniform(0.1, 1)), calls=calls, arithmetic=products, memory=pass_
                )
                for out, (calls, products, pass_) in zip(met, work.tolist(), strict=True)
            ]
    mark(document)
    return document


def verdicts(found: Comparison) -> dict[str, set[str]]:
    """Of each backend's points."""
    return {name: {change.verdict for change in found.changes if change.backend == name} for name in ("numba", "numpy")}


def alarms(found: Comparison) -> list[Change]:
    """What it calls faster or slower, unless it says that the two cannot be compared."""
    changes = [change for change in found.backends + found.changes if change.verdict in ("faster", "slower")]
    return changes if found.comparable else []


@pytest.mark.parametrize("busy", [0.0, 0.3, 0.7, 0.95])
def test_no_false_alarm_in_forty_re_runs(busy: float) -> None:
    """Of the same code, on a machine of half to twice the speed, while another program meets many rounds of some."""
    random, first, loud = np.random.default_rng(0), run(0), 0
    for seed in range(1, 41):
        again = run(seed, float(random.uniform(0.5, 2)), busy=busy if seed % 2 else 0.0)
        loud += bool(alarms(compare(first, again)))
    assert loud <= 1


def test_what_another_program_met_is_not_compared() -> None:
    """Rounds that it met do not count; where it met them all, nothing is said."""
    quiet, mixed, loud = run(1), run(2, busy=0.4), run(3, busy=1.0)
    assert compare(quiet, mixed).comparable and not compare(quiet, loud).comparable
    assert verdicts(compare(quiet, loud)) == {"numba": {"disturbed"}, "numpy": {"disturbed"}}
    for point in mixed.benchmarks:
        if not point.unsure:
            true = next(one for one in quiet.of(point.backend) if one.batch == point.batch)
            assert point.step_seconds == pytest.approx(true.step_seconds, rel=0.2)


@pytest.mark.parametrize("change", [0.85, 1.15])
@pytest.mark.parametrize("rounds", [3, 15])
def test_a_change_of_fifteen_percent_is_found(change: float, rounds: int) -> None:
    """To one backend as a whole, in at least nine of ten pairs of runs, whatever the machine's speed."""
    random, found = np.random.default_rng(1), 0
    for seed in range(40):
        before = run(2 * seed, rounds=rounds)
        after = run(2 * seed + 1, float(random.uniform(0.5, 2)), {"numba": change}, rounds=rounds, busy=0.1)
        both = {one.backend: one.verdict for one in compare(before, after).backends}
        found += both == {"numba": "slower" if change > 1 else "faster", "numpy": "same"}
    assert found >= 36


@pytest.mark.parametrize("machine", [0.7, 1.0, 1.4])
def test_a_slower_backend_is_found(machine: float) -> None:
    """By a quarter, at every batch size, whatever the machine did meanwhile; the other is left alone."""
    before, after = run(1), run(2, machine, {"numba": 1.25})
    found, back = compare(before, after), compare(after, before)
    assert verdicts(found) == {"numba": {"slower"}, "numpy": {"same"}} and found.slower
    assert verdicts(back) == {"numba": {"faster"}, "numpy": {"same"}} and not back.slower
    assert list(found.machine.values()) == pytest.approx(3 * [machine], rel=0.03)


def test_a_change_to_everything_is_found() -> None:
    """Since the reference is no part of the code: where there is none, it could be the machine."""
    after = {"numba": 1.2, "numpy": 1.2}
    assert {one.verdict for one in compare(run(1), run(2, 1.3, after)).backends} == {"slower"}
    old = compare(run(1, reference=False), run(2, slower={"numba": 1.1, "numpy": 1.1}, reference=False))
    assert not old.machine and not alarms(old) and old.low == pytest.approx(1.1, abs=0.03)


def test_one_slower_point_is_found() -> None:
    """By a third, at one batch size."""
    after = run(2)
    point = after.of("numba")[6]
    point.rounds = [4 / 3 * seconds for seconds in point.rounds]
    changed = [change for change in compare(run(1), after).changes if change.verdict != "same"]
    assert [(change.backend, change.batch, change.verdict) for change in changed] == [("numba", 64, "slower")]


@settings(deadline=None)
@given(paces=st.tuples(*[st.floats(0.3, 3)] * 3), place=st.floats(0, 1), seed=st.integers(0, 20))
def test_the_machine_explains_what_its_reference_did(
    paces: tuple[float, float, float], place: float, seed: int
) -> None:
    """Times that moved by as much as any kind of its work are the same, whichever file comes first."""
    before, after = run(seed, wobble=0), run(seed, wobble=0)
    factor = min(paces) * (max(paces) / min(paces)) ** place
    for point in after.benchmarks:
        point.rounds = [factor * seconds for seconds in point.rounds]
        for disturbance in point.disturbances:
            for kind, ratio in zip(REFERENCE_KINDS, paces, strict=True):
                setattr(disturbance, kind, ratio * getattr(disturbance, kind))
    mark(after)
    for found in (compare(before, after), compare(after, before)):
        assert {change.verdict for change in found.backends + found.changes} == {"same"}


def test_files_without_disturbances_are_read(tmp_path: Path) -> None:
    """All their rounds count; a round more than disturbances is a fault of the file."""
    path = tmp_path / "old.json"
    files.write(run(1), path)
    tree = json.loads(path.read_text())
    for point in tree["benchmarks"]:
        del point["disturbances"], point["disturbed"]
    path.write_text(json.dumps(tree))
    old = files.read(path)
    assert not any(point.unsure for point in old.benchmarks) and pace(old) == {}
    old.benchmarks[0].add(1.0, Disturbance(calls=1.0))
    assert len(old.benchmarks[0].disturbed) == 8
    tree["benchmarks"][0]["disturbances"] = [{}] * 8
    path.write_text(json.dumps(tree))
    with pytest.raises(DataError, match="more disturbances than rounds"):
        files.read(path)


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="only Linux counts how long threads wait")
def test_another_program_on_the_processor_is_noticed() -> None:
    """Both are bound to one processor, so that one of them waits whenever the other runs."""
    allowed = os.sched_getaffinity(0)
    one = {min(allowed)}
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        os.sched_setaffinity(other.pid, one)
        os.sched_setaffinity(0, one)
        try:
            watch, start = DisturbanceWatch(ReferenceWork()), waited()
            while waited() < start + 0.02:
                pass
            disturbance = watch.stop()
        finally:
            os.sched_setaffinity(0, allowed)
            other.kill()
    assert disturbance.waited > 0 and all(getattr(disturbance, kind) > 0 for kind in REFERENCE_KINDS)


def call(*arguments: object, code: int = 0) -> None:
    """Runs a command in this process and checks its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert (ended.value.code or 0) == code


def test_advice_is_doubted_where_the_machine_was_disturbed() -> None:
    """First of all, so that nobody takes a batch size from it; a stray disturbed round is nothing."""
    found = analyse(run(1, busy=1.0))
    assert found.doubted and found.summary[0].startswith(
        "(Simulated.) No advice: other programs used the machine at 17 of 17 batch sizes of "
    )
    for quiet in (analyse(run(1)), analyse(run(2, busy=0.1))):
        assert not quiet.doubted and "other programs" not in " ".join(quiet.summary)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table, JSON, and one line for what cannot be compared."""
    one, other = tmp_path / "a.json", tmp_path / "b.json"
    files.write(run(1), one)
    files.write(run(2, slower={"numba": 1.5}), other)
    call("compare", one, other, code=3)
    said = capsys.readouterr().out
    assert "numba is slower as a whole: 1." in said and "0 faster, 17 slower, 17 the same" in said
    call("compare", one, other, "--json", code=3)
    tree = json.loads(capsys.readouterr().out)
    assert len(tree["changes"]) == 34 and tree["comparable"]
    call("compare", other, one)
    assert "17 faster, 0 slower" in capsys.readouterr().out
    files.write(run(4, busy=1.0), other)
    call("compare", one, other, code=4)
    assert "34 of 34 points are not judged" in (said := capsys.readouterr().out) and "NOT COMPARABLE" in said
    call("bench", "--from", other)
    assert "numba: other programs used the machine in nearly every round at batch 1, 2, " in capsys.readouterr().out
    foreign = run(3)
    foreign.task.network = "another"
    files.write(foreign, other)
    call("compare", one, other, code=2)
    assert "network is 'SIMULATION' in one and 'another' in the other" in capsys.readouterr().err
    call("compare", one, tmp_path / "none.json", code=2)
