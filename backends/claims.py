"""Work that is divided among threads while it runs, for cores that are not equally fast.

Each thread has parts of the work, whose data are in its core's cache. They consist of chunks. The thread offers its
chunks once they can be computed, and claims them one by one. A thread that has none left claims those of others. So the
thread of a slow core (an efficiency core, or one that another virtual machine shares) holds up the others by one chunk
at most. The chunks are always the same, so the bits do not depend on who computes them.
"""

from __future__ import annotations

from typing import Any

from .machine import add, give_way, load, store
from .thread_pool import ARRIVED, LINE, SPINS

OFFERED = 16  # in a thread's flags, on cache lines of its own: the phase of its chunks, and the number of the next one
PHASE = 32  # position of the phase's bits


def offer(thread: int, flags: Any) -> None:
    """Lets all threads claim the chunks of this one, until its next `wait`. What it wrote before is visible to them.

    Between two barriers a thread may offer once: other threads could take a second offer's chunks for the first's.
    """
    store(flags, thread * LINE + OFFERED, phase(thread, flags) << PHASE)


def claim(owner: int, chunks: int, thread: int, flags: Any) -> int:
    """The number of a chunk of thread `owner`, for `thread` alone; `chunks` or more if there is none left.

    Waits until the owner has offered its chunks.
    """
    now, place, spins = phase(thread, flags), owner * LINE + OFFERED, 0
    while load(flags, place) >> PHASE != now:
        if load(flags, owner * LINE + ARRIVED) >= now:  # it has failed
            return chunks
        spins += 1
        if spins > SPINS:
            give_way()
    following = load(flags, place) - (now << PHASE)
    return following if following >= chunks else add(flags, place, 1) - (now << PHASE)


def bounds(count: int, chunk: int, chunks: int) -> tuple[int, int]:
    """Start and stop of a chunk of `count` items: first three quarters, then half of what is left each time.

    Large chunks are faster, and small ones at the end let all threads end together.

    Examples
    --------
    >>> [bounds(80, chunk, 3) for chunk in range(3)]
    [(0, 60), (60, 70), (70, 80)]
    """
    start = 0 if chunk == 0 else count - (count >> chunk + 1)
    return start, count if chunk == chunks - 1 else count - (count >> chunk + 2)


def nearest(position: int, count: int, grain: int) -> int:
    """The multiple of `grain` nearest to a position, or the end of `count` items if there is none before it."""
    return min(count, max(0, (position + grain // 2) // grain * grain)) if position < count else count


def phase(thread: int, flags: Any) -> int:
    """A number that is the same for all threads between two barriers, and never 0."""
    return flags[thread * LINE + ARRIVED] + 1
