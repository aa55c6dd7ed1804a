"""How the ranks that train together begin: with the same versions, settings and data, and in the state of rank 0."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..._version import __version__
from ...backends.errors import ConfigurationError
from ...backends.launch import ranks
from ...backends.rank_gpu import REMEDY
from ...backends.ranks import Ranks
from ..data import Dataset
from ..step.settings import snapshot
from ..step.spec import StepSpec
from .training import Training

SHORT = 200  # letters of two descriptions that an error quotes


@contextmanager
def joined(
    trainer: Training, data: Dataset, validation: Dataset | None, settings: Mapping[str, Any]
) -> Iterator[Ranks | None]:
    """Yields the ranks that train together, once they agree; None if this process trains alone.

    Raises
    ------
    ConfigurationError
        The ranks were given different things, or there are fewer rows in a batch than ranks.
    """
    found = ranks()
    if found.size == 1:
        yield None
        return
    for name, rows in (("the data set", len(data)), ("batch_size", settings["batch_size"])):
        if rows < found.size:
            raise ConfigurationError(f"{name} has {rows} rows for {found.size} ranks; expected at least one for each")
    found.training = True
    try:
        _check_gpus(found, trainer.backend.name)
        check_agreement(found, _given(trainer, data, validation, settings))
        synchronize(trainer, found)
        yield found
        found.barrier()  # no rank goes on before rank 0 has saved
    finally:
        found.training = False


def _check_gpus(found: Ranks, backend: str) -> None:
    """Raises ConfigurationError on all ranks if some use a GPU and others do not, as where a machine has too few."""
    names = found.gather(backend)
    without = [rank for rank, name in enumerate(names) if name != "cupy"]
    if 0 < len(without) < found.size:
        raise ConfigurationError(
            f"rank {without[0]} has backend {names[without[0]]!r}, and rank {names.index('cupy')} has 'cupy'; {REMEDY} "
            "on all ranks"
        )


def check_agreement(found: Ranks, given: Mapping[str, str]) -> None:
    """Raises ConfigurationError on all ranks if one was given something else than rank 0."""
    everyone = found.gather(dict(given))
    for rank, other in enumerate(everyone):
        for name, value in everyone[0].items():
            if other[name] != value:
                both = f": {other[name]}, and {value}" if len(other[name] + value) < SHORT else ""
                raise ConfigurationError(
                    f"{name} of rank {rank} differs from that of rank 0{both}; all ranks need the same versions, "
                    "configuration and data"
                )


def synchronize(trainer: Training, found: Ranks) -> None:
    """Brings all ranks to the state of rank 0, which alone may have read a checkpoint."""
    state, first = trainer.state, found.rank == 0

    def packed() -> tuple[Any, ...]:
        place = trainer.epoch, trainer.history.records, trainer.early_stopping, trainer.goes_on
        return state.pack(), state.step, state.cursor, trainer.backend.choices, place

    tensors, step, cursor, choices, place = found.share(packed)
    if not first:
        trainer.backend.restore(choices)
        state.unpack(tensors, step, cursor)
        trainer.epoch, trainer.history.records, trainer.early_stopping, trainer.goes_on = place


def _given(trainer: Training, data: Dataset, validation: Dataset | None, settings: Mapping[str, Any]) -> dict[str, str]:
    """What the ranks must have in common, in words; of data, a hash."""
    from ..data.identity import part_of  # pydantic, which training in one process does without

    spec = trainer.spec
    parts = {"the training data": data, "the validation data": validation}
    return {
        "the version of Gearshift": __version__,
        "the version of NumPy": np.__version__,
        "the backend": trainer.backend.name,
        "the model": _words(trainer.model),
        "the loss": _words(trainer.loss),
        "the configuration": _words((settings_of(spec), *sorted(settings.items()))),
        **{name: "none" if part is None else part_of(part).values for name, part in parts.items()},
    }


def settings_of(spec: StepSpec) -> str:
    """The settings that may be changed by hand, and those that a plan depends on, in words."""
    made_of = spec.optimizer, spec.schedule, spec.groups, spec.clip_norm, spec.clip_value, spec.regularizer
    return _words(snapshot((*made_of, spec.precision, spec.seed, spec.ema)))


def _words(value: Any) -> str:
    """A value in words that are the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
