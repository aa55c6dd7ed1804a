"""
Autoencoders
============

A network that learns to give back its own input needs no labels. It would be useless if
it could simply copy, so something stands in the way: a narrow layer, a penalty, noise.
What gets past must be what the data have in common. `gs.autoencoder` makes six kinds,
which differ in what stands in the way; each is an encoder and a decoder, and trains as
any other model does.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

import gearshift as gs
from gearshift.dl.training.pretraining import codes, pretrain, sampled

data = gs.load_dataset("digits", seed=0)
x, x_test, y_test = data.train.x, data.test.x, data.test.y


def begun(kind, code, hidden=(64,), **given):
    """A trainer of an autoencoder of 64 pixels, with the logistic loss of each."""
    model = gs.autoencoder(64, code, hidden, kind=kind, **given)
    return gs.Trainer(
        model, gs.BCEWithLogitsLoss(), gs.Adam(lr=5e-3), backend="numpy", seed=0
    )


def learned(kind, code, epochs=50, **given):
    """The same after some epochs, the rows being their own targets."""
    trainer = begun(kind, code, **given)
    trainer.fit(x, x, epochs=epochs, batch_size=64, verbose=False)
    return trainer


def show(rows, titles, pictures=10):
    """Rows of digits, one above the other."""
    grid = plt.figure(figsize=(8, 0.95 * len(rows)), layout="constrained").subplots(
        len(rows), pictures, squeeze=False
    )
    for line, title, images in zip(grid, titles, rows, strict=True):
        for axes, image in zip(line, images, strict=False):
            axes.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[], frame_on=False)
        line[0].set_ylabel(title, rotation=0, ha="right", va="center")


def error(images, wanted=x_test):
    """The mean squared error of images."""
    return np.mean((images - wanted) ** 2)


# %%
# Undercomplete: a narrow layer
# -----------------------------
# Each image of 64 pixels goes through a code of a few numbers. With few of them the
# network must leave something out, and learns what matters least.

few, more = (learned("undercomplete", code) for code in (2, 10))
show(
    [x_test, few.predict_proba(x_test), more.predict_proba(x_test)],
    ["input", "2 numbers", "10 numbers"],
)

# %%
# Without hidden layers, and with the squared error, the best such code is known: the
# principal components. The bend of the ReLU pays:

for trainer, n in (few, 2), (more, 10):
    linear = PCA(n).fit(x)
    straight = linear.inverse_transform(linear.transform(x_test))
    print(
        f"{n} numbers: error {error(straight):.4f} by principal components, "
        f"{error(trainer.predict_proba(x_test)):.4f} here"
    )

# %%
# A code of two numbers is a map. No label was used, and yet equal digits lie together.


def draw_map(trainer, axes, title):
    """The codes of the test images, coloured by digit."""
    points = axes.scatter(*codes(trainer, x_test).T, c=y_test, cmap="tab10", s=14)
    axes.set(xlabel="first number", ylabel="second number", title=title)
    return points


figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
points = draw_map(few, axes, "test images by their code")
figure.colorbar(points, ticks=range(10), label="digit")

# %%
# Sparse: a wide code, of which little is in use
# ----------------------------------------------
# The code may be as wide as the image if each of its units is mostly silent. A penalty
# on the distance between a unit's mean activity and a rate of 5 % sees to that
# (Ng 2011). Each unit comes to stand for a part of some digits; the lower row has what
# the decoder makes of one unit alone.

sparse = learned("sparse", 64, hidden=(), rate=0.05, weight=0.01)
free = learned("sparse", 64, hidden=(), weight=0.0)
for name, trainer in ("without a penalty", free), ("with it", sparse):
    active = codes(trainer, x_test)
    print(f"{name}: mean activity {active.mean():.3f}, error ", end="")
    print(f"{error(trainer.predict_proba(x_test)):.4f}")
parts = sparse.model.state_dict()["1.0.weight"]
parts = parts[np.argsort(-np.abs(parts).max(axis=1))][:10]
parts = 0.5 + parts / (2 * np.abs(parts).max(axis=1, keepdims=True))
show([x_test, sparse.predict_proba(x_test), parts], ["input", "given back", "units"])

# %%
# Denoising: noise in the way
# ---------------------------
# A denoising autoencoder sees a spoilt image and must give back the clean one (Vincent
# et al. 2008). Its code may be wide, since a copy of the input is no longer the answer.
# Half the pixels are set to zero, anew for every step; in evaluation none are, so here
# they are masked by hand.

denoising = learned("denoising", 64, hidden=(128,), noise="masking", amount=0.5)
random = np.random.default_rng(0)
masked = x_test * (random.random(x_test.shape) < 0.5).astype(x.dtype)
mended = denoising.predict_proba(masked)
show([x_test, masked, mended], ["clean", "seen", "given back"])
print(f"error {error(masked):.4f} before, {error(mended):.4f} after")

# %%
# Contractive: a code that hardly moves
# -------------------------------------
# The same aim, without noise: the penalty is the squared size of the code's derivative
# (Rifai et al. 2011). What the code still follows are the directions in which the data
# vary, since it must tell images apart; the rest it ignores. We move images a little in
# directions of both kinds and look how far the code goes:

contractive, plain = (
    learned("contractive", 16, hidden=(), weight=weight) for weight in (0.003, 0.0)
)
axes_of_data = np.asarray(PCA(64).fit(x).components_)
names = "along the data", "across them"
for name, directions in zip(
    names, (axes_of_data[:8], axes_of_data[40:56]), strict=True
):
    moved = [
        np.mean(
            [np.linalg.norm(codes(t, x_test + d / 10) - codes(t, x_test), axis=1).mean()
             for d in directions.astype(x.dtype)]
        )
        for t in (plain, contractive)
    ]  # fmt: skip
    print(f"{name}: {moved[0]:.4f} without the penalty, {moved[1]:.4f} with it")
show(
    [x_test, plain.predict_proba(x_test), contractive.predict_proba(x_test)],
    ["input", "without", "with"],
)

# %%
# Stacked: layer by layer, then jointly
# -------------------------------------
# Deep autoencoders were first trained in pairs: the outermost layers learn to give back
# the image, the next pair to give back their code, and so on; then all are trained
# together (Bengio et al. 2007). It is a head start:

stacked, scratch = (begun("stacked", 4, hidden=(64, 48, 32, 16)) for _ in range(2))
pretrain(stacked, gs.Dataset(x, x), epochs=6, batch_size=64)
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for label, trainer in ("layer by layer first", stacked), ("from scratch", scratch):
    history = trainer.fit(x, x, epochs=25, batch_size=64, verbose=False)
    axes.plot(1 + np.arange(25), history["loss"], label=label)
axes.set(xlabel="epoch of all layers together", ylabel="loss")
axes.legend(frameon=False)

# %%
# Variational: a code to draw from
# --------------------------------
# A variational autoencoder's encoder gives a mean and a variance for each image, the
# code is drawn, and a penalty, the divergence from N(0, 1), keeps all codes together
# (Kingma and Welling 2014). So the plane of codes has no holes, and whatever is drawn
# from N(0, 1) decodes to something like a digit.

variational = learned("variational", 2, epochs=80)
figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
points = draw_map(variational, axes, "means of the codes")
figure.colorbar(points, ticks=range(10), label="digit")

# %%
# Two rows of samples; then what lies between a 0 and a 2 of the test set, decoded along
# the straight line from one code to the other.

drawn = sampled(variational, 20)
first, last = (codes(variational, x_test[y_test == digit][:1]) for digit in (0, 2))
steps = np.linspace(0, 1, 10, dtype=x.dtype)[:, None]
encoder, decoder = variational.model.children().values()
logits = variational.outputs_of(decoder, (1 - steps) * first + steps * last)
between = variational.loss.probabilities(logits)
show([drawn[:10], drawn[10:], between], ["samples", "", "between"])

# %%
# All six
# -------

six = {
    "input": x_test,
    "undercomplete, 10": more.predict_proba(x_test),
    "sparse, 64": sparse.predict_proba(x_test),
    "denoising, 64": denoising.predict_proba(x_test),
    "contractive, 16": contractive.predict_proba(x_test),
    "stacked, 4": stacked.predict_proba(x_test),
    "variational, 2": variational.predict_proba(x_test),
}
show(six.values(), six.keys())
for name, images in list(six.items())[1:]:
    print(f"{name:18} error {error(images):.4f}")

# %%
# The codes are features like any others: `gs.Autoencoder` is the undercomplete kind as
# a scikit-learn transformer, and fits into a pipeline before a classifier.
# :doc:`/scikit-learn` has an example; :doc:`/autoencoders` says what each kind is from
# a configuration file.
