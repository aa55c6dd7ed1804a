"""`gearshift bench` where memory runs out: the sweep of a backend ends there, keeps what it has, and says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gearshift.__main__ import main
from gearshift.bench.batch import files

LIMITED = """
import resource, sys
from pathlib import Path
from gearshift.__main__ import main

def bench(*options):
    try:
        main(["bench", "--set", "model.hidden=[4]", "--set", "model.dropout=0.0", "--no-noise", *options])
    except SystemExit as ended:
        return ended.code or 0

bench("--batch-sizes", "1,8", "--budget", "1s")  # everything is loaded, compiled and running
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
for room in sys.argv[2:]:
    resource.setrlimit(resource.RLIMIT_AS, (size + (int(room) << 20), resource.RLIM_INFINITY))
    out = Path(sys.argv[1]) / f"{room}.json"
    code = bench("--batch-sizes", "1,4194304", "--budget", "1s", "--out", str(out))
    print(f"--- {code} {out}")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space as Linux has them")
def test_out_of_memory_ends_a_sweep(tmp_path: Path) -> None:
    """For real: a process may have 1,700 MiB more, too little for a step's temporaries, then 200, for its buffers."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    command, env = [sys.executable, "-c", LIMITED, str(tmp_path), "1700", "200"], {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    shown = " ".join(done.stdout.split())
    for room in (1700, 200):
        out = tmp_path / f"{room}.json"
        assert f"--- 0 {out}" in shown
        tree = json.loads(out.read_text())
        for record in tree["backends"]:
            assert record["limit"].startswith("batch 4,194,304 does not fit: Unable to allocate "), record
            assert f"{record['name']}: {record['limit']}" in shown
            assert [one["batch"] for one in tree["benchmarks"] if one["backend"] == record["name"]] == [1]
        assert all(len(one["rounds"]) >= 3 and one["bound"] for one in tree["benchmarks"])


def test_more_memory_than_there_is_is_not_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plan states its memory first: 256 GiB an activation are refused before anything is allocated."""
    out = tmp_path / "huge.json"
    options = ["--batch-sizes", "1,4194304", "--budget", "1s", "--no-noise", "--backends", "numpy"]
    with pytest.raises(SystemExit) as ended:
        main(["bench", *options, "--set", "model.hidden=[16384]", "--out", str(out)])
    assert not ended.value.code
    document = files.read(out)
    for record in document.backends:
        assert "a batch of 4,194,304 rows needs" in record.limit and "the largest batch that fits is" in record.limit
        assert [point.batch for point in document.of(record.name)] == [1]
    assert "numpy: batch 4,194,304 does not fit" in capsys.readouterr().out
