"""Pictures of an autoencoder: rows and what comes back, a map of the codes, and samples: ``gs.pictures``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backends.errors import ShapeError
from ..layers import GaussianNoise, MaskingNoise, Standardize, Variational
from ..training.figures import BESIDE, new_figure, saved
from ..training.pretraining import codes, sampled, shown

if TYPE_CHECKING:
    from ..data import Splits
    from ..training.trainer import Trainer
    from .sections import Configuration

__all__ = ["code_map", "reconstructions", "samples"]

MAPPED = 5000  # rows on a map at the most
SHOWN = 12  # rows of a run that are shown beside what comes back


def reconstructions(
    trainer: Trainer, x: Any, shape: tuple[int, ...], path: str | Path | None = None, count: int = SHOWN
) -> Any:
    """The first rows of x as images, and what the autoencoder gives back for each; returns the figure.

    Of a denoising autoencoder, the rows with noise, drawn here, are between: they are what it is given.

    Parameters
    ----------
    shape : (height, width) of a row.

    Examples
    --------
    >>> trainer = gs.Trainer(gs.autoencoder(64, code=2), gs.MSELoss(), gs.Adam(lr=1e-2), seed=0)
    >>> history = trainer.fit(x, x, epochs=1, verbose=False)
    >>> figure = gs.pictures.reconstructions(trainer, x, (8, 8), "reconstructions.png")
    """
    x = np.asarray(x[:count]).reshape(min(count, len(x)), -1)
    rows = [x]
    encoder, _ = trainer.model.children().values()
    given, mean, deviation = x, *_scale(trainer)
    for layer in encoder.children().values():
        if isinstance(layer, GaussianNoise | MaskingNoise):
            given = mean + deviation * _with_noise((x - mean) / deviation, layer)
            rows.append(given)
    rows.append(_in_units(trainer, shown(trainer.loss, trainer.outputs_of(trainer.model, given))))
    return _images(rows, shape, path)


def samples(trainer: Trainer, shape: tuple[int, ...], path: str | Path | None = None, count: int = 48) -> Any:
    """Images that a variational autoencoder makes of random codes; returns the figure.

    Examples
    --------
    >>> model = gs.autoencoder(64, code=2, kind="variational")
    >>> trainer = gs.Trainer(model, gs.MSELoss(), gs.Adam(lr=1e-2), seed=0)
    >>> history = trainer.fit(x, x, epochs=1, verbose=False)
    >>> figure = gs.pictures.samples(trainer, (8, 8), "samples.png")
    """
    drawn = _in_units(trainer, sampled(trainer, count))
    return _images(np.array_split(drawn, max(1, count // 12)), shape, path)


def code_map(trainer: Trainer, x: Any, labels: Any = None, path: str | Path | None = None, names: Any = None) -> Any:
    """The codes of rows x in two dimensions, their first two principal components if they have more; the figure.

    Of more than 5,000 rows a random sample is drawn.

    Parameters
    ----------
    labels : (rows,) integers that choose the colours.
    names : what the labels are called.

    Examples
    --------
    >>> trainer = gs.Trainer(gs.autoencoder(64, code=2), gs.MSELoss(), gs.Adam(lr=1e-2), seed=0)
    >>> history = trainer.fit(x, x, epochs=1, verbose=False)
    >>> figure = gs.pictures.code_map(trainer, x, labels=y, path="codes.png")
    """
    if len(x) > MAPPED:
        drawn = np.sort(np.random.default_rng(0).choice(len(x), MAPPED, replace=False))
        x, labels = x[drawn], None if labels is None else np.asarray(labels)[drawn]
    found = codes(trainer, x).astype(np.float64)
    axes_named = "number of the code"
    if found.shape[1] > 2:
        centred = found - found.mean(axis=0)
        found = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
        axes_named = "principal component of the code"
    elif found.shape[1] == 1:
        found = np.column_stack([found, np.zeros(len(found))])
    figure = new_figure((6.5, 5))
    axes = figure.subplots()
    kinds = np.asarray(labels) if labels is not None else np.zeros(len(found), dtype=int)
    for kind in np.unique(kinds):
        chosen = kinds == kind
        label = str(names[kind]) if names is not None else str(kind)
        axes.scatter(*found[chosen].T, s=4, alpha=0.6, label=label, color=f"C{int(kind) % 10}", linewidths=0)
    if labels is not None:
        axes.legend(frameon=False, markerscale=3, **BESIDE)
    axes.set(xlabel=f"first {axes_named}", ylabel=f"second {axes_named}")
    return saved(figure, path)


def draw(trainer: Trainer, configuration: Configuration, splits: Splits, folder: Path) -> list[str]:
    """Draws what there is to draw of a run's autoencoder into its folder; a line about each picture."""
    from .build import load_data

    if importlib.util.find_spec("matplotlib") is None:
        return ["no pictures: Matplotlib is not installed (pip install 'gearshift[plot]')"]
    plain = load_data(configuration.data, configuration.train.seed)
    part = plain.test or plain.validation or plain.train
    shape, drawn = splits.feature_shape, []
    if len(shape) == 2 or (len(shape) == 1 and round(shape[0] ** 0.5) ** 2 == shape[0]):
        side = shape if len(shape) == 2 else (round(shape[0] ** 0.5),) * 2
        reconstructions(trainer, part.sample(SHOWN).x, side, folder / "reconstructions.png")
        drawn.append(f"rows and what comes back: {folder / 'reconstructions.png'}")
        *_, middle = next(iter(trainer.model.children().values())).children().values()
        if isinstance(middle, Variational):
            samples(trainer, side, folder / "samples.png")
            drawn.append(f"samples: {folder / 'samples.png'}")
    labels = part.y if plain.classes is not None else None
    code_map(trainer, part.x, labels, folder / "codes.png", plain.classes)
    return [*drawn, f"codes: {folder / 'codes.png'}"]


def _in_units(trainer: Trainer, answers: np.ndarray) -> np.ndarray:
    """What `shown` returns, in the units of the rows."""
    scaling, (mean, deviation) = trainer.model.target_scaling, _scale(trainer)
    if scaling is not None:
        return scaling.restored(answers)
    bytes_ = trainer.loss.targets == "binary" and not np.any(mean)  # divided by 255, as their targets are
    return answers * deviation if bytes_ else answers


def _scale(trainer: Trainer) -> tuple[Any, Any]:
    """What the encoder's first layer subtracts from rows and divides them by."""
    encoder, _ = trainer.model.children().values()
    for layer in encoder.children().values():
        if isinstance(layer, Standardize):
            return layer.mean.numpy(), 1 / layer.scale.numpy()
    return 0.0, 1.0


def _with_noise(x: np.ndarray, noise: GaussianNoise | MaskingNoise) -> np.ndarray:
    """Scaled rows as noise leaves them."""
    random = np.random.default_rng(0)
    if isinstance(noise, MaskingNoise):
        return np.where(random.uniform(size=x.shape) < noise.p, 0, x)
    return x + noise.deviation * random.standard_normal(x.shape)


def _images(rows: list[np.ndarray], shape: tuple[int, ...], path: str | Path | None) -> Any:
    """Rows of images, all in the range of greys of the first."""
    if len(shape) != 2 or shape[0] * shape[1] != rows[0].shape[1]:
        raise ShapeError(f"rows of {rows[0].shape[1]} numbers are no images of shape {shape}; expected (height, width)")
    figure, greys = new_figure((0.8 * len(rows[0]), 0.85 * len(rows))), {"vmin": rows[0].min(), "vmax": rows[0].max()}
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for line, images in zip(grid, rows, strict=True):
        for axes in line:
            axes.set_axis_off()
        for axes, image in zip(line, images, strict=False):
            axes.imshow(image.reshape(shape), cmap="gray_r", **greys)
    return saved(figure, path)
