"""The contenders, and the interface that they implement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from .networks import DenseNetwork, Pixels, Weights


class ContenderSteps(ABC):
    """Training steps on one batch that stays in memory.

    Attributes
    ----------
    how : threads and arithmetic units, if the contender chose them by measurement.
    """

    how: str = ""

    @abstractmethod
    def reset(self) -> None:
        """Resets the weights and the optimizer."""

    @abstractmethod
    def run(self, steps: int) -> None:
        """Runs steps, and returns when they are done."""

    @abstractmethod
    def losses(self, steps: int) -> list[float]:
        """Resets, runs steps, and returns the loss of each, before its update."""


class ContenderEpochs(ABC):
    """Epochs over a data set, shuffled each time."""

    @abstractmethod
    def run(self) -> None:
        """One epoch; returns when it is done."""

    @abstractmethod
    def weights(self) -> Weights:
        """The current weights."""


class ModelEpochs(ABC):
    """Epochs of a general model, shuffled each time."""

    @abstractmethod
    def run(self) -> None:
        """One epoch; returns when it is done."""

    @abstractmethod
    def loss(self) -> float:
        """The mean loss of the last epoch's batches, each before its update."""


class Contender:
    """A contender, which has what its entry measures; made once in each worker process."""

    def steps(self, network: DenseNetwork, layers: Weights, x: np.ndarray, y: np.ndarray) -> ContenderSteps:
        """Prepares steps from the weights `layers` on the batch x, y."""
        raise NotImplementedError(f"{type(self).__name__} has no steps")

    def epochs(self, network: DenseNetwork, layers: Weights, data: Pixels, batch_size: int) -> ContenderEpochs:
        """Prepares epochs from the weights `layers` over `data`."""
        raise NotImplementedError(f"{type(self).__name__} has no epochs")

    def model(self, name: str) -> ModelEpochs:
        """Prepares epochs of the general model called `name`."""
        raise NotImplementedError(f"{type(self).__name__} has no models")

    def settings(self) -> dict[str, Any]:
        """Versions, threads and other settings that affect the speed."""
        return {}


@dataclass(frozen=True)
class Entry:
    """A row of the list: which module makes the contender, and what it needs.

    Attributes
    ----------
    module, arguments : its function ``make(*arguments)`` returns the `Contender`.
    needs, install : a package, and the command that installs it.
    ours : whether this is Gearshift.
    measures : what it is measured at.
    networks : the only networks that it is measured at; empty for all.
    ranks : processes that ``mpiexec`` starts; 1 is a process of its own.
    learns : whether it trains; what does not is only a measure for those that do.
    """

    module: str
    arguments: tuple[Any, ...] = ()
    needs: str = "numpy"
    install: str = "pip install gearshift"
    ours: bool = False
    measures: tuple[str, ...] = ("step", "epoch")
    networks: tuple[str, ...] = ()
    ranks: int = 1
    learns: bool = True

    def make(self) -> Contender:
        """The contender; its libraries are imported now."""
        return import_module(f".{self.module}", __package__).make(*self.arguments)


TORCH = "pip install torch --index-url https://download.pytorch.org/whl/cpu"
MPI = "pip install 'gearshift[mpi]' mpich"
EVERYWHERE = ("step", "epoch", "model", "ranks")
REFERENCE, PEAK = "reference", "peak"
OURS = "numba"
ENTRIES: dict[str, Entry] = {
    "numba": Entry("gearshift_contender", ("numba",), "numba", ours=True, measures=EVERYWHERE),
    "numpy": Entry("gearshift_contender", ("numpy",), ours=True),
    "torch": Entry("torch_contender", ("eager",), "torch", TORCH, measures=EVERYWHERE),
    "torch.compile": Entry("torch_contender", ("compile",), "torch", TORCH, measures=("step", "epoch", "model")),
    "torch DataLoader": Entry(
        "torch_contender", ("loader",), "torch", TORCH, measures=("epoch",), networks=("784-100-10",)
    ),
    "jax": Entry("jax_contender", ("step",), "jax", "pip install jax"),
    "jax scan": Entry("jax_contender", ("scan",), "jax", "pip install jax"),
    "scikit-learn": Entry("sklearn_contender", (), "sklearn", "pip install scikit-learn"),
    "numba ranks": Entry("gearshift_ranks", ("numba",), "mpi4py", MPI, ours=True, measures=("ranks",), ranks=2),
    "torch DDP": Entry("torch_ranks", (), "torch", TORCH, measures=("ranks",), ranks=2),
    REFERENCE: Entry("reference_workload", (), "numba", measures=("step",), learns=False),
    PEAK: Entry("peak_products", (), "numba", measures=("step", "epoch", "model"), learns=False),
}
