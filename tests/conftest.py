"""With GEARSHIFT_CUDA_STAND_IN=1, the whole test process runs CuPy on the stand-in for CUDA, and so do its children."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "cuda"))

import stand_in

if stand_in.wanted() and not stand_in.obstacle():
    stand_in.boot()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(stand_in.SITE), os.environ.get("PYTHONPATH")]))
