"""Handwritten digits from Python: train, evaluate, save, load."""

from __future__ import annotations

import gearshift as gs

data = gs.load_dataset("digits", seed=0)
model = gs.Sequential(gs.Linear(64, 256), gs.ReLU(), gs.Dropout(0.2), gs.Linear(256, 10))
trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=1e-3), seed=0)
history = trainer.fit(data.train, validation=data.validation, epochs=40, batch_size=32, patience=10)
print(model.summary())
print(trainer.evaluate(data.test))
trainer.save("digits.safetensors")
print(gs.load("digits.safetensors"))
