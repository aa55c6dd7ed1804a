"""What the fuzzers share: mutations of values and of bytes, and what counts as a right outcome."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import resource
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from gearshift.__main__ import exit_code, main
from gearshift.backends.errors import GearshiftError

SECONDS, MEMORY = 60.0, 3 << 30  # of a case, at most
CASES = int(os.environ.get("GEARSHIFT_FUZZ", "0"))  # of each fuzzer; 0 is a few, for the default suite
SEED = int(os.environ.get("GEARSHIFT_FUZZ_SEED", "0"))

# Sizes are small, or so large that nobody can mean them: what lies between is slow, and no fault.
VALUES: list[Any] = [
    *(0, 1, 2, 3, 5, -1, 7, 31, -(2**31), 2**31 - 1, 2**31, 2**53, 2**63 - 1, -(2**63), 2**63, 2**64, 10**400),
    *(0.0, 0.5, 1.0, -0.5, 1e-300, 1e300, -1e308, 1.7e308, float("nan"), float("inf"), -float("inf")),
    *(True, False, "", "x", "0", "auto", "none", "values", "classes", "validation_loss", "relu", "Linear", "Residual"),
    *("a" * 5000, "\0", "\ud800", "é\u202e漢", "\n", "~nosuch/x.csv", "/dev/zero", "/", "..", "../../etc", "%s{}", "*"),
    *([], [1], [[]], [None], {}, {"a": 1}, {"": {}}, [2**63], ["x", "y"], None),
]


def mutated(random: Random, tree: Any, other: Any = None) -> Any:
    """A copy of a tree of dictionaries and lists with one to three changes; `other` gives parts to put in."""
    tree = copy.deepcopy(tree)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            return random.choice(VALUES)
        holder, key = random.choice(places)
        kind = random.randrange(10)
        if kind < 4:
            alike = [value for value in VALUES if _kind(value) is _kind(holder[key])]
            holder[key] = copy.deepcopy(random.choice(alike))
        elif kind < 6:
            holder[key] = copy.deepcopy(random.choice(VALUES))
        elif kind == 6:
            del holder[key]
        elif kind == 7:
            donor, name = random.choice(list(_places(other if other is not None else tree)))
            holder[key] = copy.deepcopy(donor[name])
        elif kind == 8 and isinstance(holder, dict):
            holder[random.choice(["x", "", "name", "kind", "layers", "é", str(key).upper()])] = holder.pop(key)
        else:
            for _ in range(random.choice((1, 3, 60, 150))):  # of more, the fuzzer's own recursion would fail
                holder[key] = [holder[key]] if random.random() < 0.5 else {"layers": [holder[key]]}
    return tree


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)


def scrambled(random: Random, content: bytes) -> bytes:
    """Bytes with some flipped, cut out, repeated, or put in."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 5, 30))):
        place = random.randrange(len(data) + 1)
        kind = random.randrange(6)
        if kind < 2 and place < len(data):
            data[place] ^= 1 << random.randrange(8)
        elif kind == 2:
            data[place : place + random.choice((1, 8, 100))] = random.randbytes(random.choice((1, 8)))
        elif kind == 3:
            del data[place : place + random.choice((1, 4, 64, 4000))]
        elif kind == 4:
            data[place:place] = data[max(0, place - 40) : place]
        else:
            data[place:place] = random.choice(
                (b"\0", b"\xff\xff", b"\n", b'"', b",", b"9" * 5000, b"[" * 600, b"1e999")
            )
    return bytes(data)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a value, as what holds it and by which key."""
    if isinstance(tree, dict | list):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from _places(tree[key])


class Overtime(BaseException):
    """A case took longer than it may."""


class Fuzzer:
    """Runs cases one by one, counts them, and keeps what was wrong with any.

    Each case has a `Random` of its own, of `GEARSHIFT_FUZZ_SEED` and its number, so that one alone can be run again.

    Parameters
    ----------
    name : for the report.
    cases : how many.
    """

    def __init__(self, name: str, cases: int) -> None:
        self.name, self.cases, self.seed = name, cases, SEED
        self.done = self.refused = 0
        self.faults: dict[str, list[int]] = {}

    def run(self, case: Callable[[Random], Any]) -> None:
        """Runs all cases; raises AssertionError with every fault that was found."""
        with _limited(MEMORY):
            for number in range(self.cases):
                self._one(number, lambda number=number: case(Random(f"{self.name} {self.seed} {number}")))
        print(f"{self.name}: {self.done} cases, {self.refused} refused, {sum(map(len, self.faults.values()))} faults")
        told = "\n".join(f"{len(numbers)} cases, as {numbers[:5]}: {fault}" for fault, numbers in self.faults.items())
        assert not self.faults, f"{self.name}, {self.done} cases:\n{told}"

    def _one(self, number: int, call: Callable[[], Any]) -> None:
        fault = ""
        try:
            with _within(SECONDS), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call()
        except Overtime:
            fault = f"more than {SECONDS} s"
        except (Exception, SystemExit) as error:
            self.refused += isinstance(error, GearshiftError | OSError)
            place = traceback.extract_tb(error.__traceback__)[-1]
            fault = f"{type(error).__name__}: {str(error)[:200]} ({place.filename.rpartition('/')[2]}:{place.lineno})"
            if isinstance(error, AssertionError):
                fault = str(error)[:600]
            elif isinstance(error, GearshiftError | OSError) and exit_code(error) in (1, 2):
                fault = f"several lines: {error}" if "\n" in str(error) else ""
        self.done += 1
        if fault:
            self.faults.setdefault(fault, []).append(number)


def command(*arguments: str, right: tuple[int, ...] = (0, 2)) -> None:
    """Runs a command line in this process; AssertionError unless it ends as it may.

    Code 1 is for a loss that is not finite, or memory; anything but 0 comes with a line that begins with ``error:``.
    """
    shown = io.StringIO()
    code: Any = 0
    with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(io.StringIO()):
        try:
            main(list(arguments))
        except SystemExit as end:
            code = end.code or 0
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename.rpartition('/')[2]}:{place.lineno}"
            raise AssertionError(f"traceback of {type(error).__name__}: {str(error)[:200]} ({where})") from None
    told = [line for line in shown.getvalue().splitlines() if line.startswith("error: ")]
    last = shown.getvalue().splitlines()[-1:]
    expected = code in right or (code == 1 and any("not finite" in line or "need" in line for line in told))
    usage = "Usage: " in shown.getvalue()  # the command line's own parser
    assert expected and (code == 0 or usage or told[-1:] == last), f"code {code}: {shown.getvalue()[-300:]}"


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    def over(number: int, frame: Any) -> None:
        raise Overtime

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _limited(more: int) -> Iterator[None]:
    """The process may take so many bytes more of addresses than now: what takes more raises MemoryError."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        size = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
