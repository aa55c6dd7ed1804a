"""``gearshift export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..streams import say
from .console import Json, Quiet, check_files, show
from .rows import check_suffix


def export(
    run: Annotated[Path, typer.Argument(help="Directory of a run, or a file of a model.")],
    output: Annotated[Path, typer.Argument(help="The .onnx file.")],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Writes a trained model as an ONNX file."""
    from ..exchange.onnx import to_onnx
    from ..experiment.run import load

    check_suffix("OUTPUT", output, (".onnx",))
    check_files(OUTPUT=output)
    model = load(run)
    names = model.feature_names
    to_onnx(model, output, features=None if names is None else len(names))
    if as_json:
        show({"output": str(output)}, as_json)
    say(f"{output}: ONNX, input x (rows, {'features' if names is None else len(names)})")
    if names is not None:
        say(f"columns of x: {', '.join(names)}")
    if model.preparation is not None:
        say("categories and missing values of a table are not encoded by the file")
