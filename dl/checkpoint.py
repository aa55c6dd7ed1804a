"""Models and training runs on disk: named tensors in a safetensors file, the rest as JSON in its metadata.

Tensors: ``model.NAME`` and, where targets are scaled, ``target.mean`` and ``target.scale``; for a run also
``optimizer.STATE.NAME``, ``totals``, ``best.NAME`` and ``history``. Where the columns of the data had names, these are
``feature_names``, as JSON in bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._version import __version__
from ..backends.errors import CheckpointError, ConfigurationError
from .architecture import build
from .early_stopping import EarlyStopping
from .layers import Layer
from .state import strip
from .storage import check_tensors, load_tensors, read_header, save_tensors
from .storage.strict_json import dumps, record
from .target_scaling import TargetScaling

if TYPE_CHECKING:
    from .optimizers.base import Optimizer
    from .trainer import Trainer

FORMAT = "gearshift"
LOSS, CONFIGURATION = "loss", "configuration"  # in a file's metadata, beside its description
FREE = ("lr", "weight_decay")  # settings of an optimizer that may change where training goes on


def save_model(model: Layer, path: str | Path, weights: Mapping[str, np.ndarray] | None = None, loss: str = "") -> None:
    """Writes structure and weights, or those given, atomically: `path` holds the old file or the whole new one.

    `loss` is the name of the loss that the model was trained with, where it is known.
    """
    weights = model.state_dict() if weights is None else weights
    tensors = {f"model.{name}": value for name, value in weights.items()}
    save_tensors(path, tensors | _beside(model), _metadata(model, None) | ({LOSS: loss} if loss else {}))


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
        model.feature_names, model.target_scaling = _feature_names(tensors), _scaling(tensors)
    model.classes, model.signed_targets = metadata["classes"], tuple(metadata["signed"])
    return model


def loss_of(path: str | Path) -> str | None:
    """The name of the loss that a file's model was trained with; None where the file does not say."""
    metadata = read_header(path, expected_format=FORMAT).metadata
    run = _described(path, metadata)["run"]
    return metadata.get(LOSS) if run is None else run["loss"]


def configuration_of(path: str | Path) -> str:
    """The configuration, as TOML, of the run that wrote a file; empty where the file does not say."""
    return read_header(path, expected_format=FORMAT).metadata.get(CONFIGURATION, "")


def save_trainer(trainer: Trainer, path: str | Path, configuration: str = "") -> None:
    """Writes everything from which training goes on to the same bits.

    `configuration` is the run's, as TOML, to which a resumed one is compared.
    """
    save_tensors(path, *_packed(trainer, trainer.early_stopping.weights, configuration))


def check_trainer(trainer: Trainer, path: str | Path, configuration: str, *, best: bool) -> None:
    """Raises CheckpointError where `save_trainer` will fail, whatever the training does; nothing is written.

    `best` says that early stopping will keep weights.
    """
    state = trainer.state
    weights = strip(state.pack(), "model.") if best else {}
    check_tensors(path, *_packed(trainer, weights, configuration))


def _packed(
    trainer: Trainer, best: dict[str, np.ndarray], configuration: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors of a run and the text that goes with them."""
    state, watch = trainer.state, trainer.early_stopping
    tensors = state.pack() | {f"best.{name}": value for name, value in best.items()} | _beside(trainer.model)
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
    return tensors, _metadata(trainer.model, run) | ({CONFIGURATION: configuration} if configuration else {})


def _settings(optimizer: Optimizer) -> dict[str, Any]:
    """The settings that an optimizer's states belong to. The rate and the decay may change between two steps."""
    settings = {name: value for name, value in vars(optimizer).items() if name not in FREE and name[0] != "_"}
    return json.loads(json.dumps(settings, default=repr))


def load_trainer(trainer: Trainer, path: str | Path) -> None:
    """Takes over what `save_trainer` wrote, into a trainer of the same model, loss and kind of optimizer."""
    from .description import check_records

    tensors, metadata = _load(path)
    run = metadata["run"]
    if run is None:
        raise CheckpointError(f"{path} holds a model alone: it can be loaded with gearshift.load, not trained on from")
    with _naming(path):
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
        names, scaling = _feature_names(tensors), _scaling(tensors)
        own = {name: value for name, value in tensors.items() if not name.startswith(("best.", "target."))}
        trainer.backend.restore(run.get("choices"))
        trainer.state.unpack(own, step, cursor)
    trainer.epoch, trainer.history.records, trainer.early_stopping = epoch, records, watch
    trainer.goes_on = bool(run.get("goes_on", True))
    model = trainer.model
    model.classes, model.feature_names, model.target_scaling = metadata["classes"], names, scaling
    model.signed_targets = tuple(metadata["signed"])


def _beside(model: Layer) -> dict[str, np.ndarray]:
    """What belongs to a model beside its weights: its columns' names, and how targets are scaled."""
    names, scaling = model.feature_names, model.target_scaling
    tensors = {} if scaling is None else {"target.mean": scaling.mean, "target.scale": scaling.scale}
    if names is not None:  # not in the header, whose size is limited
        tensors["feature_names"] = np.frombuffer(json.dumps(names).encode(), dtype=np.uint8)
    return tensors


def _metadata(model: Layer, run: dict[str, Any] | None) -> dict[str, str]:
    """The text that goes with a model's tensors."""
    body = {"model": model.describe(), "classes": model.classes, "run": run}
    if model.signed_targets:
        body["signed"] = list(model.signed_targets)
    return {"format": FORMAT, "version": __version__, "gearshift": dumps(body)}


def _load(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    tensors, metadata = load_tensors(path, expected_format=FORMAT)
    return tensors, _described(path, metadata)


def _described(path: str | Path, metadata: dict[str, str]) -> dict[str, Any]:
    """The model's structure, its classes and the run's state, as the metadata of a file hold them."""
    from .description import check_description

    try:
        body = json.loads(metadata["gearshift"])
        check_description(body)
        return {"signed": [], **body}
    except CheckpointError as error:
        raise CheckpointError(f"{path} is a damaged checkpoint: {error}") from None
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is a damaged checkpoint: its description cannot be read ({error!r})") from None


def _feature_names(tensors: dict[str, np.ndarray]) -> list[str] | None:
    """Takes the names of columns out of the tensors of a file, which older ones do not have."""
    stored = tensors.pop("feature_names", None)
    if stored is None:
        return None
    names = json.loads(stored.tobytes())
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise CheckpointError("its feature names are not a list of text")
    if len({*names}) < len(names):
        raise CheckpointError("a name occurs twice among its feature names")
    return names


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
