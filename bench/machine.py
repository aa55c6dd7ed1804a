"""What results say of the machine that they were measured on."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..backends import host, vectors


def described(packages: Iterable[str]) -> dict[str, Any]:
    """The machine, the versions of Python and of those packages that are installed, and the time."""
    return {
        "processor": f"{host.processor()}, {vectors.cpu()}",
        "cores": host.cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(packages),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
