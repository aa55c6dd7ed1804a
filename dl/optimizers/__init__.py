"""Optimizers, named and with the defaults of torch.optim."""

from .adam import Adam, AdamW
from .base import Optimizer, State
from .rmsprop import RMSprop
from .sgd import SGD

REGISTERED: dict[str, type[Optimizer]] = {"SGD": SGD, "RMSprop": RMSprop, "Adam": Adam, "AdamW": AdamW}

__all__ = ["REGISTERED", "SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "State"]
