"""Which GPU a rank uses: the one of its number among the ranks of its machine.

A process that sees one GPU alone uses it from all threads, streams and libraries; CUDA's current device is a choice of
each thread.
"""

from __future__ import annotations

import os

from .ranks import launched

VISIBLE = "CUDA_VISIBLE_DEVICES"
NONE = "none"  # no GPU's number, so CUDA shows no GPU
REMEDY = "start as many ranks on a machine as it has GPUs, or use backend 'numba'"


def choose() -> None:
    """Shows this rank one GPU, if the launcher or the user has not done so; must come before CUDA starts."""
    _, _, ranks, rank = launched()
    listed = os.environ.get(VISIBLE, ",".join(map(str, range(ranks)))).split(",")
    if ranks > 1 and len(listed) > 1:
        os.environ[VISIBLE] = listed[rank] if rank < len(listed) else NONE


def missing(said: str) -> tuple[str, str]:
    """Why this process sees no GPU, if it is one of several ranks of a machine, and the remedy; else both are empty."""
    _, number, ranks, _ = launched()
    if ranks == 1:
        return "", ""
    reason = (
        f"there is no GPU for rank {number}: each of the {ranks} ranks of this machine uses one of its own ({said})"
    )
    return reason, REMEDY
