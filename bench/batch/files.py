"""The JSON file of a run: its records, and what is computed from them."""

from __future__ import annotations

import json
import statistics
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...backends.errors import DataError
from ...dl.storage.files import MEASUREMENTS, read_bytes
from ...dl.values import check_values
from .analysis.analyse import analyse
from .analysis.checked import check
from .points import Point, Record
from .records import FORMAT, Document


def text(document: Document) -> str:
    """The file's text: one JSON object."""
    tree = document.model_dump()
    measured = [point for point in document.benchmarks if point.rounds]
    tree["benchmarks"] = [exchanged(point) for point in measured]
    tree["analysis"] = plain(analyse(document))
    tree["check"] = plain(check(document))
    tree |= {
        "machine_info": {"cpu": {"brand_raw": document.machine.get("processor", "")}, "node": ""},
        "commit_info": {"id": "", "dirty": False},
        "datetime": document.machine.get("time", ""),
        "version": "5.1.0",
    }
    return json.dumps(tree, indent=1, allow_nan=False)


def write(document: Document, path: Path) -> None:
    """Writes the file, whole or not at all."""
    from ...dl.storage import write_atomically

    write_atomically(path, f"{text(document)}\n".encode())


def read(path: Path) -> Document:
    """Reads the file.

    Raises
    ------
    DataError
        It is no such file.
    """
    try:
        tree = json.loads(read_bytes(path, MEASUREMENTS))
        check_values("", tree)
        if not isinstance(tree, dict) or tree.get("format") != FORMAT or "task" not in tree:
            raise ValueError("its format is another")
        return Document.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"{path} is no file of `gearshift bench`: {place}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no file of `gearshift bench` (format {FORMAT}): {error}") from None


def plain(tree: Any) -> Any:
    """Dataclasses and records as plain values, for JSON."""
    if is_dataclass(tree) and not isinstance(tree, type):
        return {field.name: plain(getattr(tree, field.name)) for field in fields(tree)}
    if isinstance(tree, Record):
        return tree.model_dump()
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(value) for value in tree]
    return tree


def exchanged(point: Point) -> dict[str, Any]:
    """A point with what is computed from it, and as pytest-benchmark's files have it."""
    seconds, (low, high) = point.counted, point.quartiles
    name = f"{point.backend}[{point.batch}]"
    deviation = statistics.stdev(seconds) if len(seconds) > 1 else 0.0
    mean = statistics.fmean(seconds)
    return point.model_dump() | {
        "step_seconds": point.step_seconds,
        "samples_per_second": point.samples_per_second,
        "attainable_seconds": point.attainable_seconds,
        "bound": point.limit,
        "share": point.share,
        "fault": point.fault,
        "group": f"batch {point.batch}",
        "name": name,
        "fullname": f"gearshift bench::{name}",
        "params": {"backend": point.backend, "batch": point.batch},
        "param": f"{point.backend}-{point.batch}",
        "extra_info": {"bound": point.limit, "share": point.share},
        "options": {},
        "stats": {
            "min": min(seconds), "max": max(seconds), "mean": mean, "stddev": deviation, "rounds": len(seconds),
            "median": point.step_seconds, "iqr": high - low, "q1": low, "q3": high, "iqr_outliers": 0,
            "stddev_outliers": 0, "outliers": "0;0", "ld15iqr": min(seconds), "hd15iqr": max(seconds),
            "ops": 1 / mean, "total": sum(seconds), "iterations": 1,
        },
    }  # fmt: skip
