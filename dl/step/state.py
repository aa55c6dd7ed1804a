"""The state of a training run: parameters, optimizer states, counters, totals, key, table of constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...backends import Backend
from ...backends.errors import CheckpointError, ConfigurationError
from ...backends.philox import key_of
from ...backends.precision import SHORT
from ...kernels.counters import COUNTERS, CURSOR, FAILED, ROW, STEP
from ...kernels.updates.loss_scale import FIRST
from ..optimizers.base import Optimizer
from ..optimizers.groups import ParameterGroup
from ..optimizers.schedules import Schedule
from ..storage.tensors import strip
from ..turns import Turns
from .arena import Arena
from .averaging import WeightAverage, with_average
from .settings import recheck, snapshot
from .shared import together
from .spec import StepSpec

TABLE = 1024  # the constants of so many steps are computed at once, in blocks that start at multiples of it
ROOM = 8  # elements behind the gradients that the exchange between ranks needs besides the metrics


class TrainingState:
    """Arrays of one run on one backend, shared by all its plans.

    The host counts the steps that it starts, so it knows the step and the cursor without reading from the device.
    """

    def __init__(self, spec: StepSpec, backend: Backend, turns: Turns | None = None) -> None:
        model, optimizer, schedule, groups = spec.model, spec.optimizer, spec.schedule, spec.groups
        recheck(optimizer)
        recheck(schedule)
        self.backend, self.optimizer, self.schedule, self.groups = backend, optimizer, schedule, groups
        copy = spec.precision if spec.precision in SHORT else None
        self.key = key_of(spec.seed)
        parameters = model.ensure_initialized(spec.seed).parameters()
        room = ROOM + len(spec.loss.metrics)
        self.arena = Arena(backend, model.dtype, parameters, groups, copy, turns, room)
        real = self.arena.dtype
        self.step = self.cursor = self.skipped = 0
        self._block = -1
        self._faults: dict[int, str] = {}  # steps for which the schedule has no factor
        self._made, self._rates = -1, np.empty(0)  # the block of steps that the table was last made for, and its rates
        self._settings = snapshot((optimizer, schedule, self.groups))
        self._form = optimizer.states, optimizer.attributes
        self.slots = {
            name: self.arena.zeros() if name in optimizer.states else backend.zeros(0, real) for name in optimizer.slots
        }
        for name, value in optimizer.initial.items():
            self.slots[name][...] = value
        self.counters, self.totals = new_counters(backend), backend.zeros(1 + len(spec.loss.metrics), np.float64)
        ranges = self.arena.ranges
        columns = len(optimizer.constants(0, 1.0))
        self.table = backend.zeros((TABLE, columns), real)
        self.rates = backend.zeros(TABLE, real)
        own: dict[str, Any] = {
            "p": self.arena.trained,
            "g": self.arena.gradients,
            "counters": self.counters,
            "totals": self.totals,
            "key": backend.asarray(self.key),
            "bounds": backend.asarray(np.array([r[:2] for r in ranges], dtype=np.int64).reshape(-1, 2)),
            "factors": backend.asarray(self._factors()),
            "weights": backend.asarray(np.array([part.decayed for part in ranges], dtype=real)),
            "table": self.table,
            "learning rates": self.rates,
            "clip": backend.asarray(np.ones(1, dtype=real)),
        }
        self.average = None if spec.ema is None else WeightAverage(self.arena, spec.ema, TABLE)
        if self.average is not None:
            own |= {"average": self.average.other, "average rates": self.average.rates}
        if self.arena.copy is not None:
            own["copy"] = self.arena.copy[: self.arena.size]
        self.scale = None
        if spec.precision == "float16":
            self.scale = own["loss scale"] = backend.asarray(np.array([FIRST, 0, 0], dtype=real))
            own["step rates"] = backend.zeros(TABLE, np.float64)
            own["step parts"] = backend.zeros((TABLE, columns, 2), np.float64)
        name = type(optimizer).__name__
        self.shared = together({f"{name}'s slots": self.slots, "the training state": own})

    def follow(
        self, optimizer: Optimizer, schedule: Schedule | Callable[[int], float], groups: Sequence[ParameterGroup]
    ) -> bool:
        """Applies changed settings from the next step on; returns whether there were any.

        Raises
        ------
        ConfigurationError
            A setting has an invalid value or cannot be changed any more.
        """
        now = snapshot((optimizer, schedule, groups))
        if now == self._settings and optimizer is self.optimizer and schedule is self.schedule:
            return False
        before, kind = self.optimizer, type(optimizer)
        remedy = "make a new Trainer of trainer.model"
        if kind is not type(before):
            raise ConfigurationError(
                f"training began with {type(before).__name__}, whose states do not suit {kind.__name__}: {remedy}"
            )
        recheck(optimizer)
        recheck(schedule)
        known = dict(self._settings[0][1])
        for name in optimizer.fixed:
            if snapshot(getattr(optimizer, name)) != known.get(name):
                raise ConfigurationError(
                    f"{kind.__name__}: {name} cannot change once training has begun, was {known.get(name)!r} and is "
                    f"{getattr(optimizer, name)!r}; change it by a schedule, or {remedy}"
                )
        if (optimizer.states, optimizer.attributes) != self._form:
            raise ConfigurationError(
                f"{kind.__name__}: the optimizer needs other states now than when training began; {remedy}"
            )
        if [group.names for group in groups] != [group.names for group in self.groups]:
            raise ConfigurationError(
                f"trainer.groups: the groups' names were {[group.names for group in self.groups]} when training "
                f"began and are {[group.names for group in groups]}; only their rates and decays may change: {remedy}"
            )
        self.optimizer, self.schedule, self.groups = optimizer, schedule, tuple(groups)
        self.shared["factors"][...] = self.backend.asarray(self._factors())
        self._settings, self._block = snapshot((optimizer, schedule, groups)), -1
        return True

    def _factors(self) -> np.ndarray:
        """The factor of the optimizer's rate and the weight decay of each range (ranges, 2)."""
        groups = [*self.groups, None]
        factors = [self._factors_of(part.decayed, groups[part.group]) for part in self.arena.ranges]
        return np.array(factors, dtype=self.arena.dtype).reshape(-1, 2)

    def _factors_of(self, decayed: bool, group: ParameterGroup | None) -> tuple[float, float]:
        """The factor of the optimizer's rate and the weight decay of a range."""
        optimizer = self.optimizer
        rate, decay = 1.0, optimizer.weight_decay
        if group is not None and group.lr is not None:
            if optimizer.lr == 0:
                raise ConfigurationError(
                    f"ParameterGroup {group.names!r}: the optimizer's lr is 0; expected it above 0"
                )
            rate = group.lr / optimizer.lr
        if group is not None and group.weight_decay is not None:
            decay = group.weight_decay
        return rate, decay if decayed else 0.0

    def attach(self) -> None:
        """Makes the model's parameters those of the run; the average begins anew if they were set from outside."""
        if self.arena.attach() and self.average is not None:
            self.average.begin(self.step)
            self._block = -1

    def lr(self, step: int) -> float:
        """The learning rate of step number `step`; from the table, if it still has this step."""
        block, row = divmod(step, TABLE)
        return float(self._rates[row]) if block == self._made else self.optimizer.lr * self.schedule(step)

    def prepare(self, steps: int) -> int:
        """Prepares the next steps' constants; returns how many of `steps` can be run before the next call."""
        block, row = divmod(self.step, TABLE)
        if block != self._block:
            first = block * TABLE
            rates = [self.optimizer.lr * self._factor(step) for step in range(first, first + TABLE)]
            if self.scale is None:
                rows = [self.optimizer.constants(step, lr) for step, lr in enumerate(rates, first)]
            else:
                rows = self._scaled_rows(first, rates)
            for array, values in ((self.table, rows), (self.rates, rates)):
                with np.errstate(over="ignore", under="ignore"):  # the former ends in a loss that is reported
                    array[...] = self.backend.asarray(np.array(values).astype(self.arena.dtype))
            if self.average is not None:
                self.average.prepare(block * TABLE)
            self._block = self._made = block
            self._rates = np.array(rates, dtype=np.float64)
            self.counters[ROW] = row
        steps = min(steps, TABLE - row)
        faults = np.flatnonzero(np.isnan(self._rates[row : row + steps]))
        if faults.size and not faults[0]:
            raise ConfigurationError(self._faults[self.step])
        return int(faults[0]) if faults.size else steps

    def _factor(self, step: int) -> float:
        """The schedule's factor; NaN if it has none, which is an error only where the step is taken."""
        try:
            factor = self.schedule(step)
        except Exception as error:
            self._faults[step] = f"the schedule fails at step {step}: {type(error).__name__}: {error}"
            return math.nan
        if not isinstance(factor, int | float | np.number) or not 0 <= factor < math.inf:
            self._faults[step] = f"the schedule returned {factor!r} at step {step}; expected a number of at least 0"
            return math.nan
        return float(factor)

    def _scaled_rows(self, first: int, rates: list[float]) -> np.ndarray:
        """The table's rows from step `first` on, given the updates so far. Reads from the device.

        See kernels/updates/loss_scale.py.

        Skipped steps are counted as on the device, so that resumed runs are bit-identical.
        """
        assert self.scale is not None
        self.skipped, self.scale[2] = self.skipped + int(self.scale[2]), 0
        updates = [max(0, step - self.skipped) for step in range(first, first + TABLE)]
        still, moving = (np.array([self.optimizer.constants(n, lr) for n in updates]) for lr in (0.0, 1.0))
        parts = np.stack([still, moving - still], axis=2)
        self.shared["step rates"][...] = self.backend.asarray(np.array(rates))
        self.shared["step parts"][...] = self.backend.asarray(parts)
        return parts[:, :, 0] + np.array(rates)[:, None] * parts[:, :, 1]

    def advanced(self, steps: int, rows: int) -> None:
        """Counts `steps` started steps of `rows` rows."""
        self.step += steps
        self.cursor += steps * rows

    def begin_epoch(self) -> None:
        """Sets the cursor and the totals to 0."""
        self.cursor = 0
        self.counters[CURSOR] = 0
        self.totals[...] = 0

    def failed_step(self) -> int:
        """The first step whose loss was not finite, or -1. Reads from the device."""
        return int(self.counters[FAILED])

    def rewind(self, step: int, cursor: int) -> None:
        """Goes back to a step whose loss was not finite; no update has followed it.

        The totals contain this loss, so the means of the epoch are restarted.
        """
        self._move(step, cursor)
        self.totals[...] = 0

    def pack(self) -> dict[str, np.ndarray]:
        """All arrays by name, on the host."""
        tensors = {f"model.{name}": value for name, value in self.arena.pack(self.arena.values).items()}
        for slot in self.optimizer.states:
            packed = self.arena.pack(self.slots[slot])
            tensors |= {f"optimizer.{slot}.{name}": value for name, value in packed.items()}
        if self.scale is not None:
            tensors["loss scale"] = self.backend.to_numpy(self.scale) + np.array([0, 0, self.skipped], self.arena.dtype)
        tensors |= {"totals": np.array(self.backend.to_numpy(self.totals))}
        return tensors if self.average is None else self.average.pack(tensors, self.step)

    def unpack(self, tensors: dict[str, np.ndarray], step: int, cursor: int) -> None:
        """Loads what `pack` returned. Names, shapes and dtypes of the tensors must match, or nothing changes.

        Raises
        ------
        CheckpointError
            They do not match.
        """
        expected = self.pack()
        tensors = with_average(tensors, expected, step)
        if "loss scale" not in expected.keys() & tensors.keys():  # a run may go on in another precision
            expected, tensors = ({k: v for k, v in t.items() if k != "loss scale"} for t in (expected, tensors))
        missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
        if missing or unknown:
            raise CheckpointError(
                f"its tensors are those of another run: missing {missing or 'none'}, unknown {unknown or 'none'}"
            )
        for name, mine in expected.items():
            found = tensors[name]
            if (found.shape, found.dtype) != (mine.shape, mine.dtype):
                raise CheckpointError(
                    f"tensor {name!r} is {found.shape} {found.dtype}; expected {mine.shape} {mine.dtype}"
                )
        scales = tensors.get("loss scale", np.ones(3))
        if not (np.isfinite(scales).all() and scales[0] > 0 and scales[1:].min() >= 0):
            raise CheckpointError(f"tensor 'loss scale' is {scales}; expected a number above 0, and two of at least 0")
        for slot in self.optimizer.states:
            prefix = f"optimizer.{slot}."
            self.arena.unpack(self.slots[slot], strip(tensors, prefix))
        self.arena.unpack(self.arena.values, strip(tensors, "model."))
        if self.average is not None:
            self.average.unpack(tensors, step)
        self.totals[...] = self.backend.asarray(tensors["totals"])
        if self.scale is not None and "loss scale" in tensors:
            self.scale[...] = self.backend.asarray(tensors["loss scale"])
            self.skipped = 0  # all of them are in the tensor
        self._move(step, cursor)
        self._made = -1

    def _move(self, step: int, cursor: int) -> None:
        self.step, self.cursor, self._block = step, cursor, -1
        counters = new_counters(self.backend)
        counters[STEP], counters[CURSOR] = step, cursor
        self.counters[...] = counters


def new_counters(backend: Backend) -> Any:
    """Counters of a run that has not begun."""
    counters = backend.zeros(COUNTERS, np.int64)
    counters[FAILED] = -1
    return counters
