"""Resident memory of a training process, beside PyTorch's, on as many images as Fashion-MNIST has.

    python -m gearshift.bench.memory [BATCH …]

Each contender trains 784-512-512-10 with Adam for an epoch in a process of its own, from bytes that each step
standardises, and from float32 rows. Printed is the memory that the process had at most, in MiB (Linux's VmHWM).
Gearshift's kernels are compiled before.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.util import find_spec

ROWS, FEATURES, CLASSES = 60_000, 784, 10
BATCHES = (128, 2048)

DATA = f"""
import sys
import numpy as np
rows, batch = sys.argv[1], int(sys.argv[2])
random = np.random.default_rng(0)
x = random.integers(0, 256, ({ROWS}, {FEATURES}), np.uint8)
y = random.integers(0, {CLASSES}, {ROWS})
if rows == "float32":
    x = x.astype(np.float32)
    x -= 127.5
    x /= 73.9
"""
GEARSHIFT = """
import gearshift as gs
first = [] if rows == "float32" else [gs.Standardize(784).fit(np.full(784, 127.5), np.full(784, 73.9))]
hidden = [gs.Linear(784, 512), gs.ReLU(), gs.Linear(512, 512), gs.ReLU()]
model = gs.Sequential(*first, *hidden, gs.Linear(512, 10))
trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=1e-3), backend="numba")
trainer.fit(x, y, epochs=1, batch_size=batch, verbose=False)
"""
TORCH = """
import torch
from torch import nn
x, y = torch.from_numpy(x), torch.from_numpy(y)
model = nn.Sequential(
    nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
)
optimizer, loss = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True), nn.CrossEntropyLoss()
for chosen in torch.randperm(len(x)).split(batch):
    part = x[chosen]
    if rows != "float32":
        part = part.float().sub_(127.5).div_(73.9)
    optimizer.zero_grad()
    loss(model(part), y[chosen]).backward()
    optimizer.step()
"""
MOST = """
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""
CONTENDERS = {"gearshift": GEARSHIFT, "torch": TORCH}


def most(contender: str, rows: str, batch: int) -> int:
    """MiB that a contender's process has at most."""
    command = [sys.executable, "-c", DATA + CONTENDERS[contender] + MOST, rows, str(batch)]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gearshift.bench.memory", description="Memory beside PyTorch's.")
    parser.add_argument("batch", type=int, nargs="*", default=BATCHES, help="rows of a batch")
    batches = parser.parse_args().batch
    if find_spec("torch") is None:
        parser.error("PyTorch is not installed: pip install 'gearshift[peers]'")
    print(f"{'batch':>6}  {'rows':8}  {'gearshift':>9}  {'torch':>6}  ratio")
    for batch in batches:
        for rows in ("bytes", "float32"):
            most("gearshift", rows, batch)  # compiles
            ours, other = (most(contender, rows, batch) for contender in CONTENDERS)
            print(f"{batch:6,}  {rows:8}  {ours:9,}  {other:6,}  {ours / other:.2f}")


if __name__ == "__main__":
    main()
