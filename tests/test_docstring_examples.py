"""The examples of public docstrings run, and print what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
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
    "plots": "matplotlib",
    "pictures": "matplotlib",
}
"""Packages that an example needs, or all examples of a module."""
WITHOUT = {
    "RunLocked": "only commands write runs, and a second process must do so at the same time",
    "initializers.gaussian": "initializers are passed on and not called, as the examples of `Parameter` and `Layer` do",
    "initializers.glorot": "as above",
    "initializers.he": "as above",
    "initializers.lecun": "as above",
    "initializers.ones": "as above",
    "initializers.standard_normal": "as above",
    "initializers.zeros": "as above",
}
"""Public names without an example, each with the reason."""
MODULES = {name: getattr(gs, name) for name in gs.__all__ if isinstance(getattr(gs, name), ModuleType)}
PUBLIC = {name: getattr(gs, name) for name in gs.__all__ if callable(getattr(gs, name))} | {
    f"{module}.{name}": getattr(value, name)
    for module, value in MODULES.items()
    for name in getattr(value, "__all__", ())
}


def with_examples() -> dict[str, str]:
    """The docstrings with examples: of public classes, functions and modules, and of methods, each once."""
    found = {name: value.__doc__ or "" for name, value in (PUBLIC | MODULES).items()}
    for kind in PUBLIC.values():
        for name in dir(kind) if isinstance(kind, type) else ():
            member = getattr(kind, name)
            if not name.startswith("_") and isinstance(member, FunctionType | MethodType):
                found[member.__qualname__] = member.__doc__ or ""
    return {name: inspect.cleandoc(text) for name, text in found.items() if ">>>" in text}


EXAMPLES = with_examples()


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
    return {"__name__": "examples", "gs": gs, "np": np, "fit": fit, "folder": folder, **given, **prices}


def test_public_names_have_examples() -> None:
    """Each public class and function has an example of its own, or a reason to have none."""
    own = {name: value.__doc__ or "" for name, value in PUBLIC.items()}
    assert {name for name, text in own.items() if ">>>" not in text} == WITHOUT.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for part in {name, name.split(".")[0]} & NEEDS.keys():
        pytest.importorskip(NEEDS[part])
    monkeypatch.chdir(names["folder"])
    monkeypatch.setenv("GEARSHIFT_BACKEND", "numpy")
    test = doctest.DocTestParser().get_doctest(EXAMPLES[name], dict(names), name, str(Path(__file__)), 0)
    said: list[str] = []
    runner = doctest.DocTestRunner(IfGiven(), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(test, out=said.append).failed == 0, "".join(said)
