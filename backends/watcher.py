"""A small process that ends all ranks when one of them dies, stops or fails, and says once what happened.

Rank 0 starts it before MPI, with the number of ranks, the address to listen at, its own process, and a secret on
standard input; it answers with its port on standard output. Every rank connects, sends signs of life, and ends when
told to or when the connection ends. It is a process of its own because launchers kill all ranks as soon as one has
died, and then none could say so, and because MPI holds Python's lock while it begins.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import struct
import sys
import time
from contextlib import suppress

BEAT = 0.5  # seconds between two signs of life
SILENCE = 15.0  # seconds without one, after which a rank counts as stopped
LEFT = 10.0  # seconds that a training may go on after a rank has ended
GRACE = 1.0  # seconds in which the same mistake on all ranks counts as one
START = 300.0  # seconds that a rank waits for the others to begin to train

RESTS, TRAINS, BYE, REMEDY, FAILED, OVER = b".", b"t", b"b", b"r", b"f", b"o"
HEAD = struct.Struct("!cBI")
"""A message begins with its kind, an exit code, and the bytes of the text that follows."""


class Rank:
    """A connected rank."""

    def __init__(self, number: int, connection: socket.socket) -> None:
        self.number, self.connection, self.inbox = number, connection, b""
        self.heard, self.trains = time.monotonic(), False

    def messages(self) -> list[tuple[bytes, int, str]] | None:
        """Kind, code and text of what has arrived; None once the connection has ended."""
        try:
            found = self.connection.recv(1 << 16)
        except OSError:
            found = b""
        if not found:
            return None
        self.heard, self.inbox = time.monotonic(), self.inbox + found
        messages: list[tuple[bytes, int, str]] = []
        while len(self.inbox) >= HEAD.size:
            kind, code, size = HEAD.unpack_from(self.inbox)
            end = HEAD.size + size
            if len(self.inbox) < end:
                break
            messages.append((kind, code, self.inbox[HEAD.size : end].decode(errors="replace")))
            self.inbox = self.inbox[end:]
        return messages


class Watcher:
    """Watches the ranks that connect to `server` until they have ended."""

    def __init__(self, server: socket.socket, size: int, secret: bytes, parent: int) -> None:
        self.server, self.size, self.secret, self.parent = server, size, secret, parent
        self.begun, self.remedy = time.monotonic(), ""
        self.ranks: dict[int, Rank] = {}
        self.missing = set(range(size))
        self.failures: dict[int, tuple[float, int, str]] = {}
        self.left: dict[int, float] = {}  # when ranks said that they end

    def run(self) -> None:
        """Returns when all ranks have ended, by themselves or because one is lost."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.server, selectors.EVENT_READ)
            while self.ranks or 0 in self.missing:
                for key, _ in selector.select(BEAT):
                    if key.data is None:
                        for rank in self.admitted():
                            selector.register(rank.connection, selectors.EVENT_READ, rank)
                        continue
                    messages = key.data.messages()
                    if messages is None:
                        selector.unregister(key.fileobj)
                        del self.ranks[key.data.number]
                        if key.data.number not in self.left and not self.failures:
                            before = f" before rank {self.absent()} had begun to train" if self.missing else ""
                            self.end(f"error: {self.name(key.data.number)} died{before}, so all ranks end", 1)
                            return
                    for message in messages or []:
                        self.take(key.data, *message)
                if self.judge(time.monotonic()):
                    return

    def admitted(self) -> list[Rank]:
        """The rank that connects now, if it shows the secret."""
        connection, _ = self.server.accept()
        connection.settimeout(10)
        with suppress(OSError):
            found = connection.recv(len(self.secret) + 4, socket.MSG_WAITALL)
            number = int.from_bytes(found[len(self.secret) :], "big")
            if found[: len(self.secret)] == self.secret and number in self.missing:
                self.missing.remove(number)
                self.ranks[number] = Rank(number, connection)
                return [self.ranks[number]]
        connection.close()
        return []

    def take(self, rank: Rank, kind: bytes, code: int, text: str) -> None:
        """Takes in a message."""
        if kind == BYE:
            self.left[rank.number] = time.monotonic()
        elif kind == REMEDY:
            self.remedy = text
        elif kind == FAILED:
            self.failures.setdefault(rank.number, (time.monotonic(), code, text))
        rank.trains = kind == TRAINS

    def judge(self, now: float) -> bool:
        """Ends all ranks if one has failed, been silent, or left the others alone; returns whether it did."""
        if 0 in self.failures:  # a mistake that all ranks make is told as that of one
            _, code, text = self.failures[0]
            return self.end(text, code, remedy=False)
        for number, (when, code, text) in self.failures.items():
            if now - when > GRACE:
                return self.end(f"rank {number}: {text}", code)
        if self.missing and not self.left and now - self.begun > START:
            why = f"has not begun to train {START:g} s after rank 0, so all ranks end"
            return self.end(f"error: rank {self.absent()} of {self.size} {why}", 1)
        for number, rank in self.ranks.items():
            silent = now - rank.heard > SILENCE and not self.missing  # MPI may hold Python's lock while it begins
            if silent and number not in self.left and not self.failures:
                why = f"has shown no sign of life for {SILENCE:g} s, so all ranks end"
                return self.end(f"error: {self.name(number)} {why}", 1)
        for number, when in self.left.items():
            if now - when > LEFT and any(rank.trains for rank in self.ranks.values()):
                return self.end(f"error: {self.name(number)} has ended while others train", 1)
        return False

    def absent(self) -> str:
        """The ranks that have not come, for people."""
        return ", ".join(map(str, sorted(self.missing - {0}))) or "0"

    def name(self, number: int) -> str:
        """A rank, for people."""
        return f"rank {number} of {self.size}"

    def end(self, text: str, code: int, remedy: bool = True) -> bool:
        """Says why, and ends all ranks."""
        text = f"{text}; {self.remedy}" if remedy and self.remedy else text
        with suppress(OSError):
            os.write(2, f"{text}\n".encode())
        for rank in self.ranks.values():
            with suppress(OSError):
                rank.connection.sendall(HEAD.pack(OVER, code, 0))
        if self.missing:  # rank 0 may wait inside MPI, which holds Python's lock; its launcher ends the others
            time.sleep(GRACE)
            if os.getppid() == self.parent:
                with suppress(OSError):
                    os.kill(self.parent, signal.SIGKILL)
        return True


def main() -> None:
    size, host, parent = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    secret = sys.stdin.buffer.readline().strip()
    with socket.create_server((host, 0), backlog=size) as server:
        print(server.getsockname()[1], flush=True)
        Watcher(server, size, secret, parent).run()


if __name__ == "__main__":
    main()
