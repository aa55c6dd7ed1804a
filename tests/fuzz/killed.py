"""What `test_kills` starts in a process of its own, which has been forked from one where everything is imported."""

from __future__ import annotations

from gearshift.__main__ import main
from gearshift.dl.step import plan
from gearshift.dl.training import loop

PRELOADED = ["killed", "gearshift.dl.commands.train", "gearshift.dl.experiment.build", "sklearn.model_selection"]


def train(arguments: list[str]) -> None:
    """The command line, with checkpoints inside epochs too: the host looks a hundred times a second."""
    loop.TICK = plan.TICK = 0.01  # pyright: ignore[reportPrivateImportUsage]
    main(arguments)
