"""The processes that watch ranks notice one that never comes: MPI waits for it forever."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gearshift.backends import watcher
from gearshift.backends.watch import Door, leave

SECRET = b"of a test"


@contextmanager
def watched(size: int) -> Iterator[Door]:
    """A watcher in a thread, which ends before the block does; no process of a rank is behind it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=watcher.Watcher(server, size, SECRET, parent=0).run)
        thread.start()
        yield Door(["127.0.0.1"], server.getsockname()[1], SECRET)
        thread.join(30)
        assert not thread.is_alive()


def test_a_rank_that_does_not_come_is_named(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(watcher, "START", 0.5)
    with watched(4) as door, door.enter(0) as first, door.enter(2):
        first.settimeout(30)
        assert watcher.HEAD.unpack(first.recv(watcher.HEAD.size, socket.MSG_WAITALL)) == (watcher.OVER, 1, 0)
    assert capfd.readouterr().err.count("error: rank 1, 3 of 4 has not begun to train 0.5 s after rank 0") == 1


def test_a_rank_that_dies_before_the_others_come(capfd: pytest.CaptureFixture[str]) -> None:
    with watched(2) as door:
        door.enter(0).close()
    assert "error: rank 0 of 2 died before rank 1 had begun to train, so all ranks end" in capfd.readouterr().err


def test_who_lacks_the_secret_is_no_rank(capfd: pytest.CaptureFixture[str]) -> None:
    with watched(2) as door:
        with Door(door.addresses, door.port, b"wrong one").enter(0) as stranger:
            assert stranger.recv(1) == b""
        for rank in (0, 1):
            with door.enter(rank) as connection:
                leave(connection)
    assert capfd.readouterr().err == ""


def test_a_rank_does_not_wait_forever_for_rank_0() -> None:
    """A process ends its parent, which waits inside C, after a while, and not if rank 0 comes."""
    lines = [
        "import time",
        "from gearshift.backends.patience import patience",
        "with patience(3, 2, seconds=float(%s)): time.sleep(%s)",
        "print('came')",
    ]
    ends = [
        subprocess.run(
            [sys.executable, "-c", "\n".join(lines) % times],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        for times in ((1, 50), (50, 0))
    ]
    assert ends[0].returncode == -9
    assert ends[0].stderr == "error: rank 0 of 3 has not begun to train 1 s after rank 2, so all ranks end\n"
    assert (ends[1].returncode, ends[1].stdout, ends[1].stderr) == (0, "came\n", "")
