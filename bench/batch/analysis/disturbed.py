"""Finds rounds of a measurement that other programs disturbed."""

from __future__ import annotations

import statistics

from ..points import REFERENCE_KINDS
from ..records import Document

LATE = 0.05  # if threads waited for this share of a round, it is disturbed
SLOW = 1.25  # likewise, if the reference workload is slower than its lower quartile by this factor


def pace(document: Document) -> dict[str, float]:
    """The lower quartile of the reference workload's time in this run, by kind. Empty if there was none."""
    disturbances = [
        disturbance for point in document.benchmarks for disturbance in point.disturbances if disturbance.calls
    ]
    if len(disturbances) < 2:
        return {}
    found = {kind: [getattr(disturbance, kind) for disturbance in disturbances] for kind in REFERENCE_KINDS}
    paces = {kind: statistics.quantiles(seconds, n=4)[0] for kind, seconds in found.items()}
    return {kind: seconds for kind, seconds in paces.items() if seconds > 0}


def mark(document: Document) -> None:
    """Marks the disturbed rounds."""
    usual = {kind: seconds for kind, seconds in pace(document).items() if kind != "memory"}  # which varies by itself
    for point in document.benchmarks:
        point.disturbed = [
            disturbance.waited > LATE or any(getattr(disturbance, kind) > SLOW * usual[kind] for kind in usual)
            for disturbance in point.disturbances
        ]
