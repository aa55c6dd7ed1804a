"""`import gearshift` is light, complete and happens once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import gearshift as gs

HEAVY = ("numba", "cupy", "matplotlib", "sklearn", "pydantic", "rich", "torch", "typer", "safetensors")


def fresh(code: str) -> str:
    """Standard output of a fresh interpreter that imports the same package."""
    path = [*sys.path, str(Path(gs.__path__[0]).absolute().parent)]
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {path!r}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return result.stdout


def test_import_takes_in_nothing_heavy() -> None:
    loaded = json.loads(fresh("import json, gearshift; print(json.dumps(list(sys.modules)))"))
    assert not [name for name in loaded if name.partition(".")[0] in HEAVY]


def test_the_package_is_imported_under_one_name() -> None:
    code = """
import json, gearshift
from gearshift.dl.training import checkpoint
files = [module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
own = [file for file in files if file.startswith(gearshift.__path__[0] + "/dl/")]
print(json.dumps([len(own), len(set(own))]))"""
    total, different = json.loads(fresh(code))
    assert total == different > 10


@pytest.mark.parametrize("name", gs.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert name in dir(gs)
    assert getattr(gs, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Trainr'"):
        gs.Trainr  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
