"""`gearshift compare` and the pictures: what they say of files whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gearshift.__main__ import main
from gearshift.bench.batch import files, simulation
from gearshift.bench.batch.compare import compare
from gearshift.bench.batch.records import Document
from gearshift.bench.batch.simulation import Device, Roof


def run(seed: int, drift: float = 1.0, slower: dict[str, float] | None = None, wobble: float = 0.01) -> Document:
    """A simulated run in which the machine is `drift` times as slow, and a backend `slower` times."""
    random, slower = np.random.default_rng([seed, 1]), slower or {}
    devices = [
        Device(name, t0 * drift * slower.get(name, 1), ts * drift * slower.get(name, 1))
        for name, t0, ts in (("numba", 3e-5, 4e-6), ("numpy", 3e-4, 1e-5))
    ]
    document = simulation.simulate(devices, noise=900, seed=seed)  # pyright: ignore[reportArgumentType]
    for point in document.benchmarks:  # what all rounds of a point share
        factor = float(np.exp(wobble * random.standard_normal()))
        point.rounds = [seconds * factor for seconds in point.rounds]
    return document


def test_no_false_alarm_in_twenty_re_runs() -> None:
    """Of the same code, while the machine drifts by up to 10 %."""
    random, first = np.random.default_rng(0), run(0)
    for seed in range(1, 21):
        found = compare(first, run(seed, float(random.uniform(0.9, 1.1))))
        assert {change.verdict for change in found.changes} == {"same"}, seed


@pytest.mark.parametrize("drift", [0.93, 1.0, 1.08])
def test_a_slower_backend_is_found(drift: float) -> None:
    """By a quarter, whatever the machine did meanwhile; the other is left alone, and the other way round."""
    before, after = run(1), run(2, drift, {"numba": 1.25})
    found, back = compare(before, after), compare(after, before)
    for comparison, verdict in ((found, "slower"), (back, "faster")):
        verdicts = {change.backend: set() for change in comparison.changes}
        for change in comparison.changes:
            verdicts[change.backend].add(change.verdict)
        assert verdicts == {"numba": {verdict}, "numpy": {"same"}}
    assert found.drift == pytest.approx(drift, abs=0.03)


def test_one_slower_point_is_found() -> None:
    """By a third, at one batch size."""
    after = run(2)
    point = after.of("numba")[6]
    point.rounds = [4 / 3 * seconds for seconds in point.rounds]
    changed = [change for change in compare(run(1), after).changes if change.verdict != "same"]
    assert [(change.backend, change.batch, change.verdict) for change in changed] == [("numba", 64, "slower")]


def call(*arguments: object, code: int = 0) -> None:
    """Runs a command in this process and checks its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert (ended.value.code or 0) == code


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table, JSON, and one line for what cannot be compared."""
    one, other = tmp_path / "a.json", tmp_path / "b.json"
    files.write(run(1), one)
    files.write(run(2, slower={"numba": 1.5}), other)
    call("compare", one, other)
    assert "0 faster, 17 slower, 17 the same" in capsys.readouterr().out
    call("compare", one, other, "--json")
    assert len(json.loads(capsys.readouterr().out)["changes"]) == 34
    foreign = run(3)
    foreign.task.network = "another"
    files.write(foreign, other)
    call("compare", one, other, code=2)
    assert "network is 'SIMULATION' in one and 'another' in the other" in capsys.readouterr().err
    call("compare", one, tmp_path / "none.json", code=2)


@pytest.mark.parametrize("ending", ["svg", "png"])
@pytest.mark.parametrize("noise", [900.0, None])
def test_pictures(ending: str, noise: float | None, tmp_path: Path) -> None:
    """Four panels, with and without a noise scale, marked where they are simulated; equal files of equal runs."""
    pytest.importorskip("matplotlib")
    source = tmp_path / "a.json"
    files.write(simulation.simulate([Roof(5e-6, 2e12, 4e13), Device("numba", 3e-5, 5e-6)], noise), source)
    for name in ("one", "other"):
        call("bench", "--from", source, "--plot", tmp_path / f"{name}.{ending}")
    one, other = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "other"))
    assert one == other and len(one) > 20_000
    from gearshift.bench.batch.plots import draw

    figure = draw(files.read(source))
    assert len(figure.axes) == 4 and figure.get_suptitle().startswith("SIMULATION")
