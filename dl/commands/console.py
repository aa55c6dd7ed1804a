"""What the commands share: options, and where a line goes: results to standard output, the rest to standard error."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..._version import __version__
from ...backends.errors import ConfigurationError

if TYPE_CHECKING:
    from ..experiment.config import Configuration

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
    from ..experiment.config import parse, read

    return read(file, settings or []) if file else parse({}, settings or [])


def directory(text: str) -> Path:
    """The directory that an option names; an empty name, as of a variable that is not set, is a mistake."""
    if not text.strip():
        raise ConfigurationError(f"--run is {text!r}; expected the name of a directory, as --run runs/first")
    return Path(text)


def command(*words: object, settings: Sequence[str] = (), backend: str | None = None) -> str:
    """A command line of Gearshift's to type, with what was chosen on the present one."""
    options = [*words, *(word for setting in settings for word in ("--set", setting))]
    options += ["--backend", backend] if backend else []
    return " ".join(["gearshift", *(quoted(word) for word in options)])


def quoted(word: object) -> str:
    """A word as a shell takes it; brackets, as of ``model.hidden=[64]``, need no quotes there."""
    text = f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
    return text if re.fullmatch(r"[\w@%+=:,./\[\]-]+", text, re.ASCII) else shlex.quote(text)


def check_files(**files: Path | None) -> None:
    """Raises an error if a file could not be written, before anything is computed; `files` are by their options' names.

    `plot` is a picture by Matplotlib, and `html` a page by Plotly.

    Raises
    ------
    ConfigurationError
        The folder is missing or cannot be written to, the file is a folder, two options name one file, a picture has
        another ending, or a package is not installed.
    """
    from ..storage import replaceable

    taken: dict[Path, str] = {}
    for name, path in files.items():
        if path is None:
            continue
        if not path.parent.is_dir():
            raise ConfigurationError(f"--{name} {path}: there is no folder {path.parent}")
        if path.is_dir():
            raise ConfigurationError(f"--{name} {path} is a folder; expected a file")
        if not replaceable(path):  # a device or a pipe is written into
            if not os.access(path, os.W_OK):
                raise ConfigurationError(f"--{name} {path} cannot be written to")
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            raise ConfigurationError(f"--{name} {path}: you may not write to the folder {path.parent}")
        elif (other := taken.setdefault(path.resolve(), name)) != name:
            raise ConfigurationError(f"--{name} and --{other} both name {path}; give each a file of its own")
        if name == "plot" and path.suffix not in PICTURES:
            raise ConfigurationError(f"--plot {path} has another ending; expected one of: {', '.join(PICTURES)}")
        for option, module, package in (("plot", "matplotlib", "Matplotlib"), ("html", "plotly", "Plotly")):
            if name == option and find_spec(module) is None:
                raise ConfigurationError(f"--{name} needs {package}: pip install 'gearshift[{option}]'")


def show(result: dict[str, Any], as_json: bool) -> None:
    """The result of a command."""
    from ..storage.strict_json import dumps
    from ..training.progress import measure

    if as_json:
        print(dumps(result))
        return
    for name, value in result.items():
        text = "  ".join(f"{key} {measure(of)}" for key, of in value.items()) if isinstance(value, dict) else value
        print(f"{name}: {text}")
