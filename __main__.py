"""The command line. Results go to standard output, everything else to standard error.

What takes time to import is imported inside `main`, so that Ctrl-C ends the imports too without a traceback.
"""

from __future__ import annotations

import errno
import io
import logging
import sys
from functools import cache
from typing import Any

INTERRUPTED = 130
MISTAKES = (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EROFS)
MISTAKES += (errno.ENAMETOOLONG, errno.ELOOP)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; a user's mistake ends in one line and exit code 2, never in a traceback."""
    logger = logging.getLogger(__package__)
    logger.setLevel(logging.INFO)
    logger.addHandler(_LOG)
    if isinstance(sys.stdout, io.TextIOWrapper):  # an encoding without µ, √ or – shall not end a command
        sys.stdout.reconfigure(errors="replace")
    try:
        from .dl.interrupts import unswallowed

        with unswallowed():
            commands = application()
        commands(args=arguments, standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        print(f"error: {described(error)}", file=sys.stderr, flush=True)
        sys.exit(code)


@cache
def application() -> Any:
    """The commands as Typer's application."""
    from typer import Typer

    from .bench.commands import bench, compare, peers
    from .dl.commands.console import options
    from .dl.commands.doctor import doctor
    from .dl.commands.evaluate import evaluate
    from .dl.commands.init import init
    from .dl.commands.lr import lr
    from .dl.commands.predict import predict
    from .dl.commands.search import search
    from .dl.commands.train import train

    app = Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="Trains neural networks on NumPy, Numba or CuPy, chosen by configuration.",
    )
    app.callback(invoke_without_command=True)(options)
    for command in (train, search, lr, evaluate, predict, doctor, bench, compare, peers, init):
        app.command()(command)
    return app


def exit_code(error: Exception) -> int | None:
    """2 for what the user can mend, 1 for what the machine refused, None for a fault of this library."""
    from .backends.errors import GearshiftError, UserError

    if isinstance(error, UserError) or (isinstance(error, OSError) and error.errno in MISTAKES):
        return 2
    return 1 if isinstance(error, GearshiftError | OSError | MemoryError) else None


def described(error: Exception) -> str:
    """An error in one line, which begins with the file where it is about one."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


class _Log(logging.Handler):
    """Says what the library logs."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


_LOG = _Log()


if __name__ == "__main__":
    main()
