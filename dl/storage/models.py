"""The format of checkpoints: named tensors in a safetensors file, the rest as JSON in its metadata.

Tensors: ``model.NAME`` and, where targets are scaled, ``target.mean`` and ``target.scale``; for a run also
``optimizer.STATE.NAME``, ``totals``, ``best.NAME`` and ``history``. Where the columns of the data had names, these are
``feature_names``, as JSON in bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..._version import __version__
from ...backends.errors import CheckpointError
from .strict_json import dumps
from .tensors import load_tensors, read_header, save_tensors

FORMAT = "gearshift"
LOSS, CONFIGURATION = "loss", "configuration"  # in a file's metadata, beside its description


class SavedModel(Protocol):
    """A model that can be saved."""

    classes: list[int | str] | None
    feature_names: list[str] | None
    signed_targets: tuple[int, ...]

    @property
    def target_scaling(self) -> Any: ...
    @property
    def loss(self) -> Any: ...
    @property
    def preparation(self) -> Any: ...
    def describe(self) -> dict[str, Any]: ...
    def state_dict(self) -> dict[str, np.ndarray]: ...


def save_model(
    model: SavedModel, path: str | Path, weights: Mapping[str, np.ndarray] | None = None, loss: Any = None
) -> None:
    """Writes structure and weights, or those given, atomically: `path` holds the old file or the whole new one.

    `loss` is the loss that the model was trained with, by default the model's own.
    """
    weights = model.state_dict() if weights is None else weights
    tensors = {f"model.{name}": value for name, value in weights.items()}
    save_tensors(path, tensors | beside(model), metadata_of(model, None, loss))


def loss_of(path: str | Path) -> dict[str, Any] | None:
    """The description of the loss that a file's model was trained with, or None if not stored."""
    metadata = read_header(path, expected_format=FORMAT).metadata
    body = described(path, metadata)
    if body.get("loss"):
        return body["loss"]
    name = metadata.get(LOSS) if body["run"] is None else body["run"]["loss"]  # of an older version
    return {"name": name} if name else None


def configuration_of(path: str | Path) -> str:
    """The TOML configuration of the run that wrote a file; empty if not stored."""
    return read_header(path, expected_format=FORMAT).metadata.get(CONFIGURATION, "")


def beside(model: SavedModel) -> dict[str, np.ndarray]:
    """The tensors of a model besides its weights: feature names, preparation and target scaling."""
    names, scaling = model.feature_names, model.target_scaling
    tensors = {} if scaling is None else {"target.mean": scaling.mean, "target.scale": scaling.scale}
    if names is not None:  # not in the header, whose size is limited
        tensors["feature_names"] = np.frombuffer(json.dumps(names).encode(), dtype=np.uint8)
    if model.preparation is not None:
        tensors["preparation"] = np.frombuffer(model.preparation.model_dump_json().encode(), dtype=np.uint8)
    return tensors


def metadata_of(model: SavedModel, run: dict[str, Any] | None, loss: Any = None) -> dict[str, str]:
    """The metadata stored with a model's tensors; `loss` is by default the model's."""
    body = {"model": model.describe(), "classes": model.classes, "run": run}
    loss = model.loss if loss is None else loss
    if loss is not None:
        body["loss"] = loss.describe()
    if model.signed_targets:
        body["signed"] = list(model.signed_targets)
    return {"format": FORMAT, "version": __version__, "gearshift": dumps(body)}


def read_model(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    tensors, metadata = load_tensors(path, expected_format=FORMAT)
    return tensors, described(path, metadata)


def described(path: str | Path, metadata: dict[str, str]) -> dict[str, Any]:
    """The model's structure, its classes and the run's state, from the metadata of a file."""
    from .description import check_description  # pydantic, which training does without

    try:
        body = json.loads(metadata["gearshift"])
        check_description(body)
        return {"signed": [], **body}
    except CheckpointError as error:
        raise CheckpointError(f"{path} is a damaged checkpoint: {error}") from None
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is a damaged checkpoint: its description cannot be read ({error!r})") from None


def take_feature_names(tensors: dict[str, np.ndarray]) -> list[str] | None:
    """Removes the feature names from the tensors of a file and returns them; older files have none."""
    stored = tensors.pop("feature_names", None)
    if stored is None:
        return None
    names = json.loads(stored.tobytes())
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise CheckpointError("its feature names are not a list of strings")
    if len({*names}) < len(names):
        raise CheckpointError("its feature names are not unique")
    return names


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Adds the file name to errors, and reports malformed descriptions as CheckpointError."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is a damaged checkpoint: {error!r}") from None
