"""The gradient noise scale: exact norms, unbiased estimates, and the same answer for every seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError
from gearshift.bench.batch.measure import noise_run
from gearshift.bench.batch.measure.descent import SteppedTraining
from gearshift.bench.batch.measure.noise import PerExample, ratio
from gearshift.dl.experiment.build import build_trainer, load_data
from gearshift.dl.experiment.config import parse

LAYERS = {
    "relu": lambda: [gs.Linear(7, 9), gs.ReLU(), gs.Linear(9, 4)],
    "tanh, without bias": lambda: [
        gs.Linear(7, 6, bias=False),
        gs.Tanh(),
        gs.Linear(6, 5),
        gs.Sigmoid(),
        gs.Linear(5, 4),
    ],
    "linear": lambda: [gs.Linear(7, 4)],
}


def trainer_of(layers: Sequence[gs.Layer], optimizer: gs.Optimizer | None = None, backend: str = "numpy") -> gs.Trainer:
    """A trainer in float64."""
    model = gs.Sequential(*layers, dtype="float64")
    return gs.Trainer(model, gs.CrossEntropyLoss(), optimizer or gs.SGD(lr=0.1), backend=backend, seed=3)


def data_of(rows: int) -> gs.Dataset:
    """Random rows and labels."""
    random = np.random.default_rng(0)
    return gs.Dataset(random.normal(size=(rows, 7)), random.integers(0, 4, rows))


def explicit(trainer: gs.Trainer, data: gs.Dataset) -> dict[str, np.ndarray]:
    """Every example's own gradient, (rows, size) by parameter."""
    found: dict[str, list[np.ndarray]] = {}
    for i in range(len(data)):
        _, gradients = gs.value_and_grad(trainer.model, trainer.loss, data.x[i : i + 1], data.y[i : i + 1])
        for name, value in gradients.items():
            found.setdefault(name, []).append(value.reshape(-1))
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("kind", LAYERS)
def test_norms_match_explicit_gradients(kind: str, backend: str) -> None:
    """Within 1e-10, layer by layer; so do the norms of the mean."""
    data, trainer = data_of(12), trainer_of(LAYERS[kind](), backend=backend)
    found = PerExample(trainer, data, 12).moments(np.arange(12))
    gradients = explicit(trainer, data)
    for layer, norms in found.norms.items():
        own = np.concatenate([value for name, value in gradients.items() if name.startswith(f"{layer}.")], axis=1)
        np.testing.assert_allclose(norms, (own**2).sum(axis=1), rtol=1e-10)
        assert found.mean[layer] == pytest.approx((own.mean(axis=0) ** 2).sum(), rel=1e-10)


def test_norms_of_adam_match_explicit_gradients() -> None:
    """Divided by the root of √v̂ + ε after some steps of Adam."""
    data, trainer = data_of(40), trainer_of(LAYERS["relu"](), gs.Adam(lr=0.01))
    examples = PerExample(trainer, data, 40)
    assert examples.adam_divisors() is None
    trainer.fit(data, epochs=2, batch_size=8, verbose=False)
    divisors = examples.adam_divisors()
    assert divisors is not None
    found = examples.moments(np.arange(40), divisors)
    gradients = explicit(trainer, data)
    divided = {name: value / divisors[name].reshape(-1) for name, value in gradients.items()}
    own = np.concatenate(list(divided.values()), axis=1)
    np.testing.assert_allclose(sum(found.norms.values()), (own**2).sum(axis=1), rtol=1e-10)
    # Adam's own quotient: v is Σ (1 − β₂) β₂^(t − s) g², and v̂ what its bias correction leaves
    v = trainer.state.slots["second"]
    view = trainer.state.arena.view(v, trainer.state.arena.parameters[0])
    name = trainer.state.arena.parameters[0].name
    np.testing.assert_allclose(divisors[name], np.sqrt(np.sqrt(view / (1 - 0.999**trainer.step)) + 1e-8), rtol=1e-12)


def test_weight_decay_adds_to_the_gradient_only() -> None:
    """tr Σ stays, |G|² is of the gradient with the decay of weights."""
    data = data_of(30)
    plain, decayed = (trainer_of(LAYERS["relu"](), gs.SGD(lr=0.1, weight_decay=decay)) for decay in (0.0, 0.5))
    one, other = (PerExample(trainer, data, 30).moments(np.arange(30)) for trainer in (plain, decayed))
    assert one.noise(30, 30)[0] == pytest.approx(other.noise(30, 30)[0], rel=1e-12)
    whole = 0.0
    for name, value in explicit(decayed, data).items():
        parameter = next(p for p in decayed.model.parameters() if p.name == name)
        whole += float(((value.mean(axis=0) + 0.5 * parameter.decay * parameter.numpy().reshape(-1)) ** 2).sum())
    assert other.noise(30, 30)[1] == pytest.approx(whole, rel=1e-10)


def test_estimates_are_unbiased() -> None:
    """Over 1,500 draws without replacement, the means are within 3 standard errors of the whole data's truth."""
    rows, draw, count = 60, 12, 1500
    data, trainer = data_of(rows), trainer_of(LAYERS["relu"]())
    gradients = np.concatenate(list(explicit(trainer, data).values()), axis=1)
    truth = gradients.var(axis=0, ddof=1).sum(), (gradients.mean(axis=0) ** 2).sum()
    examples, random = PerExample(trainer, data, draw), np.random.default_rng(0)
    found = np.array(
        [examples.moments(random.choice(rows, draw, replace=False)).noise(draw, rows) for _ in range(count)]
    )
    for mine, true in zip(found.T, truth, strict=True):
        assert abs(mine.mean() - true) < 3 * mine.std(ddof=1) / np.sqrt(count)
    assert abs(found[:, 1].mean() / truth[1] - 1) < 0.1  # and the test would see the correction's 19 %
    whole = examples.trainer, PerExample(trainer, data, rows).moments(np.arange(rows)).noise(rows, rows)
    assert whole[1] == pytest.approx(truth, rel=1e-10)


def test_ratio_averages_before_dividing() -> None:
    """The mean of quotients would be three times as large here."""
    found = ratio([(1.0, 0.1), (1.0, 1.9)] * 20)
    assert found.value == pytest.approx(1.0) and found.low < 1 < found.high
    assert ratio([(1.0, -1e-9)] * 3).value > 1e6


def test_what_cannot_be_measured_is_said() -> None:
    """Too few rows, or a loss that turns NaN."""
    trainer = trainer_of(LAYERS["relu"]())
    with pytest.raises(ConfigurationError, match="needs 16 rows of training data; there are 7"):
        noise_run.measure(trainer, data_of(7), 4, 1.0)
    wild = trainer_of(LAYERS["relu"](), gs.SGD(lr=1e300))
    with pytest.raises(ConfigurationError, match="the loss is not finite at step"):
        noise_run.measure(wild, data_of(64), 4, 1.0)


def test_a_run_that_learned_nothing_says_nothing() -> None:
    """A target of some hundred thousand is not reached; the same in units of its spread is."""
    x = np.random.default_rng(0).normal(size=(64, 7))
    y = 3e5 + 1e5 * x[:, 0]
    far = gs.Trainer(gs.Sequential(gs.Linear(7, 1)).init(0), gs.MSELoss(), gs.Adam(lr=1e-3), backend="numpy")
    assert far.baseline(x, y) == pytest.approx(np.var(y), rel=1e-12)
    with pytest.raises(ConfigurationError, match=r"nothing was learned in .* no advice"):
        noise_run.measure(far, gs.Dataset(x, y), 16, 0.5)
    near = gs.Trainer(gs.Sequential(gs.Linear(7, 1)).init(0), gs.MSELoss(), gs.Adam(lr=0.1), backend="numpy")
    assert noise_run.measure(near, gs.Dataset(x, (y - y.mean()) / y.std()), 16, 0.5).places


def test_shared_layers_are_refused() -> None:
    """Their gradient is a sum of outer products."""
    layer = gs.Linear(7, 7)
    trainer = trainer_of([layer, gs.ReLU(), layer, gs.Linear(7, 4)])
    with pytest.raises(ConfigurationError, match="Linear layers, each used once"):
        PerExample(trainer, data_of(8), 8)


def scales_of(seed: int, draws: int) -> tuple[float, float]:
    """The plain noise scale of a run on the digits, and Adam's."""
    configuration = parse({}, [f"train.seed={seed}"])
    splits = load_data(configuration.data, configuration.train.seed)
    trainer = build_trainer(configuration, splits, "numba")
    found = noise_run.measure(trainer, splits.train, 32, 30.0, seed=draws)
    assert found.adam is not None and found.scale.low <= found.scale.value <= found.scale.high
    return found.scale.value, found.adam.value


@pytest.mark.long
def test_scale_is_stable_over_draws() -> None:
    """Of one run: within 20 % of the middle one, plain and in Adam's coordinates."""
    scales = np.array([scales_of(0, draws) for draws in range(2)])
    assert np.abs(scales / np.median(scales, axis=0) - 1).max() < 0.2, scales


@pytest.mark.long
def test_scale_is_stable_over_seeds() -> None:
    """Of runs with their own split, weights and order: within 20 % of the middle one."""
    scales = np.array([scales_of(seed, 0) for seed in range(5)])
    assert np.abs(scales / np.median(scales, axis=0) - 1).max() < 0.2, scales


def test_a_run_goes_through_all_rows() -> None:
    """Piece by piece, as in one go, each epoch in an order of its own."""
    data = data_of(50)
    runs = [SteppedTraining(trainer_of(LAYERS["relu"](), gs.Adam(lr=0.01)), data, 8) for _ in range(2)]
    runs[0].run(17)
    for steps in (3, 9, 5):
        runs[1].run(steps)
    fitted = trainer_of(LAYERS["relu"](), gs.Adam(lr=0.01))
    fitted.fit(data, epochs=2, batch_size=8, verbose=False)  # 7 steps each, the last one of 2 rows
    whole = SteppedTraining(trainer_of(LAYERS["relu"](), gs.Adam(lr=0.01)), data, 8)
    whole.run(14)
    assert runs[0].examples == runs[1].examples == 2 * 50 + 3 * 8
    for one, other in ((runs[0], runs[1]), (whole, None)):
        mine = one.state.pack()
        theirs = (other.state if other else fitted.state).pack()
        for name in mine:
            if name != "totals":
                np.testing.assert_array_equal(mine[name], theirs[name])
