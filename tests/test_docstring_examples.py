"""The examples of public docstrings run, and print what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.__main__ import main

NEEDS = {
    "to_onnx": "onnxruntime",
    "TensorBoard": "tensorboardX",
    "load_torch_state_dict": "torch",
    "to_torch_state_dict": "torch",
    "History": "matplotlib",
    "bias_variance": "matplotlib",
}
"""Packages that an example needs."""
PUBLIC = {name: getattr(gs, name) for name in gs.__all__ if callable(getattr(gs, name))}
OTHERS = ("JointLoss", "load_torch_state_dict")  # speak of a trainer or a module of the reader's
EXAMPLES = {
    name: text
    for name, value in PUBLIC.items()
    if name not in OTHERS and (text := inspect.getdoc(value)) and ">>>" in text
}


class IfGiven(doctest.OutputChecker):
    """Compares what is printed where the example says it."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What examples speak of: the digits, a trained model in a file and as a run, prices, and a fit of a line."""
    folder = tmp_path_factory.mktemp("examples")
    data, random = gs.load_dataset("digits", seed=0), np.random.default_rng(0)
    model = gs.Sequential(gs.Linear(64, 10))
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=1e-2), backend="numpy", seed=0)
    trainer.fit(data.train, epochs=1, verbose=False)
    trainer.save(folder / "digits.safetensors")
    with pytest.raises(SystemExit):
        main(["train", "--run", str(folder / "runs" / "first"), "--set", "train.epochs=1", "--backend", "numpy"])

    def fit(x: np.ndarray, y: np.ndarray) -> Any:
        line = np.polyfit(x[:, 0], y, 1)
        return lambda rows: np.polyval(line, rows[:, 0])

    given = {"x": data.train.x, "y": data.train.y, "data": data, "model": model, "trainer": trainer, "random": random}
    homes = random.normal(size=(50, 3))
    prices = {"x_train": homes, "y_train": 3e5 + homes @ [1e4, 2e4, 3e4], "x_test": homes[:5]}
    for package in {*NEEDS.values()} & {"torch", "onnxruntime"}:
        if find_spec(package) is not None:
            given[package] = importlib.import_module(package)
    return {"gs": gs, "np": np, "fit": fit, "folder": folder, **given, **prices}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    monkeypatch.chdir(names["folder"])
    monkeypatch.setenv("GEARSHIFT_BACKEND", "numpy")
    test = doctest.DocTestParser().get_doctest(EXAMPLES[name], dict(names), name, str(Path(__file__)), 0)
    said: list[str] = []
    runner = doctest.DocTestRunner(IfGiven(), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(test, out=said.append).failed == 0, "".join(said)
