"""The shell's completion, asked as bash asks; and the schema, judged by jsonschema."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gearshift as gs
from gearshift.__main__ import main
from gearshift.dl.experiment.sample import SAMPLE
from gearshift.dl.experiment.schema import comments, schema


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("gearshift tr", ["train"]),
        ("gearshift train --ba", ["--backend"]),
        ("gearshift train --backend nu", ["numpy", "numba"]),
        ("gearshift train --set optimizer.", ["optimizer.name=", "optimizer.lr=", "optimizer.groups="]),
        ("gearshift train --set schedule.name=c", ["schedule.name=constant", "schedule.name=cosine"]),
        ("gearshift train --set data.fetch=", ["data.fetch=false", "data.fetch=true"]),
    ],
)
def test_what_bash_proposes(typed: str, expected: list[str]) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1), "_GEARSHIFT_COMPLETE": "complete_bash"}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    code = "import sys; sys.argv = ['gearshift']; from gearshift.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **words, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert sorted(done.stdout.split()) == sorted(expected), done.stderr


def test_every_key_has_a_description() -> None:
    document = schema()
    for section, reference in document["properties"].items():
        keys = document["$defs"][reference["$ref"].rpartition("/")[2]]["properties"]
        documented = {key for own, key in comments() if own == section}
        assert documented | {"batch_size"} >= keys.keys()


def test_the_schema_accepts_what_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    with pytest.raises(SystemExit):
        main(["schema"])
    document = json.loads(capsys.readouterr().out)
    check = jsonschema.Draft202012Validator(document)
    check.check_schema(document)
    examples = Path(str(gs.__file__)).parent / "examples"
    texts = [SAMPLE, *(path.read_text() for path in examples.glob("*.toml"))]
    for text in texts:
        assert not [*check.iter_errors(tomllib.loads(text))]
    for wrong in (
        "[train]\nepoch = 3",
        "[train]\nepochs = 0",
        "[model]\nactivation = 'rely'",
        "[optimizer]\nname = 'adam'",
        "[data]\ndrop = 'id'",
        "[trains]",
    ):
        assert [*check.iter_errors(tomllib.loads(wrong))], wrong
    assert not [*check.iter_errors(tomllib.loads("[optimizer]\nname = 'SGD'\nmomentum = 0.9"))]
