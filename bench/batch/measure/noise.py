"""The gradient noise scale, from exact per-example gradient norms in one backward pass.

A dense layer's gradient for one example is an outer product, so its squared norm is ‖δ‖² (‖a‖² + 1), bias included
(Goodfellow 2015, arXiv 1510.01799), with a the layer's input and δ the gradient of that example's own loss before the
activation. The norms of the examples' gradients and of their mean give unbiased estimates of tr Σ and |G|².
B = tr Σ / |G|² (McCandlish et al. 2018) is the batch size at which the standard error equals the gradient's norm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....backends.errors import ConfigurationError
from ....backends.philox import key_of
from ....dl.data import Dataset
from ....dl.data.rows import flat
from ....dl.graph.graph import Node
from ....dl.step.plan import Plan, quietly
from ....dl.step.program import gradient
from ....dl.step.state import new_counters
from ....dl.training.trainer import Trainer
from ....kernels.activations.bias_activation import BIAS_ACTIVATION_BACKWARD
from ....kernels.arrays.matmul import MATMUL
from ....kernels.counters import STEP
from ..records import Estimate

RESAMPLES = 400


@dataclass(frozen=True)
class Moments:
    """Squared norms of the gradients of one sample, by layer.

    Attributes
    ----------
    examples : the mean over the examples of ‖g_i‖².
    mean : ‖ḡ‖², without weight decay.
    whole : ‖ḡ + decay · w‖².
    norms : (rows,) ‖g_i‖² of each example.
    """

    examples: dict[str, float]
    mean: dict[str, float]
    whole: dict[str, float]
    norms: dict[str, np.ndarray] = field(repr=False)

    def noise(self, rows: int, population: int, layer: str | None = None) -> tuple[float, float]:
        """Unbiased tr Σ and |G|², for `rows` rows drawn without replacement from `population`."""
        layers = [layer] if layer is not None else list(self.examples)
        examples, mean, whole = (sum(part[name] for name in layers) for part in (self.examples, self.mean, self.whole))
        trace = rows / (rows - 1) * (examples - mean)
        return trace, whole - trace / rows * (1 - rows / population)


class PerExample:
    """Per-example gradient norms of a trainer's model at its current weights, on its backend.

    Raises
    ------
    ConfigurationError
        A trained layer is not a Linear layer, or is used twice.
    """

    def __init__(self, trainer: Trainer, data: Dataset, rows: int) -> None:
        self.trainer, self.data, self.rows = trainer, data, rows
        self.x, self.y = flat(data.x), flat(data.y)
        backend, state = trainer.backend, trainer.state
        self.program = gradient(trainer.model, trainer.loss, self.x.shape[1], train=True)
        graph = self.program.graph
        self.counters = new_counters(backend)
        shared = {"counters": self.counters, "key": backend.asarray(key_of(trainer.seed))}
        self.plan = Plan(graph, backend, state.arena, shared, rows, join=False)
        owners = {value: name for name, value in graph.parameters.items()}
        self.parameter_of = {graph.gradients[value]: owners[value] for value in owners if value in graph.gradients}
        known = {value for node in graph.nodes for value in _gradients(node)}
        foreign = [name for value, name in self.parameter_of.items() if value not in known]
        if foreign:
            raise ConfigurationError(
                f"the noise scale needs Linear layers, each used once; {foreign[0]!r} belongs to another layer type"
            )

    def moments(self, chosen: np.ndarray, divisors: Mapping[str, Any] | None = None, mask: int = 0) -> Moments:
        """The moments on the chosen rows; gradients are divided by `divisors` (arrays by parameter), if given.

        `mask` is the number of the dropout mask.
        """
        return self.several(chosen, [divisors], mask)[0]

    @quietly
    def several(self, chosen: np.ndarray, divided: Sequence[Mapping[str, Any] | None], mask: int = 0) -> list[Moments]:
        """The moments for each kind of divisors, in one backward pass."""
        backend, rows = self.trainer.backend, len(chosen)
        xp, program = backend.xp, self.program
        assert program.target is not None
        self.counters[STEP] = mask
        self.plan.array(program.x, rows)[...] = backend.asarray(self.x[chosen])
        self.plan.array(program.target, rows)[...] = backend.asarray(self.y[chosen]).reshape(
            rows, *program.target.shape
        )
        norms: list[dict[str, Any]] = [{} for _ in divided]
        for call in self.plan.bind(rows):
            call.run()
            for value in _gradients(call.node):
                name = self.parameter_of.get(value)
                if name is None:
                    continue
                for known, divisors in zip(norms, divided, strict=True):
                    divisor = None if divisors is None else divisors[name]
                    found = _squares(xp, call.node, call.arrays, divisor) * rows**2  # backward carries 1 / rows
                    known[call.node.layer] = known.get(call.node.layer, 0) + found
        return [self._moments(known, divisors) for known, divisors in zip(norms, divided, strict=True)]

    def _moments(self, norms: Mapping[str, Any], divisors: Mapping[str, Any] | None) -> Moments:
        mean, whole = self._means(norms, divisors)
        host = {layer: np.asarray(self.trainer.backend.to_numpy(found)) for layer, found in norms.items()}
        return Moments({layer: float(found.mean()) for layer, found in host.items()}, mean, whole, host)

    def _means(self, norms: Mapping[str, Any], divisors: Mapping[str, Any] | None) -> tuple[dict, dict]:
        """‖ḡ‖² by layer, without weight decay and with it."""
        trainer, arena = self.trainer, self.trainer.state.arena
        xp, optimizer = trainer.backend.xp, trainer.optimizer
        decay = 0.0 if optimizer.attributes.get("decoupled") else optimizer.weight_decay
        mean, whole = dict.fromkeys(norms, 0.0), dict.fromkeys(norms, 0.0)
        layers = {
            self.parameter_of[value]: node.layer
            for node in self.plan.graph.nodes
            for value in _gradients(node)
            if value in self.parameter_of
        }
        for parameter in arena.parameters:
            if parameter.name in layers:
                layer, divisor = layers[parameter.name], 1.0 if divisors is None else divisors[parameter.name]
                g = xp.asarray(arena.view(arena.gradients, parameter), dtype=xp.float64)
                w = xp.asarray(arena.view(arena.values, parameter), dtype=xp.float64)
                mean[layer] += float(((g / divisor) ** 2).sum())
                whole[layer] += float((((g + (decay * parameter.decay) * w) / divisor) ** 2).sum())
        return mean, whole

    def adam_divisors(self) -> dict[str, Any] | None:
        """(√v̂ + ε)^½ of each parameter, if the optimizer is Adam and has taken a step.

        Adam's step g / (√v̂ + ε) is plain gradient descent in coordinates scaled by (√v̂ + ε)^½. In these coordinates
        the gradient is g / (√v̂ + ε)^½.
        """
        state, optimizer = self.trainer.state, self.trainer.optimizer
        if "second" not in state.slots or not state.step:
            return None
        xp, arena = self.trainer.backend.xp, state.arena
        constants = optimizer.constants(state.step - 1, 1.0)
        root, eps = constants[2], constants[7]  # as `kernels.adam.COLUMNS` has them
        second = {
            parameter.name: xp.asarray(arena.view(state.slots["second"], parameter), dtype=xp.float64)
            for parameter in arena.parameters
            if parameter.trained
        }
        return {name: xp.sqrt(xp.sqrt(v) * root + eps) for name, v in second.items()}


def ratio(draws: list[tuple[float, float]], seed: int = 0) -> Estimate:
    """tr Σ / |G|², each averaged over the samples first, with a bootstrap interval."""
    pairs = np.array(draws)
    random = np.random.default_rng(seed)
    means = pairs[random.integers(0, len(pairs), (RESAMPLES, len(pairs)))].mean(axis=1)
    least = 1e-3 * abs(pairs[:, 1].mean()) + 1e-300  # if the gradient is zero, the noise scale is infinite
    trace, square = pairs.mean(axis=0)
    return Estimate.of(trace / max(square, least), means[:, 0] / np.maximum(means[:, 1], least))


def _gradients(node: Node) -> tuple[Any, ...]:
    """Outputs of a node that are parameter gradients with known norms."""
    if node.phase != "backward":
        return ()
    if node.operation is MATMUL and node.attributes["transpose_a"]:
        return node.outputs[:1]
    return node.outputs[1:2] if node.operation is BIAS_ACTIVATION_BACKWARD else ()


def _squares(xp: Any, node: Node, arrays: tuple[Any, ...], divisor: Any) -> Any:
    """(rows,) squared norms of each row's part of the gradient: an outer product, or for a bias δ itself."""
    if node.operation is MATMUL:
        a, d = (xp.asarray(array, dtype=xp.float64) ** 2 for array in arrays[:2])
        if divisor is None:
            return a.sum(axis=1) * d.sum(axis=1)
        return ((a @ divisor**-2.0) * d).sum(axis=1)
    d = xp.asarray(arrays[2], dtype=xp.float64) ** 2
    return d.sum(axis=1) if divisor is None else d @ divisor**-2.0
