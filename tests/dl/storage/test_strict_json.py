"""JSON by the letter, and old files that were not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gearshift as gs
from gearshift.dl.storage.strict_json import dumps


def strict(text: str | bytes) -> Any:
    """JSON by the letter."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_is_strict_and_old_files_are_read(tmp_path: Path) -> None:
    record = {"epoch": 1, "loss": 0.5, "validation_loss": float("nan"), "lr": float("inf"), "of": (1, -float("inf"))}
    assert strict(dumps(record)) == {"epoch": 1, "loss": 0.5, "validation_loss": None, "lr": None, "of": [1, None]}
    (tmp_path / "config.toml").touch()
    (tmp_path / "metrics.jsonl").write_text(
        '{"epoch": 1, "loss": NaN}\n{"epoch": 2, "loss": null}\n{"epoch": 3, "loss": 1.0}\n'
    )
    assert repr(gs.Run(tmp_path).history["loss"]) == "[nan, nan, 1.0]"
