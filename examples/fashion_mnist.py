"""Fashion-MNIST with one hidden layer of 100 units, on every backend that runs here.

The files come from Debian's package dataset-fashion-mnist, from a folder given as argument, or with --fetch
from OpenML.
"""

from __future__ import annotations

import sys

import gearshift as gs

folders = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
data = gs.load_dataset("fashion-mnist", seed=0, folder=folders[0] if folders else None, fetch="--fetch" in sys.argv)
for name, status in gs.backends.available().items():
    if not status.runs:
        print(f"{name}: {status.reason}")
        continue
    standardize = gs.Standardize(784).fit(*data.standardization())
    model = gs.Sequential(standardize, gs.Linear(784, 100), gs.ReLU(), gs.Linear(100, 10))
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=1e-3), backend=name, seed=0)
    history = trainer.fit(data.train, epochs=5, batch_size=128, verbose=False)
    speed = max(history["samples_per_second"])
    print(f"{name}: test accuracy {trainer.evaluate(data.test)['accuracy']:.4f}, {speed:,.0f} samples/s")
