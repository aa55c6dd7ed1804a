"""Compiling in a second process, while this one compiles something else.

Numba compiles one function at a time in a process. A large loop that is not in the on-disk cache yet is compiled by
another process, which puts it there; this process loads it when it needs it.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from contextlib import suppress
from typing import Any

from . import host, kernel_cache

LONGEST = 120  # seconds to wait for the other process; then this one compiles
CODE = """import sys, json, importlib
sys.path[:] = json.loads(sys.argv[1])
getattr(importlib.import_module(sys.argv[2]), sys.argv[3])(*sys.argv[4:])"""
logger = logging.getLogger(__name__)


class Ahead:
    """A compilation in another process, by a function of this package that compiles and caches.

    Parameters
    ----------
    module, function : the name of the function.
    arguments : strings that it is called with.
    """

    def __init__(self, module: str, function: str, *arguments: str) -> None:
        command = [sys.executable, "-c", CODE, json.dumps(sys.path), module, function, *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError, ValueError):  # too many processes, or no memory: this process compiles
            nothing = subprocess.DEVNULL
            self._process = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)

    def wait(self) -> None:
        """Waits until the other process has ended; whether it could compile shows in the cache. For several threads."""
        process = self._process
        if process is None:
            return
        try:
            process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            logger.debug("the second compiling process took longer than %d s", LONGEST)
            process.kill()
            process.wait()
        self._process = None


def pays(compiled: Any, arguments: tuple[Any, ...]) -> bool:
    """Whether a second process helps: the function is not kept for these arguments, and a core and a cache are free."""
    if not hasattr(compiled, "overloads") or host.threads() < 2 or not sys.executable or kernel_cache.folder() is None:
        return False
    return not kernel_cache.holds(compiled, arguments)
