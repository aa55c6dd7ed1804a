"""Compiled loops on disk: a file for each function and signature, in a folder that nobody else can write to.

Numba's own cache is not used, for three reasons. One damaged file in it ends every process that reads it. It unpickles
files whoever wrote them. And where its folder cannot be written it falls back to ``__pycache__``, from which it runs
machine code of sources that have changed since.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import secrets
import sys
import tempfile
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

ENVIRONMENT = "GEARSHIFT_CACHE_DIR"
OTHERS_WRITE = 0o022
CHECKSUM = hashlib.sha256().digest_size
logger = logging.getLogger(__name__)


def folder() -> Path | None:
    """Where compiled loops are kept: a private folder, named by a hash of every source that they may be made from.

    It is made where it is missing. None where there is no folder that this user alone can write to.
    """
    return _chosen(os.environ.get(ENVIRONMENT, ""), _digest())[0]


def remark() -> str:
    """Why compiled loops are not kept where they should be; empty where they are."""
    return _chosen(os.environ.get(ENVIRONMENT, ""), _digest())[1]


@cache
def _digest() -> str:
    """A hash of the sources as this process found them; what is edited later, it does not run."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256(f"{version('numba')} {version('llvmlite')}".encode())
    for source in sorted([*root.glob("kernels/**/*.py"), *root.glob("backends/*.py")]):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _chosen(given: str, digest: str) -> tuple[Path | None, str]:
    """The folder and a remark, which is logged once."""
    from platformdirs import user_cache_path

    faults = []
    for base in (Path(given) if given else user_cache_path("gearshift"), _temporary()):
        try:
            if base is None:
                continue
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not given and base.stat().st_uid == _user():
                base.chmod(0o700)  # this folder is Gearshift's alone; one that the user names is left as it is
            place = base / f"numba-{digest}"
            _check(base)
            place.mkdir(mode=0o700, exist_ok=True)
            _check(place)
        except OSError as error:
            faults.append(f"{error.filename or base}: {error.strerror or error}")
        else:
            said = f"{faults[0]}; compiled kernels are kept in {place} instead" if faults else ""
            break
    else:
        place, said = None, f"{'; '.join(faults)}; compiled kernels are not kept, and each process compiles its own"
    if said:
        said += f"; set {ENVIRONMENT} to a folder that you alone can write to"
        logger.warning(said)
    return place, said


def _temporary() -> Path | None:
    """A folder of this user's among temporary files."""
    with suppress(OSError):  # there are no temporary files
        return Path(tempfile.gettempdir()) / f"gearshift-{_user()}"
    return None


def _user() -> int:
    """This process's user; 0 on Windows, where files tell no owner."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _check(path: Path, found: os.stat_result | None = None) -> None:
    """Raises OSError where another user may have written what is there, or this one cannot write."""
    found = found or path.stat()
    if os.name != "nt":
        if found.st_uid != _user():
            raise PermissionError(0, f"it belongs to user {found.st_uid}, not to you", str(path))
        if found.st_mode & OTHERS_WRITE:
            raise PermissionError(0, "others can write to it", str(path))
    if not os.access(path, os.W_OK):
        raise PermissionError(0, "it cannot be written to", str(path))


class KernelCache:
    """What Numba's dispatcher asks for compiled code, in place of Numba's own cache.

    A file holds a checksum and a pickle. One that is damaged, or that another user owns, counts as missing.

    Parameters
    ----------
    function : what is compiled.
    options : of the compilation, which the machine code depends on.
    folder : as `folder` chose it.
    """

    def __init__(self, function: FunctionType, options: str, folder: Path) -> None:
        self.cache_path = str(folder)
        self._folder, self._name = folder, function.__name__
        source = hashlib.sha256(Path(function.__code__.co_filename).read_bytes()).hexdigest()
        code = hashlib.sha256(function.__code__.co_code).hexdigest()
        self._key = function.__module__, function.__qualname__, options, source, code

    def load_overload(self, signature: Any, context: Any) -> Any:
        """What was kept for a signature; None where there is nothing that can be used."""
        from numba.core.compiler import CompileResult

        context.refresh()
        path = self._path(signature, context.codegen())
        try:
            return CompileResult._rebuild(context, *_read(path))
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever is wrong with the file, compiling anew is right
            logger.debug("%s is dropped: %r", path, error)
            with suppress(OSError):
                path.unlink()
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keeps what was compiled, where that is possible."""
        from numba.core.serialize import dumps

        if result.library.has_dynamic_globals:  # addresses of this process
            return
        path = self._path(signature, result.library.codegen)
        data = dumps(result._reduce())
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        try:
            fresh.touch(mode=0o600, exist_ok=False)
            fresh.write_bytes(hashlib.sha256(data).digest() + data)
            fresh.replace(path)
        except OSError:  # a full disk must not end a training
            with suppress(OSError):
                fresh.unlink()

    def _path(self, signature: Any, codegen: Any) -> Path:
        key = repr((*self._key, signature, codegen.magic_tuple(), sys.implementation.cache_tag))
        return self._folder / f"{self._name}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.nbc"


def _read(path: Path) -> Any:
    """What a file holds, which is unpickled only where nobody else can have written it and it is whole."""
    with path.open("rb") as file:
        _check(path, os.fstat(file.fileno()))
        data = file.read()
    if hashlib.sha256(data[CHECKSUM:]).digest() != data[:CHECKSUM]:
        raise ValueError("its checksum is another")
    return pickle.loads(data[CHECKSUM:])
