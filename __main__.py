"""The command line. Results go to standard output, everything else to standard error.

What takes time to import is imported inside `main`, so that Ctrl-C ends the imports too without a traceback.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import sys
from contextlib import suppress
from functools import cache
from threading import Event, Thread
from typing import Any

STOPPED = {128 + number: number for number in (signal.SIGINT, signal.SIGTERM)}
INTERRUPTED = 128 + signal.SIGINT
MISTAKES = (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EROFS)
LEAST_MEMORY = 400 << 20  # with up to 380 MiB, OpenBLAS ended a process with two threads
MISTAKES += (errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; a user's mistake ends in one line and exit code 2, never in a traceback."""
    try:
        from .dl.training.interrupts import unswallowed

        with unswallowed():
            from .dl import streams

            streams.prepare(silent=_follows())
            _check_memory()
            streams.hear(logging.INFO)
            logging.getLogger(__package__).addHandler(_LOG)
            commands = application()
        try:
            commands(args=arguments, standalone_mode=True)
        finally:
            streams.finish()
            if arguments is None:
                gc.freeze()  # else Python, as it ends, looks through all there is for garbage: a third of a second
    except KeyboardInterrupt:
        _ignore(signal.SIGINT, arguments)
        _end_ranks("interrupted", INTERRUPTED)
        _interrupted()
    except SystemExit as ended:
        if ended.code in STOPPED:
            _ignore(STOPPED[ended.code], arguments)
        if ended.code == INTERRUPTED:
            _interrupted()
        raise
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        _end_ranks(f"error: {described(error)}", code)
        streams.say(f"error: {described(error)}", logging.ERROR)
        sys.exit(code)


def _follows() -> bool:
    """Whether this is one of several ranks, and not the first, which speaks for all."""
    from .backends.ranks import launched

    return launched().rank > 0


def _end_ranks(text: str, code: int) -> None:
    """Ends the other ranks of a training, which would wait for this one."""
    launch = sys.modules.get(f"{__package__}.backends.launch")
    if launch is not None and launch.ranks.cache_info().currsize:
        launch.ranks().fail(text, code)


def _check_memory() -> None:
    """Raises MemoryError where libraries would not load, and some of them wait for memory without an end."""
    with suppress(ImportError):  # Windows has no such limits
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY and limit < LEAST_MEMORY:
            raise MemoryError(
                f"this process may take {limit >> 20} MiB of memory (ulimit -v); expected at least {LEAST_MEMORY >> 20}"
            )


def _ignore(number: signal.Signals, arguments: list[str] | None) -> None:
    """Ignores a signal that was obeyed: a second one, while Python ends, would end the process without exit code."""
    if arguments is None:  # otherwise the process goes on
        signal.signal(number, signal.SIG_IGN)


def _interrupted() -> None:
    """Ends as Ctrl-C does, unless OpenBLAS pressed it: it interrupts a process that may not start its threads."""
    if "scipy.linalg" in sys.modules or not starved():
        sys.exit(INTERRUPTED)
    from .dl.streams import say

    limits = "raise its limits (ulimit -u, ulimit -v)"
    say(f"error: this process may start no more threads, which NumPy needs; {limits}", logging.ERROR)
    sys.exit(1)


def starved() -> bool:
    """Whether this process cannot start a thread for each processor."""
    end = Event()
    threads = [Thread(target=end.wait, daemon=True) for _ in range(os.cpu_count() or 1)]
    try:
        for thread in threads:
            thread.start()
    except RuntimeError:
        return True
    finally:
        end.set()
    return False


@cache
def application() -> Any:
    """The commands as Typer's application."""
    from typer import Typer

    from .bench.commands import bench, compare, peers
    from .dl.commands.console import options
    from .dl.commands.doctor import doctor
    from .dl.commands.evaluate import evaluate
    from .dl.commands.export import export
    from .dl.commands.init import init
    from .dl.commands.lr import lr
    from .dl.commands.predict import predict
    from .dl.commands.schema import schema
    from .dl.commands.search import search
    from .dl.commands.train import train

    app = Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="Trains neural networks on NumPy, Numba or CuPy, chosen by configuration.",
    )
    app.callback(invoke_without_command=True)(options)
    for command in (train, search, lr, evaluate, predict, export, doctor, bench, compare, peers, init, schema):
        app.command()(command)
    return app


def exit_code(error: Exception) -> int | None:
    """2 for what the user can mend, 1 for what the machine refused, None for a fault of this library."""
    from .backends.errors import GearshiftError, UserError, out_of_memory

    if isinstance(error, UserError) or (isinstance(error, OSError) and error.errno in MISTAKES):
        return 2
    return 1 if isinstance(error, GearshiftError | OSError) or out_of_memory(error) else None


def described(error: Exception) -> str:
    """An error in one line, which begins with the file where it is about one."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, ImportError) or (isinstance(error, MemoryError) and "memory" not in str(error)):
        return f"there is not enough memory: {error}".removesuffix(": ")  # for a library, or an array
    return str(error) or type(error).__name__


class _Log(logging.Handler):
    """Says what the library logs."""

    def emit(self, record: logging.LogRecord) -> None:
        from .dl.streams import say

        say(self.format(record), record.levelno)


_LOG = _Log()


if __name__ == "__main__":
    main()
