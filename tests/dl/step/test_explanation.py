"""What prevents the compiled loop: a sentence for each layer and option, and silence where nothing does."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from built_in import built_in

import gearshift as gs
from gearshift.__main__ import main
from gearshift.dl.step.dense_obstacle import obstacle
from gearshift.dl.step.fused_mlp import recognize
from gearshift.dl.step.program import training

X, LABELS = np.random.default_rng(0).normal(size=(12, 4)), np.arange(12) % 3
PREVENTED = "training runs operation by operation: the compiled loop for plain MLPs does not cover "


def trainer(*layers: gs.Layer, loss: gs.Loss | None = None, optimizer: gs.Optimizer | None = None, **given: Any):
    model = gs.Sequential(*layers) if layers else gs.Sequential(gs.Linear(4, 5), gs.ReLU(), gs.Linear(5, 3))
    given.setdefault("backend", "numba")
    return gs.Trainer(model, loss or gs.CrossEntropyLoss(), optimizer or gs.Adam(), **given)


def skip() -> gs.Layer:
    x = gs.Input(4)
    return gs.Model(x, gs.Linear(4, 3)(gs.Add()(x, gs.ReLU()(gs.Linear(4, 4)(x)))))


def twice() -> list[gs.Layer]:
    shared = gs.Linear(4, 4)
    return [shared, gs.ReLU(), shared, gs.Linear(4, 3)]


@gs.activation
def peaked(x: Any, *, slope: float = 2.0) -> Any:
    return gs.xp.softmax(slope * x) - x


@gs.activation
def first_kept(x: Any) -> Any:
    return gs.xp.where(gs.xp.arange(x.shape[-1]) == 0, x, gs.xp.tanh(x))


class Learned(gs.Layer, named=False):
    def __init__(self, features: int) -> None:
        self.slope = gs.Parameter((features,), gs.initializers.ones)

    def forward(self, x: Any) -> Any:
        return gs.xp.where(x > 0.0, x, self.slope * x)


class Product(gs.Layer, named=False):
    def forward(self, a: Any, b: Any) -> Any:
        return a * b


def gated() -> gs.Layer:
    x = gs.Input(4)
    h = gs.Linear(4, 4)(x)
    return gs.Model(x, gs.Linear(4, 3)(Product()(h, h)))


class Twice(gs.L1):
    def lower(self, graph: Any) -> None:
        super().lower(graph)
        super().lower(graph)


CASES: dict[str, tuple[Callable[[], gs.Trainer], str]] = {
    "dropout first": (
        lambda: trainer(gs.Dropout(0.5), gs.Linear(4, 3)),
        "a dropout that does not follow a Linear or its activation: Dropout (layer '0')",
    ),
    "two dropouts": (
        lambda: trainer(gs.Linear(4, 5), gs.Dropout(0.5), gs.Dropout(0.5), gs.Linear(5, 3)),
        "a dropout that does not follow a Linear or its activation: Dropout (layer '2')",
    ),
    "activation after dropout": (
        lambda: trainer(gs.Linear(4, 5), gs.Dropout(0.5), gs.ReLU(), gs.Linear(5, 3)),
        "a bias or an activation that does not follow a Linear: ReLU (layer '2')",
    ),
    "batch norm": (lambda: trainer(gs.Linear(4, 5), gs.BatchNorm1d(5), gs.Linear(5, 3)), "BatchNorm1d (layer '1')"),
    "nested": (
        lambda: trainer(gs.Sequential(gs.Linear(4, 6), gs.Maxout()), gs.Linear(3, 3)),
        "Maxout (layer '0.1')",
    ),
    "two activations": (
        lambda: trainer(gs.Linear(4, 5), gs.ReLU(), gs.Tanh(), gs.Linear(5, 3)),
        "a bias or an activation that does not follow a Linear: Tanh (layer '2')",
    ),
    "activation first": (
        lambda: trainer(gs.Tanh(), gs.Linear(4, 3)),
        "a bias or an activation that does not follow a Linear: Tanh (layer '0')",
    ),
    "formula over a row": (lambda: trainer(gs.Linear(4, 5), peaked(), gs.Linear(5, 3)), "peaked (layer '1')"),
    "formula of columns": (lambda: trainer(gs.Linear(4, 5), first_kept(), gs.Linear(5, 3)), "first_kept (layer '1')"),
    "formula with weights": (lambda: trainer(gs.Linear(4, 5), Learned(5), gs.Linear(5, 3)), "Learned (layer '1')"),
    "formula of two arrays": (lambda: trainer(gated()), "Product (layer '0.1')"),
    "two formulas": (
        lambda: trainer(gs.Linear(4, 5), gs.SiLU(), gs.ELU(), gs.Linear(5, 3)),
        "a bias or an activation that does not follow a Linear: ELU (layer '2')",
    ),
    "penalty": (lambda: trainer(gs.Linear(4, 5), gs.L1Activity(), gs.Linear(5, 3)), "L1Activity (layer '1')"),
    "skip": (lambda: trainer(skip()), "Add (layer '0.2')"),
    "twice": (lambda: trainer(*twice()), "a layer that is used twice: Linear (layer '2')"),
    "no weights": (lambda: trainer(gs.Standardize(4), gs.BatchNorm1d(4)), "BatchNorm1d (layer '1')"),
    "newton": (lambda: trainer(optimizer=gs.Newton()), "the optimizer Newton"),
    "two regularizers": (lambda: trainer(regularizer=Twice(0.1)), "the order of the regularizers"),
    "heads": (
        lambda: trainer(loss=gs.JointLoss(a=gs.Head(gs.CrossEntropyLoss(), 2), b=gs.Head(gs.MSELoss(), 1))),
        "the loss JointLoss",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_layer_or_option_is_named(case: str) -> None:
    make, what = CASES[case]
    assert make().explain() == PREVENTED + what


def test_what_is_given_to_fit_counts_too() -> None:
    weighted = gs.Dataset(X, LABELS, np.ones(12))
    assert trainer().explain(weighted) == f"{PREVENTED}sample weights"
    assert trainer().explain((X, LABELS), accumulate=3) == f"{PREVENTED}accumulate=3"
    with pytest.raises(gs.ShapeError, match="width"):
        trainer(gs.Tanh(), gs.Softplus()).explain()


LOOP = "training runs as one compiled loop on backend numba"
PLAIN: dict[str, Callable[[], gs.Trainer]] = {
    "two layers": trainer,
    "one layer": lambda: trainer(gs.Linear(4, 3, bias=False)),
    "dropout": lambda: trainer(gs.Linear(4, 5), gs.ReLU(), gs.Dropout(0.5), gs.Linear(5, 3)),
    "GELU": lambda: trainer(gs.Sequential(gs.Linear(4, 5), gs.GELU()), gs.Linear(5, 3), gs.Softplus()),
    "formulas": lambda: trainer(gs.Linear(4, 5), gs.SiLU(), gs.Dropout(0.5), gs.Linear(5, 3), gs.LeakyReLU(0.1)),
    "standardized": lambda: trainer(gs.Standardize(4), gs.Linear(4, 6), gs.Sigmoid(), gs.Linear(6, 3)),
    **{name: lambda kind=kind: trainer(loss=kind()) for name, kind in built_in(gs.Loss.registered).items()},
    **{
        name: lambda kind=kind: trainer(optimizer=kind())
        for name, kind in built_in(gs.Optimizer.registered).items()
        if not kind.on_host
    },
    "clip_norm": lambda: trainer(clip_norm=1.0),
    "clip_value": lambda: trainer(clip_value=1.0),
    "L1": lambda: trainer(regularizer=gs.L1(0.1), clip_norm=1.0, clip_value=1.0),
    "soft threshold": lambda: trainer(regularizer=gs.SoftThreshold(0.1), optimizer=gs.Nesterov()),
}


@pytest.mark.parametrize("case", PLAIN)
def test_a_plain_network_runs_as_the_loop(case: str) -> None:
    run = PLAIN[case]()
    assert run.explain() == LOOP
    chain = recognize(training(run.spec, 4).graph)
    assert chain is not None and chain.update is not None
    kind = type(run.loss)  # a formula's operation is made for its graph, and has the name of its loss
    assert chain.loss.operation is getattr(kind, "operation", None) or chain.loss.operation.name == kind.__name__


def test_no_graph_is_both_recognised_and_prevented() -> None:
    for make in (*(make for make, _ in CASES.values()), *PLAIN.values()):
        run = make()
        graph = training(run.spec, 4).graph
        assert (recognize(graph) is None) is (obstacle(graph) is not None) or run.optimizer.on_host


def test_another_backend_has_no_such_loop() -> None:
    assert trainer(backend="numpy").explain() == "training runs operation by operation on backend numpy"


def test_a_training_says_it_once_at_its_start(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gearshift"):
        trainer(*twice(), backend="numpy").fit(X, LABELS, epochs=2, verbose=False)
        assert not caplog.records
        trainer(*twice()).fit(X, LABELS, epochs=2, verbose=False)
    said = [record.getMessage() for record in caplog.records if "operation by operation" in record.getMessage()]
    assert said == [f"{PREVENTED}a layer that is used twice: Linear (layer '2')"]


def test_doctor_explains_a_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    (tmp_path / "a.toml").write_text('backend.name = "numba"\n[model]\nbatch_norm = true\n')
    main_of("doctor", str(tmp_path / "a.toml"))
    assert f"{PREVENTED}BatchNorm1d (layer '2')" in capsys.readouterr().out
    main_of("doctor", "--backend", "numba", "--json", "--set", "train.epochs=1")
    assert json.loads(capsys.readouterr().out)["training"] == LOOP
    main_of("doctor", "--json")
    assert "training" not in json.loads(capsys.readouterr().out)


def main_of(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    assert not ended.value.code
