"""What training takes of a backend's memory, known before any of it is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..backends import Backend
from ..backends.errors import DeviceMemoryError
from ..backends.precision import SHORT
from .arena import padded
from .data import Dataset
from .launches import joined
from .plan import bytes_of, own_values, share_memory
from .program import evaluation, step_of
from .resident import flat
from .streamed import block_rows, is_streamed

if TYPE_CHECKING:
    from .graph import Graph
    from .trainer import Trainer


DRAWN = 64  # bytes a row while an epoch's order is drawn: random words, and a sort of them


def statement(
    trainer: Trainer,
    data: Dataset,
    validation: Dataset | None,
    batch_size: int,
    evaluation_rows: int,
    streamed: bool = False,
) -> dict[str, int]:
    """Bytes by what they are for, when training on `data` with batches of `batch_size` rows.

    Data count where the backend must copy them; `streamed`, two blocks of them and the order. What libraries keep
    for themselves does not count.
    """
    width = flat(data.x).shape[1]
    trained, others = (
        sum(padded(p.size, trainer.model.dtype) for p in trainer.model.parameters() if p.trained is which)
        for which in (True, False)
    )
    item = np.dtype(trainer.model.dtype).itemsize
    graph = step_of(trainer, width, trained, weighted=data.weight is not None).graph
    stated = {
        "parameters": (trained + others) * (item + (2 if trainer.precision in SHORT else 0)),
        "gradients": trained * item,
        "optimizer states": len(trainer.optimizer.states) * trained * item,
        "data": _data(trainer, data, min(batch_size, len(data)), streamed),
        "shuffling": 0 if streamed and is_streamed(data, min(batch_size, len(data))) else DRAWN * len(data),
        "activations": _activations(trainer, graph, min(batch_size, len(data))),
    }
    if validation is not None:
        weighted = validation.weight is not None
        program = evaluation(trainer.model, trainer.loss, width, trainer.precision, weighted=weighted)
        rows = min(program.rows_for(max(batch_size, evaluation_rows)), len(validation))
        stated |= {
            "validation data": _data(trainer, validation, rows, streamed),
            "validation activations": _activations(trainer, program.graph, rows),
        }
    return stated


def must_stream(
    trainer: Trainer, data: Dataset, validation: Dataset | None, batch_size: int, evaluation_rows: int
) -> bool:
    """Whether a run fits only with its data on the host; nothing is allocated.

    Raises
    ------
    DeviceMemoryError
        It does not fit so either; the message says what does not, and which batch would.
    """
    streams = trainer.backend.streams

    def needed(rows: int, streamed: bool = streams) -> int:
        stated = statement(trainer, data, validation, rows, evaluation_rows, streamed)
        return sum(bytes_ for name, bytes_ in stated.items() if name not in there)

    there = ("parameters", "gradients", "optimizer states") if trainer.started else ()
    free, total = trainer.backend.memory()
    if needed(batch_size, streamed=False) <= free:
        return False
    if needed(batch_size) <= free:
        return True
    fits, too_large = 0, batch_size
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        fits, too_large = (middle, too_large) if needed(middle) <= free else (fits, middle)
    parts = statement(trainer, data, validation, batch_size, evaluation_rows, streams)
    listed = ", ".join(f"{name} {_gib(bytes_)}" for name, bytes_ in parts.items() if name not in there)
    way_out = f"the largest batch that fits is {fits:,}" if fits else "no batch fits: take a smaller model or data set"
    raise DeviceMemoryError(
        f"batches of {batch_size:,} rows need {_gib(needed(batch_size))} on backend {trainer.backend.name!r} "
        f"({listed}), but {_gib(free)} of {_gib(total)} are free; {way_out}"
    )


def exceeds(backend: Backend, data: Dataset) -> bool:
    """Whether a data set alone takes more than half of the free memory of a backend to which it can be streamed."""
    return backend.streams and _held(backend, data) > backend.memory()[0] // 2


def _held(backend: Backend, data: Dataset) -> int:
    return sum(backend.bytes_to_hold(array) for array in (data.x, data.y, data.weight) if array is not None)


def _data(trainer: Trainer, data: Dataset, rows: int, streamed: bool) -> int:
    held = _held(trainer.backend, data)
    if streamed:
        held = min(held, 2 * block_rows(data, rows) * (held // len(data)))
    return held + len(data) * np.dtype(np.int64).itemsize


def _activations(trainer: Trainer, graph: Graph, rows: int) -> int:
    graph = joined(graph) if trainer.backend.joins else graph
    return sum(bytes_of(value, rows) for value in own_values(graph, share_memory(graph)))


def _gib(bytes_: int) -> str:
    return f"{bytes_ / 2**30:.2f} GiB"
