"""``gearshift init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...backends.errors import ConfigurationError
from ..streams import say
from .console import Json, Quiet, command, show


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("gearshift.toml"),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Writes a complete, commented configuration."""
    from ..experiment.sample import SAMPLE
    from ..storage import write_atomically

    if path.exists() or path.is_symlink():
        raise ConfigurationError(f"{path} exists already and is left alone; give another name")
    write_atomically(path, SAMPLE.encode())
    if as_json:
        show({"config": str(path)}, as_json)
    say(f"written: {path}; next: {command('train', path)}")
