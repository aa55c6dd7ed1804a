"""Names of measures in the records of a training."""

from __future__ import annotations

FALLING = "loss", "error"


def falls(measure: str) -> bool:
    """Whether less of a measure is better: if its name ends in loss or error, except scikit-learn's ``neg_…``."""
    return measure.endswith(FALLING) and "neg_" not in measure
