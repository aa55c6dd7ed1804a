"""
Why minibatches?
================

The gradient of the loss is an average over all examples. An average over a few of them
is nearly as good a direction and costs a fraction, so training takes many rough steps
instead of a few exact ones.
"""

import matplotlib.pyplot as plt
import numpy as np

import gearshift as gs

data = gs.load_dataset("digits", seed=0)
x, y = data.train.x, data.train.y
loss = gs.CrossEntropyLoss()


def network():
    """A network with one hidden layer, always with the same first weights."""
    return gs.Sequential(gs.Linear(64, 32), gs.Tanh(), gs.Linear(32, 10)).init(seed=0)


# %%
# How rough is the gradient of a few examples?
# --------------------------------------------
# Below, the gradient of m random examples is compared with that of all 1,258. The
# error of an average of m draws falls as σ/√m: 100 times the examples make it ten
# times smaller. Once the error is well below the gradient itself, further examples
# change the direction of the step hardly at all.


def flat(gradients):
    """All gradients as one vector."""
    return np.concatenate([g.ravel() for g in gradients.values()])


model = network()
exact = flat(gs.value_and_grad(model, loss, x, y)[1])
random = np.random.default_rng(0)
sizes = 2 ** np.arange(0, 10)
errors = []
for m in sizes:
    drawn = [random.integers(len(x), size=m) for _ in range(30)]
    rough = [
        flat(gs.value_and_grad(model, loss, x[rows], y[rows])[1]) for rows in drawn
    ]
    errors.append(np.sqrt(np.mean([np.sum((g - exact) ** 2) for g in rough])))

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.loglog(sizes, errors, "o", label="measured, 30 draws")
axes.loglog(sizes, errors[0] / np.sqrt(sizes), color="0.6", label="σ/√m")
axes.axhline(
    float(np.linalg.norm(exact)),
    color="tab:orange",
    linestyle="--",
    label="length of the gradient itself",
)
axes.set(
    xlabel="examples m",
    ylabel="error of the gradient",
    title="an average of m examples",
)
axes.legend()

# %%
# What does that buy?
# -------------------
# The same network is trained four times, with 4, 32, 256 and all examples a step. An
# epoch shows every example once, whatever the batch size, and costs about the same
# arithmetic. Small batches make more steps of it.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 4), layout="constrained", sharey=True
)
for m in (4, 32, 256, len(x)):
    trainer = gs.Trainer(network(), loss, gs.SGD(lr=0.1), backend="numpy", seed=0)
    history = trainer.fit(x, y, epochs=12, batch_size=m, verbose=False)
    epochs = np.arange(1, 13)
    left.semilogy(epochs, history["loss"], ".-", label=f"m = {m}")
    right.loglog(epochs * np.ceil(len(x) / m), history["loss"], ".-")
left.set(
    xlabel="epoch",
    ylabel="training loss",
    title="for the same examples, small batches are ahead",
)
right.set(xlabel="step", title="for the same steps, large batches are")
left.legend()

# %%
# So why not one example at a time?
# ---------------------------------
# Because each step has a fixed cost. Calls, launches and reading the weights cost the
# same for one row as for thirty, and processors multiply matrices far faster than
# vectors. At the best batch size, the device is well used and the gradient is still
# noisy. ``gearshift bench`` measures both on your network and your data, and
# :doc:`/batch-size` explains the result.
#
# Two habits belong to minibatches. Rows are shuffled anew for each epoch, since
# batches in a fixed order would pull the weights along the same circle again and
# again; `gs.Trainer` does that from its ``seed``. And a smaller batch wants a smaller
# learning rate, since its steps are rougher.

# %%
# Do small batches generalise better?
# -----------------------------------
# They are often said to. Two questions are mixed there, so this looks at both, on 300
# digits and the test set: what is left after equal epochs, and what is left at an equal
# training loss.

sizes, seeds = (4, 16, 64, 300), range(3)
few, labels = x[:300], y[:300]


def test_loss(m, seed, **until):
    """The test loss after training with batches of m."""
    model = gs.Sequential(gs.Linear(64, 32), gs.Tanh(), gs.Linear(32, 10)).init(seed)
    trainer = gs.Trainer(model, loss, gs.SGD(lr=0.5), backend="numpy", seed=seed)
    trainer.fit(few, labels, batch_size=m, verbose=False, **until)
    return trainer.evaluate(data.test)["loss"]


figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for label, until in (
    ("after 20 epochs", {"epochs": 20}),
    ("at a training loss of 0.02", {"epochs": 2000, "loss_goal": 0.02}),
):
    found = np.array([[test_loss(m, seed, **until) for seed in seeds] for m in sizes])
    (line,) = axes.loglog(sizes, found.mean(axis=1), "o-", label=label)
    axes.fill_between(
        sizes, found.min(axis=1), found.max(axis=1), color=line.get_color(), alpha=0.2
    )
axes.set(xlabel="examples m", ylabel="test loss (three seeds)")
axes.legend(frameon=False)

# %%
# After equal epochs, large batches have simply learned less. Trained equally far, all
# batch sizes are equally good here: the difference was in the number of steps and in
# the learning rate, not in the batch size (Shallue et al. 2019 found the same on many
# networks).
