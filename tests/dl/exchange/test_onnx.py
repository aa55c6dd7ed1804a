"""ONNX files: ONNX Runtime computes for every layer what NumPy does, to 1e-5 in float32."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.__main__ import main

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(7, 6)).astype(np.float32)
TOKENS = RANDOM.integers(0, 5, size=(7, 4)).astype(np.float32)
TOKENS[:, 3] = 0
TOKENS[2] = 0  # padding alone


def randomized(model: gs.Layer) -> gs.Layer:
    """The model with every tensor drawn, running variances above 0."""
    model.ensure_initialized()
    drawn = {
        name: np.abs(RANDOM.normal(size=array.shape)) + 0.1 if "var" in name else RANDOM.normal(size=array.shape) * 0.6
        for name, array in model.state_dict().items()
    }
    model.load_state_dict(drawn)
    return model


def graph_model() -> gs.Layer:
    """Two inputs, a shared layer, a skip connection and two outputs."""
    a, b = gs.Input(2), gs.Input(4)
    shared = gs.Linear(2, 4)
    h = gs.Add()(gs.Tanh()(shared(a)), b)
    return gs.Model([a, b], [gs.Linear(4, 3)(gs.ReLU()(h)), gs.Linear(8, 2)(gs.Concatenate()(h, shared(a)))])


def sequence(*layers: gs.Layer, padding: int | None = None) -> gs.Layer:
    return gs.Sequential(gs.Embedding(5, 8, length=4, padding=padding), *layers)


FORMULAS: dict[str, Any] = {
    "functions": lambda x: gs.xp.expm1(gs.xp.tanh(x)) - gs.xp.log1p(x * x) / gs.xp.sqrt(gs.xp.abs(x) + 1.0) ** 1.5,
    "waves": lambda x: gs.xp.sin(x) * gs.xp.cos(-x) + gs.xp.sign(x) * gs.xp.sigmoid(x) + gs.xp.stop_gradient(x),
    "conditions": lambda x: gs.xp.where((x > 0.0) & ~(x >= 1.0) | (x <= -1.0), x, gs.xp.minimum(x, -x)) * (x != 0.0),
    "rows": lambda x: gs.xp.softmax(x) + x.var(axis=-1, keepdims=True) - gs.xp.max(x, axis=-1)[:, None],
    "columns": lambda x: gs.xp.where(gs.xp.arange(6) < 3, gs.xp.maximum(x, 0.25), x - gs.xp.mean(x, axis=-1)[:, None]),
    "moved": lambda x: gs.xp.concat([x[:, 1:4], x[:, [5, -1, 0]], x[:, ::2]], axis=1),
    "products": lambda x: (x[:, :, None] @ x[:, None, :]).reshape(-1, 2, 18).mean(axis=1)[:, :5],
    "middle": lambda x: (x[:, None, :] * gs.xp.reshape(x, (-1, 6, 1))[:, :4]).sum(axis=-1),
    "turned": lambda x: gs.xp.permute_dims(x.reshape(-1, 2, 3), (0, 2, 1)).sum(axis=2) + gs.xp.ones_like(x)[:, :3],
}


def two_sequences() -> gs.Model:
    """Two tokens that read two others."""
    question, text = gs.Input(2), gs.Input(2)
    x, memory = gs.Embedding(5, 8)(question), gs.Embedding(5, 8)(text)
    return gs.Model([question, text], gs.Linear(8, 3)(gs.CrossAttention(8, 2)(x, memory)))


class Parametric(gs.Layer):
    """Parameters with middle axes, and elements of them."""

    a: Any
    w: Any

    def __init__(self) -> None:
        self.a, self.w = gs.Parameter((4, 1), gs.initializers.ones), gs.Parameter((3, 6), gs.initializers.ones)

    def forward(self, x: Any) -> Any:
        return (x[:, None, :] * self.a).sum(axis=-1) * self.w[0, 2] + x[:, :4] * self.w[1:3, 0].sum() + self.w[1, 2:]


class Formula(gs.Layer):
    def __init__(self, name: str) -> None:
        self.name = name
        self.w, self.m = gs.Parameter((6,), gs.initializers.ones), gs.Parameter((6, 6), gs.initializers.ones)

    def forward(self, x: Any) -> Any:
        return FORMULAS[self.name](x * self.w + x @ self.m)


LAYERS: dict[str, tuple[Any, np.ndarray]] = {
    **{
        kind.__name__: (lambda kind=kind: gs.Sequential(gs.Linear(6, 5), kind(), gs.Linear(5, 3)), ROWS)
        for kind in (gs.ReLU, gs.Tanh, gs.Sigmoid, gs.GELU, gs.Softplus, gs.SiLU, gs.LeakyReLU, gs.ELU, gs.Hardtanh)
    },
    **{f"formula {name}": (lambda name=name: gs.Sequential(gs.Linear(6, 6), Formula(name)), ROWS) for name in FORMULAS},
    "parametric formula": (lambda: gs.Sequential(gs.Linear(6, 6), Parametric()), ROWS),
    "formula alone": (lambda: gs.Sequential(Parametric()), ROWS),
    "Maxout": (lambda: gs.Sequential(gs.Linear(6, 6), gs.Maxout(3)), ROWS),
    "no bias": (lambda: gs.Sequential(gs.Linear(6, 6, bias=False)), ROWS),
    "Standardize": (lambda: gs.Sequential(gs.Standardize(6), gs.Linear(6, 2)), ROWS),
    "BatchNorm1d": (lambda: gs.Sequential(gs.Linear(6, 5), gs.BatchNorm1d(5)), ROWS),
    "LayerNorm": (lambda: gs.Sequential(gs.Linear(6, 5), gs.LayerNorm(5)), ROWS),
    "noise and dropout": (
        lambda: gs.Sequential(gs.GaussianNoise(), gs.MaskingNoise(), gs.Dropout(0.5), gs.Linear(6, 2)),
        ROWS,
    ),
    "penalties": (lambda: gs.Sequential(gs.Linear(6, 3), gs.Sigmoid(), gs.L1Activity(), gs.KLSparsity()), ROWS),
    "Contractive": (lambda: gs.Sequential(gs.Contractive(6, 3)), ROWS),
    "Variational": (lambda: gs.Sequential(gs.Variational(6, 3), gs.Linear(3, 6)), ROWS),
    "Residual": (lambda: gs.Sequential(gs.Residual(gs.Linear(6, 6), gs.ReLU()), gs.Linear(6, 2)), ROWS),
    "Model": (graph_model, ROWS),
    "Embedding": (lambda: sequence(), TOKENS),
    "Embedding without places": (lambda: gs.Sequential(gs.Embedding(5, 3), gs.Linear(3, 2)), TOKENS),
    "attention": (lambda: sequence(gs.MultiHeadAttention(8, 2)), TOKENS),
    "causal attention": (lambda: sequence(gs.MultiHeadAttention(8, 2, causal=True)), TOKENS),
    "padded attention": (lambda: sequence(gs.MultiHeadAttention(8, 2), padding=0), TOKENS),
    "padded causal attention": (lambda: sequence(gs.MultiHeadAttention(8, 2, causal=True), padding=0), TOKENS),
    "MeanPooling": (lambda: sequence(gs.MeanPooling()), TOKENS),
    "padded MeanPooling": (lambda: sequence(gs.MeanPooling(), padding=0), TOKENS),
    "MaxPooling": (lambda: sequence(gs.MaxPooling()), TOKENS),
    "padded MaxPooling": (lambda: sequence(gs.MaxPooling(), padding=0), TOKENS),
    "CrossAttention": (two_sequences, TOKENS),
    "transformer": (lambda: sequence(gs.TransformerBlock(8, 2), gs.LayerNorm(8), gs.Linear(8, 5)), TOKENS),
    "autoencoder": (lambda: gs.autoencoder(6, 2, [4]), ROWS),
}


def run(path: Path, x: np.ndarray, *outputs: str) -> Any:
    """What ONNX Runtime computes."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run([*outputs] or ["outputs"], {"x": x})
    return found if len(found) > 1 else found[0]


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(tmp_path: Path, name: str) -> None:
    make, x = LAYERS[name]
    model = randomized(make())
    model.to_onnx(tmp_path / "m.onnx", features=x.shape[1])
    expected = model.outputs(x, backend="numpy")
    for rows in (slice(None), slice(0, 1)):
        found = run(tmp_path / "m.onnx", x[rows])
        assert found.dtype == np.float32 and found.shape == expected[rows].shape
        np.testing.assert_allclose(found, expected[rows], rtol=1e-5, atol=1e-5)


def test_every_layer_of_the_library_is_in_the_table() -> None:
    """Operations that a layer lowers to in prediction, but for classes that users derive from."""
    layers: set[str] = set()

    def visit(layer: gs.Layer) -> None:
        layers.add(type(layer).__name__)
        for child in layer.children().values():
            visit(child)

    for make, _ in LAYERS.values():
        visit(make())
    own = {name for name, kind in gs.Layer.registered.items() if kind.__module__.startswith("gearshift.dl.layers")}
    assert own <= layers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_classifier_answers_with_names_and_probabilities(tmp_path: Path, dtype: str) -> None:
    data = gs.load_dataset("digits", seed=0)
    mean, std = data.standardization()
    model = gs.Sequential(
        gs.Standardize(64).fit(mean, std), gs.Linear(64, 16), gs.ReLU(), gs.Linear(16, 10), dtype=dtype
    )
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.Adam(lr=0.01), backend="numpy")
    trainer.fit(data.train, epochs=2, verbose=False)
    model.classes = [f"digit {number}" for number in range(10)]
    model.feature_names = [f"p{number}" for number in range(64)]
    gs.to_onnx(model, tmp_path / "m.onnx")
    x = data.test.x.astype(dtype)
    labels, probabilities = run(tmp_path / "m.onnx", x, "label", "probabilities")
    assert labels.tolist() == model.predict(x, backend="numpy").tolist()
    np.testing.assert_allclose(probabilities, model.predict_proba(x, backend="numpy"), rtol=1e-5, atol=1e-6)
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    stored = session.get_modelmeta().custom_metadata_map
    assert json.loads(stored["classes"]) == model.classes and json.loads(stored["feature_names"]) == model.feature_names


def test_other_losses(tmp_path: Path) -> None:
    y = ROWS[:, 0] > 0
    for loss, outputs, targets in (
        (gs.BCEWithLogitsLoss(), 1, y.astype(int)),
        (gs.HingeLoss(), 1, np.where(y, 1, -1)),
        (gs.MulticlassHingeLoss(), 2, y.astype(int)),
        (gs.MSELoss(), 2, 1e4 + 300 * ROWS[:, :2]),
    ):
        model = gs.Sequential(gs.Linear(6, outputs))
        if isinstance(loss, gs.MSELoss):
            model.target_scaling = gs.TargetScaling.of(targets)
        gs.Trainer(model, loss, gs.Adam(lr=0.1), backend="numpy").fit(ROWS, targets, epochs=3, verbose=False)
        gs.to_onnx(model, tmp_path / "m.onnx")
        name = "prediction" if isinstance(loss, gs.MSELoss) else "label"
        found, expected = run(tmp_path / "m.onnx", ROWS, name), model.predict(ROWS, backend="numpy")
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        if isinstance(loss, gs.BCEWithLogitsLoss):
            expected = model.predict_proba(ROWS, backend="numpy")
            np.testing.assert_allclose(run(tmp_path / "m.onnx", ROWS, "probabilities"), expected, rtol=1e-5)


def test_a_layer_of_ones_own_is_refused_by_name(tmp_path: Path) -> None:
    class Cube(gs.ArrayLayer):
        """x³."""

        def forward(self, xp: Any, x: Any) -> Any:
            return x**3

        def backward(self, xp: Any, dy: Any, x: Any, y: Any) -> Any:
            return (3 * dy * x**2,)

    with pytest.raises(gs.ConfigurationError, match="layer '0' computes 'Cube', which has no form in ONNX"):
        gs.to_onnx(gs.Sequential(Cube(), gs.Linear(6, 2)), tmp_path / "m.onnx", features=6)
    del gs.Layer.registered["Cube"]
    assert not (tmp_path / "m.onnx").exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    randomized(gs.Sequential(gs.Linear(6, 2))).save(tmp_path / "m.safetensors")
    for output, code in (("m.onnx", 0), ("m.pt", 2)):
        with pytest.raises(SystemExit) as ended:
            main(["export", str(tmp_path / "m.safetensors"), str(tmp_path / output)])
        assert (ended.value.code or 0) == code
    expected = gs.load(tmp_path / "m.safetensors")(ROWS)
    np.testing.assert_allclose(run(tmp_path / "m.onnx", ROWS), expected, rtol=1e-5, atol=1e-6)
    assert "expected a file .onnx" in capsys.readouterr().err


def test_the_command_says_what_the_columns_of_a_table_become(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text("city,age,buys\n" + "Rome,30,yes\nOslo,,no\nOslo,50,yes\n" * 9)
    data = gs.load_dataset(tmp_path / "rows.csv", missing="mean")
    trainer = gs.Trainer(gs.Sequential(gs.Linear(3, 2)), gs.CrossEntropyLoss(), gs.SGD(), backend="numpy")
    trainer.fit(data.train, epochs=1, verbose=False)
    trainer.save(tmp_path / "m.safetensors")
    with contextlib.suppress(SystemExit):
        main(["export", str(tmp_path / "m.safetensors"), str(tmp_path / "m.onnx")])
    said = capsys.readouterr().err
    assert "input x (rows, 3)" in said and "columns of x: city=Oslo, city=Rome, age" in said and "not encoded" in said
