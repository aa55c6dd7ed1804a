"""`gearshift peers`: what it refuses, prints and writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gearshift.__main__ import main
from gearshift.bench.peers import results


def call(*arguments: object, code: int = 0) -> None:
    """Runs the command in this process and checks its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["peers", *map(str, arguments)])
    assert (ended.value.code or 0) == code


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--networks", "784-x-10"], "network '784-x-10' is not known"),
        (["--networks", "784"], "network '784' is not known"),
        (["--networks", "autoencoder 784-32-10"], "an autoencoder has as many as inputs"),
        (["--batch-sizes", "8,0"], "batch size '0' is not possible"),
        (["--batch-sizes", "8,,32"], "has an empty item"),
        (["--contenders", "numba,theano"], "contender 'theano' is not known"),
        (["--rounds", "0"], "--rounds is 0; expected at least 1"),
        (["--measure", "speed"], "--measure 'speed' is not known"),
        (["--plot", "peers.gif"], "expected one of: .svg, .png, .pdf"),
        (["--out", "no/such/peers.json"], "there is no folder no/such"),
        (["--from", "no.json"], "no.json"),
    ],
)
def test_mistakes_end_in_one_line(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is measured, with exit code 2."""
    call(*options, code=2)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err and len(printed.err.splitlines()) == 1


@pytest.mark.slow
def test_measures_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tiny comparison, its file and its picture; the file shows the same again."""
    out, plot = tmp_path / "peers.json", tmp_path / "peers.svg"
    options = ("--networks", "6-5-3", "--batch-sizes", "4", "--contenders", "numba,numpy,scikit-learn", "--rounds", 2)
    call(*options, "--out", out, "--plot", plot)
    printed = capsys.readouterr().out
    for text in ("6-5-3", "scikit-learn", "step / reference", "samples/s", "limit"):
        assert text in printed
    assert "FAULT" not in printed
    measurement = results.read(out)
    assert [(point.measure, point.batch) for point in measurement.points] == [("step", 4), ("epoch", 128)]
    assert set(measurement.points[0].results) == {"numba", "numpy", "scikit-learn", "reference", "peak"}
    assert all(len(result.seconds) == 2 for point in measurement.points for result in point.results.values())
    assert plot.read_text().lstrip().startswith("<?xml")
    call("--from", out)
    assert capsys.readouterr().out == printed
