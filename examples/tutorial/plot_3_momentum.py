"""
Momentum on an ill-conditioned quadratic
========================================

Plain gradient descent is slow in a valley that is steep across and flat along: a rate
small enough for the steep walls is too small for the flat floor. Momentum remembers the
direction of the last steps.
"""

import matplotlib.pyplot as plt
import numpy as np

import gearshift as gs

# %%
# A valley
# --------
# The loss is ½ (x² + κ y²). κ is its condition number, the largest curvature divided by
# the smallest. An optimizer needs no network: you can use it on any array and its
# gradient.


def descend(optimizer, curvature, steps, start=(-10.0, 1.0)):
    """Every point on the way down."""
    p = np.array(start)
    state = optimizer.init(p)
    path = [p.copy()]
    for _ in range(steps):
        if isinstance(optimizer, gs.Nesterov):
            optimizer.look_ahead(
                p, state
            )  # its gradient is taken where the velocity leads
        optimizer.update(p, curvature * p, state)
        path.append(p.copy())
    return np.array(path)


curvature = np.array([1.0, 40.0])
ways = {
    "SGD(lr=0.045)": gs.SGD(lr=0.045),
    "Momentum(lr=0.02, momentum=0.8)": gs.Momentum(lr=0.02, momentum=0.8),
    "Nesterov(lr=0.02, momentum=0.8)": gs.Nesterov(lr=0.02, momentum=0.8),
}
a, b = np.meshgrid(np.linspace(-11, 3, 120), np.linspace(-1.3, 1.3, 80))
height = (curvature[0] * a**2 + curvature[1] * b**2) / 2

figure, rows = plt.subplots(3, 1, figsize=(8, 6.5), layout="constrained", sharex=True)
for axes, (name, optimizer) in zip(rows, ways.items(), strict=True):
    path = descend(optimizer, curvature, 40)
    axes.contour(a, b, height, levels=np.geomspace(0.5, 90, 10), colors="0.8")
    axes.plot(*path.T, ".-", markersize=4)
    axes.set(
        title=f"{name}: {np.linalg.norm(path[-1]):.2g} from the minimum after 40 steps",
        ylabel="y",
    )
rows[-1].set_xlabel("x")

# %%
# The velocity v adds up gradients and forgets them slowly:
#
# ::
#
#     v ← α v − ε g
#     θ ← θ + v
#
# Across the valley they change sign and cancel; along it they agree and add up, to
# 1/(1 − α) times a single one. Nesterov takes the gradient where the velocity is about
# to lead, so that it brakes before the wall and not behind it.
#
# How much does it help?
# ----------------------
# With the best rate that plain descent can have, its error shrinks by (κ − 1)/(κ + 1)
# a step; with momentum, by (√κ − 1)/(√κ + 1) (Polyak 1964). So the steps to a given
# error grow as κ and as √κ. Counted:


def count(optimizer, kappa, error=1e-4):
    """Steps until the distance has shrunk by `error`."""
    path = descend(optimizer, np.array([1.0, kappa]), 12_000, start=(1.0, 1.0))
    return int(np.argmax(np.linalg.norm(path, axis=1) < error * np.sqrt(2)))


kappas = [3, 10, 30, 100, 300, 1000]
plain, heavy = [], []
for kappa in kappas:
    root = np.sqrt(kappa)
    plain.append(count(gs.SGD(lr=2 / (1 + kappa)), kappa))
    heavy.append(
        count(
            gs.Momentum(
                lr=4 / (1 + root) ** 2, momentum=((root - 1) / (root + 1)) ** 2
            ),
            kappa,
        )
    )

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.loglog(kappas, plain, "o-", label="gradient descent")
axes.loglog(kappas, heavy, "o-", label="momentum")
axes.set(
    xlabel="condition number κ",
    ylabel="steps",
    title="steps until the error is 10,000 times smaller",
)
axes.legend()
print(f"at κ = 1000: {plain[-1]} steps, with momentum {heavy[-1]}")

# %%
# On a network
# ------------
# The loss of a network is ill-conditioned, too, and its gradients come from
# minibatches. Momentum averages their noise as well. `gs.SGD(momentum=0.9)` is
# PyTorch's form, with the rate outside the velocity; the two part only when the rate
# changes.

data = gs.load_dataset("digits", seed=0)
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for optimizer in (gs.SGD(lr=0.02), gs.Momentum(lr=0.02), gs.Nesterov(lr=0.02)):
    model = gs.Sequential(gs.Linear(64, 32), gs.Tanh(), gs.Linear(32, 10))
    trainer = gs.Trainer(
        model, gs.CrossEntropyLoss(), optimizer, backend="numpy", seed=0
    )
    history = trainer.fit(data.train, epochs=15, batch_size=32, verbose=False)
    axes.semilogy(range(1, 16), history["loss"], ".-", label=type(optimizer).__name__)
axes.set(xlabel="epoch", ylabel="training loss", title="digits, all at lr = 0.02")
axes.legend()
