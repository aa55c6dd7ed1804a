"""Ticks of logarithmic axes: at least three, also where a range is less than a power of ten."""

from __future__ import annotations

import math

FEWEST, MOST = 3, 8


def log_ticks(low: float, high: float) -> dict[float, str]:
    """Round numbers from `low` to `high`, 0 < low < high, with their labels.

    >>> list(log_ticks(0.8, 600).values())
    ['1', '10', '100']
    >>> list(log_ticks(2_000, 30_000).values())
    ['2k', '5k', '10k', '20k']
    >>> list(log_ticks(0.95, 1.3).values())
    ['1', '1.1', '1.2', '1.3']
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 2, 5)):
        found = [float(f"{digit}e{power}") for power in powers for digit in digits]
        found = [place for place in found if low <= place <= high]
        if len(found) >= FEWEST:
            return {place: label(place) for place in found[:: math.ceil(len(found) / MOST)]}
    power = math.floor(math.log10((high - low) / (FEWEST - 1)))
    for factor in (1.0, 0.5, 0.2):
        step = factor * 10.0**power
        found = [step * count for count in range(math.ceil(low / step), math.floor(high / step) + 1)]
        if len(found) >= FEWEST:
            break
    return {place: label(place) for place in found[:: math.ceil(len(found) / MOST)]}


def label(value: float) -> str:
    """A number with a suffix for thousands and more."""
    for factor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.6g}{suffix}"
    return f"{value:.6g}"
