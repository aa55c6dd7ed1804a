"""JAX: a jitted step with donated state, and many steps in one `lax.scan`."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax  # pyright: ignore[reportMissingImports]
import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
import numpy as np

from .contender import Contender, ContenderEpochs, ContenderSteps
from .networks import BETAS, EPS, LR, DenseNetwork, Pixels, Weights

SHUFFLE = 5  # seed of the epochs' orders


def make(kind: str) -> Contender:
    """JAX by the ``"step"``, or with every step of a block or an epoch in one ``"scan"``."""
    return Jax(kind == "scan")


class Jax(Contender):
    """Gradients by `value_and_grad`, Adam written out: XLA fuses it."""

    def __init__(self, scan: bool) -> None:
        self.scan = scan

    def steps(self, network: DenseNetwork, layers: Weights, x: np.ndarray, y: np.ndarray) -> ContenderSteps:
        kind = ScannedSteps if self.scan else JaxResidentSteps
        return kind(network.autoencoder, layers, x, y)

    def epochs(self, network: DenseNetwork, layers: Weights, data: Pixels, batch_size: int) -> ContenderEpochs:
        kind = ScannedEpochs if self.scan else JaxIndexedEpochs
        x = jax.device_put(data.standardized())
        y = x if network.autoencoder else jax.device_put(data.y.astype(np.int32))
        return kind(network.autoencoder, layers, x, y, batch_size)

    def settings(self) -> dict[str, Any]:
        return {"jax": jax.__version__, "device": str(jax.devices()[0])}


def begin(layers: Weights) -> Any:
    """Parameters, both moments and the step number, all on the device and owned by nobody else."""
    parameters = [(jnp.array(w), jnp.array(b)) for w, b in layers]
    first, second = (jax.tree.map(jnp.zeros_like, parameters) for _ in range(2))
    return jax.block_until_ready((parameters, first, second, jnp.zeros((), jnp.float32)))


def loss_of(parameters: Any, x: Any, y: Any, autoencoder: bool, kind: Any = jnp.float32) -> Any:
    """The mean loss of a batch; factors and activations are of the dtype `kind`."""
    for position, (w, b) in enumerate(parameters):
        x = (jax.nn.relu(x) if position else x) @ w.astype(kind) + b.astype(kind)
    x = x.astype(jnp.float32)
    if autoencoder:
        return jnp.mean((x - y) ** 2)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], axis=1))


def step_of(state: Any, x: Any, y: Any, autoencoder: bool, kind: Any = jnp.float32) -> Any:
    """A training step: the next state, and the loss."""
    parameters, first, second, count = state
    loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y, autoencoder, kind)
    count = count + 1
    beta1, beta2 = BETAS
    rate, root = LR / (1 - beta1**count), 1 / jnp.sqrt(1 - beta2**count)
    first = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, first, gradients)
    second = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, second, gradients)
    parameters = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) * root + EPS), parameters, first, second)
    return (parameters, first, second, count), loss


def picked(x: Any, rows: Any) -> Any:
    """Rows by index, without a check for indices out of range."""
    return x.at[rows].get(mode="promise_in_bounds")


@partial(jax.jit, static_argnames="autoencoder", donate_argnums=0)
def step(state: Any, x: Any, y: Any, autoencoder: bool) -> Any:
    """One step on a batch."""
    return step_of(state, x, y, autoencoder)


@partial(jax.jit, static_argnames=("autoencoder", "steps"), donate_argnums=0)
def steps_scanned(state: Any, x: Any, y: Any, autoencoder: bool, steps: int) -> Any:
    """Many steps on one batch."""
    return jax.lax.scan(lambda state, _: step_of(state, x, y, autoencoder), state, length=steps)


@partial(jax.jit, static_argnames="autoencoder", donate_argnums=0)
def step_indexed(state: Any, x: Any, y: Any, rows: Any, autoencoder: bool) -> Any:
    """One step on the batch that `rows` (batch,) picks."""
    batch = picked(x, rows)
    return step_of(state, batch, batch if autoencoder else picked(y, rows), autoencoder)


@partial(jax.jit, static_argnames="autoencoder", donate_argnums=0)
def epoch_scanned(state: Any, x: Any, y: Any, order: Any, autoencoder: bool) -> Any:
    """A step on each batch that the rows of `order` (batches, batch) pick."""

    def body(state: Any, rows: Any) -> Any:
        batch = picked(x, rows)
        return step_of(state, batch, batch if autoencoder else picked(y, rows), autoencoder)

    return jax.lax.scan(body, state, order)


class JaxResidentSteps(ContenderSteps):
    """Steps on one batch, called one by one."""

    def __init__(self, autoencoder: bool, layers: Weights, x: np.ndarray, y: np.ndarray) -> None:
        self.autoencoder, self.layers = autoencoder, layers
        self.x = jax.device_put(x)
        self.y = self.x if autoencoder else jax.device_put(y.astype(np.int32))
        self.reset()

    def reset(self) -> None:
        self.state = begin(self.layers)

    def run(self, steps: int) -> None:
        state, x, y, autoencoder = self.state, self.x, self.y, self.autoencoder
        for _ in range(steps):
            state, _loss = step(state, x, y, autoencoder)
        self.state = jax.block_until_ready(state)

    def losses(self, steps: int) -> list[float]:
        self.reset()
        losses = []
        for _ in range(steps):
            self.state, loss = step(self.state, self.x, self.y, self.autoencoder)
            losses.append(float(loss))
        return losses


class ScannedSteps(JaxResidentSteps):
    """Steps on one batch, all in one call."""

    def run(self, steps: int) -> None:
        self.state, _ = jax.block_until_ready(steps_scanned(self.state, self.x, self.y, self.autoencoder, steps))

    def losses(self, steps: int) -> list[float]:
        self.reset()
        self.state, losses = steps_scanned(self.state, self.x, self.y, self.autoencoder, steps)
        return [float(loss) for loss in losses]


class JaxIndexedEpochs(ContenderEpochs):
    """Epochs of a step at a time; NumPy draws the order, faster here than `jax.random`."""

    def __init__(self, autoencoder: bool, layers: Weights, x: Any, y: Any, batch_size: int) -> None:
        self.autoencoder, self.x, self.y, self.batch_size = autoencoder, x, y, batch_size
        self.state, self.generator = begin(layers), np.random.default_rng(SHUFFLE)

    def run(self) -> None:
        state, order = self.state, self.generator.permutation(len(self.x)).astype(np.int32)
        for first in range(0, len(order), self.batch_size):
            state, _ = step_indexed(state, self.x, self.y, order[first : first + self.batch_size], self.autoencoder)
        self.state = jax.block_until_ready(state)

    def weights(self) -> Weights:
        return [(np.asarray(w), np.asarray(b)) for w, b in self.state[0]]


class ScannedEpochs(JaxIndexedEpochs):
    """Epochs whose whole batches are one call, and a shorter last batch another."""

    def run(self) -> None:
        state, order = self.state, self.generator.permutation(len(self.x)).astype(np.int32)
        whole = len(order) // self.batch_size * self.batch_size
        batches = order[:whole].reshape(-1, self.batch_size)
        state, _ = epoch_scanned(state, self.x, self.y, batches, self.autoencoder)
        if whole < len(order):
            state, _ = step_indexed(state, self.x, self.y, order[whole:], self.autoencoder)
        self.state = jax.block_until_ready(state)
