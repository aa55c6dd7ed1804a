"""Models and training runs on disk: named tensors in a safetensors file, the rest as JSON in its metadata.

Tensors: ``model.NAME`` and, where targets are scaled, ``target.mean`` and ``target.scale``; for a run also
``optimizer.STATE.NAME``, ``totals``, ``best.NAME`` and ``history``. Where the columns of the data had names, these are
``feature_names``, as JSON in bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backends.errors import CheckpointError
from ..layers.architecture import build
from ..layers.files import take_preparation, take_scaling
from ..optimizers.schedules import Schedule
from ..storage import check_tensors, save_tensors
from ..storage.models import CONFIGURATION, beside, metadata_of, naming, read_model, take_feature_names
from ..storage.strict_json import dumps, record
from ..storage.tensors import strip
from .early_stopping import EarlyStopping
from .training import Training

if TYPE_CHECKING:
    from ..optimizers.base import Optimizer

FREE = ("lr", "weight_decay")  # settings of an optimizer that may change when training continues


def save_trainer(trainer: Training, path: str | Path, configuration: str = "") -> None:
    """Writes everything that training needs to continue with bit-identical results.

    `configuration` is the run's configuration as TOML; a resumed run is compared with it.
    """
    save_tensors(path, *_packed(trainer, trainer.early_stopping.weights, configuration))


def check_trainer(trainer: Training, path: str | Path, configuration: str, *, best: bool) -> None:
    """Raises CheckpointError if `save_trainer` will fail, whatever the training does; nothing is written.

    `best` tells whether early stopping will keep weights.
    """
    state = trainer.state
    weights = strip(state.pack(), "model.") if best else {}
    check_tensors(path, *_packed(trainer, weights, configuration))


def _packed(
    trainer: Training, best: dict[str, np.ndarray], configuration: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors of a run and the text that goes with them."""
    state, watch = trainer.state, trainer.early_stopping
    tensors = state.pack() | {f"best.{name}": value for name, value in best.items()} | beside(trainer.model)
    # Among the tensors, since a file's header is of limited size
    tensors["history"] = np.frombuffer(dumps(trainer.history.records).encode(), dtype=np.uint8)
    run = {
        "step": state.step,
        "cursor": state.cursor,
        "epoch": trainer.epoch,
        "seed": trainer.seed,
        "optimizer": repr(trainer.optimizer),
        "settings": _settings(trainer.optimizer),
        "loss": type(trainer.loss).__name__,
        "monitor": watch.monitor,
        "best": watch.best,
        "best_epoch": watch.best_epoch,
        "goes_on": trainer.goes_on,
        **({"choices": trainer.backend.choices} if trainer.backend.choices else {}),
    }
    return tensors, metadata_of(trainer.model, run, trainer.loss) | (
        {CONFIGURATION: configuration} if configuration else {}
    )


def _settings(optimizer: Optimizer) -> dict[str, Any]:
    """The optimizer settings that its states depend on. The learning rate and the decay may change at any time."""
    settings = {name: value for name, value in vars(optimizer).items() if name not in FREE and name[0] != "_"}
    return json.loads(json.dumps(settings, default=_described))


def _described(setting: Any) -> Any:
    """A setting that is no number or text, in words that are the same in another process."""
    if isinstance(setting, np.generic | np.ndarray):
        return setting.tolist()
    if isinstance(setting, Schedule):
        return {"name": type(setting).__name__, **vars(setting)}
    return getattr(setting, "__qualname__", type(setting).__qualname__)


def load_trainer(trainer: Training, path: str | Path) -> None:
    """Loads what `save_trainer` wrote into a trainer with the same model, loss and type of optimizer."""
    from ..storage.description import check_records

    tensors, metadata = read_model(path)
    run = metadata["run"]
    if run is None:
        raise CheckpointError(f"{path} holds only a model: use gearshift.load; training cannot go on from it")
    with naming(path):
        if metadata["model"] != trainer.model.describe():
            raise CheckpointError(f"it holds another model: {build(metadata['model'])}, expected {trainer.model}")
        for name, mine in (("loss", type(trainer.loss).__name__), ("optimizer", repr(trainer.optimizer))):
            if run[name].partition("(")[0] != mine.partition("(")[0]:
                raise CheckpointError(f"it was made with {name} {run[name]}, expected {mine}")
        for name, value in _settings(trainer.optimizer).items():
            kept = run.get("settings", {}).get(name, value)  # files of older versions hold none
            if kept != value:
                raise CheckpointError(
                    f"it was made with {type(trainer.optimizer).__name__}({name}={kept!r}), expected {value!r}; only "
                    f"{' and '.join(FREE)} may change"
                )
        if run["seed"] != trainer.seed:
            raise CheckpointError(f"it was made with seed {run['seed']}, expected {trainer.seed}")
        step, cursor, epoch, best_epoch = (run[name] for name in ("step", "cursor", "epoch", "best_epoch"))
        watch = EarlyStopping(None, run["monitor"], run["best"], best_epoch, strip(tensors, "best."))
        weights = {name: (value.shape, value.dtype) for name, value in strip(tensors, "model.").items()}
        if watch.weights and weights != {name: (value.shape, value.dtype) for name, value in watch.weights.items()}:
            raise CheckpointError("its best weights do not fit its model")
        records = [record(one) for one in json.loads(tensors.pop("history").tobytes())]
        check_records(records)
        names, scaling = take_feature_names(tensors), take_scaling(tensors)
        preparation = take_preparation(tensors)
        own = {name: value for name, value in tensors.items() if not name.startswith(("best.", "target."))}
        trainer.backend.restore(run.get("choices"))
        trainer.state.unpack(own, step, cursor)
    trainer.epoch, trainer.history.records, trainer.early_stopping = epoch, records, watch
    trainer.goes_on = bool(run.get("goes_on", True))
    model = trainer.model
    model.classes, model.feature_names, model.target_scaling = metadata["classes"], names, scaling
    model.preparation = preparation
    model.signed_targets, model.loss = tuple(metadata["signed"]), trainer.loss
