"""The on-disk cache of compiled loops: one file per function and signature, in a folder private to the user.

Numba's own cache is not used for three reasons. A damaged file crashes every process that reads it. It unpickles
files of any owner. If its folder is not writable it falls back to ``__pycache__``, where it may run machine code of
outdated sources.
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

from . import compile_time

ENVIRONMENT = "GEARSHIFT_CACHE_DIR"
OTHERS_WRITE = 0o022
CHECKSUM = hashlib.sha256().digest_size
logger = logging.getLogger(__name__)


def folder() -> Path | None:
    """The cache folder: a private folder, named by a hash of all sources that compiled loops may come from.

    It is created if missing. None if there is no folder that only this user can write to.
    """
    return _chosen(os.environ.get(ENVIRONMENT, ""), _digest())[0]


def remark() -> str:
    """Why compiled loops are not cached in the intended folder; empty if they are."""
    return _chosen(os.environ.get(ENVIRONMENT, ""), _digest())[1]


@cache
def _digest() -> str:
    """A hash of the sources at the start of this process; later edits do not affect it."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256(f"{version('numba')} {version('llvmlite')}".encode())
    for source in sorted([*root.glob("kernels/**/*.py"), *root.glob("backends/*.py")]):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _chosen(given: str, digest: str) -> tuple[Path | None, str]:
    """The cache folder, and a remark that is logged once."""
    from platformdirs import user_cache_path

    faults = []
    for base in (Path(given) if given else user_cache_path("gearshift"), _temporary()):
        try:
            if base is None:
                continue
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not given and base.stat().st_uid == _user():
                base.chmod(0o700)  # Gearshift's own folder; one named by the user keeps its permissions
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
    """This user's folder in the temporary directory."""
    with suppress(OSError):  # there is no temporary directory
        return Path(tempfile.gettempdir()) / f"gearshift-{_user()}"
    return None


def _user() -> int:
    """The user of this process; 0 on Windows, where files have no owner id."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _check(path: Path, found: os.stat_result | None = None) -> None:
    """Raises OSError if another user may have written to a path, or if this user cannot."""
    found = found or path.stat()
    if os.name != "nt":
        if found.st_uid != _user():
            raise PermissionError(0, f"it is owned by user {found.st_uid}, not by you", str(path))
        if found.st_mode & OTHERS_WRITE:
            raise PermissionError(0, "other users can write to it", str(path))
    if not os.access(path, os.W_OK):
        raise PermissionError(0, "it is not writable", str(path))


class KernelCache:
    """The cache object of Numba's dispatcher, which replaces Numba's own cache.

    A file holds a checksum and a pickle. A damaged file, or one of another user, counts as missing.

    Parameters
    ----------
    function : the compiled function.
    options : compilation options, which the machine code depends on.
    folder : the result of `folder`.
    alone : whether the machine code calls nothing that Numba provides but its helpers in C. To load it, Numba need
        not import its implementations of Python and NumPy, SciPy among them, which take a third of a second.
    """

    def __init__(self, function: FunctionType, options: str, folder: Path, alone: bool = False) -> None:
        self.cache_path, self._alone = str(folder), alone
        self._folder, self._name = folder, function.__name__
        source = hashlib.sha256(Path(function.__code__.co_filename).read_bytes()).hexdigest()
        code = hashlib.sha256(function.__code__.co_code).hexdigest()
        self._key = function.__module__, function.__qualname__, options, source, code

    @compile_time.counted()
    def load_overload(self, signature: Any, context: Any) -> Any:
        """The cached code for a signature; None if there is no usable file."""
        from numba.core.compiler import CompileResult

        if not self._alone:
            context.refresh()  # compiling does so, too
        path = self._path(signature, context.codegen())
        try:
            return CompileResult._rebuild(context, *_read(path))
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever is wrong with the file, compile again
            logger.debug("%s is ignored: %r", path, error)
            with suppress(OSError):
                path.unlink()
            return None

    @compile_time.counted()
    def save_overload(self, signature: Any, result: Any) -> None:
        """Stores compiled code, if possible."""
        from numba.core.serialize import dumps

        if result.library.has_dynamic_globals:  # it contains addresses of this process
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


def holds(dispatcher: Any, arguments: tuple[Any, ...]) -> bool:
    """Whether a compiled function needs no compilation for these arguments: it is in this process, or in the cache."""
    from numba import typeof

    signature, cache = tuple(map(typeof, arguments)), dispatcher._cache
    if signature in dispatcher.overloads:
        return True
    return isinstance(cache, KernelCache) and cache._path(signature, dispatcher.targetctx.codegen()).exists()


def _read(path: Path) -> Any:
    """The content of a file; it is unpickled only if it is intact and no other user can have written it."""
    with path.open("rb") as file:
        _check(path, os.fstat(file.fileno()))
        data = file.read()
    if hashlib.sha256(data[CHECKSUM:]).digest() != data[:CHECKSUM]:
        raise ValueError("the checksum does not match")
    return pickle.loads(data[CHECKSUM:])
