"""`gearshift doctor` and `gearshift init`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gearshift.__main__ import main
from gearshift.dl.experiment.config import parse, write
from gearshift.dl.experiment.sample import SAMPLE
from gearshift.dl.experiment.sections import Configuration


def call(*arguments: object, code: int = 0) -> None:
    """Runs a command in this process and checks its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert (ended.value.code or 0) == code


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    """Every backend with what it runs on, or what is missing."""
    call("doctor", "--json")
    statuses = json.loads(capsys.readouterr().out)
    assert statuses["numpy"]["runs"] and statuses["numpy"]["memory"][1] > 2**20
    assert statuses["cupy"]["runs"] or statuses["cupy"]["remedy"]
    call("doctor")
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("numpy", "numba", "cupy", "auto takes: "))


def test_sample_holds_every_key_with_its_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`init` writes the defaults, once."""
    import tomllib

    path = tmp_path / "gearshift.toml"
    call("init", path)
    table = tomllib.loads(path.read_text())
    assert table == Configuration().model_dump()
    assert table == tomllib.loads(SAMPLE) == tomllib.loads(write(parse({})))
    call("init", path, code=2)
    assert "exists" in capsys.readouterr().err
