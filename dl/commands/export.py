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
    shapes = [] if model.feature_names is None else [len(model.feature_names)]
    to_onnx(model, output, features=shapes[0] if shapes else None)
    if as_json:
        show({"output": str(output)}, as_json)
    say(f"{output}: ONNX, input x (rows, features)")
