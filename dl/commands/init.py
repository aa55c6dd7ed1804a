"""``gearshift init``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ...backends.errors import ConfigurationError
from .console import say


def init(path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("gearshift.toml")) -> None:
    """Writes a complete, commented configuration."""
    from ..sample import SAMPLE

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(SAMPLE)
    except FileExistsError:
        raise ConfigurationError(f"{path} exists already and is left alone; give another name") from None
    say(f"written: {path}; next: gearshift train {shlex.quote(str(path))}")
