"""Files of measurements that are damaged or forged: refused in one line, or shown."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from rich.console import Console

if sys.platform != "linux":
    pytest.skip("limits of memory and time are set as Linux has them", allow_module_level=True)

from fuzzing import CASES, Fuzzer, command, mutated, scrambled

from gearshift.bench.batch import files
from gearshift.bench.batch.analysis.compare import compare
from gearshift.bench.batch.show.report import show
from gearshift.bench.peers import report, results

RESULTS = Path(__file__).parents[2] / "bench" / "results"


def short(tree: Any, most: int = 6) -> Any:
    """The same with short lists."""
    if isinstance(tree, dict):
        return {key: short(value, most) for key, value in tree.items()}
    return [short(value, most) for value in tree[:most]] if isinstance(tree, list) else tree


def test_measurements(tmp_path: Path) -> None:
    batches = json.loads((RESULTS / "batch-size-2-core-xeon.json").read_text())
    batches["benchmarks"] = [
        {key: value for key, value in point.items() if key not in ("stats", "options", "extra_info", "params")}
        for where in batches["backends"]
        for point in [one for one in batches["benchmarks"] if one["backend"] == where["name"]][:5]
    ]
    peers = short(json.loads((RESULTS / "peers-2-core-xeon-1.json").read_text()), 4)
    trees = {"bench": short(batches, 10), "peers": peers}
    path, other, console = tmp_path / "mutated.json", tmp_path / "other.json", Console(file=io.StringIO(), width=120)
    other.write_text(json.dumps(trees["bench"]))

    def case(random: Random) -> None:
        name = random.choice(("bench", "bench", "peers"))
        tree = trees[name]
        content = json.dumps(mutated(random, tree)).encode("utf-8", "replace")
        path.write_bytes(scrambled(random, content) if random.random() < 0.1 else content)
        if random.random() < 0.03:
            arguments = [name, "--from", str(path), "--out", str(tmp_path / "out.json")]
            command(*random.choice((arguments, ["compare", str(path), str(other)])), right=(0, 2, 3, 4))
        elif name == "peers":
            measurement = results.read(path)
            report.show(measurement, console)
            results.write(measurement, tmp_path / "out.json")
            assert results.read(tmp_path / "out.json").points == measurement.points or "NaN" in path.read_text()
        else:
            document = files.read(path)
            show(document, console)
            files.write(document, tmp_path / "out.json")
            compare(document, files.read(other))

    Fuzzer("measurements", CASES // 10 or 60).run(case)
