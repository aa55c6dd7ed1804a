"""
What is a step?
===============

Training lowers a number, the loss, by changing other numbers, the weights. It does so
in steps, and one formula is behind all of them. Here it is seen at work on the smallest
network there is: a straight line.
"""

import matplotlib.pyplot as plt
import numpy as np

import gearshift as gs

# %%
# A model, a loss, a gradient
# ---------------------------
# ``gs.Linear(1, 1)`` computes x·W + b: with one feature, a line with a slope and an
# intercept. The points below lie around such a line, and the squared error says how
# far a line is from them.

random = np.random.default_rng(0)
x = random.uniform(-1, 1, size=(60, 1))
y = 1.5 * x + 0.5 + random.normal(scale=0.3, size=x.shape)

model = gs.Sequential(gs.Linear(1, 1), dtype="float64")
loss, gradient = gs.value_and_grad(model, gs.MSELoss(), x, y)
print(f"loss {loss:.3f}, its slope along the weight {gradient['0.weight'].item():.3f}")

# %%
# The gradient g has the slope of the loss along each weight. The loss rises along +g,
# so a step goes in the opposite direction. The learning rate ε sets its length:
#
# ::
#
#     θ ← θ − ε g
#
# That is all that plain gradient descent does. `gs.SGD` is this formula, and `update`
# takes one step with it, in place.


def descend(lr, steps, start=(-1.0, -1.0)):
    """The weights and the loss after each step, from one starting point."""
    weights = {"0.weight": np.array([[start[0]]]), "0.bias": np.array([start[1]])}
    optimizer = gs.SGD(lr=lr)
    state = optimizer.init(weights)
    path, losses = [], []
    for _ in range(steps):
        model.load_state_dict(weights)
        loss, gradient = gs.value_and_grad(model, gs.MSELoss(), x, y)
        path.append((weights["0.weight"].item(), weights["0.bias"].item()))
        losses.append(loss)
        optimizer.update(weights, gradient, state)
    return np.array(path), losses


# %%
# How long should a step be?
# --------------------------
# The loss of a line is a bowl above the plane of slope and intercept. Small steps
# creep to its bottom. Large ones jump across the valley, and beyond a certain length
# each jump ends higher than it began.

rates = {0.05: "tab:blue", 0.5: "tab:green", 1.02: "tab:red"}
slopes, intercepts = np.meshgrid(np.linspace(-1.6, 3.4, 80), np.linspace(-1.6, 2.6, 80))
bowl = np.mean(
    (slopes[..., None] * x[:, 0] + intercepts[..., None] - y[:, 0]) ** 2, axis=-1
)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.contour(slopes, intercepts, bowl, levels=np.geomspace(0.1, 8, 12), colors="0.8")
for lr, color in rates.items():
    path, losses = descend(lr, 25)
    left.plot(*path.T, ".-", color=color, label=f"ε = {lr}")
    right.semilogy(losses, ".-", color=color)
left.set(
    xlabel="slope",
    ylabel="intercept",
    xlim=(-1.6, 3.4),
    ylim=(-1.6, 2.6),
    title="25 steps from one place",
)
right.set(xlabel="step", ylabel="loss", title="the same steps")
left.legend()

# %%
# Where do the steps lead?
# ------------------------
# For a line there is a formula for the bottom of the bowl, the normal equation.
# Gradient descent finds the same point, and it needs no formula, which is why it works
# for networks that have none.

path, losses = descend(0.5, 200)
columns = np.concatenate([x, np.ones_like(x)], axis=1)
exact = np.linalg.lstsq(columns, y, rcond=None)[0][:, 0]
print("200 steps:      slope {:.10f}, intercept {:.10f}".format(*path[-1]))
print("normal equation: slope {:.10f}, intercept {:.10f}".format(*exact))

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.plot(x, y, ".", color="0.6")
ends = np.array([-1.0, 1.0])
for step in (0, 1, 2, 4, 199):
    slope, intercept = path[step]
    axes.plot(
        ends,
        slope * ends + intercept,
        color=plt.get_cmap("viridis")(1 - min(step, 6) / 8),
        label=f"step {step}",
    )
axes.set(xlabel="x", ylabel="y", title="the line after so many steps")
axes.legend()

# %%
# What is descended on
# --------------------
# A step needs a slope. The share of wrong answers has none: it stays the same for most
# small changes of a weight, and then jumps. So training minimises a smooth surrogate
# loss and reports the accuracy as well. The plot shows the losses of one example whose
# answer should be "yes", against the model's output.

outputs = np.linspace(-3, 3, 61)
identity = gs.Sequential(gs.Linear(1, 1), dtype="float64")
identity.load_state_dict({"0.weight": [[1.0]], "0.bias": [0.0]})

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.step(outputs, outputs <= 0, color="0.6", where="mid", label="wrong or right")
for surrogate in (gs.HingeLoss(), gs.BCEWithLogitsLoss()):
    values = [gs.value_and_grad(identity, surrogate, [[z]], [1])[0] for z in outputs]
    axes.plot(outputs, values, label=type(surrogate).__name__)
axes.set(xlabel="output", ylabel="loss", title="an example whose answer is yes")
axes.legend()

# %%
# The same in one call
# --------------------
# A `gs.Trainer` repeats the step and does the rest: it draws the first weights,
# shuffles, measures, and can be stopped and resumed. With all rows in one batch it
# takes the steps from above. (The networks of this tutorial are so small that the
# NumPy backend, which compiles nothing, is fastest. In general, omit ``backend``.)

model = gs.Sequential(gs.Linear(1, 1), dtype="float64")
trainer = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=0.5), backend="numpy")
history = trainer.fit(x, y, epochs=200, batch_size=len(x), verbose=False)
weights = model.state_dict()
print("slope {:.10f}, intercept {:.10f}".format(*(w.item() for w in weights.values())))
