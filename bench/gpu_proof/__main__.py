"""The command: ``python -m gearshift.bench.gpu_proof --out DIR [--part N] [--rehearse]``."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .part import LOST, PARTS, UNAVAILABLE
from .report import LIMIT, MARGIN, ProofReport


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the requested parts; returns 0 if every check holds, 1 if one failed, 2 if there is no GPU."""
    parser = argparse.ArgumentParser(prog="gearshift.bench.gpu_proof", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for part-N.json, part-N.md and pictures")
    parser.add_argument("--part", type=int, choices=PARTS, action="append", help="run this part; by default all parts")
    parser.add_argument("--rehearse", action="store_true", help="run a reduced version on the CPU; needs a checkout")
    given = parser.parse_args(arguments)
    worst = 0
    for number in given.part or PARTS:
        print(f"part {number}: {PARTS[number][1]}", flush=True)
        status = prove(number, given.out, ["--rehearse"] * given.rehearse)
        if status == UNAVAILABLE:
            return 2
        worst = max(worst, status)
    return worst


def prove(number: int, folder: Path, options: Sequence[str]) -> int:
    """Runs a part in its own process, because a faulty kernel may crash it or lose the device.

    The running check is then marked failed, and the part is started again without it for the rest of its time.
    """
    ends = time.monotonic() + LIMIT
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
        if check.name in broken or ends - time.monotonic() < MARGIN:
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
