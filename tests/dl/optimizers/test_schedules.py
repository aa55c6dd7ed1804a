"""Schedules with memory of the number of steps, Robbins and Monro's conditions, and how weights are drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError
from gearshift.dl.experiment.config import changes, parse, write
from gearshift.dl.experiment.schedule import build_schedule
from gearshift.dl.layers.initializers import WEIGHTS


def test_closed_forms() -> None:
    assert [gs.InverseTimeDecay(0.5)(step) for step in range(4)] == pytest.approx([1, 1 / 1.5, 1 / 2, 1 / 2.5])
    assert [gs.InverseTimeDecay(1.0, hold=2)(step) for step in range(5)] == pytest.approx([1, 1, 1, 1 / 2, 1 / 3])
    assert [gs.PowerDecay(1.0)(step) for step in range(4)] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert [gs.PowerDecay(0.75, hold=1)(step) for step in range(3)] == pytest.approx([1, 1, 2**-0.75])
    assert [gs.Ramp(0.5, 0.9, 4)(step) for step in (0, 2, 4, 9)] == pytest.approx([0.5, 0.7, 0.9, 0.9])
    assert gs.PowerDecay(warmup=4)(0) == 0.25


@pytest.mark.parametrize(
    "schedule",
    [
        gs.Constant(),
        gs.InverseTimeDecay(0.1),
        gs.PowerDecay(0.51),
        gs.PowerDecay(1.0),
        gs.LinearDecay(500),
        gs.StepDecay(100),
        gs.CosineDecay(500),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_robbins_and_monro_s_conditions_hold_where_it_is_said(schedule: gs.Schedule) -> None:
    """From one decade of steps to the next a divergent sum gains no less, a convergent one less."""
    steps = np.arange(10**5)
    rates = np.array([schedule(int(step)) for step in steps])
    decades = [slice(10**k, 10 ** (k + 1)) for k in (3, 4)]
    sums, squares = ([float(np.sum(values[part])) for part in decades] for values in (rates, rates**2))
    diverges = sums[1] >= 0.9 * sums[0] > 0
    converges = squares[1] < 0.98 * squares[0] or squares[1] == 0
    assert (diverges and converges) is schedule.robbins_monro


@pytest.mark.parametrize("power", [0.5, 1.1, -1.0])
def test_a_power_outside_the_conditions_is_refused(power: float) -> None:
    with pytest.raises(ConfigurationError, match=r"above 0\.5 and at most 1"):
        gs.PowerDecay(power)


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ({"name": "inverse", "delta": 0.5, "hold": 3}, gs.InverseTimeDecay),
        ({"name": "power", "power": 0.75}, gs.PowerDecay),
    ],
)
def test_from_a_configuration(table: dict[str, object], kind: type) -> None:
    made = build_schedule(parse({"schedule": {"steps": 100, **table}}))
    assert type(made) is kind
    assert all(getattr(made, key) == value for key, value in table.items() if key != "name")


@pytest.mark.parametrize(
    ("name", "final"), [("cosine", 0.0), ("linear", 0.0), ("plateau", 0.0), ("onecycle", 1 / (25 * 1e4))]
)
def test_the_final_factor_of_a_configuration_is_pytorch_s(name: str, final: float) -> None:
    """CosineAnnealingLR's eta_min and ReduceOnPlateau's min_lr are 0, OneCycleLR ends at lr / (25 · 1e4).

    It is written into the run's configuration, and left out of the changes to the defaults.
    """
    configuration = parse({"schedule": {"name": name, "steps": 100}})
    made: Any = build_schedule(configuration)
    assert made.final == configuration.schedule.final == pytest.approx(final)
    assert f"final = {configuration.schedule.final}" in write(configuration)
    assert changes(configuration) == [f"schedule.name={name}", *["schedule.steps=100"] * (name != "plateau")]
    assert changes(parse({"schedule": {"final": 0.01}})) == [], "a constant rate has no final factor"
    if name in ("cosine", "linear"):
        assert made(100) == made(10**6) == 0.0
    assert parse({"schedule": {"name": name, "steps": 100, "final": 0.25}}).schedule.final == 0.25


@pytest.mark.parametrize(
    ("name", "deviation"),
    [("glorot", np.sqrt(2 / 500)), ("he", np.sqrt(2 / 300)), ("gaussian", 0.01), ("uniform", 1 / np.sqrt(900))],
)
def test_weights_have_their_distribution_s_deviation(name: str, deviation: float) -> None:
    assert name in WEIGHTS
    weights = gs.Sequential(gs.Linear(300, 200, init=name), dtype="float64").init(4).state_dict()
    assert np.std(weights["0.weight"]) == pytest.approx(deviation, rel=0.01)
    assert abs(np.mean(weights["0.weight"])) <= 4 * deviation / np.sqrt(60_000)
    assert not weights["0.bias"].any()


@pytest.mark.parametrize("name", ["zeros", "ones", "constant"])
def test_weights_that_make_units_alike_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(ConfigurationError, match="never differ"):
        gs.Linear(3, 4, init=name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gs.StepDecay(10, gamma=-0.5), "gamma is -0.5; expected a finite number above 0"),
        (lambda: gs.LinearDecay(10, final=-1.0), "final is -1.0; expected a finite number of at least 0"),
        (lambda: gs.CosineDecay(10, final=math.nan), "final is nan"),
        (lambda: gs.InverseTimeDecay(math.inf), "delta is inf; expected a finite number above 0"),
        (lambda: gs.Ramp("a", 1.0, 10), "start is 'a'; expected a finite number"),  # pyright: ignore[reportArgumentType]
        (lambda: parse({"schedule": {"name": "step"}}), "steps is 0, but the schedule 'step' decays every so many"),
    ],
    ids=["step", "linear", "cosine", "inverse", "ramp", "configuration"],
)
def test_what_is_no_rate_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_a_rate_that_grows_may_overflow_at_steps_that_are_never_taken() -> None:
    """Constants are made ahead, for 1024 steps."""
    trainer = gs.Trainer(gs.Linear(2, 1), gs.MSELoss(), gs.SGD(1e-3), schedule=gs.StepDecay(1, 2.0), backend="numpy")
    trainer.fit(np.eye(2), np.ones(2), epochs=5, verbose=False)
    assert trainer.history[-1]["lr"] == pytest.approx(1e-3 * 2**4)
