"""With GEARSHIFT_CUDA_STAND_IN=1, processes that find this folder on PYTHONPATH run on the stand-in for CUDA."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))

import stand_in

if stand_in.wanted() and not stand_in.obstacle(["cupy_backends"]):
    stand_in.boot()
