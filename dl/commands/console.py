"""What the commands share: options, and where a line goes: results to standard output, the rest to standard error."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ... import __version__
from ...backends.errors import ConfigurationError

if TYPE_CHECKING:
    from ..config import Configuration

ConfigFile = Annotated[Path | None, typer.Argument(help="A TOML file; without, the digits with defaults.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="As optimizer.lr=3e-4; may be given several times."),
]
BackendName = Annotated[str | None, typer.Option("--backend", metavar="NAME", help="auto, numpy, numba or cupy.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
INTERRUPTED, TERMINATED = 130, 143  # exit codes
PICTURES = (".svg", ".png", ".pdf")


def options(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    """Options before the command."""
    if version:
        print(f"gearshift {__version__}")
        raise typer.Exit


def configuration_of(file: Path | None, settings: list[str] | None) -> Configuration:
    """The configuration of a file, or the defaults, with the keys changed that ``--set`` names."""
    from ..config import parse, read

    return read(file, settings or []) if file else parse({}, settings or [])


def check_files(**files: Path | None) -> None:
    """Raises where a file could not be written, before anything is computed; `files` are by their options' names.

    `plot` is a picture by Matplotlib, and `html` a page by Plotly.

    Raises
    ------
    ConfigurationError
        The folder is missing, the file is a folder, a picture has another ending, or a package is not installed.
    """
    for name, path in files.items():
        if path is None:
            continue
        if not path.parent.is_dir():
            raise ConfigurationError(f"--{name} {path}: there is no folder {path.parent}")
        if path.is_dir():
            raise ConfigurationError(f"--{name} {path} is a folder; expected a file")
        if name == "plot" and path.suffix not in PICTURES:
            raise ConfigurationError(f"--plot {path} has another ending; expected one of: {', '.join(PICTURES)}")
        for option, module, package in (("plot", "matplotlib", "Matplotlib"), ("html", "plotly", "Plotly")):
            if name == option and find_spec(module) is None:
                raise ConfigurationError(f"--{name} needs {package}: pip install 'gearshift[{option}]'")


def say(text: str) -> None:
    """A line for people."""
    print(text, file=sys.stderr, flush=True)


def show(result: dict[str, Any], as_json: bool) -> None:
    """The result of a command."""
    from ..progress import measure
    from ..storage.strict_json import dumps

    if as_json:
        print(dumps(result))
        return
    for name, value in result.items():
        text = "  ".join(f"{key} {measure(of)}" for key, of in value.items()) if isinstance(value, dict) else value
        print(f"{name}: {text}")
