"""Shared parts of the commands: options and output. Results go to standard output, the rest to standard error."""

from __future__ import annotations

import logging
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
from ...backends.ranks import launched
from ..streams import hear, hears
from . import completion

if TYPE_CHECKING:
    from ..experiment.sections import Configuration

ConfigFile = Annotated[Path | None, typer.Argument(help="A TOML file; by default the digits and the default network.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key, such as optimizer.lr=3e-4; repeat for more keys.",
        autocompletion=completion.settings,
    ),
]
BackendName = Annotated[
    str | None,
    typer.Option("--backend", metavar="NAME", help="auto, numpy, numba or cupy.", autocompletion=completion.backends),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", callback=lambda quiet: _hush(quiet), help="Results, warnings and errors only.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
INTERRUPTED, TERMINATED = 130, 143  # exit codes
PICTURES = (".svg", ".png", ".pdf")
LEVELS = {name: getattr(logging, name) for name in ("DEBUG", "INFO", "WARNING", "ERROR")}


def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    log_level: Annotated[
        str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info (the default), warning or error.")
    ] = None,
) -> None:
    """Options before the command."""
    if log_level is not None:
        if log_level.upper() not in LEVELS:
            raise ConfigurationError(f"--log-level is {log_level!r}; expected one of: {', '.join(LEVELS).lower()}")
        hear(LEVELS[log_level.upper()])
    size, chosen = launched().size, context.invoked_subcommand
    if size > 1 and chosen not in (None, "train"):
        raise ConfigurationError(
            f"gearshift {chosen} runs in one process, and mpiexec started {size}; leave out mpiexec"
        )
    if version:
        print(f"gearshift {__version__}")
        raise typer.Exit


def _hush(quiet: bool) -> bool:
    """Raises the level of what is said; the commands need not look at ``--quiet`` for that."""
    if quiet and hears(logging.INFO):
        hear(logging.WARNING)
    return quiet


def configuration_of(file: Path | None, settings: list[str] | None) -> Configuration:
    """The configuration of a file, or the defaults, with the keys changed that ``--set`` names."""
    from ..experiment.config import parse, read

    return read(file, settings or []) if file else parse({}, settings or [])


def directory(text: str) -> Path:
    """The directory that an option names; an empty name, for example from an unset variable, is an error."""
    if not text.strip():
        raise ConfigurationError(f"--run is {text!r}; expected the name of a directory, such as --run runs/first")
    return Path(text)


def command(*words: object, settings: Sequence[str] = (), backend: str | None = None) -> str:
    """A Gearshift command line for the user, with the options of the current one."""
    options = [*words, *(word for setting in settings for word in ("--set", setting))]
    options += ["--backend", backend] if backend else []
    return " ".join(["gearshift", *(quoted(word) for word in options)])


def quoted(word: object) -> str:
    """A word quoted for the shell; brackets, as in ``model.hidden=[64]``, need no quotes."""
    text = f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
    return text if re.fullmatch(r"[\w@%+=:,./\[\]-]+", text, re.ASCII) else shlex.quote(text)


def check_files(**files: Path | None) -> None:
    """Raises an error if a file cannot be written, before anything is computed; `files` are keyed by option.

    `plot` is drawn by Matplotlib and `html` by Plotly.

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
        option = name if name.isupper() else f"--{name}"  # a positional argument is in capitals
        if not path.parent.is_dir():
            raise ConfigurationError(f"{option} {path}: there is no folder {path.parent}")
        if path.is_dir():
            raise ConfigurationError(f"{option} {path} is a folder; expected a file")
        if not replaceable(path):  # devices and pipes are written to directly
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
    """Prints the result of a command."""
    from ..storage.strict_json import dumps
    from ..training.progress import measure

    if as_json:
        print(dumps(result))
        return
    for name, value in result.items():
        text = "  ".join(f"{key} {measure(of)}" for key, of in value.items()) if isinstance(value, dict) else value
        print(f"{name}: {text}")
