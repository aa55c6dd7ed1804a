"""The losses and activations that are formulas against PyTorch, in float64, with their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gearshift as gs

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 5)) * 2, RNG.normal(size=(40, 4))
LABELS, SHARES = RNG.integers(0, 4, 40), RNG.dirichlet(np.ones(4), 40)
SHARES[3] = [1, 0, 0, 0]
functional = torch.nn.functional


def focal(z: Any, labels: Any) -> Any:
    log_p = torch.log_softmax(z, -1).gather(1, labels[:, None])[:, 0]
    return (-((1 - log_p.exp()) ** 1.5) * log_p).mean()


LOSSES: list[tuple[gs.Loss, Any, np.ndarray]] = [
    (gs.L1Loss(), functional.l1_loss, Y),
    (gs.HuberLoss(delta=0.7), lambda z, t: functional.huber_loss(z, t, delta=0.7), Y),
    (gs.LogCoshLoss(), lambda z, t: torch.log(torch.cosh(z - t)).mean(), Y),
    (gs.KLDivLoss(), lambda z, t: functional.kl_div(z, t, reduction="batchmean"), SHARES),
    (gs.FocalLoss(gamma=1.5), focal, LABELS),
    (gs.FocalLoss(gamma=0.0), functional.cross_entropy, LABELS),
    (
        gs.CrossEntropyLoss(label_smoothing=0.1),
        lambda z, t: functional.cross_entropy(z, t, label_smoothing=0.1),
        LABELS,
    ),
]
ACTIVATIONS: list[tuple[gs.Layer, Any]] = [
    (gs.SiLU(), functional.silu),
    (gs.LeakyReLU(0.2), lambda z: functional.leaky_relu(z, 0.2)),
    (gs.ELU(0.5), lambda z: functional.elu(z, 0.5)),
    (gs.Hardtanh(-0.5, 2), lambda z: functional.hardtanh(z, -0.5, 2.0)),
]


def agree(model: gs.Layer, loss: gs.Loss, targets: np.ndarray, backend: str, result: Any) -> None:
    weights = {name: torch.tensor(value, requires_grad=True) for name, value in model.state_dict().items()}
    z = torch.tensor(X) @ weights["0.weight"] + weights["0.bias"]
    want = result(z, torch.tensor(targets), weights)
    want.backward()
    value, gradients = gs.value_and_grad(model, loss, X, targets, backend=backend)
    assert np.isclose(value, want.item(), rtol=1e-12)
    for name, found in gradients.items():
        assert np.allclose(found, weights[name].grad.numpy(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(("loss", "theirs", "targets"), LOSSES, ids=[repr(loss) for loss, *_ in LOSSES])
def test_losses(loss: gs.Loss, theirs: Any, targets: np.ndarray, backend: str) -> None:
    model = gs.Sequential(gs.Linear(5, 4), dtype="float64").init(seed=2)
    agree(model, loss, targets, backend, lambda z, t, _: theirs(z, t))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(("layer", "theirs"), ACTIVATIONS, ids=[repr(layer) for layer, _ in ACTIVATIONS])
def test_activations(layer: gs.Layer, theirs: Any, backend: str) -> None:
    model = gs.Sequential(gs.Linear(5, 6), layer, gs.Linear(6, 4), dtype="float64").init(seed=2)
    agree(
        model,
        gs.MSELoss(),
        Y,
        backend,
        lambda z, t, w: functional.mse_loss(theirs(z) @ w["2.weight"] + w["2.bias"], t),
    )


def test_kinks_have_pytorchs_derivatives() -> None:
    """At the bounds of Hardtanh and at 0 of the others, where a formula has two."""
    for layer, theirs in ACTIVATIONS:
        x = np.array([[-0.5, 0.0, 2.0, -1.0, 5.0]])
        t = torch.tensor(x, requires_grad=True)
        theirs(t).sum().backward()
        shift = gs.Sequential(gs.Linear(5, 5), layer, dtype="float64").init(seed=0)
        shift.load_state_dict({"0.weight": np.eye(5), "0.bias": np.zeros(5)})
        _, gradients = gs.value_and_grad(shift, gs.KLDivLoss(), x, np.full((1, 5), 1.0))
        assert np.allclose(-gradients["0.bias"], t.grad.numpy()[0], rtol=1e-12), layer


def test_baselines_are_the_best_constants() -> None:
    weight = np.full(40, 1 / 40)
    constants = np.linspace(-3, 3, 6001)
    best = np.mean([abs(Y[:, j, None] - constants).mean(axis=0).min() for j in range(4)])
    assert gs.L1Loss().baseline(Y, weight) == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("value", [1.0, -0.1, "a"])
def test_label_smoothing_is_checked(value: Any) -> None:
    with pytest.raises(gs.ConfigurationError, match=r"label_smoothing is .*; expected a finite number of at"):
        gs.CrossEntropyLoss(label_smoothing=value)


def test_smoothed_labels_are_named_and_have_no_baseline_of_plain_ones() -> None:
    """Else a model that has learned would be told that it has not: its least loss is above that of plain labels."""
    loss = gs.CrossEntropyLoss(label_smoothing=0.1)
    assert repr(loss) == "CrossEntropyLoss(label_smoothing=0.1)"
    assert loss.describe()["arguments"] == {"label_smoothing": 0.1}
    assert loss.baseline(LABELS, np.full(40, 1 / 40)) is None
    assert gs.CrossEntropyLoss().baseline(LABELS, np.full(40, 1 / 40)) is not None
