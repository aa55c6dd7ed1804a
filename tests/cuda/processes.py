"""Processes of their own, on a machine that differs in a few ways."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping


def run(*arguments: str, fails: bool = False, machine: Mapping[str, str] | None = None) -> str:
    """What ``python ARGUMENTS…`` prints with these environment variables; it must succeed, or fail if `fails`."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **(machine or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, f"exit status {done.returncode}:\n{said[-4000:]}"
    return said
