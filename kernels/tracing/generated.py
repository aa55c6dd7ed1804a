"""Python functions from generated texts.

A text is kept as a file in the cache folder, so that machine code that is compiled from it can be cached, and so that
errors show its lines. What runs is always the text that was generated, never what the file holds.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ...backends import kernel_cache


@cache
def function(name: str, source: str) -> Callable[..., Any]:
    """The function called `name` that a module with this text defines."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:32]
    module: Any = ModuleType(f"{__name__}_{digest}")  # its name tells kernels of one name apart in the cache
    sys.modules[module.__name__] = module  # what Numba reads from the cache imports it
    exec(compile(source, str(_file(name, digest, source)), "exec"), vars(module))
    found = vars(module)[name]
    found.source = source
    return found


def _file(name: str, digest: str, source: str) -> str | Path:
    """The file that holds the text; a name alone if there is no folder for it."""
    try:
        folder = kernel_cache.folder()
    except ModuleNotFoundError:  # without Numba and platformdirs, as for `bench.gpu_proof`, no machine code is kept
        folder = None
    if folder is None:
        return f"<{name}>"
    path = folder / f"{name}-{digest}.py"
    with suppress(OSError):
        if not path.exists() or path.read_text(encoding="utf-8") != source:
            fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
            fresh.write_text(source, encoding="utf-8")
            fresh.replace(path)
    return path
