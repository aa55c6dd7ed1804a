"""Epochs of Fashion-MNIST on Gearshift's CPU backends and on PyTorch eager, side by side.

    python -m gearshift.bench.epochs --rounds 3 --out epochs.json

784-100-10 with ReLU, batch 128, Adam. Every contender runs in a process of its own, rounds are interleaved, and the
first epoch of each process is a warm-up. All shuffle anew each epoch and read standardised pixels: Gearshift
standardises bytes as it gathers them, PyTorch is given float32 pixels that were standardised before.
PyTorch runs at its best settings: rows picked by an index tensor instead of a DataLoader, and fused Adam.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from ..backends import host
from ..dl.data import load_dataset
from ..dl.layers import Linear, ReLU, Sequential, Standardize
from ..dl.losses import CrossEntropyLoss
from ..dl.optimizers import Adam
from ..dl.trainer import Trainer

BATCH, EPOCHS = 128, 4
CONTENDERS = ("numba", "numpy", "torch")


def gearshift_speeds(backend: str) -> list[float]:
    """Samples a second of each epoch."""
    data = load_dataset("fashion-mnist", seed=0)
    model = Sequential(Standardize(784).fit(*data.standardization()), Linear(784, 100), ReLU(), Linear(100, 10))
    trainer = Trainer(model, CrossEntropyLoss(), Adam(lr=1e-3), backend=backend)
    return trainer.fit(data.train, epochs=EPOCHS, batch_size=BATCH, verbose=False)["samples_per_second"]


def torch_speeds() -> list[float]:
    """Samples a second of each epoch of the same loop in PyTorch eager."""
    import torch

    data = load_dataset("fashion-mnist", seed=0)
    mean, std = data.standardization()
    x = torch.from_numpy(((data.train.x - mean) / std).astype(np.float32))
    y = torch.from_numpy(data.train.y)
    network = torch.nn.Sequential(torch.nn.Linear(784, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    loss = torch.nn.CrossEntropyLoss()
    speeds = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        order = torch.randperm(len(x))
        for first in range(0, len(x), BATCH):
            rows = order[first : first + BATCH]
            optimizer.zero_grad(set_to_none=True)
            loss(network(x[rows]), y[rows]).backward()
            optimizer.step()
        speeds.append(len(x) / (time.perf_counter() - start))
    return speeds


def main() -> None:
    """Runs the contenders, or with ``--only`` one of them, and prints medians and ratios."""
    parser = argparse.ArgumentParser(description="Fashion-MNIST epochs against PyTorch eager.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=CONTENDERS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(torch_speeds() if options.only == "torch" else gearshift_speeds(options.only)))
        return
    speeds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(options.rounds):
        for name in CONTENDERS:
            command = [sys.executable, "-m", "gearshift.bench.epochs", "--only", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name}: absent ({done.stderr.strip().splitlines()[-1]})")
                continue
            speeds[name] += json.loads(done.stdout)[1:]  # the first epoch warms up
    result: dict[str, object] = {"device": host.processor(), "batch_size": BATCH, "network": "784-100-10"}
    for name, values in speeds.items():
        if values:
            low, median, high = statistics.quantiles(values, n=4)
            result[name] = {"median": median, "quartiles": [low, high], "epochs": len(values)}
            print(f"{name:6} {median:>10,.0f} samples/s, middle half {low:,.0f} to {high:,.0f}")
    for name in ("numba", "numpy"):
        if speeds[name] and speeds["torch"]:
            ratio = statistics.median(speeds[name]) / statistics.median(speeds["torch"])
            result[f"{name} / torch"] = ratio
            print(f"{name} / torch: {ratio:.2f}")
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
