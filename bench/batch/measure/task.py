"""What a run of ``gearshift bench`` says of the machine and of the training that it measures."""

from __future__ import annotations

import math
from typing import Any

from ....backends.errors import ConfigurationError
from ....dl.data import Splits
from ....dl.experiment.sections import Configuration
from ....dl.layers import Layer, Linear
from ....dl.training.trainer import Trainer
from ...machine import described
from ..records import Task

PACKAGES = ("gearshift", "numpy", "numba", "cupy-cuda12x", "cupy-cuda13x")


def machine() -> dict[str, Any]:
    """The machine and the versions of packages."""
    return described(PACKAGES)


def task_of(configuration: Configuration, splits: Splits, trainer: Trainer) -> Task:
    """The task that is trained."""
    section = configuration.train
    return Task(
        network=network_of(configuration, splits, trainer.model),
        parameters=sum(parameter.size for parameter in trainer.model.parameters() if parameter.trained),
        dtype=configuration.model.dtype,
        optimizer=configuration.optimizer.name,
        lr=configuration.optimizer.lr,
        data=splits.name,
        rows=len(splits.train),
        batch_size=section.batch_size,
        epochs=section.epochs,
        schedule=configuration.schedule.name,
        schedule_steps=configuration.schedule.steps,
        warmup=configuration.schedule.warmup,
    )


def network_of(configuration: Configuration, splits: Splits, model: Layer) -> str:
    """A short description of the network: its widths and activation, or the number of layers of its graph."""
    section, own = configuration.model, configuration.autoencoder
    kind, dropout = "", section.dropout if section.hidden else 0.0
    if own.kind != "none":
        half = [math.prod(splits.feature_shape), *section.hidden]
        kind, widths, dropout = f"{own.kind} autoencoder ", [*half, own.code, *reversed(half)], own.dropout
    elif section.layers:
        return f"a graph of {len(section.layers)} layer" + "s" * (len(section.layers) > 1)
    else:
        layers = [layer for layer in model.children().values() if isinstance(layer, Linear)]
        widths = [layers[0].in_features, *(layer.out_features for layer in layers)]
    text = f"{kind}{'-'.join(map(str, widths))} {section.activation}"
    return f"{text}, dropout {dropout:g}" if dropout else text


def check_configuration(configuration: Configuration, trainer: Trainer) -> None:
    """Raises ConfigurationError if `gearshift bench` cannot time the steps of this training."""
    section, name = configuration.train, configuration.optimizer.name
    if trainer.optimizer.on_host or trainer.optimizer.full_batch:
        raise ConfigurationError(
            f"{name!r} does not train on mini-batches, so `gearshift bench` cannot time it; set optimizer.name to "
            "'Adam' or 'SGD', for example"
        )
    for key, value, least in (
        ("accumulate", section.accumulate, 1),
        ("class_weight", section.class_weight, "none"),
    ):
        if value != least:
            raise ConfigurationError(
                f"train.{key} is {value!r}, which `gearshift bench` does not support; use --set train.{key}={least}"
            )
