"""The examples run as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import gearshift
from gearshift.backends.errors import DataError

EXAMPLES = Path(str(gearshift.__file__)).parent / "examples"


def run(name: str, folder: Path) -> str:
    """What an example prints, run in `folder`."""
    command = [sys.executable, str(EXAMPLES / name)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_digits(tmp_path: Path) -> None:
    """Prints a test accuracy above 0.95, and saves a model."""
    line = next(line for line in run("digits.py", tmp_path).splitlines() if "accuracy" in line)
    assert float(line.rsplit(":", 1)[1].strip(" }")) > 0.95
    assert (tmp_path / "digits.safetensors").exists()


@pytest.mark.fashion
@pytest.mark.long
def test_fashion_mnist(tmp_path: Path) -> None:
    """Every backend that runs reaches 0.86 after five epochs."""
    try:
        gearshift.load_dataset("fashion-mnist")
    except DataError as error:
        pytest.skip(f"needs the Fashion-MNIST files: {error}")
    lines = [line for line in run("fashion_mnist.py", tmp_path).splitlines() if "accuracy" in line]
    assert len(lines) >= 2
    assert all(float(line.split("accuracy ")[1].split(",")[0]) > 0.86 for line in lines)


@pytest.mark.long
def test_characters(tmp_path: Path) -> None:
    """Guesses more than a third of the characters of text that it was not trained on, and writes 300 more."""
    score, *written = run("characters.py", tmp_path).splitlines()
    assert float(score.rsplit(" ", 1)[1]) > 1 / 3
    assert written[0].startswith("    def ") and len("\n".join(written)) == 308
    assert (tmp_path / "characters.safetensors").exists()


def test_scikit_learn(tmp_path: Path) -> None:
    """A network's test accuracy is above 0.95, and a code of 8 numbers tells most digits apart."""
    lines = [line for line in run("scikit_learn.py", tmp_path).splitlines() if "test accuracy" in line]
    network, codes = (float(line.rsplit(":", 1)[1]) for line in lines)
    assert network > 0.95
    assert codes > 0.8
