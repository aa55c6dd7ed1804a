"""Models and training runs on disk: named tensors in a safetensors file, the rest as JSON in its metadata.

Tensors: ``model.NAME`` and, where targets are scaled, ``target.mean`` and ``target.scale``; for a run also
``optimizer.STATE.NAME``, ``totals``, ``best.NAME`` and ``history``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.errors import CheckpointError, ConfigurationError
from .architecture import build, describe
from .early_stopping import EarlyStopping
from .layers import Layer
from .state import strip
from .storage import load_tensors, read_header, save_tensors
from .storage.strict_json import dumps, record
from .target_scaling import TargetScaling

if TYPE_CHECKING:
    from .trainer import Trainer

FORMAT = "gearshift"


def save_model(model: Layer, path: str | Path) -> None:
    """Writes structure and weights, atomically: `path` holds the old file or the whole new one."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()} | _scaling_tensors(model)
    _save(path, tensors, model, None)


def load(path: str | Path) -> Layer:
    """The model of a file that `Trainer.save` or `Layer.save` wrote, with its weights.

    Parameters
    ----------
    path : of the safetensors file. Nothing in it is run.

    Raises
    ------
    CheckpointError
        The file is missing, truncated, foreign or malformed, or has a layer that is not registered.
    """
    tensors, metadata = _load(path)
    with _naming(path):
        model = build(metadata["model"])
        model.load_state_dict(strip(tensors, "model."))
        model.target_scaling = _scaling(tensors)
    model.classes, model.signed_targets = metadata["classes"], metadata["signed"]
    return model


def loss_of(path: str | Path) -> str | None:
    """The name of the loss of the run that wrote a file; None for a model alone."""
    run = _described(path, read_header(path, expected_format=FORMAT).metadata)["run"]
    return None if run is None else str(run.get("loss"))


def save_trainer(trainer: Trainer, path: str | Path) -> None:
    """Writes everything from which training goes on to the same bits."""
    state, watch = trainer.state, trainer.early_stopping
    tensors = state.pack() | {f"best.{name}": value for name, value in watch.weights.items()}
    tensors |= _scaling_tensors(trainer.model)
    # Among the tensors, since a file's header is of limited size
    tensors["history"] = np.frombuffer(dumps(trainer.history.records).encode(), dtype=np.uint8)
    run = {
        "step": state.step,
        "cursor": state.cursor,
        "epoch": trainer.epoch,
        "seed": trainer.seed,
        "optimizer": repr(trainer.optimizer),
        "loss": type(trainer.loss).__name__,
        "monitor": watch.monitor,
        "best": watch.best,
        "best_epoch": watch.best_epoch,
        **({"choices": trainer.backend.choices} if trainer.backend.choices else {}),
    }
    _save(path, tensors, trainer.model, run)


def load_trainer(trainer: Trainer, path: str | Path) -> None:
    """Takes over what `save_trainer` wrote, into a trainer of the same model, loss and kind of optimizer."""
    tensors, metadata = _load(path)
    run = metadata["run"]
    if run is None:
        raise CheckpointError(f"{path} holds a model alone: it can be loaded with gearshift.load, not trained on from")
    with _naming(path):
        if metadata["model"] != describe(trainer.model):
            raise CheckpointError(f"it holds another model: {build(metadata['model'])}, expected {trainer.model}")
        for name, mine in (("loss", type(trainer.loss).__name__), ("optimizer", repr(trainer.optimizer))):
            if run[name].partition("(")[0] != mine.partition("(")[0]:
                raise CheckpointError(f"it was made with {name} {run[name]}, expected {mine}")
        if run["seed"] != trainer.seed:
            raise CheckpointError(f"it was made with seed {run['seed']}, expected {trainer.seed}")
        step, cursor, epoch, best_epoch = (_count(run, name) for name in ("step", "cursor", "epoch", "best_epoch"))
        watch = EarlyStopping(None, str(run["monitor"]), _number(run["best"]), best_epoch, strip(tensors, "best."))
        weights = {name: (value.shape, value.dtype) for name, value in strip(tensors, "model.").items()}
        if watch.weights and weights != {name: (value.shape, value.dtype) for name, value in watch.weights.items()}:
            raise CheckpointError("its best weights do not fit its model")
        records = [
            record({str(name): _number(value) for name, value in one.items()})
            for one in json.loads(tensors.pop("history").tobytes())
        ]
        scaling = _scaling(tensors)
        own = {name: value for name, value in tensors.items() if not name.startswith(("best.", "target."))}
        trainer.backend.restore(run.get("choices"))
        trainer.state.unpack(own, step, cursor)
    trainer.epoch, trainer.history.records, trainer.early_stopping = epoch, records, watch
    model = trainer.model
    model.classes, model.signed_targets, model.target_scaling = metadata["classes"], metadata["signed"], scaling


def _save(path: str | Path, tensors: dict[str, np.ndarray], model: Layer, run: dict[str, Any] | None) -> None:
    from .. import __version__

    body = {"model": describe(model), "classes": model.classes, "run": run}
    if model.signed_targets:
        body["signed"] = list(model.signed_targets)
    metadata = {"format": FORMAT, "version": __version__, "gearshift": dumps(body)}
    save_tensors(path, tensors, metadata)


def _load(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    tensors, metadata = load_tensors(path, expected_format=FORMAT)
    return tensors, _described(path, metadata)


def _described(path: str | Path, metadata: dict[str, str]) -> dict[str, Any]:
    """The model's structure, its classes and the run's state, as the metadata of a file hold them."""
    try:
        body = json.loads(metadata["gearshift"])
        body = {"signed": [], **{name: body[name] for name in ("model", "classes", "run", "signed") if name in body}}
        classes = body["classes"]
        if classes is not None and not (isinstance(classes, list) and all(isinstance(c, int | str) for c in classes)):
            raise ValueError("classes are a list of numbers or text")
        signed = body["signed"]
        if not (isinstance(signed, list) and all(type(column) is int and 0 <= column < 2**31 for column in signed)):
            raise ValueError("signed is a list of columns")
        return body | {"signed": tuple(signed), "model": body["model"], "run": body["run"]}
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is a damaged checkpoint: its description cannot be read ({error!r})") from None


def _scaling_tensors(model: Layer) -> dict[str, np.ndarray]:
    scaling = model.target_scaling
    return {} if scaling is None else {"target.mean": scaling.mean, "target.scale": scaling.scale}


def _scaling(tensors: dict[str, np.ndarray]) -> TargetScaling | None:
    """The scaling among a file's tensors, checked; None where there is none."""
    found = strip(tensors, "target.")
    if not found:
        return None
    if found.keys() != {"mean", "scale"} or any(part.ndim != 1 or part.dtype != np.float64 for part in found.values()):
        raise CheckpointError("its target scaling is not a float64 mean and scale for each column")
    try:
        return TargetScaling(**found)
    except ConfigurationError as error:
        raise CheckpointError(str(error)) from None


@contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Names the file in what is raised, and takes a malformed description for what it is."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is a damaged checkpoint: {error!r}") from None


def _count(run: dict[str, Any], name: str) -> int:
    value = run[name]
    if type(value) is not int or not 0 <= value < 2**62:
        raise CheckpointError(f"its {name} is {value!r}; expected a whole number of at least 0")
    return value


def _number(value: Any) -> Any:
    if value is not None and type(value) not in (int, float):
        raise CheckpointError(f"it holds {value!r}; expected a number")
    return value
