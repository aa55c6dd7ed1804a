"""The command line. Results go to standard output, everything else to standard error.

What takes time to import is imported inside `main`, so that Ctrl-C ends the imports too without a traceback.
"""

from __future__ import annotations

import errno
import logging
import sys
from functools import cache
from typing import Any

INTERRUPTED = 130
MISTAKES = (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EROFS)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; a user's mistake ends in one line and exit code 2, never in a traceback."""
    try:
        from .dl.interrupts import unswallowed

        with unswallowed():
            from .dl import streams

            streams.prepare()
            logger = logging.getLogger(__package__)
            logger.setLevel(logging.INFO)
            logger.addHandler(_LOG)
            commands = application()
        try:
            commands(args=arguments, standalone_mode=True)
        finally:
            streams.finish()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        streams.say(f"error: {described(error)}")
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
        from .dl.streams import say

        say(self.format(record))


_LOG = _Log()


if __name__ == "__main__":
    main()
