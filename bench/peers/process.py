"""A worker as the measuring process sees it: a request, an answer, and what is known when it dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from threading import Event, Timer
from typing import Any

PATIENCE = 300.0  # seconds for an answer; compiling takes the longest


class WorkerFailed(Exception):
    """A request failed; the message is for the table. Never leaves this package."""


class Process:
    """A contender's process, started at once and again at the next request after it has died."""

    def __init__(self, name: str, environment: dict[str, str] | None = None) -> None:
        self.name, self._environment = name, environment or {}
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = self._start()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a request.

        Raises
        ------
        WorkerFailed
            The request failed, or the process died or did not answer in time.
        """
        if self._process.poll() is not None:
            self._process = self._start()
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        late = Event()

        def give_up() -> None:
            late.set()
            process.kill()

        alarm = Timer(PATIENCE, give_up)
        alarm.start()
        try:
            process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:  # a broken pipe
            line = ""
        finally:
            alarm.cancel()
        if not line:
            ended = self._obituary()
            raise WorkerFailed(f"gave no answer within {PATIENCE:g} s" if late.is_set() else ended)
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # a request that was never read
                    pipe.close()
        self._errors.close()

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "gearshift.bench.peers.worker", self.name]
        path = os.pathsep.join(entry for entry in sys.path if entry)
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env={**os.environ, **self._environment, "PYTHONPATH": path},
        )

    def _obituary(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return f"ended with code {code}: {lines[-1][:300] if lines else 'no message'}"
