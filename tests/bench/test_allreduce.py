"""``python -m gearshift.bench.allreduce`` on two ranks."""

from __future__ import annotations

from launched import needs_mpi, run


@needs_mpi
def test_the_all_reduce_is_timed_beside_mpi4pys() -> None:
    ended = run(2, "-m", "gearshift.bench.allreduce", "4096", "100000")
    assert (ended.returncode, ended.stderr) == (0, "")
    _, *rows = ended.stdout.splitlines()
    assert [row.split()[:2] for row in rows] == [
        [size, name] for size in ("4,096", "100,000") for name in ("mpi4py", "all-reduce", "exchange")
    ]
    assert all(float(row.split()[2]) > 0 for row in rows)
