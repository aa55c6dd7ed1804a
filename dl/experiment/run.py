"""A run directory, read back."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from ...backends.errors import CheckpointError, ConfigurationError, DataError
from ..data.identity import Identity
from ..data.target_scaling import TargetScaling
from ..layers import Layer, Standardize
from ..losses.classes import CrossEntropyLoss
from ..losses.described import load_model, loss_from
from ..losses.joint import JointLoss
from ..losses.losses import Loss
from ..losses.values import MSELoss
from ..storage.files import TEXT, expanded, read_bytes
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

    Examples
    --------
    >>> run = gs.Run("runs/first")
    >>> loss, model = run.history[-1]["validation_loss"], run.model
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / CONFIG).is_file():
            found = f"it holds no {CONFIG}" if self.path.exists() else "there is no such directory"
            raise ConfigurationError(f"{path} is not a run: {found}")

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
        """The model with the best weights, or else the last ones; it predicts and evaluates."""
        model = load_model(self.checkpoint)
        if model.loss is None:
            model.loss = self._loss_of(model)
        if model.target_scaling is None:
            model.target_scaling = self._scaling_of(model)
        return model

    @property
    def loss(self) -> Loss:
        """The loss that was minimised."""
        return self.model.loss

    def _loss_of(self, model: Layer) -> Loss:
        """The loss of a model whose file, of an older version, does not describe it."""
        stored = loss_of(self.path / LAST) if (self.path / LAST).exists() else None
        if stored is not None and stored["name"] == JointLoss.__name__ and not stored.get("heads"):
            from .build import build_heads
            from .config import parse

            return build_heads(parse(self.config))
        return loss_from(stored) or (MSELoss() if model.classes is None else CrossEntropyLoss())

    def _scaling_of(self, model: Layer) -> TargetScaling | None:
        """The scaling of an older version's autoencoder, which learned rows as its first layer scales them."""
        config = self.config
        autoencoder, data = config.get("autoencoder", {}), config.get("data", {})
        scales = data.get("standardize", True) and data.get("standardize_target", True)
        if autoencoder.get("kind", "none") == "none" or not scales or model.loss.targets != "values":
            return None
        from .build import inside

        found = [layer for layer in inside(model) if isinstance(layer, Standardize)]
        return TargetScaling(found[0].mean.numpy(), 1 / found[0].scale.numpy()) if found else None

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


def load(source: str | Path | Run) -> Layer:
    """Loads a model that predicts: from a file, or from a run with its best weights.

    Parameters
    ----------
    source : a safetensors file written by `Trainer.save` or `Layer.save`, the directory of a run, or a `Run`. No code
        in a file is executed.

    Returns
    -------
    Layer
        With its weights, class names, column names and loss: `Layer.predict`, `Layer.predict_proba` and
        `Layer.evaluate` work at once, and ``model(x)`` computes its outputs.

    Raises
    ------
    CheckpointError
        The file is missing, truncated, foreign or malformed, or has a layer that is not registered.
    ConfigurationError
        The directory is not a run.

    Examples
    --------
    >>> model = gs.load("runs/first")
    >>> model.predict(x)
    """
    if isinstance(source, Run):
        return source.model
    path = expanded(source)
    return Run(path).model if path.is_dir() else load_model(path)
