"""The options of ``gearshift bench``, as text."""

from __future__ import annotations

import re

from ... import backends
from ...backends.errors import BackendUnavailable, ConfigurationError
from ...dl.hints import hint
from .analysis.scaling import Link
from .measure.network import REMEDY, launcher

LARGEST = 1 << 22  # rows
MOST = 1 << 20  # devices
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
TIMES = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
RATES = {"Mbit": 1e6 / 8, "Gbit": 1e9 / 8, "Tbit": 1e12 / 8, "MB": 1e6, "GB": 1e9, "TB": 1e12}


def parse_sizes(text: str) -> list[int]:
    """Batch sizes of ``"1:64"``, the powers of two times the first, or ``"1,8,100"``, or both with commas."""
    return sorted(_doublings("--batch-sizes", text, LARGEST, "1,8,64", "1:65536"))


def parse_seconds(text: str) -> float:
    """Seconds of ``"90"``, ``"90s"``, ``"1.5m"`` or ``"1h"``."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "s")
    try:
        seconds = float(number) * UNITS[unit]
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 86_400:
        raise ConfigurationError(f"--budget {text!r} is not valid; expected 1s to 24h, such as 60s or 5m")
    return seconds


def parse_backends(text: str | None) -> list[str]:
    """Backends by name, or all available ones."""
    statuses = backends.available()
    if text in (None, "all"):
        return [name for name, status in statuses.items() if status.runs]
    names = list(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in names:
        if name not in statuses:
            raise ConfigurationError(f"--backends: {name!r} is not known; {hint(name, ['all', *statuses])}")
        if not statuses[name].runs:
            remedy = f" To fix this: {statuses[name].remedy}" if statuses[name].remedy else ""
            raise BackendUnavailable(f"backend {name!r} cannot run here: {statuses[name].reason}.{remedy}")
    return names


def parse_workers(workers: str | None, network: str | None, noise: bool) -> tuple[tuple[int, ...], Link | None]:
    """Numbers of devices of ``"1:1024"`` or ``"1,2,6"``, and the network of ``"25us,100Gbit"``.

    Raises
    ------
    ConfigurationError
        An option is not valid, one needs another, or the network is not given and cannot be measured.
    """
    known = None if network is None else parse_network(network)
    if workers is None:
        if known is not None:
            raise ConfigurationError(f"--network {network} belongs to --workers, as --workers 1:1024")
        return (), None
    if not noise:
        raise ConfigurationError("--workers needs the noise scale, so it cannot be used with --no-noise")
    found = {1, *_doublings("--workers", workers, MOST, "1,2,6", "1:1024")}  # the others are compared with one
    if known is None and launcher() is None:
        raise ConfigurationError(f"--workers measures the network with mpiexec and mpi4py, which are missing; {REMEDY}")
    return tuple(sorted(found)), known


def _doublings(option: str, text: str, most: int, several: str, doubled: str) -> set[int]:
    """The numbers up to `most` of a list with commas, in which a range stands for its first number and doublings of it.

    `several` and `doubled` are examples of a list and of a range, for the message.
    """
    found: set[int] = set()
    for item in (part.strip() for part in text.split(",")):
        first, colon, last = item.partition(":")
        ends = [first, last] if colon else [first]
        if not all(end.isdecimal() and 0 < int(end) <= most for end in ends) or int(ends[-1]) < int(first):
            raise ConfigurationError(
                f"{option} {text!r}: {item!r} is not valid; expected integers from 1 to {most:,} such as {several}, "
                f"or a range of doublings such as {doubled}"
            )
        number = int(first)
        while number <= int(ends[-1]):
            found.add(number)
            number *= 2
    return found


def parse_network(text: str) -> Link:
    """Latency and rate of ``"25us,100Gbit"``."""
    match = re.fullmatch(r"\s*([0-9.]+)\s*(\D+?)\s*,\s*([0-9.]+)\s*(\D+?)(?:/s)?\s*", text)
    try:
        if match is None:
            raise ValueError
        latency, rate = float(match[1]) * TIMES[match[2]], float(match[3]) * RATES[match[4]]
        if not (0 <= latency <= 1e3 and 1 <= rate <= 1e18):
            raise ValueError
    except (KeyError, ValueError):
        raise ConfigurationError(
            f"--network {text!r} is not valid; expected a latency and a rate, such as 25us,100Gbit or 5us,12GB"
        ) from None
    return Link(latency, rate)
