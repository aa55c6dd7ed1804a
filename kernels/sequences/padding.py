"""The padding mask: 1 for tokens, 0 for padding."""

from __future__ import annotations

from typing import Any

from ..launch import over_items
from ..operation import Cuda, Launch, Operation, elements


def reference(xp: Any, ids: Any, mask: Any, *, padding: int) -> None:
    """mask = 0 where a token of ids (rows, tokens) is `padding`, else 1."""
    mask[...] = xp.astype(ids != padding, mask.dtype)


def loop(start: int, stop: int, ids: Any, mask: Any, padding: int) -> None:
    """`reference` over tokens `start` to `stop`."""
    tokens, counts = ids.reshape(-1)[start:stop], mask.reshape(-1)[start:stop]
    skipped, zero, one = tokens.dtype.type(padding), counts.dtype.type(0), counts.dtype.type(1)
    for i in range(stop - start):
        counts[i] = zero if tokens[i] == skipped else one


def launch(ids: Any, mask: Any, *, padding: int) -> Launch:
    """One thread per token."""
    return over_items(ids.size, ids, mask, ids.size, padding)


PADDING = Operation("padding", reference, loop, elements, cuda=Cuda("padding.cu", "padding", launch))


def ones_reference(xp: Any, mask: Any) -> None:
    """mask = 1: sequences (rows, tokens) without padding."""
    mask[...] = 1


def ones_loop(start: int, stop: int, mask: Any) -> None:
    """`ones_reference` over tokens `start` to `stop`."""
    mask.reshape(-1)[start:stop] = 1


def ones_launch(mask: Any) -> Launch:
    """One thread per token."""
    return over_items(mask.size, mask, mask.size)


ONES = Operation("ones", ones_reference, ones_loop, elements, cuda=Cuda("padding.cu", "ones", ones_launch))
