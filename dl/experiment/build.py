"""From a configuration to data, a model and a trainer."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ...backends.errors import ConfigurationError, DataError
from ..data import Splits, load_dataset
from ..data.reconstruction import reconstructing, scale_of
from ..data.target_scaling import TargetScaling
from ..diagnostics.watch import Curvature, FlatStretch, GradientNorms
from ..hints import hint
from ..layers import BatchNorm1d, Dropout, Embedding, Layer, Linear, Maxout, Model, Sequential, Standardize
from ..layers.activations import activations
from ..layers.autoencoders import autoencoder
from ..layers.wiring import wire
from ..losses.binary import BCEWithLogitsLoss
from ..losses.classes import CrossEntropyLoss
from ..losses.joint import Head, JointLoss
from ..losses.losses import Loss
from ..losses.values import MSELoss
from ..optimizers.base import Optimizer
from ..optimizers.groups import ParameterGroup
from ..optimizers.regularizers import L1, Regularizer, SoftThreshold
from ..training.callbacks import Callback
from ..training.metrics import Metrics
from ..training.trainer import Trainer
from .schedule import build_schedule, settled
from .sections import Configuration, DataSection


def load_data(data: DataSection, seed: int) -> Splits:
    """The data set of a configuration, split by a seed."""
    given: dict[str, Any] = data.model_dump(
        exclude={"source", "target", "weight", "folder", "standardize", "standardize_target"}
    )
    absent: dict[str, Any] = {name: getattr(data, name) or None for name in ("target", "weight", "folder")}
    return load_dataset(data.source, seed=seed, **given, **absent)


def load(configuration: Configuration) -> Splits:
    """The training data; an autoencoder's targets are its inputs, and those of several heads are values."""
    data = configuration.data
    if configuration.loss.heads and data.labels == "auto":
        data = data.model_copy(update={"labels": "values"})
    splits = load_data(data, configuration.train.seed)
    if configuration.autoencoder.kind == "none":
        return splits
    numbers = build_loss(configuration, splits).numbers(math.prod(splits.feature_shape))
    return reconstructing(splits, bool(numbers.any()))


def build(configuration: Configuration, backend: str | None = None) -> tuple[Splits, Trainer]:
    """Data and trainer of a configuration; `backend` overrides the environment, which overrides the file."""
    from ...backends.registry import check_known, resolve

    check_known(configuration.backend.name)  # also where another is taken: it is written into the run
    build_optimizer(configuration)  # its arguments are checked before any data are read
    check_measures(configuration)
    splits = load(configuration)
    name = resolve(backend) if resolve(backend) != "auto" else configuration.backend.name
    return splits, build_trainer(configuration, splits, name)


def build_trainer(configuration: Configuration, splits: Splits, backend: str) -> Trainer:
    """A new trainer for loaded data."""
    loss = build_loss(configuration, splits)
    return Trainer(
        build_model(configuration, splits, loss),
        loss,
        build_optimizer(configuration),
        schedule=build_schedule(settled(configuration, splits)),
        clip_norm=configuration.train.clip_norm or None,
        clip_value=configuration.train.clip_value or None,
        backend=backend,
        precision=None if configuration.train.precision == "auto" else configuration.train.precision,
        seed=configuration.train.seed,
        groups=[ParameterGroup(**group.model_dump()) for group in configuration.optimizer.groups],
        regularizer=build_regularizer(configuration),
        ema=configuration.train.ema or None,
    )


def build_loss(configuration: Configuration, splits: Splits) -> Loss:
    """The named loss, the default for the targets, or the weighted sum of the heads' losses."""
    if configuration.loss.heads:
        return build_heads(configuration)
    if configuration.loss.name != "auto":
        return Loss.registered[configuration.loss.name]()
    if configuration.autoencoder.kind != "none":
        return BCEWithLogitsLoss() if splits.train.x.dtype == np.uint8 else MSELoss()
    return MSELoss() if splits.classes is None else CrossEntropyLoss()


def build_heads(configuration: Configuration) -> JointLoss:
    """The losses of a model with several outputs, in their order."""
    return JointLoss(
        **{
            name: Head(Loss.registered[head.loss](), head.outputs, head.weight)
            for name, head in configuration.loss.heads.items()
        }
    )


def build_model(configuration: Configuration, splits: Splits, loss: Loss) -> Sequential:
    """A multilayer perceptron, or the graph of its layers, from the data's width to its classes or targets."""
    if configuration.autoencoder.kind != "none":
        return build_autoencoder(configuration, splits, loss)
    section = configuration.model
    width = math.prod(splits.feature_shape)
    outputs = outputs_of(splits, loss)
    activation = activations()[section.activation]
    init = section.init if section.init != "auto" else activation.initializer
    if splits.classes is not None and splits.train.y is not None and splits.train.y.ndim > 1 and not section.layers:
        raise ConfigurationError(
            "the rows of the data have a label for each token, as text has; give the model layers for sequences, as "
            "[[model.layers]] in examples/characters.toml"
        )
    layers: list[Layer] = []
    if configuration.data.standardize:
        mean, std = splits.standardization()
        layers.append(Standardize(width).fit(mean.reshape(-1), std.reshape(-1)))
    if section.layers:
        layers.append(build_graph(configuration, splits, outputs))
    for hidden in () if section.layers else section.hidden:
        pieces = section.pieces if activation is Maxout else 1
        layers.append(Linear(width, hidden * pieces, bias=not section.batch_norm, init=init))
        if section.batch_norm:
            layers.append(BatchNorm1d(hidden * pieces))
        layers.append(Maxout(pieces) if activation is Maxout else activation())
        if section.dropout:
            layers.append(Dropout(section.dropout))
        width = hidden
    if not section.layers:
        layers.append(Linear(width, outputs))
    model = Sequential(*layers, dtype=section.dtype)
    model.classes = None if splits.classes is None else splits.classes.tolist()
    model.target_scaling, model.preparation = scaling_of(configuration, splits, loss), splits.preparation
    return model


def scaling_of(configuration: Configuration, splits: Splits, loss: Loss) -> TargetScaling | None:
    """The scaling of the targets, computed from the training part; None if they are not scaled."""
    train = splits.train
    if not configuration.data.standardize_target or train.y is None:
        return None
    numbers = loss.numbers(math.prod(train.y.shape[1:]))
    if configuration.autoencoder.kind != "none":
        mean, deviation = scale_of(splits, configuration.data.standardize)
        scales = bool((numbers & ((mean != 0) | (deviation != 1))).any())
        return TargetScaling(np.where(numbers, mean, 0), np.where(numbers, deviation, 1)) if scales else None
    return TargetScaling.of(train.y, train.weight, numbers=numbers) if numbers.any() else None


def with_learned_targets(configuration: Configuration, splits: Splits) -> tuple[Configuration, Splits]:
    """The same training with scaled targets, for commands that need steps and losses but no predictions."""
    loss = build_loss(configuration, splits)
    scaling = scaling_of(configuration, splits, loss)
    if scaling is None:
        return configuration, splits
    parts = {
        name: None if part is None else part.with_targets(scaling.scaled(part.y, configuration.model.dtype))
        for name, part in (("train", splits.train), ("validation", splits.validation), ("test", splits.test))
    }
    data = configuration.data.model_copy(update={"standardize_target": False})
    return configuration.model_copy(update={"data": data}), replace(splits, **parts)


def outputs_of(splits: Splits, loss: Loss) -> int:
    """The number of outputs that the loss and the targets need."""
    name = type(loss).__name__
    if loss.targets != "values":
        if splits.classes is None:
            raise ConfigurationError(f"loss.name is {name!r}, but the data have no classes; use 'MSELoss'")
        outputs = len(splits.classes)
        if outputs < 2:
            only = splits.classes[0].item()
            raise DataError(f"data {splits.name}: every row has the label {only!r}; expected at least two classes")
        if loss.targets == "binary":
            if outputs != 2:
                raise ConfigurationError(f"loss.name is {name!r}, which is for 2 classes, but the data have {outputs}")
            outputs = 1
    elif splits.classes is not None:
        raise ConfigurationError(f"loss.name is {name!r}, but the data have classes; set data.labels to 'values'")
    elif splits.train.y is None:
        raise DataError(f"data {splits.name} have no targets y")
    elif isinstance(loss, JointLoss):
        outputs = sum(head.outputs for head in loss.heads.values())
    else:
        outputs = math.prod(splits.train.y.shape[1:])
    return outputs


def build_graph(configuration: Configuration, splits: Splits, outputs: int) -> Model:
    """The graph of the layers; with heads, each is the output of the layer of its name."""
    section, heads = configuration.model, configuration.loss.heads
    width = math.prod(splits.feature_shape)
    if section.inputs and sum(section.inputs.values()) != width:
        raise ConfigurationError(
            f"model.inputs are {section.inputs}, together {sum(section.inputs.values())} wide; the data have {width}"
        )
    model = wire(
        [layer.model_dump() for layer in section.layers],
        section.inputs or width,
        {name: head.outputs for name, head in heads.items()} or outputs,
        section.dtype,
        tokens=lambda: 1 + max(int(part.x.max()) for part in (splits.train, splits.validation, splits.test) if part),
    )
    if configuration.data.standardize and any(isinstance(layer, Embedding) for layer in inside(model)):
        raise ConfigurationError("model.layers have an Embedding, which reads tokens; set data.standardize to false")
    return model


def inside(layer: Layer) -> Iterator[Layer]:
    """The layer and all layers inside it."""
    yield layer
    for child in layer.children().values():
        yield from inside(child)


def build_autoencoder(configuration: Configuration, splits: Splits, loss: Loss) -> Sequential:
    """The named autoencoder; its first layer scales rows like their targets."""
    section, own = configuration.model, configuration.autoencoder
    width = math.prod(splits.feature_shape)
    scale = Standardize(width).fit(*scale_of(splits, configuration.data.standardize))
    model = autoencoder(
        width,
        own.code,
        section.hidden,
        kind=own.kind,  # pyright: ignore[reportArgumentType]
        activation=section.activation,
        weight=own.weight or None,
        penalty=own.penalty,
        rate=own.rate,
        noise=own.noise,
        amount=own.amount,
        dropout=own.dropout,
        first=[scale],
        dtype=section.dtype,
    )
    model.target_scaling, model.preparation = scaling_of(configuration, splits, loss), splits.preparation
    return model


def build_optimizer(configuration: Configuration) -> Optimizer:
    """The named optimizer with the given arguments."""
    arguments = configuration.optimizer.model_dump()
    del arguments["groups"]  # the trainer's
    kind = Optimizer.registered[arguments.pop("name")]
    accepted = list(inspect.signature(kind).parameters)
    unknown = sorted(arguments.keys() - set(accepted))
    if unknown:
        raise ConfigurationError(
            f"optimizer.{unknown[0]} is not an argument of {kind.__name__}; {hint(unknown[0], accepted)}"
        )
    return kind(**arguments)


def check_measures(configuration: Configuration) -> None:
    """Raises ConfigurationError for metrics that do not exist, and a monitor that no loss and no metric has."""
    names, monitor = Metrics(configuration.train.metrics).names, configuration.train.monitor
    own = {name: None for loss in Loss.registered.values() for name in loss.metrics}
    known = [*own, *(f"validation_{name}" for name in own), *names]
    if monitor not in known and not configuration.loss.heads:
        raise ConfigurationError(f"train.monitor is {monitor!r}, which is not measured; {hint(monitor, known)}")


def class_weights(configuration: Configuration, splits: Splits) -> Any:
    """``train.class_weight`` for `Trainer.fit`; TOML keys are text even if classes are numbers."""
    given = configuration.train.class_weight
    if isinstance(given, dict) and splits.classes is not None and splits.classes.dtype.kind != "U":
        names = {str(name): name for name in splits.classes.tolist()}
        return {names.get(key, key): weight for key, weight in given.items()}
    return None if given == "none" else given


def build_callbacks(configuration: Configuration, splits: Splits) -> list[Callback]:
    """The callbacks of ``[watch]``."""
    section = configuration.watch
    train = splits.train.sample(section.rows, configuration.train.seed)
    found: list[Callback] = []
    if section.gradient_norms:
        found.append(GradientNorms(train.x, train.y))
    if section.curvature:
        found.append(Curvature(train.x, train.y))
    if section.flat_epochs:
        found.append(FlatStretch(section.flat_epochs, restart=section.restart))
    return found


def build_regularizer(configuration: Configuration) -> Regularizer | None:
    """The configured regularizer, if any."""
    section = configuration.train
    if section.l1 and section.soft_threshold:
        raise ConfigurationError("train.l1 and train.soft_threshold are the same penalty; set only one of them")
    if section.l1:
        return L1(section.l1)
    return SoftThreshold(section.soft_threshold) if section.soft_threshold else None
