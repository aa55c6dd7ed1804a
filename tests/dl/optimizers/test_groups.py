"""Parameter groups against PyTorch's, on every plan; what they refuse, and from a configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError
from gearshift.dl.experiment.build import build
from gearshift.dl.experiment.config import parse, read, write

X = np.random.default_rng(0).standard_normal((24, 5))
Y = np.random.default_rng(1).integers(0, 3, 24)
GROUPS = (
    gs.ParameterGroup("0.*", lr=0.004),
    gs.ParameterGroup("2.weight", weight_decay=0.3),
    gs.ParameterGroup("*.bias", lr=0.05, weight_decay=0.5),
)
RATES = {"0.weight": 0.004, "0.bias": 0.004, "2.bias": 0.05, "4.bias": 0.05}
DECAYS = {"0.weight": 0.1, "2.weight": 0.3, "4.weight": 0.1}  # biases are never decayed


@pytest.mark.torch
@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_as_torch(name: str, backend: str) -> None:
    torch = pytest.importorskip("torch")
    layers = (gs.Linear(5, 7), gs.Tanh(), gs.Linear(7, 6), gs.ReLU(), gs.Linear(6, 3))
    model = gs.Sequential(*layers, dtype="float64").init(2)
    w = {key: torch.tensor(array, requires_grad=True) for key, array in model.state_dict().items()}
    optimizer = getattr(gs, name)(lr=0.02, weight_decay=0.1)
    trainer = gs.Trainer(
        model, gs.CrossEntropyLoss(), optimizer, schedule=gs.StepDecay(10, 0.5), backend=backend, groups=GROUPS
    )
    trainer.fit(X, Y, epochs=25, batch_size=24, verbose=False)
    parts = [{"params": [w[k]], "lr": RATES.get(k, 0.02), "weight_decay": DECAYS.get(k, 0.0)} for k in w]
    theirs = getattr(torch.optim, name)(parts)
    schedule = torch.optim.lr_scheduler.StepLR(theirs, 10, 0.5)
    for _ in range(25):
        hidden = torch.tanh(torch.tensor(X) @ w["0.weight"] + w["0.bias"])
        hidden = torch.relu(hidden @ w["2.weight"] + w["2.bias"])
        theirs.zero_grad()
        torch.nn.functional.cross_entropy(hidden @ w["4.weight"] + w["4.bias"], torch.tensor(Y)).backward()
        theirs.step()
        schedule.step()
    assert max(np.max(np.abs(v - w[key].detach().numpy())) for key, v in model.state_dict().items()) <= 1e-10


def test_a_rate_of_0_freezes() -> None:
    model = gs.Sequential(gs.Linear(5, 4), gs.Tanh(), gs.Linear(4, 3)).init(0)
    before = model.state_dict()
    trainer = gs.Trainer(
        model, gs.CrossEntropyLoss(), gs.Adam(), groups=[gs.ParameterGroup("0.*", lr=0)], backend="numpy"
    )
    trainer.fit(X, Y, epochs=2, verbose=False)
    after = model.state_dict()
    assert [name for name in before if np.array_equal(before[name], after[name])] == ["0.weight", "0.bias"]


def test_refusals() -> None:
    model = gs.Sequential(gs.Linear(5, 3))
    with pytest.raises(ConfigurationError, match=r"'1\.\*' matches no parameter.*0\.weight, 0\.bias"):
        gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), groups=[gs.ParameterGroup("1.*")], backend="numpy").fit(
            X, Y
        )
    with pytest.raises(ConfigurationError, match="lr is -1"):
        gs.ParameterGroup("*", lr=-1)
    with pytest.raises(ConfigurationError, match="expected gearshift ParameterGroups"):
        gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(), groups=["0.*"], backend="numpy")  # pyright: ignore[reportArgumentType]


def test_from_a_configuration(tmp_path: Path) -> None:
    table = {
        "data": {"source": "digits"},
        "optimizer": {"groups": [{"names": "1.*", "lr": 1e-4}, {"names": "*.weight", "weight_decay": 0.5}]},
    }
    configuration = parse(table)
    _, trainer = build(configuration, "numpy")
    assert trainer.groups == (gs.ParameterGroup("1.*", lr=1e-4), gs.ParameterGroup("*.weight", weight_decay=0.5))
    (tmp_path / "config.toml").write_text(write(configuration))
    assert read(tmp_path / "config.toml") == configuration
