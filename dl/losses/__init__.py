"""Loss functions. Files in this folder are discovered automatically."""

from ..registered import import_all

import_all(__name__, __path__)
