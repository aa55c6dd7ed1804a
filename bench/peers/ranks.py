"""What `gearshift peers --measure ranks` compares: processes that share each batch, and one with their threads."""

from __future__ import annotations

OURS = "numba ranks"
THREADS = 2  # of a contender's processes together
BATCH = 256  # of all processes together
NETWORKS = ("784-512-512-10",)
