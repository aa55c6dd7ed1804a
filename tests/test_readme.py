"""Every snippet and command of the README and of the docs runs, in order, in one folder like a fresh checkout.

Blocks with a marker are left out: the two set-up commands, which `.ci/run` runs in a fresh clone, and what takes
minutes, needs another commit, or may fail.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import gearshift

ROOT = Path(str(gearshift.__file__)).parent
BLOCK = re.compile(r"(?P<marker><!-- [\w-]+ -->\n)?```(?P<language>python|sh)\n(?P<text>.*?)```", re.DOTALL)


def blocks(name: str) -> list[tuple[str, str]]:
    """The blocks of a document that are run here, as (language, text)."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return [(found["language"], found["text"]) for found in BLOCK.finditer(text) if not found["marker"]]


DOCUMENTS = [
    "README.md",
    *(
        pytest.param(name, marks=pytest.mark.long if name == "docs/benchmarks.md" else pytest.mark.slow)
        for path in sorted((ROOT / "docs").rglob("*.md"))
        if blocks(name := path.relative_to(ROOT).as_posix())
    ),
]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_runs(name: str, tmp_path: Path) -> None:
    """Python blocks are run as scripts, shell blocks by the shell; one that imports nothing goes on with the last."""
    if "import torch" in (ROOT / name).read_text(encoding="utf-8") and find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    commands = tmp_path / "bin"
    commands.mkdir()
    for command in ("gearshift", "pytest", "pytest-benchmark"):
        module = command.replace("-", "_")
        (commands / command).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        (commands / command).chmod(0o755)
    for part in ("bench", "tests", "pyproject.toml"):
        (tmp_path / part).symlink_to(ROOT / part)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment = {**environment, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    found = blocks(name)
    assert found
    script = ""
    for language, text in found:
        if language == "python":
            script = text if "import gearshift" in text else script + text
        command = [sys.executable, "-c", script] if language == "python" else ["sh", "-euc", text]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def test_links_lead_somewhere() -> None:
    """Relative links hold in a checkout; the site's build checks those within it again."""
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path}: {link}"
