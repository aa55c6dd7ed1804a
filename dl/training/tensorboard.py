"""`TensorBoard`: the history as event files that TensorBoard shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...backends.errors import ConfigurationError
from .callbacks import Callback
from .history import History
from .training import Training

LEFT_OUT = "epoch", "step"  # they are the axis


class TensorBoard(Callback):
    """Writes each epoch's record for TensorBoard, against the step.

    Values of the validation data are in the same chart as those of the training: ``loss`` and ``validation/loss``.

    Parameters
    ----------
    folder : of the event files, one for each run: ``tensorboard --logdir`` shows those below it.

    Raises
    ------
    ConfigurationError
        The package tensorboardX is not installed.

    Examples
    --------
    >>> trainer.fit(x, y, epochs=10, callbacks=[gs.TensorBoard("runs/board/first")])
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            import tensorboardX  # noqa: F401  # pyright: ignore[reportMissingImports, reportUnusedImport]
        except ImportError:
            raise ConfigurationError(
                "TensorBoard: the package tensorboardX is not installed: pip install 'gearshift[tensorboard]'"
            ) from None
        self.folder = Path(folder)
        self._writer: Any = None

    def on_train_begin(self, trainer: Training) -> None:
        """Opens a new event file."""
        from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

        self._writer = SummaryWriter(str(self.folder))

    def on_epoch_end(self, trainer: Training, record: dict[str, float]) -> None:
        """Writes the epoch's values."""
        for name, value in record.items():
            if name not in LEFT_OUT:
                part, held, rest = name.partition("validation_")
                self._writer.add_scalar(f"validation/{rest}" if held and not part else name, value, int(record["step"]))
        self._writer.flush()

    def on_train_end(self, trainer: Training, history: History) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
