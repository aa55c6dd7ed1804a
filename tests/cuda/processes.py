"""Processes of their own, on a machine that differs in a few ways."""

from __future__ import annotations

import os
import subprocess
import sys


def run(*arguments: str, fails: bool = False, **settings: str) -> str:
    """What ``python ARGUMENTS…`` prints on the stand-in; `settings` are environment variables, without those that are "".

    It must succeed, or fail where that is expected.
    """
    environment = {name: value for name, value in {**os.environ, **settings}.items() if value or name not in settings}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    said = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, f"exit status {done.returncode}:\n{said[-4000:]}"
    return said
