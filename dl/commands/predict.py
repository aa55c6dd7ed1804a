"""``gearshift predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...backends.errors import ConfigurationError
from ..streams import say
from .console import BackendName, Json, Quiet, check_files, show
from .evaluate import predictor
from .rows import INPUTS, OUTPUTS, as_csv, check_suffix, read_rows


def predict(
    run: Annotated[Path, typer.Argument(help="Directory of a run, or a file of a model.")],
    source: Annotated[Path, typer.Option("--input", help="Rows: .csv, .tsv, .parquet, .npz or .npy.")],
    output: Annotated[Path, typer.Option("--output", help="The .csv or .npy file for the predictions.")],
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write probabilities, not labels (.npy; a .csv has both).")
    ] = False,
    backend: BackendName = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Predicts rows of raw features with a trained run.

    Predictions are class names as in the data, or values.
    """
    import io

    import numpy as np

    from ..storage import write_atomically

    check_suffix("--input", source, INPUTS)
    check_suffix("--output", output, OUTPUTS)
    if output.exists() and output.samefile(source):
        raise ConfigurationError(f"--output {output} is the file of --input; give it another name")
    check_files(output=output)
    inference = predictor(run, backend)
    x, _, _ = read_rows(source, inference.model)
    if output.suffix.lower() == ".csv":
        content = as_csv(inference, x).encode()
    else:
        answers = inference.predict_proba(x) if probabilities else inference.predict(x)
        if isinstance(answers, dict):  # side by side, as the heads' targets are
            answers = np.column_stack(list(answers.values()))
        buffer = io.BytesIO()
        np.save(buffer, answers, allow_pickle=False)
        content = buffer.getvalue()
    write_atomically(output, content)
    if as_json:
        show({"rows": len(x), "output": str(output)}, as_json)
    say(f"{len(x)} row{'s' * (len(x) != 1)} written to {output}")
