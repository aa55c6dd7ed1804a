"""PyTorch: eager with the fused Adam, the same behind a DataLoader, and whole steps compiled."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool of compiling processes beside those measured

import torch  # pyright: ignore[reportMissingImports]

from .contender import Contender, ContenderEpochs, ContenderSteps, ModelEpochs
from .networks import BETAS, EPS, LR, DenseNetwork, Pixels, Weights


def make(kind: str) -> Contender:
    """PyTorch as ``"eager"``, ``"compile"`` or ``"loader"``."""
    return PyTorch(kind)


class PyTorch(Contender):
    """Modules and their optimizer, or one function that is compiled."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def steps(self, network: DenseNetwork, layers: Weights, x: np.ndarray, y: np.ndarray) -> ContenderSteps:
        return TorchResidentSteps(self.trained(network, layers), torch.from_numpy(x), torch.from_numpy(y))

    def epochs(self, network: DenseNetwork, layers: Weights, data: Pixels, batch_size: int) -> ContenderEpochs:
        x = torch.from_numpy(data.standardized())
        y = x if network.autoencoder else torch.from_numpy(data.y)
        torch.manual_seed(0)  # of the epochs' orders
        kind = LoaderEpochs if self.kind == "loader" else TorchIndexedEpochs
        return kind(self.trained(network, layers), x, y, batch_size)

    def model(self, name: str) -> ModelEpochs:
        from .torch_models import TorchModelEpochs

        return TorchModelEpochs(name, self.kind == "compile")

    def trained(self, network: DenseNetwork, layers: Weights) -> Eager | Compiled:
        """The network with its optimizer."""
        return (Compiled if self.kind == "compile" else Eager)(network, layers)

    def settings(self) -> dict[str, Any]:
        return {"torch": torch.__version__, "threads": torch.get_num_threads()}


def loss_of(network: DenseNetwork) -> Any:
    """The network's loss function."""
    return torch.nn.functional.mse_loss if network.autoencoder else torch.nn.functional.cross_entropy


class Eager:
    """Modules, and Adam in one fused call."""

    def __init__(self, network: DenseNetwork, layers: Weights) -> None:
        modules: list[Any] = []
        for position, (inputs, outputs) in enumerate(network.shapes):
            modules += [torch.nn.ReLU()] if position else []
            modules.append(torch.nn.Linear(inputs, outputs))
        self.layers, self.module, self.loss = layers, torch.nn.Sequential(*modules), loss_of(network)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=LR, betas=BETAS, eps=EPS, fused=True)
        self.reset()

    @property
    def parameters(self) -> list[Any]:
        """W (out, in) and b (out,) of each layer in turn."""
        return list(self.module.parameters())

    def reset(self) -> None:
        """Takes the initial weights; the optimizer begins anew."""
        load(self.parameters, self.layers)
        for state in self.optimizer.state.values():
            for tensor in state.values():
                tensor.zero_()

    def step(self, x: Any, y: Any) -> Any:
        """Trains on a batch; returns its loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.module(x), y)
        loss.backward()
        self.optimizer.step()
        return loss


class Compiled:
    """Forward, backward and Adam in one graph for `torch.compile`.

    That takes about half the time, at small batches, of a compiled loss whose `backward` and optimizer are called
    from Python, be the optimizer fused or compiled too.
    """

    def __init__(self, network: DenseNetwork, layers: Weights) -> None:
        torch.compiler.reset()
        self.layers, loss = layers, loss_of(network)
        self.parameters = [torch.empty(shape) for w, b in layers for shape in (w.T.shape, b.shape)]
        self.first, self.second = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))
        self.count = torch.zeros(())
        self.reset()

        def forward(parameters: list[Any], x: Any, y: Any) -> Any:
            for place in range(0, len(parameters), 2):
                x = torch.nn.functional.linear(torch.relu(x) if place else x, *parameters[place : place + 2])
            return loss(x, y)

        def step(parameters: list[Any], first: list[Any], second: list[Any], count: Any, x: Any, y: Any) -> Any:
            gradients, value = torch.func.grad_and_value(forward)(parameters, x, y)
            beta1, beta2 = BETAS
            count.add_(1)
            rate, root = LR / (1 - beta1**count), 1 / torch.sqrt(1 - beta2**count)
            for p, m, v, g in zip(parameters, first, second, gradients, strict=True):
                m.mul_(beta1).add_(g, alpha=1 - beta1)
                v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
                p.sub_(rate * m / (v.sqrt() * root + EPS))
            return value

        self.compiled = torch.compile(step, dynamic=False, fullgraph=True)

    def reset(self) -> None:
        """Takes the initial weights; the optimizer begins anew."""
        load(self.parameters, self.layers)
        for tensor in (*self.first, *self.second, self.count):
            tensor.zero_()

    @torch.no_grad()
    def step(self, x: Any, y: Any) -> Any:
        """Trains on a batch; returns its loss."""
        return self.compiled(self.parameters, self.first, self.second, self.count, x, y)


@torch.no_grad()
def load(parameters: list[Any], layers: Weights) -> None:
    """Copies weights into parameters."""
    for parameter, array in zip(parameters, (array for w, b in layers for array in (w.T, b)), strict=True):
        parameter.copy_(torch.from_numpy(array))


class TorchResidentSteps(ContenderSteps):
    """Steps on one batch."""

    def __init__(self, trained: Eager | Compiled, x: Any, y: Any) -> None:
        self.trained, self.x, self.y = trained, x, y

    def reset(self) -> None:
        self.trained.reset()

    def run(self, steps: int) -> None:
        step, x, y = self.trained.step, self.x, self.y
        for _ in range(steps):
            step(x, y)

    def losses(self, steps: int) -> list[float]:
        self.reset()
        return [float(self.trained.step(self.x, self.y)) for _ in range(steps)]


class TorchIndexedEpochs(ContenderEpochs):
    """Rows picked by an index tensor."""

    def __init__(self, trained: Eager | Compiled, x: Any, y: Any, batch_size: int) -> None:
        self.trained, self.x, self.y, self.batch_size = trained, x, y, batch_size

    def run(self) -> None:
        for rows in torch.randperm(len(self.x)).split(self.batch_size):
            x = self.x.index_select(0, rows)
            self.trained.step(x, x if self.y is self.x else self.y.index_select(0, rows))

    def weights(self) -> Weights:
        arrays = [parameter.detach().numpy().T for parameter in self.trained.parameters]
        return list(zip(arrays[::2], arrays[1::2], strict=True))


class LoaderEpochs(TorchIndexedEpochs):
    """Rows picked by a DataLoader."""

    def run(self) -> None:
        data = torch.utils.data.TensorDataset(self.x, self.y)
        for x, y in torch.utils.data.DataLoader(data, self.batch_size, shuffle=True):
            self.trained.step(x, y)
