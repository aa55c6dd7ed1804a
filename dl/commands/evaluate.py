"""``gearshift evaluate``."""

from __future__ import annotations

import math
from logging import WARNING
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...backends.errors import ConfigurationError, DataError
from ..streams import say
from .console import BackendName, Json, Quiet, show
from .rows import INPUTS, check_suffix, read_rows

if TYPE_CHECKING:
    from ..data import Dataset
    from ..training.inference import Inference


def evaluate(
    run: Annotated[Path, typer.Argument(help="Directory of a run; with --input also a file of a model.")],
    source: Annotated[
        Path | None,
        typer.Option("--input", help="Rows with targets (of an autoencoder: rows): .csv, .tsv, .parquet or .npz."),
    ] = None,
    backend: BackendName = None,
    report: Annotated[
        bool, typer.Option("--report", help="Add precision, recall and confusion, class by class.")
    ] = False,
    plots: Annotated[
        Path | None,
        typer.Option("--plots", metavar="DIRECTORY", help="Draw confusion, ROC curves, residuals … into it."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Evaluates a run's best weights on the test split, or on a file.

    If there are no best weights, the last ones are used.
    """
    if source is not None:
        check_suffix("--input", source, INPUTS)
        inference = predictor(run, backend)
        itself = reconstructs(run)
        x, y, weight = read_rows(source, inference.model, targets=not itself)
        if itself:
            from ..data.reconstruction import rows_as_targets

            rows = x.x if hasattr(x, "x") else x
            y = rows_as_targets(rows, bool(inference.loss.numbers(math.prod(rows.shape[1:])).any()))
        if y is None:
            raise DataError(f"{source}: it has no targets; expected those that the model was trained on")
        data = (x.x if hasattr(x, "x") else x, y) if weight is None else (x, y, weight)
        part, given = str(source), data
    else:
        inference, given = _test_part(run, backend)
        part = "test"
    result = {"run": str(run), part: measured(inference, given, run, report=report)}
    found = inference.report(given) if report else None
    if found is not None and as_json:
        result["classes"] = {
            "names": [*found.classes],
            **{name: getattr(found, name).tolist() for name in ("precision", "recall", "f1", "rows", "confusion")},
        }
    show(result, as_json)
    if found is not None and not as_json:
        print(found)
    if plots is not None:
        _draw(inference, given, plots, as_json)


def measured(inference: Inference, data: Any, run: Path, *, report: bool = False) -> dict[str, float]:
    """What a model's answers are worth; without R² if the model reconstructs rows.

    The mean of R² over columns says nothing there: columns that hardly vary, as at the edge of images, decide it.
    """
    found = inference.evaluate(data, report=report)
    return {name: value for name, value in found.items() if name != "r2" or not reconstructs(run)}


def reconstructs(run: Path) -> bool:
    """Whether the model of a run is an autoencoder, whose targets are its rows."""
    from ..experiment.run import Run

    return run.is_dir() and Run(run).config.get("autoencoder", {}).get("kind", "none") != "none"


def _draw(inference: Inference, data: Any, folder: Path, as_json: bool) -> None:
    """Draws what there is to draw of the answers."""
    from importlib.util import find_spec

    from ..diagnostics import plots

    if find_spec("matplotlib") is None:
        raise ConfigurationError("--plots needs Matplotlib: pip install 'gearshift[plot]'")
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {}
    if "accuracy" in inference.loss.metrics:
        pictures["confusion"] = lambda path: plots.confusion(inference.report(data), path)
        try:
            curves = inference.curves(data)
            if not as_json:
                print(curves)
            pictures["roc"] = lambda path: plots.roc(curves, path)
            pictures["precision-recall"] = lambda path: plots.precision_recall(curves, path)
        except (ConfigurationError, DataError) as error:
            say(f"no curves: {error}")
    else:
        pictures["residuals"] = lambda path: plots.residuals(inference, data, path=path)
    if inference._given_targets(data).x.shape[1:] == (2,):
        pictures["decision-boundary"] = lambda path: plots.decision_boundary(inference, data, path=path)
    for name, draw in pictures.items():
        try:
            draw(folder / f"{name}.png")
            say(f"{name}: {folder / f'{name}.png'}")
        except ConfigurationError as error:
            say(f"no {name}: {error}")


def _test_part(run: Path, backend: str | None) -> tuple[Inference, Dataset]:
    """A run's model, and the test part of its data."""
    from ..experiment import build as experiment
    from ..experiment.config import parse
    from ..experiment.run import Run
    from ..experiment.run_files import check_source, recognised

    configuration = parse(Run(run).config)
    check_source(run, configuration.data.source)
    splits = experiment.load(configuration)
    splits, _, changes = recognised(run, splits, targets=configuration.autoencoder.kind == "none")
    if splits.test is None:
        raise DataError(f"{run} was trained without a test split")
    inference = predictor(run, backend)
    splits = splits.matched(inference.model.feature_names, inference.model.classes)
    if changes:
        say(
            f"warning: the data have changed since {run} was trained ({'; '.join(changes)}): its test part was drawn "
            "from other rows, and may have been trained on",
            WARNING,
        )
    return inference, splits.test


def predictor(run: Path, backend: str | None) -> Inference:
    """The model of a run or a file, on the run's backend or on the given one."""
    from ...backends.registry import resolve
    from ..experiment.config import parse
    from ..experiment.run import Run, load
    from ..training.inference import Inference

    backend = resolve(backend)
    if run.is_file():
        return Inference(load(run), backend=backend)
    found = Run(run)
    if backend == "auto":
        backend = parse(found.config).backend.name
    return Inference(found.model, backend=backend)
