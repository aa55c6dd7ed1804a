"""``python -m gearshift.bench.memory``: both contenders train, and their processes hold at least the rows."""

from __future__ import annotations

import pytest

from gearshift.bench.memory import CONTENDERS, FEATURES, ROWS, most

SIZES = {"bytes": 1, "float32": 4}


@pytest.mark.slow
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("contender", CONTENDERS)
def test_a_process_holds_its_rows(contender: str, rows: str) -> None:
    if contender == "torch":
        pytest.importorskip("torch")
    assert most(contender, rows, 2048) > SIZES[rows] * ROWS * FEATURES >> 20
