"""A small process that ends all ranks when one of them dies, stops or fails, and says once what happened.

Rank 0 starts it with the number of ranks, the address to listen at, and a secret on standard input; it answers with its
port on standard output. Every rank connects, sends signs of life, and ends when told to or when the connection ends.
It is a process of its own because launchers kill all ranks as soon as one has died, and then none could say so.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import sys
import time
from contextlib import suppress

BEAT = 0.5  # seconds between two signs of life
SILENCE = 15.0  # seconds without one, after which a rank counts as stopped
LEFT = 10.0  # seconds that a training may go on after a rank has ended
GRACE = 1.0  # seconds in which the same mistake on all ranks counts as one
START = 60.0  # seconds until all ranks have connected

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
    """Watches the ranks until they have ended."""

    def __init__(self, ranks: list[Rank]) -> None:
        self.ranks, self.size, self.remedy = {rank.number: rank for rank in ranks}, len(ranks), ""
        self.failures: dict[int, tuple[float, int, str]] = {}
        self.left: dict[int, float] = {}  # when ranks said that they end

    def run(self) -> None:
        """Returns when all ranks have ended, by themselves or because one is lost."""
        with selectors.DefaultSelector() as selector:
            for rank in self.ranks.values():
                selector.register(rank.connection, selectors.EVENT_READ, rank)
            while self.ranks:
                for key, _ in selector.select(BEAT):
                    messages = key.data.messages()
                    if messages is None:
                        selector.unregister(key.fileobj)
                        del self.ranks[key.data.number]
                        if key.data.number not in self.left and not self.failures:
                            self.end(f"error: {self.name(key.data.number)} died, so all ranks end", 1)
                            return
                    for message in messages or []:
                        self.take(key.data, *message)
                if self.judge(time.monotonic()):
                    return

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
        for number, rank in self.ranks.items():
            if number not in self.left and not self.failures and now - rank.heard > SILENCE:
                why = f"has shown no sign of life for {SILENCE:g} s, so all ranks end"
                return self.end(f"error: {self.name(number)} {why}", 1)
        for number, when in self.left.items():
            if now - when > LEFT and any(rank.trains for rank in self.ranks.values()):
                return self.end(f"error: {self.name(number)} has ended while others train", 1)
        return False

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
        return True


def connected(server: socket.socket, size: int, secret: bytes) -> list[Rank]:
    """The ranks, once all have connected and shown the secret."""
    ranks: list[Rank] = []
    server.settimeout(START)
    while len(ranks) < size:
        connection, _ = server.accept()
        connection.settimeout(10)
        with suppress(OSError):
            found = connection.recv(len(secret) + 4, socket.MSG_WAITALL)
            if found[: len(secret)] == secret:
                ranks.append(Rank(int.from_bytes(found[len(secret) :], "big"), connection))
    return ranks


def main() -> None:
    size, host = int(sys.argv[1]), sys.argv[2]
    secret = sys.stdin.buffer.readline().strip()
    with socket.create_server((host, 0), backlog=size) as server:
        print(server.getsockname()[1], flush=True)
        ranks = connected(server, size, secret)
    Watcher(ranks).run()


if __name__ == "__main__":
    main()
