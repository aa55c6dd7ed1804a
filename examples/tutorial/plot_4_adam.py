"""
Why Adam?
=========

One learning rate for all weights must suit the most sensitive of them. AdaGrad, RMSProp
and Adam give each weight a rate of its own, from the gradients that it has seen, and so
ask less of whoever chooses ε.
"""

import matplotlib.pyplot as plt
import numpy as np

import gearshift as gs

# %%
# A rate for each weight
# ----------------------
# All three divide a weight's gradient by the root of a mean of its squares, √r:
#
# - AdaGrad sums all squares since the start, r ← r + g². Its rates only fall, which
#   suits a convex loss.
# - RMSProp forgets the old ones, r ← ρr + (1 − ρ)g², so its rates can rise again.
# - Adam forgets likewise, averages the gradient as well, and corrects both means for
#   having begun at zero.
#
# In a valley along the axes this cures the bad condition: the steep weight gets a
# small rate, the flat one a large rate. Turn the valley by 45° and the cure is gone,
# since now every weight is steep and flat at once.


def descend(optimizer, matrix, start, steps=60):
    """Every point on the way down ½ pᵀ·matrix·p."""
    p = np.array(start)
    state = optimizer.init(p)
    path = [p.copy()]
    for _ in range(steps):
        optimizer.update(p, matrix @ p, state)
        path.append(p.copy())
    return np.array(path)


valley = np.diag([1.0, 40.0])
turn = np.array([[1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2)
places = {
    "along the axes": (valley, np.array([-8.0, 2.0])),
    "turned by 45°": (turn @ valley @ turn.T, turn @ [-8, 2]),
}
ways = {
    "SGD": lambda: gs.SGD(lr=0.045),
    "AdaGrad": lambda: gs.Adagrad(lr=1.5),
    "RMSProp": lambda: gs.RMSprop(lr=0.2, alpha=0.9),
    "Adam": lambda: gs.Adam(lr=0.5, betas=(0.8, 0.99)),
}

figure, columns = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
for axes, (title, (matrix, start)) in zip(columns, places.items(), strict=True):
    a, b = np.meshgrid(np.linspace(-9, 4, 100), np.linspace(-7, 4, 100))
    height = (matrix[0, 0] * a**2 + 2 * matrix[0, 1] * a * b + matrix[1, 1] * b**2) / 2
    axes.contour(a, b, height, levels=np.geomspace(1, 300, 9), colors="0.85")
    for name, way in ways.items():
        axes.plot(
            *descend(way(), matrix, start).T,
            ".-",
            markersize=3,
            linewidth=1,
            label=name,
        )
    axes.set(title=title, xlim=(-9, 4), ylim=(-7, 4), aspect="equal")
columns[0].legend()

# %%
# Choosing ε by trial
# -------------------
# The rate is the setting that matters most, and a short trial finds it: take several
# rates, train for some hundred steps with each, and keep the best. A run whose loss
# turns infinite ends with `gs.NonFiniteLoss`, before the weights are spoilt.
#
# The trial is made twice: with the pixels as they are, and with each pixel in a unit
# of its own, from 0.05 to 5. That is a valley along the axes, in 64 dimensions.

data = gs.load_dataset("digits", seed=0)
rates = np.geomspace(1e-4, 10, 11)
units = np.exp(np.random.default_rng(0).uniform(np.log(0.05), np.log(5), size=64))
inputs = {
    "pixels as they are": data.train.x,
    "each in a unit of its own": data.train.x * units,
}


def trial(optimizer, x, y):
    """The training loss after five epochs; infinite where the run fails."""
    model = gs.Sequential(gs.Linear(64, 32), gs.ReLU(), gs.Linear(32, 10))
    trainer = gs.Trainer(
        model, gs.CrossEntropyLoss(), optimizer, backend="numpy", seed=0
    )
    try:
        trainer.fit(x, y, epochs=5, batch_size=32, verbose=False)
    except gs.NonFiniteLoss:
        return np.inf
    return trainer.evaluate(x, y)["loss"]


figure, columns = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
for axes, (title, x) in zip(columns, inputs.items(), strict=True):
    print(title)
    for kind in (gs.SGD, gs.Momentum, gs.Adagrad, gs.RMSprop, gs.Adam):
        losses = [trial(kind(lr=lr), x, data.train.y) for lr in rates]
        axes.loglog(rates, losses, ".-", label=kind.__name__)
        best = int(np.argmin(losses))
        print(f"  {kind.__name__:9} lr = {rates[best]:<5.1g} loss {losses[best]:.3f}")
    axes.axhline(np.log(10), color="0.8", zorder=0)
    axes.set(xlabel="learning rate ε", title=title, ylim=(0.05, 20))
columns[0].annotate("guessing", (rates[0], np.log(10) * 1.05), color="0.5")
columns[0].set_ylabel("training loss after 5 epochs")
columns[1].legend()

# %%
# With good units momentum at its best rate is ahead of all others here. With bad ones
# it falls behind, and Adam loses the least. Units of inputs are cured by standardising
# them, which Gearshift does as a layer; but hidden units have such units, too, and
# they change while the network trains.
#
# The other thing to see is where the best rate lies. For RMSProp and Adam a step is
# about ε long in each weight, whatever the scale of the loss, so 0.001 to 0.01 is a
# fair first guess for many networks. For SGD it depends on the loss, the weights and
# the data.
#
# So Adam is a good first choice. `gs.SGD` with momentum keeps one number a weight
# beside it in place of two, and with a rate and a schedule that were searched for it
# often ends as low. Weight decay belongs with `gs.AdamW`, which keeps it out of the
# moments. All formulas are in :doc:`/algorithms`.
