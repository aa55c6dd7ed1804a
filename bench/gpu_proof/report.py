"""What a part of the proof found: checks that hold or fail one by one, kept on disk as they come."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BUDGET = 480.0  # seconds after which a part begins no further check


class Unmet(Exception):
    """A claim that the measurement does not bear out."""


class NotRun(Exception):
    """What a check needs is not there."""


class TimeUp(Exception):
    """The part has no time for a further check."""


@dataclass
class Check:
    """One thing that was tried: its numbers, and the error where it failed."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    state: str = "failed"
    error: str = ""
    seconds: float = 0.0

    def __setitem__(self, key: str, value: Any) -> None:
        self.values[key] = value

    def require(self, holds: bool, claim: str) -> None:
        """Fails the check where a claim does not hold; the numbers noted so far stay."""
        if not holds:
            raise Unmet(claim)


class Report:
    """The checks of one part, written to ``part-N.json`` and ``part-N.md`` after each of them."""

    def __init__(self, part: int, title: str, folder: Path, machine: dict[str, Any]) -> None:
        self.part, self.title, self.folder, self.machine = part, title, folder, machine
        self.checks: list[Check] = []
        self.began = time.monotonic()

    @contextmanager
    def check(self, name: str, *, late: bool = False) -> Iterator[Check]:
        """Runs one check; whatever goes wrong in it is noted, and the next one runs.

        One that is `late` takes no time to speak of, and runs though the part's time is up.

        Raises
        ------
        TimeUp
            The part's time is used up; this check and those after it are not run.
        """
        start = time.monotonic()
        if start - self.began > BUDGET and not late:
            raise TimeUp(f"time was up before: {name}")
        check = Check(name)
        self.checks.append(check)
        try:
            yield check
            check.state = "holds"
        except Unmet as unmet:
            check.error = str(unmet)
        except NotRun as reason:
            check.state, check.error = "not run", str(reason)
        except Exception as error:
            check.error = f"{type(error).__name__}: {error}"
            check.values["traceback"] = traceback.format_exc().splitlines()[-12:]
        finally:
            check.seconds = round(time.monotonic() - start, 2)
            print(f"{check.state:>8}  {check.seconds:7.1f} s  {name}  {check.error}".rstrip(), flush=True)
            self.write()

    def goal(self, name: str, met: bool | None, told: str) -> None:
        """Notes whether a goal is met; None where nothing was measured that says so. A missed one is no failure."""
        state = "not run" if met is None else "met" if met else "missed"
        self.checks.append(Check(f"goal: {name}", state=state, error=told))
        print(f"{state:>8}             goal: {name}  {told}", flush=True)
        self.write()

    @property
    def failed(self) -> int:
        """How many checks failed."""
        return sum(check.state == "failed" for check in self.checks)

    def write(self) -> None:
        """Writes what is known so far."""
        self.folder.mkdir(parents=True, exist_ok=True)
        whole = {
            "part": self.part,
            "title": self.title,
            "machine": self.machine,
            "checks": [vars(c) for c in self.checks],
        }
        stem = self.folder / f"part-{self.part}"
        stem.with_suffix(".json").write_text(json.dumps(whole, indent=1, default=_plain) + "\n", encoding="utf-8")
        rows = [f"| {c.name} | {c.state} | {_short(c)} |" for c in self.checks]
        head = [f"# Part {self.part}: {self.title}", "", json.dumps(self.machine), "", "| check | | |", "|---|---|---|"]
        stem.with_suffix(".md").write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _short(check: Check) -> str:
    numbers = [
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in check.values.items()
        if isinstance(value, int | float | str)
    ]
    return "; ".join([check.error.replace("\n", " ")[:300]] * bool(check.error) + numbers[:8])
