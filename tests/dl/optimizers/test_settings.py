"""Settings changed by hand: the next step uses them, history says so, and what cannot change is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.step import plan
from gearshift.dl.step.shared import DATA, STATE, together
from gearshift.dl.training import loop

BACKENDS = ("numpy", "numba")
RANDOM = np.random.default_rng(5)
X, Y = RANDOM.normal(size=(60, 4)), RANDOM.integers(0, 3, 60)


def trainer(backend: str = "numpy", optimizer: gs.Optimizer | None = None, **more: Any) -> gs.Trainer:
    model = gs.Sequential(gs.Linear(4, 3), dtype="float64")
    return gs.Trainer(model, gs.CrossEntropyLoss(), optimizer or gs.SGD(lr=0.1), backend=backend, **more)


def weights(run: gs.Trainer) -> list[np.ndarray]:
    return [np.array(value) for value in run.model.state_dict().values()]


def gradient(w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the mean cross-entropy over all rows, in float64."""
    z = X @ w + b
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(Y)), Y] -= 1
    return X.T @ p / len(Y), p.sum(axis=0) / len(Y)


def fit(run: gs.Trainer, epochs: int = 1, **more: Any) -> gs.History:
    return run.fit(X, Y, epochs=epochs, batch_size=len(X), verbose=False, **more)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_rate_and_a_decay_set_between_fits_are_those_of_the_next_step(backend: str) -> None:
    run = trainer(backend)
    fit(run, 3)
    w, b = weights(run)
    run.optimizer.lr, run.optimizer.weight_decay = 0.03, 2.0
    history = fit(run)
    dw, db = gradient(w, b)
    for found, expected in zip(weights(run), (w - 0.03 * (dw + 2.0 * w), b - 0.03 * db), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)
    assert history["lr"] == [0.1, 0.1, 0.1, 0.03]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_tick", "on_epoch_end"])
def test_a_rate_set_in_a_callback_is_that_of_the_next_step(
    backend: str, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve steps, the rate 0 after some of them: the weights stay where they were."""
    monkeypatch.setattr(plan, "TICK", 0)
    monkeypatch.setattr(loop, "TICK", 0)
    run, seen = trainer(backend), []

    def change(self: gs.Callback, trained: gs.Trainer, *record: Any) -> None:
        if trained.step >= 4:
            trained.optimizer.lr = 0.0
            seen.append(weights(trained))

    changes = type("Changes", (gs.Callback,), {hook: change})()
    history = run.fit(X, Y, epochs=3, batch_size=15, callbacks=[changes], verbose=False)
    assert len(seen) > 1
    for found, before in zip(weights(run), seen[0], strict=True):
        np.testing.assert_array_equal(found, before)
    assert history["lr"][-1] == 0.0 and (history["lr"][0] == 0.1)


CHANGES = [
    (lambda: gs.SGD(lr=0.1, momentum=0.9), {"momentum": 0.5}),
    (lambda: gs.SGD(lr=0.1, momentum=0.9), {"dampening": 0.5}),
    (lambda: gs.SGD(lr=0.1, momentum=0.9), {"nesterov": True}),
    (lambda: gs.Momentum(lr=0.1), {"momentum": gs.Ramp(0.1, 0.9, 10)}),
    (
        lambda: gs.Momentum(lr=0.1, momentum=gs.Ramp(0.1, 0.9, 10)),
        {"momentum": {"start": 0.2, "stop": 0.3, "steps": 9}},
    ),
    (lambda: gs.Nesterov(lr=0.1), {"momentum": 0.1}),
    (lambda: gs.Adam(), {"betas": (0.5, 0.6)}),
    (lambda: gs.Adam(), {"betas": [0.5, 0.6]}),
    (lambda: gs.Adam(), {"eps": 0.1}),
    (lambda: gs.AdamW(), {"weight_decay": 3.0}),
    (lambda: gs.RMSprop(), {"lr": 1e-4}),
    (lambda: gs.Adagrad(), {"lr": 1e-4}),
    (lambda: gs.Adadelta(), {"rho": 0.5}),
    (lambda: gs.DeltaBarDelta(), {"kappa": 0.1}),
    (lambda: gs.DeltaBarDelta(), {"phi": 0.5, "theta": 0.1}),
]


@pytest.mark.parametrize(
    "backend, make, change", [("numpy", *case) for case in CHANGES] + [("numba", *CHANGES[i]) for i in (0, 6, 13)]
)
def test_a_constant_set_by_hand_is_that_of_an_optimizer_made_with_it(backend: str, make: Any, change: dict) -> None:
    """Against `Optimizer.update` by hand, by an optimizer that is made anew after three steps."""
    run, by_hand = trainer(backend, make()), make()
    fit(run, 3)
    start = trainer("numpy", make())
    start.model.ensure_initialized(0)
    arrays = {name: np.array(value) for name, value in start.model.state_dict().items()}
    state = by_hand.init(arrays)
    for step in range(6):
        if step == 3:
            settings = vars(by_hand) | change
            names = ("lr", *(name for name in settings if name != "lr"))
            by_hand = type(by_hand)(**{name: settings[name] for name in names})
        if hasattr(by_hand, "look_ahead"):
            by_hand.look_ahead(arrays, state)
        dw, db = gradient(arrays["0.weight"], arrays["0.bias"])
        decay, by_hand.weight_decay = by_hand.weight_decay, 0.0
        by_hand.update(arrays["0.bias"], db, state["0.bias"])
        by_hand.weight_decay = decay
        by_hand.update(arrays["0.weight"], dw, state["0.weight"])
    for name, value in change.items():
        setattr(run.optimizer, name, value)
    fit(run, 3)
    for name, found in run.model.state_dict().items():
        np.testing.assert_allclose(found, arrays[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_group_keeps_its_own_rate_when_the_optimizer_s_changes(backend: str) -> None:
    run = trainer(backend, groups=[gs.ParameterGroup("0.bias", lr=0.5)])
    fit(run)
    w, b = weights(run)
    run.optimizer.lr = 0.2
    fit(run)
    (dw, db), (w1, b1) = gradient(w, b), weights(run)
    np.testing.assert_allclose(w1, w - 0.2 * dw, atol=1e-15)
    np.testing.assert_allclose(b1, b - 0.5 * db, atol=1e-15)
    groups: Any = [gs.ParameterGroup("0.bias", lr=0.0)]
    run.groups = groups
    fit(run)
    np.testing.assert_array_equal(weights(run)[1], b1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("inside", [False, True])
def test_clipping_and_schedules_may_change(backend: str, inside: bool) -> None:
    """A rate of 1 and a gradient clipped to 1e-3: the step is no longer than that."""
    run = trainer(backend, gs.SGD(lr=1.0))

    class Clips(gs.Callback):
        def on_epoch_end(self, trained: gs.Trainer, record: dict) -> None:
            if trained.epoch == 2:
                self.before = weights(trained)
                trained.clip_norm = 1e-3
            if trained.epoch == 3:
                self.after = weights(trained)
                trained.schedule = gs.LinearDecay(1, 0.0)

    clips = Clips()
    for _ in range(1 if inside else 4):
        fit(run, 4 if inside else 1, callbacks=[clips])
    moved = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(clips.after, clips.before, strict=True)))
    assert moved == pytest.approx(1e-3, rel=1e-5)
    for found, before in zip(weights(run), clips.after, strict=True):
        np.testing.assert_array_equal(found, before)
    assert run.history["lr"] == [1.0, 1.0, 1.0, 0.0]


def test_the_end_of_a_decay_may_change() -> None:
    run = trainer(schedule=gs.LinearDecay(1, 0.5))
    fit(run, 3)
    schedule: Any = run.schedule
    schedule.final = 0.25
    assert fit(run)["lr"] == [0.1, 0.05, 0.05, 0.025]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda run: setattr(run.optimizer, "lr", -1.0), "lr is -1.0"),
        (lambda run: setattr(run.optimizer, "lr", float("nan")), "lr is nan"),
        (lambda run: setattr(run.optimizer, "lr", "1e-3"), "lr is '1e-3'"),
        (lambda run: setattr(run.optimizer, "learning_rate", 1e-3), "no setting 'learning_rate'; expected one of: lr"),
        (lambda run: setattr(run.optimizer, "momentum", 0.9), "other states.*make a new Trainer"),
        (lambda run: setattr(run, "optimizer", gs.Adam()), "training began with SGD.*make a new Trainer"),
        (lambda run: setattr(run, "optimizer", "adam"), "optimizer is 'adam'"),
        (lambda run: setattr(run, "schedule", 0.5), "schedule is 0.5"),
        (lambda run: setattr(run, "clip_norm", -1), "clip_norm is -1"),
        (lambda run: setattr(run, "groups", [gs.ParameterGroup("*.bias", lr=0.1)]), "groups.*make a new Trainer"),
        (lambda run: setattr(run, "loss", gs.MSELoss()), "loss.*make a new Trainer"),
        (lambda run: setattr(run, "seed", 3), "seed.*restart"),
        (lambda run: setattr(run, "model", gs.Linear(4, 3)), "model.*make a new Trainer"),
        (lambda run: setattr(run, "backend", gs.backends.get("numba")), r"backend.*trainer\.to"),
        (lambda run: setattr(run, "precision", "float32"), "precision"),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_what_cannot_change_is_refused_by_name(change: Any, message: str, inside: bool) -> None:
    run = trainer()
    if inside:

        class Changes(gs.Callback):
            def on_epoch_end(self, trained: gs.Trainer, record: dict) -> None:
                change(trained)

        with pytest.raises((gs.ConfigurationError, gs.DataError, gs.ShapeError), match=message):
            fit(run, 2, callbacks=[Changes()])
        return
    fit(run)
    change(run)
    with pytest.raises((gs.ConfigurationError, gs.DataError, gs.ShapeError), match=message):
        fit(run)


def test_delta_bar_delta_s_rate_is_where_its_rates_began() -> None:
    run = trainer(optimizer=gs.DeltaBarDelta(lr=0.01))
    fit(run)
    run.optimizer.lr = 0.02
    with pytest.raises(gs.ConfigurationError, match=r"DeltaBarDelta: lr cannot change.*was 0.01 and is 0.02"):
        fit(run)


def test_everything_may_change_before_the_first_step() -> None:
    run, other = trainer(), trainer(optimizer=gs.Adam(lr=0.2), seed=3)
    run.model.ensure_initialized(3)
    run.evaluate(X, Y)
    run.optimizer, run.seed = gs.Adam(lr=0.2), 3
    fit(run, 2)
    fit(other, 2)
    for found, expected in zip(weights(run), weights(other), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", sorted(STATE | DATA))
def test_a_slot_with_the_name_of_another_array_is_refused(name: str) -> None:
    own = type("Own", (gs.SGD,), {"slots": (name,)})
    with pytest.raises(gs.ConfigurationError, match=f"Own's slots and .* both have an array '{name}'"):
        trainer(optimizer=own())


def test_names_are_those_that_a_run_has() -> None:
    run = gs.Trainer(
        gs.Sequential(gs.Linear(4, 3)), gs.CrossEntropyLoss(), gs.SGD(), precision="float16", backend="numpy"
    )
    assert {*run.state.shared} == STATE | {"velocity"}
    with pytest.raises(gs.ConfigurationError, match=r"slots is .*expected different names"):
        trainer(optimizer=type("Own", (gs.SGD,), {"slots": ("velocity", "velocity")})())
    with pytest.raises(gs.ConfigurationError, match="first and second both have an array 'a'"):
        together({"first": {"a": 1}, "second": {"a": 2, "b": 3}})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("schedule", [None, gs.LinearDecay(1300, 0.1)])
def test_delta_bar_delta_is_its_formula_beyond_a_block_of_steps(backend: str, schedule: gs.Schedule | None) -> None:
    """Jacobs's rule by hand in float64: over step 1,024, and over 1,024 weights."""
    kappa, phi, theta = 1e-4, 0.1, 0.7
    run = trainer(backend, gs.DeltaBarDelta(0.01, kappa, phi, theta), schedule=schedule)
    run.model.ensure_initialized(0)
    values = weights(run)
    rates, trends = [np.full_like(v, 0.01) for v in values], [np.zeros_like(v) for v in values]
    for step in range(1100):
        factor = 1.0 if schedule is None else schedule(step)
        for value, rate, trend, g in zip(values, rates, trends, gradient(*values), strict=True):
            sign = trend * g
            rate[...] = np.where(sign > 0, rate + kappa, np.where(sign < 0, (1 - phi) * rate, rate))
            trend[...] = (1 - theta) * g + theta * trend
            value -= factor * rate * g
    fit(run, 1100)
    for found, expected in zip(weights(run), values, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_delta_bar_delta_trains_more_weights_than_a_block_has_steps(backend: str, tmp_path: Any) -> None:
    def made() -> gs.Trainer:
        model = gs.Sequential(gs.Linear(4, 300), gs.ReLU(), gs.Linear(300, 3), dtype="float64")
        return gs.Trainer(model, gs.CrossEntropyLoss(), gs.DeltaBarDelta(1e-3), backend=backend)

    whole, first, second = made(), made(), made()
    fit(whole, 8)
    fit(first, 3)
    first.save(tmp_path / "a.safetensors")
    second.load(tmp_path / "a.safetensors")
    fit(second, 5)
    assert whole.history["loss"][-1] < whole.history["loss"][0]
    for found, expected in zip(weights(second), weights(whole), strict=True):
        np.testing.assert_array_equal(found, expected)
