"""The report of a part: its checks, written to disk after each."""

from __future__ import annotations

import faulthandler
import json
import math
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIMIT = 530.0  # seconds of a part
MARGIN = 50.0  # no check begins later than this before its end; of a short part, in the last eighth
LONGEST = 120.0  # seconds after which a check counts as hanging, unless it sets its own limit
LOST = {700, 702, 709, 710, 714, 715, 716, 717, 718, 719}
"""Numbers of CUDA's errors after which a process can do no more on its device, such as an address that is none."""


class Unmet(Exception):
    """A claim that the measurement does not confirm."""


class NotRun(Exception):
    """Something that a check needs is missing."""


class TimeUp(Exception):
    """The part has no time left for another check."""


class DeviceLost(Exception):
    """An error after which the device no longer answers this process."""


@dataclass
class ProofCheck:
    """A check: its numbers, and the error if it failed."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    state: str = "running"
    error: str = ""
    seconds: float = 0.0

    def __setitem__(self, key: str, value: Any) -> None:
        self.values[key] = value

    def require(self, holds: bool, claim: str) -> None:
        """Fails the check if a claim does not hold; numbers recorded so far are kept."""
        if not holds:
            raise Unmet(claim)


class ProofReport:
    """The checks of one part, written to ``part-N.json`` and ``part-N.md`` as each begins and ends.

    Parameters
    ----------
    seconds : that the part may take.
    broken : checks in which an earlier process ended; a part does without them where it can.
    """

    def __init__(
        self,
        part: int,
        title: str,
        folder: Path,
        machine: dict[str, Any],
        seconds: float = LIMIT,
        broken: Sequence[ProofCheck] = (),
    ) -> None:
        self.part, self.title, self.folder, self.machine = part, title, folder, machine
        self.ends = time.monotonic() + seconds
        self.margin = min(MARGIN, seconds / 8)
        self.broken = {check.name for check in broken}
        self.checks: list[ProofCheck] = list(broken)

    @classmethod
    def read(cls, part: int, title: str, folder: Path) -> ProofReport:
        """The report that is on disk; an empty one where there is none."""
        report = cls(part, title, folder, {})
        file = report._file(".json")
        if file.exists():
            whole = json.loads(file.read_text(encoding="utf-8"))
            report.machine, report.checks = whole["machine"], [ProofCheck(**check) for check in whole["checks"]]
        return report

    @contextmanager
    def check(self, name: str, *, late: bool = False, longest: float = LONGEST) -> Iterator[ProofCheck]:
        """Runs one check; errors are recorded, and the next check can run.

        A check that is `late` takes almost no time, and runs even if the part's time is up. If a check takes more than
        `longest` seconds, the process prints where it was and ends.

        Raises
        ------
        TimeUp
            The part's time is used up; this check and those after it are not run.
        DeviceLost
            The check failed in a way after which all others would.
        """
        start = time.monotonic()
        if start > self.ends - self.margin and not late:
            raise TimeUp(f"time was up before: {name}")
        check = ProofCheck(name)
        self.checks.append(check)
        self.write()
        faulthandler.dump_traceback_later(max(1.0, min(longest, self.ends - start)), exit=True)
        try:
            yield check
            check.state = "holds"
        except Unmet as unmet:
            check.state, check.error = "failed", str(unmet)
        except NotRun as reason:
            check.state, check.error = "not run", str(reason)
        except Exception as error:
            check.state, check.error = "failed", f"{type(error).__name__}: {error}"
            check.values["traceback"] = traceback.format_exc().splitlines()[-12:]
            if getattr(error, "status", None) in LOST:
                check.state = "running"  # the process ends in it
                raise DeviceLost(check.error) from None
        finally:
            faulthandler.cancel_dump_traceback_later()
            check.seconds = round(time.monotonic() - start, 2)
            print(f"{check.state:>8}  {check.seconds:7.1f} s  {name}  {check.error}".rstrip(), flush=True)
            self.write()

    def goal(self, name: str, met: bool | None, told: str) -> None:
        """Records whether a goal is met; None if it was not measured. A missed goal is not a failure."""
        state = "not run" if met is None else "met" if met else "missed"
        self.checks.append(ProofCheck(f"goal: {name}", state=state, error=told))
        print(f"{state:>8}             goal: {name}  {told}", flush=True)
        self.write()

    @property
    def running(self) -> ProofCheck | None:
        """The check that has begun and not ended."""
        return next((check for check in self.checks if check.state == "running"), None)

    @property
    def failed(self) -> int:
        """How many checks failed."""
        return sum(check.state == "failed" for check in self.checks)

    def clear(self) -> None:
        """Removes what an earlier proof has left."""
        for suffix in (".json", ".md"):
            self._file(suffix).unlink(missing_ok=True)

    def write(self) -> None:
        """Writes what is known so far."""
        self.folder.mkdir(parents=True, exist_ok=True)
        whole = {
            "part": self.part,
            "title": self.title,
            "machine": self.machine,
            "checks": [vars(c) for c in self.checks],
        }
        text = json.dumps(_plain(whole), indent=1, allow_nan=False)
        self._file(".json").write_text(text + "\n", encoding="utf-8")
        rows = [f"| {c.name} | {c.state} | {_short(c)} |" for c in self.checks]
        head = [f"# Part {self.part}: {self.title}", "", json.dumps(self.machine), "", "| check | | |", "|---|---|---|"]
        self._file(".md").write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")

    def _file(self, suffix: str) -> Path:
        return self.folder / f"part-{self.part}{suffix}"


def _plain(value: Any) -> Any:
    """A value as JSON has it: numbers of NumPy's as Python's, what is not finite or no number as text."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    value = value.item() if hasattr(value, "item") else value
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _short(check: ProofCheck) -> str:
    numbers = [
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in check.values.items()
        if isinstance(value, int | float | str)
    ]
    return "; ".join([check.error.replace("\n", " ")[:300]] * bool(check.error) + numbers[:8])
