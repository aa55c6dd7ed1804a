"""
The landscape of the loss
=========================

What does a network draw through its data, and how does the loss look from inside? Four
pictures: boundaries, weights that may change places, saddles, and cliffs.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

import gearshift as gs

x, y = map(np.asarray, make_moons(200, noise=0.25, random_state=0))
loss = gs.CrossEntropyLoss()


def trained(hidden, seed=0, epochs=300):
    """A network with one hidden layer, trained on the two moons."""
    model = gs.Sequential(gs.Linear(2, hidden), gs.Tanh(), gs.Linear(hidden, 2))
    trainer = gs.Trainer(model, loss, gs.Adam(lr=0.02), backend="numpy", seed=seed)
    trainer.fit(x, y, epochs=epochs, batch_size=50, verbose=False)
    return model


# %%
# Decision boundaries
# -------------------
# A classifier divides the plane where two classes are equally probable. Each hidden
# unit bends the boundary once: two are too few for these moons, and with 200 the
# boundary follows single points.

plane = np.meshgrid(np.linspace(-1.8, 2.8, 150), np.linspace(-1.4, 1.9, 120))
points = np.column_stack([axis.ravel() for axis in plane])
figure, columns = plt.subplots(1, 3, figsize=(10, 3), layout="constrained", sharey=True)
for axes, hidden in zip(columns, (2, 8, 200), strict=True):
    model = trained(hidden, epochs=1500 if hidden == 200 else 300)
    second = model.predict_proba(points)[:, 1].reshape(plane[0].shape)
    axes.contourf(*plane, second, levels=20, cmap="RdBu_r", alpha=0.5, vmin=0, vmax=1)
    axes.contour(*plane, second, levels=[0.5], colors="black")
    axes.scatter(x[:, 0], x[:, 1], c=y, s=8, cmap="RdBu_r")
    accuracy = model.evaluate(x, y)["accuracy"]
    axes.set(title=f"{hidden} hidden units, accuracy {accuracy:.2f}")

# %%
# `gs.plots.decision_boundary` draws this for any trainer.
#
# Weights that may change places
# ------------------------------
# Hidden units have no names: if two change places, with all their weights, the network
# computes the same. So every minimum exists 8! = 40,320 times with eight units, and
# twice as often again for each unit, since tanh(−a) = −tanh(a).

model = trained(8)
weights, order = model.state_dict(), np.random.default_rng(0).permutation(8)
moved = {
    "0.weight": weights["0.weight"][:, order],
    "0.bias": weights["0.bias"][order],
    "2.weight": weights["2.weight"][order],
    "2.bias": weights["2.bias"],
}
other = gs.Sequential(gs.Linear(2, 8), gs.Tanh(), gs.Linear(8, 2))
other.load_state_dict(moved)
print("largest difference of outputs:", np.abs(other(x) - model(x)).max())

# %%
# Between two such minima, the loss is not low. This is the loss along the straight line
# from one to the other:

shares, along = np.linspace(-0.2, 1.2, 60), []
for share in shares:
    other.load_state_dict(
        {name: (1 - share) * weights[name] + share * moved[name] for name in weights}
    )
    along.append(gs.Trainer(other, loss, gs.SGD(), backend="numpy").evaluate(x, y))
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(shares, [found["loss"] for found in along])
axes.set(
    xticks=(0, 1), xticklabels=("one minimum", "the same, permuted"), ylabel="loss"
)

# %%
# Saddles
# -------
# Where the gradient is zero, the loss may rise in all directions, or in some only. If
# the signs of the n curvatures were those of a random symmetric matrix, how often were
# all positive? With more than a few weights, practically never: most points with a zero
# gradient are saddles (Dauphin et al. 2014).

random, dimensions = np.random.default_rng(0), np.arange(1, 9)
share = []
for n in dimensions:
    a = random.normal(size=(20_000, n, n))
    share.append((np.linalg.eigvalsh(a + a.transpose(0, 2, 1)).min(axis=1) > 0).mean())
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.semilogy(dimensions, share, "o-", label="random matrices")
axes.semilogy(dimensions, 0.5**dimensions, ":", label="signs of n coins")
axes.set(xlabel="dimension n", ylabel="share of minima")
axes.legend(frameon=False)

# %%
# A network meets such a saddle if its hidden units begin equal: they get equal
# gradients and stay equal. `gs.spectrum` finds the direction that leads on.

flat = gs.Sequential(gs.Linear(2, 4), gs.Tanh(), gs.Linear(4, 2), dtype="float64")
equal = {name: np.full(p.shape, 0.3) for name, p in flat.state_dict().items()}
flat.load_state_dict({**equal, "2.weight": np.tile([0.3, -0.3], (4, 1))})
trainer = gs.Trainer(flat, loss, gs.Adam(lr=0.01), backend="numpy")
trainer.fit(x, y, epochs=3000, batch_size=len(x), verbose=False)
found = gs.spectrum(flat, loss, x, y)
print(f"gradient {found.gradient_norm:.1e}, loss {found.loss:.3f}")
print("kind:", found.kind(gradient_tolerance=1e-3))
print(f"curvatures from {found.smallest:.3g} to {found.largest:.3g}")

# %%
# Random initial weights are different for each unit, which avoids this one. That is why
# equal weights of hidden layers are refused.
#
# Cliffs
# ------
# If one weight w acts many times, as in a recurrent network, the output is about
# w¹⁰: flat below 1, and a cliff above. A step from the cliff flies off. Clipping the
# norm of the gradient keeps its direction and limits its length (Pascanu et al. 2013).

repeated = gs.Linear(1, 1, bias=False)
hidden = inputs = gs.Input(1)
for _ in range(10):
    hidden = repeated(hidden)  # the same layer, so the same weight
chain = gs.Model(inputs, hidden, dtype="float64")
one, half = np.ones((1, 1)), np.full((1, 1), 0.5)

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
w = np.linspace(-0.6, 1.16, 300)
axes.plot(w, (w**10 - 0.5) ** 2, color="0.6")
for label, clip in (("no clipping", None), ("clip_norm=1", 1.0)):
    chain.load_state_dict({"0.weight": np.array([[1.13]])})
    trainer = gs.Trainer(
        chain, gs.MSELoss(), gs.SGD(lr=0.01), clip_norm=clip, backend="numpy"
    )
    path = [1.13]
    for _ in range(60):
        trainer.fit(one, half, epochs=1, verbose=False)
        path.append(float(chain.state_dict()["0.weight"][0, 0]))
    path = np.array(path)
    axes.plot(path, (path**10 - 0.5) ** 2, ".-", label=label, markersize=4)
axes.set(xlabel="w", ylabel="(w¹⁰ − ½)²")
axes.legend(frameon=False)
