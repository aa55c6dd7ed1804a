"""
When to stop?
=============

The training loss falls for as long as one cares to wait. What counts is the loss on
data that the network has not seen, and that one turns.
"""

import matplotlib.pyplot as plt
import numpy as np

import gearshift as gs

# %%
# Three parts
# -----------
# Rows for training set the weights, rows for validation say when to stop, and rows for
# the test, looked at once, say what the result is worth. `gs.load_dataset` makes the
# three. Here the network gets few rows, and one label in ten is wrong: it can only
# learn those by heart.

data = gs.load_dataset("digits", seed=0)
x, y = data.train.x[:300], data.train.y[:300].copy()
random = np.random.default_rng(0)
wrong = random.random(len(y)) < 0.1
y[wrong] = random.integers(10, size=wrong.sum())


def network():
    """A network with far more weights than there are rows."""
    return gs.Sequential(gs.Linear(64, 128, init="he"), gs.ReLU(), gs.Linear(128, 10))


trainer = gs.Trainer(
    network(), gs.CrossEntropyLoss(), gs.Adam(lr=2e-3), backend="numpy", seed=0
)
history = trainer.fit(
    (x, y), validation=data.validation, epochs=80, batch_size=32, verbose=False
)
late = trainer.evaluate(data.test)

# %%
# Early stopping
# --------------
# ``patience`` ends the training once the validation loss has not improved for so many
# epochs, and gives back the weights of the best epoch. Waiting a while is needed,
# since the curve goes up and down.

stopper = gs.Trainer(
    network(), gs.CrossEntropyLoss(), gs.Adam(lr=2e-3), backend="numpy", seed=0
)
stopped = stopper.fit(
    (x, y),
    validation=data.validation,
    epochs=80,
    batch_size=32,
    patience=10,
    verbose=False,
)
best = int(np.argmin(stopped["validation_loss"]))
early = stopper.evaluate(data.test)

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.semilogy(history["loss"], label="training")
axes.semilogy(history["validation_loss"], label="validation")
axes.axvline(
    len(stopped) - 1,
    color="0.7",
    linestyle="--",
    label=f"patience ends, epoch {len(stopped)}",
)
axes.plot(
    best,
    stopped["validation_loss"][best],
    "o",
    color="tab:red",
    label=f"weights kept, epoch {best + 1}",
)
axes.set(xlabel="epoch", ylabel="loss", title="300 digits, one label in ten wrong")
axes.legend()
for name, result in (
    (f"after {len(history)} epochs", late),
    (f"stopped at {len(stopped)}", early),
):
    print(f"{name}: test loss {result['loss']:.3f}, accuracy {result['accuracy']:.3f}")

# %%
# Stopping is only one way to keep a network from learning by heart. More data is the
# best; ``weight_decay`` of an optimizer and `gs.Dropout` are the others. They can be
# told apart on the validation data, never on the test data.
#
# Let the rate fall before stopping
# ---------------------------------
# Near the minimum a constant rate keeps jumping about, because the gradient of a
# minibatch is not zero even where that of all rows is. A schedule lets the rate fall,
# and the loss settles. For rates with Σε = ∞ and Σε² < ∞ (Robbins and Monro 1951) that
# is a theorem: they reach any place, and the noise dies out. The classes say in
# ``robbins_monro`` whether they meet it. Decays over the length of the run, straight
# or as a cosine, do not, since they end; in practice they serve as well.
#
# Below, a line in ten dimensions is fitted to noisy values, four rows a step, so that
# the least loss is known.

inputs = random.normal(size=(400, 10))
values = inputs @ random.normal(size=(10, 1)) + random.normal(size=(400, 1))
exact = np.linalg.lstsq(inputs, values, rcond=None)[0]
least = np.mean((inputs @ exact - values) ** 2)

epochs = 30
steps = epochs * len(inputs) // 4
schedules = {
    "constant": gs.Constant(),
    "1 / (1 + δk)": gs.InverseTimeDecay(delta=30 / steps),
    "linear": gs.LinearDecay(steps),
    "cosine, after a warm-up": gs.CosineDecay(steps, warmup=steps // 20),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for name, schedule in schedules.items():
    left.plot([schedule(k) for k in range(steps)], label=name)
    line = gs.Sequential(gs.Linear(10, 1, bias=False))
    run = gs.Trainer(
        line, gs.MSELoss(), gs.SGD(lr=0.05), schedule=schedule, backend="numpy"
    )
    rows = (inputs, values)
    history = run.fit(rows, validation=rows, epochs=epochs, batch_size=4, verbose=False)
    above = np.array(history["validation_loss"]) - least
    right.semilogy(range(1, epochs + 1), above, ".-")
left.set(xlabel="step k", ylabel="factor of the rate", title="schedules")
right.set(xlabel="epoch", ylabel="loss above the least", title="after each epoch")
left.legend()

# %%
# A run that was stopped can go on: :doc:`/how-to/resume`.
