"""Attention of one sequence to another: as PyTorch has it, by central differences, saved, and exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gearshift as gs

TOKENS, FEATURES, SHORT, LONG = 9, 8, 5, 7
RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, TOKENS, (6, SHORT + LONG)).astype(np.uint8)
Y = RANDOM.integers(0, TOKENS, (6, SHORT))


def model(padding: int | None, heads: int = 2, dropout: float = 0.0) -> gs.Model:
    """Five tokens that read seven others."""
    question, text = gs.Input(SHORT), gs.Input(LONG)
    x = gs.Embedding(TOKENS, FEATURES, SHORT)(question)
    memory = gs.Embedding(TOKENS, FEATURES, LONG, padding=padding)(text)
    read = gs.Add()(x, gs.CrossAttention(FEATURES, heads, dropout)(x, memory))
    return gs.Model([question, text], gs.Linear(FEATURES, TOKENS)(read), dtype="float64").init(1)


@pytest.mark.torch
@pytest.mark.parametrize("padding", [None, 0])
def test_it_is_that_of_torch(padding: int | None) -> None:
    torch = pytest.importorskip("torch")
    ours = model(padding)
    attention: Any = torch.nn.MultiheadAttention(FEATURES, 2, batch_first=True, dtype=torch.float64)
    state = ours.state_dict()
    pick = {name: torch.tensor(value) for name, value in state.items()}
    parts = "query", "key", "value"
    attention.load_state_dict(
        {
            "in_proj_weight": torch.cat([pick[f"2.{part}.weight"].T for part in parts]),
            "in_proj_bias": torch.cat([pick[f"2.{part}.bias"] for part in parts]),
            "out_proj.weight": pick["2.output.weight"].T,
            "out_proj.bias": pick["2.output.bias"],
        }
    )
    ids = torch.tensor(X, dtype=torch.long)
    x = pick["0.weight"][ids[:, :SHORT]] + pick["0.position"]
    memory = pick["1.weight"][ids[:, SHORT:]] + pick["1.position"]
    hidden = None if padding is None else ids[:, SHORT:] == padding
    read, _ = attention(x, memory, memory, key_padding_mask=hidden)
    expected = (x + read) @ pick["4.weight"] + pick["4.bias"]
    for backend in ("numpy", "numba"):
        found = ours.outputs(X, backend=backend).reshape(expected.shape)
        np.testing.assert_allclose(found, expected.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("padding", [None, 0])
def test_gradients_and_backends(padding: int | None) -> None:
    assert gs.check_gradients(model(padding), gs.CrossEntropyLoss(), X, Y).ok
    losses = []
    for backend in ("numpy", "numba"):
        trainer = gs.Trainer(model(padding), gs.CrossEntropyLoss(), gs.SGD(lr=0.1), backend=backend)
        losses.append(trainer.fit(X, Y, epochs=3, batch_size=4, verbose=False)["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-12)


def test_a_sequence_of_equal_length_is_not_taken_for_itself() -> None:
    """The fused attention of the compiled plan reads keys and values of the other sequence, too."""
    question, text = gs.Input(4), gs.Input(4)
    x, memory = gs.Embedding(TOKENS, FEATURES)(question), gs.Embedding(TOKENS, FEATURES)(text)
    net = gs.Model([question, text], gs.CrossAttention(FEATURES, 2)(x, memory), dtype="float64").init(0)
    rows = X[:, :8]
    np.testing.assert_allclose(
        net.outputs(rows, backend="numba"), net.outputs(rows, backend="numpy"), rtol=0, atol=1e-13
    )
    changed = rows.copy()
    changed[:, 4:] = (changed[:, 4:] + 1) % TOKENS
    assert np.abs(net.outputs(changed, backend="numba") - net.outputs(rows, backend="numba")).max() > 1e-3


def test_it_is_saved_and_exported(tmp_path: Path) -> None:
    ours = model(0, dropout=0.1).astype("float32")
    ours.save(tmp_path / "m.safetensors")
    again = gs.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.outputs(X), ours.outputs(X))
    assert "CrossAttention(features=8, heads=2, dropout=0.1)" in repr(again)
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    gs.to_onnx(ours, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    (output,) = session.run(None, {session.get_inputs()[0].name: X.astype(np.float32)})
    np.testing.assert_allclose(output.reshape(-1), ours.outputs(X).reshape(-1), rtol=0, atol=1e-5)


def test_inputs_that_do_not_fit() -> None:
    question, text = gs.Input(4), gs.Input(4)
    x, memory = gs.Embedding(TOKENS, FEATURES)(question), gs.Embedding(TOKENS, 6)(text)
    with pytest.raises(gs.ShapeError, match=r"CrossAttention expects 8 features, but gets rows of shape \(6,\)"):
        gs.Model([question, text], gs.CrossAttention(FEATURES, 2)(x, memory)).outputs(X[:, :8])
    with pytest.raises(gs.ConfigurationError, match="CrossAttention: features is 8; expected a multiple of 3"):
        gs.CrossAttention(8, 3)
    with pytest.raises(gs.ConfigurationError, match="expected 2 outputs"):
        gs.CrossAttention(8, 2)(x)
