"""Which rounds of a measurement other programs disturbed."""

from __future__ import annotations

import statistics

from ..records import YARDSTICK, Document

LATE = 0.05  # share of a round that threads waited, from which the round is disturbed


SLOW = 1.25  # and the yardstick's time by its lower quartile in the run


def pace(document: Document) -> dict[str, float]:
    """The yardstick's time in this run, by kind: the lower quartile. Empty if there was none."""
    witnesses = [witness for point in document.benchmarks for witness in point.witnesses if witness.calls]
    if len(witnesses) < 2:
        return {}
    found = {kind: [getattr(witness, kind) for witness in witnesses] for kind in YARDSTICK}
    paces = {kind: statistics.quantiles(seconds, n=4)[0] for kind, seconds in found.items()}
    return {kind: seconds for kind, seconds in paces.items() if seconds > 0}


def mark(document: Document) -> None:
    """Notes which rounds were disturbed."""
    usual = {kind: seconds for kind, seconds in pace(document).items() if kind != "memory"}  # which varies by itself
    for point in document.benchmarks:
        point.disturbed = [
            witness.waited > LATE or any(getattr(witness, kind) > SLOW * usual[kind] for kind in usual)
            for witness in point.witnesses
        ]
