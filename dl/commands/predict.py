"""``gearshift predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...backends.errors import CheckpointError, ConfigurationError
from ..streams import say
from .console import BackendName, check_files
from .evaluate import predictor


def predict(
    run: Annotated[Path, typer.Argument(help="Directory of a run.")],
    source: Annotated[Path, typer.Option("--input", help="Rows, as .npy.")],
    output: Annotated[Path, typer.Option("--output", help="The .npy file for the predictions.")],
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Write probabilities, not labels.")] = False,
    backend: BackendName = None,
) -> None:
    """Predicts rows of raw features with a trained run.

    Predictions are class names as in the data, or values.
    """
    import io

    import numpy as np

    from ..data.npy import read_npy
    from ..storage import write_atomically

    for option, path in (("--input", source), ("--output", output)):
        if path.suffix != ".npy":
            raise ConfigurationError(f"{option} {path}: expected a .npy file, as numpy.save writes it")
    if output.exists() and output.samefile(source):
        raise ConfigurationError(f"--output {output} is the file of --input; give it another name")
    check_files(output=output)
    trainer = predictor(run, backend)
    x = read_npy(source, mmap=True)
    if x.dtype not in (np.uint8, np.float32, np.float64):
        x = read_npy(source)  # conversion needs the whole array
    answers = trainer.predict_proba(x) if probabilities else trainer.predict(x)
    if isinstance(answers, dict):  # side by side, as the heads' targets are
        answers = np.column_stack(list(answers.values()))
    elif trainer.model.classes is not None and not probabilities:
        answers = _named(answers, trainer.model.classes)
    buffer = io.BytesIO()
    np.save(buffer, answers, allow_pickle=False)
    write_atomically(output, buffer.getvalue())
    say(f"{len(answers)} rows written to {output}")


def _named(answers: Any, classes: list[int | str]) -> Any:
    """The classes' names, of a model that may have been made elsewhere."""
    import numpy as np

    if answers.max() >= len(classes):
        raise CheckpointError(f"the model answers with class {answers.max()}, but only {len(classes)} have names")
    return np.array(classes)[answers]
