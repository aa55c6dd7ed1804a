"""Progress: a bar on a terminal and in a notebook, otherwise a line per epoch or candidate on standard error."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ... import backends
from ...backends import compile_time
from ..notebook import has_cells
from ..streams import say
from .callbacks import Callback
from .history import History
from .training import Training

MEASURES = {
    "loss": "loss",
    "accuracy": "accuracy",
    "validation_loss": "val loss",
    "validation_accuracy": "val accuracy",
}
FIRST = ("loss", "validation_loss", "speed", "accuracy", "validation_accuracy")  # what a narrow terminal shows
BAR, TIME = 10, 7  # columns
REDRAWN = 0.1  # seconds between two pictures of a notebook's bar


def progress() -> Callback:
    """The progress display: a bar on a terminal and in a notebook, otherwise lines."""
    if redraws():
        return Bar()
    return CellBar() if has_cells() else Lines()


def introduce(trainer: Training) -> None:
    """Prints, once per trainer, the backend and the device."""
    if not trainer.introduced:
        trainer.introduced = True
        say(backends.explain(trainer.backend))


def conclude(trainer: Training) -> None:
    """Prints why training ended before its last epoch, if it ended by itself."""
    watch = trainer.early_stopping
    if trainer.stopped == "patience":
        epochs = "an epoch" if watch.patience == 1 else f"{watch.patience} epochs"
        best = f"the weights of epoch {watch.best_epoch} are back"
        say(f"stopped early: {watch.monitor} has not improved for {epochs}; {best}")
    elif trainer.stopped == "loss":
        say(f"stopped early: the loss has reached its goal in epoch {trainer.epoch}")


def redraws() -> bool:
    """Whether standard error exists and is a terminal that can redraw a line."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def measure(value: float) -> str:
    """A loss or an accuracy, as text."""
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"


def measures(record: dict[str, float]) -> str:
    """The measures of a record, as text."""
    return "  ".join(f"{label} {measure(record[name])}" for name, label in MEASURES.items() if name in record)


def fitted(record: dict[str, float], speed: str, width: int) -> str:
    """The measures of a record and the speed, as far as `width` columns reach, the most telling ones first."""
    texts = {name: f"{label} {measure(record[name])}" for name, label in MEASURES.items() if name in record}
    texts["speed"] = speed
    kept: list[str] = []
    for name in FIRST:
        if name in texts and len("  ".join(texts[one] for one in [*kept, name])) <= width:
            kept.append(name)
    return "  ".join(text for name, text in texts.items() if name in kept)


@contextmanager
def candidates(count: int, quiet: bool) -> Iterator[Callable[[int, float], None]]:
    """Shows how many candidates of a search are done; yields a callback for this number and the best score."""
    if quiet:
        yield lambda done, best: None
    elif not redraws():
        yield lambda done, best: say(f"candidate {done}/{count}  best {best:.4f}")
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("candidate"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}")
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=count)
            yield lambda done, best: bar.update(task, completed=done, description=f"best {best:.4f}")


class Lines(Callback):
    """One line per epoch."""

    def on_epoch_end(self, trainer: Training, record: dict[str, float]) -> None:
        speed = f"{record['samples_per_second']:,.0f} samples/s"
        say(f"epoch {trainer.epoch}/{trainer.epochs}  {measures(record)}  {speed}")


class Bar(Callback):
    """A bar over all epochs with loss, accuracy, samples per second and the time left, as wide as the terminal."""

    def on_train_begin(self, trainer: Training) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(BAR),
            TextColumn("{task.fields[measures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        with suppress(OSError):  # training continues if the terminal disappears
            self.bar.start()
        self.task = self.bar.add_task("", total=None, epoch="", measures="")

    def on_epoch_begin(self, trainer: Training) -> None:
        self.looked, self.seen = self._clock(), self._done(trainer)
        self._show(trainer, {}, "")

    def on_tick(self, trainer: Training) -> None:
        now, done = self._clock(), self._done(trainer)
        speed = (done - self.seen) / max(now - self.looked, 1e-9)
        self.looked, self.seen = now, done
        self._show(trainer, trainer.totals(), f"{speed:,.0f} samples/s")

    def on_epoch_end(self, trainer: Training, record: dict[str, float]) -> None:
        self._show(trainer, record, f"{record['samples_per_second']:,.0f} samples/s")

    def on_train_end(self, trainer: Training, history: History) -> None:
        with suppress(OSError):
            self.bar.stop()

    def _clock(self) -> float:
        return time.perf_counter() - compile_time.spent()

    def _done(self, trainer: Training) -> int:
        return trainer.epoch * trainer.samples + trainer.state.cursor

    def _show(self, trainer: Training, record: dict[str, float], speed: str) -> None:
        fields: dict[str, Any] = {"epoch": f"{min(trainer.epoch + 1, trainer.epochs)}/{trainer.epochs}"}
        if record:
            taken = len(f"epoch {fields['epoch']}") + BAR + TIME + 3  # a space after each of the first three
            fields["measures"] = fitted(record, speed, self.bar.console.width - taken)
        total = trainer.epochs * trainer.samples
        with suppress(OSError):
            self.bar.update(self.task, completed=self._done(trainer), total=total, **fields)


class CellBar(Bar):
    """The bar in the output of a notebook's cell, as HTML that is replaced."""

    def on_train_begin(self, trainer: Training) -> None:
        from IPython.display import HTML, display  # pyright: ignore[reportMissingImports]

        self._html, self._text, self._shown = HTML, "", 0.0
        self._cell: Any = display(HTML(""), display_id=True)

    def on_train_end(self, trainer: Training, history: History) -> None:
        self._shown = 0.0
        self._show(trainer, {}, "")

    def _show(self, trainer: Training, record: dict[str, float], speed: str) -> None:
        if record:
            self._text = f"{measures(record)}  {speed}"
        if time.monotonic() - self._shown < REDRAWN:
            return
        self._shown = time.monotonic()
        total, epoch = trainer.epochs * trainer.samples, min(trainer.epoch + 1, trainer.epochs)
        bar = f'<progress value="{self._done(trainer)}" max="{total}"></progress>'
        self._cell.update(self._html(f"epoch {epoch}/{trainer.epochs} {bar} {self._text}"))
