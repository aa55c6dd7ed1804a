"""A rank's connection to the process that watches all ranks (watcher.py): MPI waits for a lost rank forever."""

from __future__ import annotations

import atexit
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

from .errors import BackendUnavailable
from .ranks import Ranks, launched
from .watcher import BEAT, BYE, FAILED, GRACE, HEAD, OVER, REMEDY, RESTS, TRAINS

LONGEST = 1 << 16  # bytes of an error
REACH = 15.0  # seconds in which an address of the watcher must answer


class Door(NamedTuple):
    """Where the watcher listens, and the secret that it asks for."""

    addresses: list[str]
    port: int
    secret: bytes

    def enter(self, rank: int) -> socket.socket:
        """A connection of a rank to the watcher.

        Raises
        ------
        BackendUnavailable
            No address answers.
        """
        error: OSError | None = None
        for address in self.addresses:
            try:
                found = socket.create_connection((address, self.port), timeout=REACH)
                found.sendall(self.secret + rank.to_bytes(4, "big"))
                return found
            except OSError as problem:
                error = problem
        raise BackendUnavailable(f"rank 0 cannot be reached at {', '.join(self.addresses)}: {error}")


class RankWatch:
    """Ends this process when the watcher says so, or is gone."""

    def __init__(self, ranks: Ranks, connection: socket.socket) -> None:
        self.ranks, self._socket, self._lock, self._remedy = ranks, connection, threading.Lock(), ""
        self._process = os.getpid()
        atexit.register(self._leave)
        threading.Thread(target=self._listen, name="gearshift-listen", daemon=True).start()
        threading.Thread(target=self._beat, name="gearshift-beat", daemon=True).start()

    def fail(self, text: str, code: int) -> NoReturn:
        """Ends all ranks after an error of this one."""
        self._send(FAILED, text.encode()[:LONGEST], code)
        time.sleep(10 * GRACE)  # meanwhile the watcher says so, and ends this process
        os._exit(code)

    def _beat(self) -> None:
        while True:
            if self.ranks.remedy != self._remedy:
                self._remedy = self.ranks.remedy
                self._send(REMEDY, self._remedy.encode())
            self._send(TRAINS if self.ranks.training else RESTS)
            time.sleep(BEAT)

    def _listen(self) -> None:
        self._socket.settimeout(None)
        found = b""
        with suppress(OSError):
            found = self._socket.recv(HEAD.size, socket.MSG_WAITALL)
        if len(found) == HEAD.size and found[:1] == OVER:
            os._exit(HEAD.unpack(found)[1])
        if self.ranks.rank == 0:
            os.write(2, b"error: the process that watches the ranks is gone, so all ranks end\n")
        os._exit(1)

    def _send(self, kind: bytes, body: bytes = b"", code: int = 0) -> None:
        with suppress(OSError), self._lock:
            self._socket.sendall(HEAD.pack(kind, code, len(body)) + body)

    def _leave(self) -> None:
        if os.getpid() == self._process:  # not in a forked child
            self._send(BYE)


def leave(connection: socket.socket) -> None:
    """Tells the watcher that a rank ends, which has not trained."""
    with suppress(OSError):
        connection.sendall(HEAD.pack(BYE, 0, 0))


def start(size: int) -> Door:
    """Starts the watcher, on rank 0."""
    secret, local = secrets.token_hex(16).encode(), launched().local_size == size
    host = "127.0.0.1" if local else "0.0.0.0"
    script = Path(__file__).with_name("watcher.py")
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", str(script), str(size), host, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # what ends the ranks does not end it
    )
    assert watcher.stdin is not None and watcher.stdout is not None
    watcher.stdin.write(secret + b"\n")
    watcher.stdin.close()
    port = watcher.stdout.readline()
    watcher.stdout.close()
    watcher.returncode = 0  # it outlives this process, and nobody waits for it
    if not port:
        raise BackendUnavailable("the process that watches the ranks does not start")
    return Door([host] if local else _addresses(), int(port), secret)


def _addresses() -> list[str]:
    """Where other machines may reach this process."""
    found: list[str] = []
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        route.connect(("192.0.2.1", 9))  # sends nothing, and chooses the address that other machines see
        found.append(route.getsockname()[0])
    with suppress(OSError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    return list(dict.fromkeys([*found, "127.0.0.1"]))
