"""Models and training runs on disk: named tensors in a safetensors file, the rest as JSON in its metadata.

Tensors: ``model.NAME``; for a run also ``optimizer.STATE.NAME``, ``totals`` and ``best.NAME``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.errors import CheckpointError
from .architecture import build, describe
from .early_stopping import EarlyStopping
from .layers import Layer
from .state import strip
from .storage import load_tensors, save_tensors

if TYPE_CHECKING:
    from .trainer import Trainer

FORMAT = "gearshift"


def save_model(model: Layer, path: str | Path) -> None:
    """Writes structure and weights, atomically: `path` holds the old file or the whole new one."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    _save(path, tensors, model, None)


def load(path: str | Path) -> Layer:
    """The model of a file that `Trainer.save` or `save_model` wrote, with its weights.

    Raises
    ------
    CheckpointError
        The file is missing, truncated, foreign or malformed, or has a layer that is not registered.
    """
    tensors, metadata = _load(path)
    model = build(metadata["model"])
    _set_weights(model, tensors, path)
    model.classes = metadata["classes"]
    return model


def save_trainer(trainer: Trainer, path: str | Path) -> None:
    """Writes everything from which training goes on to the same bits."""
    state, watch = trainer.state, trainer.early_stopping
    tensors = state.pack() | {f"best.{name}": value for name, value in watch.weights.items()}
    run = {
        "step": state.step,
        "cursor": state.cursor,
        "epoch": trainer.epoch,
        "seed": trainer.seed,
        "optimizer": repr(trainer.optimizer),
        "loss": type(trainer.loss).__name__,
        "history": trainer.history.records,
        "best": watch.best,
        "best_epoch": watch.best_epoch,
    }
    _save(path, tensors, trainer.model, run)


def load_trainer(trainer: Trainer, path: str | Path) -> None:
    """Takes over what `save_trainer` wrote, into a trainer of the same model, loss and kind of optimizer."""
    tensors, metadata = _load(path)
    run = metadata["run"]
    if run is None:
        raise CheckpointError(f"{path} holds a model alone: it can be loaded with gearshift.load, not trained on from")
    if metadata["model"] != describe(trainer.model):
        raise CheckpointError(f"{path} holds another model: {build(metadata['model'])}, expected {trainer.model}")
    for name, mine in (("loss", type(trainer.loss).__name__), ("optimizer", repr(trainer.optimizer))):
        if run[name].partition("(")[0] != mine.partition("(")[0]:
            raise CheckpointError(f"{path} was made with {name} {run[name]}, expected {mine}")
    if run["seed"] != trainer.seed:
        raise CheckpointError(f"{path} was made with seed {run['seed']}, expected {trainer.seed}")
    trainer.state.unpack(tensors, run["step"], run["cursor"])
    trainer.epoch, trainer.history.records = run["epoch"], run["history"]
    trainer.early_stopping = EarlyStopping(
        best=run["best"], best_epoch=run["best_epoch"], weights=strip(tensors, "best.")
    )
    trainer.model.classes = metadata["classes"]


def _save(path: str | Path, tensors: dict[str, np.ndarray], model: Layer, run: dict[str, Any] | None) -> None:
    from .. import __version__

    body = {"model": describe(model), "classes": model.classes, "run": run}
    metadata = {"format": FORMAT, "version": __version__, "gearshift": json.dumps(body)}
    save_tensors(path, tensors, metadata)


def _load(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    tensors, metadata = load_tensors(path, expected_format=FORMAT)
    try:
        body = json.loads(metadata["gearshift"])
        return tensors, {"model": body["model"], "classes": body["classes"], "run": body["run"]}
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is a damaged checkpoint: its description cannot be read ({error!r})") from None


def _set_weights(model: Layer, tensors: dict[str, np.ndarray], path: str | Path) -> None:
    try:
        model.load_state_dict(strip(tensors, "model."))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
