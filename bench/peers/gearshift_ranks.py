"""Gearshift on several ranks: what `Trainer.fit` runs there."""

from __future__ import annotations

from typing import Any

from ...backends import host
from ...backends.launch import ranks
from .contender import Contender
from .gearshift_contender import Gearshift


def make(backend: str) -> Contender:
    """Gearshift's ranks on this backend."""
    ranks().training = True
    return GearshiftRanks(backend, ranks=ranks())


class GearshiftRanks(Gearshift):
    """Is measured at epochs only."""

    def settings(self) -> dict[str, Any]:
        return {"ranks": ranks().size, "threads of each": host.threads()}
