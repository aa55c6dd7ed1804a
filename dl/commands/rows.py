"""Files of rows that a trained model predicts, and files of its predictions."""

from __future__ import annotations

from logging import WARNING
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...backends.errors import ConfigurationError, DataError
from ..streams import say

if TYPE_CHECKING:
    from ..layers import Layer
    from ..training.inference import Inference

INPUTS = (".npy", ".npz", ".csv", ".tsv", ".parquet")
OUTPUTS = (".npy", ".csv")


def check_suffix(option: str, path: Path, suffixes: tuple[str, ...]) -> None:
    """Raises ConfigurationError if the file that an option names has another suffix."""
    if path.suffix.lower() not in suffixes:
        raise ConfigurationError(f"{option} {path}: expected a file {', '.join(suffixes)}")


def read_rows(path: Path, model: Layer, *, targets: bool = False) -> tuple[Any, Any, Any]:
    """The rows x of a file as the model expects them, and its targets and weights, or None for each.

    Tables are prepared as in training; what is worth knowing about that is said. Their targets are read if `targets`.
    """
    import numpy as np

    from ..data.npy import read_npy, read_npz

    kind = path.suffix.lower()
    if kind == ".npy":
        x = read_npy(path, mmap=True)
        plain = x.dtype in (np.uint8, np.float32, np.float64)
        return x if plain else read_npy(path), None, None  # conversion needs the whole array
    if kind == ".npz":
        arrays = read_npz(path)
        x = next((arrays[name] for name in ("x", "x_test") if name in arrays), None)
        if x is None:
            raise DataError(f"{path}: it holds {', '.join(arrays) or 'nothing'}, expected an array x")
        part = "" if "x" in arrays else "_test"
        return x, arrays.get(f"y{part}"), arrays.get(f"weight{part}")
    from ..data.model_rows import feature_rows

    rows = feature_rows(path, model.preparation, model.feature_names, with_targets=targets)
    for remark in rows.remarks:
        say(f"warning: {path}: {remark}", WARNING)
    return rows.dataset, rows.y, None


def rows_of(source: str) -> Path | None:
    """The file of a data source that `read_rows` reads, for a command that can be typed; None if there is none."""
    from zipfile import ZipFile

    path = Path(source)
    if path.is_dir():
        path = path / "x.npy"
    if not path.is_file() or path.suffix.lower() not in INPUTS:
        return None
    if path.suffix.lower() == ".npz":
        with ZipFile(path) as arrays:
            return path if {"x.npy", "x_test.npy"} & {*arrays.namelist()} else None
    return path


def as_csv(inference: Inference, x: Any) -> str:
    """Predictions as CSV: the row's number from 0, the label or values, and the probability of each class."""
    import csv
    import io

    import numpy as np

    from ..losses.joint import JointLoss

    model, loss = inference.model, inference.loss
    answers = inference.predict(x)
    columns: dict[str, Any] = {}
    heads = loss.heads if isinstance(loss, JointLoss) else {"": None}
    for head in heads:
        own = answers[head] if isinstance(answers, dict) else answers
        labels = own.dtype.kind != "f"
        names = model.preparation.target if model.preparation is not None and not labels and not head else []
        values = own.reshape(len(own), -1)
        if len(names) != values.shape[1]:
            one = head or ("label" if labels else "value")
            names = [one] if values.shape[1] == 1 else [f"{one}_{place}" for place in range(values.shape[1])]
        columns |= dict(zip(names, values.T, strict=True))
    for name, values in _probabilities(inference, x).items():
        columns[name] = values
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", *columns])
    writer.writerows(zip(range(len(np.asarray(next(iter(columns.values()))))), *columns.values(), strict=True))
    return text.getvalue()


def _probabilities(inference: Inference, x: Any) -> dict[str, Any]:
    """The probabilities by the names of their columns; none if the loss has none."""
    try:
        found = inference.predict_proba(x)
    except ConfigurationError:
        return {}
    classes = inference.model.classes
    columns = {}
    for head, values in (found if isinstance(found, dict) else {"": found}).items():
        if values.ndim != 2:
            continue
        names = classes if not head and classes is not None and len(classes) == values.shape[1] else None
        for place, column in enumerate(values.T):
            name = place if names is None else names[place]
            columns[f"{head}_probability_{name}" if head else f"probability_{name}"] = column
    return columns
