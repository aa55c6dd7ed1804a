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
from typing import NoReturn

from .ranks import Ranks, launched
from .watcher import BEAT, BYE, FAILED, GRACE, HEAD, OVER, REMEDY, RESTS, START, TRAINS

LONGEST = 1 << 16  # bytes of an error


class RankWatch:
    """Ends this process when the watcher says so, or is gone; made on all `ranks` at once."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks, self._lock, self._remedy = ranks, threading.Lock(), ""
        addresses, port, secret = ranks.share(lambda: _start(ranks.size))
        self._socket = _connect(addresses, port)
        self._socket.sendall(secret + ranks.rank.to_bytes(4, "big"))
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


def _start(size: int) -> tuple[list[str], int, bytes]:
    """Starts the watcher; returns its addresses, its port and the secret that ranks show it."""
    secret, local = secrets.token_hex(16).encode(), launched()[2] == size
    host = "127.0.0.1" if local else "0.0.0.0"
    script = Path(__file__).with_name("watcher.py")
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", str(script), str(size), host],
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
        raise RuntimeError("the process that watches the ranks does not start")
    return ([host] if local else _addresses()), int(port), secret


def _connect(addresses: list[str], port: int) -> socket.socket:
    error: OSError | None = None
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=START / 4)
        except OSError as found:
            error = found
    raise RuntimeError(f"rank 0 cannot be reached at {', '.join(addresses)}: {error}")


def _addresses() -> list[str]:
    """Where other machines may reach this process."""
    found: list[str] = []
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        route.connect(("192.0.2.1", 9))  # sends nothing, and chooses the address that other machines see
        found.append(route.getsockname()[0])
    with suppress(OSError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    return list(dict.fromkeys([*found, "127.0.0.1"]))
