"""Noise, penalties and the variational code: formulas, gradients against PyTorch, and random streams."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import gearshift as gs
from gearshift.backends.errors import ConfigurationError
from gearshift.backends.philox import NOISE, key_of, words

BACKENDS = ["numpy", "numba"]
RANDOM = np.random.default_rng(0)
ROWS, FEATURES, CODE = 11, 6, 4
X = RANDOM.uniform(size=(ROWS, FEATURES))


def encoders() -> dict[str, list[gs.Layer]]:
    """Layers from the features to a code, each with a term of the loss."""
    return {
        "l1": [gs.Linear(FEATURES, CODE), gs.L1Activity(0.3)],
        "l1 relu": [gs.Linear(FEATURES, CODE), gs.ReLU(), gs.L1Activity(0.3)],
        "kl": [gs.Linear(FEATURES, CODE), gs.Sigmoid(), gs.KLSparsity(0.2, rate=0.1)],
        "contractive": [gs.Contractive(FEATURES, CODE, weight=0.5)],
        "contractive tanh": [gs.Contractive(FEATURES, CODE, "tanh", weight=0.5)],
        "contractive relu": [gs.Contractive(FEATURES, CODE, "relu", weight=0.5)],
        "two contractive": [gs.Contractive(FEATURES, 5, weight=0.5), gs.Contractive(5, CODE, weight=0.2)],
        "variational": [gs.Variational(FEATURES, CODE, weight=0.4)],
        "several": [gs.Linear(FEATURES, CODE), gs.Sigmoid(), gs.KLSparsity(0.2), gs.L1Activity(0.1)],
    }


NAMES = list(encoders())


def made(name: str) -> gs.Sequential:
    """An autoencoder in float64 with weights that are not those of the beginning."""
    model = gs.Sequential(*encoders()[name], gs.Linear(CODE, FEATURES), dtype="float64").init(3)
    random = np.random.default_rng(4)
    model.load_state_dict({k: v + 0.3 * random.standard_normal(v.shape) for k, v in model.state_dict().items()})
    return model


def noise_of(shape: tuple[int, int], seed: int, step: int, stream: int = 0) -> np.ndarray:
    """The normal numbers that a layer draws, written anew from the words of its stream."""
    drawn = words(np, key_of(seed), 4 * -(-shape[0] * shape[1] // 4), NOISE, stream, step)
    u = ((drawn >> np.uint64(8)).astype(np.float64) + 1) / 2**24
    radius, angle = np.sqrt(-2 * np.log(u[0::2])), 2 * np.pi * u[1::2]
    flat = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]).ravel()
    return flat[: shape[0] * shape[1]].reshape(shape)


def in_torch(name: str, model: gs.Sequential, torch: Any, seed: int, step: int) -> tuple[Any, dict[str, Any]]:
    """The same loss in PyTorch, whose own autograd goes through the penalties."""
    w = {k: torch.tensor(v, requires_grad=True) for k, v in model.state_dict().items()}
    x, term = torch.tensor(X), torch.tensor(0.0, dtype=torch.float64)
    h = x
    for number, layer in enumerate(model):
        before = h
        if isinstance(layer, gs.Linear):
            h = h @ w[f"{number}.weight"] + w[f"{number}.bias"]
        elif isinstance(layer, gs.L1Activity):
            term = term + layer.weight * h.abs().sum(dim=1).mean()
        elif isinstance(layer, gs.KLSparsity):
            coin = torch.distributions.Bernoulli
            rate = torch.tensor(layer.rate, dtype=torch.float64)
            divergences = torch.distributions.kl_divergence(coin(rate), coin(h.mean(dim=0)))
            term = term + layer.weight * divergences.sum()
        elif isinstance(layer, gs.Contractive):
            f = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}[layer.activation]
            weight, bias = w[f"{number}.linear.weight"], w[f"{number}.linear.bias"]

            def unit(row: Any, f: Any = f, weight: Any = weight, bias: Any = bias) -> Any:
                return f(row @ weight + bias)

            jacobians = [
                torch.autograd.functional.jacobian(unit, row, create_graph=True) for row in before
            ]  # per row, from the definition
            term = term + layer.weight * sum((j**2).sum() for j in jacobians) / ROWS
            h = unit(before)
        elif isinstance(layer, gs.Variational):
            mean = h @ w[f"{number}.mean.weight"] + w[f"{number}.mean.bias"]
            log_variance = h @ w[f"{number}.log_variance.weight"] + w[f"{number}.log_variance.bias"]
            normal = torch.distributions.Normal
            own, standard = normal(mean, (log_variance / 2).exp()), normal(torch.zeros(()), torch.ones(()))
            term = term + layer.weight * torch.distributions.kl_divergence(own, standard).sum(dim=1).mean()
            h = mean + (log_variance / 2).exp() * torch.tensor(noise_of((ROWS, CODE), seed, step))
        else:
            h = {gs.ReLU: torch.relu, gs.Sigmoid: torch.sigmoid}[type(layer)](h)
    return torch.nn.functional.mse_loss(h, x) + term, w


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradient_are_torch_s(name: str, backend: str) -> None:
    torch = pytest.importorskip("torch")
    model = made(name)
    value, grads = gs.value_and_grad(model, gs.MSELoss(), X, X, seed=8, step=5, backend=backend)
    theirs, weights = in_torch(name, model, torch, 8, 5)
    theirs.backward()
    assert value == pytest.approx(theirs.item(), abs=1e-13)
    assert max(np.max(np.abs(grad - weights[k].grad.numpy())) for k, grad in grads.items()) <= 1e-13


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_central_differences(name: str, backend: str) -> None:
    check = gs.check_gradients(made(name), gs.MSELoss(), X, X, seed=8, step=5, tolerance=2e-9, backend=backend)
    assert check.ok, check


@pytest.mark.parametrize("name", NAMES)
def test_second_derivatives_go_through_penalties(name: str) -> None:
    model = made(name)
    random = np.random.default_rng(1)
    v = {p.name: random.standard_normal(p.shape) for p in model.parameters()}
    product = gs.hessian_vector_product(model, gs.MSELoss(), X, X, v, seed=8, step=5)
    weights, h, sides = model.state_dict(), 6e-6, []
    for side in (h, -h):
        model.load_state_dict({k: w + side * v[k] for k, w in weights.items()})
        sides.append(gs.value_and_grad(model, gs.MSELoss(), X, X, seed=8, step=5)[1])
    for k, found in product.items():
        assert np.max(np.abs(found - (sides[0][k] - sides[1][k]) / (2 * h))) <= 2e-8


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_penalties_count_in_evaluation_and_vanish_in_prediction(name: str, backend: str) -> None:
    model = made(name)
    trainer = gs.Trainer(model, gs.MSELoss(), gs.SGD(), backend=backend)
    outputs = trainer.predict(X)
    assert trainer.evaluate(X, X)["loss"] > np.mean((outputs - X) ** 2) + 1e-4
    assert gs.value_and_grad(model, gs.MSELoss(), X, X, train=False)[0] == pytest.approx(trainer.evaluate(X, X)["loss"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_variational_code_s_mean_is_predicted(backend: str) -> None:
    model = made("variational")
    w = model.state_dict()
    code = X @ w["0.mean.weight"] + w["0.mean.bias"]
    outputs = gs.Trainer(model, gs.MSELoss(), gs.SGD(), backend=backend).predict(X)
    assert np.max(np.abs(outputs - (code @ w["1.weight"] + w["1.bias"]))) <= 1e-14


def only(layer: gs.Layer, x: np.ndarray, step: int, backend: str) -> np.ndarray:
    """What a layer makes of x in a training step: the gradient of a product's weights, which is xᵀ·dy, tells."""
    rows = len(x)
    model = gs.Sequential(layer, gs.Linear(x.shape[1], 1, bias=False), dtype="float64").init(0)
    model.load_state_dict({k: np.zeros_like(v) for k, v in model.state_dict().items()})
    target = np.zeros((rows, 1))
    seen = []
    for row in range(rows):
        target[:], target[row] = 0, -rows / 2
        seen.append(
            gs.value_and_grad(model, gs.MSELoss(), x, target, seed=7, step=step, backend=backend)[1]["1.weight"]
        )
    return np.array(seen)[:, :, 0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_gaussian_noise_is_the_stream_s(backend: str) -> None:
    x = np.arange(15.0).reshape(3, 5)
    noisy = only(gs.GaussianNoise(0.5), x, 9, backend)
    assert np.max(np.abs(noisy - x - 0.5 * noise_of((3, 5), 7, 9))) <= 1e-13
    assert not np.allclose(noisy, only(gs.GaussianNoise(0.5), x, 10, backend))


@pytest.mark.parametrize("backend", BACKENDS)
def test_masking_noise_zeroes_and_leaves_the_rest_as_it_is(backend: str) -> None:
    x = RANDOM.uniform(1, 2, (20, 50))
    noisy = only(gs.MaskingNoise(0.3), x, 1, backend)
    masked = noisy == 0
    assert np.allclose(noisy[~masked], x[~masked], rtol=1e-14)
    assert 0.25 < masked.mean() < 0.35


def test_the_numbers_are_normal() -> None:
    drawn = noise_of((500, 200), 1, 2).ravel()
    assert stats.kstest(drawn, "norm").pvalue > 0.01
    assert abs(np.corrcoef(drawn[0::2], drawn[1::2])[0, 1]) < 0.01


@pytest.mark.parametrize("layer", [gs.GaussianNoise(0.3), gs.MaskingNoise(0.3)])
def test_no_noise_but_in_training(layer: gs.Layer) -> None:
    model = gs.Sequential(layer, gs.Linear(FEATURES, 2), dtype="float64").init(1)
    w = model.state_dict()
    outputs = gs.Trainer(model, gs.MSELoss(), gs.SGD(), backend="numpy").predict(X)
    assert np.allclose(outputs, X @ w["1.weight"] + w["1.bias"], rtol=0, atol=1e-15)


TRAINED: dict[str, Callable[[], list[gs.Layer]]] = {
    **{name: lambda name=name: encoders()[name] for name in NAMES},
    "gaussian noise": lambda: [gs.GaussianNoise(0.2), gs.Linear(FEATURES, CODE)],
    "masking noise": lambda: [gs.MaskingNoise(0.2), gs.Linear(FEATURES, CODE), gs.Tanh()],
}


@pytest.mark.parametrize("name", TRAINED)
def test_backends_train_alike_and_resume_to_the_same_bits(name: str, tmp_path: Path) -> None:
    found = []
    for backend in BACKENDS:
        model = gs.Sequential(*TRAINED[name](), gs.Linear(CODE, FEATURES), dtype="float64")
        trainer = gs.Trainer(model, gs.MSELoss(), gs.Adam(lr=0.01), backend=backend, seed=5)
        trainer.fit(X, X, epochs=2, batch_size=4, verbose=False)
        trainer.save(tmp_path / "c.safetensors")
        history = trainer.fit(X, X, epochs=4, batch_size=4, verbose=False)
        found.append(history["loss"])
        again = gs.Trainer(
            gs.Sequential(*TRAINED[name](), gs.Linear(CODE, FEATURES), dtype="float64"),
            gs.MSELoss(),
            gs.Adam(lr=0.01),
            backend=backend,
            seed=5,
        )
        again.load(tmp_path / "c.safetensors")
        assert again.fit(X, X, epochs=4, batch_size=4, verbose=False)["loss"] == history["loss"]
        saved = model.state_dict()
        model.save(tmp_path / "m.safetensors")
        assert all(np.array_equal(v, saved[k]) for k, v in gs.load(tmp_path / "m.safetensors").state_dict().items())
    assert found[0] == pytest.approx(found[1], rel=1e-9)
    assert found[0][-1] < found[0][0]


def test_a_sparse_code_comes_to_its_rate_and_a_contractive_one_contracts() -> None:
    x = np.random.default_rng(3).uniform(size=(200, 8))

    def trained(*layers: gs.Layer) -> gs.Sequential:
        model = gs.Sequential(*layers, gs.Linear(6, 8), dtype="float64")
        trainer = gs.Trainer(model, gs.MSELoss(), gs.Adam(lr=0.02), backend="numpy")
        trainer.fit(x, x, epochs=60, batch_size=50, verbose=False)
        return model

    def code(model: gs.Sequential, name: str) -> np.ndarray:
        w = model.state_dict()
        return 1 / (1 + np.exp(-(x @ w[f"{name}.weight"] + w[f"{name}.bias"])))

    sparse = trained(gs.Linear(8, 6), gs.Sigmoid(), gs.KLSparsity(0.5, rate=0.1))
    assert np.allclose(code(sparse, "0").mean(axis=0), 0.1, atol=0.03)

    def norm(weight: float) -> float:
        model = trained(gs.Contractive(8, 6, weight=weight))
        h, w = code(model, "0.linear"), model.state_dict()["0.linear.weight"]
        return float(np.mean(np.sum((h * (1 - h)) ** 2 * np.sum(w * w, axis=0), axis=1)))

    assert norm(0.3) < 0.5 * norm(0.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gs.GaussianNoise(-1), "deviation is -1"),
        (lambda: gs.MaskingNoise(1.0), "p is 1.0"),
        (lambda: gs.L1Activity(-0.1), "weight is -0.1"),
        (lambda: gs.KLSparsity(rate=1.0), "rate is 1.0"),
        (lambda: gs.Contractive(2, 3, "gelu"), "activation is 'gelu'; expected one of: relu"),
        (lambda: gs.Variational(2, 3, weight=math.nan), "weight is nan"),
    ],
)
def test_arguments_are_checked(make: Callable[[], gs.Layer], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_units_that_are_no_rates_end_in_an_error_that_names_the_layer() -> None:
    model = gs.Sequential(gs.Linear(FEATURES, CODE), gs.KLSparsity(0.1), gs.Linear(CODE, FEATURES))
    with pytest.raises(gs.NonFiniteLoss, match="layer '1'"):
        gs.Trainer(model, gs.MSELoss(), gs.SGD(), backend="numpy").fit(X, X, verbose=False)


@pytest.mark.parametrize("layer", [gs.L1Activity(0.1), gs.Contractive(3, 3), gs.Variational(3, 3)], ids=str)
def test_a_penalty_a_token_is_refused_where_the_loss_is_one_an_example(layer: gs.Layer) -> None:
    """Compiled loops would add the first tokens' penalties to the rows, and differentiate no others."""
    model = gs.Sequential(gs.Embedding(5, 3), layer, gs.MeanPooling(), gs.Linear(3, 2))
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    x, y = np.ones((4, 6), np.float32), np.array([0, 1, 1, 0])
    with pytest.raises(ConfigurationError, match="layer 1: its penalty has 6 rows an example, and the loss 1"):
        trainer.fit(x, y, verbose=False)
    model = gs.Sequential(gs.Embedding(5, 3), gs.MeanPooling(), gs.L1Activity(0.1), gs.Linear(3, 2))
    gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend="numpy").fit(x, y, verbose=False)
