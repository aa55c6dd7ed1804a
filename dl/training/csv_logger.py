"""`CSVLogger`: the history as a CSV file while a training runs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from ..storage import write_atomically
from .callbacks import Callback
from .history import History
from .training import Training


class CSVLogger(Callback):
    """Writes a line per epoch to a CSV file; the first line has the names of the columns.

    The file holds the whole history, also after a resumed training. A value that a later callback adds to the record
    of an epoch is not in it: let this one be the last.

    Parameters
    ----------
    path : of the file; an old one is replaced.

    Raises
    ------
    OSError
        The file cannot be written.

    Examples
    --------
    >>> trainer.fit(x, y, epochs=10, callbacks=[gs.CSVLogger("history.csv")])
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._columns: list[str] = []

    def on_train_begin(self, trainer: Training) -> None:
        """Writes the history so far."""
        self._rewrite(trainer.history)

    def on_epoch_end(self, trainer: Training, record: dict[str, float]) -> None:
        """Adds the epoch; a new column writes the file anew."""
        if [*record] != self._columns:
            self._rewrite(trainer.history)
            return
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(record.values())

    def _rewrite(self, history: History) -> None:
        self._columns = [*dict.fromkeys(name for record in history for name in record)]
        write_atomically(self.path, as_csv(history, self._columns).encode())


def as_csv(history: History, columns: list[str]) -> str:
    """A history as CSV; a value that is missing is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()
