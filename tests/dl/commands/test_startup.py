"""What happens before the first step: kernels compile and the user is told; an early signal and a slip are caught."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import gearshift as gs
from gearshift.__main__ import main
from gearshift.backends.errors import ConfigurationError
from gearshift.dl.commands import train as training
from gearshift.dl.experiment.build import build_optimizer
from gearshift.dl.experiment.config import parse
from gearshift.dl.training import pretraining

SMALL = ["--set", "train.epochs=2", "--set", "model.hidden=[4]", "--set", "data.test=0", "--set", "data.validation=0"]
COMPILING = "compiling kernels"


def shown(cache: Path, *arguments: str) -> str:
    """Standard error of a command whose compiled kernels are kept in `cache`."""
    environment = {**os.environ, "GEARSHIFT_CACHE_DIR": str(cache)}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", "gearshift", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stderr


@pytest.mark.slow
def test_compiling_is_said_where_kernels_are_not_kept_yet(tmp_path: Path) -> None:
    """Once, however many are compiled, and not at all by the next process."""
    train = ["train", "--backend", "numba", *SMALL]
    first = shown(tmp_path / "cache", *train, "--run", str(tmp_path / "first"))
    again = shown(tmp_path / "cache", *train, "--run", str(tmp_path / "again"))
    assert first.count(COMPILING) == 1
    assert COMPILING not in again


@pytest.mark.parametrize(("option", "times"), [((), 1), (("--quiet",), 0)])
def test_quiet_silences_it(
    option: tuple[str, ...], times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    fit = training._fit

    def compiling(*arguments: Any) -> int:
        logging.getLogger("gearshift.backends.numba_compile").info(COMPILING)
        return fit(*arguments)

    monkeypatch.setattr(training, "_fit", compiling)
    with pytest.raises(SystemExit):
        main(["train", "--backend", "numpy", *SMALL, "--run", str(tmp_path / "run"), *option])
    assert capsys.readouterr().err.count(COMPILING) == times


def test_nothing_is_said_where_nothing_compiles(tmp_path: Path) -> None:
    reported = shown(tmp_path / "cache", "train", "--backend", "numpy", *SMALL, "--run", str(tmp_path / "run"))
    assert COMPILING not in reported


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_a_signal_just_before_training_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is trained, and the run goes on later as if nothing had happened."""
    fit = training._fit

    def terminated(*arguments: Any) -> int:
        signal.raise_signal(signal.SIGTERM)
        return fit(*arguments)

    def train(run: str, *arguments: str) -> object:
        with pytest.raises(SystemExit) as ended:
            main(["train", "--run", str(tmp_path / run), "--backend", "numpy", "--quiet", *SMALL, *arguments])
        return ended.value.code

    monkeypatch.setattr(training, "_fit", terminated)
    assert train("stopped") == 143
    assert len(gs.Run(tmp_path / "stopped").history) == 0
    monkeypatch.undo()
    assert not train("stopped", "--resume")
    assert not train("whole")
    stopped, whole = (load_file(tmp_path / run / "last.safetensors") for run in ("stopped", "whole"))
    assert stopped.keys() == whole.keys()
    for name in whole.keys() - {"history"}:
        assert stopped[name].tobytes() == whole[name].tobytes()


def test_a_stop_before_training_holds_for_one_training() -> None:
    trainer = gs.Trainer(gs.Linear(2, 1), gs.MSELoss(), gs.SGD(), backend="numpy")
    trainer.stop("early")
    trainer.fit(np.eye(2), np.ones(2), verbose=False)
    assert (trainer.stopped, trainer.step) == ("early", 0)
    trainer.fit(np.eye(2), np.ones(2), verbose=False)
    assert (trainer.stopped, trainer.step) == ("", 1)


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("Adam", "beta", "did you mean 'betas'"),
        ("SGD", "momentun", "did you mean 'momentum'"),
        ("SGD", "qq", "dampening"),
    ],
)
def test_an_unknown_argument_of_an_optimizer_is_named_with_what_may_have_been_meant(
    name: str, given: str, meant: str
) -> None:
    configuration = parse({"optimizer": {"name": name, given: 0.5}})
    with pytest.raises(ConfigurationError, match=rf"optimizer\.{given} is not an argument of {name}; .*{meant}"):
        build_optimizer(configuration)


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_training_of_a_stacked_autoencoder_s_pairs(
    number: signal.Signals, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pretrain = pretraining.pretrain

    def signalled(*arguments: Any, **options: Any) -> list[float]:
        signal.raise_signal(number)
        return pretrain(*arguments, **options)

    monkeypatch.setattr(pretraining, "pretrain", signalled)
    stacked = ["--set", "autoencoder.kind=stacked", "--set", "autoencoder.pretrain=100000"]
    with pytest.raises(SystemExit) as ended:
        main(["train", "--run", str(tmp_path / "run"), "--backend", "numpy", "--quiet", *SMALL, *stacked])
    assert ended.value.code == code
    assert "stopped at step 0; go on with: gearshift train --resume" in capsys.readouterr().err


MODULES = """
import sys
from gearshift.__main__ import main
try:
    main(sys.argv[1:])
finally:
    print(*sys.modules, sep=chr(10))
"""
SLOW = {"sklearn", "pandas", "pyarrow", "scipy.linalg", "scipy.sparse", "scipy.special", "scipy.stats", "rich.console"}
SLOW |= {"asyncio", "matplotlib.pyplot", "cupy", "mpi4py"}
LOWERING = {"numba.np.linalg", "numba.np.arraymath", "numba.cpython.listobj"}  # to compile, and not to load, kernels


@pytest.mark.parametrize(
    ("command", "more"),
    [
        (["train", "--backend", "numba", "--set", "train.epochs=2", "--run"], set()),
        (["doctor", "--json"], {"matplotlib"}),
        (["--help"], {"matplotlib", "numba", "pydantic"}),
    ],
    ids=["train", "doctor", "help"],
)
def test_a_command_imports_nothing_slow_that_it_does_not_need(
    command: list[str], more: set[str], tmp_path: Path
) -> None:
    """With the default configuration, from its data to its picture, where all kernels are kept."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    for run in ("first", "second") if "train" in command else ("",):  # the first fills the cache
        code = [sys.executable, "-c", MODULES, *command, *([str(tmp_path / run)] if run else [])]
        done = subprocess.run(code, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    assert sorted((SLOW | LOWERING | more) & {*done.stdout.splitlines()}) == []


@pytest.mark.parametrize(("call", "frozen"), [("main()", True), ("main(['--version'])", False)])
def test_a_process_of_its_own_ends_without_a_search_for_garbage(call: str, frozen: bool) -> None:
    code = f"""
import gc, sys
sys.argv = ["gearshift", "--version"]
from gearshift.__main__ import main
try:
    {call}
finally:
    print(gc.get_freeze_count() > 0)
"""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True)
    assert done.stdout.decode().splitlines()[-1] == str(frozen)


def test_nothing_slow_is_imported_where_ctrl_c_would_show_a_traceback() -> None:
    code = "import sys, gearshift.__main__; sys.exit(any(name in sys.modules for name in ('numpy', 'typer')))"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == 0
