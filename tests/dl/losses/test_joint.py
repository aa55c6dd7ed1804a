"""Models with several outputs and a loss for each: as PyTorch and central differences, files, answers, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from central_differences import central_differences

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, DataError, NonFiniteLoss, ShapeError

BACKENDS = ("numpy", "numba")
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((21, 5))
LABELS = RANDOM.integers(0, 3, 21)
VALUES = RANDOM.standard_normal((21, 2))
YES = RANDOM.integers(0, 2, 21)
Y = (LABELS, VALUES, YES)


def model() -> gs.Model:
    x = gs.Input(5)
    h = gs.Tanh()(gs.Linear(5, 6)(x))
    return gs.Model(x, [gs.Linear(6, 3)(h), gs.Linear(6, 2)(gs.Sigmoid()(h)), gs.Linear(6, 1)(h)], "float64").init(2)


def loss() -> gs.JointLoss:
    return gs.JointLoss(
        kind=gs.Head(gs.CrossEntropyLoss(), 3),
        place=gs.Head(gs.MSELoss(), 2, weight=0.25),
        yes=gs.Head(gs.BCEWithLogitsLoss(), 1, weight=2),
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradient_is_that_of_central_differences(backend: str) -> None:
    net = model()
    _, grads = gs.value_and_grad(net, loss(), X, Y, backend=backend)
    assert grads.keys() == net.state_dict().keys()
    for name, index, numeric in central_differences(net, loss(), X, Y, h=1e-5):
        assert abs(numeric - grads[name][index]) <= 1e-8 * (1 + abs(numeric))


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_it_trains_as_in_torch(weighted: bool, backend: str) -> None:
    torch = pytest.importorskip("torch")
    net = model()
    w = {name: torch.tensor(array, requires_grad=True) for name, array in net.state_dict().items()}
    rows = RANDOM.uniform(0.1, 3, 21) if weighted else np.ones(21)
    trainer = gs.Trainer(net, loss(), gs.Adam(lr=0.01), backend=backend)
    data = gs.Dataset(X, Y, rows) if weighted else gs.Dataset(X, Y)
    history = trainer.fit(data, epochs=200, batch_size=21, verbose=False)
    optimizer = torch.optim.Adam(w.values(), lr=0.01)
    scale = torch.tensor(rows / rows.mean())
    names = [name.removesuffix(".weight") for name in w if name.endswith(".weight")]
    for step in range(200):
        optimizer.zero_grad()
        h = torch.tanh(torch.tensor(X) @ w[f"{names[0]}.weight"] + w[f"{names[0]}.bias"])
        parts = [
            z @ w[f"{name}.weight"] + w[f"{name}.bias"]
            for name, z in zip(names[1:], (h, torch.sigmoid(h), h), strict=True)
        ]
        terms = [
            torch.nn.functional.cross_entropy(parts[0], torch.tensor(LABELS), reduction="none"),
            ((parts[1] - torch.tensor(VALUES)) ** 2).mean(dim=1),
            torch.nn.functional.binary_cross_entropy_with_logits(
                parts[2][:, 0], torch.tensor(YES, dtype=torch.float64), reduction="none"
            ),
        ]
        means = [(scale * term).mean() for term in terms]
        total = means[0] + 0.25 * means[1] + 2 * means[2]
        total.backward()
        found = [history[step][key] for key in ("loss", "kind_loss", "place_loss", "yes_loss")]
        assert np.max(np.abs(np.subtract(found, [total.item(), *(mean.item() for mean in means)]))) <= 1e-10
        optimizer.step()
    assert max(np.max(np.abs(v - w[name].detach().numpy())) for name, v in net.state_dict().items()) <= 1e-10


def test_targets_side_by_side_are_those_of_a_tuple() -> None:
    side_by_side = np.column_stack([LABELS, VALUES, YES])
    assert gs.value_and_grad(model(), loss(), X, Y)[0] == gs.value_and_grad(model(), loss(), X, side_by_side)[0]


def test_answers_metrics_and_files(tmp_path: Path) -> None:
    net = model()
    trainer = gs.Trainer(net, loss(), gs.Adam(lr=0.05), backend="numba")
    history = trainer.fit(X, Y, validation=(X, Y), epochs=60, patience=50, monitor="validation_kind_accuracy")
    assert history[-1].keys() >= {"kind_accuracy", "yes_accuracy", "validation_place_loss"}
    answers, found = trainer.predict(X), trainer.evaluate(X, Y)
    assert np.mean(answers["kind"] == LABELS) == pytest.approx(found["kind_accuracy"])
    assert np.mean((answers["place"] - VALUES) ** 2) == pytest.approx(found["place_loss"])
    assert {name: p.shape for name, p in trainer.predict_proba(X).items()} == {"kind": (21, 3), "yes": (21, 2)}
    trainer.save(tmp_path / "run.safetensors")
    other = gs.Trainer(gs.load(tmp_path / "run.safetensors"), loss(), gs.Adam(lr=0.05), backend="numba")
    other.load(tmp_path / "run.safetensors")
    assert other.evaluate(X, Y) == found
    assert np.array_equal(other.predict(X)["place"], answers["place"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_that_is_not_finite_is_named(backend: str) -> None:
    trainer = gs.Trainer(model(), loss(), gs.SGD(lr=0.1), backend=backend)
    with pytest.raises(NonFiniteLoss, match=r"step 0 .*learning rate 0\.1.*'MSELoss'"):
        trainer.fit(X, (LABELS, VALUES * 1e200, YES), verbose=False)


@pytest.mark.parametrize(
    ("y", "kind", "message"),
    [
        (LABELS, ShapeError, r"expect \(n, 4\)"),
        ((LABELS + 0.5, VALUES, YES), DataError, r"head 'kind': y\[0\] is .*expected a label"),
        ((LABELS + 1, VALUES, YES), DataError, "head 'kind': .*label from 0 to 2"),
        ((LABELS, VALUES, YES + 0.5), DataError, "head 'yes': .*from 0 to 1"),
        ((LABELS, VALUES[1:], YES), DataError, "21, 20, 21 rows"),
    ],
)
def test_targets_that_do_not_fit_are_refused(y: Any, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        gs.Trainer(model(), loss(), gs.SGD(), backend="numpy").fit(X, y, verbose=False)


def test_refusals() -> None:
    with pytest.raises(ShapeError, match="5 outputs together, but the model"):
        few = gs.JointLoss(a=gs.Head(gs.CrossEntropyLoss(), 3), b=gs.Head(gs.MSELoss(), 2))
        gs.Trainer(model(), few, gs.SGD(), backend="numpy").fit(X, (LABELS, VALUES), verbose=False)
    for make in (
        lambda: gs.JointLoss(),
        lambda: gs.JointLoss(a=gs.MSELoss()),  # pyright: ignore[reportArgumentType]
        lambda: gs.Head(gs.MSELoss(), 0),
        lambda: gs.Head(gs.MSELoss(), 1, weight=0),
        lambda: gs.Model(gs.Input(2), []),
    ):
        with pytest.raises(ConfigurationError):
            make()


def test_heads_for_more_columns_than_there_are_are_refused_before_memory_is_taken() -> None:
    loss = gs.JointLoss(a=gs.Head(gs.MSELoss(), 2**62), b=gs.Head(gs.MSELoss(), 1))
    with pytest.raises(gs.ShapeError, match="the targets y have 2 columns; the heads of the JointLoss expect 46116860"):
        loss.numbers(2)


def test_a_head_is_one_output() -> None:
    with pytest.raises(ConfigurationError, match="expected a gearshift Loss of one output"):
        gs.Head(gs.JointLoss(a=gs.Head(gs.MSELoss(), 1)), 1)


def test_heads_without_classes_have_no_probabilities() -> None:
    trainer = gs.Trainer(gs.Linear(2, 1), gs.JointLoss(a=gs.Head(gs.MSELoss(), 1)), gs.SGD(), backend="numpy")
    with pytest.raises(ConfigurationError, match="JointLoss has no probabilities"):
        trainer.predict_proba(np.eye(2))
