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

from .contender import ENTRIES

PATIENCE = 300.0  # seconds for an answer; compiling takes the longest
LAST = 10.0  # seconds in which ranks end that are told to


class WorkerFailed(Exception):
    """A request failed; the message is for the table. Never leaves this package."""


class Process:
    """A contender's process, started at once and again at the next request after it has died.

    If a `launcher` is given, as ``"mpiexec"``, it starts the contender's ranks.
    """

    def __init__(self, name: str, environment: dict[str, str] | None = None, launcher: str | None = None) -> None:
        self.name, self._environment, self._launcher = name, environment or {}, launcher
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
            process.kill() if self._launcher is None else process.terminate()

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
        if self._launcher is not None:  # it would leave ranks behind if it were killed
            with suppress(subprocess.TimeoutExpired, OSError):
                assert self._process.stdin is not None
                self._process.stdin.close()
                self._process.wait(LAST)
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(LAST)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # a request that was never read
                    pipe.close()
        self._errors.close()

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "gearshift.bench.peers.worker", self.name]
        if self._launcher is not None:
            ranks = str(ENTRIES[self.name].ranks)
            command = [self._launcher, "-n", ranks, *command[:3], "gearshift.bench.peers.rank_worker", self.name]
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
