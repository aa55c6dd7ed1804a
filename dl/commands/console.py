"""What the commands share: options, and where a line goes: results to standard output, the rest to standard error."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..config import Configuration

ConfigFile = Annotated[Path | None, typer.Argument(help="A TOML file; without, the digits with defaults.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="A key of the configuration, as optimizer.lr=3e-4.")]
BackendName = Annotated[str | None, typer.Option("--backend", help="auto, numpy, numba or cupy.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
MISTAKE, INTERRUPTED, TERMINATED = 2, 130, 143  # exit codes


def configuration_of(file: Path | None, settings: list[str] | None) -> Configuration:
    """The configuration of a file, or the defaults, with the keys changed that ``--set`` names."""
    from ..config import parse, read

    return read(file, settings or []) if file else parse({}, settings or [])


def say(text: str) -> None:
    """A line for people."""
    print(text, file=sys.stderr, flush=True)


def show(result: dict[str, Any], as_json: bool) -> None:
    """The result of a command."""
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        text = "  ".join(f"{key} {number:.4f}" for key, number in value.items()) if isinstance(value, dict) else value
        print(f"{name}: {text}")
