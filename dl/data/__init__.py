"""Data sets: validated arrays (`Dataset`) and how to load them (`load_dataset`)."""

from __future__ import annotations

from .dataset import Dataset, as_dataset
from .sources import load_dataset
from .splits import Splits

__all__ = ["Dataset", "Splits", "as_dataset", "load_dataset"]
