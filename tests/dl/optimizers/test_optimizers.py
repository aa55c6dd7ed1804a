"""Optimizers and schedules against torch.optim, and against a transcription of its formulas that needs no PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, ShapeError
from gearshift.backends.philox import key_of, permutation

STEPS = 200
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.05, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("RMSprop", {}),
    *(
        ("RMSprop", {"lr": 3e-3, "alpha": 0.9, "momentum": momentum, "centered": centered, "weight_decay": decay})
        for momentum in (0.0, 0.8)
        for centered in (False, True)
        for decay in (0.0, 0.02)
    ),
    *((name, {}) for name in ("Adam", "AdamW")),
    *(
        (name, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": decay})
        for name in ("Adam", "AdamW")
        for decay in (0.0, 0.05)
    ),
]
IDS = [" ".join([name, *(f"{key}={value}" for key, value in given.items())]) for name, given in SETTINGS]


def start() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((7, 5))


def gradients(p: np.ndarray, step: int) -> np.ndarray:
    """Those of a noisy, badly scaled quadratic: they depend on where an optimizer has got to."""
    noise = np.random.default_rng(step).standard_normal(p.shape).astype(p.dtype)
    return np.ascontiguousarray(p * np.geomspace(0.01, 3, p.size, dtype=p.dtype).reshape(p.shape) + noise)


def by_hand(name: str, given: dict[str, Any], dtype: Any) -> np.ndarray:
    optimizer, p = getattr(gs, name)(**given), start().astype(dtype)
    state = optimizer.init(p)
    for step in range(STEPS):
        optimizer.update(p, gradients(p, step), state)
    assert state.step == STEPS
    return p


def by_formula(name: str, given: dict[str, Any]) -> np.ndarray:
    """torch.optim's documentation, line by line."""
    defaults = {"SGD": 1e-3, "RMSprop": 1e-2, "Adam": 1e-3, "AdamW": 1e-3}
    o = {"lr": defaults[name], "weight_decay": 0.01 if name == "AdamW" else 0, "momentum": 0, "eps": 1e-8, **given}
    p = start()
    b = m = v = np.zeros_like(p)
    for t in range(1, STEPS + 1):
        g = gradients(p, t - 1)
        if name == "AdamW":
            p = p - o["lr"] * o["weight_decay"] * p
        else:
            g = g + o["weight_decay"] * p
        if name == "SGD":
            if o["momentum"]:
                b = g if t == 1 else o["momentum"] * b + (1 - o.get("dampening", 0)) * g
                g = g + o["momentum"] * b if o.get("nesterov") else b
            p = p - o["lr"] * g
        elif name == "RMSprop":
            alpha = o.get("alpha", 0.99)
            v = alpha * v + (1 - alpha) * g**2
            m = alpha * m + (1 - alpha) * g
            u = g / (np.sqrt(v - m**2 if o.get("centered") else v) + o["eps"])
            b = o["momentum"] * b + u
            p = p - o["lr"] * b
        else:
            beta1, beta2 = o.get("betas", (0.9, 0.999))
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            p = p - o["lr"] * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + o["eps"])
    return p


def by_torch(name: str, given: dict[str, Any], dtype: str) -> np.ndarray:
    torch = pytest.importorskip("torch")
    p = torch.tensor(start(), dtype=getattr(torch, dtype), requires_grad=True)
    optimizer = getattr(torch.optim, name)([p], **given)
    for step in range(STEPS):
        p.grad = torch.from_numpy(gradients(p.detach().numpy(), step))
        optimizer.step()
    return p.detach().numpy()


@pytest.mark.parametrize(("name", "given"), SETTINGS, ids=IDS)
def test_200_steps_as_the_formulas(name: str, given: dict[str, Any]) -> None:
    assert np.max(np.abs(by_hand(name, given, np.float64) - by_formula(name, given))) <= 1e-10


@pytest.mark.parametrize(("name", "given"), SETTINGS, ids=IDS)
def test_200_steps_as_torch(name: str, given: dict[str, Any]) -> None:
    assert np.max(np.abs(by_hand(name, given, np.float64) - by_torch(name, given, "float64"))) <= 1e-10


@pytest.mark.parametrize(("name", "given"), SETTINGS, ids=IDS)
def test_200_steps_in_float32_stay_near_float64(name: str, given: dict[str, Any]) -> None:
    """200 steps, each with a few roundings of 6e-8 of numbers below 3."""
    single = by_hand(name, given, np.float32)
    assert single.dtype == np.float32
    assert np.max(np.abs(single - by_formula(name, given))) <= 3e-5


@pytest.mark.torch
def test_defaults_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    for name in ("SGD", "RMSprop", "Adam", "AdamW"):
        theirs = getattr(torch.optim, name)([torch.zeros(1, requires_grad=True)]).defaults
        for key, value in vars(getattr(gs, name)()).items():
            assert theirs[key] == value, f"{name}: {key}"


def test_dictionaries_are_driven_array_by_array() -> None:
    optimizer = gs.Adam(lr=0.1)
    p = {"a": np.ones(3), "b": np.zeros((2, 2), dtype=np.float32)}
    alone = {name: value.copy() for name, value in p.items()}
    state, states = optimizer.init(p), {name: optimizer.init(value) for name, value in alone.items()}
    for step in range(3):
        g = {name: np.full_like(value, step + 1) for name, value in p.items()}
        optimizer.update(p, g, state)
        for name, value in alone.items():
            optimizer.update(value, g[name], states[name])
    assert all(np.array_equal(p[name], alone[name]) for name in p)
    with pytest.raises(ShapeError, match="c"):
        optimizer.update(p, {"a": p["a"], "c": p["b"]}, state)


@pytest.mark.parametrize("optimizer", [gs.SGD(), gs.RMSprop(), gs.Adam(), gs.AdamW()])
def test_empty_array_is_no_work(optimizer: Any) -> None:
    p = np.ones((0, 3))
    state = optimizer.init(p)
    optimizer.update(p, p.copy(), state)
    assert state.step == 1


@pytest.mark.parametrize(
    ("p", "g", "message"),
    [
        (np.ones((4, 4)).T[::2], np.ones((2, 4)), "p is not C-contiguous"),
        (np.ones((4, 2)), np.ones((2, 4)).T, "g is not C-contiguous"),
        (np.ones(3), np.ones(4), r"g is float64 \(4,\), but p is float64 \(3,\)"),
        (np.ones(3), np.ones(3, dtype=np.float32), "g is float32"),
        (np.ones(3, dtype=np.float16), np.ones(3, dtype=np.float16), "float16; expected float32 or float64"),
        (np.ones(3, dtype=np.int64), np.ones(3, dtype=np.int64), "int64; expected float32 or float64"),
        ([1.0, 2.0], [1.0, 2.0], "got list; expected a NumPy or CuPy array"),
        (np.ones(2), [1.0, 2.0], "got list; expected a NumPy or CuPy array"),
        (np.ones(2), np.ones(2), r"velocity is float64 \(3,\), but p is float64 \(2,\)"),
    ],
)
def test_refusals_change_nothing(p: Any, g: Any, message: str) -> None:
    optimizer = gs.SGD(lr=0.1, momentum=0.9)
    state = optimizer.init(np.ones(3))
    before = np.array(p)
    with pytest.raises(ShapeError, match=message):
        optimizer.update(p, g, state)
    assert np.array_equal(p, before)
    assert state.step == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: gs.SGD(lr=-1),
        lambda: gs.SGD(lr=float("nan")),
        lambda: gs.SGD(lr="fast"),  # pyright: ignore[reportArgumentType]
        lambda: gs.SGD(momentum=-0.1),
        lambda: gs.SGD(nesterov=True),
        lambda: gs.SGD(nesterov=True, momentum=0.9, dampening=0.1),
        lambda: gs.RMSprop(alpha=1.0),
        lambda: gs.RMSprop(eps=-1e-8),
        lambda: gs.Adam(betas=(0.9, 1.0)),
        lambda: gs.Adam(betas=(0.9,)),  # pyright: ignore[reportArgumentType]
        lambda: gs.AdamW(weight_decay=-1),
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"SGD|RMSprop|Adam"):
        make()


ROWS, BATCH, EPOCHS = 70, 16, 12  # five batches an epoch, the last of 6 rows: 60 steps
TRAINED: list[tuple[str, dict[str, Any], float | None]] = [
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.02}, None),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.02}, 0.3),
    ("RMSprop", {"lr": 3e-3, "momentum": 0.5, "centered": True, "weight_decay": 0.02}, None),
    ("Adam", {"lr": 0.01, "weight_decay": 0.02}, None),
    ("Adam", {"lr": 0.01, "weight_decay": 0.02}, 0.3),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}, None),
]


@pytest.mark.torch
@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(("name", "given", "clip_norm"), TRAINED)
def test_a_trainer_trains_as_torch_with_parameter_groups(
    name: str, given: dict[str, Any], clip_norm: float | None, backend: str
) -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(1)
    x, y, seed = random.standard_normal((ROWS, 6)), random.integers(0, 4, ROWS), 5
    model = gs.Sequential(gs.Linear(6, 9), gs.Tanh(), gs.Linear(9, 4), dtype="float64").init(seed)
    weights = {key: torch.tensor(value, requires_grad=True) for key, value in model.state_dict().items()}
    trainer = gs.Trainer(
        model, gs.CrossEntropyLoss(), getattr(gs, name)(**given), clip_norm=clip_norm, backend=backend, seed=seed
    )
    history = trainer.fit(x, y, epochs=EPOCHS, batch_size=BATCH, verbose=False)

    decayed, rest = ([weights[f"{i}.{kind}"] for i in (0, 2)] for kind in ("weight", "bias"))
    groups = [{"params": decayed}, {"params": rest, "weight_decay": 0.0}]
    optimizer = getattr(torch.optim, name)(groups, **given)
    worst = 0.0
    for epoch, record in enumerate(history.records):
        order = permutation(np, key_of(seed), ROWS, epoch)
        total = 0.0
        for first in range(0, ROWS, BATCH):
            rows = order[first : first + BATCH]
            hidden = torch.tanh(torch.tensor(x[rows]) @ weights["0.weight"] + weights["0.bias"])
            logits = hidden @ weights["2.weight"] + weights["2.bias"]
            loss = torch.nn.functional.cross_entropy(logits, torch.tensor(y[rows]))
            total += loss.item() * len(rows)
            optimizer.zero_grad()
            loss.backward()
            if clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(decayed + rest, clip_norm)
            optimizer.step()
        worst = max(worst, abs(record["loss"] - total / ROWS))
    assert trainer.step == 60
    final = max(np.max(np.abs(value - weights[key].detach().numpy())) for key, value in model.state_dict().items())
    assert max(worst, final) <= 1e-10


@pytest.mark.torch
@pytest.mark.parametrize(
    ("schedule", "name", "given"),
    [
        (gs.StepDecay(7, gamma=0.3), "StepLR", {"step_size": 7, "gamma": 0.3}),
        (gs.CosineDecay(40, final=0.0), "CosineAnnealingLR", {"T_max": 40}),
        (gs.CosineDecay(40, final=0.1), "CosineAnnealingLR", {"T_max": 40, "eta_min": 0.05}),
        (gs.LinearDecay(25, final=0.2), "LinearLR", {"start_factor": 1.0, "end_factor": 0.2, "total_iters": 25}),
        (gs.Constant(), "ConstantLR", {"factor": 1.0}),
    ],
)
def test_schedules_as_torch(schedule: gs.Schedule, name: str, given: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    theirs = getattr(torch.optim.lr_scheduler, name)(optimizer, **given)
    for step in range(41):
        assert abs(0.5 * schedule(step) - theirs.get_last_lr()[0]) <= 1e-14
        optimizer.step()
        theirs.step()


def test_schedules_in_closed_form() -> None:
    assert [gs.StepDecay(2, gamma=0.5)(step) for step in range(5)] == [1, 1, 0.5, 0.5, 0.25]
    assert [gs.LinearDecay(4, final=0.2)(step) for step in (0, 2, 4, 9)] == pytest.approx([1, 0.6, 0.2, 0.2])
    assert [gs.CosineDecay(4, final=0.2)(step) for step in (0, 2, 4, 9)] == pytest.approx([1, 0.6, 0.2, 0.2])
    assert [gs.Constant(warmup=4)(step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert gs.CosineDecay(10, warmup=4)(1) == pytest.approx(0.5 * (1 + math.cos(0.1 * math.pi)) / 2)


def test_a_schedule_s_rate_is_what_a_trainer_takes() -> None:
    """Plain descent on a gradient of known size: each step's length is the rate."""
    x, y = np.ones((1, 1)), np.zeros((1, 1))
    model = gs.Sequential(gs.Linear(1, 1, bias=False), dtype="float64").init(0)
    schedule, w = gs.StepDecay(3, gamma=0.5, warmup=2), float(model.state_dict()["0.weight"][0, 0])
    trainer = gs.Trainer(model, gs.MSELoss(), gs.SGD(lr=0.1), schedule=schedule, backend="numpy")
    trainer.fit(x, y, epochs=10, batch_size=1, verbose=False)
    for step in range(10):
        w -= 0.1 * schedule(step) * 2 * w
    assert abs(w - float(model.state_dict()["0.weight"][0, 0])) <= 1e-15


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gs.Adam(betas=0.9), "betas is 0.9; expected two numbers"),  # pyright: ignore[reportArgumentType]
        (lambda: gs.AdamW(betas=("a", "b")), r"betas is \('a', 'b'\)"),  # pyright: ignore[reportArgumentType]
        (lambda: gs.RMSprop(centered="false"), "centered is 'false'; expected True or False"),  # pyright: ignore[reportArgumentType]
        (lambda: gs.SGD(momentum=0.9, nesterov="no"), "nesterov is 'no'"),  # pyright: ignore[reportArgumentType]
    ],
    ids=["number", "text", "centered", "nesterov"],
)
def test_arguments_of_another_type_are_named(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()
