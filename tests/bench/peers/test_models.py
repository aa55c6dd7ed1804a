"""General models: the same in both libraries, and measured as epochs."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError
from gearshift.bench.peers import command, models
from gearshift.bench.peers.gearshift_models import layers
from gearshift.bench.peers.measure import Crew


@pytest.mark.parametrize("name", models.MODELS)
def test_targets_can_be_learned_and_rows_fit_the_model(name: str) -> None:
    model = models.parse(name)
    x, y = models.data(model)
    assert len(x) == len(y) == model.rows and model.rows % model.batch == 0
    outputs = gs.Sequential(*layers(name)).init(seed=0)(x[: model.batch])
    assert outputs.shape == (model.batch, models.CLASSES)
    assert y.shape == ((model.rows, models.CLASSES) if model.values else (model.rows,))
    if not model.values:
        assert len(np.unique(y)) > 3 and y.min() >= 0 and y.max() < models.CLASSES


@pytest.mark.torch
@pytest.mark.parametrize("name", models.MODELS)
def test_both_libraries_have_the_same_parameters(name: str) -> None:
    pytest.importorskip("torch")
    from gearshift.bench.peers.torch_models import module

    theirs = sorted(p.numel() for p in module(name).parameters() if p.requires_grad)
    ours = [math.prod(p.shape) for p in gs.Sequential(*layers(name)).init(seed=0).parameters() if p.trained]
    assert sum(ours) == sum(theirs)


def test_a_model_is_measured() -> None:
    with Crew(["numba"], {"model": 2}, lambda text: None) as crew:
        point = crew.measure("model", "own formulas", 64)
    result = point.results["numba"]
    assert not result.fault and len(result.seconds) == 2 and point.rows == 6400
    assert 0 < result.losses[0] < 1


def test_models_are_chosen_by_name() -> None:
    asked = command.request(names="784-128-10,transformer")
    assert asked.models == ["transformer"] and asked.epochs == ["784-128-10"]
    assert command.request(measure="model").models == [*models.MODELS] and not command.request(measure="step").models
    with pytest.raises(ConfigurationError, match="model 'gru' is not known; expected one of: dropout"):
        models.parse("gru")
