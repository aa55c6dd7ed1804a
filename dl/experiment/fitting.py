"""Trains a run as its configuration says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import build as experiment

if TYPE_CHECKING:
    from ..data import Splits
    from ..training.trainer import Trainer
    from .run_writer import RunWriter
    from .sections import Configuration


def fit(
    trainer: Trainer,
    splits: Splits,
    configuration: Configuration,
    writer: RunWriter | None,
    *,
    epochs: int | None = None,
    verbose: bool = False,
) -> None:
    """Trains up to `epochs` finished epochs, by default those of the configuration; `writer`, if any, writes the run.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C, at the next batch boundary.
    """
    section = configuration.train
    trainer.fit(
        splits.train,
        validation=splits.validation,
        epochs=(section.epochs if epochs is None else epochs) - trainer.epoch,
        batch_size=section.batch_size,
        patience=section.patience or None,
        monitor=section.monitor,
        min_delta=section.min_delta,
        metrics=section.metrics,
        loss_goal=section.loss_goal or None,
        order=section.order,
        accumulate=section.accumulate,
        class_weight=experiment.class_weights(configuration, splits),
        callbacks=[*experiment.build_callbacks(configuration, splits), *([writer] if writer else [])],
        verbose=verbose,
    )


def over(trainer: Trainer, configuration: Configuration, epochs: int) -> bool:
    """Whether nothing is left to train: the epochs, the patience or the goal of the loss are reached."""
    section, history = configuration.train, trainer.history
    trainer.early_stopping.patience = section.patience or None
    if trainer.epoch >= epochs or trainer.early_stopping.exhausted(trainer.epoch):
        return True
    return bool(section.loss_goal and len(history) and history[-1]["loss"] <= section.loss_goal)
