"""Random draws of rows to set aside: those of scikit-learn's `train_test_split`, which takes a second to import."""

from __future__ import annotations

import numpy as np


def draw(rows: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the rows that stay, in random order, and of the `size` rows that are set aside."""
    order = np.random.RandomState(seed).permutation(rows)  # whose random stream stays as it is
    return order[size:], order[:size]


def draw_stratified(labels: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As `draw`, with each label's share of the rows in both parts.

    Raises
    ------
    ValueError
        A label has one row, or a part has fewer rows than there are labels.
    """
    _, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < 2 or min(size, len(labels) - size) < len(counts):
        raise ValueError("no part may lack a label")
    random = np.random.RandomState(seed)
    staying = _shares(counts, len(labels) - size, random)
    aside = _shares(counts - staying, size, random)
    of_labels = np.split(np.argsort(numbers, kind="stable"), np.cumsum(counts)[:-1])
    shuffled = [rows[random.permutation(len(rows))] for rows in of_labels]
    stay = [rows[:count] for rows, count in zip(shuffled, staying, strict=True)]
    leave = [rows[first : first + count] for rows, first, count in zip(shuffled, staying, aside, strict=True)]
    return random.permutation(np.concatenate(stay)), np.concatenate(leave)


def _shares(counts: np.ndarray, size: int, random: np.random.RandomState) -> np.ndarray:
    """How many of `size` rows to take of each label: its share rounded down, and one more for the largest remainders.

    Of equal remainders, `random` chooses.
    """
    exact = counts / counts.sum() * size
    shares = np.floor(exact)
    remainders = exact - shares
    missing = int(size - shares.sum())
    for remainder in np.unique(remainders)[::-1] if missing > 0 else ():
        equal = np.flatnonzero(remainders == remainder)
        chosen = random.choice(equal, min(len(equal), missing), replace=False)
        shares[chosen] += 1
        missing -= len(chosen)
        if not missing:
            break
    return shares.astype(np.int64)
