"""Compares what `gearshift bench --workers` predicts of one and of two ranks with real epochs of them.

    python -m gearshift.bench.predicted [--rounds 5] [--batch 512] [--hidden 512,512] [--rows 20000] [--budget 30s]

In each round the bench predicts, and then one rank and two ranks train, all with a thread each. The bench discards
steps that other programs disturbed; so the fastest epoch of a training is what counts. The figure is the median over
the rounds of predicted ÷ measured; the goal is 0.85 to 1.15. With fewer idle cores than ranks, it cannot be met.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..backends import host
from ..backends.errors import ConfigurationError, GearshiftError
from .batch import files
from .batch.analysis.analyse import curve_of
from .batch.analysis.scaling import Link, separated
from .batch.measure.network import REMEDY, launcher
from .batch.records import Document

TITLE = "Compares what gearshift bench --workers predicts of one and of two ranks with real epochs of them."
RANKS = (1, 2)
GOAL = 0.15  # relative difference
BACKEND, PIXELS, CLASSES = "numba", 784, 10


def epoch(document: Document, ranks: int, batch: int) -> float:
    """The predicted seconds of an epoch of `ranks` ranks that share batches of `batch` rows.

    Raises
    ------
    ConfigurationError
        The bench has no step times, or no network.
    """
    record = document.workers
    one = record and curve_of(document, record.backend)
    if record is None or one is None:
        raise ConfigurationError("the bench measured fewer than two batch sizes, or no network; give a larger --budget")
    several = separated(one, [step.batch for step in record.steps], [step.seconds for step in record.steps])
    network = Link(record.latency, record.bytes_per_second)
    step = (one if ranks == 1 else several).at(batch / ranks) + network.allreduce(record.bytes, ranks)
    return float(step) * document.task.rows / batch


class RealEpochs:
    """Runs the bench and the trainings, as users run them, in a folder.

    Parameters
    ----------
    folder : for configuration, data and runs.
    mpiexec : the launcher.
    epochs : of a training, of which the first does not count.
    """

    def __init__(self, folder: Path, mpiexec: str, batch: int, hidden: str, rows: int, epochs: int) -> None:
        self.folder, self.mpiexec, self.batch, self.epochs = folder, mpiexec, batch, epochs
        random = np.random.default_rng(0)
        x = random.integers(0, 256, (rows, PIXELS), dtype=np.uint8)
        y = (x @ random.standard_normal((PIXELS, CLASSES))).argmax(axis=1)
        np.savez(folder / "data.npz", x=x, y=y)
        self.configuration = folder / "gearshift.toml"
        self.configuration.write_text(
            f'[backend]\nname = "{BACKEND}"\n[data]\nsource = "{folder / "data.npz"}"\n'
            f"[model]\nhidden = [{hidden}]\ndropout = 0.0\n[train]\nbatch_size = {batch}\nepochs = {epochs}\n"
        )

    def predicted(self, budget: str) -> dict[int, float]:
        """Seconds of an epoch by the number of ranks, as the bench predicts."""
        out, sizes = self.folder / "bench.json", ",".join(str(max(1, self.batch * k // 4)) for k in (1, 2, 4, 8))
        words = ["bench", self.configuration, "--backends", BACKEND, "--batch-sizes", sizes, "--budget", budget]
        self._run([], *words, "--workers", "1,2", "--out", out)
        document = files.read(out)
        return {ranks: epoch(document, ranks, self.batch) for ranks in RANKS}

    def measured(self, ranks: int) -> float:
        """The seconds of the fastest real epoch."""
        with tempfile.TemporaryDirectory(dir=self.folder) as run:
            words = ["train", self.configuration, "--run", Path(run) / "run", "--quiet"]
            self._run([self.mpiexec, "-n", str(ranks)] if ranks > 1 else [], *words)
            lines = (Path(run) / "run" / "metrics.jsonl").read_text().splitlines()
        return min(json.loads(line)["seconds"] for line in lines[1:])

    def _run(self, launch: Sequence[str], *words: object) -> None:
        command = [*launch, sys.executable, "-m", "gearshift", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "GEARSHIFT_THREADS": "1"})
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise ConfigurationError(f"gearshift {words[0]} failed with code {done.returncode}: {last}")


def summary(predicted: Sequence[dict[int, float]], measured: Sequence[dict[int, float]]) -> list[str]:
    """A line for each number of ranks: medians of the rounds, and of their ratios."""
    lines = ["ranks  predicted ms  measured ms  predicted ÷ measured (least to most)"]
    for ranks in RANKS:
        mine, its = [one[ranks] for one in predicted], [one[ranks] for one in measured]
        ratios = [a / b for a, b in zip(mine, its, strict=True)]
        ratio, ends = statistics.median(ratios), f"({min(ratios):.2f} to {max(ratios):.2f})"
        times = f"{1e3 * statistics.median(mine):>12.3f} {1e3 * statistics.median(its):>12.3f}"
        lines.append(f"{ranks:>5} {times}  {ratio:.2f} {ends}, {'within' if close(ratio) else 'NOT within'} {GOAL:.0%}")
    return [*lines, f"load of the machine in the last 5 minutes: {os.getloadavg()[1]:.1f} of {host.cores()} cores"]


def close(ratio: float) -> bool:
    """Whether a prediction is near what was measured."""
    return math.isfinite(ratio) and abs(ratio - 1) <= GOAL


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m gearshift.bench.predicted", description=TITLE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=512, help="rows of a batch, all ranks together")
    parser.add_argument("--hidden", default="512,512", help="widths of the hidden layers")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=12, help="of each training; the first does not count")
    parser.add_argument("--budget", default="30s", help="of each bench")
    asked, mpiexec = parser.parse_args(words), launcher()
    if mpiexec is None:
        parser.error(f"two ranks need mpiexec and mpi4py, which are missing; {REMEDY}")
    if min(asked.rounds, asked.epochs - 1, asked.batch - 1) < 1:
        parser.error("expected at least one round, two epochs and two rows in a batch")
    predicted: list[dict[int, float]] = []
    measured: list[dict[int, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            compared = RealEpochs(Path(folder), mpiexec, asked.batch, asked.hidden, asked.rows, asked.epochs)
            compared.measured(1)  # compiles
            for turn in range(asked.rounds):
                order = RANKS if turn % 2 else RANKS[::-1]
                predicted.append(compared.predicted(asked.budget))
                measured.append({ranks: compared.measured(ranks) for ranks in order})
        except GearshiftError as error:
            parser.exit(1, f"error: {error}\n")
    print("\n".join(summary(predicted, measured)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
