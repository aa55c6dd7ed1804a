"""Compiled loops on disk: found again, never trusted where they are damaged, stale or another user's."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from gearshift.backends import kernel_cache, numba_compile
from gearshift.backends.numba import compiled
from gearshift.kernels.arrays.add import ADD


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, and no other temporary folder."""
    numba_compile.remark()  # the test kernel of the first compilation in a process is kept elsewhere
    folder = tmp_path / "cache"
    monkeypatch.setenv("GEARSHIFT_CACHE_DIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return folder


def run() -> Any:
    """Adds with a kernel that was not compiled in this process before; its statistics."""
    loop: Any = ADD.loop
    kernel: Any = compiled(FunctionType(loop.__code__, loop.__globals__, loop.__name__))
    out = np.ones(3)
    kernel(0, 3, np.ones(3), np.full(3, 2.0), out)
    assert out.tolist() == [3, 3, 3]
    return kernel.stats


def hits() -> int:
    return sum(run().cache_hits.values())


def test_a_second_process_finds_the_compiled_loops(tmp_path: Path) -> None:
    text = (
        "import numpy as np\nfrom gearshift.backends.numba import NumbaBackend, compiled\n"
        "from gearshift.kernels.arrays.add import ADD\na = np.ones(3)\n"
        "NumbaBackend().bind(ADD, [a, a, a], {})()\nassert a.tolist() == [2, 2, 2]\n"
        "print(sum(compiled(ADD.loop).stats.cache_hits.values()))"
    )
    environment = {**os.environ, "GEARSHIFT_CACHE_DIR": str(tmp_path / "cache")}
    found = [
        subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert [hit.strip() for hit in found] == ["0", "1"]


FORMULAS = """
import sys
import numba.core.event as event
import numpy as np
import gearshift as gs

class Compiled(event.Listener):
    def on_start(self, event): pass
    def on_end(self, event): functions.append(event.data["dispatcher"].py_func.__name__)

functions, _ = [], event.register("numba:compile", Compiled())

@gs.loss
def quartic(output, target):
    return ((output - target) ** 4).mean(axis=-1)

def train(*layers, loss):
    model = gs.Sequential(gs.Linear(4, 3), *layers, gs.Linear(3, 1))
    trainer = gs.Trainer(model, loss, gs.Momentum(), backend="numba", seed=0)
    trainer.fit(np.ones((8, 4)), np.ones((8, 1)), epochs=1, verbose=False)

train(gs.ReLU(), loss=gs.MSELoss())  # the compiled loop of an MLP
train(gs.Residual(gs.SiLU(), gs.LayerNorm(3)), loss=gs.HuberLoss())  # a list of compiled operations
train(gs.ELU(), loss=quartic())
print(len(functions), *sorted({"numba.np.arraymath", "scipy.linalg"} & {*sys.modules}))
"""


@pytest.mark.long
def test_a_second_process_compiles_no_formula(tmp_path: Path) -> None:
    """And loads nothing that only a compilation needs."""
    script = tmp_path / "script.py"
    script.write_text(FORMULAS)
    environment = {**os.environ, "GEARSHIFT_CACHE_DIR": str(tmp_path / "cache")}
    found = [
        subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert int(found[0].split()[0]) > 20 and found[1] == "0\n", found


def test_the_folder_is_private_and_named_by_every_source(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(kernel_cache.__file__).parent.parent
    for folder in ("kernels", "backends"):
        shutil.copytree(package / folder, tmp_path / folder, ignore=lambda _, names: {"__pycache__"} & {*names})
    here = kernel_cache.folder()
    assert here is not None and here.is_relative_to(base) and not kernel_cache.remark()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (base, here)] == [0o700, 0o700]
    monkeypatch.setattr(kernel_cache, "__file__", str(tmp_path / "backends" / "kernel_cache.py"))
    kernel_cache._digest.cache_clear()
    assert kernel_cache.folder() == here
    folders = {here}
    for source in ("kernels/arrays/add.py", "kernels/activations/activation.py", "backends/philox.py"):
        with (tmp_path / source).open("a") as file:
            file.write("# edited\n")
        assert kernel_cache.folder() in folders  # what is edited meanwhile, this process does not run
        kernel_cache._digest.cache_clear()
        folders.add(kernel_cache.folder())  # pyright: ignore[reportArgumentType]
    kernel_cache._digest.cache_clear()
    assert len(folders) == 4


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def signed(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:-1],
        flipped,
        lambda data: b"not a cache",
        lambda data: signed(b"no pickle"),
        lambda data: signed(pickle.dumps(None)),
        lambda data: signed(pickle.dumps(("half", "of"))),
    ],
)
def test_a_damaged_file_is_compiled_anew(base: Path, damage: Callable[[bytes], bytes]) -> None:
    assert (hits(), hits()) == (0, 1)
    folder = kernel_cache.folder()
    assert folder is not None
    (file,) = folder.glob("*.nbc")
    file.write_bytes(damage(file.read_bytes()))
    assert (hits(), hits()) == (0, 1), "it is compiled anew once, and kept"


def test_a_folder_in_a_files_place_does_no_harm(base: Path) -> None:
    assert hits() == 0
    folder = kernel_cache.folder()
    assert folder is not None
    (file,) = folder.glob("*.nbc")
    file.unlink()
    file.mkdir()
    assert (hits(), hits()) == (0, 0)
    assert [path.name for path in folder.iterdir()] == [file.name], "nothing half written is left"


def to_others(path: Path) -> None:
    path.chmod(0o777)


def of_another(path: Path) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(path, 65534, 65534)


class Code:
    """Pickles to a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.skipif(os.name == "nt", reason="files tell no owner there")
@pytest.mark.parametrize("spoil", [to_others, of_another])
@pytest.mark.parametrize("which", ["base", "folder", "file"])
def test_what_others_may_have_written_is_not_unpickled(
    base: Path, tmp_path: Path, spoil: Callable[[Path], None], which: str
) -> None:
    assert hits() == 0
    folder, made = kernel_cache.folder(), tmp_path / "made by a pickle"
    assert folder is not None
    (file,) = folder.glob("*.nbc")
    file.write_bytes(signed(pickle.dumps(Code(made))))
    spoil({"base": base, "folder": folder, "file": file}[which])
    kernel_cache._chosen.cache_clear()
    (tmp_path / "temporary").mkdir()
    assert hits() == 0 and not made.exists()
    if which == "file":
        assert kernel_cache.folder() == folder
    else:
        assert kernel_cache.folder() == tmp_path / "temporary" / f"gearshift-{os.geteuid()}" / folder.name
        assert "set GEARSHIFT_CACHE_DIR" in kernel_cache.remark()
        assert hits() == 1, "a private folder among temporary files is used instead"
    file.write_bytes(signed(pickle.dumps(Code(made))))
    pickle.loads(file.read_bytes()[32:])
    assert made.exists(), "the pickle would have done so"


def test_nothing_is_kept_where_nothing_can_be_written(base: Path, tmp_path: Path) -> None:
    """Not beside the sources either, where Numba's own cache runs machine code of older sources."""
    for path in (base, tmp_path / "temporary"):
        path.write_text("a file")
    package = Path(kernel_cache.__file__).parent.parent
    before = sorted(package.rglob("*.nb[ci]"))
    assert kernel_cache.folder() is None
    assert "each process compiles its own" in kernel_cache.remark()
    assert (hits(), hits()) == (0, 0)
    assert sorted(package.rglob("*.nb[ci]")) == before
