"""
Autoencoders
============

A network that learns to give back its own input needs no labels. It would be useless if
it could simply copy, so something stands in the way: a narrow layer, or noise. What
gets past must be what the data have in common.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

import gearshift as gs

data = gs.load_dataset("digits", seed=0)
x, x_test, y_test = data.train.x, data.test.x, data.test.y


def show(rows, titles, pictures=10):
    """Rows of digits, one above the other."""
    grid = plt.figure(figsize=(8, 0.95 * len(rows)), layout="constrained").subplots(
        len(rows), pictures
    )
    for line, title, images in zip(grid, titles, rows, strict=True):
        for axes, image in zip(line, images, strict=False):
            axes.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[], frame_on=False)
        line[0].set_ylabel(title, rotation=0, ha="right", va="center")


# %%
# A narrow layer
# --------------
# `gs.Autoencoder` puts each image of 64 pixels through a code of ``n_components``
# numbers. With few of them it must leave something out, and learns what matters least.

few, more = (
    gs.Autoencoder(
        n,
        hidden_layer_sizes=(64,),
        learning_rate_init=0.003,
        max_iter=120,
        backend="numpy",
        random_state=0,
    )
    for n in (2, 10)
)
titles = ["input", "2 numbers", "10 numbers"]
show(
    [
        x_test,
        *(
            coder.fit(x).inverse_transform(coder.transform(x_test))
            for coder in (few, more)
        ),
    ],
    titles,
)

# %%
# Without hidden layers the best such code is known, the principal components. The bend
# of the ReLU pays:

for coder in (few, more):
    linear = PCA(coder.n_components).fit(x)
    errors = [
        np.mean((c.inverse_transform(c.transform(x_test)) - x_test) ** 2)
        for c in (linear, coder)
    ]
    print(
        "{} numbers: error {:.4f} by principal components, {:.4f} here".format(
            coder.n_components, *errors
        )
    )

# %%
# A code of two numbers is a map
# ------------------------------
# No label was used, and yet equal digits lie together.

codes = few.transform(x_test)
figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
points = axes.scatter(*codes.T, c=y_test, cmap="tab10", s=14)
figure.colorbar(points, ticks=range(10), label="digit")
axes.set(
    xlabel="first number", ylabel="second number", title="test images by their code"
)

# %%
# Noise in the way
# ----------------
# A denoising autoencoder sees a spoilt image and must give back the clean one (Vincent
# et al. 2008). Its code may then be wide, since a copy of the input is no longer the
# answer. The input and the target are two arrays, so any model will do; here half the
# pixels are set to zero, anew for every epoch.

random = np.random.default_rng(0)


def spoilt(images):
    """The images with half their pixels masked."""
    return images * (random.random(images.shape) < 0.5).astype(images.dtype)


model = gs.Sequential(gs.Linear(64, 128, init="he"), gs.ReLU(), gs.Linear(128, 64))
trainer = gs.Trainer(model, gs.MSELoss(), gs.Adam(lr=3e-3), backend="numpy", seed=0)
for _ in range(60):
    trainer.fit(spoilt(x), x, batch_size=64, verbose=False)

masked = spoilt(x_test)
mended = trainer.predict(masked)
show([x_test, masked, mended], ["clean", "seen", "given back"])
before, after = (np.mean((images - x_test) ** 2) for images in (masked, mended))
print(f"error {before:.4f} before, {after:.4f} after")

# %%
# The codes of `gs.Autoencoder` are features like any others: it is a scikit-learn
# transformer, and fits into a pipeline before a classifier. :doc:`/scikit-learn` has
# an example.
