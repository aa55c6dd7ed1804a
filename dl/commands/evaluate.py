"""``gearshift evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...backends.errors import DataError
from ..streams import say
from .console import BackendName, Json, show

if TYPE_CHECKING:
    from ..training.trainer import Trainer


def evaluate(
    run: Annotated[Path, typer.Argument(help="Directory of a run.")],
    backend: BackendName = None,
    report: Annotated[bool, typer.Option("--report", help="Add precision and recall.")] = False,
    as_json: Json = False,
) -> None:
    """Evaluates a run's best weights on the test split.

    If there are no best weights, the last ones are used.
    """
    from ..experiment import build as experiment
    from ..experiment.config import parse
    from ..experiment.run import Run
    from ..experiment.run_files import recognised

    configuration = parse(Run(run).config)
    splits = experiment.load(configuration)
    splits, _, changes = recognised(run, splits, targets=configuration.autoencoder.kind == "none")
    if splits.test is None:
        raise DataError(f"{run} was trained without a test split")
    trainer = predictor(run, backend)
    splits = splits.matched(trainer.model.feature_names, trainer.model.classes)
    if changes:
        say(
            f"warning: the data have changed since {run} was trained ({'; '.join(changes)}): its test part was drawn "
            "from other rows, and may have been trained on"
        )
    show({"run": str(run), "test": trainer.evaluate(splits.test, report=report)}, as_json)
    if report and not as_json:
        print(trainer.report(splits.test))


def predictor(run: Path, backend: str | None) -> Trainer:
    """A trainer with a run's model and loss, on the run's backend or on the given one."""
    from ...backends.registry import resolve
    from ..experiment.config import parse
    from ..experiment.run import Run
    from ..optimizers.sgd import SGD
    from ..training.trainer import Trainer

    found = Run(run)
    backend = resolve(backend)
    if backend == "auto":
        backend = parse(found.config).backend.name
    return Trainer(found.model, found.loss, SGD(), backend=backend)
