"""A run directory, read back."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from ...backends.errors import CheckpointError, ConfigurationError, DataError
from ..data.identity import Identity
from ..layers import Layer
from ..layers.files import load
from ..losses.joint import JointLoss
from ..losses.losses import CrossEntropyLoss, Loss, MSELoss
from ..storage.files import TEXT, read_bytes
from ..storage.models import loss_of
from ..storage.strict_json import record
from ..training.history import History
from .run_files import BEST, CONFIG, ENVIRONMENT, LAST, METRICS, recorded

LONGEST = 1 << 30  # bytes of the metrics


class Run:
    """Reads a run directory back.

    Parameters
    ----------
    path : the directory that ``gearshift train --run`` wrote.

    Raises
    ------
    ConfigurationError
        There is no run at `path`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / CONFIG).is_file():
            raise ConfigurationError(f"{path} is not a run: it holds no {CONFIG}")

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        try:
            return tomllib.loads(read_bytes(self.path / CONFIG, TEXT).decode())
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{self.path / CONFIG} is not valid TOML: {error}") from None

    @property
    def environment(self) -> dict[str, Any]:
        """Where the run was made: versions, device, backend."""
        try:
            return json.loads(read_bytes(self.path / ENVIRONMENT, TEXT))
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{self.path / ENVIRONMENT} is damaged: {error}; the next --resume writes it anew"
            ) from None

    @property
    def data(self) -> Identity | None:
        """The fingerprint of the training data; None if an older version wrote the run."""
        return recorded(self.path)

    @property
    def history(self) -> History:
        """The record of every finished epoch."""
        path = self.path / METRICS
        lines = read_bytes(path, LONGEST).split(b"\n")[:-1] if path.exists() else []
        from ..storage.description import check_records

        try:
            records = [record(json.loads(line)) for line in lines]
            check_records(records)
            return History(records)
        except (ValueError, AttributeError, RecursionError) as error:
            raise DataError(f"{path} is damaged: {error}; the next --resume writes it anew") from None

    @property
    def checkpoint(self) -> Path:
        """The checkpoint with the best weights, or else the last one.

        Raises
        ------
        CheckpointError
            The run has no checkpoint yet.
        """
        for name in (BEST, LAST):
            if (self.path / name).exists():
                return self.path / name
        raise CheckpointError(f"{self.path} has no checkpoint yet: neither {BEST} nor {LAST}")

    @property
    def model(self) -> Layer:
        """The model with the best weights, or else the last ones."""
        return load(self.checkpoint)

    @property
    def loss(self) -> Loss:
        """The loss that was minimised."""
        name = loss_of(self.checkpoint)
        if name is None and (self.path / LAST).exists():  # the best weights are those of an older version
            name = loss_of(self.path / LAST)
        if name in Loss.registered:
            return Loss.registered[name]()
        if name == JointLoss.__name__:
            from .build import build_heads
            from .config import parse

            return build_heads(parse(self.config))
        return MSELoss() if self.model.classes is None else CrossEntropyLoss()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"
