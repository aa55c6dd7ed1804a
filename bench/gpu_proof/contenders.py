"""The others: a training step of a dense network in PyTorch and in JAX, each at its best."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..peers.networks import BETAS, EPS, LR, DenseNetwork, Weights
from .report import NotRun

Run = Callable[[int], None]
TIE = 1.05  # a contender this much faster is no faster


class Torch:
    """A step of a dense network in PyTorch: rows through an order at a cursor, loss, gradients, fused Adam.

    `short` is how bfloat16 comes in: by ``"autocast"``, or by ``"weights"`` of the model, whose float32 masters the
    optimizer updates and which are written anew from them. The data are bfloat16 too then. A step is `rows` rows of
    the data, or all of them.
    """

    def __init__(
        self,
        network: DenseNetwork,
        layers: Weights,
        x: np.ndarray,
        y: np.ndarray,
        *,
        capturable: bool = False,
        short: str = "",
        rows: int = 0,
    ) -> None:
        import torch

        self.torch = torch
        torch.backends.cuda.matmul.allow_tf32 = False
        self.device = device = "cuda" if torch.cuda.is_available() else "cpu"
        modules: list[Any] = []
        for position, (w, b) in enumerate(layers):
            linear = torch.nn.Linear(*w.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(w.T.copy()))
                linear.bias.copy_(torch.from_numpy(b))
            modules += [torch.nn.ReLU()] * bool(position) + [linear]
        self.model: Any = torch.nn.Sequential(*modules).to(device)
        self.loss = torch.nn.functional.mse_loss if network.autoencoder else torch.nn.functional.cross_entropy
        capture = {"capturable": True} if capturable else {}
        self.short = short
        self.masters = list(self.model.parameters())
        if short == "weights":
            self.masters = [parameter.detach().clone().requires_grad_() for parameter in self.masters]
            for master in self.masters:
                master.grad = torch.zeros_like(master)
            self.model = self.model.to(torch.bfloat16)
        self.optimizer = torch.optim.Adam(self.masters, lr=LR, betas=BETAS, eps=EPS, fused=True, **capture)
        self.x, self.y = torch.from_numpy(x).to(device), torch.from_numpy(np.asarray(y)).to(device)
        if short:
            self.x = self.x.to(torch.bfloat16)
        self.order = torch.randperm(len(x), device=device).repeat(4)
        self.places = torch.arange(rows or len(x), device=device)
        self.cursor = torch.zeros((), dtype=torch.int64, device=device)
        self.total = torch.zeros((), device=device)

    def step(self) -> None:
        """One step, without a look from the host."""
        rows = self.order[self.cursor + self.places]
        self.model.zero_grad(set_to_none=True)
        with self.torch.autocast(self.device, self.torch.bfloat16, enabled=self.short == "autocast"):
            output = self.model(self.x[rows])
        loss = self.loss(output.float(), self.y[rows])
        loss.backward()
        self._update()
        self.total += loss.detach()
        self.cursor += len(self.places)
        self.cursor %= len(self.order) - len(self.places) + 1

    def _update(self) -> None:
        if self.short == "weights":
            parameters = list(self.model.parameters())
            copy = self.torch._foreach_copy_  # pyright: ignore[reportPrivateImportUsage]
            copy([master.grad for master in self.masters], [p.grad for p in parameters])
            self.optimizer.step()
            with self.torch.no_grad():
                copy(parameters, self.masters)
        else:
            self.optimizer.step()

    def run(self, steps: int, step: Callable[[], None] | None = None) -> None:
        """Runs steps and waits for the device."""
        for _ in range(steps):
            (step or self.step)()
        if self.device == "cuda":
            self.torch.cuda.synchronize()


def torch_eager(network: DenseNetwork, layers: Weights, x: np.ndarray, y: np.ndarray) -> Run:
    """PyTorch, operation by operation."""
    return Torch(network, layers, x, y).run


def torch_graph(network: DenseNetwork, layers: Weights, x: np.ndarray, y: np.ndarray, *, short: str = "") -> Run:
    """The whole step as one CUDA graph."""
    made = Torch(network, layers, x, y, capturable=True, short=short)
    return partial(made.run, step=captured(made))


def captured(made: Torch) -> Callable[[], None]:
    """A replay of a step's graph."""
    torch = made.torch
    if made.device != "cuda":
        raise NotRun("PyTorch sees no GPU")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            made.step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made.step()
    return graph.replay


def torch_compiled(network: DenseNetwork, layers: Weights, x: np.ndarray, y: np.ndarray) -> Run:
    """The model compiled with reduced overhead, which uses CUDA graphs; the optimizer is fused."""
    made = Torch(network, layers, x, y)
    made.model = made.torch.compile(made.model, mode="reduce-overhead")
    return made.run


def jax_steps(
    network: DenseNetwork, layers: Weights, x: np.ndarray, y: np.ndarray, *, together: int, short: bool = False
) -> Run:
    """JAX: `together` steps in one compiled call, by a scan where there are several.

    `short`, factors and activations are bfloat16, and parameters, moments and the loss float32.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax
    import jax.numpy as jnp

    from ..peers.jax_contender import begin, step_of

    rows, kind = len(x), jnp.bfloat16 if short else jnp.float32
    features, targets = jax.device_put(x).astype(kind), jax.device_put(np.asarray(y))
    order = jax.device_put(np.tile(np.random.default_rng(0).permutation(rows), 4))

    def step(carry: Any, _: Any) -> tuple[Any, None]:
        state, total = carry
        turn = state[-1].astype(jnp.int32) % 3
        chosen = jax.lax.dynamic_slice_in_dim(order, turn * rows, rows)
        state, loss = step_of(state, features[chosen], targets[chosen], network.autoencoder, kind)
        return (state, total + loss), None

    @partial(jax.jit, donate_argnums=0)
    def several(carry: Any) -> Any:
        if together == 1:
            return step(carry, None)[0]
        return jax.lax.scan(step, carry, None, length=together)[0]

    state = {"carry": (begin(layers), jnp.zeros(()))}

    def run(steps: int) -> None:
        with jax.default_matmul_precision("default" if short else "highest"):
            for _ in range(max(1, steps // together)):
                state["carry"] = several(state["carry"])
        jax.block_until_ready(state["carry"])

    return run
