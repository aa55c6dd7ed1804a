"""The command: ``python -m gearshift.bench.gpu_proof --out DIR [--part N] [--minutes M] [--rehearse]``."""

from __future__ import annotations

import argparse
import math
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .part import LOST, PARTS, UNAVAILABLE
from .report import LIMIT, MARGIN, ProofReport

LEAST = 1.0  # minutes
SHARES = {1: 3, 2: 3, 3: 4, 4: 1, 5: 2}
"""Of the time, where it is limited: how much each part gets beside the others."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the requested parts; returns 0 if every check holds, 1 if one failed, 2 if there is no GPU."""
    parser = argparse.ArgumentParser(prog="gearshift.bench.gpu_proof", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for part-N.json, part-N.md and pictures")
    parser.add_argument("--part", type=int, choices=PARTS, action="append", help="run this part; by default all parts")
    parser.add_argument("--rehearse", action="store_true", help="run a reduced version on the CPU; needs a checkout")
    parser.add_argument("--minutes", type=float, help="time for all parts together; what tells least is left out")
    given = parser.parse_args(arguments)
    if given.minutes is not None and not given.minutes >= LEAST:
        parser.error(f"--minutes is {given.minutes:g}; expected {LEAST:g} or more")
    options = ["--rehearse"] * given.rehearse + ["--brief"] * (given.minutes is not None)
    ends = time.monotonic() + 60 * (given.minutes or math.inf)
    worst, parts = 0, list(given.part or PARTS)
    for index, number in enumerate(parts):
        print(f"part {number}: {PARTS[number][1]}", flush=True)
        status = prove(number, given.out, options, share(parts[index:], ends - time.monotonic()))
        if status == UNAVAILABLE:
            return 2
        worst = max(worst, status)
    return worst


def share(parts: Sequence[int], seconds: float) -> float:
    """The seconds of the first of these parts, where all of them have so many."""
    return min(LIMIT, seconds * SHARES[parts[0]] / sum(SHARES[part] for part in parts))


def prove(number: int, folder: Path, options: Sequence[str], seconds: float = LIMIT) -> int:
    """Runs a part in its own process, because a faulty kernel may crash it or lose the device.

    The running check is then marked failed, and the part is started again without it for the rest of its time.
    """
    ends, margin = time.monotonic() + seconds, min(MARGIN, seconds / 8)
    ProofReport(number, PARTS[number][1], folder, {}).clear()
    broken: list[str] = []
    while True:
        left = ends - time.monotonic()
        command = [sys.executable, "-P", "-m", f"{__package__}.part", str(number), "--out", str(folder), *options]
        command += [f"--seconds={left:.0f}", *(f"--broken={name}" for name in broken)]
        try:
            status = subprocess.run(command, check=False, timeout=left + 5).returncode
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        report = ProofReport.read(number, PARTS[number][1], folder)
        if status == UNAVAILABLE:
            return status
        check = report.running
        if check is None:
            if status not in (0, 1) or not report.checks:
                with report.check("the part itself", late=True) as whole:
                    whole.require(False, told(status))
            return 1 if report.failed else 0
        check.state, check.error = "failed", f"{check.error or told(status)}: the process ended here"
        report.write()
        if check.name in broken or ends - time.monotonic() < margin:
            return 1
        broken.append(check.name)
        print(f"  failed  {check.name}  {check.error}: once more without it", flush=True)


def told(status: int) -> str:
    """How a process ended, in words."""
    if status < 0:
        return signal.Signals(-status).name
    return {1: "it took too long", LOST: "the device answers no more"}.get(status, f"exit status {status}")


if __name__ == "__main__":
    sys.exit(main())
