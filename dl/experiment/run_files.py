"""The files of a run directory: their names, whether a new run may write them, and the data that the run saw."""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from ...backends.errors import ConfigurationError, DataError
from ..data.identity import Identity
from ..data.sources import NAMED
from ..storage.files import expanded

if TYPE_CHECKING:
    from ..data import Splits

CONFIG, ENVIRONMENT, METRICS, DATA = "config.toml", "environment.json", "metrics.jsonl", "data.json"
BEST, LAST, CURVE = "best.safetensors", "last.safetensors", "learning-curve.png"
MAX_DATA = 64 << 20  # bytes of its file, which holds the names of all columns


def recognised(path: Path, splits: Splits, *, targets: bool = True) -> tuple[Splits, Identity, list[str]]:
    """Compares data with those that the run at `path` was trained on.

    Parameters
    ----------
    targets : whether to compare targets; those of an autoencoder are computed from the rows.

    Returns
    -------
    splits : the data, with columns and classes in the order of the run's.
    identity : of these.
    changes : descriptions of the differences; none if an older version wrote the run.

    Raises
    ------
    DataError
        The names of columns or classes are not the run's.
    """
    before = recorded(path)
    if before is None:
        return splits, Identity.of(splits, targets), []
    try:
        splits = splits.matched(before.feature_names, before.classes)
    except DataError as error:
        raise DataError(f"{path} was trained on other data: {error}") from None
    now = Identity.of(splits, targets)
    return splits, now, before.changes(now)


def recorded(path: Path) -> Identity | None:
    """The fingerprint of the data that the run at `path` was trained on; None if an older version wrote the run."""
    file = path / DATA
    if not file.exists():
        return None
    try:
        if file.stat().st_size > MAX_DATA:
            raise ValueError(f"it has more than {MAX_DATA} bytes")
        return Identity.model_validate_json(file.read_bytes())
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{file} is damaged: {reason}; delete it to go on, and see for yourself that the data are those that the "
            "run was trained on"
        ) from None


def check_source(path: Path, source: str) -> None:
    """Raises DataError if the file or folder that the run at `path` was trained on is not there any more."""
    if source not in NAMED and not expanded(source).exists():
        raise DataError(
            f"{source}: there is no such file; if the data of {path} have moved, set data.source in {path / CONFIG}"
        )


def check_directory(path: Path) -> None:
    """Raises ConfigurationError if the path of a run is that of a file."""
    if path.is_file():
        raise ConfigurationError(f"{path}: it is a file; expected a directory, which need not exist")


def check_free(path: Path, resume: bool) -> bool:
    """Whether there is a run at `path` to resume.

    Raises
    ------
    ConfigurationError
        There is a run but no --resume, or there are remains of a run that would be overwritten.
    """
    check_directory(path)
    if (path / LAST).exists():
        if not resume:
            raise ConfigurationError(f"{path} holds a run already; go on with --resume, or give another --run")
        return True
    metrics = (path / METRICS).exists() and (path / METRICS).stat().st_size > 0
    if (path / BEST).exists() or (metrics and not resume):  # resumed, an epoch that was cut short is written again
        raise ConfigurationError(
            f"{path} holds a run that has lost its {LAST}, so that it cannot be resumed; nothing of it is overwritten: "
            "put the file back, or give another --run"
        )
    return False


def fresh(folder: Path) -> Path:
    """Makes a new directory named by the time, with a number if several processes start at once."""
    folder.mkdir(parents=True, exist_ok=True)
    name = time.strftime("%Y%m%d-%H%M%S")
    for number in count(1):
        path = folder / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            path.mkdir()
            break
    return path
