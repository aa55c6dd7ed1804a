"""Checkpoints: what is written is read back, and what is foreign or hostile is refused with one error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.dl.storage import load_tensors, save_tensors

Edit = Callable[[dict[str, Any]], object]


def data() -> gs.Dataset:
    generator = np.random.default_rng(0)
    return gs.Dataset(generator.normal(size=(23, 4)), generator.integers(0, 3, 23))


def model(hidden: int = 5) -> gs.Sequential:
    return gs.Sequential(gs.Linear(4, hidden), gs.ReLU(), gs.Linear(hidden, 3))


def trainer(net: gs.Layer | None = None, loss: Any = None, optimizer: Any = None, seed: int = 0) -> gs.Trainer:
    return gs.Trainer(net or model(), loss or gs.CrossEntropyLoss(), optimizer or gs.Adam(), backend="numpy", seed=seed)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run.safetensors"
    run = trainer()
    run.model.classes = ["a", "b", "c"]
    run.fit(data(), validation=data(), epochs=2, batch_size=5, patience=5, verbose=False)
    run.save(path)
    return path


def snapshot(run: gs.Trainer) -> Any:
    tensors = {name: value.tobytes() for name, value in run.state.pack().items()}
    return tensors, run.epoch, run.step, run.state.cursor, run.history.records, vars(run.early_stopping)


def refused(path: Path, run: gs.Trainer, words: str | None) -> None:
    run.fit(data(), epochs=1, batch_size=4, verbose=False) if isinstance(run.loss, gs.CrossEntropyLoss) else None
    before = snapshot(run)
    with pytest.raises(gs.CheckpointError, match=words) as caught:
        run.load(path)
    assert str(path) in str(caught.value)
    assert snapshot(run) == before


def altered(saved: Path, target: Path, edit: Edit | None = None, tensors: Edit | None = None) -> Path:
    arrays, metadata = load_tensors(saved)
    body = json.loads(metadata["gearshift"])
    if edit:
        edit(body)
    if tensors:
        tensors(arrays)
    save_tensors(target, arrays, {**metadata, "gearshift": json.dumps(body)})
    return target


def test_everything_comes_back(saved: Path) -> None:
    run = trainer()
    run.load(saved)
    assert (run.epoch, run.step, len(run.history)) == (2, 10, 2)
    loaded = gs.load(saved)
    assert loaded.classes == ["a", "b", "c"] == run.model.classes
    assert repr(loaded) == repr(run.model)
    for name, value in run.model.state_dict().items():
        assert loaded.state_dict()[name].tobytes() == value.tobytes()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: trainer(model(6)), "another model"),
        (lambda: trainer(loss=gs.MSELoss()), "loss CrossEntropyLoss, expected MSELoss"),
        (lambda: trainer(optimizer=gs.SGD()), "optimizer Adam.*expected SGD"),
        (lambda: trainer(seed=1), "seed 0, expected 1"),
        (lambda: trainer(model().astype("float64")), "another model"),
    ],
)
def test_another_run_is_refused(saved: Path, make: Callable[[], gs.Trainer], words: str) -> None:
    refused(saved, make(), words)


def test_a_run_with_other_states_is_refused(tmp_path: Path) -> None:
    plain = trainer(optimizer=gs.SGD())
    plain.save(tmp_path / "run")
    refused(tmp_path / "run", trainer(optimizer=gs.SGD(momentum=0.9)), r"made with SGD\(momentum=0.0\), expected 0.9")
    trainer(optimizer=gs.SGD(momentum=0.9)).save(tmp_path / "run")
    refused(tmp_path / "run", plain, r"made with SGD\(momentum=0.9\), expected 0.0")


def test_a_momentum_that_changes_is_the_same_in_another_trainer(tmp_path: Path) -> None:
    trainer(optimizer=gs.Momentum(momentum=gs.Ramp(0.5, 0.9, 50))).save(tmp_path / "run")
    trainer(optimizer=gs.Momentum(momentum=gs.Ramp(0.5, 0.9, 50))).load(tmp_path / "run")
    refused(tmp_path / "run", trainer(optimizer=gs.Momentum(momentum=gs.Ramp(0.5, 0.8, 50))), "'stop': 0.9")
    trainer(optimizer=gs.Momentum(momentum=half)).save(tmp_path / "run")
    trainer(optimizer=gs.Momentum(momentum=half)).load(tmp_path / "run")


def half(step: int) -> float:
    return 0.5


def test_a_model_alone_is_no_run(tmp_path: Path) -> None:
    net = model()
    net.save(tmp_path / "model")
    assert repr(gs.load(tmp_path / "model")) == repr(net)
    refused(tmp_path / "model", trainer(), "only a model")


def test_a_run_keeps_every_seed(tmp_path: Path) -> None:
    trainer(seed=2**64 - 1).save(tmp_path / "run")
    resumed = trainer(seed=2**64 - 1)
    resumed.load(tmp_path / "run")
    assert resumed.seed == 2**64 - 1


def test_algorithms_of_products_have_words_of_64_bits(saved: Path, tmp_path: Path) -> None:
    """cuBLASLt's words may use every bit; those that no algorithm has are left out when the GPU is asked."""
    words = altered(saved, tmp_path / "words", lambda body: body["run"].update(choices={"a product": [2**64 - 1] * 8}))
    trainer().load(words)
    refused(
        altered(saved, tmp_path / "more", lambda body: body["run"].update(choices={"": [2**64]})), trainer(), "65 bits"
    )


def run_with(**values: Any) -> Edit:
    return lambda body: body["run"].update(values)


@pytest.mark.parametrize(
    "edit",
    [
        run_with(step=-1),
        run_with(step="7"),
        run_with(step=2**63),
        run_with(step=True),
        run_with(cursor=-5),
        run_with(epoch=1.5),
        run_with(best="x"),
        run_with(optimizer=3),
        run_with(loss=None),
        lambda body: body.update(run=[]),
        lambda body: body.update(run="x"),
        lambda body: body["run"].pop("step"),
        lambda body: body["run"].pop("seed"),
        lambda body: body.pop("run"),
        lambda body: body.pop("model"),
        lambda body: body.update(classes=7),
        lambda body: body.update(classes=[{}]),
        lambda body: body.update(classes="abc"),
        lambda body: body.update(classes={"a": 1}),
    ],
)
def test_a_hostile_description_of_a_run(saved: Path, tmp_path: Path, edit: Edit) -> None:
    refused(altered(saved, tmp_path / "bad", edit), trainer(), None)


def nested(depth: int) -> Any:
    layer: Any = {"class": "ReLU", "dtype": "float32", "arguments": {}}
    for _ in range(depth):
        layer = {"class": "Sequential", "dtype": "float32", "layers": [layer]}
    return layer


@pytest.mark.parametrize(
    "description",
    [
        None,
        [],
        {},
        "Linear",
        {"class": "Evil", "dtype": "float32", "arguments": {}},
        {"class": ["Linear"], "dtype": "float32", "arguments": {}},
        {"class": "Linear", "dtype": "float32", "arguments": {"in_features": "4", "out_features": 3}},
        {"class": "Linear", "dtype": "float32", "arguments": {"in_features": 4, "out_features": 3, "shell": "ls"}},
        {"class": "Linear", "dtype": "float32", "arguments": [4, 3]},
        {"class": "Linear", "dtype": "float32", "arguments": {"in_features": 10**30, "out_features": 3}},
        {"class": "Linear", "dtype": "object", "arguments": {"in_features": 4, "out_features": 3}},
        {"class": "Linear", "dtype": ["float32"], "arguments": {"in_features": 4, "out_features": 3}},
        {"class": "Dropout", "dtype": "float32", "arguments": {"p": "x"}},
        {"class": "Standardize", "dtype": "float32", "arguments": {"features": [1]}},
        {"class": "Sequential", "dtype": "float32", "layers": 5},
        {"class": "Sequential", "dtype": "float32", "layers": []},
        nested(150),
        nested(300),
    ],
)
def test_a_hostile_description_of_a_model(saved: Path, tmp_path: Path, description: Any) -> None:
    path = altered(saved, tmp_path / "bad", lambda body: body.update(model=description))
    with pytest.raises(gs.CheckpointError) as caught:
        gs.load(path)
    assert str(path) in str(caught.value)
    refused(path, trainer(), None)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "[" * 50_000, '{"model": NaN}'])
def test_a_description_that_is_not_json(saved: Path, tmp_path: Path, text: str) -> None:
    arrays, metadata = load_tensors(saved)
    save_tensors(tmp_path / "bad", arrays, {**metadata, "gearshift": text})
    refused(tmp_path / "bad", trainer(), "damaged")
    save_tensors(tmp_path / "bad", arrays, {"format": "gearshift"})
    refused(tmp_path / "bad", trainer(), "damaged")
    save_tensors(tmp_path / "bad", arrays, {"format": "pt"})
    refused(tmp_path / "bad", trainer(), "'pt'")


@pytest.mark.parametrize(
    "tensors",
    [
        lambda arrays: arrays.pop("model.0.bias"),
        lambda arrays: arrays.pop("optimizer.first.0.bias"),
        lambda arrays: arrays.pop("totals"),
        lambda arrays: arrays.pop("history"),
        lambda arrays: arrays.pop("best.0.bias"),
        lambda arrays: arrays.update({"model.9.bias": np.zeros(3)}),
        lambda arrays: arrays.update({"extra": np.zeros(3)}),
        lambda arrays: arrays.update({"model.0.bias": np.zeros(4, np.float32)}),
        lambda arrays: arrays.update({"model.0.bias": np.zeros(5, np.complex64)}),
        lambda arrays: arrays.update({"best.0.bias": np.zeros(4, np.float32)}),
        lambda arrays: arrays.update({"totals": np.zeros(2)}),
        lambda arrays: arrays.update({"history": np.zeros(2)}),
        lambda arrays: arrays.update({"history": np.frombuffer(b"[1]", np.uint8)}),
        lambda arrays: arrays.update({"history": np.frombuffer(b'[{"loss": []}]', np.uint8)}),
        lambda arrays: arrays.update({"history": np.frombuffer(b"{", np.uint8)}),
        lambda arrays: arrays.update({"history": np.frombuffer(b"[" * 50_000, np.uint8)}),
    ],
)
def test_tensors_that_do_not_fit(saved: Path, tmp_path: Path, tensors: Edit) -> None:
    refused(altered(saved, tmp_path / "bad", tensors=tensors), trainer(), None)


def test_missing_truncated_and_foreign_files(saved: Path, tmp_path: Path) -> None:
    refused(tmp_path / "none", trainer(), "No such file")
    (tmp_path / "cut").write_bytes(saved.read_bytes()[:-1])
    refused(tmp_path / "cut", trainer(), None)
    (tmp_path / "foreign").write_bytes(b"\x80\x04 not a checkpoint at all")
    refused(tmp_path / "foreign", trainer(), "not a safetensors file")


def test_a_long_history_can_be_saved(tmp_path: Path) -> None:
    run = trainer()
    run.fit(data(), epochs=1, batch_size=5, verbose=False)
    run.history.records *= 20_000
    run.save(tmp_path / "run")
    again = trainer()
    again.load(tmp_path / "run")
    assert again.history.records == run.history.records


def test_a_model_keeps_its_dtype(tmp_path: Path) -> None:
    net = model().astype("float64").init(3)
    net.save(tmp_path / "model")
    again = gs.load(tmp_path / "model")
    assert {value.dtype for value in again.state_dict().values()} == {np.dtype("float64")}
    part = data()
    loss, gradients = gs.value_and_grad(again, gs.CrossEntropyLoss(), part.x, part.y)
    assert {value.dtype for value in gradients.values()} == {np.dtype("float64")}
    run = trainer(again)
    assert run.predict_proba(part.x).dtype == np.float64
    assert run.evaluate(part)["loss"] == pytest.approx(loss, rel=1e-14)
