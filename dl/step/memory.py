"""The memory that training needs on a backend, computed before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...backends import Backend, host
from ...backends.errors import DeviceMemoryError
from ...backends.precision import SHORT
from ..data import Dataset
from ..data.rows import flat
from ..data.streamed import block_rows, is_streamed
from ..graph.fused_attention import SOFTMAXES, with_attention
from ..graph.fused_ops import joined
from ..graph.graph import Graph
from .arena import padded
from .plan import bytes_of, own_values, share_memory
from .program import Program, evaluation, training
from .spec import StepSpec
from .state import ROOM

DRAWN = 64  # bytes a row while an epoch's order is drawn: random words, and a sort of them


@dataclass(frozen=True)
class Demand:
    """The memory that a `fit` needs: for its programs, each lowered once, and its data.

    Parameters
    ----------
    data, validation : the training data and the validation data.
    training, evaluation : the programs of a step and of an evaluation.
    evaluation_rows : minimum rows of an evaluation batch.
    """

    spec: StepSpec
    backend: Backend
    data: Dataset
    validation: Dataset | None
    training: Program
    evaluation: Program | None
    evaluation_rows: int

    @classmethod
    def of(
        cls, spec: StepSpec, backend: Backend, data: Dataset, validation: Dataset | None, evaluation_rows: int
    ) -> Demand:
        """Lowers the programs."""
        spec.model.parameters()  # gives names
        step = training(spec, flat(data.x).shape[1], weighted=data.weight is not None)
        held_out = None
        if validation is not None:
            held_out = evaluation(spec, flat(validation.x).shape[1], weighted=validation.weight is not None)
        return cls(spec, backend, data, validation, step, held_out, evaluation_rows)

    def bytes(self, batch_size: int, streamed: bool = False) -> dict[str, int]:
        """Bytes by purpose, in training with batches of `batch_size` rows.

        Data count if the backend must copy them. If `streamed`, only two blocks and the row order count. Memory that
        libraries allocate is not included.
        """
        spec, rows = self.spec, min(batch_size, len(self.data))
        trained, others = spec.elements(), spec.elements(trained=False)
        item = np.dtype(spec.model.dtype).itemsize
        stated = {
            "parameters": (trained + others) * (item + (2 if spec.precision in SHORT else 0)),
            "gradients": (trained + padded(ROOM + len(spec.loss.metrics), spec.model.dtype)) * item,
            "optimizer states": len(spec.optimizer.states) * trained * item,
            **({} if spec.ema is None else {"average of the weights": trained * item}),
            "data": self._held(self.data, rows, streamed),
            "shuffling": 0 if streamed and is_streamed(self.data, rows) else DRAWN * len(self.data),
            "activations": self._activations(self.training.graph, rows),
        }
        if self.validation is not None and self.evaluation is not None:
            rows = min(self.evaluation.rows_for(max(batch_size, self.evaluation_rows)), len(self.validation))
            stated |= {
                "validation data": self._held(self.validation, rows, streamed),
                "validation activations": self._activations(self.evaluation.graph, rows),
            }
        return stated

    def must_stream(self, batch_size: int, *, started: bool) -> bool:
        """Whether the run fits only if its data stay on the host; nothing is allocated.

        `started` tells that the parameters and the optimizer's states are already allocated.

        Raises
        ------
        DeviceMemoryError
            It does not fit even then. The message tells what does not fit and which batch size would.
        """
        streams = self.backend.streams

        def needed(rows: int, streamed: bool = streams) -> int:
            return sum(bytes_ for name, bytes_ in self.bytes(rows, streamed).items() if name not in there)

        there = ("parameters", "gradients", "optimizer states", "average of the weights") if started else ()
        free, total = self.backend.memory()
        if needed(batch_size, streamed=False) <= free:
            return False
        if needed(batch_size) <= free:
            return True
        fits, too_large = 0, batch_size
        while too_large - fits > 1:
            middle = (fits + too_large) // 2
            fits, too_large = (middle, too_large) if needed(middle) <= free else (fits, middle)
        parts = self.bytes(batch_size, streams)
        listed = ", ".join(f"{name} {_gib(bytes_)}" for name, bytes_ in parts.items() if name not in there)
        way_out = (
            f"the largest batch that fits is {fits:,}" if fits else "no batch fits: take a smaller model or data set"
        )
        raise DeviceMemoryError(
            f"batches of {batch_size:,} rows need {_gib(needed(batch_size))} on backend {self.backend.name!r} "
            f"({listed}), but {_gib(free)} of {_gib(total)} are free; {way_out}"
        )

    def _held(self, data: Dataset, rows: int, streamed: bool) -> int:
        held = _held(self.backend, data)
        if streamed:
            held = min(held, 2 * block_rows(data, rows) * (held // len(data)))
        return held + len(data) * np.dtype(np.int64).itemsize

    def _activations(self, graph: Graph, rows: int) -> int:
        graph = joined(graph) if self.backend.joins else graph
        if any(node.operation in SOFTMAXES for node in graph.nodes) and self.backend.runs_tasks:  # to ask may compile
            graph = with_attention(graph, host.threads())
        return sum(bytes_of(value, rows) for value in own_values(graph, share_memory(graph)))


def exceeds(backend: Backend, data: Dataset) -> bool:
    """Whether a data set needs more than half of the free memory of a backend that supports streaming."""
    return backend.streams and _held(backend, data) > backend.memory()[0] // 2


def _held(backend: Backend, data: Dataset) -> int:
    return sum(backend.bytes_to_hold(array) for array in (data.x, data.y, data.weight) if array is not None)


def _gib(bytes_: int) -> str:
    return f"{bytes_ / 2**30:.2f} GiB"
