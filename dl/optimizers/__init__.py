"""Optimizers, named and with the defaults of torch.optim where it has them."""

from .adadelta import Adadelta
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .base import Optimizer, State
from .delta_bar_delta import DeltaBarDelta
from .momentum import Momentum, Nesterov
from .newton import Newton, NewtonCG, SecondOrder
from .random_perturbation import RandomPerturbation
from .rmsprop import RMSprop
from .sgd import SGD

REGISTERED: dict[str, type[Optimizer]] = {
    kind.__name__: kind
    for kind in (
        *(SGD, Momentum, Nesterov, Adagrad, RMSprop, Adadelta, Adam, AdamW, DeltaBarDelta),
        *(Newton, NewtonCG, RandomPerturbation),
    )
}

__all__ = [
    "REGISTERED",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "DeltaBarDelta",
    "Momentum",
    "Nesterov",
    "Newton",
    "NewtonCG",
    "Optimizer",
    "RMSprop",
    "RandomPerturbation",
    "SecondOrder",
    "State",
]
