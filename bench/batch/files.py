"""The JSON file of a run: its records, and what is computed from them."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from .. import result_files
from .analysis.analyse import analyse
from .analysis.checked import check
from .points import Point
from .records import Document


def text(document: Document) -> str:
    """The file's text: one JSON object."""
    tree = document.model_dump()
    measured = [point for point in document.benchmarks if point.rounds]
    tree["benchmarks"] = [exchanged(point) for point in measured]
    tree["analysis"] = to_jsonable_python(analyse(document))
    tree["check"] = to_jsonable_python(check(document))
    tree |= {
        "machine_info": {"cpu": {"brand_raw": document.machine.get("processor", "")}, "node": ""},
        "commit_info": {"id": "", "dirty": False},
        "datetime": document.machine.get("time", ""),
        "version": "5.1.0",
    }
    return json.dumps(tree, indent=1, allow_nan=False)


def write(document: Document, path: Path) -> None:
    """Writes the file, whole or not at all."""
    result_files.write(text(document), path)


def read(path: Path) -> Document:
    """Reads the file.

    Raises
    ------
    DataError
        It is no such file.
    """
    return result_files.read(path, "bench", Document)


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
