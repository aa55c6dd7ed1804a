"""Optimizers, named and with the defaults of torch.optim where it has them. A file here is found by itself."""

from ..registered import import_all

import_all(__name__, __path__)
