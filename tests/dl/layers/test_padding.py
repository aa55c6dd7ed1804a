"""Sequences of different lengths: padding that nobody looks at, and one row for a sequence, as in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gearshift as gs
from gearshift.backends.errors import ConfigurationError, ShapeError

BACKENDS = ("numpy", "numba")
LENGTH, TOKENS, PADDING, FEATURES, CLASSES = 6, 9, 3, 8, 4
LENGTHS = (6, 1, 4, 3, 6, 5)
RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, TOKENS, (len(LENGTHS), LENGTH))
X[X == PADDING] = 0
for row, length in enumerate(LENGTHS):
    X[row, length:] = PADDING
Y = RANDOM.integers(0, CLASSES, len(X))
POOLINGS = {"mean": gs.MeanPooling, "max": gs.MaxPooling}


def net(pooling: str, *layers: gs.Layer, padding: int | None = PADDING) -> gs.Sequential:
    embedding = gs.Embedding(TOKENS, FEATURES, LENGTH, padding)
    model = gs.Sequential(embedding, *layers, POOLINGS[pooling](), gs.Linear(FEATURES, CLASSES), dtype="float64")
    return model.init(3)


@pytest.mark.torch
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradient_is_that_of_torch_with_a_key_padding_mask(pooling: str, causal: bool, backend: str) -> None:
    torch = pytest.importorskip("torch")
    model = net(pooling, gs.MultiHeadAttention(FEATURES, 2, causal=causal))
    value, grads = gs.value_and_grad(model, gs.CrossEntropyLoss(), X, Y, backend=backend)
    w = {name: torch.tensor(array, requires_grad=True) for name, array in model.state_dict().items()}
    attention = torch.nn.MultiheadAttention(FEATURES, 2, batch_first=True, dtype=torch.float64)
    parts = ("query", "key", "value")
    given = {
        "in_proj_weight": torch.cat([w[f"1.{part}.weight"].T for part in parts]),
        "in_proj_bias": torch.cat([w[f"1.{part}.bias"] for part in parts]),
        "out_proj.weight": w["1.output.weight"].T,
        "out_proj.bias": w["1.output.bias"],
    }
    fills = torch.tensor(X == PADDING)
    later = torch.triu(torch.ones(LENGTH, LENGTH, dtype=torch.bool), diagonal=1)
    x = w["0.weight"][torch.tensor(X)] + w["0.position"]
    options = {"key_padding_mask": fills, "attn_mask": later if causal else None, "need_weights": False}
    h, _ = torch.func.functional_call(attention, given, (x, x, x), options)
    if pooling == "mean":
        h = h.masked_fill(fills[:, :, None], 0).sum(1) / (~fills).sum(1)[:, None]
    else:
        h = h.masked_fill(fills[:, :, None], -torch.inf).amax(1)
    loss = torch.nn.functional.cross_entropy(h @ w["3.weight"] + w["3.bias"], torch.tensor(Y))
    loss.backward()
    assert abs(value - loss.item()) <= 1e-14
    for name, grad in grads.items():
        assert np.max(np.abs(grad - w[name].grad.numpy())) <= 1e-14, name


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_sequence_says_the_same_however_far_it_is_filled_up(pooling: str, backend: str) -> None:
    model = net(pooling, gs.TransformerBlock(FEATURES, 2, causal=False), gs.TransformerBlock(FEATURES, 4))
    trainer = gs.Trainer(model, gs.CrossEntropyLoss(), gs.SGD(), backend=backend)
    together = trainer.predict_proba(X)
    for row, length in enumerate(LENGTHS):
        alone = trainer.predict_proba(X[row : row + 1, :length])
        assert np.max(np.abs(alone - together[row])) <= 1e-14


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradient_with_a_sequence_of_padding_alone_is_that_of_central_differences(pooling: str, backend: str) -> None:
    model = net(pooling, gs.Residual(gs.MultiHeadAttention(FEATURES, 2)), gs.Tanh())
    x = np.concatenate([X[:3], np.full((1, LENGTH), PADDING)])
    assert gs.check_gradients(model, gs.CrossEntropyLoss(), x, Y[:4], backend=backend).ok


def test_pooling_without_padding_is_over_all_tokens() -> None:
    for pooling, function in (("mean", np.mean), ("max", np.max)):
        model = net(pooling, padding=None)
        w = model.state_dict()
        logits = function(w["0.weight"][X] + w["0.position"], axis=1) @ w["2.weight"] + w["2.bias"]
        for backend in BACKENDS:
            found = gs.Trainer(model, gs.MSELoss(), gs.SGD(), backend=backend).predict(X)
            assert np.max(np.abs(found - logits)) <= 1e-14


def test_it_is_saved_and_stays(tmp_path: Any) -> None:
    model = net("mean", gs.TransformerBlock(FEATURES, 2))
    model.save(tmp_path / "m.safetensors")
    assert repr(gs.load(tmp_path / "m.safetensors")) == repr(model)
    assert "padding=3" in repr(model)


def test_refusals() -> None:
    for padding in (-1, TOKENS, 0.5):
        with pytest.raises(ConfigurationError, match=f"padding is {padding}; expected a token, from 0 to 8, or None"):
            gs.Embedding(TOKENS, 4, padding=padding)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ShapeError, match=r"layer 0: MeanPooling expects sequences of tokens, but gets rows of \(3,\)"):
        gs.Sequential(gs.MeanPooling()).summary((3,))
