"""The command line. Results go to standard output, everything else to standard error."""

from __future__ import annotations

import errno
import logging
import sys
from typing import Annotated

import typer

from . import __version__
from .backends.errors import GearshiftError, UserError
from .bench.commands import bench, compare, peers
from .dl.commands.console import INTERRUPTED, MISTAKE, say
from .dl.commands.doctor import doctor
from .dl.commands.evaluate import evaluate
from .dl.commands.init import init
from .dl.commands.lr import lr
from .dl.commands.predict import predict
from .dl.commands.search import search
from .dl.commands.train import train

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Trains neural networks on NumPy, Numba or CuPy, chosen by configuration.",
)
for command in (train, search, lr, evaluate, predict, doctor, bench, compare, peers, init):
    app.command()(command)


@app.callback(invoke_without_command=True)
def options(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    """Options before the command."""
    if version:
        print(f"gearshift {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; a user's mistake ends in one line and exit code 2, never in a traceback."""
    logger = logging.getLogger(__package__)
    logger.setLevel(logging.INFO)
    logger.addHandler(_LOG)
    try:
        app(args=arguments, standalone_mode=True)
    except GearshiftError as error:
        sys.exit(_fault(error, MISTAKE if isinstance(error, UserError) else 1))
    except OSError as error:
        mistake = error.errno in (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EROFS)
        sys.exit(_fault(error, MISTAKE if mistake else 1))
    except MemoryError as error:
        sys.exit(_fault(error, 1))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


class _Log(logging.Handler):
    """Says what the library logs."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


_LOG = _Log()


def _fault(error: BaseException, code: int) -> int:
    say(f"error: {error or type(error).__name__}")
    return code


if __name__ == "__main__":
    main()
